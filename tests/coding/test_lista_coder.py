import numpy as np
import pytest
import scipy.sparse as sp

from skcode import LISTACoder
from skcode.coding.lista_coder import UnrolledISTA
from skcode.metrics import amortisation_gap
from skcode.solvers import ista, objective

UNTRAINED = {"learning_rate": 1e-300, "max_epochs": 1}


@pytest.mark.parametrize("coupled", [True, False])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("positive", [True, False])
def test_untrained_it_is_ista(shift, coupled, shared, positive):
    options = {"n_layers": 7, "coupled": coupled, "shared": shared, "positive": positive}
    coder = LISTACoder(dictionary=shift.dictionary, alpha=0.1, **options, **UNTRAINED).fit(shift.X_train)
    expected = ista(shift.X_val, shift.dictionary, 0.1, max_iter=7, tol=0, positive=positive).codes
    np.testing.assert_allclose(coder.transform(shift.X_val), expected, atol=1e-12)


def test_four_trained_layers_are_worth_three_times_as_many_steps(superposed):
    data = superposed
    coder = LISTACoder(dictionary=data.dictionary, n_layers=4, max_epochs=20, random_state=0).fit(data.X_train)
    steps = LISTACoder(dictionary=data.dictionary, n_layers=12, **UNTRAINED).fit(data.X_train)
    gaps = [amortisation_gap(each, data.X_ood, alpha=0.1).mean_gap for each in (coder, steps)]
    assert gaps[0] < gaps[1]


def test_shapes_of_the_weights(shift):
    n_features = shift.X_train.shape[1]
    for coupled, shared in ((True, True), (True, False), (False, True), (False, False)):
        options = {"n_layers": 3, "coupled": coupled, "shared": shared, "max_epochs": 1}
        weights = LISTACoder(dictionary=shift.dictionary, **options).fit(shift.X_train).weights_
        n_matrices = 1 if shared else 3
        assert weights["weights"].shape == (n_matrices, n_features, 40)
        assert weights["thresholds"].shape == (3, 40)
        assert ("recurrent" in weights) == (not coupled)
        if not coupled:
            assert weights["recurrent"].shape == (n_matrices, 40, 40)


def test_coupled_is_free_with_the_matrices_that_follow(shift, rng):
    network = {coupled: UnrolledISTA(4, coupled, False, True) for coupled in (True, False)}
    parameters = {**network[True].initialise(shift.dictionary, 0.1, rng), "dictionary": shift.dictionary}
    parameters["weights"] += 0.01 * rng.standard_normal(parameters["weights"].shape)
    free = parameters | {"recurrent": np.eye(40) - shift.dictionary @ parameters["weights"]}
    codes, _ = network[True].forward(parameters, shift.X_val)
    np.testing.assert_allclose(network[False].forward(free, shift.X_val)[0], codes, atol=1e-12)


def test_thresholds_stay_non_negative(shift):
    options = {"alpha": 1e-4, "n_layers": 3, "learning_rate": 0.01, "max_epochs": 5, "random_state": 0}
    coder = LISTACoder(dictionary=shift.dictionary, **options).fit(shift.X_train, shift.codes_train)
    assert coder.weights_["thresholds"].min() == 0


def test_a_dictionary_of_zeros_gives_codes_of_zeros(shift):
    with pytest.warns(UserWarning, match="all atoms of dictionary are zero"):
        coder = LISTACoder(np.zeros((5, 19)), max_epochs=1).fit(shift.X_train)
    with pytest.warns(UserWarning, match="all codes of 300 samples that are not zero are zero"):
        assert not coder.transform(shift.X_val).any()


@pytest.mark.parametrize("supervised", [False, True])
def test_a_loss_that_rises_is_an_error(shift, supervised):
    coder = LISTACoder(dictionary=shift.dictionary, learning_rate=0.1, max_epochs=20, random_state=0)
    with pytest.raises(
        ValueError, match=r"diverged: the loss went from .* codes of zero have .*: learning_rate=0\.1 is"
    ):
        coder.fit(shift.X_train, sp.csr_matrix(shift.codes_train) if supervised else None)


@pytest.mark.parametrize("coupled", [True, False])
@pytest.mark.parametrize("positive", [True, False])
def test_steps_that_overshoot_are_replaced_by_those_of_ista(shift, coupled, positive):
    options = {"n_layers": 60, "coupled": coupled, "positive": positive}
    coder = LISTACoder(shift.dictionary, alpha=0.02, **options, **UNTRAINED).fit(shift.X_train)
    steps, factor = coder.transform(shift.X_val), 2.5 if positive else 2.2
    coder.weights_["weights"] = longer = factor * coder.weights_["weights"]  # too long for some of the samples
    if not coupled:
        coder.weights_["recurrent"] = np.eye(40) - shift.dictionary @ longer
    coder.weights_["thresholds"] = factor * coder.weights_["thresholds"]
    codes = coder.transform(shift.X_val)
    with np.errstate(all="ignore"):
        parameters = {**coder.weights_, "dictionary": shift.dictionary}
        plain = coder.scale_ * coder._trained.forward(parameters, shift.X_val / coder.scale_)[0]
        left = np.sum((shift.X_val - plain @ shift.dictionary) ** 2, axis=1)
    kept = left <= np.sum(shift.X_val**2, axis=1)
    assert 0 < kept.sum() < len(kept)
    np.testing.assert_allclose(codes[~kept], steps[~kept], atol=1e-9)
    np.testing.assert_array_equal(codes[kept], plain[kept])
    nothing = objective(shift.X_val, np.zeros_like(codes), shift.dictionary, 0.02, positive)
    assert (objective(shift.X_val, codes, shift.dictionary, 0.02, positive) <= nothing * (1 + 1e-9)).all()
