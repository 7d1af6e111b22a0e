import gc
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial

import numpy as np
import pytest
from joblib import cpu_count, parallel_config
from threadpoolctl import threadpool_info, threadpool_limits

from skcode._parallel import for_each_in_threads, map_chunks, single_threaded_blas
from skcode.solvers import PreparedDictionary


@pytest.fixture(autouse=True)
def two_blas_threads():
    """Let there be more threads than the guard leaves."""
    with threadpool_limits(2, user_api="blas"):
        yield


def blas_threads():
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def test_guard_limits_nests_and_restores():
    before = blas_threads()
    with single_threaded_blas():
        assert set(blas_threads()) == {1}
        with single_threaded_blas():
            pass
        assert set(blas_threads()) == {1}  # the inner exit must not lift the limit
    assert blas_threads() == before


def test_guard_restores_after_an_error():
    before = blas_threads()
    with pytest.raises(ZeroDivisionError), single_threaded_blas():
        1 / 0  # noqa: B018
    assert blas_threads() == before


def test_guard_is_shared_by_threads():
    before, inside, leave = blas_threads(), threading.Event(), threading.Event()

    def hold():
        with single_threaded_blas():
            inside.set()
            leave.wait(10)

    other = threading.Thread(target=hold)
    with single_threaded_blas():
        other.start()
        assert inside.wait(10)
    assert set(blas_threads()) == {1}  # the other one is still in
    leave.set()
    other.join()
    assert blas_threads() == before


@pytest.mark.parametrize("n_jobs", [None, 2])
@pytest.mark.parametrize("chunk_size", [1, 10])
def test_blas_has_one_thread_inside_a_chunk(n_jobs, chunk_size):
    seen = map_chunks(lambda part: blas_threads(), 10, chunk_size, n_jobs)
    assert {count for counts in seen for count in counts} == {1}


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_chunks_cover_everything_once_in_order(n_jobs):
    parts = map_chunks(lambda part: np.arange(10)[part], 10, 3, n_jobs)
    assert [len(part) for part in parts] == [3, 3, 3, 1]
    np.testing.assert_array_equal(np.concatenate(parts), np.arange(10))


INTERRUPTED = """
import os, signal, threading, time
import numpy as np
from skcode.solvers import fista
signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs in the background inherit that it is ignored
rng = np.random.RandomState(0)
X, dictionary = rng.standard_normal((4000, 100)), rng.standard_normal((400, 100))
fista(X[:2], dictionary, 0.01, max_iter=10)
threading.Timer(1.0, lambda: (globals().update(start=time.perf_counter()), os.kill(os.getpid(), signal.SIGINT))).start()
try:
    fista(X, dictionary, 0.01, tol=1e-15, max_iter=1_000_000, n_jobs=2)  # takes hours
except KeyboardInterrupt:
    print(time.perf_counter() - start)
"""


def test_an_interrupt_does_not_wait_for_chunks():
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=120)
    assert float(done.stdout) < 10, done.stderr


def raise_at(step, function):
    """Call a function, and raise KeyboardInterrupt at the step-th place where Python looks for signals.

    These are the beginnings of functions, and the ends of calls, to C as well. Return whether it got there.
    """
    left = step

    def profile(frame, event, argument):
        nonlocal left
        left -= event in ("call", "return", "c_return")
        if left == 0:
            sys.setprofile(None)
            raise KeyboardInterrupt

    before = sys.getprofile()
    gc.disable()  # or steps of others, who are told of a collection, would count
    try:
        sys.setprofile(profile)
        function()
    except KeyboardInterrupt:
        pass
    finally:
        sys.setprofile(before)
        gc.enable()
    return left <= 0


def hold():
    with single_threaded_blas():
        pass


def test_an_interrupt_at_any_step_of_the_guard_leaves_no_limit():
    with threadpool_limits(2, user_api="blas"):
        hold()
        step = 1
        while raise_at(step, hold):
            assert set(blas_threads()) == {2}, step
            if step % 10 == 0:
                with single_threaded_blas():
                    assert set(blas_threads()) == {1}, step
            step += 1
        assert step > 30


def test_an_interrupt_of_one_caller_does_not_lift_the_limit_of_another():
    with threadpool_limits(2, user_api="blas"), single_threaded_blas():
        for step in range(1, 40):
            raise_at(step, hold)
            assert set(blas_threads()) == {1}, step


def test_a_holder_in_a_reference_cycle_is_let_go_of():
    with threadpool_limits(2, user_api="blas"):
        lost = single_threaded_blas()
        lost.__enter__()
        lost.itself = lost
        del lost
        gc.collect()
        assert set(blas_threads()) == {2}


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
forks_with_threads = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def in_child(check):
    """Return what a forked child says of ``check()``, or None if it is still at it after ten seconds."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if check() else 1)
        finally:
            os._exit(2)
    for _ in range(1000):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


@needs_fork
@forks_with_threads
def test_a_child_has_no_limit_of_threads_it_does_not_have():
    before, inside, leave = blas_threads(), threading.Event(), threading.Event()

    def stay():
        with single_threaded_blas():
            inside.set()
            leave.wait(20)

    thread = threading.Thread(target=stay)
    thread.start()
    assert inside.wait(10)
    assert in_child(lambda: blas_threads() == before)
    assert set(blas_threads()) == {1}
    with single_threaded_blas():
        assert in_child(lambda: set(blas_threads()) == {1})
    leave.set()
    thread.join()
    assert blas_threads() == before


def test_a_thread_is_limited_although_another_has_set_a_limit():
    seen = []

    def look():
        with single_threaded_blas():
            seen.extend(blas_threads())

    with threadpool_limits(2, user_api="blas"):
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
        assert set(seen) == {1}
        assert set(blas_threads()) == {2}


@needs_fork
@forks_with_threads
def test_a_child_does_not_wait_for_a_thread_it_does_not_have(rng, monkeypatch):
    prepared, inside, leave = PreparedDictionary(rng.standard_normal((40, 5))), threading.Event(), threading.Event()
    multiply = PreparedDictionary._multiply

    def slowly(self, dtype):
        inside.set()
        leave.wait(20)
        return multiply(self, dtype)

    with monkeypatch.context() as patch:
        patch.setattr(PreparedDictionary, "_multiply", slowly)
        thread = threading.Thread(target=lambda: prepared.gram(np.float64, 100))
        thread.start()
        assert inside.wait(10)
    assert in_child(lambda: prepared.gram(np.float64, 100) is not None)
    leave.set()
    thread.join()
    assert prepared.gram(np.float64, 100) is not None


@needs_fork
@forks_with_threads
def test_a_child_works_in_threads_while_others_of_its_parent_do():
    inside, leave = threading.Barrier(3), threading.Event()

    def work(part):
        inside.wait(10)
        leave.wait(20)

    def in_two_threads():
        both = threading.Barrier(2)
        return map_chunks(lambda part: both.wait(5), 2, 1, n_jobs=2) is not None

    if cpu_count() < 2:
        pytest.skip("needs two cores")
    thread = threading.Thread(target=lambda: map_chunks(work, 2, 1, n_jobs=2))
    thread.start()
    inside.wait(10)
    assert in_child(in_two_threads)
    leave.set()
    thread.join()


def test_all_calls_together_have_no_more_threads_than_cores():
    most, lock = [0], threading.Lock()
    before = threading.active_count()

    def work(part):
        with lock:
            most[0] = max(most[0], threading.active_count() - before)
        time.sleep(0.002)
        return part.start

    results, n_callers = [], 8
    callers = [
        threading.Thread(target=lambda: results.append(map_chunks(work, 20, 1, n_jobs=cpu_count() + 2)))
        for _ in range(n_callers)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert results == n_callers * [list(range(20))]
    assert most[0] <= n_callers + cpu_count()


def test_calls_within_calls_end():
    def outer(part):
        return [map_chunks(lambda inner: inner.start, 3, 1, n_jobs=2) for _ in range(2)]

    assert map_chunks(outer, 4, 1, n_jobs=2) == 4 * [2 * [[0, 1, 2]]]


def test_threads_are_given_back_after_an_error():
    def fail(part):
        raise ZeroDivisionError

    for _ in range(cpu_count() + 1):
        with pytest.raises(ZeroDivisionError):
            map_chunks(fail, 4, 1, n_jobs=2)
    if cpu_count() > 1:
        both = threading.Barrier(2)
        map_chunks(lambda part: both.wait(5), 2, 1, n_jobs=2)


@pytest.mark.parametrize("n_jobs", [0, 0.5, "2"])
def test_a_wrong_number_of_jobs_is_named(n_jobs):
    for call in (partial(map_chunks, print, 10, 1), partial(for_each_in_threads, print, [1, 2])):
        with pytest.raises(ValueError, match=f"n_jobs must be None or an integer other than 0.*got {n_jobs!r}"):
            call(n_jobs=n_jobs)
    with parallel_config("threading", n_jobs=0), pytest.raises(ValueError, match="n_jobs must be"):
        map_chunks(print, 10, 1)
