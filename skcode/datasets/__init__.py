"""Synthetic data with known codes and dictionary, or none."""

from .compositional import make_compositional_shift
from .concept_world import ConceptWorld, make_concept_world
from .toy import make_toy_superposition

__all__ = ["ConceptWorld", "make_compositional_shift", "make_concept_world", "make_toy_superposition"]
