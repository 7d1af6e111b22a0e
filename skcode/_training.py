"""What the gradient-trained encoders share: shuffled mini-batches and Adam with decoupled weight decay."""

from __future__ import annotations

import math

import numpy as np
from numba import njit


def minibatches(n_samples, batch_size, rng):
    """Yield the indices of one epoch: every sample once, in random order; the last batch may be short."""
    order = rng.permutation(n_samples)
    for start in range(0, n_samples, batch_size):
        yield order[start : start + batch_size]


class Adam:
    """Adam with decoupled weight decay (Kingma and Ba, 2015; Loshchilov and Hutter, 2019), updating arrays in place.

    Parameters
    ----------
    parameters : dict of ndarray
        C-contiguous arrays, changed in place by `step`.
    learning_rate, weight_decay : float
        A step first shrinks every parameter by ``1 - learning_rate * weight_decay``.
    """

    _BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-8

    def __init__(self, parameters, learning_rate, weight_decay):
        self.parameters = parameters
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.n_steps = 0
        self._moments = {name: (np.zeros_like(value), np.zeros_like(value)) for name, value in parameters.items()}

    def step(self, gradients):
        """Move the parameters that ``gradients`` names; the others stay as they are."""
        self.n_steps += 1
        rate = self.learning_rate / (1 - self._BETA_1**self.n_steps)
        correction = math.sqrt(1 - self._BETA_2**self.n_steps)
        for name, gradient in gradients.items():
            first, second = self._moments[name]
            _adam_step(
                self.parameters[name].reshape(-1), np.ascontiguousarray(gradient).reshape(-1), first.reshape(-1),
                second.reshape(-1), rate, correction, 1 - self.learning_rate * self.weight_decay, self._BETA_1,
                self._BETA_2, self._EPSILON,
            )  # fmt: skip


@njit(cache=True, nogil=True)
def _adam_step(parameter, gradient, first, second, rate, correction, shrink, beta_1, beta_2, epsilon):
    real = parameter.dtype.type
    rate, correction, shrink, epsilon = real(rate), real(correction), real(shrink), real(epsilon)
    beta_1, beta_2 = real(beta_1), real(beta_2)
    rest_1, rest_2 = real(1) - beta_1, real(1) - beta_2
    for j in range(parameter.size):
        slope = gradient[j]
        first[j] = beta_1 * first[j] + rest_1 * slope
        second[j] = beta_2 * second[j] + rest_2 * slope * slope
        parameter[j] = shrink * parameter[j] - rate * first[j] / (np.sqrt(second[j]) / correction + epsilon)
