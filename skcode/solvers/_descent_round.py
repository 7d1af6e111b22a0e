"""What coordinate descent does for one sample at a time, as compiled code, for any penalty.

A round has the four steps of `_round`: *certify* that no code would move by itself; *grow* the members by the atoms
whose codes would leave zero; *solve* the problem over the members, one code at a time; *settle* for the new codes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from .._compiled import FUSED, IN_ORDER, INLINED, compiled
from .._rows import correlate
from ._prepared import TILE
from ._result import AT_REST, CERTIFIED, OPEN, OUT_OF_ITERATIONS, TOO_DENSE
from ._sparse_rows import compute_gram, write_residual

_BLAS_FASTER = 16  # times, than the sweeps: what a multiplication for the Gram matrix counts
_INNER_TOL = 0.3  # movement on the atoms of a round, as a share of tol
_MOST_SWEEPS = 500  # of a round: 50 and 5,000 are as fast on coherent atoms (1000 in 93 dimensions)

# The state of a sample.
SAMPLE = np.dtype(
    [
        ("norm", np.float64),  # NaN where it cannot be told
        ("violation", np.float64),
        ("size", np.int64),  # of the support
        ("n_iter", np.int64),
        ("work", np.int64),  # multiplications
        ("status", np.int64),
    ]
)


class Rules(NamedTuple):
    """The numbers that all samples have in common."""

    tol: float
    max_iter: int
    max_work: int  # multiplications
    longest: float  # norm of an atom
    unit: float  # in the last place
    rounding: float  # bound on the error of the correlation of a unit atom with a vector of norm 1


class Law(NamedTuple):
    """How a code moves by itself: to the prox of where least squares would have it."""

    penalty: NamedTuple
    positive: bool
    steps: np.ndarray  # 1 / ||atom||^2, and 0 for atoms of zeros


class Problem(NamedTuple):
    """What all samples have in common."""

    dictionary: np.ndarray  # padded, in the dtype of the samples: what problems are solved with
    exact: np.ndarray  # as it was given: what codes are certified with
    thresholds: np.ndarray  # correlations up to which a code of zero stays zero
    law: Law
    rules: Rules


class Block(NamedTuple):
    """A block of samples."""

    X: np.ndarray
    samples: np.ndarray  # of dtype SAMPLE
    support: np.ndarray
    values: np.ndarray
    open_samples: np.ndarray  # samples that are not done
    exact_rest: np.ndarray  # residuals of these, in their order,
    rest: np.ndarray  # and in the dtype of the samples


class Atoms(NamedTuple):
    """Some atoms."""

    atoms: np.ndarray  # their numbers
    codes: np.ndarray
    slope: np.ndarray  # correlation of each with the residual


class Room(NamedTuple):
    """Room for the problem of one sample."""

    members: Atoms  # that it uses, or may use in this round
    found: Atoms  # whose codes would leave zero
    copies: np.ndarray  # of the members, as vectors
    gram: np.ndarray  # their products
    residual: np.ndarray


@compiled(**FUSED)
def make_round(n_open, correlations, problem, block, room):
    """Make a round of each open sample, with the correlations of its residual; return how many are left open."""
    rules, members, found = problem.rules, room.members, room.found
    n_left = np.intp(0)
    for place in range(n_open):
        i, row = block.open_samples[place], correlations[place]
        sample = block.samples[i]
        size = _recall(i, row, block, members)
        tired = sample.work >= rules.max_work
        ends = tired or sample.n_iter >= rules.max_iter
        n_found, farthest = _certify(size, sample.norm, ends, row, block.exact_rest[place], problem, members, found)
        no_room = size + n_found > members.atoms.shape[0]
        sample.violation = farthest / sample.norm if sample.norm != 0 else 0.0
        if sample.violation <= rules.tol:
            sample.status = CERTIFIED
        elif ends:
            sample.status = TOO_DENSE if tired else OUT_OF_ITERATIONS
        elif np.isnan(sample.violation):
            sample.status = AT_REST
        else:
            size += _grow(size, n_found, farthest, members, found, problem.law)
            if not _solve(i, size, problem, block, room):
                sample.status = TOO_DENSE if no_room else AT_REST
        if sample.status == OPEN:
            _settle(i, size, n_left, problem, block, members, room.residual)
            n_left += 1
    return n_left


# Certify


@njit(**INLINED)
def _certify(size, norm, ends, row, rest, problem, members, found):
    """List the atoms whose codes would leave zero; return how many, and the farthest step that any code would make.

    An estimate by the correlations at hand will do while the step is long, unless the work on the sample ends here.
    """
    rules, law = problem.rules, problem.law
    n_found = _find(row, problem.thresholds, 0.0, law.positive, found)
    farthest = max(_farthest_step(size, members, law), _farthest_step(n_found, found, law))
    decided = farthest > 2 * max(rules.tol, rules.rounding) * norm  # whatever the rounding of correlations
    if decided and not ends and size + n_found <= members.atoms.shape[0]:
        return n_found, farthest
    margin = rules.rounding * rules.longest * norm
    n_found = _find(row, problem.thresholds, margin, law.positive, found)
    _correlate(size, members, problem.exact, rest)
    _correlate(n_found, found, problem.exact, rest)
    n_found = _keep_strong(n_found, 0.0, found, law)
    return n_found, max(_farthest_step(size, members, law), _farthest_step(n_found, found, law))


@njit(**FUSED)
def _find(row, thresholds, margin, positive, found):
    """List the atoms with a correlation above their threshold less ``margin``, and above 0; return their number."""
    atoms, slope = found.atoms, found.slope
    zero, margin = row.dtype.type(0), row.dtype.type(margin)
    count = np.uintp(0)
    for start in range(0, row.shape[0], TILE):
        hits = np.uint8(0)
        for k in range(TILE):  # most tiles have none, and this loop is vectorised
            height = row[start + k] if positive else abs(row[start + k])
            hits |= np.uint8((height > thresholds[start + k] - margin) & (height > zero))
        if hits:
            for k in range(TILE):
                height = row[start + k] if positive else abs(row[start + k])
                atoms[count] = start + k
                count += np.uintp((height > thresholds[start + k] - margin) & (height > zero))
    for p in range(count):
        slope[p] = row[atoms[p]]
    return np.intp(count)


@njit(**IN_ORDER)
def _correlate(count, some, dictionary, residual):
    """Write the correlations of some atoms with a residual, in float64."""
    for p in range(count):
        some.slope[p] = correlate(some.atoms[p], dictionary, residual)


@njit(**FUSED)
def _farthest_step(count, some, law):
    """Return the farthest that the code of one of some atoms alone would move the reconstruction."""
    atoms, codes, slope = some
    penalty, positive, steps = law
    farthest = 0.0
    for p in range(count):
        step = steps[atoms[p]]
        if step > 0:
            move = penalty.prox(codes[p] + slope[p] * step, step, positive) - codes[p]
            farthest = max(farthest, abs(move) / np.sqrt(step))
    return farthest


@njit(**FUSED)
def _keep_strong(count, bar, found, law):
    """Drop the atoms whose codes would stay zero, or move the reconstruction by less; return how many are left."""
    atoms, _, slope = found
    penalty, positive, steps = law
    kept = 0
    for p in range(count):
        j = atoms[p]
        atoms[kept], slope[kept] = j, slope[p]
        move = abs(penalty.prox(slope[p] * steps[j], steps[j], positive))
        kept += (move > 0) & (move >= bar * np.sqrt(steps[j]))
    return kept


# Grow


@njit(**INLINED)
def _grow(size, n_found, farthest, members, found, law):
    """Add the atoms found to the members, or the strongest that there is room for; return how many."""
    n_new = _keep_strongest(n_found, members.atoms.shape[0] - size, farthest, found, law)
    for p in range(n_new):
        members.atoms[size + p], members.codes[size + p] = found.atoms[p], 0.0
        members.slope[size + p] = found.slope[p]
    return n_new


@njit(**FUSED)
def _keep_strongest(count, most, farthest, found, law):
    """Drop the atoms whose codes would move the reconstruction least, until at most ``most`` are left."""
    bar = 0.0
    while count > most:
        lower, bar = bar, 0.5 * (bar + farthest)
        if bar <= lower:  # they are equal
            return most
        count = _keep_strong(count, bar, found, law)
    return count


# Solve


@njit(**INLINED)
def _solve(i, size, problem, block, room):
    """Solve the problem over the members; return whether that has moved any code farther than rounding would."""
    rules, sample = problem.rules, block.samples[i]
    compute_gram(size, room.members.atoms, problem.dictionary, room.copies, room.gram)
    target = max(_INNER_TOL * rules.tol, 2 * rules.unit) * sample.norm
    spent = _descend(size, room.members, room.gram, problem.law, target, rules.max_work - sample.work)
    sample.work += spent + size * size * block.X.shape[1] // _BLAS_FASTER
    sample.n_iter += spent > 0
    return spent > 0


@njit(**FUSED)
def _descend(size, members, gram, law, target, most):
    """Minimise over each member in turn until none moves the reconstruction by more than ``target``.

    Return the work, in multiplications, which is at most a sweep above ``most``. It is 0 if no step of the first sweep
    was longer than ``target``: such codes are at rest.
    """
    atoms, codes, slope = members
    penalty, positive, steps = law
    work = 0
    for sweep in range(_MOST_SWEEPS):
        farthest = 0.0
        for p in range(size):
            step = steps[atoms[p]]
            if step > 0:
                move = penalty.prox(codes[p] + slope[p] * step, step, positive) - codes[p]
                if move != 0:
                    farthest = max(farthest, abs(move) / np.sqrt(step))
                    codes[p] += move
                    work += size
                    for q in range(size):
                        slope[q] -= move * gram[p, q]
        if farthest <= target:
            return work if sweep > 0 else 0
        if work >= most:
            break
    return work


# Settle


@njit(**INLINED)
def _recall(i, row, block, members):
    """Make the support of a sample the members, and take them out of the row; return how many."""
    size = block.samples[i].size
    for p in range(size):
        j = block.support[i, p]
        members.atoms[p], members.codes[p], members.slope[p] = j, block.values[i, p], row[j]
        row[j] = 0
    return size


@njit(**INLINED)
def _settle(i, size, place, problem, block, members, residual):
    """Store the non-zero members as the support of a sample, and line it up for the next product."""
    kept = 0
    for p in range(size):
        block.support[i, kept], block.values[i, kept] = members.atoms[p], members.codes[p]
        kept += block.values[i, kept] != 0
    block.samples[i].size = kept
    write_residual(block.X, i, kept, block.support[i], block.values[i], problem.exact, residual)
    for k in range(residual.shape[0]):
        block.exact_rest[place, k] = block.rest[place, k] = residual[k]
    block.open_samples[place] = i
