import numpy as np
import pytest

from skcode.datasets import make_toy_superposition


def test_features_are_sparse_and_uniform():
    data = make_toy_superposition(20_000, 6, sparsity=0.8, importance_decay=0.5, random_state=100)
    on = data.X != 0
    np.testing.assert_allclose(on.mean(axis=0), 0.2, atol=0.015)
    assert data.X[on].mean() == pytest.approx(0.5, abs=0.01)
    assert data.X[on].var() == pytest.approx(1 / 12, abs=0.003)
    np.testing.assert_allclose(np.corrcoef(on.T) - np.eye(6), 0, atol=0.03)
    np.testing.assert_allclose(data.importance, 0.5 ** np.arange(6))


def test_seeds_and_types():
    first, again = (make_toy_superposition(10, 3, dtype=np.float32, random_state=1) for _ in range(2))
    assert (first.X == again.X).all()
    assert first.X.dtype == first.importance.dtype == np.float32
    assert not make_toy_superposition(10, 3, sparsity=1.0).X.any()
    with pytest.raises(ValueError, match="dtype must be float32 or float64"):
        make_toy_superposition(dtype=int)
    with pytest.raises(ValueError, match="sparsity"):
        make_toy_superposition(sparsity=1.5)
    with pytest.raises(ValueError, match=r"importance_decay=1e\+300 \*\* i is beyond float64 for 3 components"):
        make_toy_superposition(10, 3, importance_decay=1e300)
