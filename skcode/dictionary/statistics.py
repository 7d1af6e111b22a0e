"""What samples and their codes say about a dictionary, and the update of its atoms by that.

Statistics of codes ``Z`` of samples ``X`` are ``A = sum z' z`` and ``B = sum z' x``: all that the quadratic
``1/2 ||X - Z D||^2`` says about ``D``, whatever the number of samples (Mairal et al., 2010).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.linalg import cho_factor, cho_solve

from .._compiled import ALLOCATES, FUSED, compiled
from .._norms import unit_rows
from .._rows import subtract_rows

_NEGLIGIBLE = 1e-6  # of an atom's own energy; statistics that have faded to less are dropped, which keeps A sparse
_RIDGE = 1e-3  # of an atom's own energy, on least squares; 1e-6 of the largest
_FADED = 1e-12  # of the largest energy; an atom with less stays as it is: in float32 the rest would be rounding


class Evidence(NamedTuple):
    """What a dictionary rests on, in short."""

    n_samples: float
    energy: np.ndarray  # sum of squared codes of each atom


class Statistics:
    """Fading sums over samples.

    Attributes
    ----------
    A : ndarray of shape (n_components, n_components)
        Products of codes.
    B : ndarray of shape (n_components, n_features)
        Products of codes and samples.
    n_samples : float
        Number of samples, each counted by what is left of it.
    """

    def __init__(self, n_components: int, n_features: int, dtype):
        self.n_samples = 0.0
        self.A = np.zeros((n_components, n_components), dtype)
        self.B = np.zeros((n_components, n_features), dtype)

    @classmethod
    def around(cls, components: np.ndarray, evidence: Evidence) -> Statistics:
        """Return statistics whose quadratic is lowest at some atoms, each as firm as its evidence.

        Near the minimum of a quadratic, its curvature is all that counts. Of that the diagonal is kept.
        """
        statistics = cls(*components.shape, components.dtype)
        statistics.n_samples = evidence.n_samples
        np.fill_diagonal(statistics.A, evidence.energy)
        statistics.B[:] = statistics.energy[:, None] * components
        return statistics

    @property
    def energy(self) -> np.ndarray:
        """Sum of squared codes of each atom, of shape (n_components,)."""
        return np.diag(self.A)

    @property
    def evidence(self) -> Evidence:
        """What is known, in short."""
        return Evidence(self.n_samples, self.energy.copy())

    def copy(self) -> Statistics:
        """Return statistics that go on on their own."""
        copied = Statistics.__new__(Statistics)
        copied.n_samples, copied.A, copied.B = self.n_samples, np.array(self.A), np.array(self.B)
        return copied

    def absorb(self, codes: sp.csr_array, X: np.ndarray, memory: float = 1.0) -> None:
        """Multiply what was seen so far by ``memory``, and add samples and their codes."""
        _absorb(self.A, self.B, self.A.dtype.type(memory), codes.indptr, codes.indices, codes.data, X)
        self.n_samples = memory * self.n_samples + len(X)

    def forget(self, atoms: np.ndarray) -> None:
        """Forget what is known of some atoms, given by their numbers."""
        self.A[atoms], self.A[:, atoms], self.B[atoms] = 0, 0, 0


@compiled(**FUSED)
def _absorb(A, B, memory, indptr, indices, data, X):
    if memory != 1:
        for j in range(A.shape[0]):
            least = abs(A[j, j]) * A.dtype.type(_NEGLIGIBLE)
            for k in range(A.shape[1]):
                value = A[j, k] * memory
                A[j, k] = value if abs(value) > least else A.dtype.type(0)
            for k in range(B.shape[1]):
                B[j, k] *= memory
    for i in range(X.shape[0]):
        for p in range(indptr[i], indptr[i + 1]):
            j, z = indices[p], data[p]
            for q in range(indptr[i], indptr[i + 1]):
                A[j, indices[q]] += z * data[q]
            for k in range(X.shape[1]):
                B[j, k] += z * X[i, k]


def updated(components: np.ndarray, statistics: Statistics, n_sweeps: int = 1) -> np.ndarray:
    """Return atoms that lower the quadratic: each in turn at its minimum given the others, scaled to norm 1.

    All atoms at once would diverge. An atom that no sample used, or that has all but faded, stays.
    """
    components = np.array(components)
    _update_atoms(components, statistics.A, statistics.B, n_sweeps)
    return components


def _solved(components: np.ndarray, statistics: Statistics) -> np.ndarray:
    """Return atoms at the minimum of the quadratic over all of them at once, of any norm (MOD; Engan et al., 1999).

    Unlike `updated`, it goes all the way where atoms always come together. A small ridge holds on to the atoms given.
    """
    A, B = statistics.A.astype(np.float64), statistics.B.astype(np.float64)
    ridge = _RIDGE * np.diag(A) + _RIDGE**2 * np.diag(A).max(initial=0.0)
    if not ridge.any():
        return components
    B += ridge[:, None] * components
    A[np.diag_indices_from(A)] += ridge
    # The transpose of a symmetric matrix is itself, in the order in which LAPACK needs no copy.
    factor = cho_factor(A.T, overwrite_a=True, check_finite=False)
    return cho_solve(factor, B, check_finite=False).astype(components.dtype)


def least_squares(
    X: np.ndarray, codes: sp.csr_array, components: np.ndarray, *, recentres: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the unit atoms that are best for the codes of samples, and what is best subtracted from samples.

    What is subtracted is found as an atom that is always on if ``recentres``, and else zero.
    """
    nothing = np.zeros((1, components.shape[1]), components.dtype)
    if recentres:
        codes = sp.csr_array(sp.hstack([codes, np.ones((len(X), 1), codes.dtype)]))
        components = np.concatenate([components, nothing])
    statistics = Statistics(*components.shape, components.dtype)
    statistics.absorb(codes, X)
    found = _solved(components, statistics)
    atoms, shift = (found[:-1], found[-1]) if recentres else (found, nothing[0])
    return unit_rows(atoms), shift


@compiled(**FUSED | ALLOCATES)
def _update_atoms(components, A, B, n_sweeps):
    n_components, n_features = components.shape
    zero = components.dtype.type(0)
    largest = zero
    for j in range(n_components):
        largest = max(largest, A[j, j])
    others, weights = np.empty(n_components, np.intp), np.empty(n_components, components.dtype)
    atom = np.empty(n_features, components.dtype)
    for _ in range(n_sweeps):
        for j in range(n_components):
            own = A[j, j]
            if own <= largest * components.dtype.type(_FADED):
                continue
            count = 0
            for k in range(n_components):
                others[count], weights[count] = k, A[j, k]
                count += (A[j, k] != zero) & (k != j)
            for k in range(n_features):
                atom[k] = B[j, k]
            subtract_rows(atom, count, others, weights, components)
            norm = 0.0  # in float64: the square of what is small or large need not be a float32
            for k in range(n_features):
                norm += np.float64(atom[k]) * np.float64(atom[k])
            if norm > 0.0:
                scale = 1 / np.sqrt(norm)
                for k in range(n_features):
                    components[j, k] = atom[k] * scale
