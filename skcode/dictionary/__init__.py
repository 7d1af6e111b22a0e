"""Dictionaries learned from samples alone."""

from .learner import DictionaryLearner

__all__ = ["DictionaryLearner"]
