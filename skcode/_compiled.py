"""Compiled kernels: numba's compiler, with its cache on disk where there can be one."""

from __future__ import annotations

import warnings

from numba import njit

# Kernels that allocate nothing need no counts of the references to their arrays. Every array that is taken out of a
# tuple is counted, which was a quarter of the time of a working set at n=100 (24 % of the samples of a profile). This
# option of numba's, which has no public name, leaves the counts out. A kernel that allocates then does not compile
# unless it says so.
_UNCOUNTED, ALLOCATES = {"_nrt": False}, {"_nrt": True}

# Reassociation lets the compiler vectorise sums. It moves the last bits of iterates, and is not for certificates: these
# are compiled ``IN_ORDER``. Python's ``float`` of a float32 is a float32 here: what has to be float64 says so.
IN_ORDER = {"error_model": "numpy", "fastmath": {"contract"}, **_UNCOUNTED}
FUSED = {"error_model": "numpy", "fastmath": {"contract", "reassoc"}, **_UNCOUNTED}
INLINED = {"forceinline": True, **FUSED}  # for short steps that have names for readers


def compiled(**options):
    """Return a decorator that compiles a kernel for Python to call, and keeps the machine code on disk.

    A cache saves time and is never a reason to fail: a kernel that cannot be read from it is compiled, and one that
    cannot be kept there is compiled again by the next process, which a `UserWarning` says once.

    Kernels that only other kernels call use `numba.njit`: they are part of what calls them.
    """

    def decorate(function):
        try:
            kernel = njit(cache=True, nogil=True, **options)(function)
        except Exception as error:  # numba raises as soon as it finds no folder that it can write to
            kernel = njit(nogil=True, **options)(function)
            cache = _Cache(None, error)
        else:
            cache = _Cache(getattr(kernel, "_cache", None), None)
        if hasattr(kernel, "_cache"):  # a private name of numba's: without it the cache works as numba has it
            kernel._cache = cache
        return kernel

    return decorate


class _Cache:
    """What numba calls a cache of one kernel, around its own: whatever goes wrong there, the kernel is compiled."""

    def __init__(self, cache, error):
        self._cache = cache  # numba's, or None if there can be none
        self._error = error  # that says why

    @property
    def cache_path(self):
        """Return the folder of the cache, or None."""
        return None if self._cache is None else self._cache.cache_path

    def flush(self):
        """Forget what is kept."""
        if self._cache is not None:
            self._cache.flush()

    def load_overload(self, signature, target):
        """Return the machine code for a signature, or None if it must be compiled."""
        if self._cache is None:
            return None
        try:
            return self._cache.load_overload(signature, target)
        except Exception:  # truncated or overwritten files raise almost anything
            return None

    def save_overload(self, signature, machine_code):
        """Keep the machine code for a signature, in place of files that cannot be read."""
        if self._cache is None:
            return _say_once(self._error)
        try:
            try:
                self._cache.save_overload(signature, machine_code)
            except OSError:  # a full disk: what is there already may be good
                raise
            except Exception:  # an index that cannot be read: begin a new one
                self._cache.flush()
                self._cache.save_overload(signature, machine_code)
        except Exception as error:
            _say_once(error)


_said = False


def _say_once(error):
    """Warn when the first kernel has been compiled, not on import: an import that warns fails under ``-W error``."""
    global _said
    if not _said:
        _said = True
        warnings.warn(
            "skcode cannot keep its compiled code on disk, so every process compiles it again, which takes seconds to "
            "minutes. Set the environment variable NUMBA_CACHE_DIR to a folder that can be written to. "
            f"The reason: {type(error).__name__}: {error}",
            stacklevel=2,
        )
