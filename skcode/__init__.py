"""Sparse coding under superposition, at home in scikit-learn."""

from . import datasets, metrics, model_selection, preprocessing, solvers
from ._version import __version__
from .autoencoder import SparseAutoencoder
from .coding import FISTACoder, LISTACoder, MLPCoder, OracleCoder
from .dictionary import DictionaryLearner

__all__ = [
    "DictionaryLearner",
    "FISTACoder",
    "LISTACoder",
    "MLPCoder",
    "OracleCoder",
    "SparseAutoencoder",
    "__version__",
    "datasets",
    "metrics",
    "model_selection",
    "preprocessing",
    "solvers",
]
