"""The activation without an encoder: matching pursuit, unrolled and differentiated through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .._compiled import compiled
from .._norms import unit_rows
from .activation import Activation, BatchLoss, auxiliary_scale, weighted_square
from .codes import Codes
from .weights import Parameters, Weights

_SHORTEST = 1e-8  # norm of a row that a gradient is divided by


@dataclass(frozen=True)
class MatchingPursuit(Activation):
    """``n_active`` greedy steps on the unit-norm decoder (MP-SAE; signed codes).

    Each step takes the atom of largest absolute correlation with the residual, and as in the authors' code none twice.
    """

    n_active: int
    counted: ClassVar[bool] = True
    signed: ClassVar[bool] = True

    def first(self, decoder, encoder, decoder_bias):
        """Return the parameters that training starts from; there is no encoder."""
        return Parameters(decoder=decoder, decoder_bias=decoder_bias)

    def encode(self, weights, X):
        """Return the codes of samples.

        With whitened training there is an encoder, which correlations are taken with; else it is the decoder.
        """
        encoder = weights.decoder if weights.encoder is None else weights.encoder
        chosen, values, _ = _greedy(encoder, weights.decoder, X - weights.decoder_bias, self.n_active)
        return _as_codes(chosen, values, len(weights.decoder))

    def loss(self, parameters, X, alpha, n_samples=None, feature_weight=None):
        """Return loss and gradients of a mini-batch, through all steps of the pursuit; arguments as for the others."""
        atoms = unit_rows(parameters.decoder)
        centred = X - parameters.decoder_bias
        chosen, values, residual = _greedy(atoms, atoms, centred.copy(), self.n_active)
        # The loss depends on the final residual alone.
        squared_error, slope = weighted_square(residual, 2 / ((n_samples or len(X)) * X.shape[1]), feature_weight)
        gradient = _backward(atoms, parameters.decoder, chosen, values, residual.copy(), slope)
        gradients = Parameters(decoder=gradient, decoder_bias=-slope.sum(axis=0))
        codes = _as_codes(chosen, values, len(atoms))
        return BatchLoss(squared_error, 0.0, codes, centred, None, -residual, gradients)

    def auxiliary(self, parameters, batch, dead, n_active, n_samples=None, feature_weight=None):
        """Add to the gradients those of pursuing what is left with dead atoms alone (AuxK)."""
        decoder = parameters.decoder[dead]
        atoms = unit_rows(decoder)
        chosen, values, residual = _greedy(atoms, atoms, -batch.excess, min(n_active, len(dead)))
        _, slope = weighted_square(residual, auxiliary_scale(batch.excess, n_samples, feature_weight), feature_weight)
        batch.gradients.decoder[dead] += _backward(atoms, decoder, chosen, values, residual, slope)

    def folded(self, parameters):
        """Return the weights of inference; codes are made on unit atoms."""
        return Weights(decoder=unit_rows(parameters.decoder), decoder_bias=parameters.decoder_bias)

    def unfolded(self, weights):
        """Return the parameters of training."""
        return Parameters(decoder=weights.decoder, decoder_bias=weights.decoder_bias)


def _as_codes(chosen, values, n_components):
    n_samples, n_active = chosen.shape
    order = np.argsort(chosen, axis=1)
    indptr = np.arange(0, n_samples * n_active + 1, n_active)
    indices = np.take_along_axis(chosen, order, axis=1).astype(np.int32).ravel()
    return Codes(indptr, indices, np.take_along_axis(values, order, axis=1).ravel(), n_components)


def _greedy(encoder, decoder, residual, n_active):
    """Return the components chosen in each step, their values, and what is left of ``residual``, which is changed."""
    chosen = np.empty((len(residual), n_active), dtype=np.int64)
    values = np.empty((len(residual), n_active), dtype=residual.dtype)
    for step in range(n_active):
        _greedy_step(residual @ encoder.T, decoder, step, chosen, values, residual)
    return chosen, values, residual


def _backward(atoms, decoder, chosen, values, residual, slope):
    """Return the gradient by the decoder, scaled to atoms; ``slope`` becomes that by the first residual."""
    slope_atoms = np.zeros_like(atoms)
    _walk_back(atoms, chosen, values, residual, slope, slope_atoms)
    along = np.einsum("ij,ij->i", slope_atoms, atoms)[:, None]
    return (slope_atoms - along * atoms) / np.maximum(np.linalg.norm(decoder, axis=1, keepdims=True), _SHORTEST)


@compiled()
def _greedy_step(correlation, atoms, step, chosen, values, residual):
    """Choose one more atom for each row and take it out of the residual, in place."""
    n_samples, n_components = correlation.shape
    for i in range(n_samples):
        for earlier in range(step):
            correlation[i, chosen[i, earlier]] = np.nan  # out of the race, which an unused atom wins even with 0
        best, largest = 0, correlation.dtype.type(-1)
        for j in range(n_components):
            magnitude = abs(correlation[i, j])
            if magnitude > largest:
                best, largest = j, magnitude
        chosen[i, step] = best
        values[i, step] = correlation[i, best]
        for f in range(residual.shape[1]):
            residual[i, f] -= values[i, step] * atoms[best, f]


@compiled()
def _walk_back(atoms, chosen, values, residual, slope_residual, slope_atoms):
    """Undo each step on ``residual``, last first, and carry ``slope_residual`` to the first residual, in place."""
    n_samples, n_features = residual.shape
    for i in range(n_samples):
        for step in range(chosen.shape[1] - 1, -1, -1):
            atom, value = chosen[i, step], values[i, step]
            slope_value = slope_residual.dtype.type(0)
            for f in range(n_features):
                slope_value -= slope_residual[i, f] * atoms[atom, f]
                residual[i, f] += value * atoms[atom, f]
            for f in range(n_features):
                slope_atoms[atom, f] += slope_value * residual[i, f] - value * slope_residual[i, f]
                slope_residual[i, f] += slope_value * atoms[atom, f]
