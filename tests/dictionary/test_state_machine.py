"""Whatever is done to a learner, in whatever order: nothing found is lost, and what fails changes nothing."""

import copy
import pickle
import warnings
from functools import cache
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sklearn.base import clone

from skcode import DictionaryLearner
from skcode.datasets import make_compositional_shift
from skcode.dictionary.search import Search
from skcode.metrics import match_dictionaries

N_COMPONENTS = 20
SIZES = st.sampled_from([1, 2, 5, 10, 50, 100, 300])


@cache
def world():
    return make_compositional_shift(4000, N_COMPONENTS, 3, dtype=np.float32, random_state=100)


@cache
def fitted():
    return DictionaryLearner(N_COMPONENTS, random_state=100).fit(world().X_train)


@cache
def auto_alphas():
    """Return the penalties for the sample of smallest norm, and for that of largest norm."""
    norms = np.linalg.norm(np.concatenate([world().X_train, world().X_val]), axis=1)
    return 0.056 * norms.min() * (1 - 1e-6), 0.056 * norms.max() * (1 + 1e-6)


def recovered(learner):
    return match_dictionaries(world().dictionary, learner.components_, n_draws=0).frac_recovered


def state(learner):
    return pickle.dumps(vars(learner))


class LearnerMachine(RuleBasedStateMachine):
    """A learner, what it had recovered at best since it was fitted, and a generator of blocks."""

    @initialize(from_fit=st.booleans(), seed=st.integers(0, 2**16))
    def begin(self, from_fit, seed):
        self.rng = np.random.RandomState(seed)
        self.learner = copy.deepcopy(fitted()) if from_fit else DictionaryLearner(N_COMPONENTS, random_state=seed)
        self.found = recovered(self.learner) if from_fit else None

    def block(self, size):
        X = np.concatenate([world().X_train, world().X_val])
        return X[self.rng.randint(len(X), size=size)]

    @property
    def has_begun(self):
        return hasattr(self.learner, "components_")

    @rule(size=SIZES)
    def partial_fit(self, size):
        n_iter = getattr(self.learner, "n_iter_", 0)
        self.learner.partial_fit(self.block(size))
        assert self.learner.n_iter_ > n_iter

    @precondition(lambda self: self.has_begun)
    @rule()
    def finalize(self):
        self.learner.finalize()

    @rule()
    def fit(self):
        self.learner.fit(world().X_train[:500])
        self.found = recovered(self.learner)

    @precondition(lambda self: self.has_begun)
    @rule(size=SIZES, at=st.integers(1, 6), error=st.sampled_from([KeyboardInterrupt, MemoryError, ValueError]))
    def fail_in_the_middle(self, size, at, error):
        before, code, done = state(self.learner), Search._code, []

        def failing(search, *given):
            done.append(given)
            if len(done) == at:
                raise error
            return code(search, *given)

        with mock.patch.object(Search, "_code", failing):
            try:
                self.learner.partial_fit(self.block(size))
            except error:
                assert state(self.learner) == before

    @precondition(lambda self: self.has_begun)
    @rule(bad=st.sampled_from([np.ones((3, 2)), np.full((2, 9), np.nan), np.ones(9), "samples.npy"]))
    def refuse(self, bad):
        before = state(self.learner)
        with pytest.raises((TypeError, ValueError)):
            self.learner.partial_fit(bad)
        assert state(self.learner) == before

    @precondition(lambda self: self.has_begun)
    @rule(value=st.sampled_from([{"n_components": 7}, {"positive": False}, {"solver": "lars"}, {"penalty": "l2"}]))
    def change_what_cannot_be_changed(self, value):
        (name,) = value
        kept = self.learner.get_params()[name]
        self.learner.set_params(**value)
        before = state(self.learner)
        with pytest.raises(ValueError, match=name):
            self.learner.partial_fit(self.block(3))
        assert state(self.learner) == before
        self.learner.set_params(**{name: kept})

    @rule(alpha=st.sampled_from(["auto", 0.08]), batch_size=st.sampled_from([None, 7, 300]))
    def change_what_can_be_changed(self, alpha, batch_size):
        self.learner.set_params(alpha=alpha, batch_size=batch_size)

    @precondition(lambda self: self.has_begun)
    @rule(how=st.sampled_from([copy.copy, copy.deepcopy, lambda learner: pickle.loads(pickle.dumps(learner))]))
    def go_on_as_a_copy(self, how):
        before, other = state(self.learner), how(self.learner)
        X = self.block(20)
        other.partial_fit(X)
        assert state(self.learner) == before
        again = how(self.learner).partial_fit(X)
        np.testing.assert_array_equal(again.components_, other.components_)

    @rule()
    def begin_anew_as_a_clone(self):
        self.learner, self.found = clone(self.learner), None

    @invariant()
    def what_is_there_fits_together(self):
        if not hasattr(self, "learner") or not self.has_begun:
            return
        learner = self.learner
        assert {len(values) for values in learner.history_.values()} == {learner.n_iter_}
        norms = np.linalg.norm(learner.components_, axis=1)
        np.testing.assert_allclose(norms[~learner.unused_atoms_], 1, rtol=1e-5)
        assert not norms[learner.unused_atoms_].any()
        assert learner.components_.dtype == np.float32
        assert not learner.components_.flags.writeable
        if learner.alpha_ != 0.08:
            assert auto_alphas()[0] <= learner.alpha_ <= auto_alphas()[1]
        learner.transform(world().X_val[:2])
        if self.found is not None:
            now = recovered(learner)
            assert now >= self.found - 0.01
            self.found = max(self.found, now)


LearnerMachine.TestCase.settings = settings(
    max_examples=6,
    stateful_step_count=8,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],  # shrinking takes minutes
    suppress_health_check=list(HealthCheck),
)


class TestLearner(LearnerMachine.TestCase):
    def runTest(self):  # noqa: N802
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of samples fewer than atoms
            super().runTest()
