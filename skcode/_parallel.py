"""Cut work into chunks of samples, run them through joblib, and hold BLAS to one thread meanwhile."""

from __future__ import annotations

import functools
import threading

import threadpoolctl
from joblib import Parallel, delayed


class _SingleThreadedBLAS:
    """Context manager, reference-counted because the thread limit of a BLAS with its own threads is the process's.

    The first call in sets the limit, the last one out restores it, so that concurrent callers neither oversubscribe
    the cores nor lift the limit under each other. A BLAS on OpenMP threads keeps a limit for each calling thread, so
    there every thread sets and restores its own.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._depth = 0
        self._limiter = None
        self._of_thread = threading.local()

    def __enter__(self):
        with self._lock:
            if self._depth == 0:
                self._limiter = _controller().limit(limits=1, user_api="blas")
                _release_control()
            self._depth += 1
        per_thread = _controller().select(threading_layer="openmp")
        if per_thread.lib_controllers:
            limits = self._of_thread.__dict__.setdefault("limits", [])
            limits.append(per_thread.limit(limits=1, user_api="blas"))

    def __exit__(self, *exception):
        limits = self._of_thread.__dict__.get("limits")
        if limits:
            limits.pop().restore_original_limits()
        with self._lock:
            self._depth -= 1
            if self._depth == 0:
                self._limiter.restore_original_limits()
                _release_control()


@functools.cache
def _controller():
    return threadpoolctl.ThreadpoolController()  # finding the loaded libraries takes milliseconds: once is enough


def _release_control():
    """Let any other thread set the limit next; since threadpoolctl 3.7 it belongs to the first thread that did."""
    release = getattr(threadpoolctl.OpenBLASController, "clear_controlling_thread", None)
    if release is not None:
        release()


single_threaded_blas = _SingleThreadedBLAS()


def map_chunks(function, n_samples, chunk_size, n_jobs=None):
    """Return ``[function(slice), ...]`` over consecutive slices of ``chunk_size`` samples.

    The borders do not depend on ``n_jobs``, so neither do the results. Threads are the default;
    ``joblib.parallel_config`` selects any other backend.
    """
    slices = [slice(start, min(start + chunk_size, n_samples)) for start in range(0, n_samples, chunk_size)]
    with single_threaded_blas:
        if len(slices) == 1:
            return [function(slices[0])]
        return Parallel(n_jobs=n_jobs, prefer="threads")(delayed(_guarded)(function, part) for part in slices)


def _guarded(function, part):
    with single_threaded_blas:  # for backends that run in another process
        return function(part)
