"""Thresholds for a mean L0, with and without ties, and what is said where one is missed."""

from dataclasses import replace

import numpy as np
import pytest

from skcode.autoencoder.activation import FeedForward
from skcode.autoencoder.sparsity import Sparsity, calibrated, complaint
from skcode.autoencoder.weights import Weights


def weights_of(rng, n_components=9, n_features=6, bias=3.0):
    return Weights(
        encoder=rng.standard_normal((n_components, n_features)),
        encoder_bias=bias + 0.3 * rng.standard_normal(n_components),
        decoder=rng.standard_normal((n_components, n_features)),
        decoder_bias=rng.standard_normal(n_features),
        threshold=0.1 * rng.random_sample(n_components),
    )


def mean_l0(weights, X):
    return len(FeedForward().encode(weights, X).values) / len(X)


@pytest.mark.parametrize("l0", [0.5, 2, 3.25])
def test_thresholds_are_moved_alike_to_a_mean_l0(rng, l0):
    X, weights = rng.standard_normal((60, 6)), weights_of(rng)
    moved, sparsity = calibrated(weights, X, l0)
    assert sparsity == Sparsity(trained=mean_l0(weights, X), reached=mean_l0(moved, X))
    assert sparsity.reached == pytest.approx(l0, abs=0.5 / len(X) + 1e-9)
    assert np.ptp((moved.threshold - weights.threshold)[moved.threshold > 0]) < 1e-12


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("l0", [1.0, 2.0, 2.5])
def test_ties_are_on_or_off_together_whatever_the_rounding(rng, dtype, l0):
    """Twelve different samples, each many times, whose preactivations differ between copies by their rounding."""
    some = np.eye(12, dtype=dtype)
    X = np.tile(some, (50, 1))
    weights = weights_of(rng, 24, 12)
    weights = replace(weights, decoder_bias=np.full(12, 0.1), threshold=np.zeros(24), encoder_bias=np.zeros(24))
    weights = Weights(**{name: value.astype(dtype) for name, value in vars(weights).items()})
    moved, sparsity = calibrated(weights, X, l0)
    per_sample = np.diff(FeedForward().encode(moved, X).indptr).reshape(50, 12)
    assert (per_sample == per_sample[0]).all()
    assert sparsity.reached == per_sample.mean() == pytest.approx(l0, abs=0.5 / 12 + 1e-6)
    nudged = replace(moved, encoder_bias=moved.encoder_bias * dtype(1 + 1e-6) + dtype(1e-6))
    assert mean_l0(nudged, X) == pytest.approx(sparsity.reached)


def test_the_nearer_side_of_a_tie_is_taken():
    weights = Weights(
        encoder=np.eye(1), encoder_bias=np.zeros(1), decoder=np.eye(1), decoder_bias=np.zeros(1), threshold=np.zeros(1)
    )
    X = np.repeat([[3.0], [2.0], [1.0]], [2, 6, 2], axis=0)
    for wanted, on in ((0.4, 0.2), (0.7, 0.8), (0.05, 0.2), (0.95, 1.0)):
        assert calibrated(weights, X, wanted)[1].reached == on


def test_no_more_codes_than_positive_preactivations(rng):
    X, weights = rng.standard_normal((60, 6)), weights_of(rng, bias=-2.0)
    moved, sparsity = calibrated(weights, X, 8)
    assert (moved.threshold == 0).all()
    assert sparsity.reached == mean_l0(moved, X) < 6
    assert "too few of them are positive" in complaint(sparsity, 8, 100, steered=False)


@pytest.mark.parametrize(
    ("sparsity", "steered", "said"),
    [
        (Sparsity(20.0, 20.0), True, "a mean L0 of 20 when training ended (step 312), and 4 was asked for"),
        (Sparsity(20.0, 4.0), True, "Thresholds now give 4, at the price of a larger error"),
        (Sparsity(3.0, 4.0), True, "a mean L0 of 3 when"),
        (Sparsity(20.0, 4.0), False, None),
        (Sparsity(4.9, 4.0), True, None),
        (Sparsity(4.0, 2.0), True, "codes have a mean L0 of 2, and 4 was asked for: no threshold comes nearer"),
        (Sparsity(0.0, 0.0), True, "a mean L0 of 0 when"),
    ],
    ids=str,
)
def test_a_missed_l0_is_said(sparsity, steered, said):
    complained = complaint(sparsity, 4.0, 312, steered=steered)
    assert complained is None if said is None else said in complained
