"""The L1 problem on a few atoms: the members of a working set, with their Gram matrix.

Coordinate descent finds the support, Newton steps on the support find the values: alone, the former crawls on coherent
atoms and the latter does not know where to look. Members that nearly depend on each other are too much for both, and
are left to `_direct`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from .._compiled import FUSED, IN_ORDER, INLINED
from ..penalties import prox_l1, prox_l1_positive

# Where more are needed, members nearly depend on each other, and the direct method is faster. With 60, families of
# coherent atoms (1000 in 93 dimensions, cosines of 0.92 and 0.99) take 7.15 and 9.23 rounds, with 1000 7.15 and 9.14.
_MOST_SWEEPS = 60
_PATIENCE = 20  # sweeps without a smaller gap after which the precision of the dtype is taken to be exhausted
_SUPPORT_CHANGED = 1 << 20  # more than the moves of a sweep without a change of the support
_SINGULAR = 1e-6  # share of an atom's energy below which it depends on the atoms before it; in float32 about the error


class Members(NamedTuple):
    """The members of a working set."""

    atoms: np.ndarray
    codes: np.ndarray
    slope: np.ndarray  # correlation of each with the residual, kept up to date as codes move


class Products(NamedTuple):
    """The products of all pairs of members."""

    full: np.ndarray  # Gram matrix of all atoms; of shape (0, 0) if there is none
    gram: np.ndarray  # that of the members
    ready: np.ndarray  # which of its rows are there; the others are looked up when first used
    inverse: np.ndarray  # of its diagonal
    copies: np.ndarray  # of the members, as vectors, where it is computed


class Newton(NamedTuple):
    """Room for a Newton step."""

    active: np.ndarray  # members that are not zero
    factor: np.ndarray  # Cholesky factor of their Gram matrix, with inverted diagonal
    factored: np.ndarray  # atoms that its rows belong to; a negative number ends the list
    direction: np.ndarray  # where the minimum lies,
    codes_before: np.ndarray  # and where a step begins
    slope_before: np.ndarray


def room_for(n_members: int, n_features: int, dtype: np.dtype) -> tuple[Members, Products, Newton]:
    """Return room for so many members; pages that are not used cost nothing."""
    stride = n_members + 16  # rows a power of two apart would compete for the same lines of the cache
    members = Members(np.empty(n_members, np.uintp), np.empty(n_members, dtype), np.empty(n_members, dtype))
    products = Products(
        full=np.empty((0, 0), dtype),
        gram=np.empty((n_members, stride), dtype),
        ready=np.empty(n_members, np.bool_),
        inverse=np.empty(n_members, dtype),
        copies=np.empty((n_members, n_features), dtype),
    )
    newton = Newton(
        active=np.empty(n_members, np.uintp),
        factor=np.empty((n_members, stride)),
        factored=np.empty(n_members + 1, np.intp),
        direction=np.empty(n_members),
        codes_before=np.empty(n_members),
        slope_before=np.empty(n_members),
    )
    return members, products, newton


@njit(**FUSED)
def solve_small(size, members, products, newton, rest_energy, target, alpha, positive, most_clipped):
    """Solve the problem over the members until its gap is at most ``target``.

    Returns whether it is, and the work, in multiplications.
    """
    codes, slope = members.codes, members.slope
    zero = slope.dtype.type(0)
    for p in range(size):
        if codes[p] != zero and not products.ready[p]:
            _look_up(p, size, members.atoms, products)
    work, best, in_vain = 0, np.inf, 0
    for sweep in range(_MOST_SWEEPS):
        changes = _sweep(size, members, products, alpha, positive)
        moved = changes > 0
        work += (changes % _SUPPORT_CHANGED + changes // _SUPPORT_CHANGED) * size
        if changes < _SUPPORT_CHANGED or sweep % 4 == 3:
            moved_on, newton_work = _newton_step(size, members, products.gram, newton, alpha, most_clipped)
            moved |= moved_on
            work += newton_work
        gap = small_gap(size, slope, codes, zero, rest_energy, alpha, positive)
        if gap <= target:
            return True, work
        in_vain = 0 if gap < best else in_vain + 1
        best = min(gap, best)
        if not moved or in_vain > _PATIENCE:
            break
    return False, work


@njit(**FUSED)
def _sweep(size, members, products, alpha, positive):
    """Minimise over each member in turn; return how many moved, plus a large number for each that joined or left."""
    atoms, codes, slope = members
    gram, ready, inverse = products.gram, products.ready, products.inverse
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
                    _look_up(p, size, atoms, products)
                for q in range(size):
                    slope[q] -= step * gram[p, q]
    return changes


@njit(**FUSED)
def _newton_step(size, members, gram, newton, alpha, most_clipped):
    """Go towards the minimum over the non-zero members; return whether any moved, and the work.

    Members that would change their sign become zero. If that raises the objective, or if there are more than
    ``most_clipped`` members, which then depend on each other too much, the step ends where the first of them is zero.
    """
    codes, slope, active, direction = members.codes, members.slope, newton.active, newton.direction
    codes_before, slope_before = newton.codes_before, newton.slope_before
    n_active = np.uintp(0)
    for p in range(size):
        active[n_active] = p
        n_active += np.uintp(codes[p] != 0)
    work = np.intp(n_active) * size + _newton_direction(n_active, members, gram, newton, alpha)
    length, first = 1.0, np.intp(-1)
    for a in range(np.intp(n_active)):  # how far one can go
        value = np.float64(codes[active[a]])
        codes_before[a], slope_before[a] = value, slope[active[a]]
        if direction[a] * value < 0 and -value / direction[a] < length:
            length, first = -value / direction[a], a
    if first >= 0 and n_active <= most_clipped:
        moved = _move(1.0, np.intp(-1), n_active, size, members, gram, newton)
        change = 0.0  # of the objective
        for a in range(n_active):
            p = active[a]
            step = codes[p] - codes_before[a]
            change += alpha * (abs(codes[p]) - abs(codes_before[a])) - 0.5 * step * (slope_before[a] + slope[p])
        if change < 0:
            return moved, work
    return _move(length, first, n_active, size, members, gram, newton), work


@njit(**FUSED)
def _newton_direction(n_active, members, gram, newton, alpha):
    """Find the way to the minimum over the active members, by Cholesky factorisation in float64; return the work.

    A member that depends on the ones before it stays as it is. Rows of the factor that belong to the atoms listed in
    ``factored`` are there already.
    """
    atoms, codes, slope = members
    active, factor, factored, direction = newton.active, newton.factor, newton.factored, newton.direction
    known, work = True, 0
    for a in range(n_active):  # the factor, and forward substitution
        p = active[a]
        known &= factored[a] == np.intp(atoms[p])
        if not known:
            for b in range(a):
                value = np.float64(gram[p, active[b]])
                for k in range(b):
                    value -= factor[a, k] * factor[b, k]
                factor[a, b] = value * factor[b, b]
            work += a * a // 2
        pivot = np.float64(gram[p, p])
        value = np.float64(slope[p]) - (alpha if codes[p] > 0 else -alpha)
        for k in range(a):
            pivot -= factor[a, k] * factor[a, k]
            value -= factor[a, k] * direction[k]
        independent = pivot > _SINGULAR * gram[p, p]
        factor[a, a] = 1.0 / np.sqrt(pivot) if independent else 0.0
        direction[a] = value * factor[a, a]
        factored[a], factored[a + 1] = np.intp(atoms[p]), factored[a + 1] if known else -1
    substitute_back(np.intp(n_active), factor, direction)
    return work


@njit(**FUSED)
def substitute_back(size, factor, direction):
    """Solve with the transpose of a factor, in place."""
    for b in range(size):
        a = size - 1 - b
        direction[a] *= factor[a, a]
        for k in range(a):
            direction[k] -= factor[a, k] * direction[a]


@njit(**FUSED)
def _move(length, first, n_active, size, members, gram, newton):
    """Move active codes by ``length * direction``, or to zero where the sign would change; return if any moved."""
    codes, slope, before = members.codes, members.slope, newton.codes_before
    zero = slope.dtype.type(0)
    moved = False
    for a in range(n_active):
        p = newton.active[a]
        old = codes[p]
        new = slope.dtype.type(before[a] + length * newton.direction[a])
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
def _look_up(p, size, atoms, products):
    """Copy a row of the Gram matrix of all atoms."""
    products.ready[p] = True
    j = atoms[p]
    for q in range(size):
        products.gram[p, q] = products.full[j, atoms[q]]


@njit(**FUSED)
def small_gap(size, slope, codes, top, rest_energy, alpha, positive):
    """Return the gap by the correlations at hand, in the precision of the data; ``top`` is the highest of others."""
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


@njit(forceinline=True, **IN_ORDER)
def gap_of(steepest, l1, inner, rest_energy, alpha):
    """Return the duality gap, given ``||z||_1``, ``inner = (z D) . r`` and ``1/2 ||r||^2``; no large terms cancel."""
    shrink = 1.0 if steepest <= alpha else alpha / steepest
    return (1 - shrink) ** 2 * rest_energy + (alpha * l1 - shrink * inner)
