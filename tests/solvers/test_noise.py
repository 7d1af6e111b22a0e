"""The penalty that noise does not pass."""

import numpy as np
import pytest
from scipy.stats import norm

from skcode import FISTACoder
from skcode.datasets import make_concept_world
from skcode.metrics import concept_scores
from skcode.solvers import PreparedDictionary, alpha_for_noise, largest_alpha, mcp


def unit(atoms):
    return atoms / np.linalg.norm(atoms, axis=1, keepdims=True)


@pytest.mark.parametrize("positive", [True, False])
@pytest.mark.parametrize("scale", [0.1, 10.0])
def test_white_noise_is_passed_as_seldom_as_its_distribution_says(rng, positive, scale):
    atoms = unit(rng.standard_normal((300, 60)))
    codes = rng.uniform(3, 4, (4000, 300)) * (rng.random((4000, 300)) < 0.01)
    noise = scale * 0.1 * rng.standard_normal((4000, 60))
    alpha = alpha_for_noise(scale * codes @ atoms + noise, atoms, positive=positive)
    # Of 300 correlations that are Gaussian, .005 * 3 pass; codes take up a little of the noise.
    wanted = norm.isf(0.005 * 3 / 300 / (1 if positive else 2)) * scale * 0.1
    assert alpha == pytest.approx(wanted, rel=0.1)


def test_the_level_follows_scale_and_atoms_of_any_norm(rng):
    atoms = unit(rng.standard_normal((100, 40)))
    codes = rng.uniform(3, 4, (1000, 100)) * (rng.random((1000, 100)) < 0.03)
    X = codes @ atoms + 0.2 * rng.standard_normal((1000, 40))
    alpha = alpha_for_noise(X, atoms)
    assert alpha_for_noise(8 * X, atoms) == pytest.approx(8 * alpha)
    assert alpha_for_noise(X, PreparedDictionary(4 * atoms)) == pytest.approx(4 * alpha, rel=0.02)
    assert alpha_for_noise(X + 1.5, atoms, offset=np.full(40, 1.5)) == pytest.approx(alpha, rel=0.02)


def test_without_noise_there_is_a_floor(shift):
    alpha = alpha_for_noise(shift.X_train, shift.dictionary)
    largest = [largest_alpha(x[None], shift.dictionary) for x in shift.X_train]
    assert alpha == pytest.approx(0.1 * np.median(largest), rel=1e-6)


def test_random_atoms_have_codes_too(shift, rng):
    atoms = unit(rng.standard_normal((60, shift.X_train.shape[1])))
    alpha = alpha_for_noise(shift.X_train, atoms)
    largest = [largest_alpha(x[None], atoms) for x in shift.X_train]
    assert alpha == pytest.approx(0.5 * np.median(largest), rel=1e-6)


def test_concepts_without_an_atom_are_noise_of_heavy_tails():
    world = make_concept_world(2000, 2000, n_components=400, n_features=80, n_trees=3, random_state=100)
    order = np.argsort(-world.codes_train.power(2).sum(axis=0))[:100]
    atoms = world.dictionary[order]

    def f1(alpha):
        codes = mcp(world.X_test, atoms, alpha, tol=1e-3).codes
        return concept_scores(world.dictionary, atoms, world.codes_test, codes).f1

    alpha = FISTACoder(atoms, alpha="noise", penalty="mcp").fit(world.X_train).alpha_
    assert f1(alpha) > max(f1(a) for a in np.geomspace(0.5, 5, 15)) - 0.02
    assert f1(0.6 * alpha) < f1(alpha) - 0.1


def test_nothing_to_judge_by_is_told(rng):
    with pytest.raises(ValueError, match="X must correlate with some atom"):
        alpha_for_noise(np.zeros((4, 3)), np.eye(3))
    with pytest.raises(ValueError, match="at least one sample"):
        alpha_for_noise(np.zeros((0, 3)), np.eye(3))


def test_a_target_has_the_last_word(shift):
    with pytest.warns(UserWarning, match="alpha=noise has no effect beside target_l0=3"):
        FISTACoder(shift.dictionary, alpha="noise", target_l0=3).fit(shift.X_train)
