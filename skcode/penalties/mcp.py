"""The minimax concave penalty (Zhang, 2010): large codes are not shrunk."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class MCP(NamedTuple):
    """``alpha |z| - z^2 / (2 gamma step)`` up to ``|z| = gamma alpha step``, and constant beyond.

    ``step`` is ``1 / ||atom||^2``: the curvature is that of the least squares of the atom, divided by ``gamma``, which
    is above 1. The problem in each code alone is then convex, whatever the norm of the atom.
    """

    alpha: float
    gamma: float = 3.0

    above = 0.0, 1.0
    certificate = "violation of stationarity"

    def prox(self, value, step, positive):
        """Return nothing, a part, or all of ``value``."""
        size, threshold = value if positive else abs(value), step * self.alpha
        if size <= threshold:
            return type(value)(0)
        if size > self.gamma * threshold:
            return value
        part = type(value)((size - threshold) / (1 - 1 / self.gamma))
        return part if value > 0 else -part

    def value(self, codes, squared_norms=1.0):
        """Return the penalty of each code."""
        flat = np.divide(self.gamma * self.alpha, squared_norms)
        size = np.minimum(np.abs(codes), flat)
        return self.alpha * (size - size**2 / (2 * flat))

    def threshold(self, squared_norms):
        """Return, for each atom, the correlation up to which a code of zero stays zero."""
        return np.full(np.shape(squared_norms), self.alpha)
