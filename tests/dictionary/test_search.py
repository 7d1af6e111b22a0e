"""The search itself: what it replaces, forgets, reports and keeps."""

import dataclasses
import pickle

import numpy as np
import pytest
import scipy.sparse as sp

from skcode.dictionary.coding import Coder, chance_correlation
from skcode.dictionary.schedule import Schedule
from skcode.dictionary.search import Search

ALPHA = 0.1


def schedule(n_components, n_visits, **changes):
    return dataclasses.replace(Schedule(n_components=n_components, n_visits=n_visits), **changes)


@pytest.mark.parametrize(("strength", "replaced"), [(0.05, 0), (1.0, 1)])
def test_only_what_explains_more_than_is_lost_is_taken_in(strength, replaced):
    components = np.vstack(
        [np.eye(8)[:3], np.sqrt([[0.3, 0.3, 0.2, 0.2, 0, 0, 0, 0]])]
    )  # the last: four fifths explained
    codes = np.repeat(np.eye(4), 5, axis=0)
    X = codes @ components
    X[:, 5] += strength  # what no atom explains
    search = Search(components, schedule(4, 100), positive=True)
    search._threshold = 0.7
    statistics = search._known()
    statistics.absorb(sp.csr_array(codes), X)
    found, n_replaced = search._replaced(components, X - codes @ components, np.ones(4), statistics, None)
    assert n_replaced == replaced
    assert abs(found[3, 5]) == pytest.approx(replaced)
    assert components[3, 5] == 0  # a step puts new components in place of the old ones


def test_what_is_known_of_an_idle_atom_is_not_thrown_away():
    """An atom that the latest samples do not use is lost only for what explains more than it did."""
    components = np.eye(6)[:4]
    codes = np.repeat(np.eye(4), 5, axis=0)
    search = Search(components, schedule(4, 100), positive=True)
    statistics = search._known()
    statistics.absorb(sp.csr_array(codes), codes @ components)
    residuals = np.zeros((20, 6))
    for strength, replaced in ((0.5, 0), (3.0, 1)):
        residuals[0, 5] = strength
        found = search._replaced(components, residuals, np.array([5, 5, 5, 0]), statistics, None)
        assert found[1] == replaced


def test_chance_correlation_is_that_of_noise(rng):
    components = rng.standard_normal((200, 40))
    components /= np.linalg.norm(components, axis=1, keepdims=True)
    noise = 0.3 * rng.standard_normal((500, 40))
    found = chance_correlation(noise, sp.csr_array((500, 200)))
    assert found == pytest.approx(np.abs(noise @ components.T).max(axis=1).mean(), rel=0.15)


def test_the_objective_is_that_of_the_minimax_concave_penalty(rng):
    components, X = np.eye(3), np.array([[1.0, 0.2, 0.05]])
    coder = Coder(alpha=0.1, gamma=3.0, positive=True, tol=1e-8, n_jobs=None)
    codes = coder.codes(X, components).toarray()[0]
    z = np.linspace(0, 1.5, 15_001)
    penalty = np.where(z < 0.3, 0.1 * z - z**2 / 6, 0.015)
    best = [np.min(0.5 * (x - z) ** 2 + penalty) for x in X[0]]
    np.testing.assert_allclose(codes, [1.0, 0.15, 0.0], atol=1e-6)
    assert coder.objective(X, components) == pytest.approx(sum(best), abs=1e-6)


def test_history_tells_of_the_dictionary_before_atoms_are_replaced(superposed):
    X, components = superposed.X_train, superposed.dictionary.copy()
    components[:5] = components[5:10]
    steps = []
    for threshold in (0.9, 2.0):  # then no atom is redundant but one of two equal ones that no sample uses
        search = Search(components, schedule(100, 2500), positive=True)
        search._threshold, search.n_seen = threshold, 1250
        steps.append(search.step(X, ALPHA))
    assert steps[0].n_replaced > steps[1].n_replaced
    assert steps[0]._replace(n_replaced=0) == steps[1]._replace(n_replaced=0)


@pytest.fixture(scope="module")
def finished(superposed):
    """Return a search that ended at the truth."""
    search = Search(superposed.dictionary, schedule(100, 2500), positive=True)
    search.n_seen = 2500
    for _ in search.finish(superposed.X_train, ALPHA, is_all=True):
        pass
    return search


def test_a_search_that_is_over_keeps_what_it_has_found(finished, superposed):
    assert finished.is_over
    for n_samples, farthest in ((1, 1e-3), (100, 0.01)):
        search = finished.copy()
        search.rest(2500)
        search.step(superposed.X_val[:n_samples], ALPHA)
        cosines = np.einsum("ij,ij->i", search.components, finished.components)
        assert 1 - cosines.min() < farthest


def test_a_search_at_rest_holds_no_samples_and_no_squares_of_its_size(finished, superposed):
    search = finished.copy()
    search.remember(superposed.X_train, np.ones(2500))
    assert len(search.reserve) == 2500
    search.rest(2500)
    assert len(search.reserve) == 0
    assert len(pickle.dumps(search)) < 2 * finished.components.nbytes + 8 * 2500 + 4000


def test_a_stream_is_due_at_the_end_of_its_schedule_and_when_it_has_doubled(superposed):
    search, due = Search(superposed.dictionary, schedule(100, 1000), positive=True), []
    for block in range(24):
        X = superposed.X_train[100 * block : 100 * (block + 1)]
        search.remember(X, np.ones(100))
        search.step(X, ALPHA)
        if search.is_due and search.can_finish:
            due.append(search.n_seen)
            for _ in search.finish(search.reserve.samples, ALPHA, is_all=False):
                pass
    assert due == [1000, 2000]


def test_a_finish_on_few_samples_removes_nothing(superposed):
    search = Search(superposed.dictionary, schedule(100, 1000), positive=True)
    few = search.copy()
    for _ in few.finish(superposed.X_train[:50], ALPHA, is_all=False):
        pass
    assert few.components.any(axis=1).all()
    for _ in search.finish(superposed.X_train[:50], ALPHA, is_all=True):
        pass
    assert not search.components.any(axis=1).all()


def test_a_stream_averages_over_ever_more_once_the_search_is_over(finished, superposed):
    remembered = []
    for n_seen in (2500, 250_000):
        search = finished.copy()
        search.reserve.capacity = 100
        search.n_seen = n_seen
        for _ in range(20):
            search.step(superposed.X_train[:100], ALPHA)
        remembered.append(search._known().n_samples)
    assert 100 < remembered[0] < 250
    assert remembered[1] > 10 * remembered[0]


def test_zeros_of_a_finish_in_mid_search_are_filled_again(superposed):
    components = superposed.dictionary.copy()
    components[:5] = 0
    search = Search(components, schedule(100, 100_000), positive=True)
    search.step(superposed.X_train[:500], ALPHA)
    assert search.components.any(axis=1).all()
