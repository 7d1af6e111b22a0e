"""What all coders share: samples in, codes out, and back."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin

from .._validation import (
    FLOATS,
    ArrayLike,
    CheckedParameters,
    MatrixLike,
    check_array,
    check_offset,
    check_ready,
    validate_data,
)
from .._warnings import warn
from ..metrics import UnexplainedVariance

_ROWS_AT_ONCE = 8192  # that are coded at once where only a sum over them is wanted
_ENOUGH = 10  # samples, none of which has a code: fewer may well lie below the penalty


class BaseCoder(CheckedParameters, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator, ABC):
    """Base of everything that turns samples into codes over a dictionary.

    A fitted coder has ``components_`` of shape ``(n_components, n_features)``, ``offset_`` and ``mean_`` of shape
    ``(n_features,)``; subclasses say how codes are found, in ``_encode``. Every public method begins with
    ``_check_samples`` or ``check_ready``.
    """

    @abstractmethod
    def _encode(self, X):
        """Return the codes of validated float samples, offset included, in the dtype of ``X``."""

    @abstractmethod
    def _sparse_blocks(self, X):
        """Yield slices of validated samples, each with their codes as CSR."""

    @abstractmethod
    def _what_silences(self, X):
        """Return the end of the warning that all codes are zero, why that is and what helps; None for no warning."""

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

        Warns
        -----
        ConvergenceWarning
            If codes are solutions of a problem and samples miss its tolerance; it tells how many, why, and what helps.
        UserWarning
            If all codes are zero, and ten samples or more are not.
        """
        X = self._check_samples(X)
        try:
            codes = self._encode(X)
        except MemoryError as error:
            if not self.sparse_output:
                n_bytes = len(X) * self._n_features_out * X.itemsize
                error.add_note(
                    f"Dense codes of {len(X)} samples over {self._n_features_out} components alone take "
                    f"{n_bytes / 1e9:.2g} GB. sparse_output=True keeps the non-zeros only."
                )
            raise
        self._warn_of_silence(X, codes)
        return codes

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
        check_ready(self)
        codes = check_array(X, accept_sparse="csr", dtype=FLOATS, input_name="X")
        if codes.shape[1] != self.components_.shape[0]:
            raise ValueError(
                f"X must hold codes over n_components={self.components_.shape[0]} components, got {codes.shape[1]}."
            )
        return self._reconstruction(codes)

    def score(self, X: ArrayLike, y=None) -> float:
        """Return minus the share of variance that the codes leave unexplained; higher is better, 0 is perfect.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples; they are coded in blocks, and only the codes of one block are kept, as CSR.
        y : ignored
            Present for API consistency.

        Returns
        -------
        score : float
            ``-unexplained_variance(X, reconstruction, mean=mean_)``, with the mean of the training data.
        """
        X = self._check_samples(X)
        return -self._unexplained_by(self._sparse_blocks(X), X)

    def _unexplained_by(self, coded, X):
        """Return the share of variance that is left by codes, as pairs of a slice of samples and the codes of these."""
        unexplained = UnexplainedVariance(self.mean_)
        for part, codes in coded:
            unexplained.add(X[part], self._reconstruction(codes))
        return unexplained.share()

    def _reconstruction(self, codes):
        return np.asarray(codes @ self.components_.astype(codes.dtype)) + self.offset_.astype(codes.dtype)

    def _check_samples(self, X):
        check_ready(self)
        return validate_data(self, X, dtype=FLOATS, reset=False)

    def _check_training_samples(self, X):
        return validate_data(self, X, dtype=FLOATS, order="C")

    def _warn_of_silence(self, X, codes):
        """Warn if a call has found no code for any of its samples, although there are enough that are not zero."""
        if len(X) < _ENOUGH or (codes.nnz if sp.issparse(codes) else codes[:_ENOUGH].any() or codes.any()):
            return
        rounding = 2 * np.finfo(X.dtype).eps  # of a sample that is the offset
        n_samples = sum(
            np.count_nonzero(np.abs(X[part] - self.offset_).max(axis=1) > rounding * np.abs(X[part]).max(axis=1))
            for part in blocks(len(X))
        )
        if n_samples >= _ENOUGH:
            cause = self._what_silences(X)
            if cause is not None:
                warn(f"all codes of {n_samples} samples that are not zero are zero{cause}")

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


def blocks(n_samples):
    """Yield slices of samples, large enough for any coder to work at full speed."""
    for start in range(0, n_samples, _ROWS_AT_ONCE):
        yield slice(start, start + _ROWS_AT_ONCE)
