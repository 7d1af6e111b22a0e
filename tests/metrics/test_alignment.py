from functools import cache

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from skcode.metrics import (
    expected_alignment,
    linear_cka,
    linear_identifiability_score,
    linear_regression_score,
    rsa_score,
)

SCORES = {"linear_cka": linear_cka, "rsa": rsa_score, "linear_regression": linear_regression_score}


@pytest.mark.parametrize("score", SCORES.values())
def test_nothing_is_lost_by_rotation_scale_and_offset(rng, score):
    X = rng.standard_normal((200, 6))
    rotation = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    assert score(X, 3 * X @ rotation - 7) == pytest.approx(1, abs=1e-9)


def test_scores_are_what_their_definitions_say(rng):
    X, Y = rng.standard_normal((40, 3)), rng.standard_normal((40, 2))
    Y[:, 0] += X[:, 1]
    K, L = (Z @ Z.T for Z in (X - X.mean(axis=0), Y - Y.mean(axis=0)))
    assert linear_cka(X, Y) == pytest.approx(np.sum(K * L) / np.sqrt(np.sum(K * K) * np.sum(L * L)))
    pairs = [(i, j) for i in range(40) for j in range(i)]
    first, second = ([((Z[i] - Z[j]) ** 2).sum() for i, j in pairs] for Z in (X, Y))
    assert rsa_score(X, Y) == pytest.approx(np.corrcoef(first, second)[0, 1])
    design = np.column_stack([X, np.ones(40)])
    residual = Y - design @ np.linalg.lstsq(design, Y)[0]
    assert linear_regression_score(X, Y) == pytest.approx(
        1 - (residual**2).sum() / (Y - Y.mean(axis=0)).var(0).sum() / 40
    )


def test_regression_is_not_fooled_by_redundant_features(rng):
    X = rng.standard_normal((50, 2))
    Y = rng.standard_normal((50, 1))
    assert linear_regression_score(np.hstack([X, X, X @ [[1], [2]]]), Y) == pytest.approx(linear_regression_score(X, Y))


def test_no_variance_is_no_alignment(rng):
    for n_samples in (10, 100_000):
        X, constant = rng.standard_normal((n_samples, 2)), np.full((n_samples, 2), 0.1)
        scores = [linear_cka(X, constant), rsa_score(constant, X), linear_regression_score(X, constant)]
        assert np.isnan([*scores, linear_identifiability_score(X, constant)]).all()


@pytest.mark.parametrize("score", SCORES.values())
@pytest.mark.parametrize("scale", [1e-200, 1e-90, 1e90, 1e200])
def test_scales_do_not_matter(rng, score, scale):
    X, Y = rng.standard_normal((50, 3)), rng.standard_normal((50, 4))
    Y[:, 0] += X[:, 0]
    assert score(scale * X, Y) == pytest.approx(score(X, Y))
    assert score(X, scale * Y) == pytest.approx(score(X, Y))


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e160, 1e300])
def test_scale_and_a_common_part_do_not_matter_to_identifiability(rng, scale):
    latents = rng.standard_normal((100, 2))
    features = latents @ rng.standard_normal((2, 5)) + rng.standard_normal((100, 5))
    expected = linear_identifiability_score(features, latents)
    assert linear_identifiability_score(scale * features, latents) == pytest.approx(expected)
    assert linear_identifiability_score(features, scale * latents) == pytest.approx(expected)
    assert linear_identifiability_score(features + 1e8, latents + 1e8) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("score", SCORES.values())
def test_a_common_part_is_no_constant(rng, score):
    X = rng.standard_normal((20_000, 3))[:, :2] if score is not SCORES["rsa"] else rng.standard_normal((100, 2))
    assert score(X + 1e12, X) == pytest.approx(1, abs=1e-3)


def in_superposition(rng, n_components, n_features, n_shared, draw, n_samples=4000):
    """Return two representations of concepts, some of them shared, each on random atoms of its own."""
    shared = draw(rng, (n_samples, n_shared))
    representations = []
    for m in n_features:
        concepts = np.hstack([shared, draw(rng, (n_samples, n_components - n_shared))])
        atoms = rng.standard_normal((n_components, m))
        representations.append(concepts @ (atoms / np.linalg.norm(atoms, axis=1, keepdims=True)))
    return representations


def gaussian(rng, shape):
    return rng.standard_normal(shape)


def sparse(rng, shape):
    return rng.random_sample(shape) * (rng.random_sample(shape) < 0.05)


@cache
def kurtosis_of(draw):
    z = draw(np.random.RandomState(0), 2_000_000)
    z = z - z.mean()
    return float((z**4).mean() / (z**2).mean() ** 2 - 3)


@pytest.mark.parametrize("draw", [gaussian, sparse])
@pytest.mark.parametrize(
    ("n_components", "n_features", "n_shared"),
    [(100, (20, 20), 100), (100, (50, 50), 100), (60, (15, 40), 60), (80, (20, 20), 40), (30, (40, 40), 30)],
)
def test_superposition_deflates_as_predicted(n_components, n_features, n_shared, draw):
    expected = expected_alignment(n_components, n_features, n_shared=n_shared, kurtosis=kurtosis_of(draw))
    measured = {name: [] for name in SCORES}
    for seed in range(100, 108):
        X, Y = in_superposition(np.random.RandomState(seed), n_components, n_features, n_shared, draw)
        for name, score in SCORES.items():
            measured[name].append(score(X, Y))
    for name, values in measured.items():
        # Within the spread of the mean of seeds; some percent for the finite number of samples.
        allowed = 3 * np.std(values) / np.sqrt(len(values) - 1) + 0.05 * expected[name]
        assert abs(np.mean(values) - expected[name]) < allowed, (name, np.mean(values), expected[name])


def test_identifiability_is_scored_on_other_samples(rng):
    latents = rng.standard_normal((100, 2))
    assert linear_identifiability_score(latents @ rng.standard_normal((2, 5)) + 3, latents) == pytest.approx(1)
    noise = rng.standard_normal((100, 45))
    assert linear_regression_score(noise, latents) > 0.3  # learned by heart
    assert linear_identifiability_score(noise, latents) < 0


@pytest.mark.parametrize("n_samples", [8, 60])
def test_distances_are_correlated_over_all_pairs(rng, n_samples):
    X = rng.standard_normal((n_samples, 10)) + 5
    Y = np.tanh(X @ rng.standard_normal((10, 12)))
    expected = np.corrcoef(pdist(X, "sqeuclidean"), pdist(Y, "sqeuclidean"))[0, 1]
    assert rsa_score(X, Y) == pytest.approx(expected, rel=1e-9)


def test_equal_distances_are_no_alignment(rng):
    assert np.isnan(rsa_score(np.eye(30), rng.standard_normal((30, 4))))
    assert np.isnan(rsa_score(rng.standard_normal((30, 40)), np.eye(30)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: linear_cka([[1.0], [2.0]], [[1.0]]), "X and Y have inconsistent numbers of samples: 2 and 1"),
        (lambda: rsa_score([[1.0], [2.0]], [[1.0], [2.0]]), "at least 3 samples"),
        (lambda: linear_cka([[np.nan]], [[1.0]]), "X contains NaN"),
        (lambda: expected_alignment(10, 5, n_shared=11), "n_shared=11 must be at most n_components=10"),
        (lambda: expected_alignment(10, (5, 6, 7)), "n_features must be a positive integer or a pair"),
        (lambda: expected_alignment(10, (5, True)), "n_features must be a positive integer or a pair"),
        (lambda: linear_identifiability_score([[1.0]], [[1.0]]), "at least 4 samples"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
