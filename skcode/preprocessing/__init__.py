"""What is done to samples before they are learned from."""

from .pca_whitener import PCAWhitener

__all__ = ["PCAWhitener"]
