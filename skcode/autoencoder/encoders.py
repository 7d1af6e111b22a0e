"""One class per activation of a sparse autoencoder: its forward pass and its hand-written gradient.

Parameters are a dict of arrays: ``decoder`` (n_components, n_features), ``decoder_bias`` (n_features,), and for the
feed-forward ones ``encoder`` (n_components, n_features) and ``encoder_bias`` (n_components,). Every class offers

* ``initialise(parameters)``: add what is its own;
* ``encode(parameters, X)``: the codes;
* ``loss_and_gradients(parameters, X, alpha)``: the squared error (mean over samples and features), the penalty (mean
  over samples, ``alpha`` included), the codes, and the gradients of the sum of the two.

The training loop knows none of them by name; a new activation is a class here and a row in ``ACTIVATIONS``.
"""

from __future__ import annotations

import numpy as np
from numba import njit


class FeedForward:
    """``codes = activation(encoder (x - decoder_bias) + encoder_bias)``, reconstruction ``codes decoder + bias``."""

    signed = False

    def __init__(self, n_active, bandwidth):
        self.n_active = n_active
        self.bandwidth = bandwidth

    def initialise(self, parameters):
        """Add the parameters that only this activation has."""

    def encode(self, parameters, X):
        """Return the codes of samples."""
        return self._activate(self._preactivation(parameters, X - parameters["decoder_bias"]), parameters)

    def loss_and_gradients(self, parameters, X, alpha):
        """Return the squared error, the penalty, the codes, and the gradients."""
        centred = X - parameters["decoder_bias"]
        preactivation = self._preactivation(parameters, centred)
        codes = self._activate(preactivation, parameters)
        error = codes @ parameters["decoder"] - centred
        squared_error = float(np.vdot(error, error)) / error.size
        error *= X.dtype.type(2 / error.size)

        gradients = {"decoder": codes.T @ error}
        slope = error @ parameters["decoder"].T
        weight = alpha / len(X)
        penalty = weight * self._backward(preactivation, codes, slope, weight, parameters, gradients)
        gradients["encoder"] = slope.T @ centred
        gradients["encoder_bias"] = slope.sum(axis=0)
        gradients["decoder_bias"] = error.sum(axis=0) - gradients["encoder_bias"] @ parameters["encoder"]
        return squared_error, penalty, codes, gradients

    def _preactivation(self, parameters, centred):
        preactivation = centred @ parameters["encoder"].T
        preactivation += parameters["encoder_bias"]
        return preactivation


class ReLU(FeedForward):
    """Rectified codes with an L1 penalty."""

    def _activate(self, preactivation, parameters):
        return np.maximum(preactivation, 0)

    def _backward(self, preactivation, codes, slope, weight, parameters, gradients):
        slope += slope.dtype.type(weight)
        slope *= codes > 0
        return float(codes.sum())


class TopK(FeedForward):
    """The ``n_active`` largest preactivations, rectified; no penalty (Gao et al., 2024)."""

    def _activate(self, preactivation, parameters):
        return _largest_per_row(preactivation, self.n_active)

    def _backward(self, preactivation, codes, slope, weight, parameters, gradients):
        slope *= codes > 0
        return 0.0


class JumpReLU(FeedForward):
    """Rectified codes above a learned threshold per component, with an L0 penalty (Rajamanoharan et al., 2024).

    Nothing but a straight-through estimate moves the threshold: a rectangle kernel of width ``bandwidth``. As
    published, the one of the penalty looks at codes and not at preactivations, so that a code of zero counts only while
    the threshold is below half a bandwidth.
    """

    _FIRST_THRESHOLD = 1e-3
    _LARGEST_LOG = 20.0

    def initialise(self, parameters):
        """Add the thresholds, as logarithms."""
        parameters["log_threshold"] = np.full_like(parameters["encoder_bias"], np.log(self._FIRST_THRESHOLD))

    def threshold(self, parameters):
        """Return the thresholds, shape ``(n_components,)``."""
        if "threshold" in parameters:  # trained
            return parameters["threshold"]
        return np.exp(np.minimum(parameters["log_threshold"], self._LARGEST_LOG))

    def _activate(self, preactivation, parameters):
        return np.where(preactivation > self.threshold(parameters), preactivation, 0)

    def _backward(self, preactivation, codes, slope, weight, parameters, gradients):
        threshold = self.threshold(parameters)
        gradients["log_threshold"] = np.zeros_like(threshold)
        _jump_backward(preactivation, codes, slope, threshold, self.bandwidth, weight, gradients["log_threshold"])
        gradients["log_threshold"] *= threshold * (parameters["log_threshold"] <= self._LARGEST_LOG)
        return float(np.count_nonzero(codes))


class MatchingPursuit:
    """``n_active`` greedy steps on the unit-norm decoder, unrolled and differentiated through (MP-SAE; signed codes).

    There is no encoder: each step takes the atom of largest absolute correlation with the residual, and as in the
    authors' code none twice.
    """

    signed = True

    def __init__(self, n_active, bandwidth):
        self.n_active = n_active

    def initialise(self, parameters):
        """Drop the encoder."""
        del parameters["encoder"], parameters["encoder_bias"]

    def encode(self, parameters, X):
        """Return the codes of samples."""
        chosen, values, _ = self._pursue(_unit_rows(parameters["decoder"])[0], X - parameters["decoder_bias"])
        codes = np.zeros((len(X), len(parameters["decoder"])), dtype=X.dtype)
        np.put_along_axis(codes, chosen, values, axis=1)
        return codes

    def loss_and_gradients(self, parameters, X, alpha):
        """Return the squared error, no penalty, the codes, and the gradients through all steps of the pursuit."""
        atoms, norms = _unit_rows(parameters["decoder"])
        chosen, values, rest = self._pursue(atoms, X - parameters["decoder_bias"])
        squared_error = float(np.vdot(rest, rest)) / rest.size
        slope_atoms = np.zeros_like(atoms)
        # The loss depends on the final residual alone.
        slope_rest = rest * X.dtype.type(2 / rest.size)
        _pursuit_backward(atoms, chosen, values, rest, slope_rest, slope_atoms)
        along = np.einsum("ij,ij->i", slope_atoms, atoms)[:, None]
        codes = np.zeros((len(X), len(atoms)), dtype=X.dtype)
        np.put_along_axis(codes, chosen, values, axis=1)
        gradients = {"decoder": (slope_atoms - along * atoms) / norms, "decoder_bias": -slope_rest.sum(axis=0)}
        return squared_error, 0.0, codes, gradients

    def _pursue(self, atoms, rest):
        chosen = np.empty((len(rest), self.n_active), dtype=np.int64)
        values = np.empty((len(rest), self.n_active), dtype=rest.dtype)
        for step in range(self.n_active):
            _pursuit_step(rest @ atoms.T, atoms, step, chosen, values, rest)
        return chosen, values, rest


ACTIVATIONS = {"relu": ReLU, "topk": TopK, "jumprelu": JumpReLU, "matching_pursuit": MatchingPursuit}


def _unit_rows(rows):
    norms = np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-8)
    return rows / norms, norms


@njit(cache=True, nogil=True)
def _largest_per_row(values, count):
    """Return ``values`` with all but the ``count`` largest of each row, and all negative ones, set to zero.

    Bisects for a level that exactly ``count`` values exceed, since counting is one vectorised pass. Among equal values
    at the border the first ones stay.
    """
    n_rows, n_columns = values.shape
    kept = np.zeros_like(values)
    for i in range(n_rows):
        low, high = values.dtype.type(0), values.dtype.type(0)
        above = 0
        for j in range(n_columns):
            above += values[i, j] > low
            high = max(high, values[i, j])
        while above > count:  # more than count exceed low, fewer than count exceed high
            middle = low + (high - low) / 2
            if middle <= low or middle >= high:
                break
            above_middle = 0
            for j in range(n_columns):
                above_middle += values[i, j] > middle
            if above_middle < count:
                high = middle
            else:
                low, above = middle, above_middle
        if above <= count:
            for j in range(n_columns):
                kept[i, j] = values[i, j] if values[i, j] > low else kept[i, j]
        else:
            room = count
            for j in range(n_columns):
                room -= values[i, j] > high
            for j in range(n_columns):
                if values[i, j] > high:
                    kept[i, j] = values[i, j]
                elif values[i, j] > low and room > 0:
                    kept[i, j] = values[i, j]
                    room -= 1
    return kept


@njit(cache=True, nogil=True)
def _jump_backward(preactivation, codes, slope, threshold, bandwidth, weight, slope_threshold):
    """Turn ``slope`` from that of the codes into that of the preactivation; add up the straight-through one."""
    n_samples, n_components = codes.shape
    half = bandwidth / 2
    for i in range(n_samples):
        for j in range(n_components):
            rectified = max(preactivation[i, j], preactivation.dtype.type(0))
            if abs(rectified - threshold[j]) <= half:
                slope_threshold[j] -= threshold[j] / bandwidth * slope[i, j]
            if abs(codes[i, j] - threshold[j]) <= half:
                slope_threshold[j] -= weight / bandwidth
            if codes[i, j] == 0:
                slope[i, j] = 0


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
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
