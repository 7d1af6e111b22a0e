from dataclasses import replace

import numpy as np
import pytest

from skcode.autoencoder.encoders import BatchTopK, Gated, JumpReLU, Matryoshka, TopK
from skcode.autoencoder.input_map import InputMap
from skcode.autoencoder.plan import Plan
from skcode.autoencoder.pursuit import MatchingPursuit
from skcode.autoencoder.training import Training

N_COMPONENTS, N_FEATURES = 12, 6
PLAN = Plan(
    activation=TopK(3), n_components=N_COMPONENTS, n_epochs=1, n_steps=100, wanted_l0=None, alpha=0.01,
    learning_rate=0.1, weight_decay=0.0, warmup=0.0, decay=0.0, sparsity_warmup=0.0, normalise_steps=True,
    normalise_passes=None, auxiliary=False, resample_until=np.inf, dead_after=100, whiten=False, scale=False,
    bias_init="zero", n_jobs=None,
)  # fmt: skip


def training(rng, activation=PLAN.activation, **changes):
    encoder, decoder = (rng.standard_normal((N_COMPONENTS, N_FEATURES)) for _ in range(2))
    parameters = activation.first(decoder, encoder, np.zeros(N_FEATURES))
    return Training(replace(PLAN, activation=activation, **changes), parameters, InputMap(), rng)


@pytest.mark.parametrize(("decay", "last"), [(0.3, [2 / 3, 1 / 3]), (0.0, [1, 1])])
def test_learning_rate_warms_up_and_decays(rng, decay, last):
    one = training(rng, n_steps=10, warmup=0.2, decay=decay)
    np.testing.assert_allclose([one._rate(step / 10) for step in range(1, 11)], [0.5] + 7 * [1] + last)


def test_penalty_warms_up(rng):
    X = rng.standard_normal((50, N_FEATURES))
    plain, slow = (training(np.random.RandomState(0), JumpReLU(0.5), sparsity_warmup=share) for share in (0.0, 0.5))
    assert slow.step(X)[1] == pytest.approx(plain.step(X)[1] / 50)


def test_latents_are_dead_when_none_of_so_many_samples_used_them(rng):
    one = training(rng, learning_rate=1e-12)
    one.parameters.encoder_bias[:4] = -100
    for _ in range(3):
        one.step(rng.standard_normal((50, N_FEATURES)))
        assert one.idle[:4].tolist() == 4 * [50 * one.n_done]
    assert set(range(4)) <= set(one.dead)
    assert one.idle.max() == 150
    assert one.idle.min() == 0


def test_auxiliary_loss_moves_the_dead_only(rng):
    X = rng.standard_normal((50, N_FEATURES))
    plain, auxiliary = (training(np.random.RandomState(0), auxiliary=auxiliary) for auxiliary in (False, True))
    for one in (plain, auxiliary):
        one.idle[[2, 7]] = 1000
    (_, _, without), (_, _, with_it) = (each._gradients(X, each.plan.activation, 0.0) for each in (plain, auxiliary))
    for name in ("encoder", "decoder"):
        moved = np.flatnonzero(np.any(getattr(without, name) != getattr(with_it, name), axis=1))
        assert moved.tolist() == [2, 7]


@pytest.mark.parametrize(
    "activation", [TopK(3), BatchTopK(3), Matryoshka(3, widths=(N_COMPONENTS,)), JumpReLU(0.5)], ids=str
)
def test_large_batches_are_cut_where_their_samples_do_not_compete(rng, activation):
    X = rng.standard_normal((1300, N_FEATURES)) * np.linspace(0.1, 3, 1300)[:, None]
    one = training(rng, activation)
    sums, used, gradients = one._gradients(X, activation, 0.01)
    whole = one.plan.activation.loss(one.parameters, X, 0.01)
    np.testing.assert_allclose(sums, [whole.squared_error, 0.01 * whole.penalty, whole.codes.used()[1]])
    np.testing.assert_array_equal(used, whole.codes.used()[0])
    for name, gradient in gradients.arrays().items():
        np.testing.assert_allclose(gradient, whole.gradients.arrays()[name], atol=1e-12)


def test_resampling_starts_latents_at_what_is_missed(rng):
    X = 3 * rng.standard_normal((40, N_FEATURES))
    one = training(rng)
    one.step(X)
    one.idle[:] = 0
    one.idle[[2, 7]] = 1000
    missed = -one.plan.activation.loss(one.parameters, X, 0.0).excess
    missed /= np.linalg.norm(missed, axis=1, keepdims=True)
    before = one.parameters.copy()
    one.resample(X)
    alive = np.setdiff1d(np.arange(N_COMPONENTS), [2, 7])
    norm = np.linalg.norm(before.encoder[alive], axis=1).mean()
    for j in (2, 7):
        assert np.max(missed @ one.parameters.decoder[j]) == pytest.approx(1)
        np.testing.assert_allclose(one.parameters.encoder[j], 0.2 * norm * one.parameters.decoder[j])
        assert not any(moment[j].any() for moment in one.optimiser._moments["decoder"])
    np.testing.assert_array_equal(one.parameters.decoder[alive], before.decoder[alive])
    assert len(one.dead) == 0


@pytest.mark.parametrize("activation", [JumpReLU(0.5), Gated(), TopK(3), MatchingPursuit(3)], ids=str)
def test_resampled_latents_are_used_again(rng, activation):
    X = 3 * rng.standard_normal((40, N_FEATURES))
    one = training(rng, activation)
    arrays = one.parameters.arrays()
    for name in set(arrays) & {"threshold", "magnitude_bias", "encoder_bias"}:
        arrays[name][[2, 7]] = 50.0 if name == "threshold" else -50.0
    one.idle[[2, 7]] = 1000
    one.resample(X)
    used, _ = one.plan.activation.loss(one.parameters, X, 0.0).codes.used()
    assert used[[2, 7]].all()


def test_resampling_ends_when_planned(rng):
    one = training(rng, resample_until=1.0)
    one.idle[3] = 1000
    before = one.parameters.decoder.copy()
    one.n_done = 2
    one.resample(rng.standard_normal((40, N_FEATURES)))
    np.testing.assert_array_equal(one.parameters.decoder, before)


def test_penalty_is_steered_towards_the_target(rng):
    X = rng.standard_normal((50, N_FEATURES))
    low, high = (
        training(np.random.RandomState(0), JumpReLU(0.5), wanted_l0=target, alpha=5e-3) for target in (0.1, 11.0)
    )
    start = low.alpha
    assert start == high.alpha > 0
    low.step(X)
    high.step(X)
    assert high.alpha < start < low.alpha


def test_decay_spares_latents_that_are_not_used(rng):
    one = training(rng, learning_rate=1e-3, weight_decay=100.0, normalise_steps=False)
    one.parameters.encoder_bias[4] = -100
    before = one.parameters.encoder.copy()
    one.step(rng.standard_normal((50, N_FEATURES)))
    share = np.linalg.norm(one.parameters.encoder, axis=1) / np.linalg.norm(before, axis=1)
    assert share[4] == 1
    np.testing.assert_allclose(np.delete(share, 4), 0.9, atol=0.02)


def test_atoms_have_norm_one_after_each_step(rng):
    one = training(rng)
    one.step(rng.standard_normal((50, N_FEATURES)))
    np.testing.assert_allclose(np.linalg.norm(one.parameters.decoder, axis=1), 1)
