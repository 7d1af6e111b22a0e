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


@pytest.mark.parametrize("n_hidden", [None, 256])
def test_all_outputs_are_active_at_the_start(shift, rng, n_hidden):
    network = Perceptron(n_hidden)
    parameters = network.initialise(shift.dictionary, 0.1, rng)
    codes, _ = network.forward(parameters, shift.X_train / 2)
    assert (codes > 0).mean() > 0.7
    assert (codes > 0).any(axis=0).all()


def test_a_hidden_layer_helps(shift):
    options = {"max_epochs": 200, "random_state": 0}
    scores = []
    for n_hidden in (None, 256):
        coder = MLPCoder(n_hidden=n_hidden, **options).fit(shift.X_train, shift.codes_train)
        scores.append(mcc_score(shift.codes_train, coder.transform(shift.X_train)))
    assert scores[0] < scores[1] - 0.05
