"""The textbook proximal-gradient iterations, as fused numba passes.

ISTA (Daubechies et al., 2004) and FISTA (Beck and Teboulle, 2009), with the adaptive restart of O'Donoghue and Candes
(2015, gradient scheme) applied sample by sample: plain momentum overshoots, most of all on a coherent dictionary.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import scipy.sparse as sp
from numba import njit

from .._compiled import compiled
from .._lasso import duality_gap
from .._parallel import give_up_if_abandoned, map_chunks, single_threaded_blas
from .._proximal import prox_l1, prox_l1_positive
from ._prepared import PreparedDictionary, centred, check_penalty, prepare
from ._result import CodingResult

# While codes are sparse, iterating sample by sample on the Gram rows of their non-zeros beats products over many
# samples, if the Gram matrix stays in a core's cache. A step costs (non-zeros x components) there and (2 x features x
# components) as two products, which run several times faster.
_CACHED_GRAM_BYTES = 1 << 20
_SPARSE_BELOW = 0.5  # non-zeros per feature
_SWEEP = 10  # iterations between two looks at density and duality gap; the latter costs about one iteration itself
_CHUNK_ELEMENTS = 1 << 16  # codes of one chunk: small enough that a chunk's arrays stay in a core's cache
_CHUNK_SAMPLES = (64, 1024)  # but enough rows for a matrix product to be worth its call
_RETIRE_SHARE = 0.25  # share of finished samples at which a chunk is compacted


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
        Data.
    dictionary : ndarray of shape (n_components, n_features) or PreparedDictionary
        Atoms in rows, of any norm; cast to the dtype of ``X``.
    alpha : float
        Penalty, positive.
    positive : bool, default=True
        Whether codes must be non-negative.
    max_iter : int, default=1000
        Most iterations per sample.
    tol : float, default=1e-4
        Bound on the relative duality gap of each sample. With 0, exactly ``max_iter`` iterations are made. In float32
        gaps much below 1e-6 (with long, coherent atoms 1e-4) are out of reach: a sample that no longer moves is
        returned with the gap it has.
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
        Codes, iterations and relative duality gap of each sample.

    Raises
    ------
    TypeError
        If ``X`` is not float32 or float64.
    ValueError
        If ``X`` and ``dictionary`` differ in their number of features, ``codes_init`` has another shape, ``dictionary``
        is not finite, ``alpha`` not positive or ``tol`` negative.
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
    restart: bool = True,
    offset: np.ndarray | None = None,
    sparse_output: bool = False,
    n_jobs: int | None = None,
) -> CodingResult:
    """Solve the L1 problem of every sample by ISTA, proximal gradient without momentum.

    Parameters are those of `fista`; ``restart`` has nothing to restart here and is accepted so that solvers can be
    swapped by name.
    """
    return _solve(
        X, dictionary, alpha, positive=positive, max_iter=max_iter, tol=tol, codes_init=codes_init, momentum=False,
        restart=False, offset=offset, sparse_output=sparse_output, n_jobs=n_jobs,
    )  # fmt: skip


def _solve(X, dictionary, alpha, *, tol, offset, codes_init, sparse_output, n_jobs, **options):
    prepared = prepare(dictionary, X, codes_init, "codes_init")
    check_penalty(alpha, tol)
    n_components = prepared.shape[0]
    dictionary = prepared.padded(X.dtype)[:n_components]
    chunk_size = int(np.clip(_CHUNK_ELEMENTS // n_components, *_CHUNK_SAMPLES))
    with single_threaded_blas():
        gram = dictionary @ dictionary.T if n_components**2 * X.itemsize <= _CACHED_GRAM_BYTES else None
        work = partial(
            _solve_slice, X=X, dictionary=dictionary, gram=gram, alpha=alpha, tol=tol, step=prepared.step(),
            exact_dictionary=prepared.padded(np.float64)[:n_components],
            offset=offset, codes_init=codes_init, sparse_output=sparse_output, **options,
        )  # fmt: skip
        return CodingResult.concatenate(map_chunks(work, X.shape[0], chunk_size, n_jobs))


def _solve_slice(part, *, X, offset, codes_init, sparse_output, **options):
    X = centred(X[part], offset)
    if codes_init is None:
        codes = np.zeros((X.shape[0], options["dictionary"].shape[0]), dtype=X.dtype)
    else:
        codes = codes_init[part].astype(X.dtype)
        codes = codes.toarray() if sp.issparse(codes) else codes
    result = solve_chunk(X, codes, **options)
    return result._replace(codes=sp.csr_array(result.codes)) if sparse_output else result


def solve_chunk(
    X, codes, *, dictionary, exact_dictionary, gram, alpha, step, positive, max_iter, tol, momentum, restart
):
    """Iterate on all samples of a chunk; samples leave soon after their certificate, in float64, holds."""
    n_samples = X.shape[0]
    out = CodingResult(codes.copy(), np.full(n_samples, max_iter), np.full(n_samples, np.inf))
    rows = np.arange(n_samples)
    point, pace = codes.copy(), np.ones(n_samples)
    step, threshold = codes.dtype.type(step), codes.dtype.type(alpha * step)
    still = np.zeros(n_samples, dtype=np.bool_)
    projected = X @ dictionary.T if gram is not None else None
    done = 0
    while True:
        if tol > 0:
            open_rows = ~_finished(X, codes, exact_dictionary, alpha, positive, tol, still, rows, done, out)
            if not open_rows.any():
                return out
            if np.count_nonzero(open_rows) <= (1 - _RETIRE_SHARE) * len(rows):
                rows, X, codes = rows[open_rows], X[open_rows], codes[open_rows]
                point, pace, still = point[open_rows], pace[open_rows], still[open_rows]
                projected = projected[open_rows] if gram is not None else None
        if done == max_iter:
            break
        give_up_if_abandoned()
        n_steps = min(_SWEEP, max_iter - done)
        options = (codes, point, pace, still, step, threshold, positive, momentum, restart, n_steps)
        if gram is not None and np.count_nonzero(point) < _SPARSE_BELOW * X.size:
            _sweep_on_gram(projected, gram, *options)
        else:
            _sweep_by_products(X, dictionary, *options)
        done += n_steps

    left = np.isinf(out.dual_gap[rows])
    out.codes[rows[left]] = codes[left]
    out.dual_gap[rows[left]] = duality_gap(X[left], codes[left], exact_dictionary, alpha, positive)
    return out


def _finished(X, codes, dictionary, alpha, positive, tol, still, rows, iteration, out):
    """Record in ``out`` the samples with a gap of at most ``tol``, or at rest; return the mask of all that are done."""
    done = np.isfinite(out.dual_gap[rows])
    gap = duality_gap(X, codes, dictionary, alpha, positive)
    fresh = ~done & ((gap <= tol) | still)  # at rest above tol: the precision of the dtype is exhausted
    out.codes[rows[fresh]] = codes[fresh]
    out.n_iter[rows[fresh]] = iteration
    out.dual_gap[rows[fresh]] = gap[fresh]
    return done | fresh


def _sweep_by_products(X, dictionary, codes, point, pace, still, step, threshold, positive, momentum, restart, n_steps):
    """Make ``n_steps`` iterations on all rows at once, two matrix products each, in place."""
    rest, slope = np.empty_like(X), np.empty_like(codes)
    for _ in range(n_steps):
        np.matmul(point, dictionary, out=rest)
        np.subtract(X, rest, out=rest)
        np.matmul(rest, dictionary.T, out=slope)
        _proximal_steps(codes, point, slope, pace, still, step, threshold, positive, momentum, restart)


# Reassociation lets the compiler vectorise sums; it changes the last bits of an iterate, and never a certificate, which
# is computed elsewhere from the codes as they are.
_FUSED = {"fastmath": {"contract", "reassoc"}}


@compiled(**_FUSED)
def _proximal_steps(codes, point, slope, pace, still, step, threshold, positive, momentum, restart):
    """Make one iteration for each row, given the correlation of its residual at ``point``, in place."""
    new = np.empty(codes.shape[1], codes.dtype)
    for i in range(codes.shape[0]):
        moved = _proximal_step(codes, point, i, slope, i, new, pace, step, threshold, positive, momentum, restart)
        still[i] = moved == 0


@compiled(**_FUSED)
def _sweep_on_gram(projected, gram, codes, point, pace, still, step, threshold, positive, momentum, restart, n_steps):
    """Make ``n_steps`` iterations row by row, with the Gram rows of the non-zeros of ``point`` only, in place."""
    n_samples, n_components = codes.shape
    zero = codes.dtype.type(0)
    slope, new = np.empty((1, n_components), codes.dtype), np.empty(n_components, codes.dtype)
    active = np.empty(n_components, np.int64)
    for i in range(n_samples):
        for _ in range(n_steps):
            n_active = 0
            for j in range(n_components):
                slope[0, j] = projected[i, j]
            for j in range(n_components):
                active[n_active] = j
                n_active += point[i, j] != zero
            first = 0
            while first + 4 <= n_active:  # four rows a pass: the sum is loaded and stored once for all
                j0, j1, j2, j3 = active[first], active[first + 1], active[first + 2], active[first + 3]
                a0, a1, a2, a3 = point[i, j0], point[i, j1], point[i, j2], point[i, j3]
                for j in range(n_components):
                    slope[0, j] -= a0 * gram[j0, j] + a1 * gram[j1, j] + a2 * gram[j2, j] + a3 * gram[j3, j]
                first += 4
            for place in range(first, n_active):
                j0 = active[place]
                a0 = point[i, j0]
                for j in range(n_components):
                    slope[0, j] -= a0 * gram[j0, j]
            moved = _proximal_step(codes, point, i, slope, 0, new, pace, step, threshold, positive, momentum, restart)
            still[i] = moved == zero
            if still[i]:  # a fixed point: every further step would return the same bits
                break


# Inlined, and given whole arrays with a row number instead of rows: making a view costs as much as a step.
@njit(inline="always", **_FUSED)
def _proximal_step(codes, point, i, slope, i_slope, new, pace, step, threshold, positive, momentum, restart):
    """Move code ``i`` to ``prox(point + step * slope)``, its point beyond it by the momentum; return the movement."""
    n_components = codes.shape[1]
    uphill, moved, beta = codes.dtype.type(0), codes.dtype.type(0), codes.dtype.type(0)
    if positive:
        for j in range(n_components):
            new[j] = prox_l1_positive(point[i, j] + step * slope[i_slope, j], threshold)
    else:
        for j in range(n_components):
            new[j] = prox_l1(point[i, j] + step * slope[i_slope, j], threshold)
    for j in range(n_components):
        ahead = new[j] - codes[i, j]
        back = point[i, j] - new[j]
        uphill += back * ahead
        moved += abs(back) + abs(ahead)
    if momentum:
        if restart and uphill > 0:
            pace[i] = 1.0
        faster = (1.0 + np.sqrt(1.0 + 4.0 * pace[i] * pace[i])) / 2.0
        beta = codes.dtype.type((pace[i] - 1.0) / faster)
        pace[i] = faster
    for j in range(n_components):
        point[i, j] = new[j] + beta * (new[j] - codes[i, j])
        codes[i, j] = new[j]
    return moved
