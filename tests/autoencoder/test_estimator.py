import copy
import pickle
import signal
import warnings
from contextlib import nullcontext
from dataclasses import replace
from itertools import cycle

import joblib
import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from skcode import FISTACoder, SparseAutoencoder
from skcode._training import Adam
from skcode.autoencoder import plan
from skcode.autoencoder.plan import ACTIVATIONS
from skcode.autoencoder.stopping import Best
from skcode.autoencoder.training import Training
from skcode.autoencoder.weights import Weights

PUBLISHED = {
    "alpha": 1e-4, "bandwidth": 1e-3, "bias_init": "zero", "scale_inputs": False, "learning_rate": 5e-4,
    "weight_decay": 0.01, "warmup": 0, "decay": 0, "sparsity_warmup": 0, "renormalise_every": 50,
    "dead_latents": None, "batch_size": 64, "max_epochs": 500,
}  # fmt: skip


# Most fits here are too short to steer a penalty; what is said of it has tests of its own.
pytestmark = pytest.mark.filterwarnings("ignore:codes ha(ve|d) a mean L0:sklearn.exceptions.ConvergenceWarning")


def published(activation):
    """Return the published settings that an activation has."""
    kind = ACTIVATIONS[activation]
    idle = set() if kind.penalised else {"alpha"}
    if activation != "jumprelu":
        idle.add("bandwidth")
    return {name: value for name, value in PUBLISHED.items() if name not in idle}


def mean_l0(codes):
    return (codes != 0).sum(axis=1).mean()


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("settings", ["default", "published"])
def test_training_lowers_the_loss(shift, activation, settings):
    settings = published(activation) if settings == "published" else {}
    if ACTIVATIONS[activation].penalised:
        settings = {"alpha": 1e-3} | settings
    sae = SparseAutoencoder(40, activation=activation, n_active=4, random_state=0, **settings)
    sae.set_params(max_epochs=150).fit(shift.X_train)
    error = np.array(sae.history_["squared_error"])
    assert len(error) == sae.n_iter_ == 150
    assert error[-1] < 0.6 * error[0]


def test_one_epoch_is_adam_on_projected_gradients_from_a_tied_start(shift):
    X = shift.X_train[:50]
    options = published("relu") | {"activation": "relu", "max_epochs": 1, "renormalise_every": None, "random_state": 0}
    start = SparseAutoencoder(40, **options | {"learning_rate": 1e-300}).fit(X)
    encoder, decoder = start.encoder_components_, start.components_
    bound = 1 / np.sqrt(X.shape[1])
    assert np.abs(encoder).max() == pytest.approx(bound, rel=0.02)
    assert np.std(encoder) == pytest.approx(bound / np.sqrt(3), rel=0.1)
    np.testing.assert_allclose(decoder, encoder / np.linalg.norm(encoder, axis=1, keepdims=True))

    relu = ACTIVATIONS["relu"]()
    batch = relu.loss(relu.first(decoder, encoder, np.zeros(X.shape[1])), X, 1e-4)
    used = np.bincount(batch.codes.indices, minlength=40) > 0
    gradient = batch.gradients.decoder
    slope = gradient - np.sum(gradient * decoder, axis=1, keepdims=True) * decoder
    sae = SparseAutoencoder(40, **options | {"learning_rate": 1e-3, "weight_decay": 0.5}).fit(X)
    # The first step of Adam has the length of the learning rate in every coordinate; then latents in use decay.
    expected = decoder - 1e-3 * slope / (np.abs(slope) + 1e-8)
    expected *= np.where(used, 1 - 1e-3 * 0.5, 1)[:, None]
    np.testing.assert_allclose(sae.components_, expected, atol=1e-9)
    sae.set_params(renormalise_every=1).fit(X)
    np.testing.assert_allclose(np.linalg.norm(sae.components_, axis=1), 1)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("whiten", [False, True])
def test_codes_are_the_documented_formula(shift, activation, whiten):
    sae = SparseAutoencoder(40, activation=activation, n_active=4, max_epochs=5, whiten=whiten, random_state=0)
    sae.fit(shift.X_train)
    X = shift.X_val - sae.decoder_bias_
    if activation == "matching_pursuit":
        expected = _pursued(sae, X)
    else:
        expected = X @ sae.encoder_components_.T + sae.encoder_bias_
        level = np.sort(expected, axis=1)[:, -5][:, None] if activation == "topk" else getattr(sae, "threshold_", 0)
        expected[(expected <= level) | (expected <= 0)] = 0
    np.testing.assert_allclose(sae.transform(shift.X_val), expected, atol=1e-10)


def _pursued(sae, X):
    encoder = getattr(sae, "encoder_components_", sae.components_)
    codes = np.zeros((len(X), len(encoder)))
    for code, rest in zip(codes, X.copy(), strict=True):
        for _ in range(4):
            correlation = np.where(code == 0, encoder @ rest, 0)
            best = np.argmax(np.abs(correlation))
            code[best] = correlation[best]
            rest -= correlation[best] * sae.components_[best]
    return codes


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_scale_of_the_samples_does_not_matter(shift, activation):
    options = {"activation": activation, "n_active": 4, "max_epochs": 10, "random_state": 0}
    small, large = (SparseAutoencoder(40, **options).fit(scale * shift.X_train) for scale in (1.0, 1024.0))
    np.testing.assert_allclose(small.components_, large.components_, atol=1e-6)
    np.testing.assert_allclose(1024 * small.decoder_bias_, large.decoder_bias_, rtol=1e-5)
    np.testing.assert_allclose(
        1024 * small.transform(shift.X_val), large.transform(1024 * shift.X_val), atol=1e-3, rtol=1e-5
    )
    np.testing.assert_allclose(
        1024**2 * np.array(small.history_["squared_error"]), large.history_["squared_error"], rtol=1e-5
    )


def test_history_is_in_the_units_of_the_samples(shift):
    sae = SparseAutoencoder(40, n_active=4, max_epochs=1, learning_rate=1e-300, random_state=0).fit(shift.X_train)
    X_hat = sae.inverse_transform(sae.transform(shift.X_train))
    assert sae.history_["squared_error"][0] == pytest.approx(np.mean((shift.X_train - X_hat) ** 2))
    assert sae.history_["mean_l0"][0] == pytest.approx(mean_l0(sae.transform(shift.X_train)))
    whitened = clone(sae).set_params(whiten=True).fit(shift.X_train)
    X_hat = whitened.inverse_transform(whitened.transform(shift.X_train))
    assert whitened.history_["squared_error"][0] == pytest.approx(np.mean((shift.X_train - X_hat) ** 2))


def test_whitening_helps_where_a_few_directions_are_loud(rng, shift):
    X, X_val = shift.X_train.copy(), shift.X_val.copy()
    stretch = np.diag(np.geomspace(10, 0.1, X.shape[1]))
    dictionary = shift.dictionary @ stretch
    plain, whitened = (
        SparseAutoencoder(40, n_active=4, max_epochs=100, whiten=whiten, random_state=0).fit(X @ stretch)
        for whiten in (False, True)
    )
    cosines = [_cosines(dictionary @ np.linalg.inv(stretch), sae.components_ @ np.linalg.inv(stretch))
               for sae in (plain, whitened)]  # fmt: skip
    assert cosines[1] > cosines[0] + 0.1
    assert whitened.score(X_val @ stretch) > -1


def _cosines(one, other):
    one, other = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (one, other))
    return (one @ other.T).max(axis=1).mean()


def test_codes_follow_the_public_attributes(shift):
    sae = SparseAutoencoder(40, activation="jumprelu", max_epochs=1, random_state=0).fit(shift.X_train)
    before = sae.transform(shift.X_val)
    sae.threshold_ = np.full(40, np.median(before[before > 0]))
    np.testing.assert_array_equal(sae.transform(shift.X_val), np.where(before > sae.threshold_, before, 0))


def test_atoms_keep_norm_one(shift):
    sae = SparseAutoencoder(40, max_epochs=3, n_active=4, random_state=0).fit(shift.X_train)
    np.testing.assert_allclose(np.linalg.norm(sae.components_, axis=1), 1, atol=1e-6)
    sae.set_params(renormalise_every=50, max_epochs=51).fit(shift.X_train)  # after epochs 1 and 51
    np.testing.assert_allclose(np.linalg.norm(sae.components_, axis=1), 1, atol=1e-6)
    free = clone(sae).set_params(renormalise_every=None).fit(shift.X_train)
    assert np.abs(np.linalg.norm(free.components_, axis=1) - 1).max() > 1e-4


@pytest.mark.parametrize("activation", ["batchtopk", "matryoshka", "jumprelu", "gated"])
def test_target_l0_is_met_on_the_training_samples(shift, activation):
    sae = SparseAutoencoder(40, activation=activation, target_l0=5.5, max_epochs=60, random_state=0).fit(shift.X_train)
    assert mean_l0(sae.transform(shift.X_train)) == pytest.approx(5.5, abs=0.01)
    assert mean_l0(sae.transform(shift.X_val)) == pytest.approx(5.5, rel=0.15)


def test_target_l0_is_met_on_samples_held_out_where_there_are_any(shift):
    options = {"activation": "batchtopk", "target_l0": 5.5, "max_epochs": 60, "random_state": 0}
    sae = SparseAutoencoder(40, validation_fraction=0.3, **options).fit(shift.X_train)
    order = np.random.RandomState(0).permutation(len(shift.X_train))
    n_held = round(0.3 * len(order))
    assert mean_l0(sae.transform(shift.X_train[order[:n_held]])) == pytest.approx(5.5, abs=0.02)
    assert mean_l0(sae.transform(shift.X_train[order[n_held:]])) < 5.4


@pytest.mark.parametrize("activation", ["relu", "jumprelu", "gated"])
def test_penalty_is_steered_to_the_target(shift, activation):
    options = {"activation": activation, "target_l0": 6, "random_state": 0, "batch_size": 32}
    sae = SparseAutoencoder(40, max_epochs=500, **options).fit(shift.X_train)
    assert sae.history_["mean_l0"][-1] == pytest.approx(6, rel=0.1)
    assert sae.alpha_ == sae.history_["alpha"][-1] > 0


def test_auto_alpha_is_steered_to_n_active_and_a_given_one_stays(shift):
    options = {"activation": "jumprelu", "n_active": 6, "max_epochs": 60, "random_state": 0}
    auto = SparseAutoencoder(40, **options).fit(shift.X_train)
    assert mean_l0(auto.transform(shift.X_train)) == pytest.approx(6, abs=0.01)
    given = SparseAutoencoder(40, alpha=1e-3, **options).fit(shift.X_train)
    assert given.alpha_ == 1e-3
    assert SparseAutoencoder(40, max_epochs=1).fit(shift.X_train).alpha_ == 0


def test_early_stopping_keeps_the_best_weights(shift):
    options = {"n_active": 4, "decay": 0.0, "max_epochs": 500, "random_state": 0}
    sae = SparseAutoencoder(40, validation_fraction=0.3, n_iter_no_change=3, **options).fit(shift.X_train)
    held_out = sae.history_["held_out"]
    assert 3 < sae.n_iter_ == len(held_out) < 500
    order = np.random.RandomState(0).permutation(len(shift.X_train))
    assert -sae.score(shift.X_train[order[: round(0.3 * len(order))]]) == pytest.approx(min(held_out))


@pytest.mark.parametrize("activation", ["relu", "jumprelu", "gated"])
def test_early_stopping_waits_until_codes_are_sparse(shift, activation):
    options = {"activation": activation, "n_active": 4, "max_epochs": 200, "random_state": 0, "batch_size": 32}
    sae = SparseAutoencoder(40, validation_fraction=0.2, **options).fit(shift.X_train)
    assert mean_l0(sae.transform(shift.X_train)) < 6
    given = SparseAutoencoder(40, alpha=0.05, **options).fit(shift.X_train)
    stopped = SparseAutoencoder(40, alpha=0.05, validation_fraction=0.2, **options).fit(shift.X_train)
    # It stops while codes still become sparser, but not at the 15 and more that are best without the penalty.
    assert mean_l0(stopped.transform(shift.X_train)) < 2.5 * mean_l0(given.transform(shift.X_train))


def test_dictionary_init_is_the_start(shift):
    sae = SparseAutoencoder(dictionary_init=2 * shift.dictionary, learning_rate=1e-300, max_epochs=1)
    sae.fit(shift.X_train)
    np.testing.assert_allclose(sae.components_, shift.dictionary)
    np.testing.assert_allclose(sae.encoder_components_, shift.dictionary)
    atoms = sae.set_params(whiten=True).fit(shift.X_train).components_
    cosines = np.sum(atoms * shift.dictionary, axis=1) / np.linalg.norm(atoms, axis=1)
    np.testing.assert_allclose(cosines, 1)


def test_zero_atoms_start_at_random(shift):
    start = shift.dictionary.copy()
    start[[3, 8]] = 0
    sae = SparseAutoencoder(dictionary_init=start, learning_rate=1e-300, max_epochs=1, random_state=0)
    components = sae.fit(shift.X_train).components_
    np.testing.assert_allclose(np.linalg.norm(components, axis=1), 1)
    np.testing.assert_allclose(np.delete(components, [3, 8], axis=0), np.delete(start, [3, 8], axis=0))


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_partial_fit_does_not_change_the_activation(shift, method):
    sae = SparseAutoencoder(40, max_epochs=1, random_state=0)
    getattr(sae, method)(shift.X_train)
    with pytest.raises(ValueError, match=r"activation='relu' is not what was fitted \('topk'\)"):
        sae.set_params(activation="relu").partial_fit(shift.X_train)
    with pytest.raises(ValueError, match=r"n_components=50 is not what was fitted \(40\)"):
        sae.set_params(activation="topk", n_components=50).partial_fit(shift.X_train)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("whiten", [False, True])
def test_a_stream_goes_on_from_weights_that_were_assigned(shift, activation, whiten):
    options = {"n_active": 4, "whiten": whiten, "weight_decay": 0, "random_state": 0}
    sae, other = (SparseAutoencoder(40, activation=activation, **options).partial_fit(shift.X_train) for _ in range(2))
    assert pickle.loads(pickle.dumps(sae))._stream.made == Weights.of(other, shift.X_train.dtype).digest()
    sae.partial_fit(shift.X_val)
    other.components_, other.decoder_bias_ = sae.components_.copy(), sae.decoder_bias_ + 1
    other._stream.plan = replace(other._stream.plan, learning_rate=1e-300)
    other.partial_fit(shift.X_val)
    np.testing.assert_allclose(other.components_, sae.components_, atol=1e-9)
    np.testing.assert_allclose(other.decoder_bias_, sae.decoder_bias_ + 1, atol=1e-9)
    if other._stream.parameters.threshold is not None:
        before = other._stream.parameters.threshold
        other.threshold_ += 5
        other.partial_fit(shift.X_val)
        assert (other._stream.parameters.threshold > before).all()
    other.components_ = np.full_like(other.components_, np.nan)
    with pytest.raises(ValueError, match="weights that are assigned must be finite"):
        other.partial_fit(shift.X_val)
    other.components_ = sae.components_[:30]
    with pytest.raises(ValueError, match="components_ was assigned with 30 atoms, but a stream goes on from the 40"):
        other.partial_fit(shift.X_val)


def test_weights_that_do_not_fit_are_named(shift):
    sae = SparseAutoencoder(40, n_active=4, max_epochs=1, random_state=0).fit(shift.X_train)
    sae.offset_ = np.ones(19)
    assert sae.decoder_bias_ is sae.offset_
    sae.encoder_bias_ = list(sae.encoder_bias_)
    sae.transform(shift.X_val)
    for name, wrong in (("offset_", np.zeros(3)), ("encoder_bias_", "no"), ("components_", sae.components_[:, :3])):
        broken = copy.copy(sae)
        setattr(broken, name, wrong)
        name = "decoder_bias_" if name == "offset_" else name
        with pytest.raises(ValueError, match=f"{name} must be an array of numbers of shape .*, got"):
            broken.transform(shift.X_val)


@pytest.mark.parametrize(("activation", "expected"), [("topk", 3e-3), ("relu", 1.5e-3)])
def test_the_learning_rate_is_that_of_the_activation_or_the_one_given(shift, activation, expected):
    options = {"activation": activation, "max_epochs": 1, "random_state": 0}
    default, same, other = (
        SparseAutoencoder(40, learning_rate=rate, **options).fit(shift.X_train).components_
        for rate in (None, expected, 1e-3)
    )
    np.testing.assert_array_equal(default, same)
    assert np.abs(default - other).max() > 1e-4


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("whiten", [False, True])
def test_a_stream_starts_at_what_was_fitted(shift, activation, whiten):
    sae = SparseAutoencoder(40, activation=activation, n_active=4, max_epochs=9, whiten=whiten, random_state=0)
    sae.fit(shift.X_train)
    codes, alpha = sae.transform(shift.X_val), sae.alpha_
    sae.set_params(learning_rate=1e-300, weight_decay=0).partial_fit(shift.X_train)
    np.testing.assert_allclose(sae.transform(shift.X_val), codes, atol=1e-9)
    assert sae.alpha_ == pytest.approx(alpha, rel=0.06)  # 1 % a step is what steering may move it by


@pytest.mark.parametrize("X", [np.ones((1, 19)), np.full((50, 19), 0.1)])
@pytest.mark.parametrize("parameters", [{}, {"whiten": True}])
def test_a_stream_cannot_start_without_a_scale(shift, X, parameters):
    sae = SparseAutoencoder(40, **parameters)
    with pytest.raises(ValueError, match=rf"first block of a stream must hold samples that differ.*n_samples={len(X)}"):
        sae.partial_fit(X)
    assert not hasattr(sae, "components_")
    sae.partial_fit(shift.X_train).partial_fit(X)
    SparseAutoencoder(40, scale_inputs=False).partial_fit(X)


@pytest.mark.parametrize("activation", ["batchtopk", "jumprelu"])
def test_small_blocks_do_not_move_thresholds_alone(shift, activation):
    sae = SparseAutoencoder(40, activation=activation, n_active=4, random_state=0).partial_fit(shift.X_train)
    for sample in shift.X_train[:20]:
        sae.partial_fit(sample[None])
    assert mean_l0(sae.transform(np.vstack([shift.X_train, shift.X_train[:20]]))) == pytest.approx(4, abs=0.02)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("failing", ["step", "settle", "weights", "_fit_refiner", "print"])
def test_a_block_that_fails_leaves_no_trace(shift, monkeypatch, activation, failing):
    """Wherever an exception or an interrupt comes: the stream goes on to the same bits as one that never failed."""
    one, other = (
        SparseAutoencoder(40, activation=activation, n_active=4, random_state=0, verbose=1).partial_fit(shift.X_train)
        for _ in range(2)
    )
    before, history = one.transform(shift.X_val), one.history_
    owner = SparseAutoencoder if failing == "_fit_refiner" else Training
    with monkeypatch.context() as patch:
        if failing == "print":
            patch.setattr("builtins.print", interrupted_on(print, 1))
        else:
            patch.setattr(owner, failing, interrupted_on(getattr(owner, failing), 3 if failing == "step" else 1))
        with pytest.raises(KeyboardInterrupt):
            one.partial_fit(shift.X_val)
    np.testing.assert_array_equal(one.transform(shift.X_val), before)
    assert one.history_ == history == other.history_
    assert one.n_iter_ == len(one.history_["dead"]) == 1
    np.testing.assert_array_equal(one.mean_, other.mean_)
    for sae in (one, other):
        sae.partial_fit(shift.X_val)
    np.testing.assert_array_equal(one.components_, other.components_)
    np.testing.assert_array_equal(one.encoder_bias_ if hasattr(one, "encoder_bias_") else 0,
                                  getattr(other, "encoder_bias_", 0))  # fmt: skip


def interrupted_on(function, call):
    """Return a function whose so manyth call does its work and is then interrupted."""
    calls = []

    def interrupted(*args, **kwargs):
        result = function(*args, **kwargs)
        calls.append(1)
        if len(calls) == call:
            raise KeyboardInterrupt
        return result

    return interrupted


def test_a_copy_of_a_stream_goes_its_own_way(shift):
    sae = SparseAutoencoder(40, activation="batchtopk", n_active=4, random_state=0).partial_fit(shift.X_train)
    before = pickle.dumps(vars(sae))
    twin = pickle.loads(pickle.dumps(sae))
    copy.copy(sae).partial_fit(shift.X_val)
    assert pickle.dumps(vars(sae)) == before
    for one in (sae, twin):
        one.partial_fit(shift.X_train)
    np.testing.assert_array_equal(sae.components_, twin.components_)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_stream_loaded_as_a_read_only_memory_map_goes_on(shift, activation, tmp_path):
    sae = SparseAutoencoder(40, activation=activation, n_active=4, random_state=0).partial_fit(shift.X_train)
    joblib.dump(sae, tmp_path / "stream")
    mapped = joblib.load(tmp_path / "stream", mmap_mode="r")
    for one in (sae, mapped):
        one.partial_fit(shift.X_val)
    np.testing.assert_array_equal(mapped.components_, sae.components_)
    np.testing.assert_array_equal(mapped.transform(shift.X_val), sae.transform(shift.X_val))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_fitted_autoencoder_loaded_as_a_read_only_memory_map_trains_on(shift, activation, tmp_path):
    sae = SparseAutoencoder(40, activation=activation, n_active=4, max_epochs=1, random_state=0).fit(shift.X_train)
    joblib.dump(sae, tmp_path / "fitted")
    mapped = joblib.load(tmp_path / "fitted", mmap_mode="r")
    for one in (sae, mapped):
        one.partial_fit(shift.X_val)
    np.testing.assert_array_equal(mapped.components_, sae.components_)


@pytest.mark.parametrize("scale", [1e15, 1e200])
@pytest.mark.parametrize("activation", ["topk", "jumprelu"])
def test_a_block_of_another_scale_is_refused_and_leaves_no_trace(shift, scale, activation):
    one, other = (SparseAutoencoder(40, activation=activation, random_state=0) for _ in range(2))
    one.partial_fit(shift.X_train)
    with pytest.raises(ValueError, match="X must be of about the scale of the samples"), np.errstate(over="ignore"):
        one.partial_fit(scale * shift.X_train)
    one.partial_fit(shift.X_val)
    other.partial_fit(shift.X_train).partial_fit(shift.X_val)
    np.testing.assert_array_equal(one.components_, other.components_)


def test_whitening_of_a_stream_takes_more_samples_than_features(shift):
    sae = SparseAutoencoder(40, whiten=True, random_state=0)
    with pytest.raises(ValueError, match=r"more samples than n_features=19 with whiten=True.*got n_samples=19"):
        sae.partial_fit(shift.X_train[:19])
    sae.partial_fit(shift.X_train[:20])


def test_large_blocks_set_thresholds_alone_and_are_not_kept(shift):
    X = np.tile(shift.X_train, (5, 1))
    sae = SparseAutoencoder(40, activation="batchtopk", n_active=4, random_state=0).partial_fit(0.5 * X).partial_fit(X)
    assert mean_l0(sae.transform(X)) == pytest.approx(4, abs=0.01)
    judge = sae._stream.judged_by
    assert judge.shape == (1024, X.shape[1])
    assert judge.base is None


@pytest.mark.parametrize("options", [{"scale_inputs": False}, {}, {"whiten": True}], ids=str)
def test_early_stopping_weighs_the_penalty_as_training_does(shift, options, monkeypatch):
    judged = []
    monkeypatch.setattr(Best, "_is_enough", lambda self, error, parameters: bool(judged.append(error)))
    X = 1000 * shift.X_train
    sae = SparseAutoencoder(40, activation="relu", alpha=0.02, max_epochs=3, sparsity_warmup=0, **options)
    sae.set_params(validation_fraction=0.3, random_state=0).fit(X)
    order = np.random.RandomState(0).permutation(len(X))
    held_out = X[np.sort(order[: round(0.3 * len(X))])]
    # What the loss adds to the mean squared error of a feature, as a share of its variance.
    unit = 1.0 if "scale_inputs" in options else sae._input_map.unit
    share = np.array(sae.history_["penalty"]) * unit**2 / np.mean((held_out - sae.mean_) ** 2)
    np.testing.assert_allclose(judged, np.array(sae.history_["held_out"]) + share)


def test_what_is_as_sparse_from_the_start_does_not_wait_for_it(shift):
    options = {"activation": "matching_pursuit", "n_active": 4, "validation_fraction": 0.3, "random_state": 0}
    options |= {"decay": 0.0, "max_epochs": 300}
    soon, late = (SparseAutoencoder(40, sparsity_warmup=share, **options).fit(shift.X_train) for share in (0.0, 1.0))
    assert soon.n_iter_ == late.n_iter_ < 300


@pytest.mark.parametrize("activation", ["topk", "batchtopk", "matryoshka"])
def test_counts_of_codes_fall_to_what_is_wanted(shift, activation):
    options = {"activation": activation, "n_active": 3, "max_epochs": 20, "random_state": 0}
    falls, stays = (SparseAutoencoder(40, sparsity_warmup=share, **options).fit(shift.X_train) for share in (0.5, 0))
    mean_l0 = np.array(falls.history_["mean_l0"])
    assert mean_l0[0] > 2.5 * stays.history_["mean_l0"][0]
    assert (np.diff(mean_l0[:9]) < 0).all()
    assert mean_l0[10:] == pytest.approx(stays.history_["mean_l0"][10:], rel=0.05)
    many = SparseAutoencoder(5, **options | {"n_active": 5, "sparsity_warmup": 0.8}).fit(shift.X_train)
    assert max(many.history_["mean_l0"]) <= 5


def test_resampling_shows_how_many_were_dead(shift):
    options = {"n_active": 2, "max_epochs": 20, "dead_after": 300, "random_state": 0, "batch_size": 32}
    sae = SparseAutoencoder(60, dead_latents="resample", **options).fit(shift.X_train)
    assert max(sae.history_["dead"][:10]) > 0


def test_pursuit_of_nothing_has_no_codes(shift):
    sae = SparseAutoencoder(40, activation="matching_pursuit", n_active=4, max_epochs=1, sparse_output=True)
    codes = sae.fit(shift.X_train).transform(np.vstack([shift.X_val[:2], sae.decoder_bias_]))
    assert codes.nnz == np.count_nonzero(codes.toarray())


@pytest.mark.parametrize(
    ("refine", "message"),
    [
        (FISTACoder(solver="foo"), "'solver' parameter of FISTACoder"),
        (FISTACoder(max_iter=-5), "'max_iter' parameter of FISTACoder"),
        (FISTACoder, "refine must be a coder on a given dictionary"),
        ("fista", "refine"),
    ],
    ids=str,
)
def test_what_refines_is_checked_before_training(shift, refine, message, monkeypatch):
    sae = SparseAutoencoder(40, random_state=0).partial_fit(shift.X_train).set_params(refine=refine)
    monkeypatch.setattr(Training, "make_pass", None)  # not to be called
    for fit in (sae.fit, sae.partial_fit):
        with pytest.raises(ValueError, match=message):
            fit(shift.X_train)


@pytest.mark.parametrize("whiten", [False, True])
def test_bias_starts_where_it_is_told(shift, whiten):
    def bias(kind):
        options = {"bias_init": kind, "learning_rate": 1e-300, "max_epochs": 1, "whiten": whiten}
        return SparseAutoencoder(40, **options).fit(shift.X_train).decoder_bias_

    assert np.abs(bias("zero")).max() < (1e-12 if whiten else 1e-200)
    np.testing.assert_allclose(bias("mean"), shift.X_train.mean(axis=0))
    if whiten:
        return
    median = bias("median")
    away = shift.X_train - median  # the sum of the unit vectors to all samples is 0 at the geometric median
    assert np.linalg.norm(np.mean(away / np.linalg.norm(away, axis=1, keepdims=True), axis=0)) < 1e-3


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_partial_fit_learns_from_blocks_and_after_a_fit(shift, activation):
    sae = SparseAutoencoder(40, activation=activation, n_active=4, random_state=0)
    for _ in range(20):
        for block in np.array_split(shift.X_train, 3):
            sae.partial_fit(block)
    assert sae.n_iter_ == len(sae.history_["squared_error"]) == 60
    assert sae.history_["squared_error"][-1] < 0.85 * sae.history_["squared_error"][0]
    np.testing.assert_allclose(sae.mean_, np.tile(shift.X_train, (20, 1)).mean(axis=0), rtol=1e-6)
    fitted = SparseAutoencoder(40, activation=activation, n_active=4, max_epochs=100, random_state=0)
    error = -fitted.fit(shift.X_train).score(shift.X_train)
    fitted.partial_fit(shift.X_train)
    assert -fitted.score(shift.X_train) < 1.1 * error
    assert fitted.n_iter_ == 101


def test_a_pickled_stream_goes_on_to_the_same_bits(shift):
    sae = SparseAutoencoder(40, activation="gated", random_state=0).partial_fit(shift.X_train)
    again = pickle.loads(pickle.dumps(sae))
    for one in (sae, again):
        one.partial_fit(shift.X_train)
    np.testing.assert_array_equal(sae.components_, again.components_)


def test_refinement_starts_from_the_codes(shift):
    refine = FISTACoder(alpha=0.05, solver="fista", max_iter=5, tol=0.0)
    sae = SparseAutoencoder(40, n_active=4, max_epochs=5, random_state=0).fit(shift.X_train)
    refined = clone(sae).set_params(refine=refine).fit(shift.X_train)
    coder = clone(refine).set_params(dictionary=sae.components_, offset=sae.decoder_bias_).fit(shift.X_train)
    expected = coder.codes(shift.X_val, codes_init=sae.transform(shift.X_val)).codes
    np.testing.assert_array_equal(refined.transform(shift.X_val), expected)


def test_attributes_follow_the_activation(shift):
    sae = SparseAutoencoder(40, activation="jumprelu", max_epochs=1, random_state=0).fit(shift.X_train)
    assert sae.threshold_.shape == sae.encoder_bias_.shape == (40,)
    sae.set_params(activation="matching_pursuit").fit(shift.X_train)
    for name in ("threshold_", "encoder_components_", "encoder_bias_"):
        assert not hasattr(sae, name)
    np.testing.assert_allclose(np.linalg.norm(sae.components_, axis=1), 1)


def test_defaults_for_widths(shift):
    sae = SparseAutoencoder(max_epochs=1, random_state=0).fit(shift.X_train)
    assert sae.components_.shape == (2 * shift.X_train.shape[1], shift.X_train.shape[1])
    assert np.count_nonzero(sae.transform(shift.X_val), axis=1).max() <= 10
    narrow = SparseAutoencoder(3, max_epochs=1, random_state=0).fit(shift.X_train)
    assert narrow.transform(shift.X_val).shape[1] == 3


def test_sparse_output_n_jobs_and_chunks_do_not_matter(shift):
    X = np.tile(shift.X_val, (8, 1))  # several chunks
    sae = SparseAutoencoder(40, n_active=4, max_epochs=2, random_state=0).fit(shift.X_train)
    codes = sae.transform(X)
    for parameters in ({"n_jobs": 2}, {"sparse_output": True}):
        other = sae.set_params(**parameters).transform(X)
        assert (other != codes).sum() == 0
    assert sp.issparse(other)


@pytest.mark.parametrize("activation", ["topk", "relu"])
def test_threads_of_training_do_not_matter(shift, activation):
    X = np.tile(shift.X_train, (4, 1))
    options = {"activation": activation, "batch_size": 1200, "max_epochs": 2, "random_state": 0}
    one, two = (SparseAutoencoder(40, n_jobs=n_jobs, **options).fit(X) for n_jobs in (1, 2))
    np.testing.assert_array_equal(one.components_, two.components_)


def test_threads_of_linear_algebra_do_not_matter(rng):
    X = rng.standard_normal((1500, 150)) @ rng.standard_normal((150, 150))  # large enough for threads to be used
    found = []
    for n_threads in (1, 2):
        with threadpool_limits(n_threads):
            sae = SparseAutoencoder(300, n_active=5, whiten=True, max_epochs=1, random_state=0).fit(X)
            found.append([sae.components_, sae.decoder_bias_, sae.partial_fit(X[:333]).components_])
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)


def test_same_seed_same_bits(shift):
    one, two, other = (
        SparseAutoencoder(40, max_epochs=2, n_active=4, random_state=seed).fit(shift.X_train) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one.components_, two.components_)
    assert not np.array_equal(one.components_, other.components_)


def test_verbose_prints_each_epoch(shift, capsys):
    SparseAutoencoder(40, max_epochs=2, verbose=2, random_state=0).fit(shift.X_train)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [f"[SparseAutoencoder] epoch {i} of 2" for i in (1, 2)]
    SparseAutoencoder(40, max_epochs=80, verbose=1, random_state=0).fit(shift.X_train[:20])
    assert len(capsys.readouterr().out.splitlines()) == 20


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(
    ("owner", "name", "call"),
    [
        (Adam, "step", 7),  # whose atoms then have another norm
        (Training, "_shrink", 7),
        (Training, "settle", 10),
        (Training, "make_pass", 3),
        (SparseAutoencoder, "_held_out_error", 3),
        ("builtins", "print", 3),
        ("nothing", "at all", 0),
    ],
    ids=str,
)
def test_an_interrupt_keeps_whole_weights_of_the_moment(shift, monkeypatch, activation, owner, name, call):
    sae = SparseAutoencoder(
        40, activation=activation, n_active=4, max_epochs=6, validation_fraction=0.2, verbose=2, random_state=0
    )
    with monkeypatch.context() as patch:
        if name == "print":
            patch.setattr("builtins.print", interrupted_on(print, call))
        elif call:
            patch.setattr(owner, name, interrupted_on(getattr(owner, name), call))
        told = pytest.warns(ConvergenceWarning, match="interrupted after epoch [123]") if call else nullcontext()
        with told:
            sae.fit(shift.X_train)
    assert {len(entries) for entries in sae.history_.values()} == {sae.n_iter_}
    assert (sae.n_iter_ == 6) == (call == 0)
    np.testing.assert_allclose(np.linalg.norm(sae.components_, axis=1), 1, atol=1e-12)
    assert np.isfinite(sae.transform(shift.X_val)).all()
    sae.partial_fit(shift.X_val)


def test_an_interrupt_from_outside_leaves_whole_weights(shift, rng):
    """The same with real interrupts, wherever they fall."""
    if not hasattr(signal, "setitimer"):
        pytest.skip("no timers")

    def interrupt(*_):
        raise KeyboardInterrupt

    sae = SparseAutoencoder(40, n_active=4, max_epochs=500, random_state=0)
    before, kept = signal.signal(signal.SIGALRM, interrupt), 0
    try:
        for delay in rng.uniform(1e-3, 3e-2, 30):
            one = clone(sae)
            signal.setitimer(signal.ITIMER_REAL, delay)
            try:
                with pytest.warns(ConvergenceWarning, match="interrupted"):
                    one.fit(shift.X_train)
            except KeyboardInterrupt:  # before there was anything to keep, or while it was kept
                assert not hasattr(one, "components_")
                continue
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            kept += 1
            assert {len(entries) for entries in one.history_.values()} <= {one.n_iter_}
            np.testing.assert_allclose(np.linalg.norm(one.components_, axis=1), 1, atol=1e-12)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert kept > 10


@pytest.mark.parametrize("activation", ["relu", "jumprelu", "gated"])
def test_a_mean_l0_that_training_does_not_reach_is_said(shift, activation):
    options = {"activation": activation, "n_active": 4, "random_state": 0}
    with pytest.warns(ConvergenceWarning, match=r"mean L0 of [12].* when training ended \(step 5\), and 4 was asked"):
        SparseAutoencoder(40, max_epochs=1, **options).fit(shift.X_train)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SparseAutoencoder(40, alpha=1e-3, max_epochs=1, **options).fit(shift.X_train)
        SparseAutoencoder(40, max_epochs=500, batch_size=32, **options).fit(shift.X_train)


@pytest.mark.parametrize("activation", ["relu", "jumprelu"])
def test_a_stream_says_early_and_late_that_a_mean_l0_is_missed(shift, activation, monkeypatch):
    monkeypatch.setattr(plan, "_STREAM_STEPS", 20)
    sae = SparseAutoencoder(40, activation=activation, n_active=4, random_state=0)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for _ in range(8):
            sae.partial_fit(shift.X_train)
    assert [str(each.message).split(" and ")[0].split("(")[1] for each in said] == ["step 5),", "step 20),"]


@pytest.mark.parametrize("seed", [100, 101, 102])
def test_a_target_l0_among_ties_is_met(seed):
    X = np.tile(np.eye(12), (50, 1))
    sae = SparseAutoencoder(24, activation="batchtopk", n_active=2, max_epochs=20, random_state=seed).fit(X)
    assert np.count_nonzero(sae.transform(X)) == 2 * len(X)


def test_a_target_l0_between_ties_is_met_as_nearly_as_can_be():
    X = np.tile(np.eye(12), (50, 1))
    options = {"activation": "batchtopk", "n_active": 2, "max_epochs": 20, "random_state": 0}
    sae = SparseAutoencoder(24, **options).fit(X)
    per_sample = np.count_nonzero(sae.transform(X), axis=1).reshape(50, 12)
    assert (per_sample == per_sample[0]).all()
    assert per_sample.mean() == pytest.approx(2, abs=0.5 / 12)


@pytest.mark.parametrize(
    ("activation", "whiten"), [*zip(ACTIVATIONS, cycle([False, True]), strict=False), ("topk", True)]
)
def test_a_few_loud_samples_do_not_take_all(shift, activation, whiten):
    X = shift.X_train.copy()
    X[[3, 141, 268]] *= 100
    sae = SparseAutoencoder(40, activation=activation, n_active=4, max_epochs=200, whiten=whiten, random_state=0)
    clean = clone(sae).fit(shift.X_train)
    with pytest.warns(UserWarning, match="3 of 300 samples"):
        sae.fit(X)
    assert sae.score(shift.X_val) > 1.25 * clean.score(shift.X_val)
    assert _cosines(shift.dictionary, sae.components_) > _cosines(shift.dictionary, clean.components_) - 0.05


def test_a_block_of_strange_scale_is_told_once(shift):
    sae = SparseAutoencoder(40, n_active=4, random_state=0).partial_fit(30 * shift.X_train)
    with pytest.warns(UserWarning, match=r"this block have 0\.03.* times the typical norm"):
        sae.partial_fit(shift.X_train)
    sae.partial_fit(shift.X_train)
    SparseAutoencoder(40, scale_inputs=False, random_state=0).partial_fit(30 * shift.X_train).partial_fit(shift.X_train)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"alpha": 0.1}, r"alpha=0\.1 has no effect with activation='topk'"),
        ({"alpha": 0.1, "activation": "jumprelu", "target_l0": 5}, r"alpha=0\.1 has no effect beside target_l0"),
        ({"n_active": 4, "activation": "batchtopk", "target_l0": 5}, "n_active=4 has no effect beside target_l0"),
        ({"bandwidth": 0.1, "activation": "gated"}, r"bandwidth=0\.1 has no effect with activation='gated'"),
        ({"widths": [10, 40], "activation": "batchtopk"}, "widths=.* has no effect with activation='batchtopk'"),
    ],
    ids=str,
)
def test_parameters_without_effect_are_named(shift, parameters, message):
    sae = SparseAutoencoder(40, max_epochs=1, random_state=0, **parameters)
    with pytest.warns(UserWarning, match=message):
        sae.fit(shift.X_train)
    with pytest.warns(UserWarning, match=message):
        clone(sae).partial_fit(shift.X_train)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_defaults_are_silent_after_cloning_and_pickling(shift, activation):
    sae = SparseAutoencoder(40, activation=activation, bandwidth=0.5, alpha="auto", max_epochs=1, random_state=0)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", UserWarning)
        pickle.loads(pickle.dumps(clone(sae))).fit(shift.X_train)
    assert not [each for each in said if "has no effect" in str(each.message)]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_active": 50}, "n_active=50 must be at most n_components=40"),
        ({"activation": "tanh"}, "'activation' parameter of SparseAutoencoder"),
        ({"target_l0": 4}, "target_l0=4 is not for activation='topk'"),
        ({"target_l0": 40, "activation": "relu"}, "target_l0=40 must be below n_components=40"),
        (
            {"activation": "matryoshka", "widths": [10, 5, 40]},
            r"widths must be increasing positive integers, got \[10, 5, 40\]",
        ),
        ({"activation": "matryoshka", "widths": [10, 20]}, "widths must end with n_components=40"),
        ({"dictionary_init": np.eye(3)}, "dictionary_init has shape"),
        ({"dictionary_init": np.zeros((40, 19))}, "dictionary_init must hold atoms to start from, got zeros alone"),
        ({"activation": "matryoshka", "widths": []}, "widths must be increasing positive integers"),
        ({"validation_fraction": 1e-9}, "validation_fraction=1e-09 of 300 samples leaves 0"),
        ({"refine": "fista"}, "'refine' parameter of SparseAutoencoder"),
        ({"weight_decay": 1e300}, r"weight_decay=1e\+300 with learning_rate=0\.003 would shrink weights"),
        ({"weight_decay": 2**70}, r"weight_decay=1\.18059e\+21 with learning_rate=0\.003 would shrink weights"),
        ({"learning_rate": 10}, r"weight_decay=0\.3 with learning_rate=10 would shrink weights"),
    ],
    ids=str,
)
def test_bad_parameters_are_named(shift, parameters, message):
    with pytest.raises(ValueError, match=message):
        SparseAutoencoder(40, **parameters).fit(shift.X_train)


def test_a_refinement_must_have_the_sign_of_the_codes(shift):
    sae = SparseAutoencoder(40, activation="matching_pursuit", n_active=4, max_epochs=2, refine=FISTACoder())
    with pytest.raises(ValueError, match=r"negative codes of activation='matching_pursuit'.*positive=False to FISTA"):
        sae.fit(shift.X_train)
    sae.set_params(refine__positive=False).fit(shift.X_train)


def test_divergence_is_an_error(shift):
    sae = SparseAutoencoder(40, learning_rate=1e300, weight_decay=0, max_epochs=9)
    with pytest.raises(ValueError, match=r"diverged in epoch .*: learning_rate=1e"), np.errstate(all="ignore"):
        sae.fit(shift.X_train)
    with pytest.raises(ValueError, match="diverged in epoch 1"), np.errstate(all="ignore"):
        sae.set_params(max_epochs=1, batch_size=1000).fit(shift.X_train.astype(np.float32))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [0.0, 1e3])
def test_samples_that_are_all_the_same_are_the_bias(dtype, value):
    X = np.full((30, 5), value, dtype=dtype)
    sae = SparseAutoencoder(8, max_epochs=3, random_state=0).fit(X)
    np.testing.assert_allclose(sae.inverse_transform(sae.transform(X)), X, rtol=1e-2, atol=0.1)


def test_a_far_mean_leaves_training_as_it_is(shift):
    options = {"n_active": 4, "max_epochs": 100, "random_state": 0}
    near, far = (SparseAutoencoder(40, **options).fit(shift.X_train + away) for away in (0.0, 1e4))
    assert far.score(shift.X_train + 1e4) == pytest.approx(near.score(shift.X_train), rel=0.05)


class Listener:
    """A callback of scikit-learn that uses the autoencoder of every epoch, and may end a fit."""

    def __init__(self, X, most=10**9):
        self.X, self.most, self.codes = X, most, []

    def setup(self, estimator, context):
        pass

    teardown = on_fit_task_begin = setup

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        self.codes.append(fitted_estimator.transform(self.X))
        return len(self.codes) >= self.most


@pytest.mark.skipif(not hasattr(SparseAutoencoder, "set_callbacks"), reason="scikit-learn has callbacks from 1.9")
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_callbacks_see_the_autoencoder_of_the_moment(shift, activation):
    listener = Listener(shift.X_val, most=3)
    sae = SparseAutoencoder(40, activation="jumprelu", max_epochs=1, random_state=0).fit(shift.X_train)
    sae.set_params(activation=activation, n_active=4, max_epochs=9).set_callbacks(listener).fit(shift.X_train)
    assert sae.n_iter_ == 3
    np.testing.assert_array_equal(listener.codes[2], sae.transform(shift.X_val))
    if activation in ("topk", "matching_pursuit"):
        assert all(mean_l0(codes) <= 4 for codes in listener.codes)
