"""Families of concepts: what belongs together, what is shared, and what becomes of it."""

import numpy as np
import pytest
import scipy.sparse as sp

from skcode import DictionaryLearner
from skcode._training import hold_out
from skcode.datasets import make_concept_world
from skcode.dictionary.coding import Coder
from skcode.dictionary.families import atoms_of, chance_cosine, joined, taken_apart, wholes
from skcode.dictionary.schedule import Families, Growth, Schedule
from skcode.metrics import concept_scores
from skcode.solvers import alpha_for_noise

RULE = Families()


def orthogonal(rng, n_atoms, n_features):
    return np.linalg.qr(rng.standard_normal((n_features, n_atoms)))[0].T


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_wholes_do_not_depend_on_how_a_family_shares_its_directions_out(rng, dtype):
    parent, one, other, lone = atoms = orthogonal(rng, 4, 30)
    is_on = rng.random((600, 4)) < 0.5
    is_on[:, 2] = is_on[:, 0] & ~is_on[:, 1]  # siblings: one of them wherever their parent fires
    is_on[:, 1] &= is_on[:, 0]
    codes = is_on * rng.uniform(4, 5, (600, 4))
    told = [sp.csr_array(codes.astype(dtype))]
    dictionaries = [atoms]
    # One sibling is part of the parent's atom, and the other one less that sibling.
    dictionaries.append(np.array([parent + one, other - one, lone]))
    told.append(sp.csr_array(np.column_stack([codes[:, 0], codes[:, 2], codes[:, 3]]).astype(dtype)))
    for components, each in zip(dictionaries, told, strict=True):
        found = wholes(components.astype(dtype), each, RULE)
        wanted = np.array([parent + one, parent + other, lone])
        assert found.shape == wanted.shape
        cosines = found @ wanted.T / np.linalg.norm(found, axis=1)[:, None] / np.linalg.norm(wanted, axis=1)
        np.testing.assert_array_less(0.995, cosines.max(axis=0))


def test_an_atom_that_seldom_fires_has_no_whole(rng):
    codes = sp.csr_array(np.repeat(np.eye(3), [RULE.fewest - 1, RULE.fewest, 50], axis=0))
    found = wholes(np.eye(3), codes, RULE)
    np.testing.assert_allclose(found, np.eye(3)[1:])


def test_random_directions_are_not_joined(rng):
    assert not joined(rng.standard_normal((200, 60))).is_joined
    assert not joined(np.empty((0, 5))).is_joined
    assert not joined(np.ones((1, 5))).is_joined


@pytest.mark.parametrize("at_once", [7, 1024])
def test_a_tree_comes_apart_into_elders_and_what_is_each_ones_own(rng, monkeypatch, at_once):
    monkeypatch.setattr("skcode.dictionary.families._ROWS_AT_ONCE", at_once)
    concepts = orthogonal(rng, 3 + 9 + 27 + 5, 100)
    roots, children, leaves, free = np.split(concepts, [3, 12, 39])
    members = np.concatenate([roots[np.arange(27) // 9] + children[np.arange(27) // 3] + leaves, free])
    tree = joined(members[rng.permutation(32)])
    assert len(tree.tops) == 3 + 5
    found = atoms_of(tree, RULE)
    assert len(found) == len(concepts)

    def mean_of(rows, size):
        return rows.reshape(-1, size, 100).mean(axis=1)

    middle = children + mean_of(leaves, 3)  # what samples say of an elder: its own, and the mean of what is below it
    elders = roots + mean_of(middle, 3)
    own_middle = middle - np.repeat(mean_of(middle, 3), 3, axis=0)
    own_leaves = leaves - np.repeat(mean_of(leaves, 3), 3, axis=0)
    wanted = np.concatenate([elders, own_middle, own_leaves, free])
    distances = np.linalg.norm(found[:, None] - wanted, axis=2)
    assert sorted(distances.argmin(axis=0)) == list(range(len(concepts)))
    np.testing.assert_allclose(distances.min(axis=0), 0, atol=1e-6)


@pytest.fixture(scope="module")
def small_world():
    return make_concept_world(
        12_000, 2000, n_components=120, n_features=60, n_trees=2, n_children=3, random_state=0, most_frequent=0.3,
        least_frequent=5e-3,
    )  # fmt: skip


def test_atoms_of_families_become_atoms_of_concepts(small_world):
    learner = DictionaryLearner(120, alpha="noise", penalty="mcp", random_state=0).fit(small_world.X_train)
    used = ~learner.unused_atoms_
    scores = concept_scores(
        small_world.dictionary, learner.components_[used], small_world.codes_test,
        learner.transform(small_world.X_test)[:, used],
    )  # fmt: skip
    assert scores.f1 > 0.92
    assert scores.matched_cosine > 0.94
    assert scores.uniqueness > 0.96


def test_the_truth_is_left_as_it_is(superposed):
    coder = Coder(0.1, 8.0, True, 1e-3, None)
    schedule = Schedule.of_fit(100, len(superposed.X_train))
    found, shift = taken_apart(superposed.X_train, superposed.dictionary, coder, schedule, recentres=True)
    assert found is superposed.dictionary
    assert not shift.any()


def test_what_explains_less_is_not_taken(superposed, rng):
    """Atoms that are similar by nature, but come independently, are no family."""
    common = rng.standard_normal((1, 40))
    atoms = 0.8 * common + rng.standard_normal((30, 40))
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    codes = rng.uniform(0.5, 1, (3000, 30)) * (rng.random((3000, 30)) < 0.1)
    schedule = Schedule.of_fit(30, 3000)
    assert joined(wholes(atoms, sp.csr_array(codes), RULE)).is_joined
    assert taken_apart(codes @ atoms, atoms, Coder(0.1, 8.0, True, 1e-3, None), schedule)[0] is atoms


def test_atoms_that_nothing_is_left_of_are_not_coded_on(rng, monkeypatch):
    parent, one, other = orthogonal(rng, 3, 20)
    atoms = np.array([parent + one, parent + other]) / np.sqrt(2)
    codes = np.repeat(np.eye(2), 20, axis=0) * rng.uniform(4, 5, (40, 1))
    nothing = np.empty((0, 20)), np.zeros(20), np.empty(0)
    monkeypatch.setattr("skcode.dictionary.families._improved", lambda *given: nothing)
    coder, schedule = Coder(0.1, 8.0, True, 1e-3, None), Schedule.of_fit(2, 40)
    found, _ = taken_apart(codes @ atoms, atoms, coder, schedule)
    assert found is atoms


def test_reconstruction_keeps_families(small_world):
    learner = DictionaryLearner(120, aim="reconstruction", random_state=0).fit(small_world.X_train)
    cosines = learner.components_ @ small_world.dictionary.T
    assert np.count_nonzero(cosines.max(axis=0) > 0.9) < 60  # families hide the others


def test_the_mean_of_concepts_is_given_back_to_them():
    world = make_concept_world(
        20_000, 500, n_components=200, n_features=100, n_trees=4, n_children=3, depth=2, mean_norm=8.0, random_state=0
    )
    learner = DictionaryLearner(200, alpha=0.5, offset="mean", validation_fraction=0.05, random_state=0)
    learner.fit(world.X_train)
    assert np.linalg.norm(learner.mean_ - world.mean) > 3
    assert np.linalg.norm(learner.offset_ - world.mean) < 0.1
    _, held_out = hold_out(world.X_train, 0.05, np.random.RandomState(0))
    assert learner.history_["held_out"][-1] == pytest.approx(-learner.score(held_out), rel=1e-4)


def test_more_atoms_are_searched_for_however_much_is_left(rng):
    atoms = orthogonal(rng, 20, 20)
    codes = rng.uniform(1, 2, (2000, 20)) * (rng.random((2000, 20)) < 0.1)
    alone, wide = (
        DictionaryLearner(2, aim=aim, max_epochs=3, random_state=0) for aim in ("reconstruction", "concepts")
    )
    assert alone.fit(codes @ atoms).history_["unexplained"][-1] > 0.6
    assert wide.fit(codes @ atoms).n_iter_ > alone.n_iter_


def test_a_stream_codes_at_the_level_of_noise_from_its_finish_on(small_world):
    learner = DictionaryLearner(60, alpha="noise", penalty="mcp", random_state=0)
    norms = np.linalg.norm(small_world.X_train[:500], axis=1)
    scale = 0.056 * np.median(norms[norms > 0])
    learner.partial_fit(small_world.X_train[:500])
    assert learner.alpha_ == pytest.approx(scale)
    learner.finalize()
    at_noise = alpha_for_noise(small_world.X_train[:500], learner.components_)
    assert learner.alpha_ == pytest.approx(at_noise)
    assert at_noise != pytest.approx(scale, rel=0.1)


def told(learner, world):
    return concept_scores(world.dictionary, learner.components_, world.codes_test, learner.transform(world.X_test))


def test_few_atoms_are_the_best_of_many(small_world):
    """Concepts without an atom pull on the atoms of others: few atoms alone would be about families."""
    learner = DictionaryLearner(60, random_state=0).fit(small_world.X_train)
    assert learner.components_.shape == (60, 60)
    scores = told(learner, small_world)
    assert scores.f1 > 0.9
    assert scores.matched_cosine > 0.9
    assert scores.uniqueness > 0.9
    alone = DictionaryLearner(60, aim="reconstruction", alpha="noise", random_state=0)
    assert scores.f1 > told(alone.fit(small_world.X_train), small_world).f1 + 0.1


def test_a_stream_goes_on_from_all_atoms_that_were_searched_for(small_world):
    """Or families would lean on the few atoms that there are."""
    learner = DictionaryLearner(30, random_state=0).fit(small_world.X_train)
    scores = told(learner, small_world)
    assert scores.f1 > 0.85
    for block in np.array_split(small_world.X_train, 4):
        learner.partial_fit(block)
    assert learner.components_.shape == (30, 60)
    assert told(learner, small_world).f1 > 0.85
    assert told(learner.finalize(), small_world).matched_cosine > scores.matched_cosine - 0.02
    assert told(learner, small_world).f1 > 0.85


def test_atoms_that_are_assigned_take_the_places_of_those_kept(small_world):
    learner = DictionaryLearner(30, random_state=0).fit(small_world.X_train[:5000])
    given = learner.components_[::-1]
    learner.components_ = given
    learner.partial_fit(small_world.X_train[5000:5010])
    cosines = np.einsum("ij,ij->i", learner.components_, given)
    assert cosines.min() > 0.95


@pytest.mark.parametrize("n_features", [3, 20, 200])
def test_chance_is_what_random_directions_reach(rng, n_features):
    largest = []
    for _ in range(200):
        units = rng.standard_normal((60, n_features))
        units /= np.linalg.norm(units, axis=1, keepdims=True)
        cosines = units @ units.T
        largest.append(cosines[np.triu_indices(60, 1)].max())
    assert np.median(largest) == pytest.approx(chance_cosine(60**2 / 2, n_features), abs=0.02)
    assert chance_cosine(1, n_features) == pytest.approx(0, abs=1e-6)
    assert chance_cosine(100, 1) == 1


def test_more_atoms_that_do_not_pay_are_dropped(small_world, monkeypatch):
    X = small_world.X_train[:5000]
    with monkeypatch.context() as patch:
        patch.setattr(Growth, "has_paid", lambda *given: False)
        tried = DictionaryLearner(40, random_state=0).fit(X)
        patch.setattr(Growth, "widths", lambda *given: [])
        alone = DictionaryLearner(40, random_state=0).fit(X)
    grown = DictionaryLearner(40, random_state=0).fit(X)
    assert alone.n_iter_ < tried.n_iter_
    np.testing.assert_array_equal(tried.components_, alone.components_)
    assert not np.allclose(tried.components_, grown.components_)


@pytest.mark.parametrize(("hope", "n_searched"), [(True, 80), (False, 20)])
def test_a_second_doubling_is_looked_at_where_the_first_gives_hope(small_world, monkeypatch, hope, n_searched):
    monkeypatch.setattr(Growth, "has_paid", lambda growth, left, before, n_doublings: n_doublings == 2)
    monkeypatch.setattr(Growth, "has_hope", lambda *given: hope)
    learner = DictionaryLearner(20, random_state=0).fit(small_world.X_train[:4000])
    assert len(learner._search.components) == n_searched
    assert learner.components_.shape == (20, 60)


def test_more_atoms_are_searched_for_where_there_are_samples():
    growth = Schedule.of_fit(100, 10_000).growth
    assert growth.has_paid(0.2, 0.4)
    assert not growth.has_paid(0.3, 0.4)
    assert not growth.has_paid(0.16, 0.4, 2)
    assert growth.has_paid(0.14, 0.4, 2)
    assert growth.has_hope(0.27, 0.4)
    assert not growth.has_hope(0.29, 0.4)
    assert growth.widths(100, 10_000) == [200]
    assert growth.widths(100, 16_000) == [200, 400]
    assert growth.widths(16_000, 10**7) == []
