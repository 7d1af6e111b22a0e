import numpy as np
import pytest
import scipy.sparse as sp

from skcode.metrics import interpretability_score


def test_a_direction_is_interpretable_and_chance_is_one_half(rng):
    X = rng.standard_normal((600, 10))
    codes = np.column_stack([X[:, 0], *(rng.permutation(X[:, 0]) for _ in range(40))])
    result = interpretability_score(codes, X)
    assert result.per_unit[0] == 1
    assert result.per_unit[1:].mean() == pytest.approx(0.5, abs=0.1)
    assert result.score == pytest.approx(result.per_unit.mean())


def test_trials_are_what_they_are_said_to_be():
    # Two ends of two samples, one example each; similarity is a table. Ranked upwards: 3, 2 | 1, 0.
    table = np.array([[9, 5, 1, 3], [6, 9, 1, 0], [1, 2, 9, 4], [3, 0, 3, 9.0]])
    codes = np.array([[4.0], [3.0], [1.0], [0.0]])

    def score(table):
        return interpretability_score(
            codes, np.arange(4), similarity=lambda a, b: table[np.ix_(a, b)], n_examples=1
        ).score

    # Query pairs (1, 3) with examples 0 and 2, then (0, 2) with 1 and 3.
    assert (table[1, 0] - table[1, 2]) - (table[3, 0] - table[3, 2]) > 0
    assert (table[0, 1] - table[0, 3]) - (table[2, 1] - table[2, 3]) > 0
    assert score(table) == 1
    assert score(-table) == 0
    table[0, 1] = -9  # now the second is failed
    assert score(table) == 0.5


def test_any_features_with_a_similarity_of_ones_own(rng):
    images = rng.random_sample((100, 4, 4))
    codes = images[:, :1, 0]

    def overlap(first, second):
        assert first.shape[1:] == (4, 4)
        return np.einsum("aij,bij->ab", first, second)

    assert interpretability_score(codes, images, similarity=overlap, n_examples=4).score > 0.8


def test_sparse_codes_and_units_that_hardly_respond(rng):
    X = rng.standard_normal((200, 5))
    codes = np.maximum(X, 0)
    codes[:, 3] = 0
    codes[5:, 4] = 0  # at most five samples respond
    codes[:5, 4] = 1
    result = interpretability_score(codes, X, similarity="euclidean")
    assert np.isnan(result.per_unit).tolist() == [False, False, False, True, True]
    np.testing.assert_array_equal(
        interpretability_score(sp.csr_array(codes), X, similarity="euclidean").per_unit, result.per_unit
    )


@pytest.mark.parametrize("similarity", ["cosine", "euclidean"])
@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e160, 1e300])
def test_scales_do_not_matter(rng, similarity, scale):
    X = rng.standard_normal((60, 4))
    expected = interpretability_score(X, X, similarity=similarity).per_unit
    np.testing.assert_array_equal(interpretability_score(X, scale * X, similarity=similarity).per_unit, expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_examples": 50}, "n_examples=50 takes 102 samples"),
        ({"similarity": lambda a, b: np.ones(3)}, "similarity must return an array of shape"),
        ({"similarity": lambda a, b: np.full((len(a), len(b)), np.nan)}, "similarity must return finite numbers"),
        ({"features": np.ones((3, 2))}, "codes and features have inconsistent numbers of samples: 40 and 3"),
    ],
)
def test_bad_input_is_named(rng, changes, message):
    arguments = {"codes": rng.random_sample((40, 2)), "features": rng.random_sample((40, 3))} | changes
    with pytest.raises(ValueError, match=message):
        interpretability_score(**arguments)
