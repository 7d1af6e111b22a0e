import warnings

import numpy as np
import pytest

from skcode._norms import sample_norms, typical_norm, unit_rows, warn_of_loud_samples, warn_of_mean


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("power", [0, 25, -25, 37, -37])
def test_rows_have_norm_one_whatever_their_scale(rng, dtype, power):
    rows = rng.standard_normal((5, 4)).astype(dtype)
    rows[2] = 0
    found = unit_rows(rows * dtype(10.0**power))
    assert found.dtype == dtype
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), [1, 1, 0, 1, 1], rtol=1e-5)
    np.testing.assert_allclose(found, unit_rows(rows), rtol=1e-5)


def test_norms_are_those_of_samples_less_the_offset(rng):
    X, offset = rng.standard_normal((9000, 3)), np.array([100.0, 0.0, -7.0])
    np.testing.assert_allclose(sample_norms(X + offset, offset), np.linalg.norm(X, axis=1))


@pytest.mark.parametrize("loud", [1e3, 1e30])
def test_the_typical_norm_is_moved_by_no_few_samples(rng, loud):
    X = rng.standard_normal((1001, 3))
    X[7] *= loud
    X[8:12] = 0
    found = typical_norm(sample_norms(X, np.zeros(3)))
    assert found == pytest.approx(np.median(np.linalg.norm(np.delete(X, [8, 9, 10, 11], axis=0), axis=1)), rel=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_left_of_a_constant_is_nothing(dtype):
    X = np.full((1000, 3), 0.1, dtype)
    assert not sample_norms(X, X.mean(axis=0, dtype=np.float64)).any()
    assert typical_norm(sample_norms(0 * X, np.zeros(3))) == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_loud_sample_does_not_make_the_others_nothing(rng, dtype):
    X = rng.standard_normal((50, 3)).astype(dtype)
    X[0] *= dtype(1e10)
    assert (sample_norms(X, np.zeros(3)) > 0).all()


@pytest.mark.parametrize(
    ("dtype", "scale", "which"),
    [
        (np.float32, 1e18, "one"),
        (np.float32, 1e-18, "a typical one"),
        (np.float64, 1e-170, "a typical one"),
        (np.float64, 1e200, "one"),
    ],
)
def test_a_scale_whose_squares_cannot_be_told_is_named(rng, dtype, scale, which):
    X = (rng.standard_normal((10, 3)) * scale).astype(dtype)
    with pytest.raises(ValueError, match=rf"must have norms between .* got {which} of .*Scale X"):
        sample_norms(X, np.zeros(3))
    X = rng.standard_normal((10, 3)).astype(dtype)
    X[3] *= dtype(scale)  # one quiet sample does no harm, a loud one does
    if scale > 1:
        with pytest.raises(ValueError, match="got one of"):
            sample_norms(X, np.zeros(3))
    else:
        assert sample_norms(X, np.zeros(3))[3] > 0


def test_samples_that_hold_much_of_all_squares_are_warned_of():
    norms = np.ones(1000)
    norms[:2] = 9.9  # large, but not ten times as large
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_loud_samples(norms)
        warn_of_loud_samples(np.r_[norms, 10.1])  # loud, but a tenth of all squares is more
        warn_of_loud_samples(np.zeros(3))
    with pytest.warns(UserWarning, match="1 of 1001 samples .* typical norm of 1 and hold 100% of"):
        warn_of_loud_samples(np.r_[norms, 1000])


def test_a_mean_that_holds_most_squares_is_warned_of(rng):
    X = rng.standard_normal((500, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for shift in (0.0, 0.4):
            warn_of_mean(X + shift, (X + shift).mean(axis=0), np.linalg.norm(X + shift, axis=1))
        warn_of_mean(np.full((29, 4), 9.0), np.full(4, 9.0), np.full(29, 18.0))  # too few samples to tell
        loud = np.vstack([X, np.full((2, X.shape[1]), 1000.0)])
        warn_of_mean(loud, loud.mean(axis=0), np.linalg.norm(loud, axis=1))
    with pytest.warns(UserWarning, match=r"the mean of X holds 79% of its squares.*offset='mean'"):
        warn_of_mean(X + 2.0, (X + 2.0).mean(axis=0), np.linalg.norm(X + 2.0, axis=1))
