"""Samples too large or too small to be squared, brought within bounds without rounding."""

from __future__ import annotations

import numpy as np

_WITHIN = 32  # powers of two: the squares of such samples, summed, are safe in float32


def powers_of_two(X: np.ndarray) -> np.ndarray:
    """Return what to divide each sample by, shape (n_samples,): 1 for samples that can be squared as they are.

    For others it is the power of two next to their largest entry. To divide by it rounds nothing. The codes of ``X /
    scale`` with ``alpha / scale`` are those of ``X`` with ``alpha``, divided by ``scale``, and have the same relative
    gap.
    """
    largest = np.abs(X).max(axis=1, initial=0)
    exponent = np.frexp(np.where(np.isfinite(largest), largest, 1))[1]
    exponent = np.where(np.abs(exponent) > _WITHIN, np.minimum(exponent, np.finfo(X.dtype).maxexp - 1), 0)
    return np.ldexp(np.ones(len(X)), exponent)
