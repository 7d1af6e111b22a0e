"""The activation without an encoder: matching pursuit, unrolled and differentiated through."""

from __future__ import annotations

import numpy as np

from .._compiled import compiled
from .._norms import unit_rows
from .codes import Codes
from .encoders import Activation, Step, auxiliary_scale, weighted_square

_SHORTEST = 1e-8  # norm of a row that a gradient is divided by


class MatchingPursuit(Activation):
    """``n_active`` greedy steps on the unit-norm decoder (MP-SAE; signed codes).

    Each step takes the atom of largest absolute correlation with the residual, and as in the authors' code none twice.
    """

    def initialise(self, parameters):
        """Drop the encoder."""
        del parameters["encoder"], parameters["encoder_bias"]

    def encode(self, parameters, X):
        """Return the codes of samples.

        With whitened training there is an ``encoder``, which correlations are taken with; else it is the decoder.
        """
        decoder = parameters["decoder"]
        chosen, values, _ = _pursue(
            parameters.get("encoder", decoder), decoder, X - parameters["decoder_bias"], self.n_active
        )
        return _as_codes(chosen, values, len(decoder))

    def step(self, parameters, X, alpha, n_samples=None, feature_weight=None):
        """Return loss and gradients of a mini-batch, through all steps of the pursuit; arguments as for the others."""
        decoder = parameters["decoder"]
        atoms = unit_rows(decoder)
        centred = X - parameters["decoder_bias"]
        chosen, values, rest = _pursue(atoms, atoms, centred.copy(), self.n_active)
        # The loss depends on the final residual alone.
        squared_error, slope = weighted_square(rest, 2 / ((n_samples or len(X)) * X.shape[1]), feature_weight)
        gradient = _backward(atoms, decoder, chosen, values, rest.copy(), slope)
        gradients = {"decoder": gradient, "decoder_bias": -slope.sum(axis=0)}
        codes = _as_codes(chosen, values, len(atoms))
        return Step(squared_error, 0.0, codes, centred, None, -rest, gradients)

    def auxiliary(self, parameters, step, dead, n_active, n_samples=None, feature_weight=None):
        """Add to the gradients those of pursuing what is left with dead atoms alone (AuxK)."""
        decoder = parameters["decoder"][dead]
        atoms = unit_rows(decoder)
        chosen, values, rest = _pursue(atoms, atoms, -step.excess, min(n_active, len(dead)))
        _, slope = weighted_square(rest, auxiliary_scale(step.excess, n_samples, feature_weight), feature_weight)
        step.gradients["decoder"][dead] += _backward(atoms, decoder, chosen, values, rest, slope)

    def folded(self, parameters):
        """Return the parameters of inference; codes are made on unit atoms."""
        return parameters | {"decoder": unit_rows(parameters["decoder"])}

    def unfolded(self, parameters):
        """Return the parameters of training."""
        return {name: parameters[name].copy() for name in ("decoder", "decoder_bias")}


def _as_codes(chosen, values, n_components):
    n_samples, n_active = chosen.shape
    order = np.argsort(chosen, axis=1)
    indptr = np.arange(0, n_samples * n_active + 1, n_active)
    indices = np.take_along_axis(chosen, order, axis=1).astype(np.int32).ravel()
    return Codes(indptr, indices, np.take_along_axis(values, order, axis=1).ravel(), n_components)


def _pursue(encoder, decoder, rest, n_active):
    """Return the components chosen in each step, their values, and what is left of ``rest``, which is changed."""
    chosen = np.empty((len(rest), n_active), dtype=np.int64)
    values = np.empty((len(rest), n_active), dtype=rest.dtype)
    for step in range(n_active):
        _pursuit_step(rest @ encoder.T, decoder, step, chosen, values, rest)
    return chosen, values, rest


def _backward(atoms, decoder, chosen, values, rest, slope):
    """Return the gradient by the decoder, scaled to atoms; ``slope`` becomes that by the first residual."""
    slope_atoms = np.zeros_like(atoms)
    _pursuit_backward(atoms, chosen, values, rest, slope, slope_atoms)
    along = np.einsum("ij,ij->i", slope_atoms, atoms)[:, None]
    return (slope_atoms - along * atoms) / np.maximum(np.linalg.norm(decoder, axis=1, keepdims=True), _SHORTEST)


@compiled()
def _pursuit_step(correlation, atoms, step, chosen, values, rest):
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
        for f in range(rest.shape[1]):
            rest[i, f] -= values[i, step] * atoms[best, f]


@compiled()
def _pursuit_backward(atoms, chosen, values, rest, slope_rest, slope_atoms):
    """Walk the pursuit back: undo each step on ``rest`` and carry ``slope_rest`` to the first residual, in place."""
    n_samples, n_features = rest.shape
    for i in range(n_samples):
        for step in range(chosen.shape[1] - 1, -1, -1):
            atom, value = chosen[i, step], values[i, step]
            slope_value = slope_rest.dtype.type(0)
            for f in range(n_features):
                slope_value -= slope_rest[i, f] * atoms[atom, f]
                rest[i, f] += value * atoms[atom, f]
            for f in range(n_features):
                slope_atoms[atom, f] += slope_value * rest[i, f] - value * slope_rest[i, f]
                slope_rest[i, f] += slope_value * atoms[atom, f]
