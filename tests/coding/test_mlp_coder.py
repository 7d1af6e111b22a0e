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
