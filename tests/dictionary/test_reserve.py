import pickle

import numpy as np
import pytest

from skcode.dictionary.reserve import Reserve


@pytest.mark.parametrize("sizes", [[3, 3, 3], [1] * 40, [7, 1, 1, 2, 30, 1], [50], [4, 5, 6]])
def test_the_latest_samples_are_kept_in_order(sizes):
    reserve, rows, start = Reserve(10), np.arange(sum(sizes)), 0
    for size in sizes:
        reserve = reserve.with_more(rows[start : start + size, None])
        start += size
        np.testing.assert_array_equal(reserve.samples[:, 0], rows[max(start - 10, 0) : start])
        assert len(reserve) == min(start, 10)


def test_what_was_kept_is_never_changed():
    block = np.ones((3, 2))
    first = Reserve(5).with_more(block)
    block[:] = 7
    second = first.with_more(np.zeros((4, 2)))
    assert (first.samples == 1).all()
    assert second.samples[:, 0].tolist() == [1, 0, 0, 0, 0]


def test_many_small_blocks_cost_little():
    reserve, copied = Reserve(10_000), 0
    for row in range(3000):
        reserve = reserve.with_more(np.full((1, 4), row))
        copied = max(copied, len(reserve._blocks))
    assert copied <= 12  # about the logarithm of their number


def test_a_pickled_reserve_is_as_large_as_what_it_holds():
    reserve = Reserve(100_000).with_more(np.arange(30.0).reshape(3, 10))
    stored = pickle.dumps(reserve)
    assert len(stored) < 2000
    restored = pickle.loads(stored).with_more(np.ones((2, 10)))
    np.testing.assert_array_equal(restored.samples, reserve.with_more(np.ones((2, 10))).samples)
