"""Whitening that can be undone."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin

from .._parallel import single_threaded_blas
from .._validation import (
    FLOATS,
    ArrayLike,
    CheckedParameters,
    StrOptions,
    check_array,
    check_ready,
    fit_context,
    positive_real,
    validate_data,
)

_ROWS_AT_ONCE = 8192
_LEAST_SQUARE = 1e-250  # below, its square is lost


class PCAWhitener(CheckedParameters, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Make the covariance of samples the identity, by a linear map that has an inverse.

    With the eigenvalues ``l`` and eigenvectors ``E`` (columns) of the training covariance, the map is::

        whitened = (x - mean) E (l + eps * mean of l)^-1/2         and for "zca" the same times E'

    It keeps all directions and can be undone to rounding, whatever the rank of the samples. Activations of networks
    vary far more along some directions than along others; whitened, all of them count alike for what is learned from
    them [1]_.

    Parameters
    ----------
    eps : float, default=1e-3
        Added to every eigenvalue, in units of their mean. It is added and not a floor, so that the map changes smoothly
        with the samples, and directions keep their order: one of eigenvalue ``l`` comes out with variance
        ``l / (l + eps * mean)``, nearly 1 where samples vary, and nearly 0 where there is next to nothing but noise.
    kind : {"pca", "zca"}, default="pca"
        Coordinates of the whitened samples: ``"pca"``, those along the eigenvectors, by decreasing eigenvalue;
        ``"zca"``, those of the original features, from which whitened samples then differ least.

    Attributes
    ----------
    mean_ : ndarray of shape (n_features,), dtype float64
        Mean of the training samples.
    whitening_ : ndarray of shape (n_features, n_features), dtype float64
        ``whitened = (X - mean_) @ whitening_``.
    unwhitening_ : ndarray of shape (n_features, n_features), dtype float64
        Its inverse, ``X = whitened @ unwhitening_ + mean_``: rows are what one unit of a whitened coordinate adds.
    eigenvalues_ : ndarray of shape (n_features,), dtype float64
        Those of the covariance (divided by ``n_samples - 1``), decreasing, without ``eps``.
    n_samples_seen_ : int
        Number of training samples.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, if ``X`` had any.

    See Also
    --------
    sklearn.decomposition.PCA : Whitens with ``whiten=True``, without ``eps``, and may leave directions out.

    Notes
    -----
    Samples that are all the same, or a single one, have no scale: they are centred and rotated, not scaled.

    References
    ----------
    .. [1] Saraswatula and Klindt, "Data Whitening Improves Sparse Autoencoder Learning", arXiv:2511.13981, 2025.

    Examples
    --------
    >>> import numpy as np
    >>> from skcode.preprocessing import PCAWhitener
    >>> X = np.random.default_rng(0).standard_normal((500, 3)) @ [[10.0, 1.0, 0.0], [0.0, 1.0, 1.0], [0.0, 0.0, 1.0]]
    >>> whitener = PCAWhitener(eps=1e-9).fit(X)
    >>> whitened = whitener.transform(X)
    >>> bool(np.allclose(np.cov(whitened.T), np.eye(3), atol=1e-6))
    True
    >>> bool(np.allclose(whitener.inverse_transform(whitened), X))
    True
    """

    _parameter_constraints = {"eps": [positive_real()], "kind": [StrOptions({"pca", "zca"})]}

    def __init__(self, eps=1e-3, *, kind="pca"):
        self.eps = eps
        self.kind = kind

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y=None) -> PCAWhitener:
        """Learn mean and covariance.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training samples; a memory map is read in blocks.
        y : ignored
            Present for API consistency.

        Returns
        -------
        self : PCAWhitener
            The fitted whitener.

        Raises
        ------
        ValueError
            If squares of ``X`` are beyond float64.
        """
        return self._learn(X, reset=True)

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: ArrayLike, y=None) -> PCAWhitener:
        """Go on learning from a block of samples, exactly: blocks give what `fit` gives on all of them, to rounding.

        Each call takes an eigendecomposition, so blocks should be large.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.
        y : ignored
            Present for API consistency.

        Returns
        -------
        self : PCAWhitener
            The whitener.

        Raises
        ------
        ValueError
            If ``X`` has other features than the samples before, or its squares are beyond float64.
        """
        return self._learn(X, reset=not hasattr(self, "n_samples_seen_"))

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Return whitened samples.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples; they are not changed.

        Returns
        -------
        whitened : ndarray of shape (n_samples, n_features)
            In the float dtype of ``X``.
        """
        check_ready(self)
        X = validate_data(self, X, dtype=FLOATS, reset=False)
        with single_threaded_blas():
            return _product(X - self.mean_, self.whitening_, X.dtype).astype(X.dtype, copy=False)

    def inverse_transform(self, X: ArrayLike) -> np.ndarray:
        """Return samples from whitened ones.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Whitened samples.

        Returns
        -------
        samples : ndarray of shape (n_samples, n_features)
            In the float dtype of ``X``.

        Raises
        ------
        ValueError
            If ``X`` has another number of features than the training samples.
        """
        check_ready(self)
        X = check_array(X, dtype=FLOATS, input_name="X")
        if X.shape[1] != self.n_features_in_:
            raise ValueError(f"X must hold n_features={self.n_features_in_} whitened features, got {X.shape[1]}.")
        with single_threaded_blas():
            return (_product(X, self.unwhitening_, X.dtype) + self.mean_).astype(X.dtype, copy=False)

    def _learn(self, X, reset):
        X = validate_data(self, X, dtype=FLOATS, reset=reset)
        if reset:
            n_features = X.shape[1]
            self.n_samples_seen_, self.mean_ = 0, np.zeros(n_features)
            self._scatter = np.zeros((n_features, n_features))
        for start in range(0, len(X), _ROWS_AT_ONCE):
            self._see(X[start : start + _ROWS_AT_ONCE].astype(np.float64))
        self._decompose()
        return self

    def _see(self, X):
        """Merge the mean and scatter of a block into those of all before (Chan, Golub and LeVeque, 1983)."""
        n_before, n_block = self.n_samples_seen_, len(X)
        self.n_samples_seen_ = n_before + n_block
        mean = X.mean(axis=0)
        X -= mean
        shift = mean - self.mean_
        with np.errstate(over="ignore", invalid="ignore"):
            scatter = X.T @ X + np.outer(shift, shift) * (n_before * n_block / self.n_samples_seen_)
            self._scatter = self._scatter + scatter
        if not np.isfinite(self._scatter).all() or (X.any() and np.trace(scatter) < _LEAST_SQUARE):
            raise ValueError("squares of X are beyond float64, so that its covariance cannot be told. Scale X.")
        self.mean_ = self.mean_ + shift * (n_block / self.n_samples_seen_)

    def _decompose(self):
        eigenvalues, vectors = np.linalg.eigh(self._scatter / max(self.n_samples_seen_ - 1, 1))
        eigenvalues, vectors = np.maximum(eigenvalues[::-1], 0), vectors[:, ::-1]
        # The sign of an eigenvector is arbitrary: its largest entry shall be positive.
        vectors = vectors * np.where(vectors.max(axis=0) < -vectors.min(axis=0), -1, 1)
        rounding = self.n_samples_seen_ * np.finfo(np.float64).eps * np.linalg.norm(self.mean_)  # of a mean
        constant = eigenvalues.sum() <= rounding**2
        scale = np.ones_like(eigenvalues) if constant else np.sqrt(eigenvalues + self.eps * eigenvalues.mean())
        basis = vectors if self.kind == "zca" else np.eye(len(vectors))
        self.eigenvalues_ = eigenvalues
        self.whitening_ = (vectors / scale) @ basis.T
        self.unwhitening_ = (basis * scale) @ vectors.T

    @property
    def _n_features_out(self):
        return self.n_features_in_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _product(X, matrix, dtype):
    """Return ``X @ matrix``, multiplied in ``dtype``, in float64 if that takes a power of two.

    Samples of float32 near its limits have a matrix beyond them, although the product is not.
    """
    unit = int(np.frexp(np.abs(matrix).max())[1])
    if np.finfo(dtype).minexp / 2 < unit < np.finfo(dtype).maxexp / 2:
        return X.astype(dtype, copy=False) @ matrix.astype(dtype)
    of_samples = int(np.frexp(np.abs(X).max())[1])
    product = np.ldexp(X, -of_samples).astype(dtype, copy=False) @ np.ldexp(matrix, -unit).astype(dtype)
    return np.ldexp(product.astype(np.float64), of_samples + unit)
