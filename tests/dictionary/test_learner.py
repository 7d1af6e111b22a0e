import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from skcode import DictionaryLearner
from skcode.datasets import make_compositional_shift
from skcode.dictionary.alternating import _least_squares_atoms
from skcode.metrics import match_dictionaries, mcc_score
from skcode.solvers import fista


def published_alternation(X, atoms, alpha, n_rounds):
    """Return dictionary and codes of the paper's loop, written out."""
    codes = np.zeros((len(X), len(atoms)))
    for _ in range(n_rounds):
        codes = fista(X, atoms, alpha, max_iter=100, tol=0, restart=False, codes_init=codes).codes
        atoms = np.linalg.solve(codes.T @ codes + 1e-6 * np.eye(len(atoms)), codes.T @ X)
        atoms /= np.maximum(np.linalg.norm(atoms, axis=1, keepdims=True), 1e-8)
    return atoms, codes


def test_alternating_is_the_published_loop(shift, random_dictionary):
    start = random_dictionary(40, shift.X_train.shape[1])
    learner = DictionaryLearner(dictionary_init=3 * start, alpha=0.1, max_epochs=4).fit(shift.X_train)
    atoms, codes = published_alternation(shift.X_train, start, 0.1, 4)
    np.testing.assert_allclose(learner.components_, atoms, atol=1e-8)
    np.testing.assert_array_equal(learner.unused_atoms_, ~codes.any(axis=0))
    assert learner.n_iter_ == 4
    assert learner.history_["mean_l0"][-1] == pytest.approx(np.count_nonzero(codes) / len(codes))


def test_stops_when_the_dictionary_stands_still_and_not_before_12_rounds(shift):
    learner = DictionaryLearner(40, tol=0.5, random_state=0).fit(shift.X_train)
    assert learner.n_iter_ == 12
    learner.set_params(tol=3e-2, max_epochs=200).fit(shift.X_train)
    change = np.array(learner.history_["change"])
    assert change[-1] < 3e-2 <= change[11:-1].min(initial=1)


def test_recovers_the_dictionary_of_an_easy_problem():
    data = make_compositional_shift(3000, 30, 2, random_state=100)
    learner = DictionaryLearner(30, max_epochs=100, random_state=100).fit(data.X_train)
    match = match_dictionaries(data.dictionary, learner.components_)
    assert match.frac_recovered >= 0.85
    assert mcc_score(data.codes_ood, learner.transform(data.X_ood)) > 0.75
    objective = learner.history_["objective"]
    assert objective[-1] < 0.6 * objective[0]


def test_the_truth_drawn_from_the_same_seed_is_not_where_learning_starts():
    true = np.random.RandomState(0).standard_normal((40, 15))
    start = DictionaryLearner(40, random_state=0)._initial_dictionary(np.ones((1, 15)))
    match = match_dictionaries(true, start)
    assert match.mean_cosine == pytest.approx(match.chance_cosine, abs=0.05)


def test_auto_alpha_is_the_papers_on_the_papers_protocol_and_follows_the_scale():
    data = make_compositional_shift(4000, 100, 10, random_state=100)
    alphas = [DictionaryLearner(5, max_epochs=1).fit(scale * data.X_train).alpha_ for scale in (1, 10)]
    assert alphas[0] == pytest.approx(0.1, rel=0.05)
    assert alphas[1] == pytest.approx(10 * alphas[0])


def test_default_width_is_twice_the_features(shift):
    learner = DictionaryLearner(max_epochs=1, random_state=0).fit(shift.X_train)
    assert learner.components_.shape == (2 * shift.X_train.shape[1], shift.X_train.shape[1])
    np.testing.assert_allclose(np.linalg.norm(learner.components_, axis=1)[~learner.unused_atoms_], 1)


def test_offset_moves_samples_and_nothing_else(shift):
    options = {"max_epochs": 3, "alpha": 0.1, "random_state": 0}
    plain = DictionaryLearner(40, **options).fit(shift.X_train - shift.X_train.mean(axis=0))
    centred = DictionaryLearner(40, offset="mean", **options).fit(shift.X_train + 5)
    np.testing.assert_allclose(centred.components_, plain.components_, atol=1e-8)
    np.testing.assert_allclose(centred.offset_, shift.X_train.mean(axis=0) + 5)


def test_same_seed_same_bits_for_any_n_jobs(shift):
    X = np.tile(shift.X_train, (6, 1))  # several chunks
    one, two = (DictionaryLearner(40, max_epochs=2, random_state=0, n_jobs=n).fit(X) for n in (1, 2))
    np.testing.assert_array_equal(one.components_, two.components_)


def test_a_penalty_that_leaves_nothing_is_warned_of(shift):
    learner = DictionaryLearner(40, alpha=50.0, random_state=0)
    with pytest.warns(ConvergenceWarning, match="no sample uses any atom with alpha=50: learning stopped after pass 1"):
        learner.fit(shift.X_train)
    assert learner.unused_atoms_.all()
    assert np.isfinite(learner.components_).all()


def test_official_dictionary_from_oracle_codes(official):
    # Reference values of the authors' dictionary update from 100 steps of FISTA on the true dictionary.
    X = official.X_val.astype(np.float32)
    codes = fista(X, official.dictionary, 0.1, max_iter=100, tol=0, restart=False).codes
    match = match_dictionaries(official.dictionary, _least_squares_atoms(X, codes), n_draws=0)
    assert match.mean_cosine == pytest.approx(0.9992671951327329, abs=1e-6)
    assert match.mean_angular_error == pytest.approx(0.03754424917089505, abs=1e-5)


def test_verbose_reports_each_pass(shift, capsys):
    DictionaryLearner(40, max_epochs=3, verbose=2, random_state=0).fit(shift.X_train)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [f"[DictionaryLearner] pass {i} of at most 3" for i in (1, 2, 3)]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"dictionary_init": np.ones((4, 3))}, "dictionary_init has shape"),
        ({"dictionary_init": np.ones((4, 19)), "n_components": 5}, "dictionary_init has 4 atoms but n_components=5"),
        ({"alpha": "mean"}, "'alpha' parameter of DictionaryLearner"),
        ({"method": "magic"}, "'method' parameter of DictionaryLearner"),
        ({"offset": "median"}, "'offset' parameter of DictionaryLearner"),
    ],
)
def test_bad_parameters_are_named(shift, parameters, message):
    with pytest.raises(ValueError, match=message):
        DictionaryLearner(**parameters).fit(shift.X_train)
