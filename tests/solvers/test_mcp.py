import importlib

import numpy as np
import pytest
import scipy.sparse as sp

from skcode.penalties import L1
from skcode.solvers import Status, coordinate_descent, mcp, refit, working_set


def violation(X, codes, dictionary, alpha, gamma, positive):
    """Return the largest step of one code alone, in the space of samples, over the norm of the sample."""
    lengths = (dictionary**2).sum(axis=1)
    u = codes + (X - codes @ dictionary) @ dictionary.T / lengths
    size = u if positive else np.abs(u)
    threshold = alpha / lengths
    part = np.sign(u) * (size - threshold) / (1 - 1 / gamma)
    best = np.where(size <= threshold, 0, np.where(size > gamma * threshold, u, part))
    return (np.abs(best - codes) * np.sqrt(lengths)).max(axis=1) / np.linalg.norm(X, axis=1)


@pytest.mark.parametrize("positive", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_codes_are_stationary_and_the_violation_is_that_of_the_codes(shift, positive, dtype):
    X, dictionary = shift.X_train.astype(dtype), (1.3 * shift.dictionary).astype(dtype)
    result = mcp(X, dictionary, 0.1, positive=positive)
    expected = violation(X.astype(float), result.codes, dictionary.astype(float), 0.1, 3.0, positive)
    np.testing.assert_allclose(result.violation, expected, atol=2e-6)
    assert result.violation.max() <= 1e-4
    assert result.codes.dtype == dtype
    assert not positive or (result.codes >= 0).all()


def test_large_codes_are_not_shrunk(shift):
    codes = mcp(shift.X_train, shift.dictionary, 0.02, tol=1e-9, max_iter=1000).codes
    large = np.where(codes > 0.06, codes, 0)
    only_large = (np.count_nonzero(codes, axis=1) == np.count_nonzero(large, axis=1)) & large.any(axis=1)
    assert only_large.mean() > 0.5
    refitted = refit(shift.X_train[only_large], codes[only_large], shift.dictionary)
    np.testing.assert_allclose(codes[only_large], refitted, atol=1e-7)
    l1 = working_set(shift.X_train, shift.dictionary, 0.02).codes
    assert np.abs(codes - shift.codes_train).mean() < 0.5 * np.abs(l1 - shift.codes_train).mean()


def test_a_large_gamma_is_the_l1_penalty(shift):
    codes = mcp(shift.X_train, shift.dictionary, 0.1, gamma=1e8, tol=1e-9, max_iter=1000).codes
    np.testing.assert_allclose(codes, working_set(shift.X_train, shift.dictionary, 0.1, tol=1e-12).codes, atol=1e-4)


def test_bits_do_not_depend_on_n_jobs_and_csr_equals_dense(shift):
    X = np.tile(shift.X_train, (3, 1))
    one, two = (mcp(X, shift.dictionary, 0.1, n_jobs=n, sparse_output=n == 2) for n in (1, 2))
    np.testing.assert_array_equal(two.codes.toarray(), one.codes)
    np.testing.assert_array_equal(two.violation, one.violation)


def test_starts_where_it_is_told_to_and_stays_if_that_is_stationary(shift):
    solution = mcp(shift.X_train, shift.dictionary, 0.1, tol=1e-8, max_iter=1000)
    again = mcp(shift.X_train, shift.dictionary, 0.1, codes_init=sp.csr_array(solution.codes))
    assert again.n_iter.max() == 0
    np.testing.assert_array_equal(again.codes, solution.codes)


def test_a_start_that_leaves_a_larger_residual_than_zero_does_is_replaced_by_zero(shift):
    X = shift.X_train
    correlation = X @ shift.dictionary.T
    far = np.where(correlation == correlation.max(axis=1, keepdims=True), 2.1 * correlation, 0)
    before = 0.5 * np.sum((X - far @ shift.dictionary) ** 2, axis=1)
    assert np.all((before > 0.5 * np.sum(X**2, axis=1)) & (before < np.sum(X**2, axis=1)))
    from_far, from_zero = (mcp(X, shift.dictionary, 0.1, codes_init=start) for start in (far, np.zeros_like(far)))
    np.testing.assert_array_equal(from_far.codes, from_zero.codes)
    np.testing.assert_array_equal(from_far.n_iter, from_zero.n_iter)


def test_zero_samples_and_atoms(shift):
    dictionary = np.vstack([shift.dictionary, np.zeros((2, shift.dictionary.shape[1]))])
    X = np.vstack([shift.X_train[:3], np.zeros((1, shift.X_train.shape[1]))])
    result = mcp(X, dictionary, 0.1)
    assert not result.codes[3].any()
    assert not result.codes[:, -2:].any()
    assert result.violation[3] == 0


def test_codes_scale_inversely_with_atoms(shift):
    scales = np.geomspace(0.1, 10, len(shift.dictionary))
    unit = mcp(shift.X_train, shift.dictionary, 0.1, tol=1e-10, max_iter=1000).codes
    # alpha of an atom goes with its norm: equal penalties of its part of the reconstruction.
    each = mcp(shift.X_train, 0.5 * shift.dictionary, 0.05, tol=1e-10, max_iter=1000).codes
    np.testing.assert_allclose(0.5 * each, unit, atol=1e-8)
    assert mcp(shift.X_train, scales[:, None] * shift.dictionary, 0.1).violation.max() <= 1e-4


def test_atoms_without_room_count_for_the_violation(shift, monkeypatch):
    monkeypatch.setattr(importlib.import_module("skcode.solvers.descent"), "_LARGEST_SET", 2)
    X = shift.X_train[:20]
    result = mcp(X, shift.dictionary, 0.05)
    expected = violation(X, result.codes, shift.dictionary, 0.05, 3.0, True)
    np.testing.assert_allclose(result.violation, expected, atol=1e-9)
    missed = result.violation > 1e-4
    assert missed.any()
    assert (result.status == np.where(missed, Status.TOO_DENSE, Status.CERTIFIED)).all()
    assert result.n_iter.max() < 100


def test_where_there_is_no_room_the_strongest_come_first(monkeypatch):
    monkeypatch.setattr(importlib.import_module("skcode.solvers.descent"), "_LARGEST_SET", 3)
    X = np.linspace(1, 2, 10)[None]
    result = mcp(X, np.eye(10), 0.1, codes_init=np.zeros((1, 10)))
    np.testing.assert_array_equal(np.flatnonzero(result.codes), [7, 8, 9])
    assert result.status == Status.TOO_DENSE
    crowded = mcp(X, np.eye(10), 0.1, codes_init=X)  # of a start as well
    np.testing.assert_array_equal(np.flatnonzero(crowded.codes), [7, 8, 9])


def test_work_is_bounded_and_a_sample_that_takes_too_much_is_too_dense(shift, monkeypatch):
    module = importlib.import_module("skcode.solvers.descent")
    monkeypatch.setattr(module, "_WORK", 0)
    monkeypatch.setattr(module, "_LEAST_WORK", 50)
    result = mcp(shift.X_train, shift.dictionary, 0.01, tol=1e-9)
    assert (result.status == Status.TOO_DENSE).any()
    assert set(result.status) <= {Status.TOO_DENSE, Status.CERTIFIED}
    np.testing.assert_array_equal(result.violation <= 1e-9, result.status == Status.CERTIFIED)


def test_the_start_keeps_to_max_iter(shift):
    result = mcp(shift.X_train, shift.dictionary, 0.1, max_iter=0)
    assert not result.codes.any()
    assert not result.n_iter.any()
    assert (result.status == Status.OUT_OF_ITERATIONS).all()


@pytest.mark.parametrize("tol", [1e-4, 1e-7, 0])
@pytest.mark.parametrize("double_dictionary", [True, False])
def test_the_violation_of_float32_codes_is_computed_in_float64(shift, tol, double_dictionary):
    """And against the dictionary as it came, not as it is in float32."""
    X, dictionary = shift.X_train.astype(np.float32), 30 * shift.dictionary
    dictionary = dictionary if double_dictionary else dictionary.astype(np.float32)
    result = mcp(X, dictionary, 3.0, tol=tol)
    expected = violation(X.astype(float), result.codes.astype(float), dictionary.astype(float), 3.0, 3.0, True)
    np.testing.assert_allclose(result.violation, expected, rtol=1e-6, atol=1e-14)
    np.testing.assert_array_equal(result.status == Status.CERTIFIED, result.violation <= tol)


@pytest.mark.parametrize("bad", [np.nan, 1e200, 1e-170])
def test_what_has_no_norm_in_float64_is_not_certified(shift, bad):
    X = shift.X_train[:4].copy()
    X[1] *= bad
    result = mcp(X, shift.dictionary, min(0.1, 0.1 * bad), max_iter=5)
    assert np.isnan(result.violation[1])
    assert result.status[1] == Status.AT_REST
    assert np.isfinite(result.violation[[0, 2, 3]]).all()


@pytest.mark.parametrize("positive", [True, False])
def test_coordinate_descent_solves_the_l1_problem(shift, positive):
    found = coordinate_descent(shift.X_train, shift.dictionary, L1(0.1), positive=positive, tol=1e-10, max_iter=1000)
    expected = working_set(shift.X_train, shift.dictionary, 0.1, positive=positive, tol=1e-13)
    np.testing.assert_allclose(found.codes, expected.codes, atol=1e-5)
    assert found.dual_gap is None


def test_a_gamma_that_is_not_above_1_is_refused(shift):
    with pytest.raises(ValueError, match=r"gamma must be a number above 1, got 1"):
        mcp(shift.X_train, shift.dictionary, 0.1, gamma=1)
    with pytest.raises(TypeError, match=r"gamma must be a number above 1, got str '3'"):
        mcp(shift.X_train, shift.dictionary, 0.1, gamma="3")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_without_tolerance_samples_go_on_until_they_are_at_rest(shift, dtype):
    X, dictionary = shift.X_train.astype(dtype), shift.dictionary.astype(dtype)
    result = mcp(X, dictionary, 0.1, tol=0, max_iter=10_000)
    assert result.n_iter.max() < 200
    assert result.violation.max() < (1e-5 if dtype == np.float32 else 1e-13)


def test_given_codes_of_zero_atoms_are_dropped(shift):
    dictionary = np.vstack([shift.dictionary, np.zeros((1, shift.dictionary.shape[1]))])
    codes = np.zeros((len(shift.X_train), len(dictionary)))
    codes[:, -1] = 1.0
    assert not mcp(shift.X_train, dictionary, 0.1, codes_init=codes).codes[:, -1].any()
