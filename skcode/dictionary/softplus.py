"""Codes as softplus of free parameters, descended together with the dictionary: the published Softplus-Adam.

A baseline. As in the authors' code, Adam moves all parameters by the gradient on all samples, and its learning rate
grows by a tenth with each new best loss and is halved after two steps without one. That takes it from 0.001 to about 1
within a hundred steps, and after one to some thousands, by chance, to its floor, where next to nothing is learned.
The loss is::

    mean over samples and features of (x - z D)^2  +  alpha * mean over samples and components of z_j ||d_j||

For each sample, and with unit atoms, that is the objective of skcode at the penalty ``alpha n_features / (2
n_components)``. Three things are not as published. Samples are scaled to the norm that they have there, since learning
rate and start know no scale. Atoms are scaled to norm 1 after the fact, and those that no sample uses to 0. And a
descent ends at the floor, from which it would sometimes, after thousands of steps, get up once more: unless ``tol=0``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from .._training import Adam

N_PASSES = 500  # as published
_STEPS_PER_PASS = 100
_NORM = math.sqrt(10 / 3)  # of samples on the paper's protocol: root mean square with 10 active concepts
_START = -10.0  # of free parameters, give or take 1: codes start next to 0
_LEARNING_RATE, _SLOWEST, _FASTEST = 1e-3, 1e-6, 1.0
_FASTER, _SLOWER, _PATIENCE = 1.1, 0.5, 2
_COUNTED = 0.01  # from where on a code, on a unit atom, counts as non-zero; none of them is zero


class SoftplusDescent:
    """A descent under way.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Samples, offset removed.
    components : ndarray of shape (n_components, n_features)
        Unit atoms to start from.
    alpha : float
        Penalty, in the means of the loss above.
    max_epochs : int
        Most passes of 100 steps.
    tol : float
        Share of its norm by which the dictionary moves in the last pass; with 0, the learning rate may be at its floor.
    rng : RandomState
        Source of the codes to start from.
    X_along : ndarray of shape (n_samples_along, n_features), optional
        Samples whose codes are learned along, as published: they move no atom, but share the learning rate.
    """

    search = None  # nothing that a stream could go on from

    def __init__(self, X, components, alpha, *, max_epochs, tol, rng, X_along=None):
        self.components = components
        self.n_passes = max_epochs
        self._tol = tol
        self._unit = math.sqrt(np.einsum("ij,ij->", X, X, dtype=np.float64) / len(X)) / _NORM or 1.0
        self._alpha = alpha / self._unit
        blocks = {"free": X} | ({} if X_along is None else {"free_along": X_along})
        self._blocks = {name: rows / X.dtype.type(self._unit) for name, rows in blocks.items()}
        self._parameters = {"atoms": components.copy()} | {
            name: (rng.standard_normal((len(rows), len(components))) + _START).astype(X.dtype)
            for name, rows in self._blocks.items()
        }
        self._optimiser = Adam(self._parameters, _LEARNING_RATE)
        self._best, self._misses = np.inf, 0

    def passes(self) -> Iterator[tuple[dict[str, float], bool]]:
        """Learn; yield for each pass what it showed, and whether it was the last.

        Atoms that no sample uses are zero, but may come back.
        """
        atoms = self._parameters["atoms"]
        for epoch in range(1, self.n_passes + 1):
            before = atoms.copy()
            fastest = 0.0
            for _ in range(_STEPS_PER_PASS):
                fastest = max(fastest, self._optimiser.learning_rate)
                loss = self._step()
            counted = self._unit_codes("free") > _COUNTED
            usage = np.count_nonzero(counted, axis=0)[:, None]
            self.components = np.where(usage > 0, atoms / np.maximum(_lengths(atoms), 1e-8), 0)
            change = float(np.linalg.norm(atoms - before) / np.linalg.norm(before))
            at_rest = change < self._tol or (self._tol > 0 and fastest < 2 * _SLOWEST)
            last = at_rest or epoch == self.n_passes
            objective = loss * atoms.shape[1] / 2 * self._unit**2
            yield {"objective": objective, "mean_l0": float(usage.sum() / len(counted)), "change": change}, last
            if last:
                return

    def codes(self, along: bool = False) -> np.ndarray:
        """Return the codes of the moment on the unit atoms, of the samples or of those learned along."""
        return self._unit_codes("free_along" if along else "free") * self.components.dtype.type(self._unit)

    def _unit_codes(self, name):
        return softplus(self._parameters[name]) * _lengths(self._parameters["atoms"]).T

    def _step(self):
        """Move all parameters, then the learning rate; return the loss on the samples."""
        gradients, losses = {}, []
        for name, rows in self._blocks.items():
            loss, gradients[name], of_atoms = loss_and_gradients(
                self._parameters[name], self._parameters["atoms"], rows, self._alpha
            )
            gradients.setdefault("atoms", of_atoms)
            losses.append(loss)
        self._optimiser.step(gradients)
        self._adapt(np.float32(sum(losses)))  # as published: with more digits, what has ended would begin again
        return losses[0]

    def _adapt(self, loss):
        optimiser = self._optimiser
        if loss < self._best:
            self._best, self._misses = loss, 0
            optimiser.learning_rate = min(_FASTER * optimiser.learning_rate, _FASTEST)
            return
        self._misses += 1
        if self._misses == _PATIENCE:
            self._misses = 0
            optimiser.learning_rate = max(_SLOWER * optimiser.learning_rate, _SLOWEST)


def softplus(free: np.ndarray) -> np.ndarray:
    """Return ``log(1 + exp(free))``, accurate where it is next to 0 and where the exponential overflows."""
    codes = np.abs(free)
    np.negative(codes, out=codes)
    np.exp(codes, out=codes)
    np.log1p(codes, out=codes)
    codes += np.maximum(free, 0)
    return codes


def loss_and_gradients(
    free: np.ndarray, atoms: np.ndarray, X: np.ndarray, alpha: float
) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the loss of codes ``softplus(free)``, and its gradients in ``free`` and in ``atoms``."""
    real = X.dtype.type
    codes = softplus(free)
    error = codes @ atoms
    error -= X
    norms, weight = _lengths(atoms), alpha / codes.size
    used = codes.sum(axis=0, dtype=np.float64)[:, None]
    squared_error = float(np.einsum("ij,ij->", error, error, dtype=np.float64)) / error.size
    penalty = weight * float(np.vdot(used, norms))
    error *= real(2 / error.size)
    of_free = error @ atoms.T
    of_free += real(weight) * norms.T
    of_atoms = codes.T @ error
    of_atoms += (weight * used / np.maximum(norms, 1e-8)).astype(X.dtype) * atoms
    slope = np.expm1(np.negative(codes, out=codes), out=codes)  # minus that of softplus, which is 1 - exp(-softplus)
    of_free *= np.negative(slope, out=slope)
    return squared_error + penalty, of_free, of_atoms


def _lengths(atoms):
    return np.linalg.norm(atoms, axis=1, keepdims=True)
