"""Scalar proximal operators, one per penalty, inlined by numba into the loops that need them.

They return the type of ``value``: a literal zero would turn the caller's float32 arithmetic into float64.
"""

from ._compiled import compiled


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
