"""Whitening: what it makes of the covariance, and that it can be undone."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import parametrize_with_checks

from skcode.preprocessing import PCAWhitener

KINDS = ("pca", "zca")


@parametrize_with_checks([PCAWhitener(), PCAWhitener(kind="zca", eps=0.1)])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.fixture
def correlated(rng):
    """Return samples whose directions vary by three orders of magnitude, around a mean that is not 0."""
    return rng.standard_normal((400, 8)) * np.logspace(0, -3, 8) @ rng.standard_normal((8, 8)) + np.arange(8.0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("eps", [1e-12, 1e-3, 0.5])
def test_covariance_is_the_identity_up_to_eps(correlated, kind, eps):
    whitener = PCAWhitener(eps, kind=kind).fit(correlated)
    covariance = np.cov(whitener.transform(correlated).T)
    eigenvalues, vectors = np.linalg.eigh(np.cov(correlated.T))
    eigenvalues, vectors = eigenvalues[::-1], vectors[:, ::-1]
    np.testing.assert_allclose(whitener.eigenvalues_, eigenvalues, rtol=1e-6)
    left = np.diag(eigenvalues / (eigenvalues + eps * eigenvalues.mean()))
    np.testing.assert_allclose(covariance, left if kind == "pca" else vectors @ left @ vectors.T, atol=1e-8)
    assert kind == "pca" or np.allclose(whitener.whitening_, whitener.whitening_.T)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("dtype", "atol"), [(np.float64, 1e-11), (np.float32, 1e-4)])
def test_can_be_undone(correlated, kind, dtype, atol):
    X = correlated.astype(dtype)
    before = X.copy()
    whitener = PCAWhitener(kind=kind).fit(X)
    whitened = whitener.transform(X)
    again = whitener.inverse_transform(whitened)
    assert whitened.dtype == again.dtype == dtype
    np.testing.assert_allclose(again, X, atol=atol)
    np.testing.assert_array_equal(X, before)
    np.testing.assert_allclose(whitener.whitening_ @ whitener.unwhitening_, np.eye(8), atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", ["few samples", "constant features", "copied features"])
def test_can_be_undone_whatever_the_rank(correlated, rng, kind, damage):
    X = correlated[:3].copy() if damage == "few samples" else correlated.copy()
    if damage == "constant features":
        X[:, [1, 4]] = 7.3
    elif damage == "copied features":
        X[:, 5] = X[:, 2]
    whitener = PCAWhitener(kind=kind).fit(X)
    anything = 10 * rng.standard_normal((20, 8))
    np.testing.assert_allclose(whitener.inverse_transform(whitener.transform(anything)), anything, atol=1e-9)
    assert np.abs(whitener.transform(X)).max() < np.sqrt(len(X))


def test_is_pca_for_next_to_no_eps(correlated):
    ours = PCAWhitener(1e-12).fit_transform(correlated)
    theirs = PCA(whiten=True, svd_solver="full").fit_transform(correlated)
    np.testing.assert_allclose(np.abs(ours), np.abs(theirs), atol=1e-5)


def test_largest_entries_of_components_are_positive(correlated):
    components = PCAWhitener().fit(correlated).unwhitening_
    np.testing.assert_array_equal(components.max(axis=1), np.abs(components).max(axis=1))


def test_zca_moves_samples_least(correlated, rng):
    centred = correlated - correlated.mean(axis=0)
    X = centred / centred.std()
    moved = {kind: np.square(PCAWhitener(kind=kind).fit_transform(X) - X).sum() for kind in KINDS}
    rotation = np.linalg.qr(rng.standard_normal((8, 8)))[0]
    turned = np.square(PCAWhitener(kind="zca").fit_transform(X) @ rotation - X).sum()
    assert moved["zca"] < min(moved["pca"], turned)


@given(st.integers(0, 1000), st.floats(-6, 6), st.sampled_from(KINDS))
def test_neither_shift_nor_scale_matter_and_rotations_commute(seed, power, kind):
    rng = np.random.RandomState(seed)
    X = rng.standard_normal((30, 4)) * [4, 2, 1, 0.5]
    whitened = PCAWhitener(kind=kind).fit_transform(X)
    moved = PCAWhitener(kind=kind).fit_transform(10**power * (X + rng.standard_normal(4)))
    np.testing.assert_allclose(moved, whitened, atol=1e-7)
    rotation = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    turned = PCAWhitener(kind=kind).fit_transform(X @ rotation)
    if kind == "pca":
        np.testing.assert_allclose(np.abs(turned), np.abs(whitened), atol=1e-7)
    else:
        np.testing.assert_allclose(turned, whitened @ rotation, atol=1e-7)


@pytest.mark.parametrize("borders", [[1, 2, 3], [200], [399], [50, 51, 300]])
def test_blocks_give_what_all_samples_give(correlated, borders):
    X = correlated + 1e3
    stream = PCAWhitener()
    for block in np.split(X, borders):
        stream.partial_fit(block)
    whole = PCAWhitener().fit(X)
    assert stream.n_samples_seen_ == whole.n_samples_seen_ == 400
    np.testing.assert_allclose(stream.mean_, whole.mean_, rtol=1e-12)
    np.testing.assert_allclose(stream.whitening_, whole.whitening_, rtol=1e-6, atol=1e-6)


def test_fit_forgets_blocks_and_a_pickle_goes_on(correlated):
    stream = PCAWhitener().partial_fit(5 * correlated[:100])
    np.testing.assert_array_equal(stream.fit(correlated).mean_, clone(stream).fit(correlated).mean_)
    restored = pickle.loads(pickle.dumps(stream))
    for whitener in (stream, restored):
        whitener.partial_fit(2 * correlated)
    np.testing.assert_array_equal(restored.whitening_, stream.whitening_)


def test_long_data_are_read_in_blocks(rng, tmp_path):
    X = (rng.standard_normal((20_000, 3)) * [1, 2, 3] + 100).astype(np.float32)
    np.save(tmp_path / "X.npy", X)
    whitener = PCAWhitener().fit(np.load(tmp_path / "X.npy", mmap_mode="r"))
    np.testing.assert_allclose(whitener.mean_, X.mean(axis=0, dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(whitener.eigenvalues_, np.linalg.eigvalsh(np.cov(X.T.astype(float)))[::-1], rtol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("X", [np.full((50, 3), 0.1), np.full((50, 3), 0.1, np.float32), [[1.0, 2.0, 3.0]]])
def test_samples_without_a_scale_are_not_scaled(kind, X):
    whitener = PCAWhitener(kind=kind).fit(X)
    np.testing.assert_allclose(whitener.transform(X), 0, atol=1e-6)
    apart = np.linalg.norm(whitener.transform([[1.0, 1.0, 1.0]]) - whitener.transform([[1.0, 1.0, 3.0]]))
    assert apart == pytest.approx(2)
    whitener.partial_fit([[1.0, 5.0, 2.0], [0.0, 1.0, 2.0]])
    assert np.isfinite(whitener.whitening_).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", [1e-39, 1e-36, 1e-20, 1e20, 1e36])
def test_float32_at_its_limits(correlated, kind, scale):
    X = (scale * (correlated - correlated.mean(axis=0))).astype(np.float32)
    whitener = PCAWhitener(kind=kind).fit(X)
    whitened = whitener.transform(X)
    expected = (X - whitener.mean_) @ whitener.whitening_
    np.testing.assert_allclose(whitened, expected, atol=1e-4)
    back = whitener.inverse_transform(whitened)
    assert whitened.dtype == back.dtype == np.float32
    np.testing.assert_allclose(back, X, atol=1e-4 * np.abs(X).max() + 1e-45)


def test_names_and_frames(correlated):
    pandas = pytest.importorskip("pandas")
    frame = PCAWhitener().set_output(transform="pandas").fit_transform(pandas.DataFrame(correlated))
    assert list(frame.columns[:2]) == ["pcawhitener0", "pcawhitener1"]


def test_bad_calls_are_named(correlated):
    with pytest.raises(ValueError, match="'eps' parameter of PCAWhitener"):
        PCAWhitener(0.0).fit(correlated)
    with pytest.raises(ValueError, match="'kind' parameter of PCAWhitener"):
        PCAWhitener(kind="ica").fit(correlated)
    with pytest.raises(NotFittedError):
        PCAWhitener().inverse_transform(correlated)
    with pytest.raises(ValueError, match="X must hold n_features=8 whitened features, got 5"):
        PCAWhitener().fit(correlated).inverse_transform(correlated[:, :5])
    for scale in (1e200, 1e-170):
        with pytest.raises(ValueError, match="squares of X are beyond float64"):
            PCAWhitener().fit(scale * correlated)


def test_a_block_that_is_refused_leaves_the_stream_as_it_was(correlated):
    stream, expected = (PCAWhitener().partial_fit(correlated[:200]) for _ in range(2))
    with pytest.raises(ValueError, match="squares of X are beyond float64"):
        stream.partial_fit(1e200 * correlated)
    for whitener in (stream, expected):
        whitener.partial_fit(correlated[200:])
    assert stream.n_samples_seen_ == 400
    np.testing.assert_array_equal(stream.whitening_, expected.whitening_)
