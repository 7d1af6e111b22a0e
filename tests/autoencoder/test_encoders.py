from dataclasses import fields, replace

import numpy as np
import pytest

from skcode.autoencoder.encoders import BatchTopK, Gated, JumpReLU, Matryoshka, ReLU, TopK
from skcode.autoencoder.plan import ACTIVATIONS
from skcode.autoencoder.pursuit import MatchingPursuit
from skcode.autoencoder.weights import Parameters, Weights

N_SAMPLES, N_COMPONENTS, N_FEATURES, ALPHA = 30, 12, 6, 0.03
WIDTHS = [3, 7, 12]
WEIGHTED = np.array([0.2, 3.0, 1.0, 0.5, 2.0, 0.7])


def activation_of(kind, n_active=3, bandwidth=0.5):
    taken = {"n_active": n_active, "bandwidth": bandwidth, "widths": tuple(WIDTHS)}
    return kind(**{field.name: taken[field.name] for field in fields(kind)})


def problem(rng, kind, n_active=3, bandwidth=0.5):
    encoder = activation_of(kind, n_active, bandwidth)
    weights = 0.7 * rng.standard_normal((N_COMPONENTS, N_FEATURES))
    bias = 0.1 * rng.standard_normal(N_COMPONENTS)
    parameters = encoder.first(
        0.7 * rng.standard_normal((N_COMPONENTS, N_FEATURES)), weights, 0.1 * rng.standard_normal(N_FEATURES)
    )
    if parameters.encoder is not None:
        parameters.encoder_bias = bias
    if parameters.threshold is not None:
        parameters.threshold = rng.uniform(0.1, 0.6, N_COMPONENTS)
    if parameters.log_scale is not None:
        parameters.log_scale = rng.uniform(-0.5, 0.5, N_COMPONENTS)
        parameters.magnitude_bias = 0.3 * rng.standard_normal(N_COMPONENTS)
    return encoder, parameters, rng.standard_normal((N_SAMPLES, N_FEATURES))


class Written:
    """The losses of the papers, written down once more and without a thought for speed.

    ``frozen`` are the parameters that a stop-gradient hides.
    """

    def __init__(self, encoder, parameters, X, weight, frozen=None):
        self.encoder, self.p, self.X, self.weight = encoder, parameters, X, weight
        self.frozen = parameters if frozen is None else frozen

    @property
    def pre(self):
        return (self.X - self.p.decoder_bias) @ self.p.encoder.T + self.p.encoder_bias

    def codes(self):
        kind = type(self.encoder)
        if kind is MatchingPursuit:
            return self._pursued()
        pre = self.pre
        rectified = np.maximum(pre, 0)
        if kind is TopK:
            return np.where(rectified >= np.sort(rectified, axis=1)[:, -3][:, None], rectified, 0)
        if kind in (BatchTopK, Matryoshka):
            return np.where(rectified >= np.sort(rectified.ravel())[-3 * len(self.X)], rectified, 0)
        if kind is JumpReLU:
            return np.where(pre > self.p.threshold, pre, 0)
        if kind is Gated:
            linear = (pre - self.p.encoder_bias) * np.exp(self.p.log_scale) + self.p.magnitude_bias
            return np.where(pre > 0, np.maximum(linear, 0), 0)
        return rectified

    def _pursued(self):
        atoms = self.p.decoder / np.linalg.norm(self.p.decoder, axis=1, keepdims=True)
        codes = np.zeros((len(self.X), len(atoms)))
        for code, x in zip(codes, self.X, strict=True):
            rest = x - self.p.decoder_bias
            for _ in range(self.encoder.n_active):
                correlation = np.where(code == 0, atoms @ rest, 0)
                best = np.argmax(np.abs(correlation))
                code[best] = correlation[best]
                rest = rest - correlation[best] * atoms[best]
        return codes

    def reconstruction(self, width=N_COMPONENTS):
        decoder = self.p.decoder
        if isinstance(self.encoder, MatchingPursuit):
            decoder = decoder / np.linalg.norm(decoder, axis=1, keepdims=True)
        return self.codes()[:, :width] @ decoder[:width] + self.p.decoder_bias

    def squared_error(self):
        widths = WIDTHS if type(self.encoder) is Matryoshka else [N_COMPONENTS]
        return np.mean([np.sum(self.weight * (self.X - self.reconstruction(width)) ** 2) for width in widths])

    def penalty(self):
        if type(self.encoder) is JumpReLU:
            return np.count_nonzero(self.codes())
        return np.maximum(self.pre, 0).sum() if type(self.encoder) in (ReLU, Gated) else 0.0

    def loss(self):
        """Return what the gradients are those of; the L0 penalty is flat almost everywhere."""
        value = self.squared_error() / self.X.size
        if type(self.encoder) is not JumpReLU:
            value += ALPHA * self.penalty() / len(self.X)
        if type(self.encoder) is Gated:
            gate = np.maximum(self.pre, 0) @ self.frozen.decoder + self.frozen.decoder_bias
            value += np.sum(self.weight * (self.X - gate) ** 2) / self.X.size
        return value


def differences(values, function):
    """Return central differences of a function by every entry of an array that it depends on."""
    slopes = np.empty_like(values)
    for index in np.ndindex(values.shape):
        kept = values[index]
        values[index] = kept + 1e-6
        above = function()
        values[index] = kept - 1e-6
        slopes[index] = (above - function()) / 2e-6
        values[index] = kept
    return slopes


@pytest.mark.parametrize("kind", ACTIVATIONS.values())
@pytest.mark.parametrize("weight", [None, WEIGHTED], ids=["plain", "weighted"])
def test_loss_is_what_the_papers_say(rng, kind, weight):
    encoder, parameters, X = problem(rng, kind)
    step = encoder.loss(parameters, X, ALPHA, feature_weight=weight)
    written = Written(encoder, parameters, X, 1.0 if weight is None else weight)
    assert step.squared_error == pytest.approx(written.squared_error())
    assert step.penalty == pytest.approx(written.penalty())
    np.testing.assert_allclose(step.codes.toarray(), written.codes(), atol=1e-12)
    np.testing.assert_allclose(step.excess, written.reconstruction() - X, atol=1e-12)


@pytest.mark.parametrize("kind", ACTIVATIONS.values())
@pytest.mark.parametrize("weight", [None, WEIGHTED], ids=["plain", "weighted"])
def test_gradients_are_finite_differences(rng, kind, weight):
    encoder, parameters, X = problem(rng, kind)
    gradients = encoder.loss(parameters, X, ALPHA, feature_weight=weight).gradients
    assert set(gradients.arrays()) == set(parameters.arrays())
    frozen = parameters.copy()
    written = Written(encoder, parameters, X, 1.0 if weight is None else weight, frozen)
    for name in set(parameters.arrays()) - {"threshold"}:
        slopes = differences(getattr(parameters, name), written.loss)
        np.testing.assert_allclose(getattr(gradients, name), slopes, atol=2e-7)


@pytest.mark.parametrize("kind", ACTIVATIONS.values())
def test_parts_of_a_batch_add_up(rng, kind):
    encoder, parameters, X = problem(rng, kind)
    whole = encoder.loss(parameters, np.vstack([X, X]), ALPHA)
    half = encoder.loss(parameters, X, ALPHA, n_samples=2 * N_SAMPLES)
    assert whole.squared_error == pytest.approx(2 * half.squared_error)
    dead = np.array([1, 4, 5, 9])
    encoder.auxiliary(parameters, whole, dead, 2)
    encoder.auxiliary(parameters, half, dead, 2, n_samples=2 * N_SAMPLES)
    for name, gradient in whole.gradients.arrays().items():
        np.testing.assert_allclose(gradient, 2 * half.gradients.arrays()[name], atol=1e-12)


def test_straight_through_gradient_of_the_threshold_by_hand(rng):
    encoder, parameters, X = problem(rng, JumpReLU, bandwidth=0.4)
    step = encoder.loss(parameters, X, ALPHA)
    threshold = parameters.threshold
    near = np.abs(step.preactivation - threshold) <= 0.2
    slope = 2 * step.excess / X.size @ parameters.decoder.T
    expected = -((threshold * slope + ALPHA / N_SAMPLES) * near).sum(axis=0) / 0.4
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(step.gradients.threshold, expected, rtol=1e-10)


def test_straight_through_gradients_are_right_on_average(rng):
    """Averaged over preactivations that are spread evenly, the estimate is the derivative of the mean loss."""
    encoder = JumpReLU(0.5)
    X = np.linspace(0, 2, 100_001)[:, None]
    parameters = replace(encoder.first(0.8 * np.eye(1), np.eye(1), np.zeros(1)), threshold=np.array([1.1]))

    def loss(threshold):
        on = threshold < X
        return np.mean((X - 0.8 * X * on) ** 2 + ALPHA * on)

    estimate = encoder.loss(parameters, X, ALPHA).gradients.threshold[0]
    # The kernel looks at codes from 0.85 to 1.35 as if all were at the threshold; the error there is linear in them.
    assert estimate == pytest.approx((loss(1.35) - loss(0.85)) / 0.5, rel=0.1)


def test_thresholds_stay_positive():
    parameters = Parameters(decoder=np.eye(2), decoder_bias=np.zeros(2), threshold=np.array([-0.1, 0.2]))
    JumpReLU(0.1).constrain(parameters)
    assert parameters.threshold.tolist() == [0, 0.2]


@pytest.mark.parametrize("kind", ACTIVATIONS.values())
def test_inference_makes_the_codes_of_training(rng, kind):
    encoder, parameters, X = problem(rng, kind)
    codes = encoder.loss(parameters, X, ALPHA).codes.toarray()
    folded = encoder.folded(parameters)
    if kind in (BatchTopK, Matryoshka):  # one threshold does for a whole batch
        folded = replace(folded, threshold=np.full(N_COMPONENTS, codes[codes > 0].min() * (1 - 1e-12)))
    np.testing.assert_allclose(encoder.encode(folded, X).toarray(), codes, atol=1e-12)
    again = encoder.loss(encoder.unfolded(folded), X, ALPHA)
    np.testing.assert_allclose(again.codes.toarray(), codes, atol=1e-12)


@pytest.mark.parametrize("kind", [TopK, BatchTopK, JumpReLU, Gated, MatchingPursuit])
@pytest.mark.parametrize("weight", [None, WEIGHTED], ids=["plain", "weighted"])
def test_auxiliary_gradients_move_dead_latents_only(rng, kind, weight):
    encoder, parameters, X = problem(rng, kind)
    dead = np.array([1, 4, 5, 9])
    step = encoder.loss(parameters, X, ALPHA, feature_weight=weight)
    before = step.gradients.copy()
    encoder.auxiliary(parameters, step, dead, 2, feature_weight=weight)

    def left():
        missed, decoder = -step.excess, parameters.decoder[dead]
        if kind is MatchingPursuit:
            some = Parameters(decoder=decoder, decoder_bias=np.zeros(N_FEATURES))
            left = missed - Written(MatchingPursuit(2), some, missed, 1.0).reconstruction(len(dead))
        else:
            pre = ((X - parameters.decoder_bias) @ parameters.encoder.T + parameters.encoder_bias)[:, dead]
            pre = np.maximum(pre, 0)
            left = missed - np.where(pre >= np.sort(pre, axis=1)[:, -2][:, None], pre, 0) @ decoder
        weighted = 1.0 if weight is None else weight
        return np.sum(weighted * left**2) / np.sum(weighted * missed**2) / 32

    for name, gradient in step.gradients.arrays().items():
        added = gradient - getattr(before, name)
        if name in ("decoder", "encoder", "encoder_bias"):
            expected = differences(getattr(parameters, name), left)
            alive = np.setdiff1d(np.arange(N_COMPONENTS), dead)
            np.testing.assert_allclose(added[dead], expected[dead], atol=2e-7)
            assert not added[alive].any()
        else:
            assert not added.any()


def test_auxiliary_of_a_perfect_reconstruction_is_nothing(rng):
    encoder, parameters, _ = problem(rng, TopK)
    X = np.tile(parameters.decoder_bias, (4, 1))
    parameters.encoder_bias[:] = -1
    step = encoder.loss(parameters, X, 0.0)
    encoder.auxiliary(parameters, step, np.array([0, 1]), 1)
    assert not any(gradient.any() for gradient in step.gradients.arrays().values())


def test_jump_is_strict():
    encoder = JumpReLU(1e-3)
    weights = Weights(
        encoder=np.eye(1), encoder_bias=np.zeros(1), decoder=np.eye(1), decoder_bias=np.zeros(1),
        threshold=np.array([0.5]),
    )  # fmt: skip
    X = np.array([[0.5], [np.nextafter(0.5, 1)], [-1.0]])
    assert encoder.encode(weights, X).toarray().ravel().tolist() == [0.0, np.nextafter(0.5, 1), 0.0]


def test_matching_pursuit_of_nothing_is_nothing():
    encoder = MatchingPursuit(3)
    codes = encoder.encode(
        Weights(decoder=np.eye(4), decoder_bias=np.zeros(4)), np.array([[0.0, 0, 0, 0], [0, 2, 0, 0]])
    ).toarray()
    assert codes.tolist() == [[0, 0, 0, 0], [0, 2, 0, 0]]
