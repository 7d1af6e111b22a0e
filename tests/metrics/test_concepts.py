import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.metrics import precision_recall_fscore_support

from skcode.datasets import make_concept_world
from skcode.metrics import absorption_scores, concept_scores


@pytest.fixture(scope="module")
def world():
    return make_concept_world(3000, 1, n_components=60, n_features=40, n_trees=2, depth=2, random_state=100)


def test_scores_are_those_of_a_classifier_for_each_atom(rng):
    true, learned = rng.standard_normal((7, 5)), rng.standard_normal((9, 5))
    learned[4] = 0
    codes_true, codes_pred = (rng.random_sample((200, n)) * (rng.random_sample((200, n)) < 0.3) for n in (7, 9))
    scores = concept_scores(true, learned, codes_true, sp.csr_array(codes_pred))
    used = np.delete(np.arange(9), 4)
    cosines = np.abs(learned[used] @ true.T) / np.linalg.norm(true, axis=1)
    best = cosines.argmax(axis=1)
    np.testing.assert_array_equal(scores.concepts[used], best)
    assert scores.concepts[4] == -1
    assert np.isnan(scores.f1_per_atom[4])
    by_hand = [
        precision_recall_fscore_support(codes_true[:, j] > 0, codes_pred[:, i] > 0, average="binary")[:3]
        for i, j in zip(used, best, strict=True)
    ]
    precision, recall, f1 = np.mean(by_hand, axis=0)
    assert (scores.precision, scores.recall, scores.f1) == pytest.approx((precision, recall, f1))
    np.testing.assert_allclose(scores.f1_per_atom[used], np.array(by_hand)[:, 2])
    assert scores.uniqueness == len(set(best)) / 8


def test_the_truth_is_perfect_in_any_order_sign_and_norm(world, rng):
    order = rng.permutation(60)
    atoms = world.dictionary[order] * rng.uniform(-3, 3, (60, 1))
    scores = concept_scores(world.dictionary, atoms, world.codes_train, world.codes_train[:, order])
    assert (scores.precision, scores.recall, scores.f1, scores.uniqueness) == (1, 1, 1, 1)
    assert scores.matched_cosine == pytest.approx(1)
    np.testing.assert_array_equal(scores.concepts, order)
    assert absorption_scores(
        world.dictionary, atoms, world.codes_train, world.codes_train[:, order], world.parents
    ).absorbed == pytest.approx(0, abs=1e-3)  # magnitudes of parents are clipped at 0


def test_chance_is_what_shuffled_codes_reach(world, rng):
    shuffled = [
        concept_scores(world.dictionary, world.dictionary, world.codes_train, world.codes_train[rng.permutation(3000)])
        for _ in range(10)
    ]
    for name in ("precision", "recall", "f1"):
        found = np.mean([scores[name] for scores in shuffled])
        assert found == pytest.approx(shuffled[0][f"chance_{name}"], rel=0.1)


def test_atoms_that_never_fire_score_nothing_and_none_at_all_nan():
    codes = np.array([[1.0, 0], [0, 1]])
    scores = concept_scores(np.eye(2), np.eye(2), codes, codes * [1, 0])
    assert (scores.precision, scores.recall, scores.f1) == (0.5, 0.5, 0.5)
    empty = concept_scores(np.eye(2), np.zeros((2, 2)), codes, codes)
    assert np.isnan([empty.precision, empty.f1, empty.uniqueness, empty.matched_cosine]).all()


def test_families_that_became_one_atom_are_absorbed(world):
    parents, codes = world.parents, world.codes_train.toarray()
    children = np.flatnonzero(parents >= 0)
    atoms, merged = world.dictionary.copy(), codes.copy()
    for child in children[::-1]:  # the atom of each child holds its parent, whose code is silent where the child fires
        atoms[child] += 0.8 * world.dictionary[parents[child]]
        merged[codes[:, child] > 0, parents[child]] = 0
    scores = absorption_scores(world.dictionary, atoms, codes, merged, parents)
    assert scores.absorbed == 1
    assert scores.n_pairs == scores.n_atoms == len(children)
    assert scores.ancestor_weight == pytest.approx(0.8**2 / (1 + 0.8**2), rel=1e-6)
    alone = absorption_scores(world.dictionary, world.dictionary, codes, codes, parents)
    assert alone.ancestor_weight == pytest.approx(0, abs=1e-9)


def test_the_atom_of_a_concept_is_the_nearest():
    codes = np.array([[1.0, 1.0]])
    atoms = [[0.9, 0.1], [1.0, 0.0], [0.0, 1.0]]
    assert absorption_scores(np.eye(2), atoms, codes, [[0, 1, 1]], [-1, 0]).absorbed == 0
    assert absorption_scores(np.eye(2), atoms, codes, [[1, 0, 1]], [-1, 0]).absorbed == 1


def test_without_families_there_is_no_absorption():
    scores = absorption_scores(np.eye(2), np.eye(2), np.eye(2), np.eye(2), [-1, -1])
    assert np.isnan([scores.absorbed, scores.ancestor_weight]).all()
    assert scores.n_pairs == scores.n_atoms == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"components_learned": np.ones((2, 3))}, "components_learned has shape"),
        ({"codes_true": np.ones((3, 4))}, "codes_true must hold codes over the 2 of components_true, got 4 columns"),
        ({"codes_pred": np.ones((3, 4))}, "codes_pred must hold codes over the 2 of components_learned, got 4"),
        ({"codes_pred": np.ones((9, 2))}, "codes_true and codes_pred have inconsistent numbers of samples: 3 and 9"),
        ({"parents": [-1]}, "parents must be 2 integers"),
        ({"parents": [-1.0, 0.0]}, "parents must be 2 integers, got float64"),
        ({"parents": [-1, 2]}, "parents must be concepts from 0 to 1, or -1"),
        ({"parents": [1, 0]}, "parents must not lead in a circle"),
    ],
)
def test_bad_input_is_named(arguments, message):
    given = {
        "components_true": np.eye(2), "components_learned": np.eye(2), "codes_true": np.ones((3, 2)),
        "codes_pred": np.ones((3, 2)), "parents": [-1, 0],
    }  # fmt: skip
    with pytest.raises(ValueError, match=message):
        absorption_scores(**given | arguments)


def test_scores_are_those_of_sae_lens(rng):
    torch = pytest.importorskip("torch")
    synthetic = pytest.importorskip("sae_lens.synthetic")
    true, learned = (rng.standard_normal((n, 20)).astype(np.float32) for n in (50, 30))
    codes_true, codes_pred = ((rng.random_sample((500, n)) < 0.1).astype(np.float32) for n in (50, 30))
    codes_pred[:, 3] = 0
    scores = concept_scores(true, learned, codes_true, codes_pred)
    theirs = synthetic.ClassificationMetricsCalculator(torch.tensor(learned), torch.tensor(true))
    theirs.add_batch(torch.tensor(codes_pred), torch.tensor(codes_true))
    found = theirs.compute()
    assert scores.precision == pytest.approx(found.precision, abs=1e-6)
    assert scores.recall == pytest.approx(found.recall, abs=1e-6)
    assert scores.f1 == pytest.approx(found.f1_score, abs=1e-6)
    atoms = torch.tensor(learned), torch.tensor(true)
    assert scores.uniqueness == pytest.approx(synthetic.feature_uniqueness(*atoms), abs=1e-6)
    assert scores.matched_cosine == pytest.approx(synthetic.mean_correlation_coefficient(*atoms), abs=1e-6)
