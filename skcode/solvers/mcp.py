"""Codes under the minimax concave penalty: sparse, and without the shrinkage of the L1 penalty.

The penalty (Zhang, 2010) grows like ``alpha |z|`` at zero and is flat beyond ``gamma alpha`` (for unit atoms), so that
large codes are fitted by least squares. The problem is not convex: a solution is a local one, found by coordinate
descent from the L1 solution, and there is no duality gap. Its certificate is that it is stationary: no code would move
by itself.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import scipy.sparse as sp
from numba import njit

from .._compiled import compiled
from .._parallel import give_up_if_abandoned, map_chunks, single_threaded_blas
from ._prepared import PreparedDictionary, centred, check_penalty, prepare
from ._result import CodingResult
from ._round import emit, write_residual
from ._small_problem import FUSED, INLINED, compute_gram
from .working_set import working_set

_BLOCK_SAMPLES = 256
_LARGEST_SET = 1024  # atoms of one sample
_LOOSE = 1e-2  # relative duality gap of the L1 codes to start from
_MOST_SWEEPS = 500
_INNER_TOL = 0.3  # movement on the working set, as a share of tol


def mcp(
    X: np.ndarray,
    dictionary: np.ndarray | PreparedDictionary,
    alpha: float,
    *,
    gamma: float = 3.0,
    positive: bool = True,
    max_iter: int = 100,
    tol: float = 1e-4,
    codes_init: np.ndarray | sp.csr_array | None = None,
    offset: np.ndarray | None = None,
    sparse_output: bool = False,
    n_jobs: int | None = None,
) -> CodingResult:
    """Find a stationary point of the problem with the minimax concave penalty for every sample.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), float32 or float64
        Data.
    dictionary : ndarray of shape (n_components, n_features) or PreparedDictionary
        Atoms in rows, of any norm.
    alpha : float
        Slope of the penalty at zero, positive.
    gamma : float, default=3.0
        Above 1. The penalty is flat for codes beyond ``gamma * alpha / ||atom||^2``: the curvature of each is that of
        its least squares divided by gamma. Large values approach the L1 penalty.
    positive : bool, default=True
        Whether codes must be non-negative.
    max_iter : int, default=100
        Most rounds per sample: correlations with all atoms, and coordinate descent on those that violate.
    tol : float, default=1e-4
        Bound on the violation of each sample; with 0, samples go on until they are at rest.
    codes_init : {ndarray, CSR array} of shape (n_samples, n_components), optional
        Where to start; by default the L1 codes.
    offset : ndarray of shape (n_features,), optional
        Subtracted from every sample.
    sparse_output : bool, default=False
        Whether to return the codes as CSR.
    n_jobs : int, optional
        Threads, or workers of the active joblib backend.

    Returns
    -------
    result : CodingResult
        Codes and rounds; in place of the duality gap, the violation: the farthest that a step of one code alone would
        move the reconstruction, relative to the norm of the sample.

    Raises
    ------
    ValueError
        If gamma is not above 1, and whatever `fista` raises.
    """
    prepared = prepare(dictionary, X, codes_init, "codes_init")
    check_penalty(alpha, tol)
    if not gamma > 1:
        raise ValueError(f"gamma must be above 1, got {gamma}.")
    with single_threaded_blas():
        if codes_init is None:
            codes_init = working_set(
                X, prepared, alpha, positive=positive, tol=_LOOSE, offset=offset, sparse_output=True, n_jobs=n_jobs
            ).codes
        work = partial(
            _solve_block, X=X, offset=offset, codes_init=codes_init, dictionary=prepared.padded(X.dtype),
            squared_norms=prepared.squared_norms(X.dtype), alpha=float(alpha), gamma=float(gamma),
            positive=bool(positive), max_iter=int(max_iter), tol=float(tol), n_components=prepared.shape[0],
        )  # fmt: skip
        result = CodingResult.concatenate(map_chunks(work, X.shape[0], _BLOCK_SAMPLES, n_jobs))
    return result if sparse_output else result._replace(codes=result.codes.toarray())


def _solve_block(
    part, *, X, offset, codes_init, dictionary, squared_norms, alpha, gamma, positive, max_iter, tol, n_components
):
    X = centred(X[part], offset)
    init = sp.csr_array(codes_init[part]).astype(X.dtype)
    n_samples, capacity = len(X), min(n_components, _LARGEST_SET)
    support, values = np.empty((n_samples, capacity), np.int32), np.empty((n_samples, capacity), X.dtype)
    sizes, n_iter = np.zeros(n_samples, np.int64), np.zeros(n_samples, np.int64)
    violation, norms = np.zeros(n_samples), np.sqrt(np.einsum("ij,ij->i", X, X, dtype=np.float64))
    rest, open_samples = np.empty_like(X), np.arange(n_samples)
    _start(init.indptr, init.indices, init.data, positive, X, dictionary, squared_norms, rest, support, values, sizes)
    correlation = np.empty((n_samples, len(dictionary)), X.dtype)
    gram, atoms = np.empty((capacity, capacity), X.dtype), np.empty((capacity, X.shape[1]), X.dtype)
    n_open = n_samples
    while n_open:
        give_up_if_abandoned()
        np.matmul(rest[:n_open], dictionary.T, out=correlation[:n_open])
        n_open = _advance(
            n_open, X, norms, open_samples, rest, correlation, support, values, sizes, n_iter, violation, dictionary,
            squared_norms, alpha, gamma, positive, max_iter, tol, 2 * float(np.finfo(X.dtype).eps), gram, atoms,
        )  # fmt: skip
    indptr = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    indices, data = np.empty(indptr[-1], np.int32), np.empty(indptr[-1], X.dtype)
    emit(support, values, sizes, indptr, indices, data)
    return CodingResult(sp.csr_array((data, indices, indptr), shape=(n_samples, n_components)), n_iter, violation)


@njit(**INLINED)
def _prox(u, length, alpha, gamma, positive):
    """Return the minimiser of ``length/2 (z - u)^2 + penalty(z)``: nothing, a part, or all of ``u``."""
    size, threshold = u if positive else abs(u), alpha / length
    if size <= threshold:
        return 0.0
    if size > gamma * threshold:
        return u
    part = (size - threshold) / (1 - 1 / gamma)
    return part if u > 0 else -part


@compiled(**FUSED)
def _start(indptr, indices, data, positive, X, dictionary, squared_norms, rest, support, values, sizes):
    residual = np.empty(X.shape[1])
    for i in range(X.shape[0]):
        size = 0
        for place in range(indptr[i], indptr[i + 1]):
            feasible = data[place] > 0 or (data[place] < 0 and not positive)
            feasible = feasible and squared_norms[indices[place]] > 0
            if feasible and size < support.shape[1]:
                support[i, size], values[i, size] = indices[place], data[place]
                size += 1
        sizes[i] = size
        write_residual(X, i, size, support, values, dictionary, residual)
        for k in range(X.shape[1]):
            rest[i, k] = residual[k]


@compiled(**FUSED)
def _advance(
    n_open, X, norms, open_samples, rest, correlation, support, values, sizes, n_iter, violation, dictionary,
    squared_norms, alpha, gamma, positive, max_iter, tol, rounding, gram, atoms,
):  # fmt: skip
    """Make a round for each open sample; return how many are left, with their residuals at the top of ``rest``."""
    capacity = support.shape[1]
    members, slope, codes = np.empty(capacity, np.uintp), np.empty(capacity), np.empty(capacity)
    found = np.empty(correlation.shape[1] + 1, np.int64)
    threshold = correlation.dtype.type(alpha)
    residual = np.empty(X.shape[1])
    n_left = 0
    for row in range(n_open):
        i = open_samples[row]
        size = sizes[i]
        for p in range(size):
            j = support[i, p]
            members[p], codes[p], slope[p] = j, values[i, p], correlation[row, j]
            correlation[row, j] = 0  # not to be found again
        n_found = 0
        for j in range(correlation.shape[1]):
            found[n_found] = j
            n_found += (correlation[row, j] if positive else abs(correlation[row, j])) > threshold
        for p in range(min(n_found, capacity - size)):
            j = found[p]
            members[size], codes[size], slope[size] = j, 0.0, correlation[row, j]
            size += 1
        movement = _largest_step(size, members, slope, codes, squared_norms, alpha, gamma, positive)
        for p in range(min(n_found, capacity - sizes[i]), n_found):  # for which there is no room
            length = squared_norms[found[p]]
            step = _prox(correlation[row, found[p]] / length, length, alpha, gamma, positive)
            movement = max(movement, abs(step) * np.sqrt(length))
        violation[i] = movement / norms[i] if norms[i] > 0 else 0.0
        if violation[i] <= tol or n_iter[i] >= max_iter:
            continue
        compute_gram(size, members, dictionary, atoms, gram)
        target = max(_INNER_TOL * tol, rounding) * norms[i]
        at_rest = _descend(size, members, slope, codes, gram, squared_norms, alpha, gamma, positive, target)
        if at_rest:  # what violates has no room, or is rounding
            continue
        kept = 0
        for p in range(size):
            support[i, kept], values[i, kept] = members[p], codes[p]
            kept += values[i, kept] != 0
        sizes[i] = kept
        n_iter[i] += 1
        write_residual(X, i, kept, support, values, dictionary, residual)
        for k in range(X.shape[1]):
            rest[n_left, k] = residual[k]
        open_samples[n_left] = i
        n_left += 1
    return n_left


@njit(**FUSED)
def _largest_step(size, members, slope, codes, squared_norms, alpha, gamma, positive):
    """Return the farthest that one member alone would move the reconstruction."""
    farthest = 0.0
    for p in range(size):
        length = squared_norms[members[p]]
        if length > 0:
            step = _prox(codes[p] + slope[p] / length, length, alpha, gamma, positive) - codes[p]
            farthest = max(farthest, abs(step) * np.sqrt(length))
    return farthest


@njit(**FUSED)
def _descend(size, members, slope, codes, gram, squared_norms, alpha, gamma, positive, target):
    """Minimise over each member in turn until none moves the reconstruction by more than ``target``.

    Return whether that was so from the start.
    """
    for sweep in range(_MOST_SWEEPS):
        farthest = 0.0
        for p in range(size):
            length = squared_norms[members[p]]
            if length > 0:
                step = _prox(codes[p] + slope[p] / length, length, alpha, gamma, positive) - codes[p]
                if step != 0:
                    farthest = max(farthest, abs(step) * np.sqrt(length))
                    codes[p] += step
                    for q in range(size):
                        slope[q] -= step * gram[p, q]
        if farthest <= target:
            return sweep == 0
    return False
