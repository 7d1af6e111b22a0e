"""Learning from streams: nothing that was found is lost, whatever the blocks."""

import copy
import pickle
import warnings

import joblib
import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from skcode import DictionaryLearner
from skcode.datasets import make_compositional_shift
from skcode.dictionary.schedule import Schedule
from skcode.dictionary.search import Search
from skcode.metrics import match_dictionaries


def recovered(data, learner):
    return match_dictionaries(data.dictionary, learner.components_, n_draws=0).frac_recovered


def state(learner):
    """Return what a learner holds, as bytes."""
    return pickle.dumps(vars(learner))


@pytest.fixture(scope="module")
def small():
    """Return the paper's protocol with 50 concepts."""
    return make_compositional_shift(4000, 50, 10, dtype=np.float32, random_state=101)


@pytest.fixture(scope="module")
def learned(small):
    """Return a learner that was fitted on it."""
    return DictionaryLearner(50, random_state=101).fit(small.X_train)


@pytest.mark.parametrize("sizes", [[1], [1] * 30, [5], [20], [100], [500], [1, 100, 10, 1, 10, 100]], ids=str)
def test_blocks_after_a_fit_lose_nothing(small, learned, sizes):
    learner, rows = copy.deepcopy(learned), iter(small.X_val)
    before = recovered(small, learner)
    assert before >= 0.96
    for size in sizes:
        learner.partial_fit(np.array([next(rows) for _ in range(size)]))
        assert recovered(small, learner) >= before - 0.01
    assert recovered(small, learner.finalize()) >= before - 0.01
    assert learner.unused_atoms_.sum() == learned.unused_atoms_.sum()


@pytest.fixture(scope="module")
def sparser():
    """Return the protocol with 3 active concepts, and a learner that was fitted on it."""
    data = make_compositional_shift(2000, 50, 3, dtype=np.float32, random_state=101)
    return data, DictionaryLearner(50, random_state=101).fit(data.X_train)


@pytest.mark.parametrize("size", [20, 100, 500])
def test_blocks_of_sparser_samples_after_a_fit_lose_nothing(sparser, size):
    data, learner = sparser[0], copy.deepcopy(sparser[1])
    before, n_unused = recovered(data, learner), learner.unused_atoms_.sum()
    assert recovered(data, learner.partial_fit(data.X_val[:size])) >= before - 0.01
    assert recovered(data, learner.finalize()) >= before - 0.01
    assert learner.unused_atoms_.sum() == n_unused


def test_a_block_like_those_of_the_fit_moves_alpha_and_offset_next_to_nothing(small):
    learner = DictionaryLearner(50, offset="mean", max_epochs=2, random_state=0).fit(small.X_train)
    alpha, offset = learner.alpha_, learner.offset_
    learner.partial_fit(small.X_val[:10])
    assert learner.alpha_ == pytest.approx(alpha, rel=0.01)
    np.testing.assert_allclose(learner.offset_, offset, atol=0.01)
    np.testing.assert_allclose(learner.mean_, np.vstack([small.X_train, small.X_val[:10]]).mean(axis=0), atol=1e-5)


def test_a_stream_in_blocks_ends_where_a_fit_does(superposed):
    stream = DictionaryLearner(100, random_state=100)
    for start in np.arange(15_000, step=500) % 2500:
        stream.partial_fit(superposed.X_train[start : start + 500])
    half_way = recovered(superposed, stream)
    stream.finalize()
    assert half_way > 0.9
    assert recovered(superposed, stream) >= 0.97
    assert stream.n_iter_ == len(stream.history_["objective"]) == 30 + 4


def test_a_stream_polishes_itself_when_its_schedule_is_over(superposed):
    """Whoever knows `partial_fit` only gets a polished dictionary."""
    stream = DictionaryLearner(100, random_state=100)
    for start in np.arange(20_500, step=500) % 2500:
        stream.partial_fit(superposed.X_train[start : start + 500])
    assert stream.n_iter_ == 41 + 4  # the blocks, and the rounds of one finish
    assert recovered(superposed, stream) >= 0.97
    unexplained = stream.history_["unexplained"]
    assert unexplained[-1] < 0.3 * unexplained[39]  # of a new block, and of one before the finish
    polished = stream.components_
    stream.partial_fit(superposed.X_val[:100])
    assert (np.einsum("ij,ij->i", polished, stream.components_)).min() > 0.99


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


def test_a_stream_that_was_mapped_from_a_file_goes_on(superposed, tmp_path):
    stream = DictionaryLearner(100, random_state=0).partial_fit(superposed.X_train[:600])
    joblib.dump(stream, tmp_path / "stream.joblib")
    mapped = joblib.load(tmp_path / "stream.joblib", mmap_mode="r")
    for learner in (stream, mapped):
        learner.partial_fit(superposed.X_train[600:800]).finalize()
    np.testing.assert_array_equal(mapped.components_, stream.components_)


@pytest.mark.parametrize("fitted", [False, True])
def test_a_copy_of_a_stream_goes_on_on_its_own(superposed, fitted):
    stream = DictionaryLearner(20, max_epochs=1, random_state=0)
    (stream.fit if fitted else stream.partial_fit)(superposed.X_train[:600])
    before = state(stream)
    copy.copy(stream).partial_fit(superposed.X_train[600:900]).finalize()
    assert state(stream) == before


@pytest.mark.parametrize("call", ["partial_fit", "finalize"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("fitted", [False, True])
def test_a_call_that_fails_in_the_middle_changes_nothing(superposed, monkeypatch, call, error, fitted):
    X = superposed.X_train
    learner = DictionaryLearner(60, max_epochs=1, random_state=0)
    (learner.fit if fitted else learner.partial_fit)(X[:200])
    learner.partial_fit(X[200:500])
    before, done = state(learner), []
    code = Search._code

    def fails_in_the_third(self, *given):
        done.append(given)
        if len(done) == 3:
            raise error
        return code(self, *given)

    monkeypatch.setattr(Search, "_code", fails_in_the_third)
    with pytest.raises(error):
        learner.partial_fit(X[500:700]) if call == "partial_fit" else learner.finalize()
    assert state(learner) == before
    monkeypatch.setattr(Search, "_code", code)
    learner.partial_fit(X[500:700]).finalize()  # and goes on


def test_scale_and_penalty_follow_the_stream(small):
    """One block thirty times as loud, or a nearly silent one, is neither the scale of all nor accepted in silence."""
    X = small.X_train
    expected = DictionaryLearner(50).partial_fit(X).alpha_
    for first in (30.0, 1e-6):
        stream = DictionaryLearner(50, random_state=0).partial_fit(np.float32(first) * X[:200])
        with pytest.warns(UserWarning, match="typical norm of .* the stream before one of"):
            stream.partial_fit(X[200:700])
        for _ in range(2):
            stream.partial_fit(X[700:1700])
        assert stream.alpha_ == pytest.approx(expected, rel=0.1)
        l0 = (stream.transform(X[:200]) != 0).sum(axis=1).mean()
        assert 1 < l0 < 30


def test_a_mean_follows_the_stream(small):
    learner = DictionaryLearner(20, offset="mean", random_state=0)
    blocks = [block + np.float32(shift) for shift, block in enumerate(np.array_split(small.X_train[:500], 5))]
    for block in blocks:
        learner.partial_fit(block)
    np.testing.assert_array_equal(learner.offset_, learner.mean_)
    np.testing.assert_allclose(learner.mean_, np.concatenate(blocks).mean(axis=0), rtol=1e-4, atol=1e-4)


def test_the_scale_of_a_stream_cannot_come_from_nothing(shift):
    with pytest.raises(ValueError, match="X, less the offset, must not be all zero"):
        DictionaryLearner(10, offset="mean").partial_fit(shift.X_train[:1])
    assert DictionaryLearner(10, offset="mean", alpha=0.1).partial_fit(shift.X_train[:1]).alpha_ == 0.1


def test_components_that_were_assigned_are_gone_on_from(small, learned):
    learner = copy.deepcopy(learned)
    learner.components_ = np.roll(learned.components_, 7, axis=0)
    learner.partial_fit(small.X_val[:1])
    assert np.einsum("ij,ij->i", learner.components_, np.roll(learned.components_, 7, axis=0)).min() > 0.99


def test_finalize_polishes_components_that_were_assigned(superposed):
    stream = DictionaryLearner(100, random_state=100).partial_fit(superposed.X_train)
    stream.components_ = assigned = np.roll(stream.components_, 7, axis=0)
    stream.finalize()
    assert np.median(np.einsum("ij,ij->i", stream.components_, assigned)) > 0.8


ENDS = pytest.mark.parametrize(
    "go_on", [lambda learner, X: learner.partial_fit(X), lambda learner, X: learner.finalize()]
)


@ENDS
@pytest.mark.parametrize(("name", "value"), [("n_components", 40), ("positive", False)])
def test_a_stream_does_not_go_on_as_something_else(small, learned, name, value, go_on):
    learner = copy.deepcopy(learned).set_params(**{name: value})
    with pytest.raises(ValueError, match=f"{name}={value} is not what was fitted"):
        go_on(learner, small.X_val)


@ENDS
def test_a_stream_does_not_go_on_from_another_number_of_components(small, learned, go_on):
    learner = copy.deepcopy(learned).set_params(n_components=None)
    learner.components_ = learned.components_[:13]
    with pytest.raises(ValueError, match="components_ was assigned with 13 atoms, but a stream goes on from the 50"):
        go_on(learner, small.X_val)


@ENDS
def test_a_stream_does_not_go_on_from_a_baseline(shift, go_on):
    learner = DictionaryLearner(20, method="alternating", max_epochs=12).fit(shift.X_train).set_params(method="online")
    with pytest.raises(ValueError, match="goes on from what method='online' has learned"):
        go_on(learner, shift.X_train)


def test_finalize_takes_a_penalty_that_was_changed(superposed):
    stream = DictionaryLearner(100, random_state=100).partial_fit(superposed.X_train).set_params(alpha=0.08).finalize()
    assert stream.alpha_ == 0.08


def test_a_sample_brings_no_surplus_atom_back():
    world = make_compositional_shift(4000, 20, 3, dtype=np.float32, random_state=100)
    stream = DictionaryLearner(40, random_state=100)
    while not (hasattr(stream, "_search") and stream._search.is_over):
        stream.partial_fit(world.X_train)
    unused = stream.unused_atoms_
    assert unused.sum() >= 5
    np.testing.assert_array_equal(stream.partial_fit(world.X_val[:1]).unused_atoms_, unused)


def test_fit_starts_anew_after_a_stream(superposed):
    X = superposed.X_train[:500]
    learner = DictionaryLearner(20, random_state=0, max_epochs=2)
    expected = learner.fit(X).components_
    learner.partial_fit(X[:50])
    np.testing.assert_array_equal(learner.fit(X).components_, expected)


def test_finalize_needs_something_to_end():
    with pytest.raises(NotFittedError, match="finalize ends a stream"):
        DictionaryLearner(10).finalize()


def test_records_of_a_stream_after_a_fit_are_as_many_for_each_name(small):
    learner = DictionaryLearner(20, validation_fraction=0.1, max_epochs=2, random_state=0).fit(small.X_train)
    learner.partial_fit(small.X_val[:50])
    assert {len(values) for values in learner.history_.values()} == {learner.n_iter_}
    assert np.isnan(learner.history_["held_out"][-1])


def test_an_interrupted_fit_is_gone_on_with(superposed, monkeypatch):
    finish = Search.finish

    def interrupted(self, *given, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(Search, "finish", interrupted)
    learner = DictionaryLearner(100, random_state=100)
    with pytest.warns(ConvergenceWarning, match="interrupted"):
        learner.fit(superposed.X_train)
    monkeypatch.setattr(Search, "finish", finish)
    before = recovered(superposed, learner)
    learner.partial_fit(superposed.X_train[:100]).finalize()
    assert recovered(superposed, learner) >= before - 0.01


@pytest.mark.parametrize("done", [1, 3])
def test_a_fit_interrupted_in_its_finish_rests_on_a_whole_round(small, monkeypatch, done):
    code, codings = Search._code, []
    finish = Search.finish

    def finishing(self, *given, **options):
        monkeypatch.setattr(Search, "_code", interrupted)
        return finish(self, *given, **options)

    def interrupted(self, *given):
        codings.append(given)
        if len(codings) > done:
            raise KeyboardInterrupt
        return code(self, *given)

    monkeypatch.setattr(Search, "finish", finishing)
    with pytest.warns(ConvergenceWarning, match="interrupted"):
        learner = DictionaryLearner(50, random_state=101).fit(small.X_train)
    monkeypatch.undo()
    before = learner.components_
    odd = small.X_val[:1] + np.random.RandomState(0).standard_normal(small.X_val[:1].shape).astype(np.float32)
    learner.partial_fit(odd)
    assert np.einsum("ij,ij->i", learner.components_, before).min() > 0.9


def test_every_atom_that_was_found_outlives_a_stream_longer_than_its_schedule(superposed, monkeypatch):
    monkeypatch.setattr(Schedule, "kept_at_least", 1000)
    learner = DictionaryLearner(100, random_state=100).fit(superposed.X_train)
    before = recovered(superposed, learner)
    rng = np.random.RandomState(0)
    for _ in range(20):
        learner.partial_fit(superposed.X_val[rng.choice(2500, 100, replace=False)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        learner.finalize()
    assert recovered(superposed, learner) >= before - 0.01
