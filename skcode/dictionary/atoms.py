"""What a dictionary is made of: its update from statistics of codes, and atoms that are one too many.

Statistics of codes ``Z`` of samples ``X`` are ``A = sum z' z`` and ``B = sum z' x``: all that the quadratic
``1/2 ||X - Z D||^2`` says about ``D``, whatever the number of samples (Mairal et al., 2010).
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from .._compiled import compiled

_FUSED = {"error_model": "numpy", "fastmath": {"contract", "reassoc"}}
_NEGLIGIBLE = 1e-6  # of an atom's own energy; statistics that have faded to less are dropped
_FADED = 1e-12  # of the largest squared codes; an atom with less stays as it is
_ROWS_AT_ONCE = 1024
_EXPLAINERS = 3  # atoms that may explain another
_REDUNDANT = 0.2  # an atom is redundant when others explain it that share of the way from chance to all of it
_LEAST_REDUNDANT = 0.55
_CHANCE_DRAWS = 200
_MOST_WEIGHT = 1.9  # sum of absolute weights of explainers: (a + b) / sqrt(2) has 1.4, and a = sqrt(2) (a + b) - b more
_NEAR_DIRECTION = 0.5  # share of the highest correlation from which a residual counts as one of a direction
_DIRECTION_STEPS = 4


class Statistics:
    """Fading sums over samples: ``A`` of shape (n_components, n_components) and ``B`` of (n_components, n_features)."""

    def __init__(self, n_components: int, n_features: int, dtype):
        self.n_samples = 0.0
        self.A = np.zeros((n_components, n_components), dtype)
        self.B = np.zeros((n_components, n_features), dtype)

    def fade(self, memory: float) -> None:
        """Multiply what was seen so far by ``memory``."""
        self.n_samples *= memory
        _fade(self.A, self.B, self.A.dtype.type(memory))

    def add(self, codes: sp.csr_array, X: np.ndarray) -> None:
        """Add samples and their codes."""
        self.n_samples += len(X)
        _add(codes.indptr, codes.indices, codes.data, X, self.A, self.B)

    def clear(self) -> None:
        """Forget everything."""
        self.n_samples = 0.0
        self.A[:], self.B[:] = 0, 0

    def forget(self, atoms: np.ndarray) -> None:
        """Clear what is known of some atoms, given by their numbers."""
        self.A[atoms], self.A[:, atoms], self.B[atoms] = 0, 0, 0


@compiled(**_FUSED)
def _fade(A, B, memory):
    for j in range(A.shape[0]):
        least = abs(A[j, j]) * A.dtype.type(_NEGLIGIBLE)
        for k in range(A.shape[1]):
            value = A[j, k] * memory
            A[j, k] = value if abs(value) > least else A.dtype.type(0)
        for k in range(B.shape[1]):
            B[j, k] *= memory


@compiled(**_FUSED)
def _add(indptr, indices, data, X, A, B):
    for i in range(X.shape[0]):
        for p in range(indptr[i], indptr[i + 1]):
            j, z = indices[p], data[p]
            for q in range(indptr[i], indptr[i + 1]):
                A[j, indices[q]] += z * data[q]
            for k in range(X.shape[1]):
                B[j, k] += z * X[i, k]


def update_atoms(components: np.ndarray, statistics: Statistics, n_sweeps: int = 1) -> None:
    """Minimise the quadratic over each atom in turn, given the others, and scale it to norm 1; in place.

    All atoms at once would diverge. An atom that no sample used, or that has all but faded, stays.
    """
    _update_atoms(components, statistics.A, statistics.B, n_sweeps)


@compiled(**_FUSED)
def _update_atoms(components, A, B, n_sweeps):
    n_components, n_features = components.shape
    zero = components.dtype.type(0)
    largest = zero
    for j in range(n_components):
        largest = max(largest, A[j, j])
    others, atom = np.empty(n_components, np.intp), np.empty(n_features, components.dtype)
    for _ in range(n_sweeps):
        for j in range(n_components):
            own = A[j, j]
            if own <= largest * components.dtype.type(_FADED):
                continue
            count = 0
            for k in range(n_components):
                others[count] = k
                count += (A[j, k] != zero) & (k != j)
            for k in range(n_features):
                atom[k] = B[j, k]
            p = 0
            while p + 4 <= count:  # four atoms a pass: the sum is loaded and stored once for all
                j0, j1, j2, j3 = others[p], others[p + 1], others[p + 2], others[p + 3]
                a0, a1, a2, a3 = A[j, j0], A[j, j1], A[j, j2], A[j, j3]
                for k in range(n_features):
                    atom[k] -= (
                        a0 * components[j0, k]
                        + a1 * components[j1, k]
                        + a2 * components[j2, k]
                        + a3 * components[j3, k]
                    )
                p += 4
            while p < count:
                j0, a0 = others[p], A[j, others[p]]
                for k in range(n_features):
                    atom[k] -= a0 * components[j0, k]
                p += 1
            norm = 0.0  # in float64: the square of what is small or large need not be a float32
            for k in range(n_features):
                norm += np.float64(atom[k]) * np.float64(atom[k])
            if norm > 0.0:
                scale = 1 / np.sqrt(norm)
                for k in range(n_features):
                    components[j, k] = atom[k] * scale


def redundant_atoms(components: np.ndarray, usage: np.ndarray, threshold: float, *, positive: bool):
    """Return the numbers of atoms that are unused, near another, or mixtures of two or three others, and how nearly.

    Those explained best go first, and of atoms that explain each other the most used stays. Mixtures form where
    concepts often come together: ``a + b`` beside ``a`` and ``b`` costs less than it should, and some other concept
    goes without an atom. How nearly: the share of the atom that others explain, 1 if it is unused.
    """
    share, explainers = explained_by_others(components, usage > 0, positive=positive)
    gone, thresholds = usage <= 0, np.broadcast_to(threshold, usage.shape)
    for j in np.lexsort((usage, -np.round(share, 1))):
        who = explainers[j][explainers[j] >= 0]
        gone[j] |= share[j] > thresholds[j] and not gone[who].any()
    return np.flatnonzero(gone), np.where(usage > 0, share, 1.0)[gone]


def redundancy_threshold(n_components: int, n_features: int, *, positive: bool) -> float:
    """Return the share explained by others from which an atom is redundant, above what happens by chance."""
    random_state = np.random.RandomState(0)
    atoms = random_state.standard_normal((n_components, n_features)).astype(np.float32)
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    first = np.arange(min(_CHANCE_DRAWS, n_components))
    by_chance, _ = explained_by_others(atoms, np.ones(n_components, bool), positive=positive, rows=first)
    chance = np.quantile(by_chance, 0.99)
    return float(max(chance + _REDUNDANT * (1 - chance), _LEAST_REDUNDANT))


def explained_by_others(components, usable, *, positive: bool, rows: np.ndarray | None = None):
    """Return the share of each atom's energy that a few others explain, and which (-1 for none).

    By orthogonal matching pursuit with at most three atoms; with positive weights only, if ``positive``.
    """
    rows = np.arange(len(components)) if rows is None else rows
    parts = np.array_split(rows, -(-len(rows) // _ROWS_AT_ONCE))
    found = [_pursue(part, components, usable, positive) for part in parts]
    return tuple(np.concatenate(each) for each in zip(*found, strict=True))


def _pursue(rows, components, usable, positive):
    atoms = components[rows].astype(np.float64)
    share, explainers = np.zeros(len(rows)), np.full((len(rows), _EXPLAINERS), -1)
    rest, going = atoms.astype(components.dtype), np.ones(len(rows), bool)
    for step in range(_EXPLAINERS):
        correlation = rest @ components.T
        correlation = correlation if positive else np.abs(correlation)
        correlation[:, ~usable] = -np.inf
        np.put_along_axis(correlation, rows[:, None], -np.inf, axis=1)
        for earlier in range(step):
            np.put_along_axis(correlation, explainers[:, earlier, None], -np.inf, axis=1)
        chosen = correlation.argmax(axis=1)
        trial = np.column_stack([explainers[:, :step], chosen])
        basis = components[trial].astype(np.float64)
        gram = basis @ basis.transpose(0, 2, 1) + 1e-9 * np.eye(step + 1)
        inner = np.einsum("rpk,rk->rp", basis, atoms)
        weights = np.linalg.solve(gram, inner[..., None])[..., 0]
        going &= np.isfinite(np.take_along_axis(correlation, chosen[:, None], axis=1)[:, 0])
        going &= np.abs(weights).sum(axis=1) <= _MOST_WEIGHT
        if positive:
            going &= (weights > 0).all(axis=1)
        share[going] = np.einsum("rp,rp->r", weights, inner)[going]
        explainers[going, step] = chosen[going]
        if not going.any():
            break
        rest = (atoms - np.einsum("rp,rpk->rk", weights, basis)).astype(components.dtype)
    return share, explainers


def directions_of(residuals: np.ndarray, n_directions: int, *, positive: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return unit vectors that many large residuals share, and how much of their squares each explains.

    Fewer, if nothing is left. Each starts at the largest residual, becomes the mean of those near it (or near its
    opposite, unless ``positive``), a few times, and is taken out of them.
    """
    rest = residuals.copy()
    energy = np.einsum("ij,ij->i", rest, rest)
    directions, explained = [], []
    for _ in range(n_directions):
        largest = int(energy.argmax())
        direction = _direction_near(rest, largest, positive)
        if direction is None:
            break
        near, weight = _near(rest, direction, positive)
        rest[near] -= np.outer(weight, direction)
        energy[near] = np.einsum("ij,ij->i", rest[near], rest[near])
        energy[largest] = 0  # not twice, whatever it was moved to
        directions.append(direction)
        explained.append(weight @ weight)
    return np.array(directions, residuals.dtype).reshape(-1, residuals.shape[1]), np.array(explained)


def _direction_near(rest, row, positive):
    """Return the unit vector that residuals near one of them share, or None if nothing is left of that one."""
    mean = rest[row]
    for _ in range(1 + _DIRECTION_STEPS):
        length = np.linalg.norm(mean)
        if not length > 0:
            return None
        direction = mean / length
        near, weight = _near(rest, direction, positive)
        mean = (weight / np.abs(weight).max()) @ rest[near] if len(near) else direction
    return direction


def _near(rest, direction, positive):
    correlation = rest @ direction
    size = correlation if positive else np.abs(correlation)
    near = np.flatnonzero(size > _NEAR_DIRECTION * size.max())
    return near, correlation[near]
