"""What all coders share: samples in, codes out, and back."""

from .amortised_coder import AmortisedCoder
from .base_coder import BaseCoder
from .certified_coder import CertifiedCoder

__all__ = ["AmortisedCoder", "BaseCoder", "CertifiedCoder"]
