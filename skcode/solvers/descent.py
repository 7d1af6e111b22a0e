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

from .._lasso import half_squared_norms
from .._parallel import give_up_if_abandoned, kept_by_thread, map_chunks, single_threaded_blas
from ._descent_round import SAMPLE, Atoms, Block, Law, Problem, Room, Rules, make_round
from ._prepared import PreparedDictionary, centred, check_options, check_penalty, prepare, start_codes
from ._result import OPEN, CodingResult
from ._sparse_rows import as_csr, start_from
from .working_set import working_set

_BLOCK_SAMPLES = 256  # 128 to 512 are as fast (n=100 and 1000), 64 takes up to 1.4 times, 32 up to 1.8 times as long
_LARGEST_SET = 1024  # atoms of one sample; a sweep over as many costs a million multiplications
# Relative duality gap of the L1 codes to start from: .1 to 1e-4 take equal times, .3 up to four times as long.
_LOOSE = 1e-2
# Multiplications that coordinate descent may take for one sample, per entry of the dictionary, and at least: under a
# second. Sparse samples take thousands of them.
_WORK, _LEAST_WORK = 100, 100_000_000


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
    steps = np.divide(1.0, squared_norms, where=squared_norms > 0, out=np.zeros_like(squared_norms))
    unit = float(np.finfo(dtype).eps)
    rules = Rules(
        tol=float(tol),
        max_iter=int(max_iter),
        max_work=max(_WORK * int(np.prod(prepared.shape)), _LEAST_WORK),
        longest=float(np.sqrt(squared_norms.max())),
        unit=unit,
        rounding=unit * (2 + float(np.sqrt(prepared.shape[1]))),
    )
    thresholds = penalty.threshold(squared_norms).astype(dtype)
    return Problem(prepared.padded(dtype), exact, thresholds, Law(penalty, bool(positive), steps), rules)


def _solve_block(part, *, X, offset, codes_init, problem, n_components):
    X = centred(X[part], offset)
    n_members = min(n_components, _LARGEST_SET)
    block = _start(X, start_codes(codes_init[part], X.dtype), problem, n_members)
    room = _room(*problem.dictionary.shape, n_members, X.dtype)
    correlations = np.empty((len(X), len(problem.dictionary)), X.dtype)
    n_open = len(X)
    while n_open:
        give_up_if_abandoned()
        np.matmul(block.rest[:n_open], problem.dictionary.T, out=correlations[:n_open])
        n_open = make_round(n_open, correlations, problem, block, room)
    samples = block.samples
    codes = as_csr(block.support, block.values, samples["size"], n_components)
    return CodingResult(
        codes, samples["n_iter"].copy(), None, samples["status"].astype(np.int8), samples["violation"].copy()
    )


def _start(X, init, problem, n_members):
    """Return the block of samples, each at the codes given for it, or at zero where they explain nothing."""
    n_samples, energy = len(X), half_squared_norms(X)
    samples = np.zeros(n_samples, SAMPLE)
    samples["norm"], samples["status"] = np.sqrt(2 * energy), OPEN
    support, values = np.empty((n_samples, n_members), np.uintp), np.empty((n_samples, n_members), X.dtype)
    block = Block(
        X, samples, support, values, np.arange(n_samples), exact_rest=np.empty(X.shape), rest=np.empty_like(X)
    )
    init = _largest(init, n_members)
    sizes, rest_energy = np.zeros(n_samples, np.int64), np.empty(n_samples)
    start_from(
        init.indptr, init.indices, init.data, problem.law.positive, X, problem.exact, problem.law.steps, support,
        values, sizes, block.exact_rest, rest_energy, np.empty(X.shape[1]),
    )  # fmt: skip
    worse = ~(rest_energy <= energy)
    sizes[worse], block.exact_rest[worse] = 0, X[worse]
    samples["size"], block.rest[:] = sizes, block.exact_rest
    return block


@kept_by_thread
def _room(n_padded, n_features, n_members, dtype):
    return Room(
        members=Atoms(np.empty(n_members, np.uintp), np.empty(n_members), np.empty(n_members)),
        found=Atoms(np.empty(n_padded + 1, np.uintp), np.zeros(n_padded + 1), np.empty(n_padded + 1)),
        copies=np.empty((n_members, n_features), dtype),
        gram=np.empty((n_members, n_members), dtype),
        residual=np.empty(n_features),
    )


def _largest(codes, most):
    """Return codes with all but the ``most`` largest of each sample set to zero."""
    if codes.shape[1] <= most:
        return codes
    codes = codes.copy()
    for i in np.flatnonzero(np.diff(codes.indptr) > most):
        row = codes.data[codes.indptr[i] : codes.indptr[i + 1]]
        row[np.argsort(-np.abs(row), kind="stable")[most:]] = 0
    return codes
