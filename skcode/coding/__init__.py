"""Codes on a fixed dictionary, optimal or read off by a trained network."""

from .fista_coder import FISTACoder
from .lista_coder import LISTACoder
from .mlp_coder import MLPCoder
from .oracle_coder import OracleCoder

__all__ = ["FISTACoder", "LISTACoder", "MLPCoder", "OracleCoder"]
