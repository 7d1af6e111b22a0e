import subprocess
import sys
import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from skcode._parallel import map_chunks, single_threaded_blas


def blas_threads():
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def test_guard_limits_nests_and_restores():
    before = blas_threads()
    with single_threaded_blas:
        assert set(blas_threads()) == {1}
        with single_threaded_blas:
            pass
        assert set(blas_threads()) == {1}  # the inner exit must not lift the limit
    assert blas_threads() == before


def test_guard_restores_after_an_error():
    before = blas_threads()
    with pytest.raises(ZeroDivisionError), single_threaded_blas:
        1 / 0  # noqa: B018
    assert blas_threads() == before


def test_guard_is_shared_by_threads():
    before, inside, leave = blas_threads(), threading.Event(), threading.Event()

    def hold():
        with single_threaded_blas:
            inside.set()
            leave.wait(10)

    other = threading.Thread(target=hold)
    with single_threaded_blas:
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
