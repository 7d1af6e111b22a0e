"""Compiled kernels: numba's compiler, with a cache on disk where there can be one."""

from __future__ import annotations

from numba import njit


def compiled(**options):
    """Return a decorator that compiles a kernel for Python to call, and keeps the machine code on disk.

    Kernels that only other kernels call use `numba.njit`: they are part of what calls them.
    """
    return njit(cache=True, nogil=True, **options)
