"""Validation of parameters and arrays: the only file that touches scikit-learn's private names.

The rule for arrays, of every estimator and metric: float32 and float64 stay what they are, from numpy, data frames and
tensors of other libraries alike, in any byte order; all else becomes float64. An error names the parameter. The rule
for parameters: every public method checks them, not only `fit`, because ``set_params`` may have come between.
"""

from __future__ import annotations

import functools
import operator
import re
import sys
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral, Real
from os import PathLike

import numpy as np
import scipy.sparse as sp
import sklearn.utils
import sklearn.utils.validation
from numpy.typing import ArrayLike
from sklearn import get_config
from sklearn.base import _fit_context
from sklearn.utils import check_consistent_length
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    InvalidParameterError,
    StrOptions,
    validate_params,
)
from sklearn.utils.validation import check_is_fitted, check_random_state

from ._parallel import single_threaded_blas

__all__ = [
    "FLOATS",
    "N_JOBS",
    "ArrayLike",
    "CheckedParameters",
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
    "check_ready",
    "check_start",
    "check_true_codes",
    "check_unchanged",
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
N_JOBS = [None, Interval(Integral, None, -1, closed="right"), Interval(Integral, 1, None, closed="left")]


_passed = weakref.WeakKeyDictionary()  # estimators, with the values of their parameters that are what they are to be


class CheckedParameters:
    """Mixin of estimators whose public methods all check the parameters, by `fit_context` or `check_ready`."""

    def _validate_params(self):
        """Raise if a parameter by itself, or together with another, is not what it is to be.

        scikit-learn calls this before `fit`. What has passed is not looked at again until it is another object, so that
        the other methods can afford it.
        """
        names = tuple(type(self)._parameter_constraints)
        values = [getattr(self, name) for name in names]
        passed = _passed.get(self)
        if passed is None or not all(map(operator.is_, passed, values)):
            try:
                super()._validate_params()
            except InvalidParameterError as error:
                raise InvalidParameterError(f"{error}{_hint(self, str(error))}") from None
            _passed[self] = values
        self._check_combinations()

    def _check_combinations(self):
        """Raise if parameters do not go together; for subclasses."""

    def _what_fills_memory(self):
        """Return what learning needs much memory for, to be added to an error, or None; for subclasses."""
        return None


def _hint(estimator, message):
    """Return what may have been meant by the value that a message is about."""
    name = message.split("'")[1]
    value = getattr(estimator, name)
    if name == "dictionary" and hasattr(value, "get_params"):
        return f" If it is fitted, give dictionary={type(value).__name__.lower()}.components_, and offset=its offset_."
    if name == "dictionary" and isinstance(value, Integral) and hasattr(estimator, "n_components"):
        return f" The number of components is n_components={value}."
    if name == "solver" and isinstance(value, str) and hasattr(estimator, "target_l0"):
        return " All of them minimise the penalised objective. For a number of non-zeros, give target_l0."
    if "array-like" in estimator._parameter_constraints[name] and isinstance(value, str | PathLike):
        return " A file must be loaded first, with np.load or whatever reads it."
    return ""


def check_parameters(estimator):
    """Raise if a parameter of an estimator, of skcode or scikit-learn, is not what it is to be."""
    if hasattr(estimator, "_validate_params"):
        estimator._validate_params()


def check_ready(estimator):
    """Raise unless an estimator is fitted and its parameters, which may have changed since, are what they are to be."""
    check_is_fitted(estimator)
    if not get_config()["skip_parameter_validation"]:
        check_parameters(estimator)


def fit_context(*, prefer_skip_nested_validation):
    """Return a decorator of methods that learn: scikit-learn's, and two things more.

    Linear algebra has one thread, because sums come out differently with more, and with them what is learned.

    A call that fails leaves the estimator as it was. Its attributes are put back, and the lists and dictionaries among
    them as they were. Arrays and objects are put back as well, but not copied: a method must not change one in place
    that an attribute refers to, but make another, and set it when it is whole.
    """

    def decorate(method):
        validated = _fit_context(prefer_skip_nested_validation=prefer_skip_nested_validation)(method)

        @functools.wraps(method)
        def undone_if_it_fails(estimator, *args, **kwargs):
            parameters = estimator._get_param_names()
            before = {
                name: value if name in parameters else _with_own_containers(value)
                for name, value in vars(estimator).items()
            }
            try:
                if method.__name__ == "partial_fit" and not get_config()["skip_parameter_validation"]:
                    check_parameters(estimator)  # scikit-learn does so before the first block only
                with single_threaded_blas():
                    return validated(estimator, *args, **kwargs)
            except BaseException as error:
                estimator.__dict__.clear()
                estimator.__dict__.update(before)
                told = estimator._what_fills_memory() if isinstance(error, MemoryError) else None
                if told is not None:
                    error.add_note(told)
                raise

        return undone_if_it_fails

    return decorate


def _with_own_containers(value):
    """Return a value with lists and dictionaries copied, at any depth, and all else as it is."""
    if type(value) is dict:
        return {key: _with_own_containers(each) for key, each in value.items()}
    if type(value) is list:
        return [_with_own_containers(each) for each in value] if any(map(_is_container, value)) else value.copy()
    return value


def _is_container(value):
    return type(value) in (dict, list)


class _Floats(Interval):
    """An interval without the integers that are too large for a float."""

    def __contains__(self, value):
        fits = not isinstance(value, Integral) or abs(value) <= sys.float_info.max
        return fits and super().__contains__(value)


class _Indices(Interval):
    """An interval without the integers that are too large for an index."""

    def __contains__(self, value):
        return super().__contains__(value) and value <= sys.maxsize

    def __str__(self):
        return super().__str__().replace("inf)", "2**63)")


def positive_real():
    """Return the constraint of a parameter that is a finite real number above 0."""
    return _Floats(Real, 0, None, closed="neither")


def open_unit_interval():
    """Return the constraint of a parameter that is a real number between 0 and 1, neither included."""
    return Interval(Real, 0, 1, closed="neither")


def unit_interval():
    """Return the constraint of a parameter that is a real number from 0 to 1."""
    return Interval(Real, 0, 1, closed="both")


def real_from(lowest):
    """Return the constraint of a parameter that is a finite real number, at least ``lowest``."""
    return _Floats(Real, lowest, None, closed="left")


def integers_from(lowest):
    """Return the constraint of a parameter that is an integer, at least ``lowest``."""
    return _Indices(Integral, lowest, None, closed="left")


def derived_random_state(random_state):
    """Return a RandomState of its own, determined by ``random_state``.

    For random dictionaries: people draw the true one from ``RandomState(0)`` and pass ``random_state=0``, and would get
    the truth back as starting point or as chance level.
    """
    return np.random.RandomState(check_random_state(random_state).randint(2**31 - 1))


def check_array(array, *, input_name, dtype="numeric", ensure_2d=True, **options):
    """Return an array as scikit-learn's function of this name does, by the rule for arrays above.

    A sparse matrix must be well-formed: kernels and scipy do not look at its indices again.
    """
    with _named(input_name):
        array = _readable(array, input_name, ensure_2d)
        return sklearn.utils.check_array(
            array, input_name=input_name, dtype=_native(array, dtype), ensure_2d=ensure_2d, **options
        )


def validate_data(estimator, X, *, dtype="numeric", **options):
    """Return the samples of an estimator as scikit-learn's function of this name does, by the rule for arrays above."""
    if isinstance(X, Iterator):
        whole = "to partial_fit" if hasattr(estimator, "partial_fit") else "to transform"
        raise TypeError(f"X must be an array, got {type(X).__name__!r}. Give its blocks {whole}, one at a time.")
    with _named("X"):
        X = _readable(X, "X", ensure_2d=True)
        return sklearn.utils.validation.validate_data(estimator, X, dtype=_native(X, dtype), **options)


@contextmanager
def _named(name):
    """Put the name of a parameter in front of what scikit-learn and numpy say about it, if it is not in there."""
    try:
        yield
    except (TypeError, ValueError) as error:
        if type(error) not in (TypeError, ValueError) or re.search(rf"\b{name}\b", str(error)):
            raise
        raise type(error)(f"{name}: {error}") from error
    except OverflowError as error:
        raise ValueError(f"{name} must hold numbers that a float can hold: {error}.") from error


def _readable(value, name, ensure_2d):
    """Return what is not yet an array as one, and leave data frames to scikit-learn; say what cannot be one."""
    if isinstance(value, str | bytes | PathLike):
        raise TypeError(f"{name} must be an array, got {value!r}. A file must be loaded first, as by np.load.")
    if isinstance(value, Iterator):
        raise TypeError(f"{name} must be an array, got {type(value).__name__!r}.")
    if sp.issparse(value):
        value = value if value.format in ("csr", "csc", "bsr", "coo") else value.tocsr()
        check_indices(value, name)
        return value
    if hasattr(value, "iloc") or hasattr(value, "columns"):
        return value
    if not isinstance(value, np.ndarray):
        value = _from_elsewhere(value, name)
    if ensure_2d and value.ndim != 2:
        raise ValueError(f"{name} must have 2 dimensions, got {_dimensions(value, name)}")
    return value


def _dimensions(array, name):
    if array.ndim == 0:
        return f"a single {type(array.item()).__name__}."
    if array.ndim == 1:
        return (
            f"shape {array.shape}. Reshape your data: {name}.reshape(1, -1) is a single row, {name}.reshape(-1, 1) a "
            "single column."
        )
    n_last = array.shape[-1]
    return f"shape {array.shape}. {name}.reshape(-1, {n_last}) has a row for each vector of {n_last}."


def _from_elsewhere(value, name):
    """Return the array behind a list, or a tensor of another library, in its own dtype."""
    if getattr(value, "requires_grad", False):
        raise TypeError(f"{name} requires a gradient, which is not passed on: give {name}.detach().")
    try:
        if not hasattr(value, "__array__") and hasattr(value, "__dlpack__"):
            return np.from_dlpack(value)
        return np.asarray(value)
    except (TypeError, RuntimeError, BufferError) as error:
        dtype = str(getattr(value, "dtype", ""))
        if "bfloat16" in dtype:
            raise TypeError(f"{name} is of {dtype}, which numpy does not have: give {name}.float().") from error
        raise TypeError(f"{name} must be an array in main memory, got {type(value).__name__!r}: {error}") from error


def _native(array, dtype):
    """Return the dtypes to take, so that floats of the other byte order keep their precision."""
    own = getattr(array, "dtype", None)
    if isinstance(own, np.dtype) and isinstance(dtype, list) and own.newbyteorder("=") in dtype:
        return own.newbyteorder("=")
    return dtype


def check_indices(matrix, name):
    """Raise if a sparse matrix has indices outside its shape: compiled code, SciPy's too, follows them anywhere."""
    if matrix.format == "coo":
        pairs = zip((matrix.row, matrix.col), matrix.shape, strict=True)
    else:
        n_rows, n_columns = (
            size // step for size, step in zip(matrix.shape, getattr(matrix, "blocksize", (1, 1)), strict=True)
        )
        if matrix.format == "csc":
            n_rows, n_columns = n_columns, n_rows
        indptr, n_stored = matrix.indptr, min(len(matrix.indices), len(matrix.data))
        whole = len(indptr) == n_rows + 1 and indptr[0] == 0 and indptr[-1] <= n_stored
        if not whole or (indptr[1:] < indptr[:-1]).any():
            raise ValueError(
                f"{name} is a malformed sparse array: indptr must rise from 0 to at most {n_stored} in {n_rows} steps."
            )
        pairs = [(matrix.indices[: indptr[-1]], n_columns)]
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
        hint = f" Its transpose would fit: give {name}.T." if dictionary.shape[0] == n_features else ""
        raise ValueError(
            f"{name} has shape {dictionary.shape}, one atom of {dictionary.shape[1]} features per row; "
            f"X has {n_features} features.{hint}"
        )
    return dictionary


def check_start(dictionary_init, n_components, n_features):
    """Return the number of components, by default twice that of features, and the atoms to start from, or None."""
    if dictionary_init is None:
        return 2 * n_features if n_components is None else n_components, None
    atoms = check_dictionary(dictionary_init, n_features, name="dictionary_init")
    if n_components not in (None, len(atoms)):
        raise ValueError(f"dictionary_init has {len(atoms)} atoms but n_components={n_components}.")
    if not atoms.any():
        raise ValueError("dictionary_init must hold atoms to start from, got zeros alone. Leave it out.")
    return len(atoms), atoms


def check_unchanged(estimator, n_components, **fitted):
    """Raise if a stream cannot go on: other atoms are assigned than so many, or parameters are not what was fitted."""
    n_assigned = len(estimator.components_)
    if n_assigned != n_components:
        raise ValueError(
            f"components_ was assigned with {n_assigned} atoms, but a stream goes on from the {n_components} that were "
            "fitted. Assign as many, or give dictionary_init to a clone."
        )
    for name, value in {"n_components": n_components, **fitted}.items():
        wanted = getattr(estimator, name)
        if wanted not in (None, value):
            raise ValueError(
                f"{name}={wanted!r} is not what was fitted ({value!r}), from which a stream goes on. Call fit, or use "
                "a clone."
            )


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
