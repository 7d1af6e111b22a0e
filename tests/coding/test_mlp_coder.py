import numpy as np
import pytest

from skcode import MLPCoder
from skcode.coding.mlp_coder import Perceptron
from skcode.metrics import mcc_score


@pytest.mark.parametrize("n_hidden", [None, 8])
def test_codes_are_the_documented_formula(shift, n_hidden):
    coder = MLPCoder(dictionary=shift.dictionary, n_hidden=n_hidden, max_epochs=3, random_state=0).fit(shift.X_train)
    weights, values = coder.weights_, shift.X_val / coder.scale_
    if n_hidden:
        values = np.maximum(values @ weights["hidden"] + weights["hidden_bias"], 0)
    expected = coder.scale_ * np.maximum(values @ weights["output"] + weights["output_bias"], 0)
    np.testing.assert_allclose(coder.transform(shift.X_val), expected, atol=1e-12)
    assert set(weights) == {"output", "output_bias"} | ({"hidden", "hidden_bias"} if n_hidden else set())


@pytest.mark.parametrize("n_hidden", [None, 38, 101])
def test_training_starts_from_the_positive_correlations_with_atoms(shift, n_hidden):
    scaled = shift.dictionary * np.linspace(0.5, 2, 40)[:, None]
    coder = MLPCoder(dictionary=scaled, n_hidden=n_hidden, learning_rate=1e-300, max_epochs=1).fit(shift.X_train)
    expected = np.maximum(shift.X_val @ (scaled / np.sum(scaled**2, axis=1, keepdims=True)).T, 0)
    if n_hidden == 101:  # the last of the opposite units is missing
        assert np.corrcoef(coder.transform(shift.X_val).ravel(), expected.ravel())[0, 1] > 0.99
    else:
        np.testing.assert_allclose(coder.transform(shift.X_val), expected, atol=1e-12)


@pytest.mark.parametrize("n_hidden", [None, 50])
@pytest.mark.parametrize("bias", [True, False])
def test_a_random_start_is_uniform_in_the_root_of_the_inputs(shift, n_hidden, bias):
    options = {"n_hidden": n_hidden, "init": "random", "bias": bias, "learning_rate": 1e-300, "max_epochs": 1}
    first, again, other = (
        MLPCoder(n_components=40, random_state=seed, **options).fit(shift.X_train).weights_ for seed in (100, 100, 101)
    )
    for layer, n_inputs in {"output": n_hidden or 19, **({"hidden": 19} if n_hidden else {})}.items():
        bound = n_inputs**-0.5
        assert first[layer].shape[0] == n_inputs
        assert np.abs(first[layer]).max() <= bound
        assert first[layer].std() == pytest.approx(bound / np.sqrt(3), rel=0.1)
        assert not np.array_equal(first[layer], other[layer])
        np.testing.assert_array_equal(first[layer], again[layer])
        biases = first[f"{layer}_bias"]
        assert (0.8 * bound < np.abs(biases).max() <= bound) if bias else not biases.any()


@pytest.mark.parametrize("init", ["atoms", "random"])
@pytest.mark.parametrize("n_hidden", [None, 16])
def test_without_bias_there_is_none(shift, init, n_hidden):
    options = {"n_hidden": n_hidden, "init": init, "max_epochs": 3, "random_state": 0}
    with_bias, without = (
        MLPCoder(bias=bias, **options).fit(shift.X_train, shift.codes_train) for bias in (True, False)
    )
    for name, value in without.weights_.items():
        assert value.any() != name.endswith("_bias")
        assert with_bias.weights_[name].any()
    np.testing.assert_allclose(without.transform(2 * shift.X_val), 2 * without.transform(shift.X_val))


def test_a_random_start_lets_outputs_die(superposed):
    data, options = superposed, {"dictionary": superposed.dictionary, "max_epochs": 10, "random_state": 0}
    coder = MLPCoder(init="random", **options).fit(data.X_train)
    assert not coder.transform(data.X_val).any(axis=0).all()


def test_no_output_dies(superposed):
    data = superposed
    coder = MLPCoder(dictionary=data.dictionary, max_epochs=10, random_state=0).fit(data.X_train)
    assert coder.transform(data.X_val).any(axis=0).all()
    narrow = Perceptron(4).initialise(data.dictionary, 0.1, np.random.RandomState(0))  # fewer units than features
    assert [value.shape for value in narrow.values()] == [(47, 4), (4,), (4, 100), (100,)]


def test_a_hidden_layer_helps(shift):
    options = {"max_epochs": 200, "random_state": 0}
    scores = []
    for n_hidden in (None, 256):
        coder = MLPCoder(n_hidden=n_hidden, **options).fit(shift.X_train, shift.codes_train)
        scores.append(mcc_score(shift.codes_train, coder.transform(shift.X_train)))
    assert scores[0] < scores[1] - 0.05
