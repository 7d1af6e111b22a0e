import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

from skcode import FISTACoder, SparseAutoencoder
from skcode.metrics import amortisation_gap, duality_gap


class Fixed:
    """An encoder with given codes."""

    def __init__(self, components, offset, codes):
        self.components_, self.offset, self.codes = components, offset, codes

    def transform(self, X):
        return self.codes

    def inverse_transform(self, codes):
        return codes @ self.components_ + self.offset


def test_gap_by_hand():
    # One atom, x - offset = 2, alpha = 0.5: the optimum is 1.5 with objective 0.125 + 0.75; at code 0 it is 2.
    encoder = Fixed(np.ones((1, 1)), np.ones(1), np.zeros((1, 1)))
    gap = amortisation_gap(encoder, [[3.0]], alpha=0.5, tol=1e-12)
    assert gap.objective == pytest.approx([2.0])
    assert gap.optimum == pytest.approx([0.875])
    assert gap.gap == pytest.approx([1.125 / 2])
    assert gap.mean_gap == pytest.approx(1.125 / 2)


def test_optimal_codes_have_no_gap_and_others_have(shift):
    coder = FISTACoder(shift.dictionary, alpha=0.1, tol=1e-8).fit(shift.X_train)
    assert amortisation_gap(coder, shift.X_val, alpha=0.1).gap.max() <= 1e-5
    assert amortisation_gap(coder, shift.X_val, alpha=0.3).mean_gap > 1e-3
    sae = SparseAutoencoder(40, n_active=4, max_epochs=20, random_state=0).fit(shift.X_train)
    assert amortisation_gap(sae, shift.X_val, alpha=0.1).mean_gap > 0.01


def test_signed_codes_are_compared_with_the_signed_optimum(rng):
    dictionary = np.eye(3)
    X = rng.standard_normal((5, 3))
    optimum = np.sign(X) * np.maximum(np.abs(X) - 0.2, 0)
    gap = amortisation_gap(Fixed(dictionary, np.zeros(3), optimum), X, alpha=0.2, tol=1e-10)
    np.testing.assert_allclose(gap.gap, 0, atol=1e-9)


def test_what_cannot_be_compared_is_refused_and_what_is_not_certified_warned_of(shift):
    with pytest.raises(ValueError, match="inverse_transform of PCA is not codes @ components_"):
        amortisation_gap(PCA(5, whiten=True).fit(shift.X_train), shift.X_val, alpha=0.1)
    assert np.isfinite(amortisation_gap(PCA(5).fit(shift.X_train), shift.X_val, alpha=0.1).mean_gap)
    with pytest.raises(TypeError, match="have components_, its dictionary; StandardScaler has none"):
        amortisation_gap(StandardScaler().fit(shift.X_train), shift.X_val, alpha=0.1)
    coder = FISTACoder(shift.dictionary).fit(shift.X_train)
    with pytest.warns(ConvergenceWarning, match=r"the optimum of \d+ of 300 samples missed"):
        amortisation_gap(coder, shift.X_val, alpha=0.1, max_iter=1)
    assert amortisation_gap(coder, shift.X_val, alpha=0.1, tol=1e-9).dual_gap.max() <= 1e-9


def test_public_duality_gap_accepts_csr_and_checks_shapes(shift):
    codes = FISTACoder(shift.dictionary, tol=1e-6).fit(shift.X_train).transform(shift.X_val)
    gap = duality_gap(shift.X_val, codes, shift.dictionary, 0.1)
    assert gap.max() <= 1e-6
    np.testing.assert_allclose(duality_gap(shift.X_val, sp.csr_array(codes), shift.dictionary, 0.1), gap, atol=1e-12)
    with pytest.raises(ValueError, match="codes has 39 columns but dictionary has 40 atoms"):
        duality_gap(shift.X_val, codes[:, 1:], shift.dictionary, 0.1)
    with pytest.raises(ValueError, match="dictionary has shape"):
        duality_gap(shift.X_val[:, 1:], codes, shift.dictionary, 0.1)
    with pytest.raises(ValueError, match="alpha"):
        duality_gap(shift.X_val, codes, shift.dictionary, -1.0)


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e160, 1e300])
def test_scales_do_not_matter(shift, scale):
    codes = FISTACoder(shift.dictionary, max_iter=1, solver="ista", tol=0).fit(shift.X_train).transform(shift.X_val)
    expected = duality_gap(shift.X_val, codes, shift.dictionary, 0.1)
    gap = duality_gap(scale * shift.X_val, scale * codes, shift.dictionary, scale * 0.1)
    np.testing.assert_allclose(gap, expected)
    sparse = duality_gap(scale * shift.X_val, sp.csr_array(scale * codes), shift.dictionary, scale * 0.1)
    np.testing.assert_allclose(sparse, expected)
    if 1e-300 < scale < 1e300:
        root = np.sqrt(scale)
        atoms = duality_gap(scale * shift.X_val, root * codes, root * shift.dictionary, scale * root * 0.1)
        np.testing.assert_allclose(atoms, expected)


def test_scales_beyond_any_gap_are_refused(shift):
    with pytest.raises(ValueError, match="codes and alpha must have the scale of X and dictionary"):
        duality_gap(1e300 * shift.X_val, shift.codes_val, shift.dictionary, 1e-300)
    encoder = Fixed(shift.dictionary, np.zeros(shift.dictionary.shape[1]), shift.codes_val)
    with pytest.raises(ValueError, match="X, less the offset of encoder, must have numbers whose squares float64"):
        amortisation_gap(encoder, 1e160 * shift.X_val, alpha=0.1)


def test_no_dense_codes_are_kept():
    # 40,000 samples of 2 features have dense codes of 160 MB over 500 atoms.
    rng = np.random.RandomState(0)
    X, atoms = rng.standard_normal((40_000, 2)), rng.standard_normal((500, 2))
    coder = FISTACoder(atoms / np.linalg.norm(atoms, axis=1, keepdims=True), alpha=2.0).fit(X[:100])
    few = amortisation_gap(coder, X[:100], alpha=2.0)
    tracemalloc.start()
    try:
        gap = amortisation_gap(coder, X, alpha=2.0)
        assert tracemalloc.get_traced_memory()[1] < 100e6
    finally:
        tracemalloc.stop()
    np.testing.assert_allclose(gap.objective[:100], few.objective)
