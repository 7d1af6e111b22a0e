"""Cut work into chunks of samples, run them through joblib, and hold BLAS to one thread meanwhile."""

from __future__ import annotations

import functools
import threading
from concurrent.futures import ThreadPoolExecutor

import threadpoolctl
from joblib import Parallel, delayed, effective_n_jobs
from joblib.parallel import ThreadingBackend, get_active_backend


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
_call = threading.local()  # that this thread works for


class _Abandoned(BaseException):
    """Ends the work on a chunk that nobody waits for any more."""


def give_up_if_abandoned():
    """Stop here if the call that this thread works for was interrupted; kernels themselves cannot be."""
    if getattr(_call, "abandoned", None) is not None and _call.abandoned.is_set():
        raise _Abandoned


def map_chunks(function, n_samples, chunk_size, n_jobs=None):
    """Return ``[function(slice), ...]`` over consecutive slices of ``chunk_size`` samples.

    The borders do not depend on ``n_jobs``, so neither do the results. Threads are the default;
    ``joblib.parallel_config`` selects any other backend.
    """
    slices = [slice(start, min(start + chunk_size, n_samples)) for start in range(0, max(n_samples, 1), chunk_size)]
    backend, default_n_jobs = get_active_backend(prefer="threads")
    n_workers = min(len(slices), backend.effective_n_jobs(default_n_jobs if n_jobs is None else n_jobs))
    with single_threaded_blas:
        if n_workers == 1:
            return [function(part) for part in slices]
        work = functools.partial(_guarded, function)
        if not isinstance(backend, ThreadingBackend):
            return Parallel(n_jobs=n_jobs, prefer="threads")(delayed(work)(part) for part in slices)
        # joblib's own threads are polled every 10 ms, which is as long as a whole call may take.
        return _in_threads(work, slices, n_workers)


def for_each_in_threads(function, parts, n_jobs=None):
    """Call ``function`` on every part; for work in place, which must stay in this process whatever the backend."""
    n_workers = min(len(parts), effective_n_jobs(n_jobs))
    with single_threaded_blas:
        if n_workers == 1:
            for part in parts:
                function(part)
        else:
            _in_threads(functools.partial(_guarded, function), parts, n_workers)


def _in_threads(work, parts, n_workers):
    pool, abandoned = ThreadPoolExecutor(n_workers), threading.Event()
    try:
        return list(pool.map(functools.partial(work, abandoned=abandoned), parts))
    except BaseException:  # an interrupt above all
        abandoned.set()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _guarded(function, part, abandoned=None):
    _call.abandoned = abandoned
    with single_threaded_blas:  # a limit of its own for another process, or for a thread of OpenMP
        return function(part)
