import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skcode.metrics import match_dictionaries


@settings(max_examples=25)
@given(seed=st.integers(0, 2**31 - 1))
def test_permuted_flipped_scaled_atoms_are_all_found(seed):
    rng = np.random.RandomState(seed)
    true = rng.standard_normal((20, 8))
    order, scale = rng.permutation(20), rng.choice([-1, 1], 20) * np.exp(rng.standard_normal(20))
    match = match_dictionaries(true, (true * scale[:, None])[order])
    np.testing.assert_array_equal(order[match.pairs[:, 1]], match.pairs[:, 0])
    np.testing.assert_allclose(match.cosines, 1)
    assert match.frac_recovered == 1
    assert match.mean_norm_ratio == pytest.approx(np.abs(scale).mean())
    assert match.adjusted_cosine == pytest.approx(1)


def test_official_values_of_a_perturbed_dictionary(official):
    # Reference values of the authors' match_columns, with n_features x n_components noise of standard deviation 0.05.
    noise = 0.05 * np.random.RandomState(7).normal(size=(47, 100)).T
    match = match_dictionaries(official.dictionary, official.dictionary + noise)
    assert match.mean_cosine == pytest.approx(0.9483746998741975, abs=1e-6)
    assert match.mean_angular_error == pytest.approx(0.3207345490861615, abs=1e-6)
    assert match.mean_norm_ratio == pytest.approx(1.0631344153315725, abs=1e-6)
    assert match.frac_recovered == 1


def test_chance_level_is_what_random_atoms_reach(rng):
    true, unrelated = rng.standard_normal((1000, 93)), rng.standard_normal((1000, 93))
    match = match_dictionaries(true, unrelated)
    assert match.chance_cosine == pytest.approx(0.335, abs=0.005)  # notes on the paper: .335 at n=1000, m=93
    assert abs(match.adjusted_cosine) < 0.01


def test_chance_level_is_not_the_truth_drawn_from_the_same_seed():
    true = np.random.RandomState(0).standard_normal((30, 10))
    assert match_dictionaries(true, true, random_state=0).chance_cosine < 0.8


def test_missing_atoms_are_not_recovered():
    match = match_dictionaries(np.eye(4), np.eye(4)[:2])
    assert match.frac_recovered == 0.5
    assert match.mean_cosine == 1
    assert match.pairs.tolist() == [[0, 0], [1, 1]]


def test_zero_atoms_match_nothing_and_chance_can_be_left_out():
    match = match_dictionaries(np.eye(2), [[1.0, 0.0], [0.0, 0.0]], n_draws=0)
    assert match.cosines.tolist() == [1, 0]
    assert np.isnan(match.chance_cosine)


def test_other_numbers_of_features_are_rejected():
    with pytest.raises(ValueError, match="same number of features, got 3 and 4"):
        match_dictionaries(np.eye(3), np.eye(4))
