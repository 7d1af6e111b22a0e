import importlib
import tracemalloc

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError

from skcode import FISTACoder, SparseAutoencoder
from skcode.metrics import unexplained_variance
from skcode.model_selection import l0_path

l0_path_module = importlib.import_module("skcode.model_selection.l0_path")


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


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"penalty": "mcp"},
        {"debias": True},
        {"penalty": "mcp", "debias": True, "positive": False},
        {"solver": "fista", "offset": "mean"},
        {"tol": 1e-9},
        {"tol": 0, "max_iter": 3, "solver": "ista"},
    ],
    ids=str,
)
def test_at_its_own_penalty_the_path_is_what_the_estimator_returns(shift, options):
    coder = FISTACoder(shift.dictionary, alpha=0.1, sparse_output=True, **options).fit(shift.X_train)
    result = coder.codes(shift.X_val)
    path = l0_path(coder, shift.X_val, alphas=[0.3, coder.alpha_, 0.05])
    assert path.l0[1] == result.codes.nnz / len(shift.X_val)
    error = unexplained_variance(shift.X_val, coder.inverse_transform(result.codes), mean=coder.mean_)
    assert path.unexplained_variance[1] == pytest.approx(error, rel=1e-12)
    assert (path.violation if path.dual_gap is None else path.dual_gap)[1] == result.certificate.max()


def test_blocks_of_samples_make_no_difference(shift, monkeypatch):
    coder = FISTACoder(shift.dictionary).fit(shift.X_train)
    whole = l0_path(coder, shift.X_val, alphas=[0.3, 0.1])
    monkeypatch.setattr(l0_path_module, "_ROWS_AT_ONCE", 77)
    blocks = l0_path(coder, shift.X_val, alphas=[0.3, 0.1])
    np.testing.assert_allclose(blocks.l0, whole.l0)
    np.testing.assert_allclose(blocks.unexplained_variance, whole.unexplained_variance)


def test_no_dense_codes_are_made(monkeypatch):
    # The samples take 8 MB, their dense codes 48 MB, and those that are not zero .4 MB.
    rng = np.random.RandomState(0)
    atoms = rng.standard_normal((400, 64)).astype(np.float32)
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    X = atoms[rng.randint(400, size=30_000)]
    coder = FISTACoder(atoms).fit(X[:100])
    l0_path(coder, X[:100], alphas=[0.5])
    tracemalloc.start()
    try:
        l0_path(coder, X, alphas=[0.5, 0.3])
        assert tracemalloc.get_traced_memory()[1] < 1.5 * X.nbytes
    finally:
        tracemalloc.stop()


def test_an_encoder_that_refines_is_its_refiner(shift):
    sae = SparseAutoencoder(20, max_epochs=2, random_state=0, refine=FISTACoder(alpha=0.2)).fit(shift.X_train)
    path = l0_path(sae, shift.X_val, alphas=[0.2])
    codes = sae.transform(shift.X_val)
    assert path.l0[0] == pytest.approx(np.count_nonzero(codes) / len(codes), rel=0.01)


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
