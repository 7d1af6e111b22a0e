"""Means and ratios that may be of nothing."""

from __future__ import annotations

import numpy as np


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return quotients, 0 where the whole is."""
    return np.divide(part, whole, where=whole > 0, out=np.zeros(len(part)))


def mean(numbers) -> float:
    """Return the mean, NaN of no numbers."""
    return float(np.mean(numbers)) if len(numbers) else float("nan")
