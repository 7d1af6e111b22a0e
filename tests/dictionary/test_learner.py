import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from skcode import DictionaryLearner
from skcode.datasets import make_compositional_shift
from skcode.dictionary.alternating import _least_squares_atoms
from skcode.dictionary.online import OnlineSearch, Reserve, chance_correlation, visits
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
    learner = DictionaryLearner(method="alternating", dictionary_init=3 * start, alpha=0.1, max_epochs=4).fit(
        shift.X_train
    )
    atoms, codes = published_alternation(shift.X_train, start, 0.1, 4)
    np.testing.assert_allclose(learner.components_, atoms, atol=1e-8)
    np.testing.assert_array_equal(learner.unused_atoms_, ~codes.any(axis=0))
    assert learner.n_iter_ == 4
    assert learner.history_["mean_l0"][-1] == pytest.approx(np.count_nonzero(codes) / len(codes))


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


@pytest.mark.parametrize("method", ["online", "alternating"])
def test_offset_moves_samples_and_nothing_else(shift, method):
    options = {"method": method, "max_epochs": 3, "alpha": 0.1, "random_state": 0}
    plain = DictionaryLearner(40, **options).fit(shift.X_train - shift.X_train.mean(axis=0))
    centred = DictionaryLearner(40, offset="mean", **options).fit(shift.X_train + 5)
    # Mini-batches with short memory magnify last bits.
    np.testing.assert_allclose(centred.components_, plain.components_, atol=1e-8 if method == "alternating" else 0.02)
    np.testing.assert_allclose(centred.offset_, shift.X_train.mean(axis=0) + 5)


@pytest.mark.parametrize("method", ["online", "alternating"])
def test_same_seed_same_bits_for_any_n_jobs(shift, method):
    X = np.tile(shift.X_train, (6, 1))  # several chunks
    options = {"method": method, "max_epochs": 2, "batch_size": 700, "random_state": 0}
    one, two = (DictionaryLearner(40, n_jobs=n, **options).fit(X) for n in (1, 2))
    np.testing.assert_array_equal(one.components_, two.components_)


@pytest.mark.parametrize(("method", "told"), [("online", "Lower alpha"), ("alternating", "stopped after pass 1")])
def test_a_penalty_that_leaves_nothing_is_warned_of(shift, method, told):
    learner = DictionaryLearner(40, method=method, alpha=50.0, random_state=0)
    with pytest.warns(ConvergenceWarning, match=f"no sample uses any atom with alpha=50.*{told}"):
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


@pytest.mark.parametrize("verbose", [1, 2])
def test_online_reports_its_finish_too(shift, capsys, verbose):
    learner = DictionaryLearner(10, max_epochs=2, verbose=verbose, random_state=0).fit(shift.X_train)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith(f"[DictionaryLearner] pass {learner.n_iter_} of at most {learner.n_iter_}: objective ")
    assert len(lines) == learner.n_iter_


def test_verbose_reports_each_pass(shift, capsys):
    DictionaryLearner(40, method="alternating", max_epochs=3, verbose=2, random_state=0).fit(shift.X_train)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [f"[DictionaryLearner] pass {i} of at most 3" for i in (1, 2, 3)]


@pytest.fixture(scope="module")
def superposed():
    """Return the paper's protocol at n=100."""
    return make_compositional_shift(5000, 100, 10, dtype=np.float32, random_state=100)


def recovered(data, learner):
    return match_dictionaries(data.dictionary, learner.components_).frac_recovered


def test_online_recovers_the_dictionary_where_alternation_does_not(superposed):
    learner = DictionaryLearner(100, random_state=100).fit(superposed.X_train)
    assert recovered(superposed, learner) >= 0.97
    assert mcc_score(superposed.codes_ood, learner.transform(superposed.X_ood)) > 0.95
    assert not learner.unused_atoms_.any()
    history = learner.history_
    assert len(history["unexplained"]) == len(history["mean_l0"]) == learner.n_iter_
    assert history["unexplained"][-1] < 0.01 < 0.1 < history["unexplained"][0]
    assert history["mean_l0"][-1] == pytest.approx(10, rel=0.1)


def test_few_samples_are_enough_for_an_unbiased_penalty(superposed):
    learner = DictionaryLearner(100, random_state=100).fit(superposed.X_train[:400])
    assert recovered(superposed, learner) >= 0.8


def test_a_stream_in_blocks_ends_where_a_fit_does(superposed):
    stream = DictionaryLearner(100, random_state=100)
    for start in np.arange(15_000, step=500) % 2500:
        stream.partial_fit(superposed.X_train[start : start + 500])
    half_way = recovered(superposed, stream)
    stream.finalize()
    assert half_way > 0.9
    assert recovered(superposed, stream) >= 0.97
    assert stream.n_iter_ == len(stream.history_["objective"]) == 30 + 4


def test_surplus_atoms_of_a_stream_may_be_used_by_blocks_that_follow(superposed):
    first = superposed.X_train[(superposed.codes_train[:, 1:30] == 0).all(axis=1)]
    stream = DictionaryLearner(60, random_state=0).partial_fit(np.tile(first[:30], (40, 1))).finalize()
    assert stream.unused_atoms_.any()
    for _ in range(4):
        stream.partial_fit(superposed.X_train)
    assert not stream.unused_atoms_.any()


def test_a_pickled_stream_goes_on_to_the_same_bits(superposed):
    X = superposed.X_train
    stream = DictionaryLearner(100, random_state=0, batch_size=200).partial_fit(X[:600])
    restored = pickle.loads(pickle.dumps(stream))
    for learner in (stream, restored):
        learner.partial_fit(X[600:1200]).finalize()
    np.testing.assert_array_equal(restored.components_, stream.components_)
    assert restored.history_ == stream.history_


def test_fit_starts_anew_after_a_stream(superposed):
    X = superposed.X_train[:500]
    learner = DictionaryLearner(20, random_state=0, max_epochs=2)
    expected = learner.fit(X).components_
    learner.partial_fit(X[:50])
    np.testing.assert_array_equal(learner.fit(X).components_, expected)
    with pytest.raises(NotFittedError, match="finalize ends a stream"):
        learner.finalize()


def test_a_stream_goes_on_from_a_fit(superposed):
    learner = DictionaryLearner(100, random_state=100).fit(superposed.X_train[:2000])
    alpha, before = learner.alpha_, learner.components_
    learner.partial_fit(superposed.X_train[2000:])
    assert learner.alpha_ == alpha
    assert (np.einsum("ij,ij->i", before, learner.components_) > 0.9).mean() > 0.95
    np.testing.assert_allclose(learner.mean_, superposed.X_train.mean(axis=0), atol=1e-5)
    assert recovered(superposed, learner.finalize()) >= 0.97


def test_what_a_finish_has_found_stays_when_the_stream_goes_on(superposed):
    stream = DictionaryLearner(100, random_state=100)
    for _ in range(4):
        stream.partial_fit(superposed.X_train)
    polished = stream.finalize().components_
    stream.partial_fit(superposed.X_train[:100])
    assert (np.einsum("ij,ij->i", polished, stream.components_) > 0.9).mean() > 0.95


def test_the_scale_of_a_stream_cannot_come_from_nothing(shift):
    with pytest.raises(ValueError, match="the first block of a stream, less the offset, must not be all zero"):
        DictionaryLearner(10, offset="mean").partial_fit(shift.X_train[:1])
    assert DictionaryLearner(10, offset="mean", alpha=0.1).partial_fit(shift.X_train[:1]).alpha_ == 0.1


def test_too_few_atoms_are_the_most_used_concepts():
    rng = np.random.RandomState(0)
    true = np.linalg.qr(rng.standard_normal((30, 30)))[0]
    codes = rng.uniform(0.5, 1, (3000, 30)) * (rng.random_sample((3000, 30)) < np.repeat([0.3, 0.03], 15))
    learner = DictionaryLearner(15, random_state=0).fit(codes @ true)
    match = match_dictionaries(true[:15], learner.components_)
    assert match.frac_recovered >= 0.9


@pytest.mark.parametrize("n_samples", [1, 5])
@pytest.mark.parametrize(("n_components", "n_features"), [(1, 1), (1, 4), (4, 1), (30, 4)])
def test_tiny_data_end_and_give_finite_atoms(n_samples, n_components, n_features):
    X = np.random.RandomState(0).standard_normal((n_samples, n_features))
    learner = DictionaryLearner(n_components, positive=False, random_state=0).fit(X)
    assert learner.n_iter_ <= 500 + 30
    assert np.isfinite(learner.components_).all()
    norms = np.linalg.norm(learner.components_, axis=1)
    np.testing.assert_allclose(norms[~learner.unused_atoms_], 1)


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_learning_follows_the_scale_of_the_data(superposed, scale):
    X = superposed.X_train[:500]
    options = {"max_epochs": 2, "random_state": 0}
    expected = DictionaryLearner(30, **options).fit(X).components_
    found = DictionaryLearner(30, **options).fit(np.float32(scale) * X).components_
    assert np.abs(np.einsum("ij,ij->i", found, expected)).mean() > 0.9


def test_history_tells_of_the_dictionary_before_atoms_are_replaced(superposed):
    X, components = superposed.X_train, superposed.dictionary.copy()
    components[:5] = components[5:10]
    steps = []
    for threshold in (0.9, 2.0):  # then no atom is redundant
        search = OnlineSearch(components.copy(), 0.1, positive=True, n_visits=2500)
        search.threshold, search.n_seen = threshold, 1250
        steps.append(search.step(X))
    assert steps[0].n_replaced > 0 == steps[1].n_replaced
    assert steps[0]._replace(n_replaced=0) == steps[1]


def test_partial_fit_is_for_the_online_method(shift):
    learner = DictionaryLearner(method="alternating")
    assert not hasattr(learner, "partial_fit")
    assert not hasattr(learner, "finalize")
    with pytest.raises(AttributeError, match="has no attribute 'partial_fit'"):
        learner.partial_fit(shift.X_train)


def test_surplus_atoms_are_marked_and_none_are_duplicates():
    data = make_compositional_shift(6000, 40, 4, random_state=100)
    learner = DictionaryLearner(60, random_state=100).fit(data.X_train)
    assert recovered(data, learner) >= 0.97
    used = learner.components_[~learner.unused_atoms_]
    cosines = used @ used.T - np.eye(len(used))
    assert cosines.max() < 0.95
    assert learner.unused_atoms_.sum() >= 5
    assert not learner.components_[learner.unused_atoms_].any()


@pytest.mark.parametrize(("strength", "replaced"), [(0.05, 0), (1.0, 1)])
def test_only_what_explains_more_than_is_lost_is_taken_in(strength, replaced):
    components = np.vstack(
        [np.eye(8)[:3], np.sqrt([[0.3, 0.3, 0.2, 0.2, 0, 0, 0, 0]])]
    )  # the last: four fifths explained
    codes = np.repeat(np.eye(4), 5, axis=0)
    X = codes @ components
    X[:, 5] += strength  # what no atom explains
    search = OnlineSearch(components, 0.1, positive=True, n_visits=100)
    search.threshold = 0.7
    search.statistics.add(sp.csr_array(codes), X)
    assert search._replace(X - codes @ components, np.ones(4)) == replaced
    assert abs(components[3, 5]) == pytest.approx(replaced)


def test_noise_bounds_the_penalty_of_the_finish(superposed):
    noisy = superposed.X_train + np.float32(0.03) * np.random.RandomState(0).standard_normal(
        superposed.X_train.shape
    ).astype(np.float32)
    learner = DictionaryLearner(100, random_state=100).fit(noisy)
    assert recovered(superposed, learner) >= 0.97
    assert learner.history_["mean_l0"][-1] < 13


def test_chance_correlation_is_that_of_noise(rng):
    components = rng.standard_normal((200, 40))
    components /= np.linalg.norm(components, axis=1, keepdims=True)
    noise = 0.3 * rng.standard_normal((500, 40))
    found = chance_correlation(noise, sp.csr_array((500, 200)))
    assert found == pytest.approx(np.abs(noise @ components.T).max(axis=1).mean(), rel=0.15)


def test_signed_codes(superposed):
    rng = np.random.RandomState(100)
    codes = rng.standard_normal((3000, 100)) * (rng.random_sample((3000, 100)) < 0.05)
    learner = DictionaryLearner(100, positive=False, alpha=0.2, random_state=100).fit(codes @ superposed.dictionary)
    assert recovered(superposed, learner) >= 0.97


def test_memory_map_is_learned_from(superposed, tmp_path):
    np.save(tmp_path / "X.npy", superposed.X_train[:600])
    options = {"max_epochs": 2, "offset": "mean", "random_state": 0}
    mapped = DictionaryLearner(30, **options).fit(np.load(tmp_path / "X.npy", mmap_mode="r"))
    expected = DictionaryLearner(30, **options).fit(superposed.X_train[:600])
    np.testing.assert_array_equal(mapped.components_, expected.components_)


@pytest.mark.parametrize("at", [1, 40])
def test_interrupting_keeps_what_was_learned(superposed, monkeypatch, at):
    step, states = OnlineSearch.step, []

    def interrupted(self, X, n_jobs):
        states.append(self.components.copy())
        if len(states) == at:
            raise KeyboardInterrupt
        return step(self, X, n_jobs)

    monkeypatch.setattr(OnlineSearch, "step", interrupted)
    learner = DictionaryLearner(100, random_state=100)
    with pytest.warns(ConvergenceWarning, match=f"learning was interrupted after pass {(at - 1) // 25}"):
        learner.fit(superposed.X_train)
    np.testing.assert_array_equal(learner.components_, states[-1])
    assert learner.transform(superposed.X_ood[:10]).shape == (10, 100)


class Listener:
    """A callback of scikit-learn that keeps what it is told, and may end a fit."""

    def __init__(self, most=10**9):
        self.most, self.heard, self.dictionaries = most, [], []

    def setup(self, estimator, context):
        self.heard.append("setup")

    def teardown(self, estimator, context):
        self.heard.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.heard.append(f"begin {context.task_name}")

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        self.heard.append(f"end {context.task_name}")
        self.dictionaries.append(fitted_estimator.components_)
        fitted_estimator.transform(np.ones((1, fitted_estimator.n_features_in_)))
        return len(self.dictionaries) >= self.most


needs_callbacks = pytest.mark.skipif(
    not hasattr(DictionaryLearner, "set_callbacks"), reason="scikit-learn has no callbacks before 1.9"
)


@needs_callbacks
@pytest.mark.parametrize("method", ["online", "alternating"])
def test_callbacks_hear_of_every_pass(shift, method):
    listener = Listener()
    options = {"method": method, "max_epochs": 2, "random_state": 0}
    learner = DictionaryLearner(20, **options).set_callbacks(listener).fit(shift.X_train)
    passes = ["begin pass", "end pass"] * learner.n_iter_
    assert listener.heard == ["setup", "begin fit", *passes, "end fit", "teardown"]
    np.testing.assert_array_equal(listener.dictionaries[-1], learner.components_)
    assert not np.array_equal(listener.dictionaries[0], learner.components_)
    np.testing.assert_array_equal(DictionaryLearner(20, **options).fit(shift.X_train).components_, learner.components_)


@needs_callbacks
@pytest.mark.parametrize("method", ["online", "alternating"])
def test_a_callback_may_end_learning(shift, method):
    listener = Listener(most=3)
    learner = DictionaryLearner(20, method=method, random_state=0).set_callbacks(listener).fit(shift.X_train)
    assert learner.n_iter_ == 3
    np.testing.assert_array_equal(learner.components_, listener.dictionaries[2])


@pytest.mark.parametrize("method", ["online", "alternating"])
@pytest.mark.parametrize("options", [{}, {"debias": True, "offset": "mean"}, {"penalty": "mcp"}])
def test_held_out_samples_judge_each_pass(superposed, method, options):
    learner = DictionaryLearner(
        50, method=method, max_epochs=3, validation_fraction=0.2, random_state=0, **options
    ).fit(superposed.X_train)  # fmt: skip
    held_out = learner.history_["held_out"]
    assert len(held_out) == learner.n_iter_
    order = np.random.RandomState(0).permutation(2500)
    assert held_out[-1] == pytest.approx(-learner.score(superposed.X_train[np.sort(order[:500])]), rel=1e-5)
    np.testing.assert_allclose(learner.mean_, superposed.X_train[order[500:]].mean(axis=0), atol=1e-6)


def test_held_out_samples_must_be_some_and_leave_some(shift):
    with pytest.raises(ValueError, match=r"validation_fraction=0.001 of 300 samples leaves 0 to judge by"):
        DictionaryLearner(10, validation_fraction=0.001).fit(shift.X_train)


def test_few_samples_are_visited_more_often_and_forgotten_sooner():
    assert visits(1000) == 80_000 < visits(1000, 5000) < visits(1000, 2000) == 160_000 < visits(1000, 500) == 500_000
    memory = [
        OnlineSearch(np.eye(20), 0.1, positive=True, n_visits=1, n_distinct=n).memory for n in (None, 200, 40, 20)
    ]  # fmt: skip
    assert memory[0] == memory[1] > memory[2] > memory[3] == pytest.approx(0.003)


def test_reserve_keeps_the_latest():
    reserve = Reserve(5, 1, np.float64)
    for start in range(0, 9, 3):
        reserve.add(np.arange(start, start + 3.0)[:, None])
    assert sorted(reserve.samples[:, 0]) == [4, 5, 6, 7, 8]
    reserve.add(np.arange(20.0)[:, None])
    assert sorted(reserve.samples[:, 0]) == [15, 16, 17, 18, 19]


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
