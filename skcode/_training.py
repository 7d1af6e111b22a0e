"""What is learned in passes over samples shares: mini-batches, samples held out, records of passes, and Adam."""

from __future__ import annotations

import copy
import math

import numpy as np

from ._compiled import compiled
from ._parallel import for_each_in_threads

_AT_ONCE = 1 << 18  # numbers that one thread moves at once


def minibatches(n_samples, batch_size, rng):
    """Yield the indices of one epoch: every sample once, in random order; the last batch may be short."""
    order = rng.permutation(n_samples)
    for start in range(0, n_samples, batch_size):
        yield order[start : start + batch_size]


def hold_out(X, fraction, rng):
    """Return the samples to learn from and those to judge by: a random share of ``fraction``, or None."""
    if fraction is None:
        return X, None
    n_held = round(fraction * len(X))
    if not 0 < n_held < len(X):
        raise ValueError(
            f"validation_fraction={fraction:g} of {len(X)} samples leaves {n_held} to judge by and "
            f"{len(X) - n_held} to learn from."
        )
    order = rng.permutation(len(X))
    return X[np.sort(order[n_held:])], X[np.sort(order[:n_held])]


def record(estimator, entries, what, n_total=None, of="of"):
    """Count a pass in ``n_iter_``, add its entries to ``history_``, and print them if ``verbose`` asks for it.

    What a pass does not tell is NaN. With ``verbose=1``, some twenty are printed if there are to be ``n_total``, else
    all, as with 2.
    """
    before, unknown = estimator.history_, [math.nan] * estimator.n_iter_
    history = {
        name: [*before.get(name, unknown), float(entries.get(name, math.nan))]
        for name in [*before, *(name for name in entries if name not in before)]
    }
    # Both at once, for no interrupt falls between two assignments; and to new lists, for others may hold the old ones.
    estimator.history_, estimator.n_iter_ = history, estimator.n_iter_ + 1
    some = 1 if n_total is None or estimator.verbose > 1 else max(1, n_total // 20)
    if estimator.verbose and estimator.n_iter_ % some == 0:
        latest = ", ".join(f"{name} {values[-1]:.4g}" for name, values in estimator.history_.items())
        bound = "" if n_total is None else f" {of} {n_total}"
        print(f"[{type(estimator).__name__}] {what} {estimator.n_iter_}{bound}: {latest}")


class Adam:
    """Adam (Kingma and Ba, 2015), updating arrays in place.

    Parameters
    ----------
    parameters : dict of ndarray
        C-contiguous arrays, changed in place by `step`.
    learning_rate : float
        Length of the first step in each coordinate, and about that of others.
    """

    _BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-8

    def __init__(self, parameters, learning_rate):
        self.parameters = parameters
        self.learning_rate = learning_rate
        self.n_steps = 0
        self._moments = {name: (np.zeros_like(value), np.zeros_like(value)) for name, value in parameters.items()}

    def step(self, gradients, factor=1.0, n_jobs=None):
        """Move the parameters that ``gradients`` names, by ``factor`` times the learning rate; the others stay.

        Raises
        ------
        ValueError
            If one that is to move cannot be changed in place: it is not C-contiguous, or read-only.
        """
        for name in gradients:
            if not self.parameters[name].flags.carray:
                raise ValueError(f"Adam changes parameters in place: {name!r} must be C-contiguous and writable.")
        self.n_steps += 1
        rate = factor * self.learning_rate / (1 - self._BETA_1**self.n_steps)
        correction = math.sqrt(1 - self._BETA_2**self.n_steps)
        parts = []
        for name, gradient in gradients.items():
            arrays = self.parameters[name], np.ascontiguousarray(gradient), *self._moments[name]
            flat = [array.reshape(-1) for array in arrays]
            parts += [[array[i : i + _AT_ONCE] for array in flat] for i in range(0, flat[0].size, _AT_ONCE)]

        def move(part):
            _adam_step(*part, rate, correction, self._BETA_1, self._BETA_2, self._EPSILON)

        if len(parts) == len(gradients):  # threads would cost more than they save
            for part in parts:
                move(part)
        else:
            for_each_in_threads(move, parts, n_jobs)

    def copy(self, parameters):
        """Return an optimiser that goes on from here, of parameters that are equal to those of this one."""
        other = copy.copy(self)
        other.parameters = parameters
        other._moments = {
            name: (np.array(first, order="C"), np.array(second, order="C"))
            for name, (first, second) in self._moments.items()
        }
        return other

    def forget(self, name, rows):
        """Forget the gradients of some rows of a parameter."""
        for moment in self._moments[name]:
            moment[rows] = 0


@compiled(error_model="numpy")  # a check for division by 0 would keep it from being vectorised
def _adam_step(parameter, gradient, first, second, rate, correction, beta_1, beta_2, epsilon):
    real = parameter.dtype.type
    rate, correction, epsilon = real(rate), real(1 / correction), real(epsilon)
    beta_1, beta_2 = real(beta_1), real(beta_2)
    rest_1, rest_2 = real(1) - beta_1, real(1) - beta_2
    for j in range(parameter.size):
        slope = gradient[j]
        first[j] = beta_1 * first[j] + rest_1 * slope
        second[j] = beta_2 * second[j] + rest_2 * slope * slope
        parameter[j] -= rate * first[j] / (np.sqrt(second[j]) * correction + epsilon)
