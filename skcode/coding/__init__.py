"""Codes on a fixed dictionary."""

from .fista_coder import FISTACoder
from .oracle_coder import OracleCoder

__all__ = ["FISTACoder", "OracleCoder"]
