"""Scalar proximal operators, one per penalty, inlined by numba into the loops that need them."""

from numba import njit


@njit(cache=True, nogil=True)
def prox_l1(value, threshold):
    """Return ``argmin_z 1/2 (z - value)^2 + threshold |z|``, the soft threshold."""
    if value > threshold:
        return value - threshold
    if value < -threshold:
        return value + threshold
    return value * 0


@njit(cache=True, nogil=True)
def prox_l1_positive(value, threshold):
    """Return ``argmin_{z >= 0} 1/2 (z - value)^2 + threshold z``, the one-sided soft threshold."""
    return value - threshold if value > threshold else threshold * 0  # and not value * 0, which can be -0.0
