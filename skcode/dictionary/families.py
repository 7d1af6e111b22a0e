"""Concepts in families, which a search finds as one atom each, and how they are taken apart.

Where a concept comes only with another one, its parent, an atom for both together costs one code instead of two. So a
search finds whole families as one atom: a leaf with its parent, its grandparent and so on. But families share their
elders. Atoms that share a direction beyond chance have that direction as their parent, and keep what is their own.

This is done to what is there as a whole when an atom fires, the atom and all that nearly always fires with it, since
that does not depend on which atom of a family holds what. Wholes are joined two by two, the most similar first, as long
as they are more similar than chance. Every join whose mean is far from that of the family around it becomes an atom:
the difference between the two.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.special import betaincinv

from .._norms import unit_rows
from .coding import Coder
from .schedule import Families, Schedule
from .statistics import least_squares

_NO_CHANCE = 0.01  # how probable two as similar are among random directions, at most, where there are families
_ROWS_AT_ONCE = 1024  # whose cosines with all others are held: 40 MB at n=10,000


def taken_apart(
    X: np.ndarray, components: np.ndarray, coder: Coder, schedule: Schedule, *, recentres: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return atoms of single concepts in place of atoms of families, where they explain samples at less cost.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Samples.
    components : ndarray of shape (n_components, n_features)
        Atoms, unit norm or zero.
    coder : Coder
        How samples are coded. Its penalty is the scale of those here.
    schedule : Schedule
        Constants.
    recentres : bool, default=False
        Whether something may be subtracted from all samples. The mean of samples is also that of their concepts: with
        it gone, atoms have to bring back what is missing.

    Returns
    -------
    components : ndarray of shape (n_components, n_features)
        New atoms, zero where there are fewer than before; or those given, where there are no families, or the last
        penalty of a finish would not be lower.
    shift : ndarray of shape (n_features,)
        What is to be subtracted.
    """
    rule = schedule.families
    at_work = rule.coder(coder)
    last = coder._replace(alpha=schedule.alpha_finish * coder.alpha, gamma=schedule.gamma_finish)
    judging = X[:: max(len(X) // rule.n_judging, 1)]
    given = (components, np.zeros(X.shape[1], X.dtype))
    best, lowest = given, np.inf
    for _ in range(rule.at_most):
        trial, shift = best[0][best[0].any(axis=1)], best[1]
        tree = joined(wholes(trial, at_work.codes(X - shift, trial), rule))
        if not tree.is_joined:
            break
        before = lowest
        trial = unit_rows(atoms_of(tree, rule)).astype(components.dtype)
        for _ in range(rule.n_rounds):
            trial, shift, energy = _improved(X, trial, shift, at_work, rule, recentres)
            if not len(trial):  # none of them was used enough
                break
            chosen = np.sort(np.argsort(-energy, kind="stable")[: len(components)])
            candidate = np.concatenate([trial[chosen], np.zeros_like(components[len(chosen) :])])
            objective = last.objective(judging - shift, candidate)
            if objective < lowest:  # a concept without an atom pulls the others away, further in each round
                best, lowest = (candidate, shift), objective
        if lowest > (1 - rule.least_gain) * before:
            break
    return best if lowest < last.objective(judging, components) else given


def wholes(components: np.ndarray, codes: sp.csr_array, rule: Families) -> np.ndarray:
    """Return what is there when an atom fires: the atom, and those that nearly always fire with it.

    A mean over the samples that are the atom's own: none of the atoms that nearly always bring this one with them, as
    children bring their parent, fires in them. An atom with hardly any such samples has no whole.

    Parameters
    ----------
    components : ndarray of shape (n_components, n_features)
        Atoms.
    codes : csr_array of shape (n_samples, n_components)
        Non-negative codes.
    rule : Families
        Constants.

    Returns
    -------
    wholes : ndarray of shape (n_wholes, n_features), dtype float64
        Sums of atoms by their mean codes.
    """
    fires = _indicator(codes)
    usage = fires.sum(axis=0)
    implies = _at_least(rule.always, _shares(fires, fires, usage))
    implies = sp.csr_array(implies * (usage >= rule.fewest)[:, None])
    implies = sp.csr_array(implies - implies.multiply(implies.T))  # neither itself, nor one that implies it
    implied = sp.csr_array((fires @ implies).multiply(fires))
    own = sp.csr_array(fires - _indicator(implied))
    own.eliminate_zeros()
    n_own = own.sum(axis=0)
    has_own = (usage >= rule.fewest) & (n_own >= np.maximum(rule.fewest, rule.own_share * usage))
    own, n_own = sp.csr_array(own[:, has_own]), n_own[has_own]
    company = _at_least(rule.always, _shares(own, fires, n_own))
    return _shares(own, codes, n_own).multiply(company) @ components.astype(np.float64)


def _indicator(codes):
    """Return ones where there are codes."""
    return sp.csr_array((np.ones(codes.nnz), codes.indices, codes.indptr), shape=codes.shape)


def _shares(ones, others, counts):
    """Return sums of the others over the samples of each atom, by how many these are."""
    return sp.csr_array(sp.diags_array(1 / np.maximum(counts, 1)) @ (ones.T @ others))


def _at_least(bound, matrix):
    """Return ones where a sparse matrix is large enough."""
    chosen = sp.csr_array(((matrix.data >= bound).astype(float), matrix.indices, matrix.indptr), shape=matrix.shape)
    chosen.eliminate_zeros()
    return chosen


class Tree(NamedTuple):
    """Groups: first single members, then each join of two groups before it.

    Attributes
    ----------
    means : ndarray of shape (n_groups, n_features)
        Mean of the members of each group.
    pairs : ndarray of shape (n_groups, 2), dtype intp
        The two groups that were joined; -1 for single members.
    tops : ndarray of shape (n_tops,), dtype intp
        Groups that are not joined any more.
    """

    means: np.ndarray
    pairs: np.ndarray
    tops: np.ndarray

    @property
    def is_joined(self) -> bool:
        """Whether there is any join."""
        return len(self.tops) < len(self.means)


def joined(members: np.ndarray) -> Tree:
    """Join the two groups with the most similar means, again and again, until chance would do as well.

    Chance is what one pair of as many random directions as there are groups is expected to reach. That may join a pair
    of concepts that have nothing in common, so there are no joins at all unless some pair is more similar than that.
    Similar are the *means* of groups. Members of two groups have cosines by chance, and the average linkage of all
    their pairs keeps that chance, while means average it away.
    """
    n, n_features = members.shape
    means, sizes = list(members.astype(np.float64)), np.ones(2 * n)
    group, live = np.arange(n), np.ones(n, bool)  # the group in each place
    units = unit_rows(members).astype(np.float32)
    nearest, cosine = np.zeros(n, np.intp), np.full(n, -np.inf)

    def look(places):
        for start in range(0, len(places), _ROWS_AT_ONCE):
            rows = places[start : start + _ROWS_AT_ONCE]
            cosines = units[rows] @ units.T
            cosines[:, ~live] = -np.inf
            cosines[np.arange(len(rows)), rows] = -np.inf
            nearest[rows] = cosines.argmax(axis=1)
            cosine[rows] = cosines.max(axis=1)

    look(np.arange(n))
    pairs = [(-1, -1)] * n
    has_families = n > 1 and cosine.max() > chance_cosine(n**2 / 2 / _NO_CHANCE, n_features)
    for n_groups in range(n, 1, -1) if has_families else ():
        one = int(np.where(live, cosine, -np.inf).argmax())
        other = int(nearest[one])
        if cosine[one] <= chance_cosine(n_groups**2 / 2, n_features):
            break
        first, second = group[one], group[other]
        size = sizes[first] + sizes[second]
        means.append((sizes[first] * means[first] + sizes[second] * means[second]) / size)
        sizes[len(pairs)], group[one], live[other] = size, len(pairs), False
        pairs.append((first, second))
        units[one] = unit_rows(means[-1][None])[0]
        look(np.array([one]))
        cosines = units @ units[one]
        cosines[one] = -np.inf
        closer = live & (cosines > cosine)
        stale = live & ~closer & np.isin(nearest, [one, other])
        stale[one] = False  # it has been looked at
        nearest[closer], cosine[closer] = one, cosines[closer]
        look(np.flatnonzero(stale))
    return Tree(np.array(means).reshape(-1, n_features), np.array(pairs, np.intp).reshape(-1, 2), group[live])


def chance_cosine(n_pairs: float, n_features: int) -> float:
    """Return the cosine that one of so many pairs of random directions is expected to exceed.

    The squared cosine of a pair has a beta distribution.
    """
    if n_features == 1:
        return 1.0
    both_signs = min(2 / n_pairs, 1.0)
    return float(np.sqrt(1 - betaincinv((n_features - 1) / 2, 0.5, both_signs)))


def atoms_of(tree: Tree, rule: Families) -> np.ndarray:
    """Return atoms: each member, and each join that is a family of its own, less the mean of the family around it.

    A join is a family of its own if its mean is far from that of the family around it, in units of what is typically a
    member's own. Otherwise it only joins some of that family's members, and those belong to the family itself: the
    means of two or three of four children are not far from that of all.
    """
    single = tree.pairs[:, 0] < 0
    above = np.full(len(tree.means), -1)
    for half in tree.pairs[~single].T:
        above[half] = np.flatnonzero(~single)
    lone = single & (above >= 0)
    own = np.einsum("ij,ij->i", tree.means[lone], tree.means[lone])
    first, second = tree.pairs[above[lone]].T
    own -= np.einsum("ij,ij->i", tree.means[first], tree.means[second])
    far = rule.apart * np.median(own)
    found, to_do = [], [(top, np.zeros(tree.means.shape[1])) for top in tree.tops]
    while to_do:
        group, around = to_do.pop()
        mean = tree.means[group]
        found.append(mean - around)
        inside = [] if single[group] else list(tree.pairs[group])
        while inside:
            part = inside.pop()
            if single[part] or ((tree.means[part] - mean) ** 2).sum() > far:
                to_do.append((part, mean))
            else:
                inside += list(tree.pairs[part])
    return np.array(found)


def _improved(X, components, shift, coder, rule, recentres):
    """Return least-squares atoms but those that are used little or twice, the best shift, and energies."""
    codes = coder.codes(X - shift, components)
    energy = codes.power(2).sum(axis=0)
    components, more = least_squares(X - shift, codes, components, recentres=recentres)
    order = np.argsort(-energy, kind="stable")
    kept = np.bincount(codes.indices, minlength=len(components)) >= rule.fewest
    ranked = components[order]
    for start in range(0, len(ranked), _ROWS_AT_ONCE):
        rows = ranked[start : start + _ROWS_AT_ONCE]
        cosines = np.abs(rows @ ranked.T)
        earlier = np.arange(len(ranked)) < np.arange(start, start + len(rows))[:, None]
        kept[order[start : start + len(rows)]] &= ~(earlier & (cosines > rule.duplicate)).any(axis=1)
    return components[kept], shift + more, energy[kept]
