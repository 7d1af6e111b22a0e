"""Coordinate descent, for any penalty that has a prox: a local solution near that of the L1 problem.

Samples are taken in blocks. One matrix product gives the correlation of every atom with every residual of a block. Then
each sample by itself looks up the atoms whose codes would leave zero, and minimises over the code of each of these, and
of each that it uses, in turn. Without convexity there is no duality gap. The certificate is that codes are stationary:
no code would move by itself.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numba import njit

from .._compiled import FUSED, IN_ORDER, compiled
from .._lasso import half_squared_norms
from .._parallel import give_up_if_abandoned, map_chunks, single_threaded_blas
from .._rows import correlate
from ._prepared import TILE, PreparedDictionary, centred, check_options, check_penalty, prepare, start_codes
from ._result import CodingResult, Status
from ._sparse_rows import as_csr, compute_gram, start_from, write_residual
from .working_set import working_set

_BLOCK_SAMPLES = 256
_LARGEST_SET = 1024  # atoms of one sample; a sweep over as many costs a million multiplications
_LOOSE = 1e-2  # relative duality gap of the L1 codes to start from
_MOST_SWEEPS = 500
# Multiplications that coordinate descent may take for one sample, per entry of the dictionary, and at least: under a
# second. Sparse samples take thousands of them.
_WORK, _LEAST_WORK = 100, 100_000_000
_BLAS_FASTER = 16  # times, than the sweeps: what a multiplication for the Gram matrix counts
_INNER_TOL = 0.3  # movement on the atoms of a round, as a share of tol

# Status values, as numbers that kernels take in as constants.
_CERTIFIED, _AT_REST = int(Status.CERTIFIED), int(Status.AT_REST)
_OUT_OF_ITERATIONS, _TOO_DENSE = int(Status.OUT_OF_ITERATIONS), int(Status.TOO_DENSE)


class _Problem(NamedTuple):
    """What all samples have in common."""

    penalty: NamedTuple
    positive: bool
    max_iter: int
    max_work: int  # multiplications
    tol: float
    unit: float  # in the last place
    rounding: float  # bound on the error of the correlation of a unit atom with a vector of norm 1
    dictionary: np.ndarray  # padded, in the dtype of the samples
    exact: np.ndarray  # the atoms that certificates speak of
    steps: np.ndarray  # 1 / ||atom||^2, and 0 for atoms of zeros
    thresholds: np.ndarray  # correlations up to which a code of zero stays zero
    longest: float  # norm of an atom


class _Block(NamedTuple):
    """The state of a block of samples."""

    X: np.ndarray
    norms: np.ndarray  # NaN where they cannot be told
    open_samples: np.ndarray
    exact_rest: np.ndarray  # residuals of the open samples, in their order,
    rest: np.ndarray  # and in the dtype of the samples
    support: np.ndarray
    values: np.ndarray
    sizes: np.ndarray  # of the supports
    n_iter: np.ndarray
    work: np.ndarray  # multiplications
    violation: np.ndarray
    status: np.ndarray


class _Scratch(NamedTuple):
    """Room for the work on one sample."""

    members: np.ndarray  # atoms that it uses or may use in this round,
    codes: np.ndarray
    slopes: np.ndarray  # and their correlations with the residual
    found: np.ndarray  # atoms whose codes would leave zero,
    pull: np.ndarray  # and their correlations with the residual
    zeros: np.ndarray  # the codes of those
    atoms: np.ndarray
    gram: np.ndarray
    residual: np.ndarray


def coordinate_descent(
    X: np.ndarray,
    dictionary: np.ndarray | PreparedDictionary,
    penalty: NamedTuple,
    *,
    positive: bool = True,
    max_iter: int = 100,
    tol: float = 1e-4,
    codes_init: np.ndarray | sp.csr_array | None = None,
    offset: np.ndarray | None = None,
    sparse_output: bool = False,
    n_jobs: int | None = None,
) -> CodingResult:
    """Find a stationary point of the problem with any penalty of `skcode.penalties`, for every sample.

    Per sample, ``1/2 ||x - z D||^2 + sum_j penalty(z_j)`` falls with every step, from the start on.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), float32 or float64
        Data. Samples with NaN, and those whose squares overflow or vanish in float64, are returned with a violation of
        NaN.
    dictionary : ndarray of shape (n_components, n_features) or PreparedDictionary
        Atoms in rows, of any norm. If all are zero, so are all codes.
    penalty : NamedTuple
        Such as ``skcode.penalties.MCP(alpha=0.1, gamma=3.0)``.
    positive : bool, default=True
        Whether codes must be non-negative.
    max_iter : int, default=100
        Most rounds per sample: correlations with all atoms, and coordinate descent on those that it uses or that
        violate. It bounds the rounds for the L1 codes to start from, too.
    tol : float, default=1e-4
        Bound on the violation of each sample; with 0, samples go on until they are at rest.
    codes_init : {ndarray, CSR array} of shape (n_samples, n_components), optional
        Where to start; by default the L1 codes. Of more than 1,024 codes of a sample the largest are kept. Codes that
        leave a larger residual than zero does are replaced by zero.
    offset : ndarray of shape (n_features,), optional
        Subtracted from every sample.
    sparse_output : bool, default=False
        Whether to return the codes as CSR.
    n_jobs : int, optional
        Threads, or workers of the active joblib backend.

    Returns
    -------
    result : CodingResult
        Codes, rounds, and in place of the duality gap the ``violation``: the farthest that a step of one code alone
        would move the reconstruction, relative to the norm of the sample. A sample that needs more than 1,024 atoms, or
        too much work (in multiplications, 100 times the entries of the dictionary, or 100 million if that is more), is
        returned with the status ``TOO_DENSE``.

    Raises
    ------
    TypeError
        If ``X`` is not float32 or float64, or another argument is of the wrong type.
    ValueError
        If arrays do not fit each other or are not finite, or a number is out of bounds.
    """
    prepared = prepare(dictionary, X, codes_init, "codes_init", offset=offset)
    penalty = check_penalty(penalty)
    check_options(tol=tol, max_iter=max_iter, n_jobs=n_jobs, positive=positive, sparse_output=sparse_output)
    with single_threaded_blas():
        if codes_init is None:
            codes_init = working_set(
                X, prepared, penalty.alpha, positive=positive, max_iter=max_iter, tol=_LOOSE, offset=offset,
                sparse_output=True, n_jobs=n_jobs,
            ).codes  # fmt: skip
        problem = _problem(prepared, X.dtype, penalty, positive, max_iter, tol)
        work = partial(
            _solve_block, X=X, offset=offset, codes_init=codes_init, problem=problem, n_components=prepared.shape[0]
        )
        result = CodingResult.concatenate(map_chunks(work, X.shape[0], _BLOCK_SAMPLES, n_jobs))
    return result if sparse_output else result._replace(codes=result.codes.toarray())


def _problem(prepared, dtype, penalty, positive, max_iter, tol):
    exact = prepared.exact(dtype)
    squared_norms = prepared.squared_norms(exact.dtype)
    used = squared_norms > 0
    unit = float(np.finfo(dtype).eps)
    return _Problem(
        penalty=penalty,
        positive=bool(positive),
        max_iter=int(max_iter),
        max_work=max(_WORK * int(np.prod(prepared.shape)), _LEAST_WORK),
        tol=float(tol),
        unit=unit,
        rounding=unit * (2 + float(np.sqrt(prepared.shape[1]))),
        dictionary=prepared.padded(dtype),
        exact=exact,
        steps=np.divide(1.0, squared_norms, where=used, out=np.zeros_like(squared_norms)),
        thresholds=penalty.threshold(squared_norms).astype(dtype),
        longest=float(np.sqrt(squared_norms.max())),
    )


def _solve_block(part, *, X, offset, codes_init, problem, n_components):
    X = centred(X[part], offset)
    n_samples, n_padded = len(X), len(problem.dictionary)
    capacity = min(n_components, _LARGEST_SET)
    block = _start(X, start_codes(codes_init[part], X.dtype), problem, capacity)
    scratch = _Scratch(
        members=np.empty(capacity, np.uintp),
        codes=np.empty(capacity),
        slopes=np.empty(capacity),
        found=np.empty(n_padded + 1, np.uintp),
        pull=np.empty(n_padded + 1),
        zeros=np.zeros(n_padded + 1),
        atoms=np.empty((capacity, X.shape[1]), X.dtype),
        gram=np.empty((capacity, capacity), X.dtype),
        residual=np.empty(X.shape[1]),
    )
    correlation = np.empty((n_samples, n_padded), X.dtype)
    n_open = n_samples
    while n_open:
        give_up_if_abandoned()
        np.matmul(block.rest[:n_open], problem.dictionary.T, out=correlation[:n_open])
        n_open = _make_round(n_open, correlation, problem, block, scratch)
    codes = as_csr(block.support, block.values, block.sizes, n_components)
    return CodingResult(codes, block.n_iter, None, block.status, block.violation)


def _start(X, init, problem, capacity):
    """Return the block of samples, each at the codes given for it, or at zero where they explain nothing."""
    n_samples, half = len(X), half_squared_norms(X)
    block = _Block(
        X=X,
        norms=np.sqrt(2 * half),
        open_samples=np.arange(n_samples),
        exact_rest=np.empty(X.shape),
        rest=np.empty_like(X),
        support=np.empty((n_samples, capacity), np.int32),
        values=np.empty((n_samples, capacity), X.dtype),
        sizes=np.zeros(n_samples, np.int64),
        n_iter=np.zeros(n_samples, np.int64),
        work=np.zeros(n_samples, np.int64),
        violation=np.empty(n_samples),
        status=np.empty(n_samples, np.int8),
    )
    init = _largest(init, capacity)
    rest_energy = np.empty(n_samples)
    start_from(
        init.indptr, init.indices, init.data, problem.positive, X, problem.exact, problem.steps, block.support,
        block.values, block.sizes, block.exact_rest, rest_energy, np.empty(X.shape[1]),
    )  # fmt: skip
    worse = ~(rest_energy <= half)
    block.sizes[worse] = 0
    block.exact_rest[worse] = X[worse]
    block.rest[:] = block.exact_rest
    return block


def _largest(codes, most):
    """Return codes with all but the ``most`` largest of each sample set to zero."""
    if codes.shape[1] <= most:
        return codes
    codes = codes.copy()
    for i in np.flatnonzero(np.diff(codes.indptr) > most):
        row = codes.data[codes.indptr[i] : codes.indptr[i + 1]]
        row[np.argsort(-np.abs(row), kind="stable")[most:]] = 0
    return codes


@compiled(**FUSED)
def _make_round(n_open, correlation, problem, block, scratch):
    """Close the samples that are done, and make a round for the others.

    Return how many are left open; their residuals are then at the top of ``rest``.
    """
    X, norms, open_samples, exact_rest, rest, support, values, sizes, n_iter, work, violation, status = block
    members, codes, slopes, found, pull, zeros, atoms, gram, residual = scratch
    penalty, positive, steps, exact = problem.penalty, problem.positive, problem.steps, problem.exact
    thresholds, dictionary = problem.thresholds, problem.dictionary
    capacity = members.shape[0]
    near = 2 * max(problem.tol, problem.rounding)  # where rounding of the correlations may decide
    n_left = 0
    for row in range(n_open):
        i = open_samples[row]
        size = sizes[i]
        for p in range(size):
            j = support[i, p]
            members[p], codes[p], slopes[p] = j, values[i, p], correlation[row, j]
            correlation[row, j] = 0  # not to be found again
        n_found = _find(correlation, row, thresholds, 0.0, positive, found, pull)
        farthest = _farthest_step(size, members, codes, slopes, steps, penalty, positive)
        farthest = max(farthest, _farthest_step(n_found, found, zeros, pull, steps, penalty, positive))

        tired = work[i] >= problem.max_work
        last, no_room = tired or n_iter[i] >= problem.max_iter, size + n_found > capacity
        if last or no_room or not farthest > near * norms[i]:  # the certificate, in float64
            _correlate(size, members, exact, exact_rest[row], slopes)
            margin = problem.rounding * problem.longest * norms[i]
            n_found = _find(correlation, row, thresholds, margin, positive, found, pull)
            _correlate(n_found, found, exact, exact_rest[row], pull)
            n_found = _keep_violators(n_found, found, pull, steps, penalty, positive)
            farthest = _farthest_step(size, members, codes, slopes, steps, penalty, positive)
            farthest = max(farthest, _farthest_step(n_found, found, zeros, pull, steps, penalty, positive))
        violation[i] = farthest / norms[i] if norms[i] != 0 else 0.0
        if not violation[i] > problem.tol or last:
            if violation[i] <= problem.tol:
                status[i] = _CERTIFIED
            elif last:
                status[i] = _TOO_DENSE if tired else _OUT_OF_ITERATIONS
            else:  # NaN
                status[i] = _AT_REST
            continue

        no_room = size + n_found > capacity
        n_found = _keep_strongest(n_found, capacity - size, farthest, found, pull, steps, penalty, positive)
        for p in range(n_found):
            members[size], codes[size], slopes[size] = found[p], 0.0, pull[p]
            size += 1
        compute_gram(size, members, dictionary, atoms, gram)
        target = max(_INNER_TOL * problem.tol, 2 * problem.unit) * norms[i]
        most = problem.max_work - work[i]
        spent = _descend(size, members, codes, slopes, gram, steps, penalty, positive, target, most)
        if spent == 0:
            status[i] = _TOO_DENSE if no_room else _AT_REST
            continue
        kept = 0
        for p in range(size):
            support[i, kept], values[i, kept] = members[p], codes[p]
            kept += values[i, kept] != 0
        sizes[i] = kept
        n_iter[i] += 1
        work[i] += spent + size * size * X.shape[1] // _BLAS_FASTER
        write_residual(X, i, kept, support[i], values[i], exact, residual)
        for k in range(X.shape[1]):
            exact_rest[n_left, k] = rest[n_left, k] = residual[k]
        open_samples[n_left] = i
        n_left += 1
    return n_left


@njit(**FUSED)
def _find(correlation, row, thresholds, margin, positive, found, pull):
    """List the atoms with a correlation above their threshold less ``margin``, and above 0; return their number."""
    zero, margin = correlation.dtype.type(0), correlation.dtype.type(margin)
    count = np.uintp(0)
    for start in range(0, correlation.shape[1], TILE):
        hits = np.uint8(0)
        for k in range(TILE):  # most tiles have none, and this loop is vectorised
            height = correlation[row, start + k] if positive else abs(correlation[row, start + k])
            hits |= np.uint8((height > thresholds[start + k] - margin) & (height > zero))
        if hits:
            for k in range(TILE):
                height = correlation[row, start + k] if positive else abs(correlation[row, start + k])
                found[count] = start + k
                count += np.uintp((height > thresholds[start + k] - margin) & (height > zero))
    for p in range(count):
        pull[p] = correlation[row, found[p]]
    return np.intp(count)


@njit(**IN_ORDER)
def _correlate(count, atoms, dictionary, residual, slopes):
    """Write the correlations of some atoms with a residual, in float64."""
    for p in range(count):
        slopes[p] = correlate(atoms[p], dictionary, residual)


@njit(**FUSED)
def _farthest_step(count, atoms, codes, slopes, steps, penalty, positive):
    """Return the farthest that one of some codes alone would move the reconstruction."""
    farthest = 0.0
    for p in range(count):
        step = steps[atoms[p]]
        if step > 0:
            move = penalty.prox(codes[p] + slopes[p] * step, step, positive) - codes[p]
            farthest = max(farthest, abs(move) / np.sqrt(step))
    return farthest


@njit(**FUSED)
def _keep_violators(count, found, pull, steps, penalty, positive):
    """Drop the atoms whose codes would stay zero; return how many are left."""
    kept = 0
    for p in range(count):
        j, slope = found[p], pull[p]
        found[kept], pull[kept] = j, slope
        kept += penalty.prox(slope * steps[j], steps[j], positive) != 0
    return kept


@njit(**FUSED)
def _keep_strongest(count, most, farthest, found, pull, steps, penalty, positive):
    """Drop the atoms whose codes would move the reconstruction least, until at most ``most`` are left."""
    bar = 0.0
    while count > most:
        lower, bar = bar, 0.5 * (bar + farthest)
        if bar <= lower:  # they are equal
            return most
        kept = 0
        for p in range(count):
            j, slope = found[p], pull[p]
            found[kept], pull[kept] = j, slope
            kept += abs(penalty.prox(slope * steps[j], steps[j], positive)) >= bar * np.sqrt(steps[j])
        count = kept
    return count


@njit(**FUSED)
def _descend(size, members, codes, slopes, gram, steps, penalty, positive, target, most):
    """Minimise over each member in turn until none moves the reconstruction by more than ``target``.

    Return the work, in multiplications, which is at most a sweep above ``most``. It is 0 if no step of the first sweep
    was longer than ``target``: such codes are at rest.
    """
    work = 0
    for sweep in range(_MOST_SWEEPS):
        farthest = 0.0
        for p in range(size):
            step = steps[members[p]]
            if step > 0:
                move = penalty.prox(codes[p] + slopes[p] * step, step, positive) - codes[p]
                if move != 0:
                    farthest = max(farthest, abs(move) / np.sqrt(step))
                    codes[p] += move
                    work += size
                    for q in range(size):
                        slopes[q] -= move * gram[p, q]
        if farthest <= target:
            return work if sweep > 0 else 0
        if work >= most:
            break
    return work
