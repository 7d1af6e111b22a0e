import importlib

import numpy as np
import pytest
import scipy.sparse as sp

from skcode.solvers import mcp, refit, working_set


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
    result = mcp(shift.X_train[:20], shift.dictionary, 0.05, max_iter=5)
    expected = violation(shift.X_train[:20], result.codes, shift.dictionary, 0.05, 3.0, True)
    np.testing.assert_allclose(result.violation, expected, atol=1e-9)
    assert result.violation.max() > 1e-4


def test_a_gamma_that_is_not_above_1_is_refused(shift):
    with pytest.raises(ValueError, match=r"gamma must be above 1, got 1"):
        mcp(shift.X_train, shift.dictionary, 0.1, gamma=1)
    with pytest.raises(TypeError, match=r"gamma must be above 1, got str '3'"):
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
