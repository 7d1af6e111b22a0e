"""What a working set does for one sample at a time, as compiled code.

A round has four steps, each with the correlations of all atoms with the residual at hand: *certify* the codes; *grow*
the working set by atoms that violate; *solve* the problem on it; *settle* for the new codes where they are better.
`finish_on_gram` makes all the rounds of a sample on the Gram rows of its non-zeros. `make_round` makes one round of
each sample of a block, after a matrix product that has given the correlations of all.

Steps are given the short tuples that they work on, never all the room: whoever calls a kernel that is not inlined
copies every word of the tuples that it passes on.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from .._compiled import FUSED, IN_ORDER, INLINED, compiled
from .._rows import correlate, subtract_rows
from ._direct import FLOOR, Direct, solve_directly
from ._result import AT_REST, CERTIFIED, OPEN, OUT_OF_ITERATIONS, TOO_DENSE
from ._small_problem import Members, Newton, Products, gap_of, small_gap, solve_small
from ._sparse_rows import compute_gram, write_residual

NEAR = 0.95  # from the second round on, atoms this close to violation are taken along: they are next
INNER_TOL = 0.1  # gap on the working set, as a share of tol
DEPENDENT = 1e-13  # share of its energy: a factor of some hundred atoms in float64 is off by about as much
PATIENCE = 3  # rounds without a lower objective after which a sample is taken to be at rest
NO_ROOM = -1  # in place of the number of new members


# The state of a sample.
SAMPLE = np.dtype(
    [
        ("alpha", np.float64),
        ("energy", np.float64),  # 1/2 ||x||^2
        ("rest_energy", np.float64),  # 1/2 ||r||^2
        ("objective", np.float64),
        ("gap", np.float64),
        ("size", np.int64),  # of the support
        ("n_iter", np.int64),
        ("in_vain", np.int64),  # rounds since the objective fell
        ("work", np.int64),  # multiplications spent on small problems
        ("status", np.int64),
        ("is_hard", np.bool_),  # whether the direct method is next
    ],
    align=True,
)


class Rules(NamedTuple):
    """The numbers that all samples have in common."""

    positive: bool
    tol: float
    max_iter: int
    max_work: float  # multiplications that the small problems of a sample may take
    n_violators: int  # that the first round may add
    noise: float  # about n_violators correlations with a random residual of norm 1 exceed this
    longest: float  # norm of an atom
    unit: float  # in the last place
    magnitude: int  # mask that takes the sign off the bits of a float, or leaves it
    most_clipped: int  # members up to which a Newton step may clip several at once
    gram_support: int  # non-zeros up to which the Gram matrix is used


class Problem(NamedTuple):
    """What all samples have in common."""

    dictionary: np.ndarray  # padded, in the dtype of the samples: what problems are solved with
    exact: np.ndarray  # padded, as it was given: what codes are certified with
    squared_norms: np.ndarray
    gram: np.ndarray  # of shape (0, 0) if there is none
    rules: Rules


class Block(NamedTuple):
    """A block of samples."""

    X: np.ndarray
    samples: np.ndarray  # of dtype SAMPLE
    support: np.ndarray
    values: np.ndarray
    open_samples: np.ndarray  # samples that are not done
    rest: np.ndarray  # residuals of these, in their order


class Correlations(NamedTuple):
    """Correlations of all atoms with some residuals: the same numbers as rows, as tiles, and as the bits of these."""

    rows: np.ndarray
    tiles: np.ndarray
    bits: np.ndarray


class Finder(NamedTuple):
    """Room to search the correlations."""

    found: np.ndarray  # atoms
    highest: np.ndarray  # correlation of each tile, and of all,
    bits: np.ndarray  # and the bits of these


class Room(NamedTuple):
    """Room for the problem of one sample."""

    members: Members
    products: Products
    newton: Newton
    direct: Direct
    finder: Finder
    residual: np.ndarray  # in float64


@compiled(**FUSED)
def finish_on_gram(projected, correlations, problem, block, room):
    """Make all rounds of each sample on the Gram rows of its non-zeros; return how many are left to `make_round`.

    ``projected`` has the correlations of all atoms with the samples; those with the residual get the one row of
    ``correlations``. They are differences of larger numbers here. What they cannot settle is left open, as is whatever
    does not end with a certificate.
    """
    rules = problem.rules
    members, products, newton, finder, residual = room.members, room.products, room.newton, room.finder, room.residual
    row, tiles, bits = correlations.rows[0], correlations.tiles[0], correlations.bits[0]
    n_samples, n_features = block.X.shape
    n_left = np.intp(0)
    for i in range(n_samples):
        sample = block.samples[i]
        size, lowest, solved = _recall(i, block, members, newton), np.inf, True
        while True:
            for k in range(row.shape[0]):
                row[k] = projected[i, k]
            subtract_rows(row, size, members.atoms, members.codes, problem.gram)
            _take_out(size, row, members)
            l1, rest_energy = _energy_by_correlations(size, sample.energy, projected, i, members)
            top = _find_highest(bits, rules.magnitude, finder)
            error = (n_features + size + 5) * (np.sqrt(2 * sample.energy) + 2 * rules.longest * l1)
            gap = _certify(
                i, size, top, error, rest_energy, np.bool_(False), tiles, problem, block, members, finder, residual
            )
            if gap <= rules.tol:
                _remember(i, size, block, members)
                sample.gap, sample.status = gap, CERTIFIED
                break
            objective, n_new = rest_energy + sample.alpha * l1, NO_ROOM
            goes_on = solved and objective < lowest - rules.unit * sample.energy and size <= rules.gram_support
            if goes_on and sample.n_iter < rules.max_iter and sample.work <= rules.max_work:
                n_new = _grow(size, top, rest_energy, sample.alpha, rules, row, tiles, members, finder)
            if n_new == NO_ROOM:
                if not _settle(i, size, problem, block, members, residual):
                    _write_residual(i, problem, block, residual)
                if not solved:
                    sample.is_hard = True
                n_left = _leave_open(i, n_left, block, residual)
                break
            lowest, size = objective, size + n_new
            for p in range(size):
                products.ready[p] = False
            solved = _solve(i, size, rest_energy, problem, block, members, products, newton)
            size = _drop_zeros(size, members)
    return n_left


@compiled(**FUSED)
def make_round(n_open, correlations, problem, block, room):
    """Make a round of each open sample, with the correlations of its residual; return how many are left open."""
    rules = problem.rules
    members, products, newton, finder, residual = room.members, room.products, room.newton, room.finder, room.residual
    n_features = block.X.shape[1]
    n_left = np.intp(0)
    for place in range(n_open):
        i = block.open_samples[place]
        sample, row, tiles = block.samples[i], correlations.rows[place], correlations.tiles[place]
        size = _recall(i, block, members, newton)
        _take_out(size, row, members)
        top = _find_highest(correlations.bits[place], rules.magnitude, finder)
        error = (n_features + 3) * np.sqrt(2 * sample.rest_energy)
        rests, is_last = sample.in_vain >= PATIENCE, sample.n_iter >= rules.max_iter
        ends = rests or is_last
        sample.gap = _certify(
            i, size, top, error, sample.rest_energy, ends, tiles, problem, block, members, finder, residual
        )
        n_new = 0
        if sample.gap <= rules.tol:
            sample.status = CERTIFIED
        elif ends:
            sample.status = AT_REST if rests else OUT_OF_ITERATIONS
        else:
            n_new = _grow(size, top, sample.rest_energy, sample.alpha, rules, row, tiles, members, finder)
            sample.status = TOO_DENSE if n_new == NO_ROOM or sample.work > rules.max_work else OPEN
        if sample.status != OPEN:
            continue
        size += n_new
        settled = False
        if not sample.is_hard:
            _multiply(size, members.atoms, problem.dictionary, products)
            solved = _solve(i, size, sample.rest_energy, problem, block, members, products, newton)
            settled = _settle(i, size, problem, block, members, residual)
            if settled and not solved:
                sample.is_hard = True
        else:
            sample.n_iter += 1
        if not settled:
            _write_residual(i, problem, block, residual)
            _solve_directly(i, size, problem, block, members, residual, room.direct)
            settled = _settle(i, size, problem, block, members, residual)
        if not settled:  # neither way is down: the precision of the dtype is exhausted
            sample.in_vain = PATIENCE
            _write_residual(i, problem, block, residual)
        n_left = _leave_open(i, n_left, block, residual)
    return n_left


# Certify


@njit(**FUSED)
def _find_highest(bits, magnitude, finder):
    """Find the highest correlation of each tile, in absolute value if codes are signed; return that of all, at least 0.

    On the bits of the floats, as integers, because compilers vectorise the maximum of integers only.
    """
    highest, highest_bits = finder.highest, finder.bits
    integer = highest_bits.dtype.type
    overall = integer(0)
    n_tiles = bits.shape[0]
    for t in range(n_tiles):
        top = integer(0)
        for k in range(bits.shape[1]):
            top = max(top, integer(bits[t, k] & magnitude))
        highest_bits[t] = top
        overall = max(overall, top)
    highest_bits[n_tiles] = overall
    return highest[n_tiles]


@njit(**INLINED)
def _energy_by_correlations(size, energy, projected, i, members):
    """Return the L1 norm of the codes and half the squared norm of their residual, without the residual."""
    l1, rest_energy = 0.0, energy
    for p in range(size):
        code = np.float64(members.codes[p])
        l1 += abs(code)
        rest_energy -= 0.5 * code * (np.float64(projected[i, members.atoms[p]]) + np.float64(members.slope[p]))
    return l1, max(rest_energy, 0.0)


@njit(**INLINED)
def _certify(i, size, top, error, rest_energy, ends, tiles, problem, block, members, finder, residual):
    """Return the relative duality gap of the codes at hand.

    An estimate by the correlations at hand will do while it is far above the tolerance, unless the work on the sample
    ends here. ``top`` is the highest correlation of an atom that is no member, ``error`` a bound on the errors of
    correlations with an atom of norm 1, in half units in the last place.
    """
    rules, sample = problem.rules, block.samples[i]
    gap = small_gap(size, members.slope, members.codes, top, rest_energy, sample.alpha, rules.positive)
    if ends or not gap > 2 * rules.tol * sample.energy:
        margin = 0.5 * rules.unit * rules.longest * error
        n_top = 0
        if not top + margin <= sample.alpha:  # others than those near the highest cannot be the highest
            n_top = _collect(tiles, top - 2 * margin, finder.highest, rules.positive, finder.found)
        gap = _exact_gap(i, size, n_top, problem, block, members, finder.found, residual)
    return gap / sample.energy if gap > 0 else max(gap, 0.0)


@njit(**IN_ORDER)
def _exact_gap(i, size, n_top, problem, block, members, found, residual):
    """Return the duality gap of the codes at hand, in float64, given the other atoms that may correlate most."""
    atoms, codes, slope = members
    exact, positive = problem.exact, problem.rules.positive
    rest_energy = write_residual(block.X, i, size, atoms, codes, exact, residual)
    steepest, l1, inner = 0.0, 0.0, 0.0
    for p in range(n_top):
        correlation = correlate(found[p], exact, residual)
        steepest = max(steepest, correlation if positive else abs(correlation))
    for p in range(size):
        correlation = correlate(atoms[p], exact, residual)
        slope[p] = correlation  # for the next solution, too
        steepest = max(steepest, correlation if positive else abs(correlation))
        l1 += abs(np.float64(codes[p]))
        inner += codes[p] * correlation
    return gap_of(steepest, l1, inner, rest_energy, block.samples[i].alpha)


# Grow


@njit(**FUSED)
def _grow(size, top, rest_energy, alpha, rules, row, tiles, members, finder):
    """Add the atoms that violate most to the members; return how many, or NO_ROOM if there is none for any."""
    positive, found = rules.positive, finder.found
    if top <= alpha:
        return 0
    most = min(max(rules.n_violators, size), members.atoms.shape[0] - size)
    if most == 0:
        return NO_ROOM
    noise = min(rules.noise * np.sqrt(2 * rest_energy), 0.5 * (alpha + top))  # and half way up to the top at most
    bar = row.dtype.type(max(alpha if size == 0 else NEAR * alpha, noise))
    n_new = _collect(tiles, bar, finder.highest, positive, found)
    if n_new > most:
        n_new = _raise_bar(row, bar, top, n_new, most, positive, found)
    for p in range(n_new):
        j = found[p]
        members.atoms[size + p], members.codes[size + p], members.slope[size + p] = j, 0, row[j]
    return n_new


@njit(**FUSED)
def _collect(tiles, height, highest, positive, found):
    """List the atoms with a correlation of at least ``height``; return their number."""
    width = tiles.shape[1]
    height = highest.dtype.type(height)
    count = np.uintp(0)
    for t in range(tiles.shape[0]):
        if highest[t] >= height:
            if positive:
                for k in range(width):
                    found[count] = t * width + k
                    count += np.uintp(tiles[t, k] >= height)
            else:
                for k in range(width):
                    found[count] = t * width + k
                    count += np.uintp(abs(tiles[t, k]) >= height)
    return np.intp(count)


@njit(**FUSED)
def _raise_bar(row, height, top, count, most, positive, found):
    """Drop the lowest of the atoms found until at most ``most`` are left; return their number."""
    while count > most:
        lower, height = height, type(height)(0.75 * height + 0.25 * top)
        if height <= lower:  # equals: as many as there is room for
            return most
        kept = 0
        for p in range(count):
            j = found[p]
            q = row[j]
            found[kept] = j
            kept += (q if positive else abs(q)) >= height
        count = kept
    return count


# Solve


@njit(**FUSED)
def _multiply(size, atoms, dictionary, products):
    """Compute the Gram matrix of the members."""
    compute_gram(size, atoms, dictionary, products.copies, products.gram)
    for p in range(size):
        products.ready[p] = True


@njit(**INLINED)
def _solve(i, size, rest_energy, problem, block, members, products, newton):
    """Solve the problem over the members by their Gram matrix; return whether that has met its tolerance."""
    rules, sample = problem.rules, block.samples[i]
    for p in range(size):
        products.inverse[p] = 1 / problem.squared_norms[members.atoms[p]]
    target = INNER_TOL * rules.tol * sample.energy
    solved, work = solve_small(
        size, members, products, newton, rest_energy, target, sample.alpha, rules.positive, rules.most_clipped
    )
    sample.work += work
    sample.n_iter += 1
    return solved


@njit(**FUSED)
def _solve_directly(i, size, problem, block, members, residual, direct):
    """Solve the problem over the members in float64, from the codes settled for, which have this residual."""
    rules, sample = problem.rules, block.samples[i]
    compute_gram(size, members.atoms, problem.exact, direct.copies, direct.gram)
    for p in range(size):
        direct.codes[p] = block.values[i, p] if p < sample.size else 0.0
        direct.slope[p] = correlate(np.uintp(p), direct.copies, residual)
    floor = FLOOR * rules.longest * np.sqrt(2 * sample.energy)
    sample.work += solve_directly(size, direct, DEPENDENT, floor, sample.alpha, rules.positive)
    for p in range(size):
        members.codes[p] = direct.codes[p]


# Settle


@njit(**INLINED)
def _recall(i, block, members, newton):
    """Make the support of a sample the members; return how many."""
    newton.factored[0] = -1
    size = block.samples[i].size
    for p in range(size):
        members.atoms[p], members.codes[p] = block.support[i, p], block.values[i, p]
    return size


@njit(**INLINED)
def _take_out(size, row, members):
    """Give members their correlations, and blank these in the row, where only other atoms are looked for."""
    for p in range(size):
        members.slope[p] = row[members.atoms[p]]
        row[members.atoms[p]] = 0


@njit(**FUSED)
def _drop_zeros(size, members):
    """Keep the non-zero members; return how many."""
    kept = 0
    for p in range(size):
        members.atoms[kept], members.codes[kept] = members.atoms[p], members.codes[p]
        kept += members.codes[p] != 0
    return kept


@njit(**INLINED)
def _remember(i, size, block, members):
    """Store the non-zero members as the support of a sample."""
    kept = 0
    for p in range(size):
        block.support[i, kept], block.values[i, kept] = members.atoms[p], members.codes[p]
        kept += members.codes[p] != 0
    block.samples[i].size = kept


@njit(**IN_ORDER)
def _settle(i, size, problem, block, members, residual):
    """Write the residual of the codes at hand, and store them unless they raise the objective; return if so."""
    sample = block.samples[i]
    rest_energy = write_residual(block.X, i, size, members.atoms, members.codes, problem.exact, residual)
    l1 = 0.0
    for p in range(size):
        l1 += abs(np.float64(members.codes[p]))
    objective = rest_energy + sample.alpha * l1
    if not objective <= sample.objective:
        return False
    fell = objective < sample.objective - problem.rules.unit * sample.energy
    sample.in_vain = 0 if fell else sample.in_vain + 1
    sample.is_hard = not fell
    sample.objective, sample.rest_energy = objective, rest_energy
    _remember(i, size, block, members)
    return True


@njit(**FUSED)
def _write_residual(i, problem, block, residual):
    """Write the residual of the codes settled for."""
    size = block.samples[i].size
    write_residual(block.X, i, size, block.support[i], block.values[i], problem.exact, residual)


@njit(**INLINED)
def _leave_open(i, n_left, block, residual):
    """Line a sample up for the next product; return how many there are."""
    block.open_samples[n_left] = i
    for k in range(residual.shape[0]):
        block.rest[n_left, k] = residual[k]
    return n_left + 1
