import signal

import numpy as np
import pytest

from skcode.autoencoder.codes import above, largest, largest_of_all


@pytest.mark.parametrize("share", [0.02, 0.5], ids=["few", "many"])  # loops, and products over all
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_products_are_those_of_the_dense_array(rng, share, dtype):
    dense = np.where(rng.random_sample((30, 80)) < share, rng.standard_normal((30, 80)), 0).astype(dtype)
    decoder, rows = (rng.standard_normal((n, 7)).astype(dtype) for n in (80, 30))
    codes = _from_dense(dense)
    tol = 1e-5 if dtype == np.float32 else 1e-12
    np.testing.assert_array_equal(codes.toarray(), dense)
    np.testing.assert_array_equal(codes.tocsr().toarray(), dense)
    np.testing.assert_allclose(codes.decode(decoder), dense @ decoder, atol=tol)
    np.testing.assert_allclose(codes.correlate(rows, decoder), (rows @ decoder.T)[dense != 0], atol=tol)
    np.testing.assert_allclose(codes.accumulate(rows), dense.T @ rows, atol=10 * tol)
    np.testing.assert_allclose(codes.sum_by_component(), dense.sum(axis=0), atol=tol)
    for result in (codes.decode(decoder), codes.correlate(rows, decoder), codes.accumulate(rows)):
        assert result.dtype == dtype
    assert codes.sum_by_component().dtype == dtype


def _from_dense(dense):
    magnitude = above(np.abs(dense), np.zeros(dense.shape[1], dtype=dense.dtype))
    return magnitude.with_values(dense[dense != 0])


def test_columns_are_a_part_and_know_their_places(rng):
    dense = np.where(rng.random_sample((30, 80)) < 0.1, rng.random_sample((30, 80)), 0)
    codes = _from_dense(dense)
    part, places = codes.columns(20, 50)
    expected = dense.copy()
    expected[:, :20] = expected[:, 50:] = 0
    np.testing.assert_array_equal(part.toarray(), expected)
    np.testing.assert_array_equal(codes.values[places], part.values)


@pytest.mark.parametrize("count", [1, 3, 12])
@pytest.mark.parametrize("ties", [False, True])
def test_largest_is_a_sort(rng, count, ties):
    values = rng.standard_normal((200, 12)).astype(np.float32)
    if ties:
        values = values.round(0)
    places = np.argsort(-values, axis=1, kind="stable")[:, :count]
    expected = np.zeros_like(values)
    np.put_along_axis(expected, places, np.maximum(np.take_along_axis(values, places, axis=1), 0), axis=1)
    codes = largest(values, count)
    np.testing.assert_array_equal(codes.toarray(), expected)
    assert (codes.values > 0).all()


def test_largest_of_all_takes_the_same_number_in_all(rng):
    values = rng.standard_normal((50, 12))
    codes = largest_of_all(values, 100)
    expected = np.where(values >= np.sort(values.ravel())[-100], values, 0)
    np.testing.assert_array_equal(codes.toarray(), expected)
    assert len(largest_of_all(-np.abs(values), 100).values) == 0
    assert len(largest_of_all(np.abs(values), 10_000).values) == values.size


def test_above_is_strict_and_per_component():
    values = np.array([[1.0, 2.0, -1.0], [0.5, 3.0, -3.0]])
    codes = above(values, np.array([0.5, 2.0, -2.0]))
    assert codes.toarray().tolist() == [[1.0, 0.0, -1.0], [0.0, 3.0, 0.0]]
    assert codes.indptr.tolist() == [0, 2, 3]


def test_no_codes_at_all():
    codes = above(-np.ones((3, 4)), np.zeros(4))
    assert codes.decode(np.ones((4, 2))).tolist() == [[0, 0]] * 3
    assert codes.accumulate(np.ones((3, 2))).tolist() == [[0, 0]] * 4
    assert codes.sum_by_component().tolist() == [0] * 4


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers")
def test_an_interrupt_stays_one(rng):
    """An interrupt must not become another error, which a fit would not catch: some 200 come in the middle of sums."""
    codes, rows = largest(rng.standard_normal((64, 200)), 5), rng.standard_normal((64, 40))
    expected = codes.accumulate(rows)

    def interrupt(*_):
        raise KeyboardInterrupt

    def interrupted(delay):
        try:
            signal.setitimer(signal.ITIMER_REAL, delay)
            while True:
                codes.accumulate(rows)
        except KeyboardInterrupt:
            return True
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        assert all(interrupted(delay) for delay in rng.uniform(2e-5, 2e-4, 200))
    finally:
        signal.signal(signal.SIGALRM, before)
    np.testing.assert_array_equal(codes.accumulate(rows), expected)
