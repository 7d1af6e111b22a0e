import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_info, threadpool_limits

from skcode import DictionaryLearner
from skcode.datasets import make_compositional_shift
from skcode.dictionary import search
from skcode.dictionary.redundancy import redundant_atoms
from skcode.dictionary.search import Search
from skcode.metrics import match_dictionaries, mcc_score
from skcode.solvers import alpha_for_noise

METHODS = ("online", "alternating", "softplus")


def test_the_truth_drawn_from_the_same_seed_is_not_where_learning_starts():
    true = np.random.RandomState(0).standard_normal((40, 15))
    start = DictionaryLearner(40, random_state=0)._initial_dictionary(np.ones((1, 15)))
    match = match_dictionaries(true, start)
    assert match.mean_cosine == pytest.approx(match.chance_cosine, abs=0.05)


@pytest.mark.parametrize("aim", ["concepts", "reconstruction"])
def test_auto_alpha_is_the_papers_on_the_papers_protocol_and_follows_the_scale(aim):
    data = make_compositional_shift(4000, 100, 10, random_state=100)
    alphas = [
        DictionaryLearner(100, aim=aim, max_epochs=10, random_state=0).fit(scale * data.X_train).alpha_
        for scale in (1, 10)
    ]  # fmt: skip
    assert alphas[0] == pytest.approx(0.1, rel=0.05)
    assert alphas[1] == pytest.approx(10 * alphas[0])


@pytest.mark.parametrize(
    ("options", "alpha"),
    [
        ({}, None),
        ({"alpha": "noise", "aim": "reconstruction"}, None),
        ({"aim": "reconstruction"}, 0.1),
        ({"method": "alternating"}, 0.1),
        ({"alpha": 0.05}, 0.05),
    ],
)
def test_auto_alpha_is_the_level_of_noise_where_concepts_are_looked_for(superposed, options, alpha):
    learner = DictionaryLearner(30, max_epochs=3, random_state=0, **options).fit(superposed.X_train)
    noise = alpha_for_noise(superposed.X_train, learner.components_)
    assert noise > 0.2
    assert learner.alpha_ == pytest.approx(alpha or noise, rel=0.05)


def test_default_width_is_twice_the_features(shift):
    learner = DictionaryLearner(max_epochs=1, random_state=0).fit(shift.X_train)
    assert learner.components_.shape == (2 * shift.X_train.shape[1], shift.X_train.shape[1])
    np.testing.assert_allclose(np.linalg.norm(learner.components_, axis=1)[~learner.unused_atoms_], 1)


@pytest.mark.parametrize("method", METHODS)
def test_offset_moves_samples_and_nothing_else(shift, method):
    options = {"method": method, "max_epochs": 3, "alpha": 0.1, "random_state": 0}
    plain = DictionaryLearner(40, **options).fit(shift.X_train - shift.X_train.mean(axis=0))
    centred = DictionaryLearner(40, offset="mean", **options).fit(shift.X_train + 5)
    # Mini-batches with short memory magnify last bits.
    np.testing.assert_allclose(centred.components_, plain.components_, atol=1e-8 if method == "alternating" else 0.02)
    np.testing.assert_allclose(centred.offset_, shift.X_train.mean(axis=0) + 5)


@pytest.mark.parametrize("method", METHODS)
def test_same_seed_same_bits_for_any_n_jobs(shift, method):
    X = np.tile(shift.X_train, (6, 1))  # several chunks
    options = {"method": method, "max_epochs": 2, "batch_size": 700, "random_state": 0}
    one, two = (DictionaryLearner(40, n_jobs=n, **options).fit(X) for n in (1, 2))
    np.testing.assert_array_equal(one.components_, two.components_)


@pytest.mark.parametrize(
    ("method", "told"),
    [("online", "Lower alpha"), ("alternating", "after pass 1 all atoms are zero"), ("softplus", "after pass")],
)
def test_a_penalty_that_leaves_nothing_is_warned_of(shift, method, told):
    learner = DictionaryLearner(40, method=method, alpha=50.0, max_epochs=3, random_state=0)
    with pytest.warns(ConvergenceWarning, match=f"no sample uses any atom with alpha=50.*{told}"):
        learner.fit(shift.X_train)
    assert learner.unused_atoms_.all()
    assert np.isfinite(learner.components_).all()


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


def test_too_few_atoms_are_the_most_used_concepts():
    rng = np.random.RandomState(0)
    true = np.linalg.qr(rng.standard_normal((30, 30)))[0]
    codes = rng.uniform(0.5, 1, (3000, 30)) * (rng.random_sample((3000, 30)) < np.repeat([0.3, 0.03], 15))
    learner = DictionaryLearner(15, random_state=0).fit(codes @ true)
    match = match_dictionaries(true[:15], learner.components_)
    assert match.frac_recovered >= 0.9


def test_fewer_samples_than_atoms_are_warned_of(superposed):
    X = superposed.X_train
    learner = DictionaryLearner(20, max_epochs=1, random_state=0)
    with pytest.warns(UserWarning, match="n_components=20 atoms cannot be told apart by n_samples=19 samples"):
        learner.fit(X[:19])
    learner.fit(X[:20])  # none, where warnings are errors


@pytest.mark.filterwarnings("ignore:n_components=")
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


@pytest.mark.parametrize("scale", [1e20, 1e-20])
def test_a_scale_whose_squares_cannot_be_told_is_refused(superposed, scale):
    X = superposed.X_train[:100].astype(np.float32)
    with pytest.raises(ValueError, match=r"must have norms between .* in float32, got .*Scale X"):
        DictionaryLearner(30).fit(X * np.float32(scale))
    expected, found = (
        DictionaryLearner(30, max_epochs=1, random_state=0).fit(X.astype(np.float64) * times).components_
        for times in (1, scale)
    )
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_nothing_can_be_learned_from_nothing(shift, method):
    constant = np.repeat(shift.X_train[:1], 1000, axis=0)
    for X, offset in (
        (constant, constant[0]),
        (constant, "mean"),
        (constant.astype(np.float32), "mean"),
        (0 * constant, None),
    ):
        with pytest.raises(ValueError, match="X, less the offset, must not be all zero"):
            DictionaryLearner(10, method=method, offset=offset).fit(X)


@pytest.mark.filterwarnings("ignore:all codes of")
def test_a_given_alpha_lets_nothing_be_learned_from_nothing_with_a_warning():
    with pytest.warns(ConvergenceWarning, match="all atoms are zero"):
        learner = DictionaryLearner(10, alpha=0.1, random_state=0).fit(np.zeros((1000, 5)))
    assert learner.unused_atoms_.all()


def test_samples_that_say_nothing_leave_the_penalty_as_it_is(shift):
    learner = DictionaryLearner(20, max_epochs=2, random_state=0).fit(shift.X_train)
    learner.partial_fit(np.zeros((1000, shift.X_train.shape[1]))).finalize()
    assert np.isfinite(learner.alpha_)
    assert learner.alpha_ > 0


def test_a_miss_names_the_parameters_of_inference(shift):
    learner = DictionaryLearner(
        20, max_epochs=2, penalty="l1", solver="fista", coding_max_iter=1, coding_tol=1e-9, random_state=0
    ).fit(shift.X_train)  # fmt: skip
    with pytest.warns(ConvergenceWarning, match="raise coding_max_iter or coding_tol"):
        learner.transform(shift.X_val)


@pytest.mark.parametrize("method", METHODS[1:])
def test_partial_fit_is_for_the_online_method(shift, method):
    learner = DictionaryLearner(method=method)
    assert not hasattr(learner, "partial_fit")
    assert not hasattr(learner, "finalize")
    with pytest.raises(AttributeError, match="has no attribute 'partial_fit'"):
        learner.partial_fit(shift.X_train)


def test_surplus_atoms_are_marked_and_none_are_duplicates():
    data = make_compositional_shift(6000, 40, 4, random_state=100)
    learner = DictionaryLearner(60, random_state=100).fit(data.X_train)
    assert recovered(data, learner) >= 0.95
    used = learner.components_[~learner.unused_atoms_]
    cosines = used @ used.T - np.eye(len(used))
    assert cosines.max() < 0.95
    assert learner.unused_atoms_.sum() >= 5
    assert not learner.components_[learner.unused_atoms_].any()
    learner.components_ = data.dictionary
    np.testing.assert_array_equal(learner.unused_atoms_, np.zeros(40, bool))


def test_noise_bounds_the_penalty_of_the_finish(superposed):
    noisy = superposed.X_train + np.float32(0.03) * np.random.RandomState(0).standard_normal(
        superposed.X_train.shape
    ).astype(np.float32)
    learner = DictionaryLearner(100, random_state=100).fit(noisy)
    assert recovered(superposed, learner) >= 0.97
    assert learner.history_["mean_l0"][-1] < 13


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
    step, states = Search.step, []

    def interrupted(self, X, alpha, n_jobs):
        states.append(self.components.copy())
        if len(states) == at:
            raise KeyboardInterrupt
        return step(self, X, alpha, n_jobs)

    monkeypatch.setattr(Search, "step", interrupted)
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
@pytest.mark.parametrize("method", METHODS)
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
@pytest.mark.parametrize("method", METHODS)
def test_a_callback_may_end_learning(shift, method):
    listener = Listener(most=3)
    learner = DictionaryLearner(20, method=method, random_state=0).set_callbacks(listener).fit(shift.X_train)
    assert learner.n_iter_ == 3
    np.testing.assert_array_equal(learner.components_, listener.dictionaries[2])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("options", [{}, {"debias": True, "offset": "mean"}, {"penalty": "l1"}])
def test_held_out_samples_judge_each_pass(superposed, method, options):
    X = superposed.X_train[:600]
    learner = DictionaryLearner(
        30, alpha=0.1, method=method, max_epochs=3, validation_fraction=0.2, random_state=0, **options
    ).fit(X)  # fmt: skip
    held_out = learner.history_["held_out"]
    assert len(held_out) == learner.n_iter_
    order = np.random.RandomState(0).permutation(600)
    assert held_out[-1] == pytest.approx(-learner.score(X[np.sort(order[:120])]), rel=1e-5)
    np.testing.assert_allclose(learner.mean_, X[order[120:]].mean(axis=0), atol=1e-6)


def test_held_out_samples_must_be_some_and_leave_some(shift):
    with pytest.raises(ValueError, match=r"validation_fraction=0.001 of 300 samples leaves 0 to judge by"):
        DictionaryLearner(10, validation_fraction=0.001).fit(shift.X_train)


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


def test_learning_holds_linear_algebra_to_one_thread(superposed, monkeypatch):
    """With more threads sums come out differently, and with them which atoms are replaced."""
    seen = []

    def watched(*given, **options):
        seen.extend(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")
        return redundant_atoms(*given, **options)

    monkeypatch.setattr(search, "redundant_atoms", watched)
    with threadpool_limits(2):
        DictionaryLearner(20, max_epochs=4, random_state=0).fit(superposed.X_train[:500])
    assert set(seen) == {1}


def test_a_few_loud_samples_are_told_of_and_do_not_silence_the_others(superposed):
    X = superposed.X_train.copy()
    X[7] *= 1000
    with pytest.warns(UserWarning, match="1 of 2500 samples have more than 10 times the typical norm"):
        learner = DictionaryLearner(100, random_state=100).fit(X)
    assert recovered(superposed, learner) >= 0.95
    assert learner.score(superposed.X_ood) > -0.1
    with pytest.warns(UserWarning, match="1 of 2500 samples have more than 10 times the typical norm"):
        learner = DictionaryLearner(100, offset="mean", random_state=100).fit(X)  # which the sample has moved
    assert recovered(superposed, learner) >= 0.9


@pytest.mark.parametrize("method", ["online", "alternating", "softplus"])
def test_zeros_are_no_start(shift, method):
    with pytest.raises(ValueError, match="dictionary_init must hold atoms to start from, got zeros alone"):
        DictionaryLearner(dictionary_init=np.zeros((40, 19)), method=method).fit(shift.X_train)


def test_what_fills_memory_is_told(shift, monkeypatch):
    def full(*shape):
        raise MemoryError("Unable to allocate 117. MiB for an array with shape (1024, 30000)")

    monkeypatch.setattr(search, "Statistics", full)
    for aim, is_told in (("concepts", True), ("reconstruction", False)):
        with pytest.raises(MemoryError) as told:
            DictionaryLearner(300, aim=aim, max_epochs=1).fit(shift.X_train)
        assert "each pair of components, 0.00072 GB for n_components=300" in told.value.__notes__[0]
        assert ("searches for up to four times as many" in told.value.__notes__[0]) == is_told


def test_a_mean_that_nothing_subtracts_is_told_of(superposed):
    rng = np.random.RandomState(0)
    mean = 4 * rng.standard_normal(superposed.X_train.shape[1]).astype(np.float32)
    X = superposed.X_train + mean / np.float32(np.linalg.norm(mean) / 4)
    with pytest.warns(UserWarning, match="the mean of X holds .* offset='mean'"):
        DictionaryLearner(20, max_epochs=1, random_state=0).fit(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for offset in ("mean", np.zeros(len(mean))):
            DictionaryLearner(20, max_epochs=1, offset=offset, random_state=0).fit(X)
