"""Choosing penalties."""

from .l0_path import l0_path

__all__ = ["l0_path"]
