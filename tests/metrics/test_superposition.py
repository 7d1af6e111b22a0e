import numpy as np
import pytest

from skcode.metrics import feature_dimensionality


def test_known_geometries():
    angles = 2 * np.pi * np.arange(5) / 5
    pentagon = np.column_stack([np.cos(angles), np.sin(angles)])
    np.testing.assert_allclose(feature_dimensionality(pentagon), 2 / 5)
    np.testing.assert_allclose(feature_dimensionality(3 * np.eye(4)), 1)
    np.testing.assert_allclose(feature_dimensionality([[1.0], [-1.0]]), 0.5)


def test_they_sum_to_the_dimensions_of_a_tight_frame(rng):
    frame = np.linalg.qr(rng.standard_normal((12, 5)))[0]  # rows of a projection: every dimension is used alike
    assert feature_dimensionality(frame).sum() == pytest.approx(5)


@pytest.mark.parametrize("scale", [1e-200, 1, 1e200])
def test_scale_does_not_matter(rng, scale):
    weights = rng.standard_normal((6, 3))
    np.testing.assert_allclose(feature_dimensionality(scale * weights), feature_dimensionality(weights))


def test_what_is_not_represented_has_none():
    assert feature_dimensionality(np.zeros((3, 2))).tolist() == [0, 0, 0]
