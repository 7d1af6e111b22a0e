import numpy as np
import pytest
import scipy.sparse as sp

from skcode import SparseAutoencoder
from skcode.autoencoder.encoders import ACTIVATIONS


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_training_lowers_the_loss(shift, activation):
    sae = SparseAutoencoder(40, activation=activation, n_active=4, max_epochs=200, random_state=0).fit(shift.X_train)
    error = np.array(sae.history_["squared_error"])
    assert len(error) == sae.n_iter_ == 200
    assert error[-1] < 0.5 * error[0]


def test_one_epoch_is_adamw_on_projected_gradients_from_a_tied_start(shift):
    X = shift.X_train[:50]
    options = {"activation": "relu", "max_epochs": 1, "renormalise_every": None, "random_state": 0}
    start = SparseAutoencoder(40, learning_rate=1e-300, weight_decay=0, **options).fit(X)
    encoder, decoder = start.encoder_components_, start.components_
    bound = 1 / np.sqrt(X.shape[1])
    assert np.abs(encoder).max() == pytest.approx(bound, rel=0.02)
    assert np.std(encoder) == pytest.approx(bound / np.sqrt(3), rel=0.1)
    np.testing.assert_allclose(decoder, encoder / np.linalg.norm(encoder, axis=1, keepdims=True))

    parameters = {"encoder": encoder, "decoder": decoder}
    parameters |= {"encoder_bias": np.zeros(40), "decoder_bias": np.zeros(X.shape[1])}
    _, _, _, gradients = ACTIVATIONS["relu"](None, None).loss_and_gradients(parameters, X, 1e-4)
    slope = gradients["decoder"] - np.sum(gradients["decoder"] * decoder, axis=1, keepdims=True) * decoder
    sae = SparseAutoencoder(40, learning_rate=1e-3, weight_decay=0.5, **options).fit(X)
    # The first step of Adam has the length of the learning rate in every coordinate; decay comes on top.
    expected = (1 - 1e-3 * 0.5) * decoder - 1e-3 * slope / (np.abs(slope) + 1e-8)
    np.testing.assert_allclose(sae.components_, expected, atol=1e-9)
    sae.set_params(renormalise_every=1).fit(X)
    np.testing.assert_allclose(np.linalg.norm(sae.components_, axis=1), 1)


def test_codes_follow_the_public_attributes(shift):
    sae = SparseAutoencoder(40, activation="jumprelu", max_epochs=1, random_state=0).fit(shift.X_train)
    before = sae.transform(shift.X_val)
    sae.threshold_ = np.full(40, np.median(before[before > 0]))
    np.testing.assert_array_equal(sae.transform(shift.X_val), np.where(before > sae.threshold_, before, 0))


@pytest.mark.parametrize("activation", ["relu", "topk"])
def test_codes_are_the_documented_formula(shift, activation):
    sae = SparseAutoencoder(40, activation=activation, n_active=4, max_epochs=5, random_state=0).fit(shift.X_train)
    pre = (shift.X_val - sae.decoder_bias_) @ sae.encoder_components_.T + sae.encoder_bias_
    expected = np.maximum(pre, 0)
    if activation == "topk":
        expected[expected < np.sort(expected, axis=1)[:, -4][:, None]] = 0
    np.testing.assert_allclose(sae.transform(shift.X_val), expected, atol=1e-12)


def test_atoms_keep_norm_one(shift):
    sae = SparseAutoencoder(40, max_epochs=51, n_active=4, random_state=0).fit(shift.X_train)
    np.testing.assert_allclose(np.linalg.norm(sae.components_, axis=1), 1, atol=1e-6)  # rescaled after epochs 1 and 51
    free = SparseAutoencoder(40, max_epochs=51, n_active=4, renormalise_every=None, random_state=0).fit(shift.X_train)
    assert np.abs(np.linalg.norm(free.components_, axis=1) - 1).max() > 1e-4


def test_thresholds_of_jumprelu_are_learned_and_respected(shift):
    options = {"activation": "jumprelu", "bandwidth": 0.2, "alpha": 0.01, "max_epochs": 60, "random_state": 0}
    sae = SparseAutoencoder(40, **options).fit(shift.X_train)
    assert np.abs(sae.threshold_ - 1e-3).max() > 1e-4
    codes = sae.transform(shift.X_val)
    assert np.all((codes == 0) | (codes > sae.threshold_))


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


def test_bad_parameters_are_named(shift):
    with pytest.raises(ValueError, match="n_active=50 must be at most n_components=40"):
        SparseAutoencoder(40, n_active=50).fit(shift.X_train)
    with pytest.raises(ValueError, match=r"diverged in epoch .*: learning_rate=1e"), np.errstate(all="ignore"):
        SparseAutoencoder(40, learning_rate=1e300, max_epochs=9).fit(shift.X_train)
    with pytest.raises(ValueError, match="'activation' parameter of SparseAutoencoder"):
        SparseAutoencoder(40, activation="tanh").fit(shift.X_train)
