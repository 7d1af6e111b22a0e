"""Validation of parameters and arrays: the only file that touches scikit-learn's private names."""

from __future__ import annotations

import functools
from numbers import Integral, Real

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike
from sklearn.base import _fit_context
from sklearn.utils import check_array as _check_array
from sklearn.utils import check_consistent_length
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions, validate_params
from sklearn.utils.validation import check_is_fitted, check_random_state, validate_data

__all__ = [
    "FLOATS",
    "ArrayLike",
    "HasMethods",
    "MatrixLike",
    "StrOptions",
    "check_array",
    "check_codes",
    "check_consistent_length",
    "check_dictionary",
    "check_indices",
    "check_is_fitted",
    "check_offset",
    "check_parameters",
    "check_random_state",
    "check_start",
    "check_true_codes",
    "derived_random_state",
    "fit_context",
    "integers_from",
    "open_unit_interval",
    "positive_real",
    "real_from",
    "unit_interval",
    "validate_data",
    "validate_params",
]

FLOATS = [np.float64, np.float32]
MatrixLike = ArrayLike | sp.sparray | sp.spmatrix


def fit_context(*, prefer_skip_nested_validation):
    """Return a decorator: scikit-learn's, and a call that fails leaves the estimator as it was."""

    def decorate(method):
        validated = _fit_context(prefer_skip_nested_validation=prefer_skip_nested_validation)(method)

        @functools.wraps(method)
        def undone_if_it_fails(estimator, *args, **kwargs):
            before = estimator.__dict__.copy()
            try:
                return validated(estimator, *args, **kwargs)
            except BaseException:
                estimator.__dict__.clear()
                estimator.__dict__.update(before)
                raise

        return undone_if_it_fails

    return decorate


def positive_real():
    """Return the constraint of a parameter that is a finite real number above 0."""
    return Interval(Real, 0, None, closed="neither")


def open_unit_interval():
    """Return the constraint of a parameter that is a real number between 0 and 1, neither included."""
    return Interval(Real, 0, 1, closed="neither")


def unit_interval():
    """Return the constraint of a parameter that is a real number from 0 to 1."""
    return Interval(Real, 0, 1, closed="both")


def real_from(lowest):
    """Return the constraint of a parameter that is a finite real number, at least ``lowest``."""
    return Interval(Real, lowest, None, closed="left")


def integers_from(lowest):
    """Return the constraint of a parameter that is an integer, at least ``lowest``."""
    return Interval(Integral, lowest, None, closed="left")


def derived_random_state(random_state):
    """Return a RandomState of its own, determined by ``random_state``.

    For random dictionaries: people draw the true one from ``RandomState(0)`` and pass ``random_state=0``, and would get
    the truth back as starting point or as chance level.
    """
    return np.random.RandomState(check_random_state(random_state).randint(2**31 - 1))


def check_parameters(estimator):
    """Raise if a parameter of an estimator, of skcode or scikit-learn, is not what it is to be."""
    if hasattr(estimator, "_validate_params"):
        estimator._validate_params()


def check_array(array, **options):
    """Do as scikit-learn does, after a look at the indices of a sparse array."""
    if sp.issparse(array):
        check_indices(array, options.get("input_name") or "array")
    return _check_array(array, **options)


def check_indices(matrix, name):
    """Raise if a sparse matrix has indices outside its shape: compiled code, SciPy's too, follows them anywhere."""
    if matrix.format == "coo":
        pairs = zip(matrix.coords, matrix.shape, strict=True)
    elif matrix.format in ("csr", "csc"):
        n_rows, n_columns = matrix.shape if matrix.format == "csr" else matrix.shape[::-1]
        indptr, n_stored = matrix.indptr, min(len(matrix.indices), len(matrix.data))
        whole = len(indptr) == n_rows + 1 and indptr[0] == 0 and indptr[-1] <= n_stored
        if not whole or (indptr[1:] < indptr[:-1]).any():
            raise ValueError(
                f"{name} is a malformed sparse array: indptr must rise from 0 to at most {n_stored} in {n_rows} steps."
            )
        pairs = [(matrix.indices[: indptr[-1]], n_columns)]
    else:
        return
    for indices, size in pairs:
        if len(indices) and not (indices.min() >= 0 and indices.max() < size):
            raise ValueError(
                f"{name} is a malformed sparse array of shape {matrix.shape}: indices must be at least 0 and below "
                f"{size}, got {indices.min()} to {indices.max()}."
            )


def check_dictionary(dictionary, n_features=None, name="dictionary"):
    """Return ``dictionary`` as a fresh C-ordered float array of shape ``(n_components, n_features)``, or raise."""
    dictionary = check_array(dictionary, dtype=FLOATS, order="C", copy=True, input_name=name)
    if n_features is not None and dictionary.shape[1] != n_features:
        raise ValueError(
            f"{name} has shape {dictionary.shape}, one atom of {dictionary.shape[1]} features per row; "
            f"X has {n_features} features."
        )
    return dictionary


def check_start(dictionary_init, n_components, n_features):
    """Return the number of components, by default twice that of features, and the atoms to start from, or None."""
    if dictionary_init is None:
        return 2 * n_features if n_components is None else n_components, None
    atoms = check_dictionary(dictionary_init, n_features, name="dictionary_init")
    if n_components not in (None, len(atoms)):
        raise ValueError(f"dictionary_init has {len(atoms)} atoms but n_components={n_components}.")
    return len(atoms), atoms


def check_offset(offset, X):
    """Return the offset to subtract from samples, shape ``(n_features,)``: zeros, a given vector, or the mean."""
    if offset is None:
        return np.zeros(X.shape[1], dtype=X.dtype)
    if isinstance(offset, str):
        return X.mean(axis=0, dtype=np.float64).astype(X.dtype)
    offset = check_array(offset, dtype=FLOATS, ensure_2d=False, copy=True, input_name="offset")
    if offset.shape != (X.shape[1],):
        raise ValueError(f"offset must be a vector of n_features={X.shape[1]} values, got shape {offset.shape}.")
    return offset


def check_codes(codes, name):
    """Return codes as a float array or CSR matrix of shape ``(n_samples, n_components)``."""
    return check_array(codes, accept_sparse="csr", dtype=FLOATS, input_name=name)


def check_true_codes(y, n_samples, estimator):
    """Return the true codes behind ``y`` (2-D, CSR, or 1-D for one component) as ``(n_samples, n_components)``."""
    if y is None:
        raise ValueError(
            f"{estimator} requires y to be passed, but the target y is None: y must be the true codes of X."
        )
    y = check_array(y, accept_sparse="csr", dtype=FLOATS, ensure_2d=False, input_name="y")
    if y.ndim == 1:
        y = y.reshape(-1, 1)
    if y.shape[0] != n_samples:
        raise ValueError(f"y must hold one row of codes per sample: X has {n_samples} samples, y has {y.shape[0]}.")
    return y if not sp.issparse(y) else sp.csr_array(y)
