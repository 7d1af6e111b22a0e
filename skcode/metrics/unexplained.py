"""The share of variance that reconstructions leave, over blocks of samples."""

from __future__ import annotations

import numpy as np

_ROUNDINGS = 8  # of the mean, within which samples are all the same


class UnexplainedVariance:
    """Sums of what reconstructions leave and of what there is to explain, in float64.

    Parameters
    ----------
    mean : ndarray of shape (n_features,)
        The point around which samples vary; its dtype says how finely it is known.
    """

    def __init__(self, mean: np.ndarray):
        self._mean = mean.astype(np.float64)
        self._unit = float(np.finfo(mean.dtype if mean.dtype.kind == "f" else np.float64).eps)
        self._n_samples, self._missed, self._total, self._squares = 0, 0.0, 0.0, 0.0

    def add(self, X: np.ndarray, X_hat: np.ndarray) -> None:
        """Take in a block of samples and their reconstructions."""
        self._n_samples += len(X)
        self._missed += float(np.sum(np.square(X - X_hat, dtype=np.float64)))
        self._total += float(np.sum(np.square(X - self._mean)))
        self._squares += float(np.sum(np.square(X, dtype=np.float64)))

    def share(self) -> float:
        """Return ``sum ||x - x_hat||^2 / sum ||x - mean||^2``; where all samples are the mean, 0 or infinity."""
        rounding = _ROUNDINGS * self._unit + self._n_samples * float(np.finfo(np.float64).eps)
        if self._total <= rounding**2 * self._squares:
            return 0.0 if self._missed == 0.0 else float("inf")
        return self._missed / self._total
