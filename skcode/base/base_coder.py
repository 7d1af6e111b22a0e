"""What all coders share: samples in, codes out, and back."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin

from .._validation import (
    FLOATS,
    ArrayLike,
    MatrixLike,
    check_array,
    check_is_fitted,
    check_offset,
    validate_data,
)
from ..metrics import unexplained_variance


class BaseCoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator, ABC):
    """Base of everything that turns samples into codes over a dictionary.

    A fitted coder has ``components_`` of shape ``(n_components, n_features)``, ``offset_`` and ``mean_`` of shape
    ``(n_features,)``; subclasses say how codes are found, in ``_encode``.
    """

    @abstractmethod
    def _encode(self, X):
        """Return the codes of validated, C-ordered float samples, offset included, in the dtype of ``X``."""

    def transform(self, X: ArrayLike) -> np.ndarray | sp.csr_array:
        """Return the codes of samples.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        codes : ndarray or CSR array of shape (n_samples, n_components)
            In the float dtype of ``X``; CSR with ``sparse_output=True``.
        """
        return self._encode(self._check_samples(X))

    def inverse_transform(self, X: MatrixLike) -> np.ndarray:
        """Return the reconstruction ``codes @ components_ + offset_``.

        Parameters
        ----------
        X : {array-like, CSR} of shape (n_samples, n_components)
            Codes.

        Returns
        -------
        samples : ndarray of shape (n_samples, n_features)
            In the float dtype of the codes.
        """
        check_is_fitted(self)
        codes = check_array(X, accept_sparse="csr", dtype=FLOATS, input_name="X")
        if codes.shape[1] != self.components_.shape[0]:
            raise ValueError(
                f"X must hold codes over n_components={self.components_.shape[0]} components, got {codes.shape[1]}."
            )
        return np.asarray(codes @ self.components_.astype(codes.dtype)) + self.offset_.astype(codes.dtype)

    def score(self, X: ArrayLike, y=None) -> float:
        """Return minus the share of variance that the codes leave unexplained; higher is better, 0 is perfect.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.
        y : ignored
            Present for API consistency.

        Returns
        -------
        score : float
            ``-unexplained_variance(X, reconstruction, mean=mean_)``, with the mean of the training data.
        """
        X = self._check_samples(X)
        return -unexplained_variance(X, self.inverse_transform(self._encode(X)), mean=self.mean_)

    def _check_samples(self, X):
        check_is_fitted(self)
        return validate_data(self, X, dtype=FLOATS, order="C", reset=False)

    def _check_training_samples(self, X):
        return validate_data(self, X, dtype=FLOATS, order="C")

    def _set_offset(self, X):
        self.mean_ = X.mean(axis=0, dtype=np.float64).astype(X.dtype)
        self.offset_ = check_offset(self.offset, X)

    def _add_to_mean(self, X):
        """Take note of a block of a stream in ``mean_``."""
        self._n_seen_samples += len(X)
        moved = (X.mean(axis=0, dtype=np.float64) - self.mean_) * (len(X) / self._n_seen_samples)
        self.mean_ = (self.mean_ + moved).astype(X.dtype)

    def _without_offset(self, X):
        return np.subtract(X, self.offset_).astype(X.dtype, copy=False) if self.offset_.any() else X

    @property
    def _n_features_out(self):
        return self.components_.shape[0]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
