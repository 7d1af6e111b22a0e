"""The dtype of generated data."""

from __future__ import annotations

import numpy as np


def check_float_dtype(dtype) -> np.dtype:
    """Return ``dtype`` as numpy has it, or raise if it is neither float32 nor float64."""
    try:
        found = np.dtype(dtype)
    except TypeError:
        found = None
    if found not in (np.float32, np.float64):
        raise ValueError(f"dtype must be float32 or float64, got {dtype!r}.")
    return found
