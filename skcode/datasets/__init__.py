"""Synthetic data with known codes and dictionary."""

from .compositional import make_compositional_shift

__all__ = ["make_compositional_shift"]
