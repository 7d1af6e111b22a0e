"""The L1 problem on a few atoms by a direct method, for atoms that nearly depend on each other.

The active-set method of Lawson and Hanson (1974) for non-negative least squares, with a penalty and signs: solve for
the active members; where one would change its sign, stop there and let it go; once all keep theirs, take the member in
that violates most. Every step lowers the objective, so that no set of active members comes back, however close the
atoms are to each other. All is in float64: products of nearly equal atoms say nothing in float32.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from .._compiled import FUSED
from ._small_problem import substitute_back

FLOOR = 16 * 2.0**-52  # correlations up to this share of their largest possible value are rounding
_STEPS_PER_MEMBER = 3  # as other implementations of the method have it; a start near the solution needs far fewer
_LEAST_STEPS = 50  # for few members; 10 and 500 are as fast where atoms are nearly equal


class Direct(NamedTuple):
    """Room for the problem of one sample, in float64."""

    gram: np.ndarray  # products of all pairs of members
    copies: np.ndarray  # of the members, as vectors
    codes: np.ndarray  # where to start, and the solution
    slope: np.ndarray  # correlation of members with the residual
    first_codes: np.ndarray  # both at the start
    first_slope: np.ndarray
    signs: np.ndarray  # of active members, where signs matter; 0 for those that may become active
    factor: np.ndarray  # Cholesky factor of the active members, with inverted diagonal
    active: np.ndarray
    direction: np.ndarray


def direct_room(n_members: int, n_features: int) -> Direct:
    """Return room for up to so many members; pages that are not used cost nothing."""
    stride = n_members + 8  # rows a power of two apart would compete for the same lines of the cache
    return Direct(
        gram=np.empty((n_members, stride)),
        copies=np.empty((n_members, n_features)),
        codes=np.empty(n_members),
        slope=np.empty(n_members),
        first_codes=np.empty(n_members),
        first_slope=np.empty(n_members),
        signs=np.empty(n_members),
        factor=np.empty((n_members, stride)),
        active=np.empty(n_members, np.uintp),
        direction=np.empty(n_members),
    )


@njit(**FUSED)
def solve_directly(size, room, dependent, floor, alpha, positive):
    """Solve the problem over the members; return the work, in multiplications.

    A member depends on others if they leave at most the share ``dependent`` of its energy. Correlations up to ``floor``
    are rounding. Without a penalty the codes are least squares, non-negative if ``positive``; a member that depends on
    others then stays as it is.
    """
    codes, slope, signs, active, direction = room.codes, room.slope, room.signs, room.active, room.direction
    bounded = positive or alpha > 0  # by zero, which codes cannot pass
    n_active, known, work = np.intp(0), np.intp(0), 0
    for p in range(size):
        room.first_codes[p], room.first_slope[p] = codes[p], slope[p]
        signs[p] = np.sign(codes[p])
        active[n_active] = p
        n_active += codes[p] != 0 or not bounded
    for _ in range(_LEAST_STEPS + _STEPS_PER_MEMBER * size):
        n_moving, depends, factor_work = _find_direction(
            n_active, known, active, signs, room.gram, slope, dependent, alpha, room.factor, direction
        )
        known = n_moving - depends
        work += factor_work + (n_moving + size) * size
        length, first = np.inf if depends else 1.0, np.intp(-1)
        for a in range(n_moving):  # how far one can go
            if alpha == 0 and depends:
                break
            if bounded and direction[a] * signs[active[a]] < 0:
                reach = max(-codes[active[a]] / direction[a], 0.0)
                if reach < length:
                    length, first = reach, a
        if length == np.inf:  # nothing to choose by among dependent members: the last of them stays as it is
            n_active = _let_go(n_moving - 1, n_active, active)
            continue
        for a in range(n_moving):
            codes[active[a]] += length * direction[a]
        if first >= 0:
            codes[active[first]], signs[active[first]] = 0.0, 0.0
            n_active, known = _let_go(first, n_active, active), min(known, first)
        _refresh_slope(size, room.gram, codes, room.first_codes, room.first_slope, slope)
        if first < 0:  # all active members keep their signs: who is next?
            worst, steepest = -1, alpha + floor
            for p in range(size if bounded else 0):
                excess = slope[p] if positive else abs(slope[p])
                if signs[p] == 0 and excess > steepest:
                    worst, steepest = p, excess
            if worst < 0:
                break
            signs[worst] = np.sign(slope[worst])
            active[n_active] = worst
            n_active += 1
    return work


@njit(**FUSED)
def _find_direction(n_active, known, active, signs, gram, slope, dependent, alpha, factor, direction):
    """Find the way to the minimum over the active members, of which the factor has the first ``known``.

    Return how many of them move, whether the last of those depends on the others, and the work. If it does, the way is
    along their dependence, which changes the codes and not the residual, to where the objective falls.
    """
    work = 0
    for a in range(n_active):
        p = active[a]
        if a >= known:
            for b in range(a):
                value = gram[p, active[b]]
                for k in range(b):
                    value -= factor[a, k] * factor[b, k]
                factor[a, b] = value * factor[b, b]
            work += a * a // 2
        pivot, value = gram[p, p], slope[p] - alpha * signs[p]
        for k in range(a):
            pivot -= factor[a, k] * factor[a, k]
            value -= factor[a, k] * direction[k]
        if pivot <= dependent * gram[p, p]:
            for k in range(a):
                direction[k] = -factor[a, k]
            substitute_back(a, factor, direction)
            direction[a] = 1.0
            rise = 0.0
            for k in range(a + 1):
                rise += direction[k] * (alpha * signs[active[k]] - slope[active[k]])
            if rise > 0:
                for k in range(a + 1):
                    direction[k] = -direction[k]
            return a + 1, True, work
        factor[a, a] = 1.0 / np.sqrt(pivot)
        direction[a] = value * factor[a, a]
    substitute_back(n_active, factor, direction)
    return n_active, False, work


@njit(**FUSED)
def _let_go(a, n_active, active):
    """Take a member off the list of active ones; return the length of the list."""
    for b in range(a, n_active - 1):
        active[b] = active[b + 1]
    return n_active - 1


@njit(**FUSED)
def _refresh_slope(size, gram, codes, first_codes, first_slope, slope):
    """Compute the correlations anew from those at the start: what is updated step by step drifts."""
    for q in range(size):
        slope[q] = first_slope[q]
    for p in range(size):
        step = codes[p] - first_codes[p]
        if step != 0:
            for q in range(size):
                slope[q] -= step * gram[p, q]
