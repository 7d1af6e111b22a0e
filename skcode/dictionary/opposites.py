"""A concept that is found twice, with either sign, because other atoms lean towards it.

Where a concept ``a`` is in most samples of others, their atoms may take some of it over: with ``d_j + e_j a`` instead
of ``d_j``, the code of ``a`` becomes ``z_a - sum_j e_j z_j``, and with an atom for ``-a`` it may be negative. That is a
local optimum, and costs another concept its atom. But codes know the lean: it is what makes the code of ``a``, with its
sign, non-negative again.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import lsqr

from .._norms import unit_rows
from .coding import Coder
from .redundancy import directions_of
from .schedule import Opposites, Schedule, batch_size, searched_atoms
from .statistics import Statistics, updated

_ROWS_AT_ONCE = 1024  # whose cosines with all atoms are held: 40 MB at n=10,000
_MOST_ITERATIONS = 100  # of a regression, a bound: each but the first starts at the one before


def mended(X: np.ndarray, components: np.ndarray, coder: Coder, schedule: Schedule) -> np.ndarray:
    """Return atoms without concepts that were found with either sign, where the objective is lower without.

    One pair is tried after the other, the most common first, until a trial does not lower the objective. A trial takes
    one of the two away, the others lose their lean, and mini-batches settle what is then left over.
    """
    rule = schedule.opposites
    judging = X[:: max(len(X) // rule.n_judging, 1)]
    for _ in range(rule.at_most):
        pairs = opposites(components, rule)
        codes = coder.codes(X, components) if len(pairs) else None
        pair = most_common(pairs, codes, rule) if len(pairs) else None
        if pair is None:
            break
        trial = without_lean(components, *pair, codes, rule)
        missed = judging - coder.codes(judging, trial) @ trial
        new, _ = directions_of(missed, 1, schedule.redundancy, positive=True)
        trial[pair[1]] = new[0] if len(new) else 0
        trial = _settled(X, trial, coder, schedule)
        if coder.objective(judging, trial) >= coder.objective(judging, components):
            break
        components = trial
    return components


def _settled(X, components, coder, schedule):
    """Return atoms improved by a few mini-batches, from fresh statistics."""
    n_components = len(components)
    statistics = Statistics(*components.shape, components.dtype)
    n_batches = -(-len(X) // batch_size(len(X), n_components))
    n_steps = -(-schedule.opposites.visits * searched_atoms(n_components) * n_batches // len(X))
    for step in range(n_steps):
        batch = X[step % n_batches :: n_batches]
        statistics.absorb(coder.codes(batch, components), batch, schedule.memory ** (len(batch) / n_components))
        components = updated(components, statistics)
    return components


def opposites(components: np.ndarray, rule: Opposites) -> np.ndarray:
    """Return the pairs of unit atoms that are each other's opposites, as numbers of shape (n_pairs, 2)."""
    nearest, cosine = np.empty(len(components), np.intp), np.empty(len(components))
    for start in range(0, len(components), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        cosines = components[rows] @ components.T
        nearest[rows], cosine[rows] = cosines.argmin(axis=1), cosines.min(axis=1)
    numbers = np.arange(len(components))
    mutual = (nearest[nearest] == numbers) & (numbers < nearest) & (cosine < rule.cosine)
    return np.column_stack([numbers, nearest])[mutual]


def most_common(pairs: np.ndarray, codes: sp.csr_array, rule: Opposites) -> tuple[int, int] | None:
    """Return the pair that most samples use, the more used atom first, or None if no pair is common."""
    usage = np.bincount(codes.indices, minlength=codes.shape[1])
    together = usage[pairs].sum(axis=1)
    if not (together > rule.common * np.median(usage)).any():
        return None
    one, other = pairs[together.argmax()]
    return (one, other) if usage[one] >= usage[other] else (other, one)


def without_lean(components: np.ndarray, kept: int, opposite: int, codes: sp.csr_array, rule: Opposites) -> np.ndarray:
    """Return the atoms without their lean towards one that has an opposite; the opposite is zero."""
    by_atom = codes.tocsc().astype(np.float64)
    others = np.delete(np.arange(len(components)), [kept, opposite])
    signed = (by_atom[:, [kept]] - by_atom[:, [opposite]]).toarray().ravel()
    lean = _lean(signed, by_atom[:, others].tocsr(), rule)
    upright = components.copy()
    upright[others] -= np.outer(lean, components[kept]).astype(components.dtype)
    upright[opposite] = 0
    return unit_rows(upright)


def _lean(signed, codes, rule):
    """Return weights with which codes added to the signed one make it non-negative, and zero where it is small.

    Least squares over the samples that seem to be without the concept, chosen anew a few times.
    """
    scale = np.sqrt(np.mean(signed**2))
    damp = np.sqrt(rule.ridge * (codes.data @ codes.data) / codes.shape[1])
    lean = np.zeros(codes.shape[1])
    for threshold in np.repeat(rule.taken_for_zero, rule.n_reweighted):
        without = signed + codes @ lean < threshold * scale
        weight = np.sqrt(np.where(without, 1.0, rule.weight_with))
        lean = lsqr(sp.diags_array(weight) @ codes, -weight * signed, damp=damp, iter_lim=_MOST_ITERATIONS, x0=lean)[0]
    return lean
