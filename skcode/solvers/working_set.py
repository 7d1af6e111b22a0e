"""Exact codes by a small problem per sample: a working set of atoms, grown by violators until the certificate holds.

A sample uses few atoms, and the L1 problem over the atoms that it may use is tiny. Samples are taken in blocks. One
matrix product gives the correlation of every atom with every residual of a block. Then each sample by itself looks up
the atoms that violate optimality, adds them to its working set, solves the problem on that set to high accuracy, and
leaves a new residual for the next product. Most samples are certified after three products.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.special import ndtri

from .._parallel import give_up_if_abandoned, map_chunks, single_threaded_blas
from ._prepared import TILE, PreparedDictionary, centred, check_penalty, is_cached_size, prepare
from ._result import CodingResult
from ._round import OVERFLOW, advance, emit, start_from
from .fista import solve_chunk

_LARGEST_SET = 1024  # atoms; a sample that needs more is not sparse, and is left to FISTA
_VIOLATORS = (24, 192)  # least and most atoms that the first round may add; a quarter of the features in between
# With the Gram matrix of all atoms a round reads one of its rows per non-zero, without it a round is a product. The
# former is faster up to this number of non-zeros per feature, for matrices that a cache holds and for larger ones.
_SPARSE_FOR_GRAM = 1 / 4, 1 / 12
# What the small problems of a sample may cost before FISTA takes a turn: about as much as that turn.
_WORK, _LEAST_WORK = 100, 10_000_000  # multiplications per entry of the dictionary, and in all
_TURN = 800  # iterations
_BLOCK_BYTES = 1 << 25  # correlations of one block of samples
_BLOCK_SAMPLES = (64, 512)  # a product needs enough rows to be worth reading the dictionary for
_BLOCKS = 10  # aimed at per call, for threads to take turns at


class _Problem(NamedTuple):
    """What all samples have in common."""

    dictionary: np.ndarray  # padded
    squared_norms: np.ndarray
    gram: np.ndarray  # of shape (0, 0) if there is none
    gram_support: int  # non-zeros up to which it is used
    n_violators: int
    noise: float  # about n_violators correlations with a random residual of norm 1 exceed this
    unit: float  # in the last place
    rounding: float  # bound on the error of a correlation with a vector of norm 1
    alpha: float
    positive: bool
    magnitude: int  # mask that takes the sign off the bits of a float, or leaves it
    tol: float
    max_iter: int
    max_work: float  # multiplications that the small problems of a sample may take


class _Block(NamedTuple):
    """The state of a block of samples."""

    X: np.ndarray
    energy: np.ndarray  # 1/2 ||x||^2
    open_samples: np.ndarray  # samples without a certificate yet
    rest: np.ndarray  # residuals of the open samples, in their order
    rest_energy: np.ndarray  # ||r||^2
    support: np.ndarray
    values: np.ndarray
    sizes: np.ndarray  # of the supports
    n_iter: np.ndarray
    gaps: np.ndarray
    best: np.ndarray  # objective
    waited: np.ndarray  # rounds since it fell
    work: np.ndarray  # multiplications spent on small problems


class _Scratch(NamedTuple):
    """Room for the small problem of one sample."""

    small: np.ndarray  # Gram matrix of the members
    ready: np.ndarray  # which of its rows are
    factor: np.ndarray
    factored: np.ndarray  # atoms that its rows belong to
    atoms: np.ndarray
    members: np.ndarray
    slope: np.ndarray  # correlation of members with the residual
    codes: np.ndarray
    inverse: np.ndarray  # of the diagonal of small
    direction: np.ndarray
    active: np.ndarray
    before: np.ndarray  # codes of the active members before a step,
    slope_before: np.ndarray  # and their correlations
    found: np.ndarray
    highest: np.ndarray  # of each tile
    residual: np.ndarray
    bar: np.ndarray  # one float,
    bar_bits: np.ndarray  # and its bits


def working_set(
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
    """Solve the L1 problem of every sample exactly, at the price of a few products with the dictionary.

    Parameters are those of `fista`, except that an iteration is a round: correlations with all atoms, a larger working
    set, and its solution. With ``tol=0`` a sample goes on until it is at rest. Where ``codes_init`` is worse than zero,
    zero is where a sample starts. There is nothing to restart; ``restart`` is accepted so that solvers can be swapped
    by name. A sample whose codes are not sparse, so that working sets do not pay, takes turns with `fista`;
    ``max_iter`` then bounds rounds and iterations together, for the slowest sample of a block.
    """
    prepared = prepare(dictionary, X, codes_init, "codes_init")
    check_penalty(alpha, tol)
    with single_threaded_blas():
        problem = _problem(prepared, alpha, positive, tol, max_iter, X.shape[0], X.dtype)
        n_rows = min(X.shape[0] // _BLOCKS, _BLOCK_BYTES // problem.dictionary[:, 0].nbytes)
        work = partial(_solve_block, X=X, offset=offset, codes_init=codes_init, problem=problem, prepared=prepared)
        n_rows = int(np.clip(n_rows, *_BLOCK_SAMPLES))
        result = CodingResult.concatenate(map_chunks(work, X.shape[0], n_rows, n_jobs))
    return result if sparse_output else result._replace(codes=result.codes.toarray())


def _problem(prepared, alpha, positive, tol, max_iter, n_samples, dtype):
    n_components, n_features = prepared.shape
    squared_norms = prepared.squared_norms(dtype)
    gram = prepared.gram(dtype, n_samples)
    gram_support = 0
    if gram is None:
        gram = np.empty((0, 0), dtype)
    else:
        gram_support = max(int(_SPARSE_FOR_GRAM[0 if is_cached_size(gram) else 1] * n_features), 1)
    n_violators = int(np.clip(n_features // 4, *_VIOLATORS))
    quantile = ndtri(max(1 - n_violators / n_components, 0.5))
    unit = float(np.finfo(dtype).eps)
    integer = np.dtype(f"i{gram.itemsize}").type
    return _Problem(
        dictionary=prepared.padded(dtype),
        squared_norms=squared_norms,
        gram=gram,
        gram_support=gram_support,
        n_violators=n_violators,
        noise=float(quantile * np.sqrt(squared_norms.mean() / n_features)),
        unit=unit,
        rounding=float(unit * (2 + np.sqrt(n_features)) * np.sqrt(squared_norms.max())),
        alpha=float(alpha),
        positive=bool(positive),
        magnitude=integer(-1 if positive else np.iinfo(integer).max),
        tol=float(tol),
        max_iter=int(max_iter),
        max_work=float(max(_WORK * n_components * n_features, _LEAST_WORK)),
    )


def _solve_block(part, *, X, offset, codes_init, problem, prepared):
    X = centred(X[part], offset)
    init = None if codes_init is None else sp.csr_array(codes_init[part]).astype(X.dtype)
    result, dense = _make_rounds(X, init, problem, prepared.shape[0])
    return _take_turns(result, np.flatnonzero(dense), X, problem, prepared) if dense.any() else result


def _make_rounds(X, init, problem, n_components):
    """Return the result for the samples of a block, and the mask of those that are left because they are not sparse."""
    n_samples, n_padded = len(X), len(problem.dictionary)
    scratch = _scratch(problem, n_components)
    correlation = np.empty((n_samples, n_padded), X.dtype)
    energy = 0.5 * np.einsum("ij,ij->i", X, X, dtype=np.float64)
    energy[np.isinf(energy)] = np.nan  # relative to which nothing can be certified
    block = _Block(
        X=X,
        energy=energy,
        open_samples=np.arange(n_samples),
        rest=X.copy(),
        rest_energy=2 * energy,
        support=np.empty((n_samples, len(scratch.members)), np.int32),
        values=np.empty((n_samples, len(scratch.members)), X.dtype),
        sizes=np.zeros(n_samples, np.int64),
        n_iter=np.zeros(n_samples, np.int64),
        gaps=np.full(n_samples, np.inf),
        best=np.full(n_samples, np.inf),
        waited=np.zeros(n_samples, np.int64),
        work=np.zeros(n_samples, np.int64),
    )
    if init is not None:
        start_from(
            init.indptr, init.indices, init.data, problem.alpha, problem.positive, X, energy, problem.dictionary,
            problem.squared_norms, block.rest, block.rest_energy, block.support, block.values, block.sizes,
            scratch.residual,
        )  # fmt: skip
    n_open = n_samples
    if problem.gram.size:  # one sample at a time goes all the way on a single row
        np.matmul(X, problem.dictionary.T, out=correlation)
        row = np.empty((1, n_padded), X.dtype)
        n_open = advance(n_open, *block, correlation, *_views(row), *problem, *scratch)
        problem = _without_gram(problem)
    while n_open:
        give_up_if_abandoned()
        np.matmul(block.rest[:n_open], problem.dictionary.T, out=correlation[:n_open])
        n_open = advance(n_open, *block, correlation, *_views(correlation), *problem, *scratch)

    indptr = np.concatenate([[0], np.cumsum(block.sizes)]).astype(np.int32)
    indices, data = np.empty(indptr[-1], np.int32), np.empty(indptr[-1], X.dtype)
    emit(block.support, block.values, block.sizes, indptr, indices, data)
    codes = sp.csr_array((data, indices, indptr), shape=(n_samples, n_components))
    return CodingResult(codes, block.n_iter, block.gaps), block.waited == OVERFLOW


def _take_turns(result, rows, X, problem, prepared):
    """Go on with samples that are not sparse: FISTA is cheaper, unless their atoms nearly depend on each other.

    What is still open after its turn goes back to the rounds, to the end unless the working set is too small.
    """
    problem = _without_gram(problem)._replace(max_work=np.inf)
    while rows.size:
        left = problem.max_iter - int(result.n_iter[rows].max())
        turn = solve_chunk(
            X[rows], result.codes[rows].toarray(), dictionary=problem.dictionary[: prepared.shape[0]],
            exact_dictionary=prepared.padded(np.float64)[: prepared.shape[0]], gram=None, alpha=problem.alpha,
            step=prepared.step(), positive=problem.positive, max_iter=min(left, _TURN), tol=problem.tol,
            momentum=True, restart=True,
        )  # fmt: skip
        result = _replace_rows(result, rows, turn._replace(codes=sp.csr_array(turn.codes)))
        moving = turn.n_iter == min(left, _TURN)  # the others are at rest
        rows = rows[moving & ~(turn.dual_gap <= problem.tol) & (left > _TURN)]
        sparse = np.diff(result.codes.indptr)[rows] <= _LARGEST_SET // 2
        if not sparse.any():
            continue
        again = rows[sparse]
        left = problem.max_iter - int(result.n_iter[again].max())
        turn, dense = _make_rounds(X[again], result.codes[again], problem._replace(max_iter=left), prepared.shape[0])
        result = _replace_rows(result, again, turn)
        rows = np.concatenate([rows[~sparse], again[dense]])
    return result


def _without_gram(problem):
    return problem._replace(gram=problem.gram[:0, :0].copy())


def _replace_rows(result, rows, turn):
    order = np.arange(len(result.n_iter))
    order[rows] = len(order) + np.arange(len(rows))
    result.n_iter[rows] += turn.n_iter
    result.dual_gap[rows] = turn.dual_gap
    return result._replace(codes=sp.vstack([result.codes, turn.codes], format="csr")[order])


def _views(correlation):
    """Return correlations with their views by tiles, as floats and as integers."""
    tiles = correlation.reshape(len(correlation), -1, TILE)
    return correlation, tiles, _bits(tiles)


def _bits(floats):
    return floats.view(f"i{floats.itemsize}")


def _scratch(problem, n_components):
    n_padded, n_features = problem.dictionary.shape
    dtype = problem.dictionary.dtype
    size = min(n_components, _LARGEST_SET)
    stride = size + 16  # rows a power of two apart would compete for the same lines of the cache
    bar = np.empty(1, dtype)
    return _Scratch(
        small=np.empty((size, stride), dtype),
        ready=np.empty(size, np.bool_),
        factor=np.empty((size, stride)),
        factored=np.empty(size + 1, np.intp),
        atoms=np.empty((size, n_features), dtype),
        members=np.empty(size, np.uintp),
        slope=np.empty(size, dtype),
        codes=np.empty(size, dtype),
        inverse=np.empty(size, dtype),
        direction=np.empty(size),
        active=np.empty(size, np.uintp),
        before=np.empty(size),
        slope_before=np.empty(size),
        found=np.empty(n_padded + 1, np.uintp),
        highest=np.empty(n_padded // TILE, _bits(bar).dtype),
        residual=np.empty(n_features),
        bar=bar,
        bar_bits=_bits(bar),
    )
