"""Codes in one feed-forward pass, learned together with the dictionary."""

from .estimator import SparseAutoencoder

__all__ = ["SparseAutoencoder"]
