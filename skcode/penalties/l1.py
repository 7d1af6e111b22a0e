"""The L1 penalty: convex, and the same share of every code is taken away."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .._compiled import compiled


class L1(NamedTuple):
    """``alpha |z|``."""

    alpha: float

    above = (0.0,)
    certificate = "relative duality gap"

    def prox(self, value, step, positive):
        """Return the soft threshold of ``value``."""
        if positive:
            return prox_l1_positive(value, step * self.alpha)
        return prox_l1(value, step * self.alpha)

    def value(self, codes, squared_norms=1.0):
        """Return the penalty of each code."""
        return np.broadcast_arrays(self.alpha * np.abs(codes), squared_norms)[0]

    def threshold(self, squared_norms):
        """Return, for each atom, the correlation up to which a code of zero stays zero."""
        return np.full(np.shape(squared_norms), self.alpha)


@compiled()
def prox_l1(value, threshold):
    """Return ``argmin_z 1/2 (z - value)^2 + threshold |z|``, the soft threshold."""
    if value > threshold:
        return value - threshold
    if value < -threshold:
        return value + threshold
    return type(value)(0)


@compiled()
def prox_l1_positive(value, threshold):
    """Return ``argmin_{z >= 0} 1/2 (z - value)^2 + threshold z``, the one-sided soft threshold."""
    return value - threshold if value > threshold else type(value)(0)
