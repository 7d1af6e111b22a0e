import importlib
import os
import subprocess
import sys
import textwrap

import numba.core.config
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from skcode.penalties import MCP, PENALTIES

NAMES = pytest.mark.parametrize("name", PENALTIES)
numbers = {
    "u": st.floats(-3, 3), "squared_norm": st.floats(0.1, 3), "alpha": st.floats(0.05, 1), "positive": st.booleans(),
}  # fmt: skip


@njit
def compiled_prox(penalty, value, step, positive):
    return penalty.prox(value, step, positive)


@NAMES
@given(**numbers)
def test_prox_is_the_minimiser(name, u, squared_norm, alpha, positive):
    penalty = PENALTIES[name](alpha)
    grid = np.append(np.linspace(0 if positive else -4, 4, 4001), 0.0)

    def value(z):
        return 0.5 * (z - u) ** 2 + penalty.value(z, squared_norm) / squared_norm

    found = penalty.prox(u, 1 / squared_norm, positive)
    assert value(found) <= value(grid).min() + 1e-9
    assert found >= 0 or not positive


@NAMES
@given(**numbers)
def test_kernels_and_python_agree_on_the_prox(name, u, squared_norm, alpha, positive):
    penalty = PENALTIES[name](alpha)
    found = penalty.prox(u, 1 / squared_norm, positive)
    assert compiled_prox(penalty, u, 1 / squared_norm, positive) == pytest.approx(found, rel=1e-14)


@NAMES
@given(**numbers)
def test_below_the_threshold_zero_stays_zero(name, u, squared_norm, alpha, positive):
    penalty = PENALTIES[name](alpha)
    (threshold,) = penalty.threshold(np.array([squared_norm]))
    assert 0 <= threshold <= alpha
    below = (1 - 1e-9) * threshold / squared_norm
    assert penalty.prox(below, 1 / squared_norm, positive) == 0
    assert penalty.prox(-below, 1 / squared_norm, positive) == 0


@NAMES
def test_alpha_is_the_slope_at_zero_and_the_penalty_is_even(name):
    penalty = PENALTIES[name](0.3)
    assert penalty._fields[0] == "alpha"
    small = np.array([1e-8, -1e-8])
    np.testing.assert_allclose(penalty.value(small, 2.0) / 1e-8, 0.3, rtol=1e-6)
    assert penalty.value(np.zeros(1), 2.0) == 0


@NAMES
def test_kernels_keep_the_dtype(name):
    penalty = PENALTIES[name](np.float32(0.25))
    penalty = type(penalty)(*map(np.float32, penalty))

    @njit
    def itemsize(penalty, value):
        return np.array([penalty.prox(value, value, False)]).itemsize

    assert itemsize(penalty, np.float32(2)) == 4
    assert itemsize(PENALTIES[name](0.25), 2.0) == 8


def test_mcp_leaves_large_codes_alone_whatever_the_norm_of_the_atom():
    for squared_norm in (0.25, 1.0, 4.0):
        flat = 3 * 0.1 / squared_norm
        assert MCP(0.1).prox(1.01 * flat, 1 / squared_norm, False) == 1.01 * flat
        assert MCP(0.1).prox(0.99 * flat, 1 / squared_norm, False) < 0.99 * flat
        assert MCP(0.1).value(flat, squared_norm) == pytest.approx(MCP(0.1).value(10 * flat, squared_norm))


def test_kernels_with_penalties_are_read_from_the_cache_by_a_second_process(tmp_path, monkeypatch):
    (tmp_path / "kernel_of_penalties.py").write_text(
        textwrap.dedent("""
            from numba import njit
            from skcode.penalties import PENALTIES

            @njit(cache=True)
            def prox(penalty, value, step, positive):
                return penalty.prox(value, step, positive)

            for kind in PENALTIES.values():
                assert prox(kind(0.1), 5.0, 1.0, False) == kind(0.1).prox(5.0, 1.0, False)

            hits, misses = (sum(counts.values()) for counts in (prox.stats.cache_hits, prox.stats.cache_misses))
        """)
    )
    monkeypatch.setattr(numba.core.config, "CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(tmp_path))
    here = importlib.import_module("kernel_of_penalties")
    assert (here.hits, here.misses) == (0, len(PENALTIES))
    environment = {
        **os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": os.pathsep.join(sys.path)
    }  # fmt: skip
    code = "from kernel_of_penalties import hits, misses; print(hits, misses)"
    there = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    assert there.stdout.split() == [str(len(PENALTIES)), "0"]
