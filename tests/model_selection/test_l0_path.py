import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError

from skcode import FISTACoder, SparseAutoencoder
from skcode.metrics import unexplained_variance
from skcode.model_selection import l0_path


def test_curves_are_those_of_the_coder(shift):
    coder = FISTACoder(shift.dictionary, offset="mean", positive=False).fit(shift.X_train)
    path = l0_path(coder, shift.X_val, alphas=[0.3, 0.1])
    for k, alpha in enumerate(path.alpha):
        single = FISTACoder(shift.dictionary, alpha=alpha, offset="mean", positive=False).fit(shift.X_train)
        codes = single.transform(shift.X_val)
        assert path.l0[k] == pytest.approx(np.count_nonzero(codes) / len(codes), rel=0.01)
        error = unexplained_variance(shift.X_val, single.inverse_transform(codes), mean=coder.mean_)
        assert path.unexplained_variance[k] == pytest.approx(error, rel=1e-2)
    assert path.dual_gap.max() <= 1e-4


def test_default_penalties_go_from_nothing_to_sparse(shift):
    path = l0_path(FISTACoder(shift.dictionary).fit(shift.X_train), shift.X_val, n_alphas=5, eps=0.1)
    assert path.alpha[-1] == pytest.approx(0.1 * path.alpha[0])
    assert path.l0[0] == 0
    assert (np.diff(path.l0) > 0).all()


def test_any_estimator_with_components_will_do(shift):
    sae = SparseAutoencoder(20, max_epochs=2, random_state=0).fit(shift.X_train)
    assert l0_path(sae, shift.X_val, n_alphas=3).l0[-1] > 0


def test_errors_name_what_is_wrong(shift):
    coder = FISTACoder(shift.dictionary).fit(shift.X_train)
    with pytest.raises(ValueError, match=r"alphas must be a list of positive numbers, got \[0.1, 0.0\]"):
        l0_path(coder, shift.X_val, alphas=[0.1, 0.0])
    with pytest.raises(ValueError, match="eps must lie between 0 and 1, got 2"):
        l0_path(coder, shift.X_val, eps=2)
    with pytest.raises(ValueError, match="X must have n_features"):
        l0_path(coder, shift.X_val[:, 1:])
    with pytest.raises(NotFittedError):
        l0_path(FISTACoder(shift.dictionary), shift.X_val)


def test_estimators_without_a_dictionary_are_named(shift):
    with pytest.raises(TypeError, match=r"estimator must have offset_, as coders of skcode do; PCA\(\) has not"):
        l0_path(PCA().fit(shift.X_train), shift.X_val)
    with pytest.raises(ValueError, match="alphas must be a list of positive numbers"):
        l0_path(FISTACoder(shift.dictionary).fit(shift.X_train), shift.X_val, alphas=[])
