"""Synthetic data with known codes and dictionary, or none."""

from .compositional import make_compositional_shift
from .toy import make_toy_superposition

__all__ = ["make_compositional_shift", "make_toy_superposition"]
