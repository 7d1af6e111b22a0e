"""Dictionaries learned from samples alone."""

from .alternating import Alternation
from .learner import DictionaryLearner
from .softplus import SoftplusDescent

__all__ = ["Alternation", "DictionaryLearner", "SoftplusDescent"]
