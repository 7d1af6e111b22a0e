"""Exact codes by a small problem per sample: a working set of atoms, grown by violators until the certificate holds.

A sample uses few atoms, and the L1 problem over the atoms that it may use is tiny. Samples are taken in blocks. One
matrix product gives the correlation of every atom with every residual of a block. Then each sample by itself looks up
the atoms that violate optimality, adds them to its working set, solves the problem on that set to high accuracy, and
leaves a new residual for the next product. Most samples are certified after three products.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import scipy.sparse as sp
from scipy.special import ndtri

from .._lasso import duality_gap, half_squared_norms, objective
from .._parallel import give_up_if_abandoned, kept_by_thread, map_chunks, single_threaded_blas
from ._direct import direct_room
from ._prepared import TILE, PreparedDictionary, centred, check_options, is_cached_size, prepare, start_codes
from ._result import CodingResult, Status
from ._round import SAMPLE, Block, Correlations, Finder, Problem, Room, Rules, finish_on_gram, make_round
from ._scale import powers_of_two
from ._small_problem import room_for
from ._sparse_rows import as_csr, start_from
from .fista import make_problem, solve_chunk

_LARGEST_SET = 1024  # atoms; a sample that needs more is not sparse, and is left to FISTA
# Least and most atoms that the first round may add; a quarter of the features in between. With at least 24, codes take
# a tenth to a quarter longer at n=50 and 100, and with at least 48 a tenth longer at n=1000.
_VIOLATORS = (8, 192)
# With the Gram matrix of all atoms a round reads one of its rows per non-zero, without it a round is a product. The
# former is faster up to this number of non-zeros per feature, for matrices that a cache holds and for larger ones.
_SPARSE_FOR_GRAM = 1 / 4, 1 / 12
# What the small problems of a sample may cost before FISTA takes a turn: about as much as that turn.
_WORK, _LEAST_WORK = 100, 10_000_000  # multiplications per entry of the dictionary, and in all
_TURN = 800  # iterations: 200 to 3,200 are as fast on 20 dense samples (n=3000), 100 take half as long again
_BLOCK_BYTES = 1 << 25  # correlations of one block of samples
_BLOCK_SAMPLES = (64, 512)  # a product needs enough rows to be worth reading the dictionary for
_BLOCKS = 10  # aimed at per call, for threads to take turns at


def working_set(
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
    """Solve the L1 problem of every sample exactly, at the price of a few products with the dictionary.

    Parameters are those of `fista` without ``restart``. An iteration is a round: correlations with all atoms, a larger
    working set, and its solution. With ``tol=0`` a sample goes on until it is at rest. A sample starts from zero where
    ``codes_init`` is worse than zero, and its objective never rises above that of the start. A sample whose codes are
    not sparse, so that working sets do not pay, takes turns with `fista`; ``max_iter`` then bounds rounds and
    iterations together, for the slowest sample of a block.

    Samples are solved in units of a power of two near their largest entry where they could not be squared otherwise:
    tiny and huge samples get the same codes as others, up to their unit.
    """
    prepared = prepare(dictionary, X, codes_init, "codes_init", offset=offset)
    check_options(
        alpha=alpha, tol=tol, max_iter=max_iter, n_jobs=n_jobs, positive=positive, sparse_output=sparse_output
    )
    with single_threaded_blas():
        problem = _problem(prepared, positive, tol, max_iter, X.shape[0], X.dtype)
        n_rows = min(X.shape[0] // _BLOCKS, _BLOCK_BYTES // problem.dictionary[:, 0].nbytes)
        work = partial(
            _solve_block, X=X, offset=offset, codes_init=codes_init, alpha=float(alpha), problem=problem,
            prepared=prepared,
        )  # fmt: skip
        n_rows = int(np.clip(n_rows, *_BLOCK_SAMPLES))
        result = CodingResult.concatenate(map_chunks(work, X.shape[0], n_rows, n_jobs))
    return result if sparse_output else result._replace(codes=result.codes.toarray())


def _problem(prepared, positive, tol, max_iter, n_samples, dtype):
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
    integer = np.dtype(f"i{gram.itemsize}").type
    rules = Rules(
        positive=bool(positive),
        tol=float(tol),
        max_iter=int(max_iter),
        max_work=float(max(_WORK * n_components * n_features, _LEAST_WORK)),
        n_violators=n_violators,
        noise=float(quantile * np.sqrt(squared_norms.mean() / n_features)),
        longest=float(np.sqrt(squared_norms.max())),
        unit=float(np.finfo(dtype).eps),
        magnitude=integer(-1 if positive else np.iinfo(integer).max),
        most_clipped=n_features // 2,
        gram_support=gram_support,
    )
    return Problem(prepared.padded(dtype), prepared.exact(dtype), squared_norms, gram, rules)


def _solve_block(part, *, X, offset, codes_init, alpha, problem, prepared):
    X = centred(X[part], offset)
    if codes_init is None:
        result = _make_rounds(X, alpha, None, problem, prepared.shape[0])
    else:
        result = _make_rounds_from(start_codes(codes_init[part], X.dtype), X, alpha, problem, prepared.shape[0])
    dense = np.flatnonzero(result.status == Status.TOO_DENSE)
    return _take_turns(result, dense, X, alpha, problem, prepared) if dense.size else result


def _make_rounds_from(init, X, alpha, problem, n_components):
    """Return the result for samples that start from given codes; from too many for a working set, these very codes."""
    init = init.maximum(0) if problem.rules.positive else init
    crowded = np.diff(init.indptr) > _LARGEST_SET
    if crowded.any():
        exact = problem.exact[:n_components], alpha, problem.rules.positive
        with np.errstate(over="ignore", invalid="ignore"):
            crowded &= objective(X, init, *exact) <= half_squared_norms(X)
    if not crowded.any():
        return _make_rounds(X, alpha, init, problem, n_components)
    status = np.full(len(X), Status.TOO_DENSE, np.int8)
    result = CodingResult(init, np.zeros(len(X), np.int64), duality_gap(X, init, *exact), status)
    rows = np.flatnonzero(~crowded)
    if not rows.size:
        return result
    return _replace_rows(result, rows, _make_rounds(X[rows], alpha, init[rows], problem, n_components))


def _make_rounds(X, alpha, init, problem, n_components):
    """Return the result for the samples of a block; those that are not sparse are left too dense."""
    scale, n_members = powers_of_two(X), min(n_components, _LARGEST_SET)
    block = _block(X / scale[:, None].astype(X.dtype), alpha / scale, n_members)
    room = _room(problem, n_members)
    if init is not None:
        _start(init, scale, block, problem, room.residual)
    correlation = np.empty((len(X), len(problem.dictionary)), X.dtype)
    n_open = len(X)
    if problem.gram.size:
        np.matmul(block.X, problem.dictionary.T, out=correlation)
        row = np.empty((1, len(problem.dictionary)), X.dtype)
        n_open = finish_on_gram(correlation, _correlations(row), problem, block, room)
    while n_open:
        give_up_if_abandoned()
        np.matmul(block.rest[:n_open], problem.dictionary.T, out=correlation[:n_open])
        n_open = make_round(n_open, _correlations(correlation), problem, block, room)
    samples = block.samples
    codes = as_csr(block.support, block.values, samples["size"], n_components)
    codes.data *= np.repeat(scale, samples["size"]).astype(X.dtype)
    return CodingResult(codes, samples["n_iter"].copy(), samples["gap"].copy(), samples["status"].astype(np.int8))


def _block(X, alpha, n_members):
    """Return the state of samples with codes of zero."""
    samples = np.zeros(len(X), SAMPLE)
    energy = 0.5 * np.einsum("ij,ij->i", X, X, dtype=np.float64)
    energy[np.isinf(energy)] = np.nan  # relative to which nothing can be certified
    samples["alpha"], samples["gap"] = alpha, np.inf
    samples["energy"] = samples["rest_energy"] = samples["objective"] = energy
    support, values = np.empty((len(X), n_members), np.uintp), np.empty((len(X), n_members), X.dtype)
    return Block(X, samples, support, values, open_samples=np.arange(len(X)), rest=X.copy())


def _start(init, scale, block, problem, residual):
    """Let samples start from given codes, where these are better than zero."""
    samples, n_samples = block.samples, len(block.X)
    data = init.data / np.repeat(scale, np.diff(init.indptr)).astype(init.dtype)
    sizes, rest, rest_energy = np.zeros(n_samples, np.int64), np.empty_like(block.rest), np.empty(n_samples)
    start_from(
        init.indptr, init.indices, data, problem.rules.positive, block.X, problem.exact, problem.squared_norms,
        block.support, block.values, sizes, rest, rest_energy, residual,
    )  # fmt: skip
    used = np.arange(block.values.shape[1]) < sizes[:, None]
    l1 = np.abs(block.values, where=used, out=np.zeros_like(block.values)).sum(axis=1, dtype=np.float64)
    reached = rest_energy + samples["alpha"] * l1
    better = reached <= samples["energy"]
    block.rest[better] = rest[better]
    for name, start in (("size", sizes), ("rest_energy", rest_energy), ("objective", reached)):
        samples[name][better] = start[better]


def _take_turns(result, rows, X, alpha, problem, prepared):
    """Go on with samples that are not sparse: FISTA is cheaper, unless their atoms nearly depend on each other.

    What is still open after its turn goes back to the rounds, to the end unless the working set is too small.
    """
    rules, best, dense = problem.rules, result.codes, rows
    exact = problem.exact[: prepared.shape[0]], alpha, problem.rules.positive
    problem = problem._replace(gram=problem.gram[:0, :0].copy())
    while rows.size:
        left = rules.max_iter - int(result.n_iter[rows].max())
        textbook = make_problem(
            prepared, X.dtype, alpha, positive=rules.positive, max_iter=min(left, _TURN), tol=rules.tol
        )
        turn = solve_chunk(X[rows], result.codes[rows].toarray(), textbook)
        result = _replace_rows(result, rows, turn._replace(codes=sp.csr_array(turn.codes)))
        best = _better(result.codes, best, rows, X, *exact)
        rows = rows[(turn.status == Status.OUT_OF_ITERATIONS) & (left > _TURN)]
        sparse = np.diff(best.indptr)[rows] <= _LARGEST_SET // 2
        if not sparse.any():
            continue
        again = rows[sparse]
        left = rules.max_iter - int(result.n_iter[again].max())
        to_the_end = problem._replace(rules=rules._replace(max_iter=left, max_work=np.inf))
        turn = _make_rounds(X[again], alpha, best[again], to_the_end, prepared.shape[0])
        result = _replace_rows(result, again, turn)
        best = _better(result.codes, best, again, X, *exact)
        rows = np.concatenate([rows[~sparse], again[turn.status == Status.TOO_DENSE]])
    return _no_worse(result, best, dense, X, *exact)


def _better(codes, best, rows, X, *exact):
    """Return the best codes so far, with those of some samples in their place that are at least as good."""
    now, before = (objective(X[rows], each[rows], *exact) for each in (codes, best))
    better = rows[now <= before]
    return _with_rows(best, better, codes[better]) if better.size else best


def _no_worse(result, best, rows, X, *exact):
    """Return the result with the best codes of each sample that has no certificate: momentum may lead uphill."""
    now, before = (objective(X[rows], each[rows], *exact) for each in (result.codes, best))
    worse = rows[(now > before) & (result.status[rows] != Status.CERTIFIED)]
    if not worse.size:
        return result
    no_more = np.zeros(len(worse), result.n_iter.dtype)
    gap = duality_gap(X[worse], best[worse], *exact)
    return _replace_rows(result, worse, CodingResult(best[worse], no_more, gap, result.status[worse]))


def _replace_rows(result, rows, turn):
    result.n_iter[rows] += turn.n_iter
    result.dual_gap[rows] = turn.dual_gap
    result.status[rows] = turn.status
    return result._replace(codes=_with_rows(result.codes, rows, turn.codes))


def _with_rows(codes, rows, others):
    """Return codes with others in place of some rows."""
    order = np.arange(codes.shape[0])
    order[rows] = len(order) + np.arange(len(rows))
    return sp.vstack([codes, others], format="csr")[order]


def _correlations(rows):
    tiles = rows.reshape(len(rows), -1, TILE)
    return Correlations(rows, tiles, _bits(tiles))


def _bits(floats):
    return floats.view(f"i{floats.itemsize}")


def _room(problem, n_members):
    room = _kept_room(*problem.dictionary.shape, n_members, problem.dictionary.dtype)
    return room._replace(products=room.products._replace(full=problem.gram))


@kept_by_thread
def _kept_room(n_padded, n_features, n_members, dtype):
    highest = np.empty(n_padded // TILE + 1, dtype)
    return Room(
        *room_for(n_members, n_features, dtype),
        direct=direct_room(n_members, n_features),
        finder=Finder(np.empty(n_padded + 1, np.uintp), highest, _bits(highest)),
        residual=np.empty(n_features),
    )
