"""Powers of two that bring numbers to where their squares can be told. Scaling by them rounds nothing."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

_PLAIN = 400  # powers of two around 1 within which float64 needs no scaling: 2^200 squares can still be added


def unit_of(*arrays: np.ndarray | sp.csr_array, plain: int = _PLAIN) -> int:
    """Return the power of two in which the largest number is about 1, or 0 if it is within the ``plain`` ones."""
    largest = max(max(-float(array.min()), float(array.max())) for array in arrays)
    unit = int(np.frexp(largest)[1])
    return unit if abs(unit) > plain else 0


def in_units(array: np.ndarray | sp.csr_array, unit: int) -> np.ndarray | sp.csr_array:
    """Return an array in float64, divided by ``2 ** unit``."""
    array = array.astype(np.float64, copy=False)
    if unit and sp.issparse(array):
        return sp.csr_array((np.ldexp(array.data, -unit), array.indices, array.indptr), shape=array.shape)
    return np.ldexp(array, -unit) if unit else array


class SumOfSquares:
    """A sum of squares in float64 that neither overflows nor vanishes: it is ``value * 4 ** unit``."""

    def __init__(self):
        self.value, self.unit = 0.0, 0

    def add(self, array: np.ndarray, unit: int = 0) -> None:
        """Add the squares of ``array * 2 ** unit``."""
        own = unit_of(array)
        value, unit = float(np.square(in_units(array, own)).sum()), own + unit
        if value == 0.0:
            return
        if self.value == 0.0:
            self.unit = unit
        common = max(unit, self.unit)
        self.value = float(np.ldexp(self.value, 2 * (self.unit - common)) + np.ldexp(value, 2 * (unit - common)))
        self.unit = common

    def over(self, other: SumOfSquares) -> float:
        """Return the ratio to another sum that is not 0; infinity if it is beyond float64."""
        with np.errstate(over="ignore", under="ignore"):
            return float(np.ldexp(self.value / other.value, 2 * (self.unit - other.unit)))
