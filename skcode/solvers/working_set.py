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
from numba import njit
from scipy.special import ndtri

from .._parallel import map_chunks, single_threaded_blas
from ._prepared import TILE, PreparedDictionary, is_cached_size, prepare
from ._result import CodingResult
from ._small_problem import FUSED, INLINED, compute_gram, gap_of, small_gap, solve_small
from .fista import solve_chunk

_LARGEST_SET = 1024  # atoms; a sample that needs more is not sparse, and is left to FISTA
_VIOLATORS = (24, 192)  # least and most atoms that the first round may add; a quarter of the features in between
_NEAR = 0.95  # from the second round on, atoms this close to violation are taken along: they are next
_INNER_TOL = 0.1  # gap on the working set, as a share of tol
_PATIENCE = 20  # rounds without a lower objective after which a sample is taken to be at rest
_OVERFLOW = -1  # in place of rounds waited: the working set is full
# With the Gram matrix of all atoms a round reads one of its rows per non-zero, without it a round is a product. The
# former is faster up to this number of non-zeros per feature, for matrices that a cache holds and for larger ones.
_SPARSE_FOR_GRAM = 1 / 4, 1 / 12
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


class _Block(NamedTuple):
    """The state of a block of samples."""

    X: np.ndarray
    energy: np.ndarray  # 1/2 ||x||^2
    open: np.ndarray  # samples without a certificate yet
    rest: np.ndarray  # residuals of the open samples, in their order
    rest_energy: np.ndarray  # ||r||^2
    support: np.ndarray
    values: np.ndarray
    size: np.ndarray  # of the support
    n_iter: np.ndarray
    gap: np.ndarray
    best: np.ndarray  # objective
    waited: np.ndarray  # rounds since it fell


class _Scratch(NamedTuple):
    """Room for the small problem of one sample."""

    small: np.ndarray  # Gram matrix of the members
    ready: np.ndarray  # which of its rows are
    factor: np.ndarray
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
    set, and its solution. ``max_iter`` bounds the rounds; with ``tol=0`` a sample goes on until it is at rest.
    ``codes_init`` may be CSR. There is nothing to restart; ``restart`` is accepted so that solvers can be swapped by
    name. A sample that would need a working set of more than 1024 atoms is solved by `fista`.
    """
    if X.dtype not in (np.float32, np.float64):
        raise TypeError(f"X must be an array of float32 or float64, got {X.dtype}.")
    prepared = prepare(dictionary)
    if codes_init is not None and codes_init.shape != (X.shape[0], prepared.shape[0]):
        raise ValueError(f"codes_init must have shape {(X.shape[0], prepared.shape[0])}, got {codes_init.shape}.")
    with single_threaded_blas:
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
    )


def _solve_block(part, *, X, offset, codes_init, problem, prepared):
    X = np.ascontiguousarray(X[part] if offset is None else X[part] - offset)
    n_samples, n_padded = len(X), len(problem.dictionary)
    n_components = prepared.shape[0]
    scratch = _scratch(problem, n_components)
    correlation = np.empty((n_samples, n_padded), X.dtype)
    energy = 0.5 * np.einsum("ij,ij->i", X, X, dtype=np.float64)
    block = _Block(
        X=X,
        energy=energy,
        open=np.arange(n_samples),
        rest=X.copy(),
        rest_energy=2 * energy,
        support=np.empty((n_samples, len(scratch.members)), np.int32),
        values=np.empty((n_samples, len(scratch.members)), X.dtype),
        size=np.zeros(n_samples, np.int64),
        n_iter=np.zeros(n_samples, np.int64),
        gap=np.full(n_samples, np.inf),
        best=np.full(n_samples, np.inf),
        waited=np.zeros(n_samples, np.int64),
    )
    if codes_init is not None:
        init = sp.csr_array(codes_init[part]).astype(X.dtype)
        _start_from(
            init.indptr, init.indices, init.data, problem.positive, X, problem.dictionary, problem.squared_norms,
            block.rest, block.rest_energy, block.support, block.values, block.size, scratch.residual,
        )  # fmt: skip
    n_open = n_samples
    if problem.gram.size:  # one sample at a time goes all the way on a single row
        np.matmul(X, problem.dictionary.T, out=correlation)
        row = np.empty((1, n_padded), X.dtype)
        n_open = _advance(n_open, *block, correlation, *_views(row), *problem, *scratch)
        problem = problem._replace(gram=problem.gram[:0, :0].copy())
    while n_open:
        np.matmul(block.rest[:n_open], problem.dictionary.T, out=correlation[:n_open])
        n_open = _advance(n_open, *block, correlation, *_views(correlation), *problem, *scratch)

    indptr = np.concatenate([[0], np.cumsum(block.size)]).astype(np.int32)
    indices, data = np.empty(indptr[-1], np.int32), np.empty(indptr[-1], X.dtype)
    _emit(block.support, block.values, block.size, indptr, indices, data)
    codes = sp.csr_array((data, indices, indptr), shape=(n_samples, n_components))
    result = CodingResult(codes, block.n_iter, block.gap)
    overflowed = block.waited == _OVERFLOW
    return _finish_by_fista(result, overflowed, X, problem, prepared) if overflowed.any() else result


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


def _finish_by_fista(result, rows, X, problem, prepared):
    n_components = prepared.shape[0]
    codes = result.codes.tolil()
    finished = solve_chunk(
        X[rows], result.codes[rows].toarray(), dictionary=problem.dictionary[:n_components], gram=None,
        alpha=problem.alpha, step=prepared.step(), positive=problem.positive, max_iter=problem.max_iter,
        tol=problem.tol, momentum=True, restart=True,
    )  # fmt: skip
    codes[rows] = finished.codes
    result.n_iter[rows] += finished.n_iter
    result.dual_gap[rows] = finished.dual_gap
    return result._replace(codes=codes.tocsr())


@njit(cache=True, **FUSED)
def _advance(
    n_open, X, energy, open_samples, rest, rest_energy, support, values, sizes, n_iter, gaps, best, waited,
    projected, correlation, tiles, bits, dictionary, squared_norms, gram, gram_support, n_violators, noise, unit,
    rounding, alpha, positive, magnitude, tol, max_iter, small, ready, factor, atoms, members, slope, codes, inverse,
    direction, active, before, slope_before, found, highest, residual, bar, bar_bits,
):  # fmt: skip
    """Close the samples whose certificate holds, move on with the others, and return how many are left open.

    With a Gram matrix, ``projected`` has to hold the correlations of all atoms with the samples; samples go on to their
    end in the single row of ``correlation``, unless they use too many atoms. Without, ``correlation`` has to belong to
    ``rest``, and samples make one round. On exit ``rest`` begins with the residuals of those left open.
    """
    with_gram = gram.size > 0
    capacity = members.shape[0]
    n_left = 0
    for place in range(n_open):
        i = open_samples[place]
        row = 0 if with_gram else place
        if with_gram:
            rest_energy[i] = _correlate(projected, place, gram, energy[i], sizes[i], support, values, i, correlation)
        while True:
            size, l1 = sizes[i], 0.0
            for p in range(size):  # the support becomes the first members, blanked in the correlations
                j = support[i, p]
                members[p], codes[p], slope[p] = j, values[i, p], correlation[row, j]
                correlation[row, j] = 0
                l1 += abs(codes[p])
            bar_bits[0] = _search_tiles(bits, row, magnitude, highest)
            top = bar[0]
            gap = _quick_gap(size, slope, codes, top, rest_energy[i], energy[i], alpha, positive)
            resting = n_iter[i] >= max_iter or waited[i] >= _PATIENCE
            if resting or gap <= 2 * tol:
                rest_energy[i] = _write_residual(X, i, size, support, values, dictionary, residual)
                # With a Gram matrix correlations are differences of larger numbers.
                margin = rounding * (np.sqrt(rest_energy[i]) + (np.sqrt(8 * energy[i]) if with_gram else 0.0))
                exact_top = 0.0
                if not top + margin <= alpha:  # only those near the highest can be the highest
                    bar[0] = top - 2 * margin
                    n_top = _collect(tiles, row, bar[0], bar_bits[0], highest, positive, found)
                    exact_top = _highest_exactly(n_top, found, dictionary, residual, positive)
                gap = _exact_gap(
                    size, members, slope, codes, dictionary, residual, exact_top, rest_energy[i], energy[i], alpha,
                    positive,
                )  # fmt: skip
            gaps[i] = gap
            if resting or gap <= tol:
                break
            value = 0.5 * rest_energy[i] + alpha * l1
            if value < best[i] - unit * energy[i]:
                best[i], waited[i] = value, 0
            else:
                waited[i] += 1
            n_new = 0
            if top > alpha:
                most = min(max(n_violators, size), capacity - size)
                if most == 0:
                    waited[i] = _OVERFLOW
                    break
                bar[0] = _bar(alpha if size == 0 else _NEAR * alpha, noise * np.sqrt(rest_energy[i]), alpha, top)
                n_new = _collect(tiles, row, bar[0], bar_bits[0], highest, positive, found)
                if n_new > most:
                    n_new = _raise_bar(correlation, row, bar[0], top, n_new, most, positive, found)
                for p in range(n_new):
                    j = found[p]
                    members[size + p], codes[size + p], slope[size + p] = j, 0, correlation[row, j]
                size += n_new
            if not with_gram:
                compute_gram(size, members, dictionary, atoms, small)
            for p in range(size):
                inverse[p] = 1 / squared_norms[members[p]]
                ready[p] = not with_gram
            target = _INNER_TOL ** (1 + waited[i]) * tol * energy[i]
            moved = solve_small(
                size, members, gram, small, ready, slope, codes, inverse, rest_energy[i], target, alpha, positive,
                X.shape[1] // 2, factor, direction, active, before, slope_before,
            )  # fmt: skip
            if not moved and n_new == 0:  # a fixed point: the precision of the dtype is exhausted
                waited[i] = _PATIENCE
            n_iter[i] += 1
            sizes[i] = _remember(size, members, codes, support, values, i)
            # The Gram matrix gives correlations as differences of larger numbers: what they cannot settle is left open.
            if with_gram and sizes[i] <= gram_support and waited[i] == 0:
                rest_energy[i] = _correlate(
                    projected, place, gram, energy[i], sizes[i], support, values, i, correlation
                )
            else:
                rest_energy[i] = _write_residual(X, i, sizes[i], support, values, dictionary, residual)
                for k in range(X.shape[1]):
                    rest[n_left, k] = residual[k]
                open_samples[n_left] = i
                n_left += 1
                break
    return n_left


@njit(**FUSED)
def _correlate(projected, place, gram, energy, size, support, values, i, correlation):
    """Write the correlations of all atoms with the residual into the one row there is; return its squared norm."""
    for k in range(gram.shape[0]):
        correlation[0, k] = projected[place, k]
    p = 0
    while p + 4 <= size:  # four atoms a pass: the sum is loaded and stored once for all
        j0, j1, j2, j3 = support[i, p], support[i, p + 1], support[i, p + 2], support[i, p + 3]
        z0, z1, z2, z3 = values[i, p], values[i, p + 1], values[i, p + 2], values[i, p + 3]
        for k in range(gram.shape[0]):
            correlation[0, k] -= z0 * gram[j0, k] + z1 * gram[j1, k] + z2 * gram[j2, k] + z3 * gram[j3, k]
        p += 4
    while p < size:
        j0, z0 = support[i, p], values[i, p]
        for k in range(gram.shape[0]):
            correlation[0, k] -= z0 * gram[j0, k]
        p += 1
    rest_energy = 2 * energy
    for p in range(size):
        j = support[i, p]
        rest_energy -= np.float64(values[i, p]) * (np.float64(projected[place, j]) + np.float64(correlation[0, j]))
    return max(rest_energy, 0.0)


@njit(**FUSED)
def _search_tiles(bits, place, magnitude, highest):
    """Find the highest correlation of each tile, in absolute value if codes are signed; return that of all, at least 0.

    On the bits of the floats, as integers, because compilers vectorise the maximum of integers only.
    """
    integer = highest.dtype.type
    overall = integer(0)
    for t in range(bits.shape[1]):
        top = integer(0)
        for k in range(bits.shape[2]):
            top = max(top, integer(bits[place, t, k] & magnitude))
        highest[t] = top
        overall = max(overall, top)
    return overall


@njit(**INLINED)
def _quick_gap(size, slope, codes, top, rest_energy, energy, alpha, positive):
    gap = small_gap(size, slope, codes, top, rest_energy, alpha, positive)
    return gap / energy if gap > 0 else max(gap, 0.0)


@njit(**FUSED)
def _highest_exactly(count, found, dictionary, residual, positive):
    """Return the highest correlation of some atoms with the residual, in float64."""
    steepest = 0.0
    for p in range(count):
        j = found[p]
        exact = 0.0
        for k in range(residual.shape[0]):
            exact += dictionary[j, k] * residual[k]
        steepest = max(steepest, exact if positive else abs(exact))
    return steepest


@njit(**FUSED)
def _exact_gap(size, members, slope, codes, dictionary, residual, exact_top, rest_energy, energy, alpha, positive):
    """Return the relative gap of the codes as they are, in float64; refine the correlations of members on the way."""
    steepest, l1, inner = exact_top, 0.0, 0.0
    for p in range(size):
        j = members[p]
        exact = 0.0
        for k in range(residual.shape[0]):
            exact += dictionary[j, k] * residual[k]
        slope[p] = exact
        steepest = max(steepest, exact if positive else abs(exact))
        l1 += abs(np.float64(codes[p]))
        inner += codes[p] * exact
    gap = gap_of(steepest, l1, inner, rest_energy, alpha)
    return gap / energy if gap > 0 else max(gap, 0.0)


@njit(**INLINED)
def _bar(floor, noise, alpha, top):
    """Return the correlation from which atoms are taken: above noise, but never more than half way up to the top."""
    return max(floor, min(noise, 0.5 * (alpha + top)))


@njit(**FUSED)
def _collect(tiles, place, height, height_bits, highest, positive, found):
    """List the atoms with a correlation of at least ``height``; return their number."""
    width = tiles.shape[2]
    count = np.uintp(0)
    for t in range(tiles.shape[1]):
        if highest[t] >= height_bits:
            if positive:
                for k in range(width):
                    found[count] = t * width + k
                    count += np.uintp(tiles[place, t, k] >= height)
            else:
                for k in range(width):
                    found[count] = t * width + k
                    count += np.uintp(abs(tiles[place, t, k]) >= height)
    return np.intp(count)


@njit(**FUSED)
def _raise_bar(correlation, place, height, top, count, most, positive, found):
    """Drop the lowest of the atoms found until at most ``most`` are left; return their number."""
    while count > most:
        lower, height = height, type(height)(0.75 * height + 0.25 * top)
        if height <= lower:  # equals: as many as there is room for
            return most
        kept = 0
        for p in range(count):
            j = found[p]
            q = correlation[place, j]
            found[kept] = j
            kept += (q if positive else abs(q)) >= height
        count = kept
    return count


@njit(**FUSED)
def _remember(size, members, codes, support, values, i):
    """Store the non-zero members as the support; return its size."""
    kept = 0
    for p in range(size):
        support[i, kept], values[i, kept] = members[p], codes[p]
        kept += codes[p] != 0
    return kept


@njit(**FUSED)
def _write_residual(X, i, size, support, values, dictionary, residual):
    """Write the residual of sample ``i`` in float64; return its squared norm."""
    n_features = X.shape[1]
    for k in range(n_features):
        residual[k] = X[i, k]
    p = 0
    while p + 4 <= size:  # four atoms a pass: the sum is loaded and stored once for all
        j0, j1, j2, j3 = support[i, p], support[i, p + 1], support[i, p + 2], support[i, p + 3]
        z0, z1, z2, z3 = (
            np.float64(values[i, p]),
            np.float64(values[i, p + 1]),
            np.float64(values[i, p + 2]),
            np.float64(values[i, p + 3]),
        )
        for k in range(n_features):
            residual[k] -= (
                z0 * dictionary[j0, k] + z1 * dictionary[j1, k] + z2 * dictionary[j2, k] + z3 * dictionary[j3, k]
            )
        p += 4
    while p < size:
        j0, z0 = support[i, p], np.float64(values[i, p])
        for k in range(n_features):
            residual[k] -= z0 * dictionary[j0, k]
        p += 1
    energy = 0.0
    for k in range(n_features):
        energy += residual[k] * residual[k]
    return energy


@njit(cache=True, **FUSED)
def _start_from(
    indptr, indices, data, positive, X, dictionary, squared_norms, rest, rest_energy, support, values, sizes, residual
):
    """Take given codes as the support of each sample, feasible ones on atoms that are not zero."""
    for i in range(X.shape[0]):
        size = 0
        for place in range(indptr[i], indptr[i + 1]):
            feasible = data[place] > 0 or (data[place] < 0 and not positive)
            if feasible and squared_norms[indices[place]] > 0 and size < support.shape[1]:
                support[i, size], values[i, size] = indices[place], data[place]
                size += 1
        sizes[i] = size
        rest_energy[i] = _write_residual(X, i, size, support, values, dictionary, residual)
        for k in range(X.shape[1]):
            rest[i, k] = residual[k]


@njit(cache=True, **FUSED)
def _emit(support, values, sizes, indptr, indices, data):
    """Write support and values as the rows of a CSR matrix, indices in order."""
    for i in range(sizes.shape[0]):
        start = indptr[i]
        for p in range(sizes[i]):
            j, value = support[i, p], values[i, p]
            at = start + p
            while at > start and indices[at - 1] > j:
                indices[at] = indices[at - 1]
                data[at] = data[at - 1]
                at -= 1
            indices[at] = j
            data[at] = value
