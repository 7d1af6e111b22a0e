"""Cut work into chunks of samples, run them in threads or through joblib, and hold BLAS to one thread meanwhile."""

from __future__ import annotations

import functools
import os
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from numbers import Integral

import threadpoolctl
from joblib import Parallel, cpu_count, delayed, effective_n_jobs
from joblib.parallel import ThreadingBackend, get_active_backend


def map_chunks(function, n_samples, chunk_size, n_jobs=None):
    """Return ``[function(slice), ...]`` over consecutive slices of ``chunk_size`` samples.

    The borders do not depend on ``n_jobs``, so neither do the results. Threads are the default;
    ``joblib.parallel_config`` selects any other backend.
    """
    slices = [slice(start, min(start + chunk_size, n_samples)) for start in range(0, max(n_samples, 1), chunk_size)]
    backend, default_n_jobs = get_active_backend(prefer="threads")
    n_jobs = _checked(default_n_jobs if n_jobs is None else n_jobs)
    n_workers = min(len(slices), backend.effective_n_jobs(n_jobs))
    with single_threaded_blas():
        if n_workers == 1:
            return [function(part) for part in slices]
        if not isinstance(backend, ThreadingBackend):
            return Parallel(n_jobs=n_jobs, prefer="threads")(delayed(_guarded)(function, part) for part in slices)
        # joblib's own threads are polled every 10 ms, which is as long as a whole call may take.
        return _in_threads(function, slices, n_workers)


def for_each_in_threads(function, parts, n_jobs=None):
    """Call ``function`` on every part; for work in place, which must stay in this process whatever the backend."""
    n_workers = min(len(parts), effective_n_jobs(_checked(n_jobs)))
    with single_threaded_blas():
        _in_threads(function, parts, n_workers)


def _checked(n_jobs):
    if n_jobs is not None and (not isinstance(n_jobs, Integral) or n_jobs == 0):
        raise ValueError(
            f"n_jobs must be None or an integer other than 0: 2 is two threads, -1 as many as cores; got {n_jobs!r}."
        )
    return n_jobs


class _Call:
    """A call that several threads work for. One made on the way, by one of them, ends with it."""

    def __init__(self, outer):
        self.outer, self.n_threads, self.ended = outer, 0, False

    def is_abandoned(self):
        return self.ended or (self.outer is not None and self.outer.is_abandoned())


class _Abandoned(BaseException):
    """Ends the work on a chunk that nobody waits for any more."""


_work = threading.local()  # `call` is what this thread works for


def give_up_if_abandoned():
    """Stop here if the call that this thread works for was interrupted; kernels themselves cannot be."""
    call = getattr(_work, "call", None)
    if call is not None and call.is_abandoned():
        raise _Abandoned


def kept_by_thread(make):
    """Let each thread keep what ``make`` returned last, for its next call with the same arguments.

    For room to work in, which stays as long as the thread does. If it were freed with every block of samples, the
    system might fill its pages with zeros for the next one. A working set at n=1000 takes 0.6 to 1.0 of the time
    without that, depending on what else the process has allocated.
    """
    kept = threading.local()

    @functools.wraps(make)
    def last_or_new(*arguments):
        if getattr(kept, "arguments", None) != arguments:
            kept.arguments = kept.room = None  # there need not be space for both
            kept.room = make(*arguments)
            kept.arguments = arguments
        return kept.room

    return last_or_new


def _in_threads(function, parts, n_wanted):
    """Return what ``function`` makes of every part, in as many threads as are wanted and the cores have room for."""
    call = _Call(getattr(_work, "call", None))
    try:
        _take_threads(call, n_wanted)
        if call.n_threads < 2:
            return [function(part) for part in parts]
        pool = ThreadPoolExecutor(call.n_threads)
        try:
            return list(pool.map(functools.partial(_work_for, call, function), parts))
        except BaseException:  # an interrupt above all
            call.ended = True
            raise
        finally:
            pool.shutdown(cancel_futures=True)
    finally:
        call.n_threads = 0


def _take_threads(call, n_wanted):
    """Give a call the threads it wants, or as many as are left.

    All calls together have as many threads as there are cores. A call that finds less than two left does its work
    itself, so that no call waits for another, not even for the one that it is part of.
    """
    if n_wanted < 2:
        return
    with _calls_lock:
        left = _n_cores() - sum(other.n_threads for other in _calls)
        call.n_threads = min(n_wanted, left) if left >= 2 else 0
        _calls.add(call)


_n_cores = functools.cache(cpu_count)  # joblib reads files of the system to find it, which takes 0.3 ms


def _work_for(call, function, part):
    _work.call = call
    return _guarded(function, part)


def _guarded(function, part):
    with single_threaded_blas():  # a limit of its own for another process, or for a thread of OpenMP
        return function(part)


_locks = weakref.WeakSet()


def fork_safe_lock():
    """Return a reentrant lock that is free in a forked child, where the thread that held it is no more."""
    lock = threading.RLock()
    _locks.add(lock)
    return lock


_calls_lock = fork_safe_lock()
_calls = weakref.WeakSet()  # weak: a call that an interrupt cut off anywhere gives its threads back


class _Limit:
    """One thread for BLAS libraries, from the first holder's coming until the last one has gone.

    An interrupt may come between any two steps. So every step may be taken again, and `_settle` takes what steps are
    missing: who holds the limit says what is to be, and what was before is known until it has been restored.
    """

    def __init__(self, thread=None):
        self.lock = fork_safe_lock()
        self._thread = thread  # whose limit it is, for OpenMP libraries; None for that of the process, for all others
        self._holders = {}  # the thread of each, by id
        self._lost = {}  # by id, what calls `remove` for a holder that an interrupt has cut off on its way in or out
        self._before = None  # the number of threads of each library, for as long as it is to be restored
        self._is_set = False

    def add(self, holder):
        name = id(holder)
        with self.lock:
            self._lost[name] = weakref.ref(holder, lambda _: self.remove(name))
            self._holders[name] = threading.get_ident()
            self._settle()

    def remove(self, name):
        with self.lock:
            self._holders.pop(name, None)
            self._settle()
            self._lost.pop(name, None)

    def forget_other_threads(self):
        """Keep the holders of this thread, which is the only one of a forked child."""
        this = threading.get_ident()
        self._holders = {holder: thread for holder, thread in self._holders.items() if thread == this}
        self._settle()

    def _settle(self):
        if self._thread not in (None, threading.get_ident()):
            return  # the garbage collector is at work in another thread
        if self._holders and not self._is_set:
            found = [(library, library.num_threads) for library in _libraries(of_openmp=self._thread is not None)]
            self._before = self._before or found
            _set_threads((library, 1) for library, _ in self._before)
            self._is_set = True
        elif not self._holders and self._before is not None:
            self._is_set = False
            _set_threads(self._before)
            self._before = None


def _set_threads(numbers):
    _let_any_thread_set_limits()
    for library, number in numbers:
        library.set_num_threads(number)
    _let_any_thread_set_limits()


def _let_any_thread_set_limits():
    """Take limits from the thread that set one first: since threadpoolctl 3.8, others set theirs in vain."""
    release = getattr(threadpoolctl.OpenBLASController, "clear_controlling_thread", None)
    if release is not None:
        release(force=True)


@functools.cache  # finding the loaded libraries takes milliseconds
def _libraries(of_openmp):
    libraries = threadpoolctl.ThreadpoolController().select(user_api="blas").lib_controllers
    return [library for library in libraries if (getattr(library, "threading_layer", "") == "openmp") == of_openmp]


class _LimitOfThread(threading.local):
    def __init__(self):
        self.limit = _Limit(threading.get_ident())


_of_process, _of_thread = _Limit(), _LimitOfThread()


class single_threaded_blas:  # noqa: N801
    """Context manager that holds BLAS to one thread.

    The limit of a BLAS with threads of its own is that of the process. Concurrent callers share it, so that they
    neither oversubscribe the cores nor lift the limit under each other. A BLAS on OpenMP threads has a limit for each
    calling thread.
    """

    def __enter__(self):
        self._limits = (_of_process, _of_thread.limit) if _libraries(of_openmp=True) else (_of_process,)
        for limit in self._limits:
            limit.add(self)

    def __exit__(self, *exception):
        for limit in self._limits:
            limit.remove(id(self))


def _begin_child():
    """Free the locks of threads that a forked child does not have, and lift their limits."""
    for lock in _locks:
        lock._at_fork_reinit()
    _calls.clear()
    _of_process.forget_other_threads()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(  # the lock is taken, so that no thread is setting limits at that moment
        before=_of_process.lock.acquire, after_in_parent=_of_process.lock.release, after_in_child=_begin_child
    )
