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


def test_chance_can_be_left_out():
    assert np.isnan(match_dictionaries(np.eye(2), np.eye(2), n_draws=0).chance_cosine)


def with_zero_atoms(atoms, places):
    return np.insert(atoms, places, 0.0, axis=0)


def test_zero_atoms_are_no_atoms(rng):
    true, learned = rng.standard_normal((6, 4)), rng.standard_normal((5, 4))
    match = match_dictionaries(true, learned)
    padded = match_dictionaries(with_zero_atoms(true, [0, 3, 3]), with_zero_atoms(learned, [2, 5]))
    for name in match:
        if name != "pairs":
            np.testing.assert_array_equal(padded[name], match[name])
    assert np.isfinite(padded.mean_norm_ratio)
    np.testing.assert_array_equal(padded.pairs[:, 0], np.array([1, 2, 3, 6, 7, 8])[match.pairs[:, 0]])
    np.testing.assert_array_equal(padded.pairs[:, 1], np.array([0, 1, 3, 4, 5])[match.pairs[:, 1]])


def test_used_atoms_may_all_be_recovered():
    match = match_dictionaries(with_zero_atoms(np.eye(3), [1]), with_zero_atoms(2 * np.eye(3), [0, 1]))
    assert match.frac_recovered == 1
    assert match.mean_norm_ratio == 2


def test_a_dictionary_of_zeros_has_recovered_nothing():
    match = match_dictionaries(np.eye(3), np.zeros((4, 3)))
    assert match.frac_recovered == 0
    assert match.pairs.shape == (0, 2)
    assert np.isnan([match.mean_cosine, match.mean_norm_ratio, match.chance_cosine, match.adjusted_cosine]).all()
    with pytest.raises(ValueError, match="components_true must have an atom that is not zero"):
        match_dictionaries(np.zeros((4, 3)), np.eye(3))


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e160, 1e300])
def test_scales_do_not_matter(rng, scale):
    true, learned = rng.standard_normal((2, 5, 3))
    expected = match_dictionaries(true, learned)
    match = match_dictionaries(scale * true, learned / scale)
    assert match.mean_cosine == pytest.approx(expected.mean_cosine)
    match = match_dictionaries(scale * true, scale * learned)
    assert match.mean_norm_ratio == pytest.approx(expected.mean_norm_ratio)


def test_other_numbers_of_features_are_rejected():
    with pytest.raises(ValueError, match="same number of features, got 3 and 4"):
        match_dictionaries(np.eye(3), np.eye(4))
