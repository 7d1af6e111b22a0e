"""Atoms that are one too many, and the directions that take their place."""

from __future__ import annotations

from functools import partial

import numpy as np

from .._parallel import map_chunks
from .schedule import Redundancy

_ROWS_AT_ONCE = 1024  # whose correlations with all atoms are held: 40 MB at n=10,000
_CHANCE_DRAWS = 200  # random atoms, of which one in a hundred is explained by others as far as "by chance"
_CHANCE_QUANTILE = 0.99
_RIDGE = 1e-9  # on the Gram matrix of explainers of norm 1, so that equal ones can be solved for
_EQUALLY_WELL = 1  # digit to which shares are told apart: of two atoms that explain each other, usage decides


def redundant_atoms(
    components: np.ndarray,
    usage: np.ndarray,
    threshold: float | np.ndarray,
    rule: Redundancy,
    *,
    positive: bool,
    n_jobs: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of atoms that are unused, near another, or mixtures of others, and how nearly.

    The atoms that others explain best go first. Of atoms that explain each other, the most used stays. Mixtures form
    where concepts often come together: ``a + b`` beside ``a`` and ``b`` costs less than it should, and some other
    concept goes without an atom. How nearly is the share of each atom that others explain, 0 if it is unused.
    """
    used = np.flatnonzero(usage > 0)  # the others explain nothing, and need no explanation
    gone, share = usage <= 0, np.zeros(len(usage))
    share[used], explainers = explained_by_others(components[used], rule, positive=positive, n_jobs=n_jobs)
    thresholds = np.broadcast_to(threshold, usage.shape)
    for k in np.lexsort((usage[used], -np.round(share[used], _EQUALLY_WELL))):
        j, who = used[k], used[explainers[k][explainers[k] >= 0]]
        gone[j] |= share[j] > thresholds[j] and not gone[who].any()
    return np.flatnonzero(gone), share[gone]


def redundancy_threshold(n_components: int, n_features: int, rule: Redundancy, *, positive: bool) -> float:
    """Return the share explained by others from which an atom is redundant, above what happens by chance."""
    random_state = np.random.RandomState(0)
    atoms = random_state.standard_normal((n_components, n_features)).astype(np.float32)
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    first = np.arange(min(_CHANCE_DRAWS, n_components))
    by_chance, _ = explained_by_others(atoms, rule, positive=positive, rows=first)
    chance = np.quantile(by_chance, _CHANCE_QUANTILE)
    return float(max(chance + rule.share * (1 - chance), rule.at_least))


def explained_by_others(
    components: np.ndarray,
    rule: Redundancy,
    *,
    positive: bool,
    rows: np.ndarray | None = None,
    n_jobs: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the share of each atom's energy that a few others explain, and which (-1 for none).

    By orthogonal matching pursuit; with positive weights only, if ``positive``.
    """
    rows = np.arange(len(components)) if rows is None else rows
    work = partial(_explain, rows=rows, components=components, positive=positive, rule=rule)
    if not len(rows):
        return np.empty(0), np.empty((0, rule.n_explainers), np.intp)
    found = map_chunks(work, len(rows), _ROWS_AT_ONCE, n_jobs)
    return tuple(np.concatenate(each) for each in zip(*found, strict=True))


def _explain(part, *, rows, components, positive, rule):
    rows = rows[part]
    atoms = components[rows].astype(np.float64)
    share, explainers = np.zeros(len(rows)), np.full((len(rows), rule.n_explainers), -1)
    rest, going = atoms.astype(components.dtype), np.ones(len(rows), bool)
    for step in range(rule.n_explainers):
        correlation = rest @ components.T
        correlation = correlation if positive else np.abs(correlation)
        np.put_along_axis(correlation, rows[:, None], -np.inf, axis=1)
        for earlier in range(step):
            np.put_along_axis(correlation, explainers[:, earlier, None], -np.inf, axis=1)
        chosen = correlation.argmax(axis=1)
        trial = np.column_stack([explainers[:, :step], chosen])
        basis = components[trial].astype(np.float64)
        gram = basis @ basis.transpose(0, 2, 1) + _RIDGE * np.eye(step + 1)
        inner = np.einsum("rpk,rk->rp", basis, atoms)
        weights = np.linalg.solve(gram, inner[..., None])[..., 0]
        going &= np.isfinite(np.take_along_axis(correlation, chosen[:, None], axis=1)[:, 0])
        going &= np.abs(weights).sum(axis=1) <= rule.most_weight
        if positive:
            going &= (weights > 0).all(axis=1)
        share[going] = np.einsum("rp,rp->r", weights, inner)[going]
        explainers[going, step] = chosen[going]
        if not going.any():
            break
        rest = (atoms - np.einsum("rp,rpk->rk", weights, basis)).astype(components.dtype)
    return share, explainers


def directions_of(
    residuals: np.ndarray, n_directions: int, rule: Redundancy, *, positive: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return unit vectors that many large residuals share, and how much of their squares each explains.

    Fewer, if nothing is left. Each starts at the largest residual, becomes the mean of those near it (or near its
    opposite, unless ``positive``), a few times, and is taken out of them.
    """
    rest = residuals.copy()
    energy = np.einsum("ij,ij->i", rest, rest)
    directions, explained = [], []
    for _ in range(n_directions):
        largest = int(energy.argmax())
        direction = _direction_near(rest, largest, rule, positive)
        if direction is None:
            break
        near, weight = _near(rest, direction, rule, positive)
        rest[near] -= np.outer(weight, direction)
        energy[near] = np.einsum("ij,ij->i", rest[near], rest[near])
        energy[largest] = 0  # not twice, whatever it was moved to
        directions.append(direction)
        explained.append(weight @ weight)
    return np.array(directions, residuals.dtype).reshape(-1, residuals.shape[1]), np.array(explained)


def _direction_near(rest, row, rule, positive):
    """Return the unit vector that residuals near one of them share, or None if nothing is left of that one."""
    mean = rest[row]
    for _ in range(1 + rule.n_steps):
        length = np.linalg.norm(mean)
        if not length > 0:
            return None
        direction = mean / length
        near, weight = _near(rest, direction, rule, positive)
        mean = (weight / np.abs(weight).max()) @ rest[near] if len(near) else direction
    return direction


def _near(rest, direction, rule, positive):
    correlation = rest @ direction
    size = correlation if positive else np.abs(correlation)
    near = np.flatnonzero(size > rule.near * size.max())
    return near, correlation[near]
