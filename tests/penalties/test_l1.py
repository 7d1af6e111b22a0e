import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skcode.penalties import prox_l1, prox_l1_positive

GRID = np.linspace(-6, 6, 240_001)
values = st.floats(-5, 5)
thresholds = st.floats(0, 5)


@given(values, thresholds)
def test_prox_l1_is_the_grid_argmin(value, threshold):
    cost = 0.5 * (GRID - value) ** 2 + threshold * np.abs(GRID)
    assert prox_l1(value, threshold) == pytest.approx(GRID[np.argmin(cost)], abs=5e-5)


@given(values, thresholds)
def test_prox_l1_positive_is_the_grid_argmin(value, threshold):
    grid = GRID[GRID >= 0]
    cost = 0.5 * (grid - value) ** 2 + threshold * grid
    assert prox_l1_positive(value, threshold) == pytest.approx(grid[np.argmin(cost)], abs=5e-5)


@given(values, values, thresholds)
def test_prox_is_nonexpansive_and_odd(first, second, threshold):
    assert abs(prox_l1(first, threshold) - prox_l1(second, threshold)) <= abs(first - second) + 1e-12
    assert prox_l1(-first, threshold) == -prox_l1(first, threshold)


def test_prox_keeps_the_dtype():
    assert prox_l1(np.float32(2), np.float32(0.5)) == np.float32(1.5)
    assert prox_l1_positive(np.float32(-2), np.float32(0.5)) == 0
    assert not np.signbit(prox_l1_positive(-2.0, 0.5))
