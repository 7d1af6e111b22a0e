"""The textbook proximal-gradient iterations, as fused numba passes.

ISTA (Daubechies et al., 2004) and FISTA (Beck and Teboulle, 2009), with the adaptive restart of O'Donoghue and Candes
(2015, gradient scheme) applied sample by sample: plain momentum overshoots, most of all on a coherent dictionary.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numba import njit

from .._compiled import ALLOCATES, FUSED, compiled
from .._lasso import duality_gap
from .._parallel import give_up_if_abandoned, map_chunks, single_threaded_blas
from .._rows import subtract_rows
from ..penalties import prox_l1, prox_l1_positive
from ._prepared import PreparedDictionary, centred, check_options, prepare
from ._result import CodingResult, Status

# While codes are sparse, iterating sample by sample on the Gram rows of their non-zeros beats products over many
# samples, if the Gram matrix stays in a core's cache. A step costs (non-zeros x components) there and (2 x features x
# components) as two products, which run several times faster.
_GRAM_BYTES_OF_A_CORE = 1 << 20
_SPARSE_BELOW = 0.5  # non-zeros per feature
_SWEEP = 10  # iterations between two looks at density and duality gap; the latter costs about one iteration itself
_CHUNK_ELEMENTS = 1 << 16  # codes of one chunk: small enough that a chunk's arrays stay in a core's cache
_CHUNK_SAMPLES = (64, 1024)  # but enough rows for a matrix product to be worth its call


class Problem(NamedTuple):
    """What all samples have in common, and how to iterate."""

    dictionary: np.ndarray
    exact: np.ndarray  # the atoms that certificates speak of
    gram: np.ndarray  # of shape (0, 0) if products are made instead
    alpha: float
    positive: bool
    step: float
    momentum: bool
    restart: bool
    max_iter: int
    tol: float


class _Chunk(NamedTuple):
    """The samples that are still iterated."""

    rows: np.ndarray  # their numbers
    X: np.ndarray
    projected: np.ndarray  # correlations of X with the atoms, if there is a Gram matrix
    codes: np.ndarray
    point: np.ndarray  # where the next step starts: beyond the codes, by the momentum
    pace: np.ndarray  # of the momentum
    still: np.ndarray  # whether the last step moved nothing


def fista(
    X: np.ndarray,
    dictionary: np.ndarray | PreparedDictionary,
    alpha: float,
    *,
    positive: bool = True,
    max_iter: int = 1000,
    tol: float = 1e-4,
    codes_init: np.ndarray | sp.csr_array | None = None,
    restart: bool = True,
    offset: np.ndarray | None = None,
    sparse_output: bool = False,
    n_jobs: int | None = None,
) -> CodingResult:
    """Solve the L1 problem of every sample by FISTA.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), float32 or float64
        Data. Samples with NaN, and those whose squares overflow or vanish in float64, are returned with a gap of NaN.
    dictionary : ndarray of shape (n_components, n_features) or PreparedDictionary
        Atoms in rows, of any norm; cast to the dtype of ``X``. If all are zero, so are all codes.
    alpha : float
        Penalty, positive.
    positive : bool, default=True
        Whether codes must be non-negative.
    max_iter : int, default=1000
        Most iterations per sample.
    tol : float, default=1e-4
        Bound on the relative duality gap of each sample. With 0, exactly ``max_iter`` iterations are made. In float32
        gaps much below 1e-6 (with long, coherent atoms 1e-4) are out of reach: a sample that no longer moves is
        returned with the gap it has, and the status ``AT_REST``.
    codes_init : {ndarray, CSR array} of shape (n_samples, n_components), optional
        Where to start; zero by default.
    restart : bool, default=True
        Whether to forget the momentum of a sample when it points uphill. ``False`` is the original method.
    offset : ndarray of shape (n_features,), optional
        Subtracted from every sample, chunk by chunk.
    sparse_output : bool, default=False
        Whether to return the codes as CSR, made chunk by chunk.
    n_jobs : int, optional
        Threads (or workers of the active joblib backend). The codes do not depend on it.

    Returns
    -------
    result : CodingResult
        Codes, iterations, relative duality gap and status of each sample.

    Raises
    ------
    TypeError
        If ``X`` is not float32 or float64, or another argument is of the wrong type.
    ValueError
        If arrays do not fit each other or are not finite, or a number is out of bounds.
    """
    return _solve(
        X, dictionary, alpha, positive=positive, max_iter=max_iter, tol=tol, codes_init=codes_init, momentum=True,
        restart=restart, offset=offset, sparse_output=sparse_output, n_jobs=n_jobs,
    )  # fmt: skip


def ista(
    X: np.ndarray,
    dictionary: np.ndarray | PreparedDictionary,
    alpha: float,
    *,
    positive: bool = True,
    max_iter: int = 1000,
    tol: float = 1e-4,
    codes_init: np.ndarray | sp.csr_array | None = None,
    offset: np.ndarray | None = None,
    sparse_output: bool = False,
    n_jobs: int | None = None,
) -> CodingResult:
    """Solve the L1 problem of every sample by ISTA, proximal gradient without momentum.

    Parameters and result are those of `fista`; without momentum there is nothing to restart.
    """
    return _solve(
        X, dictionary, alpha, positive=positive, max_iter=max_iter, tol=tol, codes_init=codes_init, momentum=False,
        restart=False, offset=offset, sparse_output=sparse_output, n_jobs=n_jobs,
    )  # fmt: skip


def _solve(
    X, dictionary, alpha, *, positive, max_iter, tol, codes_init, momentum, restart, offset, sparse_output, n_jobs
):
    prepared = prepare(dictionary, X, codes_init, "codes_init", offset=offset)
    check_options(
        alpha=alpha, tol=tol, max_iter=max_iter, n_jobs=n_jobs, positive=positive, restart=restart,
        sparse_output=sparse_output,
    )  # fmt: skip
    n_components = prepared.shape[0]
    chunk_size = int(np.clip(_CHUNK_ELEMENTS // n_components, *_CHUNK_SAMPLES))
    with single_threaded_blas():
        problem = make_problem(
            prepared, X.dtype, alpha, positive=positive, max_iter=max_iter, tol=tol, momentum=momentum, restart=restart
        )
        if n_components**2 * X.itemsize <= _GRAM_BYTES_OF_A_CORE:
            problem = problem._replace(gram=problem.dictionary @ problem.dictionary.T)
        work = partial(
            _solve_slice, X=X, offset=offset, codes_init=codes_init, problem=problem, sparse_output=sparse_output
        )
        return CodingResult.concatenate(map_chunks(work, X.shape[0], chunk_size, n_jobs))


def make_problem(prepared, dtype, alpha, *, positive, max_iter, tol, momentum=True, restart=True) -> Problem:
    """Return what `solve_chunk` takes, without a Gram matrix."""
    n_components = prepared.shape[0]
    return Problem(
        dictionary=prepared.padded(dtype)[:n_components],
        exact=prepared.padded(np.float64)[:n_components],
        gram=np.empty((0, 0), dtype),
        alpha=float(alpha),
        positive=bool(positive),
        step=prepared.step(),
        momentum=bool(momentum),
        restart=bool(restart),
        max_iter=int(max_iter),
        tol=float(tol),
    )


def _solve_slice(part, *, X, offset, codes_init, problem, sparse_output):
    X = centred(X[part], offset)
    if codes_init is None:
        codes = np.zeros((len(X), len(problem.dictionary)), X.dtype)
    else:
        codes = codes_init[part]
        codes = np.array(codes.toarray() if sp.issparse(codes) else codes, X.dtype, order="C")
    result = solve_chunk(X, codes, problem)
    return result._replace(codes=sp.csr_array(result.codes)) if sparse_output else result


def solve_chunk(X: np.ndarray, codes: np.ndarray, problem: Problem) -> CodingResult:
    """Iterate on all samples of a chunk, from ``codes``, which are overwritten.

    A sample leaves when its certificate, in float64, holds, or when it is at rest.
    """
    n_samples = len(X)
    out = CodingResult(
        np.empty_like(codes), np.empty(n_samples, np.int64), np.empty(n_samples), np.empty(n_samples, np.int8)
    )
    chunk = _Chunk(
        rows=np.arange(n_samples),
        X=X,
        projected=X @ problem.dictionary.T if problem.gram.size else X[:, :0],
        codes=codes,
        point=codes.copy(),
        pace=np.ones(n_samples),
        still=np.zeros(n_samples, np.bool_),
    )
    done = 0
    while True:
        last = done == problem.max_iter
        if last or problem.tol > 0:
            chunk = _let_go(chunk, done, last, problem, out)
            if last or not chunk.rows.size:
                return out
        give_up_if_abandoned()
        n_steps = min(_SWEEP, problem.max_iter - done)
        if problem.gram.size and np.count_nonzero(chunk.point) < _SPARSE_BELOW * chunk.X.size:
            _sweep_on_gram(n_steps, problem, chunk)
        else:
            _sweep_by_products(n_steps, problem, chunk)
        done += n_steps


def _let_go(chunk, done, last, problem, out):
    """Record in ``out`` the samples that are done; return the others."""
    gap = duality_gap(chunk.X, chunk.codes, problem.exact, problem.alpha, problem.positive)
    leaving = ~(gap > problem.tol) | chunk.still | last  # a gap of NaN gets no better
    if not leaving.any():
        return chunk
    rows = chunk.rows[leaving]
    out.codes[rows] = chunk.codes[leaving]
    out.n_iter[rows] = done
    out.dual_gap[rows] = gap[leaving]
    uncertified = np.where(chunk.still | np.isnan(gap), Status.AT_REST, Status.OUT_OF_ITERATIONS)
    out.status[rows] = np.where(gap <= problem.tol, Status.CERTIFIED, uncertified)[leaving]
    return _Chunk(*(array[~leaving] for array in chunk))


def _sweep_by_products(n_steps, problem, chunk):
    """Make ``n_steps`` iterations on all samples at once, two matrix products each, in place."""
    rest, slope = np.empty_like(chunk.X), np.empty_like(chunk.codes)
    for _ in range(n_steps):
        np.matmul(chunk.point, problem.dictionary, out=rest)
        np.subtract(chunk.X, rest, out=rest)
        np.matmul(rest, problem.dictionary.T, out=slope)
        _proximal_steps(slope, problem, chunk)


@compiled(**FUSED | ALLOCATES)
def _proximal_steps(slope, problem, chunk):
    """Make one iteration for each sample, given the correlation of its residual at ``point``, in place."""
    codes, point, pace, still = chunk.codes, chunk.point, chunk.pace, chunk.still
    new = np.empty(codes.shape[1], codes.dtype)
    for i in range(codes.shape[0]):
        moved = _proximal_step(i, codes, point, pace, slope, i, new, problem)
        still[i] = moved == 0


@compiled(**FUSED | ALLOCATES)
def _sweep_on_gram(n_steps, problem, chunk):
    """Make ``n_steps`` iterations sample by sample, with the Gram rows of the non-zeros of ``point``, in place."""
    gram, projected, codes, point = problem.gram, chunk.projected, chunk.codes, chunk.point
    pace, still = chunk.pace, chunk.still
    n_samples, n_components = codes.shape
    zero = codes.dtype.type(0)
    slope, new = np.empty((1, n_components), codes.dtype), np.empty(n_components, codes.dtype)
    row = slope[0]
    active, weights = np.empty(n_components, np.int64), np.empty(n_components, codes.dtype)
    for i in range(n_samples):
        for _ in range(n_steps):
            for j in range(n_components):
                row[j] = projected[i, j]
            n_active = 0
            for j in range(n_components):
                active[n_active], weights[n_active] = j, point[i, j]
                n_active += point[i, j] != zero
            subtract_rows(row, n_active, active, weights, gram)
            still[i] = _proximal_step(i, codes, point, pace, slope, 0, new, problem) == zero
            if still[i]:  # a fixed point: every further step would return the same bits
                break


# Inlined, and given whole arrays with row numbers instead of rows: making a view costs as much as a step.
@njit(inline="always", **FUSED)
def _proximal_step(i, codes, point, pace, slope, i_slope, new, problem):
    """Move code ``i`` to ``prox(point + step * slope)``, its point beyond it by the momentum; return the movement."""
    n_components, precision = codes.shape[1], codes.dtype.type
    step, threshold = precision(problem.step), precision(problem.alpha * problem.step)
    if problem.positive:
        for j in range(n_components):
            new[j] = prox_l1_positive(point[i, j] + step * slope[i_slope, j], threshold)
    else:
        for j in range(n_components):
            new[j] = prox_l1(point[i, j] + step * slope[i_slope, j], threshold)
    uphill, moved, beta = precision(0), precision(0), precision(0)
    for j in range(n_components):
        ahead = new[j] - codes[i, j]
        back = point[i, j] - new[j]
        uphill += back * ahead
        moved += abs(back) + abs(ahead)
    if problem.momentum:
        if problem.restart and uphill > 0:
            pace[i] = 1.0
        faster = (1.0 + np.sqrt(1.0 + 4.0 * pace[i] * pace[i])) / 2.0
        beta = precision((pace[i] - 1.0) / faster)
        pace[i] = faster
    for j in range(n_components):
        point[i, j] = new[j] + beta * (new[j] - codes[i, j])
        codes[i, j] = new[j]
    return moved
