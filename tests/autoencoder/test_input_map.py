"""Folding: what is done to samples before training must be in the weights after it."""

import numpy as np
import pytest

from skcode.autoencoder.activation import FeedForward
from skcode.autoencoder.input_map import InputMap, Scaling, Whitening, input_map_for
from skcode.autoencoder.weights import Weights


@pytest.fixture(params=["none", "scaling", "whitening"])
def mapped(request, rng):
    """Return an input map, samples, and weights for mapped samples."""
    X = rng.standard_normal((60, 6)) * np.geomspace(5, 0.1, 6) @ rng.standard_normal((6, 6)) + 3
    if request.param == "whitening":
        input_map = Whitening(X.mean(axis=0), 10.0, X)
    else:
        input_map = Scaling(X.mean(axis=0), 7.0) if request.param == "scaling" else InputMap()
    weights = Weights(
        encoder=rng.standard_normal((9, 6)), encoder_bias=0.3 * rng.standard_normal(9),
        decoder=rng.standard_normal((9, 6)), decoder_bias=rng.standard_normal(6),
        threshold=0.1 * rng.random_sample(9),
    )  # fmt: skip
    return input_map, X, weights


def test_folded_weights_do_to_samples_what_the_weights_do_to_mapped_ones(mapped):
    input_map, X, weights = mapped
    encode, folded = FeedForward().encode, input_map.folded(weights)
    codes, of_folded = encode(weights, input_map(X)).toarray(), encode(folded, X).toarray()
    assert 0 < np.count_nonzero(codes) < codes.size
    unit = input_map.unit if isinstance(input_map, Scaling) else 1.0
    np.testing.assert_allclose(of_folded, unit * codes, atol=1e-9)
    X_hat = input_map(of_folded @ folded.decoder + folded.decoder_bias)
    np.testing.assert_allclose(X_hat, codes @ weights.decoder + weights.decoder_bias, atol=1e-9)


def test_weighted_errors_of_mapped_samples_are_those_of_samples(mapped, rng):
    input_map, X, _ = mapped
    other = X + rng.standard_normal(X.shape)
    weight = 1.0 if input_map.feature_weight is None else input_map.feature_weight
    error = np.sum(weight * (input_map(other) - input_map(X)) ** 2, axis=1) * input_map.unit**2
    np.testing.assert_allclose(error, np.sum((other - X) ** 2, axis=1), rtol=1e-9)


def test_unfolding_undoes_folding(mapped):
    input_map, _, weights = mapped
    again = input_map.unfolded(input_map.folded(weights))
    for name in ("encoder", "encoder_bias", "decoder", "decoder_bias", "threshold"):
        np.testing.assert_allclose(getattr(again, name), getattr(weights, name), atol=1e-9)


@pytest.mark.parametrize("whiten", [False, True])
def test_a_few_loud_samples_neither_set_the_scale_nor_stay_loud(rng, whiten):
    X = rng.standard_normal((400, 6)) + 5
    loud = X.copy()
    loud[:2] *= 1000
    with pytest.warns(UserWarning, match="2 of 400 samples"):
        robust = input_map_for(loud, whiten=whiten, scale=True, centred=True)
    plain = input_map_for(X, whiten=whiten, scale=True, centred=True)
    assert robust.typical == pytest.approx(plain.typical, rel=0.02)
    np.testing.assert_allclose(robust.centre, plain.centre, atol=0.02)
    norms = np.linalg.norm(robust.limited(loud) - robust.centre, axis=1)
    np.testing.assert_allclose(norms[:2], 3 * robust.typical)
    np.testing.assert_array_equal(robust.limited(loud)[2:], X[2:])
    np.testing.assert_allclose(robust(X[2:]).std(axis=0), plain(X[2:]).std(axis=0), rtol=0.1)
