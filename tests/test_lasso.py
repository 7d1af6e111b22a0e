import numpy as np
import pytest
import scipy.sparse as sp

from skcode import _lasso

X = np.array([[3.0, 4.0]])
D = np.eye(2)


def test_objective_by_hand():
    # r = (1, 2), so 5/2, and 2 * (2 + 2) of penalty.
    assert _lasso.objective(X, np.array([[2.0, 2.0]]), D, 2.0) == pytest.approx([2.5 + 8.0])


def test_gap_by_hand():
    # At z = 0: r = x, c = 4 > alpha = 2, theta = x / 2. P = 12.5; dual = 12.5 - 1/2 ||x/2||^2 = 9.375.
    gap = _lasso.duality_gap(X, np.zeros((1, 2)), D, 2.0)
    assert gap == pytest.approx([(12.5 - 9.375) / 12.5])
    # The optimum is the soft threshold (1, 2), with P = 1/2 * 8 + 2 * 3 = 10 = dual.
    assert _lasso.duality_gap(X, np.array([[1.0, 2.0]]), D, 2.0) == pytest.approx([0.0], abs=1e-15)


def test_gap_with_negative_correlations_only():
    # Non-negative codes, every correlation negative: theta = r = x, so zero is optimal whatever alpha.
    assert _lasso.duality_gap(-X, np.zeros((1, 2)), D, 0.1) == pytest.approx([0.0])
    # Signed, the same point is far from optimal.
    assert _lasso.duality_gap(-X, np.zeros((1, 2)), D, 0.1, positive=False)[0] > 0.5


def test_gap_of_a_zero_row_is_zero_and_of_infeasible_codes_infinite():
    zero = np.zeros((1, 2))
    assert _lasso.duality_gap(zero, zero, D, 0.1) == [0.0]
    assert _lasso.duality_gap(X, np.array([[-1.0, 2.0]]), D, 0.1) == [np.inf]
    assert _lasso.objective(X, np.array([[-1.0, 2.0]]), D, 0.1) == [np.inf]
    assert np.isfinite(_lasso.duality_gap(X, np.array([[-1.0, 2.0]]), D, 0.1, positive=False))


def test_what_float64_cannot_square_has_no_norm_and_no_gap():
    samples = np.array([[3.0, 4.0], [0.0, 0.0], [1e-170, 0.0], [1e200, 1.0], [np.nan, 0.0], [1e-140, 0.0]])
    half = [12.5, 0.0, np.nan, np.nan, np.nan, 0.5e-280]
    np.testing.assert_allclose(_lasso.half_squared_norms(samples), half, rtol=1e-15)
    with np.errstate(over="ignore", invalid="ignore"):
        gap = _lasso.duality_gap(samples, np.zeros((6, 2)), D, 1e-171)
    np.testing.assert_array_equal(np.isnan(gap), np.isnan(half))


@pytest.mark.parametrize("positive", [True, False])
def test_gap_bounds_suboptimality(rng, random_dictionary, positive):
    dictionary = random_dictionary(30, 12)
    samples = rng.standard_normal((40, 12))
    codes = np.abs(rng.standard_normal((40, 30))) * (rng.random_sample((40, 30)) < 0.1)
    best = _lasso.objective(samples, codes, dictionary, 0.2, positive)
    for scale in (0.0, 0.25, 0.5, 0.75):
        best = np.minimum(best, _lasso.objective(samples, scale * codes, dictionary, 0.2, positive))
    here = _lasso.objective(samples, codes, dictionary, 0.2, positive)
    gap = _lasso.duality_gap(samples, codes, dictionary, 0.2, positive)
    assert np.all(gap * 0.5 * np.sum(samples**2, axis=1) >= here - best - 1e-12)


@pytest.mark.parametrize("positive", [True, False])
def test_alpha_max_is_where_zero_becomes_optimal(rng, random_dictionary, positive):
    dictionary, samples = random_dictionary(30, 12), rng.standard_normal((20, 12))
    for sample, alpha in zip(samples, _lasso.alpha_max(samples, dictionary, positive), strict=True):
        zero, row = np.zeros((1, 30)), sample[None]
        assert _lasso.duality_gap(row, zero, dictionary, alpha * (1 + 1e-12), positive) == pytest.approx([0], abs=1e-14)
        assert _lasso.duality_gap(row, zero, dictionary, alpha * 0.99, positive)[0] > 1e-6


def test_sparse_codes_give_the_same_numbers(rng, random_dictionary):
    dictionary, samples = random_dictionary(30, 12), rng.standard_normal((20, 12))
    codes = rng.random_sample((20, 30)) * (rng.random_sample((20, 30)) < 0.2)
    for function in (_lasso.objective, _lasso.duality_gap):
        dense = function(samples, codes, dictionary, 0.1)
        np.testing.assert_allclose(function(samples, sp.csr_array(codes), dictionary, 0.1), dense, rtol=1e-12)


def test_lipschitz_of_dictionaries_that_a_constant_start_would_miss(rng):
    assert _lasso.lipschitz(np.zeros((1200, 600))) == 0
    for flat in (np.ones((600, 1)), np.ones((1, 600))):  # all columns, or all rows, have zero mean
        dictionary = rng.standard_normal((600, 600))
        dictionary -= flat * dictionary.mean(axis=0 if flat.shape[0] > 1 else 1, keepdims=True)
        assert _lasso.lipschitz(dictionary) == pytest.approx(np.linalg.norm(dictionary, 2) ** 2, rel=2e-3)


@pytest.mark.parametrize("shape", [(40, 12), (12, 40), (1200, 600)])
def test_lipschitz_is_never_below_the_squared_spectral_norm(rng, shape):
    dictionary = rng.standard_normal(shape)
    exact = np.linalg.norm(dictionary, 2) ** 2
    assert exact * (1 - 1e-12) <= _lasso.lipschitz(dictionary) <= 1.002 * exact
