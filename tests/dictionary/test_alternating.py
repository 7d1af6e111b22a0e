"""The published DL-FISTA."""

import numpy as np
import pytest

from skcode import DictionaryLearner
from skcode.datasets import make_compositional_shift
from skcode.dictionary.alternating import _RIDGE, _least_squares_atoms
from skcode.metrics import match_dictionaries, mcc_score
from skcode.solvers import fista


def published_alternation(X, atoms, alpha, n_rounds):
    """Return dictionary and codes of the paper's loop, written out, its ridge of 1e-6 in the samples' scale."""
    ridge = 1e-6 / 3.3 * np.square(X).sum(axis=1).mean()
    codes = np.zeros((len(X), len(atoms)))
    for _ in range(n_rounds):
        codes = fista(X, atoms, alpha, max_iter=100, tol=0, restart=False, codes_init=codes).codes
        atoms = np.linalg.solve(codes.T @ codes + ridge * np.eye(len(atoms)), codes.T @ X)
        atoms /= np.maximum(np.linalg.norm(atoms, axis=1, keepdims=True), 1e-8)
    return atoms, codes


def test_alternating_is_the_published_loop(shift, random_dictionary):
    start = random_dictionary(40, shift.X_train.shape[1])
    learner = DictionaryLearner(method="alternating", dictionary_init=3 * start, alpha=0.1, max_epochs=4).fit(
        shift.X_train
    )
    atoms, codes = published_alternation(shift.X_train, start, 0.1, 4)
    np.testing.assert_allclose(learner.components_, atoms, atol=1e-8)
    np.testing.assert_array_equal(learner.unused_atoms_, ~codes.any(axis=0))
    assert learner.n_iter_ == 4
    assert learner.history_["mean_l0"][-1] == pytest.approx(np.count_nonzero(codes) / len(codes))


def test_the_ridge_is_the_published_one_on_the_papers_samples(superposed):
    assert _RIDGE * np.square(superposed.X_train).sum(axis=1).mean() == pytest.approx(1e-6, rel=0.1)


def test_the_scale_of_the_samples_does_not_matter(shift):
    options = {"method": "alternating", "max_epochs": 3, "random_state": 0}
    expected = DictionaryLearner(40, **options).fit(shift.X_train).components_
    for scale in (1e-6, 1e6):
        found = DictionaryLearner(40, **options).fit(scale * shift.X_train).components_
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_stops_when_the_dictionary_stands_still_and_not_before_12_rounds(shift):
    learner = DictionaryLearner(40, method="alternating", tol=0.5, random_state=0).fit(shift.X_train)
    assert learner.n_iter_ == 12
    learner.set_params(tol=3e-2, max_epochs=200).fit(shift.X_train)
    change = np.array(learner.history_["change"])
    assert change[-1] < 3e-2 <= change[11:-1].min(initial=1)


def test_alternating_recovers_most_of_an_easy_problem():
    data = make_compositional_shift(3000, 30, 2, random_state=100)
    learner = DictionaryLearner(30, method="alternating", max_epochs=100, random_state=100).fit(data.X_train)
    match = match_dictionaries(data.dictionary, learner.components_)
    assert match.frac_recovered >= 0.85
    assert mcc_score(data.codes_ood, learner.transform(data.X_ood)) > 0.75
    objective = learner.history_["objective"]
    assert objective[-1] < 0.6 * objective[0]


def test_official_dictionary_from_oracle_codes(official):
    # Reference values of the authors' dictionary update from 100 steps of FISTA on the true dictionary.
    X = official.X_val.astype(np.float32)
    codes = fista(X, official.dictionary, 0.1, max_iter=100, tol=0, restart=False).codes
    match = match_dictionaries(official.dictionary, _least_squares_atoms(X, codes, 1e-6), n_draws=0)
    assert match.mean_cosine == pytest.approx(0.9992671951327329, abs=1e-6)
    assert match.mean_angular_error == pytest.approx(0.03754424917089505, abs=1e-5)
