"""The L1 problem on a few atoms: the members of a working set, with their Gram matrix.

Coordinate descent finds the support, Newton steps on the support find the values: alone, the former crawls on coherent
atoms and the latter does not know where to look. ``slope`` holds the correlation of each member with the residual; it
is kept up to date, in place, as ``codes`` move.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ..penalties import prox_l1, prox_l1_positive

_MOST_SWEEPS = 1000
_PATIENCE = 20  # sweeps without a smaller gap after which the precision of the dtype is taken to be exhausted
_SUPPORT_CHANGED = 1 << 20  # more than the moves of a sweep without a change of the support
_SINGULAR = 1e-6  # share of an atom's energy below which it depends on the atoms before it

# Reassociation lets the compiler vectorise sums; what it moves are last bits of iterates. Arrays are passed whole, with
# row numbers: making a view, or taking an array out of a tuple, costs as much in reference counting as a step. Python's
# ``float`` of a float32 is a float32 here: what has to be float64 says so. Only kernels that Python calls are cached.
FUSED = {"error_model": "numpy", "fastmath": {"contract", "reassoc"}}
INLINED = {"inline": "always", **FUSED}


@njit(**FUSED)
def solve_small(
    size, members, full_gram, gram, ready, slope, codes, inverse, rest_energy, target, alpha, positive, most_clipped,
    factor, factored, direction, active, before, slope_before,
):  # fmt: skip
    """Solve the problem over the members until its gap is at most ``target``.

    Returns whether anything moved, and the work, in multiplications. Rows of the members' Gram matrix that are not
    ready yet are looked up in the full one when first used.
    """
    zero = slope.dtype.type(0)
    for p in range(size):
        if codes[p] != zero and not ready[p]:
            _look_up(p, size, members, full_gram, gram, ready)
    ever_moved, work, best, waited = False, 0, np.inf, 0
    for sweep in range(_MOST_SWEEPS):
        changes = sweep_members(size, members, full_gram, gram, ready, slope, codes, inverse, alpha, positive)
        moved = changes > 0
        work += (changes % _SUPPORT_CHANGED + changes // _SUPPORT_CHANGED) * size
        if changes < _SUPPORT_CHANGED or sweep % 4 == 3:
            moved_on, newton_work = newton_step(
                size, members, gram, slope, codes, alpha, most_clipped, factor, factored, direction, active, before,
                slope_before,
            )  # fmt: skip
            moved |= moved_on
            work += newton_work
        ever_moved |= moved
        gap = small_gap(size, slope, codes, zero, rest_energy, alpha, positive)
        waited = 0 if gap < best else waited + 1
        best = min(gap, best)
        if not moved or gap <= target or waited > _PATIENCE:
            break
    return ever_moved, work


@njit(**FUSED)
def sweep_members(size, members, full_gram, gram, ready, slope, codes, inverse, alpha, positive):
    """Minimise over each member in turn; return how many moved, plus a large number for each that joined or left."""
    zero, threshold = slope.dtype.type(0), slope.dtype.type(alpha)
    changes = 0
    for p in range(size):
        old = codes[p]
        if old != zero or abs(slope[p]) > threshold:
            value = old + slope[p] * inverse[p]
            if positive:
                new = prox_l1_positive(value, threshold * inverse[p])
            else:
                new = prox_l1(value, threshold * inverse[p])
            step = new - old
            if step != zero:
                codes[p] = new
                changes += _SUPPORT_CHANGED if (old == zero) | (new == zero) else 1
                if not ready[p]:
                    _look_up(p, size, members, full_gram, gram, ready)
                for q in range(size):
                    slope[q] -= step * gram[p, q]
    return changes


@njit(**FUSED)
def newton_step(
    size, members, gram, slope, codes, alpha, most_clipped, factor, factored, direction, active, before, slope_before
):
    """Go towards the minimum over the non-zero members; return whether any moved, and the work.

    Members that would change their sign become zero. If that raises the objective, the step ends where the first of
    them is zero, and at once if there are more than ``most_clipped`` members, which then depend on each other too much.
    """
    moved, work = False, 0
    for _ in range(size + 1):
        n_active = np.uintp(0)
        for p in range(size):
            active[n_active] = p
            n_active += np.uintp(codes[p] != 0)
        length, dependent, newton_work = _newton_direction(
            n_active, members, gram, slope, codes, alpha, factor, factored, direction, active
        )
        work += newton_work + np.intp(n_active) * size
        first = -1
        for a in range(n_active):  # how far one can go
            value = np.float64(codes[active[a]])
            before[a], slope_before[a] = value, slope[active[a]]
            if direction[a] * value < 0 and -value / direction[a] < length:
                length, first = -value / direction[a], a
        if length == np.inf:  # the residual would not change at all
            return moved, work
        clipped = first >= 0 and not dependent and n_active <= most_clipped
        moved |= _move(
            1.0 if clipped else length, -1 if clipped else first, n_active, size, gram, slope, codes, direction, active,
            before,
        )  # fmt: skip
        if clipped:
            change = 0.0  # of the objective
            for a in range(n_active):
                p = active[a]
                step = codes[p] - before[a]
                change += alpha * (abs(codes[p]) - abs(before[a])) - 0.5 * step * (slope_before[a] + slope[p])
            if change >= 0:
                _move(length, first, n_active, size, gram, slope, codes, direction, active, before)
        if not dependent or first < 0:
            break
    return moved, work


@njit(**FUSED)
def _newton_direction(n_active, members, gram, slope, codes, alpha, factor, factored, direction, active):
    """Find the way to the minimum over the active members: how far it is, whether they are dependent, and the work.

    By Cholesky factorisation in float64. If a member depends on the ones before it, the way is along their dependence,
    which changes the codes and hardly the residual, to where the objective is lowest. Without a penalty it is left as
    it is. Rows of the factor that belong to the atoms listed in ``factored`` are there already; a negative number ends
    the list.
    """
    known, work = True, 0
    for a in range(n_active):  # the factor, with inverted diagonal, and forward substitution
        p = active[a]
        known &= factored[a] == np.intp(members[p])
        if not known:
            for b in range(a):
                value = np.float64(gram[p, active[b]])
                for k in range(b):
                    value -= factor[a, k] * factor[b, k]
                factor[a, b] = value * factor[b, b]
            factored[a] = -1
            work += a * a // 2
        pivot = np.float64(gram[p, p])
        value = np.float64(slope[p]) - (alpha if codes[p] > 0 else -alpha)
        for k in range(a):
            pivot -= factor[a, k] * factor[a, k]
            value -= factor[a, k] * direction[k]
        if pivot <= _SINGULAR * gram[p, p] and alpha == 0:  # nothing to choose by: left as it is
            factor[a, a], direction[a] = 0.0, 0.0
            continue
        if pivot <= _SINGULAR * gram[p, p]:
            for k in range(a):
                direction[k] = -factor[a, k]
            _substitute_back(a, factor, direction)
            direction[a] = 1.0
            rate = 0.0  # of the objective
            for k in range(a + 1):
                q = active[k]
                rate += direction[k] * ((alpha if codes[q] > 0 else -alpha) - slope[q])
            for k in range(n_active):
                direction[k] = 0.0 if k > a else (-direction[k] if rate > 0 else direction[k])
            return (abs(rate) / pivot if pivot > 0 else np.inf), True, work
        factor[a, a] = 1.0 / np.sqrt(pivot)
        direction[a] = value * factor[a, a]
        factored[a], factored[a + 1] = np.intp(members[p]), factored[a + 1] if known else -1
    _substitute_back(n_active, factor, direction)
    return 1.0, False, work


@njit(**FUSED)
def _substitute_back(size, factor, direction):
    for b in range(size):
        a = size - 1 - b
        direction[a] *= factor[a, a]
        for k in range(a):
            direction[k] -= factor[a, k] * direction[a]


@njit(**FUSED)
def _move(length, first, n_active, size, gram, slope, codes, direction, active, before):
    """Set active codes to ``before + length * direction``, or zero where the sign would change; return if any moved."""
    zero = slope.dtype.type(0)
    moved = False
    for a in range(n_active):
        p = active[a]
        old = codes[p]
        new = slope.dtype.type(before[a] + length * direction[a])
        if a == first or new * before[a] < 0:
            new = zero
        step = new - old
        if step != zero:
            codes[p] = new
            moved = True
            for q in range(size):
                slope[q] -= step * gram[p, q]
    return moved


@njit(**INLINED)
def _look_up(p, size, members, full_gram, gram, ready):
    ready[p] = True
    j = members[p]
    for q in range(size):
        gram[p, q] = full_gram[j, members[q]]


@njit(**FUSED)
def small_gap(size, slope, codes, top, rest_energy, alpha, positive):
    """Return the gap by the correlations at hand, in the precision of the data."""
    steepest, l1, inner = top, slope.dtype.type(0), slope.dtype.type(0)
    if positive:
        for p in range(size):
            steepest = max(steepest, slope[p])
            l1 += codes[p]
            inner += codes[p] * slope[p]
    else:
        for p in range(size):
            steepest = max(steepest, abs(slope[p]))
            l1 += abs(codes[p])
            inner += codes[p] * slope[p]
    return gap_of(np.float64(steepest), l1, inner, rest_energy, alpha)


@njit(**INLINED)
def gap_of(steepest, l1, inner, rest_energy, alpha):
    """Return the duality gap, given ``||z||_1``, ``inner = (z D) . r`` and ``||r||^2``; no large terms cancel."""
    shrink = 1.0 if steepest <= alpha else alpha / steepest
    return 0.5 * (1 - shrink) ** 2 * rest_energy + (alpha * l1 - shrink * inner)
