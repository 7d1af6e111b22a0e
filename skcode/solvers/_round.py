"""One round of a working set, as compiled code: who violates, who joins, whose certificate holds.

Arrays are passed whole, with row numbers; see `_small_problem` for why.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from .._compiled import compiled
from ._small_problem import FUSED, INLINED, gap_of, small_gap, solve_small
from ._sparse_rows import compute_gram, write_residual

NEAR = 0.95  # from the second round on, atoms this close to violation are taken along: they are next
INNER_TOL = 0.1  # gap on the working set, as a share of tol
PATIENCE = 20  # rounds without a lower objective after which a sample is taken to be at rest
OVERFLOW = -1  # in place of rounds waited: the codes are not sparse, and take too many atoms or too much work


@compiled(**FUSED)
def advance(
    n_open, X, energy, open_samples, rest, rest_energy, support, values, sizes, n_iter, gaps, best, waited, work,
    projected, correlation, tiles, bits, dictionary, squared_norms, gram, gram_support, n_violators, noise, unit,
    rounding, alpha, positive, magnitude, tol, max_iter, max_work, small, ready, factor, factored, atoms, members,
    slope, codes, inverse, direction, active, before, slope_before, found, highest, residual, bar, bar_bits,
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
        factored[0] = -1
        row = 0 if with_gram else place
        while True:
            if with_gram:
                rest_energy[i] = _correlate(
                    projected, place, gram, energy[i], sizes[i], support, values, i, correlation
                )
            size, l1 = sizes[i], 0.0
            for p in range(size):  # the support becomes the first members, blanked in the correlations
                j = support[i, p]
                members[p], codes[p], slope[p] = j, values[i, p], correlation[row, j]
                correlation[row, j] = 0
                l1 += abs(codes[p])
            bar_bits[0] = _search_tiles(bits, row, magnitude, highest)
            top = bar[0]
            gap = _quick_gap(size, slope, codes, top, rest_energy[i], energy[i], alpha, positive)
            resting = n_iter[i] >= max_iter or waited[i] >= PATIENCE
            if resting or gap <= 2 * tol:
                rest_energy[i] = write_residual(X, i, size, support[i], values[i], dictionary, residual)
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
            if work[i] > max_work:
                waited[i] = OVERFLOW
                break
            n_new = 0
            if top > alpha:
                most = min(max(n_violators, size), capacity - size)
                if most == 0:
                    waited[i] = OVERFLOW
                    break
                bar[0] = _bar(alpha if size == 0 else NEAR * alpha, noise * np.sqrt(rest_energy[i]), alpha, top)
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
            target = INNER_TOL ** (1 + waited[i]) * tol * energy[i]
            moved, spent = solve_small(
                size, members, gram, small, ready, slope, codes, inverse, rest_energy[i], target, alpha, positive,
                X.shape[1] // 2, factor, factored, direction, active, before, slope_before,
            )  # fmt: skip
            work[i] += spent
            if not moved and n_new == 0:  # a fixed point: the precision of the dtype is exhausted
                waited[i] = PATIENCE
            n_iter[i] += 1
            sizes[i] = _remember(size, members, codes, support, values, i)
            # The Gram matrix gives correlations as differences of larger numbers: what they cannot settle is left open.
            if not (with_gram and sizes[i] <= gram_support and waited[i] == 0):
                rest_energy[i] = write_residual(X, i, sizes[i], support[i], values[i], dictionary, residual)
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
