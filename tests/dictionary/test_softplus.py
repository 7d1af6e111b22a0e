"""The published Softplus-Adam."""

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from skcode import DictionaryLearner
from skcode.dictionary.softplus import _NORM, SoftplusDescent, loss_and_gradients, softplus
from skcode.metrics import match_dictionaries


@pytest.fixture
def problem(rng, random_dictionary):
    """Return free parameters, atoms that are not of norm 1, and samples in the published scale."""
    X = rng.standard_normal((12, 4))
    X *= _NORM / np.sqrt(np.square(X).sum(axis=1).mean())
    return rng.uniform(-3, 3, (12, 6)), 2 * random_dictionary(6, 4), X


def descent_on(X, atoms, alpha=0.1, **options):
    options = {"max_epochs": 5, "tol": 0.0} | options
    return SoftplusDescent(X, atoms.copy(), alpha, rng=np.random.RandomState(0), **options)


def test_softplus_is_accurate_everywhere():
    free = np.array([-800.0, -30.0, -1.0, 0.0, 1.0, 30.0, 800.0])
    np.testing.assert_allclose(softplus(free), np.logaddexp(0, free), rtol=1e-14)
    assert softplus(free.astype(np.float32)).dtype == np.float32
    np.testing.assert_allclose(softplus(free.astype(np.float32)), np.logaddexp(0, free), rtol=1e-6)


def test_the_loss_is_the_published_one_and_its_gradients_are_finite_differences(problem):
    free, atoms, X = problem
    codes = np.log1p(np.exp(free))

    def loss(free, atoms):
        codes = np.log1p(np.exp(free))
        return np.mean((codes @ atoms - X) ** 2) + 0.3 * np.mean(codes * np.linalg.norm(atoms, axis=1))

    found, *gradients = loss_and_gradients(free, atoms, X, 0.3)
    assert found == pytest.approx(loss(free, atoms), rel=1e-12)
    unit = atoms / np.linalg.norm(atoms, axis=1, keepdims=True)
    scaled = codes * np.linalg.norm(atoms, axis=1)
    objective = 0.5 * np.square(X - scaled @ unit).sum(axis=1) + 0.3 * 4 / (2 * 6) * scaled.sum(axis=1)
    assert found == pytest.approx(2 / 4 * objective.mean(), rel=1e-12)
    for place, gradient in enumerate(gradients):
        differences = np.empty_like(gradient)
        for index in np.ndindex(gradient.shape):
            moved = []
            for step in (1e-6, -1e-6):
                parameters = [free.copy(), atoms.copy()]
                parameters[place][index] += step
                moved.append(loss(*parameters))
            differences[index] = (moved[0] - moved[1]) / 2e-6
        np.testing.assert_allclose(gradient, differences, atol=1e-9)


def test_a_pass_is_100_steps_of_the_published_loop(problem):
    _, start, X = problem
    rng = np.random.RandomState(0)
    parameters = [rng.standard_normal((12, 6)) - 10, start.copy()]
    moments = [[np.zeros_like(p), np.zeros_like(p)] for p in parameters]
    rate, best, misses = 1e-3, np.inf, 0
    for t in range(1, 101):
        loss, *gradients = loss_and_gradients(*parameters, X, 0.1)
        for parameter, gradient, moment in zip(parameters, gradients, moments, strict=True):
            moment[0] = 0.9 * moment[0] + 0.1 * gradient
            moment[1] = 0.999 * moment[1] + 0.001 * gradient**2
            parameter -= rate * (moment[0] / (1 - 0.9**t)) / (np.sqrt(moment[1] / (1 - 0.999**t)) + 1e-8)
        if np.float32(loss) < best:
            best, misses, rate = np.float32(loss), 0, min(1.1 * rate, 1.0)
        elif (misses := misses + 1) == 2:
            misses, rate = 0, max(0.5 * rate, 1e-6)
    descent = descent_on(X, start, max_epochs=1)
    record, last = next(descent.passes())
    norms = np.linalg.norm(parameters[1], axis=1)
    np.testing.assert_allclose(descent.components, parameters[1] / norms[:, None], atol=1e-6)
    np.testing.assert_allclose(descent.codes(), np.log1p(np.exp(parameters[0])) * norms, atol=1e-6)
    assert last
    assert record["objective"] == pytest.approx(4 / 2 * loss, rel=1e-6)
    assert record["mean_l0"] == np.count_nonzero(descent.codes() > 0.01) / 12
    assert record["change"] == pytest.approx(np.linalg.norm(parameters[1] - start) / np.linalg.norm(start), rel=1e-6)


def test_the_rate_grows_with_each_best_loss_and_is_halved_after_two_misses(problem):
    _, atoms, X = problem
    descent = descent_on(X, atoms)
    rates = []
    for loss in (3.0, 2.0, 2.0, 1.0, 1.0, 1.5, 1.0):
        descent._adapt(np.float32(loss))
        rates.append(descent._optimiser.learning_rate)
    np.testing.assert_allclose(rates, 1e-3 * np.array([1.1, 1.21, 1.21, 1.331, 1.331, 0.6655, 0.6655]))
    for bound, losses in ((1.0, -np.arange(200.0)), (1e-6, np.zeros(200))):
        for loss in losses:
            descent._adapt(np.float32(loss))
        assert descent._optimiser.learning_rate == bound


def test_samples_along_move_no_atom(problem, rng):
    _, atoms, X = problem
    alone, along = descent_on(X, atoms), descent_on(X, atoms, X_along=rng.standard_normal((5, 4)))
    assert alone._step() == along._step()
    np.testing.assert_array_equal(along._parameters["atoms"], alone._parameters["atoms"])
    assert along.codes(along=True).shape == (5, 6)


def test_codes_of_the_descent_explain_the_samples(shift):
    atoms = DictionaryLearner(40, random_state=0)._initial_dictionary(shift.X_train)
    descent = descent_on(shift.X_train, atoms, X_along=shift.X_ood, max_epochs=8)
    for _ in descent.passes():
        pass
    for X, codes in ((shift.X_train, descent.codes()), (shift.X_ood, descent.codes(along=True))):
        assert (codes > 0).all()
        assert np.square(X - codes @ descent.components).sum() < 0.3 * np.square(X).sum()


def test_a_scale_of_a_power_of_two_changes_no_bit(shift):
    options = {"method": "softplus", "max_epochs": 3, "random_state": 0}
    expected = DictionaryLearner(40, **options).fit(shift.X_train)
    for scale in (2.0**-30, 2.0**30):
        found = DictionaryLearner(40, **options).fit(scale * shift.X_train)
        np.testing.assert_array_equal(found.components_, expected.components_)
        assert found.history_["mean_l0"] == expected.history_["mean_l0"]
        assert found.history_["objective"][-1] == pytest.approx(scale**2 * expected.history_["objective"][-1])


def test_learns_and_stops_when_the_rate_is_at_its_floor(shift):
    learner = DictionaryLearner(40, method="softplus", random_state=0).fit(shift.X_train)
    change = learner.history_["change"]
    assert change[-1] < 3e-5 <= min(change[:-1])  # a hundred steps of 1e-6 on atoms of some ten units
    learner.set_params(tol=0, max_epochs=len(change) + 1).fit(shift.X_train)
    assert learner.n_iter_ == len(change) + 1
    learner.set_params(tol=2e-5).fit(shift.X_train)
    assert learner.n_iter_ == len(learner.history_["objective"]) == len(change) < 100
    assert learner.history_["objective"][-1] < 0.6 * learner.history_["objective"][0]
    match = match_dictionaries(shift.dictionary, learner.components_)
    assert match.adjusted_cosine > 0.3
    np.testing.assert_allclose(np.linalg.norm(learner.components_, axis=1), ~learner.unused_atoms_)


@pytest.mark.filterwarnings("ignore:n_components=")
def test_atoms_that_no_sample_uses_are_zero_and_marked(shift):
    learner = DictionaryLearner(60, method="softplus", max_epochs=10, random_state=0).fit(shift.X_train[:3])
    assert 0 < learner.unused_atoms_.sum() < 60
    np.testing.assert_array_equal(learner.components_.any(axis=1), ~learner.unused_atoms_)


def test_codes_must_be_positive(shift):
    learner = DictionaryLearner(40, method="softplus", positive=False)
    with pytest.raises(ValueError, match=r"method='softplus' learns non-negative codes.*got positive=False"):
        learner.fit(shift.X_train)


def test_interrupting_keeps_the_last_pass(shift, monkeypatch):
    options = {"method": "softplus", "random_state": 0}
    expected = DictionaryLearner(40, max_epochs=1, **options).fit(shift.X_train)
    step, steps = SoftplusDescent._step, []

    def interrupted(self):
        steps.append(step(self))
        if len(steps) == 150:
            raise KeyboardInterrupt
        return steps[-1]

    monkeypatch.setattr(SoftplusDescent, "_step", interrupted)
    with pytest.warns(ConvergenceWarning, match="interrupted after pass 1"):
        learner = DictionaryLearner(40, **options).fit(shift.X_train)
    np.testing.assert_array_equal(learner.components_, expected.components_)
