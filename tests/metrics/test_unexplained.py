import numpy as np
import pytest

from skcode.metrics import UnexplainedVariance, unexplained_variance


def test_unexplained_variance_by_hand():
    X = np.array([[0.0, 0.0], [2.0, 2.0]])
    assert unexplained_variance(X, X) == 0
    assert unexplained_variance(X, np.ones((2, 2))) == 1
    assert unexplained_variance(X, np.zeros((2, 2))) == 2
    assert unexplained_variance(X, np.zeros((2, 2)), mean=[0, 0]) == 1
    assert unexplained_variance(np.ones((2, 2)), np.ones((2, 2))) == 0
    assert unexplained_variance(np.full((3, 2), 0.1), np.full((3, 2), 0.2)) == np.inf
    same = np.full((20_000, 2), 0.1)
    assert unexplained_variance(same, same + 0.1) == unexplained_variance(same, same + 0.1, mean=same.mean(axis=0))
    assert unexplained_variance(same, same + 0.1) == np.inf
    # Whatever the type of the mean, and the size of the squares beside it.
    assert unexplained_variance(X, np.zeros((2, 2)), mean=np.ones(2, np.float16)) == 2
    large = np.float32(1e20) * X.astype(np.float32)
    assert unexplained_variance(large, 0 * large, mean=large.mean(axis=0)) == pytest.approx(2)
    # A common mean, however large, is not part of the variance, as long as the samples can be told apart.
    far = 1e8 + np.array([[0.0], [1.0], [2.0], [3.0]])
    assert unexplained_variance(far, far + 0.5) == pytest.approx(0.2)
    assert unexplained_variance(far, far + 0.5, mean=far.mean(axis=0)) == pytest.approx(0.2)


def test_unexplained_variance_rejects_other_shapes():
    with pytest.raises(ValueError, match="same shape"):
        unexplained_variance(np.ones((2, 2)), np.ones((2, 3)))
    with pytest.raises(ValueError, match="mean must be a vector of n_features=2"):
        unexplained_variance(np.ones((2, 2)), np.ones((2, 2)), mean=[1.0])


@pytest.mark.parametrize("name", ["X", "X_hat", "mean"])
@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_named(name, wrong):
    arguments = {"X": np.eye(3), "X_hat": np.zeros((3, 3)), "mean": np.zeros(3)}
    arguments[name][-1] = wrong
    with pytest.raises(ValueError, match=rf"{name} contains (NaN|infinity)"):
        unexplained_variance(**arguments)


@pytest.mark.parametrize("scale", [5e-324, 1e-300, 1e-160, 1e160, 1e300])
def test_scales_do_not_matter(rng, scale):
    X = np.round(1e6 * rng.standard_normal((30, 3)))
    X_hat = np.round(X + 1e5 * rng.standard_normal((30, 3)))
    expected = unexplained_variance(X, X_hat)
    assert unexplained_variance(scale * X, scale * X_hat) == pytest.approx(expected)
    mean = X.mean(axis=0)
    assert unexplained_variance(scale * X, scale * X_hat, mean=scale * mean) == pytest.approx(
        unexplained_variance(X, X_hat, mean=mean)
    )


def test_a_reconstruction_may_be_far_off():
    assert unexplained_variance([[1.0], [-1.0]], [[1e200], [0.0]]) == np.inf
    assert unexplained_variance([[1.0], [-1.0]], [[1e150], [0.0]]) == pytest.approx(5e299)
    assert unexplained_variance([[1e200], [-1e200]], [[1e200], [-1e200 + 1e190]]) == pytest.approx(5e-21)
    assert unexplained_variance([[1e308], [-1e308]], [[-1e308], [1e308]]) == pytest.approx(4)


def test_blocks_give_what_all_samples_give(rng):
    X, X_hat = rng.standard_normal((2, 100, 4))
    mean = X.mean(axis=0)
    unexplained = UnexplainedVariance(mean)
    for start in range(0, 100, 7):
        scale = 1e200 if start == 14 else 1.0  # in any order of scales
        unexplained.add(X[start : start + 7] * scale, X_hat[start : start + 7] * scale)
    X[14:21] *= 1e200
    X_hat[14:21] *= 1e200
    assert unexplained.share() == pytest.approx(unexplained_variance(X, X_hat, mean=mean))
