"""The search itself: what it replaces, forgets, reports and keeps."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp

from skcode.dictionary.online import OnlineSearch, Reserve, chance_correlation, visits


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


def test_chance_correlation_is_that_of_noise(rng):
    components = rng.standard_normal((200, 40))
    components /= np.linalg.norm(components, axis=1, keepdims=True)
    noise = 0.3 * rng.standard_normal((500, 40))
    found = chance_correlation(noise, sp.csr_array((500, 200)))
    assert found == pytest.approx(np.abs(noise @ components.T).max(axis=1).mean(), rel=0.15)


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


def test_few_samples_are_visited_more_often_and_forgotten_sooner():
    assert visits(1000) == 80_000 < visits(1000, 5000) < visits(1000, 2000) == 240_000 < visits(1000, 500) == 500_000
    # Few atoms take as many samples as 250 do: each sample holds more of them.
    assert visits(50) == visits(250) == 20_000 < visits(50, 250)
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


def test_a_pickled_reserve_is_as_large_as_what_it_holds():
    reserve = Reserve(100_000, 10, np.float64)
    reserve.add(np.arange(30.0).reshape(3, 10))
    stored = pickle.dumps(reserve)
    assert len(stored) < 2000
    restored = pickle.loads(stored)
    for each in (reserve, restored):
        each.add(np.ones((2, 10)))
    np.testing.assert_array_equal(restored.samples, reserve.samples)


def test_a_stream_averages_over_ever_more_once_the_search_is_through(superposed):
    search = OnlineSearch(superposed.dictionary.copy(), 0.1, positive=True, n_visits=1000)
    remembered = []
    for _ in range(40):
        search.step(superposed.X_train[:100])
        remembered.append(search.statistics.n_samples)
    assert remembered[9] == pytest.approx(100 / (1 - 0.3), rel=0.01)
    assert remembered[39] > 2.5 * remembered[9]
