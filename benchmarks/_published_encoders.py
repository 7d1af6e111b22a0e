"""Perceptrons and free codes, trained as published by O'Neill, Gumran and Klindt (arXiv:2411.13117), in plain numpy."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from sklearn.preprocessing import normalize

LEARNING_RATE = 1e-3


class Adam:
    """Adam (Kingma and Ba, 2015) on a dict of arrays, which `step` changes in place."""

    def __init__(self, parameters):
        self.parameters = parameters
        self._n_steps = 0
        self._moments = {name: (np.zeros_like(value), np.zeros_like(value)) for name, value in parameters.items()}

    def step(self, gradients):
        self._n_steps += 1
        rate = LEARNING_RATE * np.sqrt(1 - 0.999**self._n_steps) / (1 - 0.9**self._n_steps)
        epsilon = 1e-8 * np.sqrt(1 - 0.999**self._n_steps)
        for name, slope in gradients.items():
            first, second = self._moments[name]
            first *= 0.9
            first += 0.1 * slope
            second *= 0.999
            second += 0.001 * slope * slope
            self.parameters[name] -= (rate * first / (np.sqrt(second) + epsilon)).astype(slope.dtype)


class PublishedPerceptron:
    """A perceptron trained as published, from a random start and on all samples at once.

    Known codes are learned by the cosine of each with the true one, over samples; `MLPCoder` takes their squared error.
    Else there are no biases. Atoms to be learned are normalised after each step; those of `MLPCoder` move on the
    sphere.
    """

    def __init__(self, n_hidden, alpha, seed):
        self.n_hidden = n_hidden
        self.alpha = alpha
        self.seed = seed

    def fit(self, task, data, n_steps):
        rng = np.random.RandomState(self.seed)
        X, dictionary = data["X"], data["dictionary"]
        n_features, n_components = X.shape[1], len(dictionary)
        if task == "neither":
            dictionary = normalize(rng.standard_normal(dictionary.shape).astype(X.dtype))
        sizes = [n_features, *([self.n_hidden] if self.n_hidden else []), n_components]
        self.parameters = {"dictionary": dictionary}
        for layer, (n_inputs, width) in enumerate(pairwise(sizes)):
            bound = n_inputs**-0.5
            bias = rng.uniform(-bound, bound, width) if task == "codes" else np.zeros(width)
            weights = rng.uniform(-bound, bound, (n_inputs, width))
            self.parameters |= {f"weights_{layer}": weights.astype(X.dtype), f"bias_{layer}": bias.astype(X.dtype)}
        self.n_layers = len(sizes) - 1
        optimiser = Adam(self.parameters)
        for _ in range(n_steps):
            layers = self._forward(X)
            codes, gradients = layers[-1], {}
            if task == "codes":
                slope = -slope_of_cosines(codes, data["codes"])
            else:  # of the objective, mean over samples
                share = X.dtype.type(1 / len(X))
                error = (codes @ self.parameters["dictionary"] - X) * share
                slope = error @ self.parameters["dictionary"].T + self.alpha * share * (codes > 0)
            if task == "neither":
                gradients["dictionary"] = codes.T @ error
            for layer in reversed(range(self.n_layers)):
                slope = slope * (layers[layer + 1] > 0)
                gradients[f"weights_{layer}"] = layers[layer].T @ slope
                if task == "codes":
                    gradients[f"bias_{layer}"] = slope.sum(axis=0)
                slope = slope @ self.parameters[f"weights_{layer}"].T if layer else slope
            optimiser.step(gradients)
            if task == "neither":
                self.parameters["dictionary"][:] = normalize(self.parameters["dictionary"])
        return self

    def _forward(self, X):
        layers = [X]
        for layer in range(self.n_layers):
            value = layers[-1] @ self.parameters[f"weights_{layer}"] + self.parameters[f"bias_{layer}"]
            layers.append(np.maximum(value, 0))
        return layers

    def transform(self, X):
        return self._forward(X)[-1]


def slope_of_cosines(codes: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Return the gradient of the mean cosine of columns with the true ones."""
    norms = np.maximum(np.linalg.norm(codes, axis=0), 1e-8)
    codes, true = codes / norms, true / np.maximum(np.linalg.norm(true, axis=0), 1e-8)
    return (true - np.sum(codes * true, axis=0) * codes) / (norms * codes.shape[1])


def free_codes(X: np.ndarray, n_components: int, weight: float, n_steps: int, seed: int) -> np.ndarray:
    """Return the dictionary learned as published: joint Adam on it and on the logarithms of the codes of all samples.

    The loss is a mean over all entries, as published: with gradients that small, Adam's epsilon counts.
    """
    rng = np.random.RandomState(seed + 10_000)  # whose first draws are not the problem's
    log_codes = np.full((len(X), n_components), -10.0, dtype=X.dtype)
    components = rng.standard_normal((n_components, X.shape[1])).astype(X.dtype)
    optimiser = Adam({"log_codes": log_codes, "components": components})
    for _ in range(n_steps):
        components[:] = normalize(components)
        codes = np.exp(log_codes)
        error = (codes @ components - X) * X.dtype.type(2 / X.size)
        slope = error @ components.T + X.dtype.type(weight / codes.size)
        optimiser.step({"log_codes": slope * codes, "components": codes.T @ error})
    return normalize(components)
