"""The entrance to every solver: a dictionary with what is computed from it once, and a look at all that comes in."""

from __future__ import annotations

import sys
from numbers import Integral, Real

import numpy as np
import scipy.sparse as sp

from .._lasso import lipschitz
from .._parallel import fork_safe_lock
from .._validation import check_indices
from ..penalties import PENALTIES

_BOOLEANS = bool, np.bool_

TILE = 32  # atoms; padded dictionaries are whole tiles
_CACHED_GRAM_BYTES = 1 << 24  # Gram matrices up to this size pay whatever the number of features,
_LARGEST_GRAM_BYTES = 1 << 30  # others up to this size
_FEATURES_FOR_LARGE_GRAM = 256  # and from this number of features, where products with the dictionary are dear
_SAMPLES_PER_ATOM = 1 / 16  # of a call, from which the Gram matrix is used


class PreparedDictionary:
    """A dictionary with its derived arrays, each computed when first asked for.

    Solvers take it in place of an array, so that several calls share the work. It may be used by several threads;
    pickles hold the dictionary only.

    Parameters
    ----------
    components : ndarray of shape (n_components, n_features)
        Atoms in rows. Those of zeros have no codes; of a dictionary of zeros, all codes are zero.

    Raises
    ------
    TypeError
        If ``components`` is not an array of real numbers.
    ValueError
        If it has not two dimensions, or no atoms or features.
    """

    def __init__(self, components: np.ndarray):
        if not _is_numeric(components):
            raise TypeError(f"dictionary must be an array of real numbers, got {_kind(components)}.")
        if components.ndim != 2 or 0 in components.shape:
            raise ValueError(
                f"dictionary must have shape (n_components, n_features), at least (1, 1), got {components.shape}."
            )
        self.components = components
        self._forget()

    def _forget(self):
        self._lock = fork_safe_lock()
        self._made = {}

    def __getstate__(self):
        return self.components

    def __setstate__(self, components):
        self.__init__(components)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of atoms and of features."""
        return self.components.shape

    def padded(self, dtype) -> np.ndarray:
        """Return the atoms in ``dtype``, followed by zero atoms up to a whole number of tiles."""
        return self._once("padded", dtype, self._pad)

    def exact(self, dtype) -> np.ndarray:
        """Return the atoms of `padded` as they came, for samples of ``dtype``: certificates speak of these atoms.

        In float32 if neither is finer, else in float64.
        """
        finer = np.result_type(dtype, self.components.dtype)
        return self.padded(np.float32 if finer == np.float32 else np.float64)

    def squared_norms(self, dtype) -> np.ndarray:
        """Return the squared norm of each atom of `padded`, in float64."""
        return self._once("norms", dtype, lambda dtype: _squared_norms(self.padded(dtype)))

    def gram(self, dtype, n_samples: int) -> np.ndarray | None:
        """Return ``padded @ padded.T`` if that pays for a call with ``n_samples``, and None if not.

        The answer depends on sizes only, and not on what was computed before, so that equal calls take equal steps.
        """
        n_atoms, n_features = self.padded(dtype).shape
        n_bytes = n_atoms**2 * np.dtype(dtype).itemsize
        fits = n_bytes <= (_LARGEST_GRAM_BYTES if n_features >= _FEATURES_FOR_LARGE_GRAM else _CACHED_GRAM_BYTES)
        return self._once("gram", dtype, self._multiply) if fits and n_samples >= _SAMPLES_PER_ATOM * n_atoms else None

    def step(self) -> float:
        """Return the longest safe step of proximal gradient, ``1 / ||D||_2^2``; 1 if all atoms are zero."""
        curvature = self._once("curvature", None, lambda _: lipschitz(self.components))
        return 1.0 / curvature if curvature > 0 else 1.0

    def _once(self, name, dtype, make):
        key = name, dtype and np.dtype(dtype)
        with self._lock:
            if key not in self._made:
                self._made[key] = make(dtype)
            return self._made[key]

    def _pad(self, dtype):
        n_components, n_features = self.components.shape
        padded = np.zeros((-(-n_components // TILE) * TILE, n_features), dtype=dtype)
        padded[:n_components] = self.components
        return padded

    def _multiply(self, dtype):
        padded = self.padded(dtype)
        return padded @ padded.T.copy()  # as a general product: copying the halves of a symmetric one costs more


def prepare(
    dictionary: np.ndarray | PreparedDictionary,
    X: np.ndarray,
    codes: np.ndarray | sp.csr_array | None = None,
    name: str = "codes",
    *,
    offset: np.ndarray | None = None,
) -> PreparedDictionary:
    """Return ``dictionary`` as a `PreparedDictionary`, after a look at whether samples, codes and offset fit it.

    Samples need not be finite: those that are not are returned with a certificate of NaN.
    """
    prepared = dictionary if isinstance(dictionary, PreparedDictionary) else PreparedDictionary(dictionary)
    n_components, n_features = prepared.shape
    if not isinstance(X, np.ndarray) or X.dtype not in (np.float32, np.float64):
        raise TypeError(f"X must be an array of float32 or float64, got {_kind(X)}.")
    if X.ndim != 2 or X.shape[1] != n_features:
        raise ValueError(f"X must have shape (n_samples, {n_features}), as the dictionary has, got {X.shape}.")
    if not np.isfinite(prepared.squared_norms(X.dtype)).all():
        raise ValueError("dictionary must be finite, also in its squares; it contains NaN, infinity or huge values.")
    if codes is not None:
        _check_codes(codes, (len(X), n_components), name)
    if offset is not None:
        if not _is_numeric(offset) or not np.isfinite(offset).all():
            raise ValueError(f"offset must be an array of finite numbers, got {_kind(offset)} {offset!r:.60}.")
        if offset.shape != (n_features,):
            raise ValueError(f"offset must have shape ({n_features},), one value a feature, got {offset.shape}.")
    return prepared


def check_options(*, alpha=1.0, tol=0.0, max_iter=0, n_jobs=None, **flags) -> None:
    """Raise if a number of a call is not what it is to be, or one of ``flags`` is not a boolean."""
    check_number("alpha", alpha, Real, lambda value: 0 < value < np.inf, "a number, positive and finite")
    check_number("tol", tol, Real, lambda value: value >= 0, "a number, at least 0")
    check_number(
        "max_iter", max_iter, Integral, lambda value: 0 <= value <= sys.maxsize, "an integer from 0 to 2**63-1"
    )
    if n_jobs is not None:
        check_number("n_jobs", n_jobs, Integral, lambda value: value != 0, "None or an integer other than 0")
    for name, flag in flags.items():
        if not isinstance(flag, _BOOLEANS):
            raise TypeError(f"{name} must be True or False, got {flag!r}.")


def check_penalty(penalty):
    """Return a penalty with its numbers as floats, or raise if it is none, or they are out of bounds."""
    if type(penalty) not in PENALTIES.values():
        names = ", ".join(kind.__name__ for kind in PENALTIES.values())
        raise TypeError(f"penalty must be one of skcode.penalties ({names}), got {_kind(penalty)}.")
    check_options(alpha=penalty.alpha)
    for name, value, bound in zip(penalty._fields, penalty, penalty.above, strict=True):
        check_number(name, value, Real, lambda value, bound=bound: value > bound, f"a number above {bound:g}")
    return type(penalty)(*map(float, penalty))


def check_number(name, value, kind, holds, wanted):
    """Raise if a number is not of a kind, or a condition does not hold for it."""
    if isinstance(value, _BOOLEANS) or not isinstance(value, kind):
        raise TypeError(f"{name} must be {wanted}, got {_kind(value)} {value!r:.60}.")
    try:
        number = float(value) if kind is Real else value
    except OverflowError:
        raise ValueError(f"{name} must be {wanted}, got one too large for a float.") from None
    if not holds(number):
        raise ValueError(f"{name} must be {wanted}, got {value!s:.60}.")


def _check_codes(codes, shape, name):
    if sp.issparse(codes) and codes.format == "csr":
        check_indices(codes, name)
        entries = codes.data
    else:
        entries = codes
    if not _is_numeric(entries):
        raise TypeError(f"{name} must be an array or a CSR array of real numbers, got {_kind(codes)}.")
    if entries is not codes and not entries.dtype.isnative:
        raise TypeError(f"{name} must hold numbers in the byte order of this machine, got CSR data of {entries.dtype}.")
    if codes.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {codes.shape}.")
    if not np.isfinite(entries).all():
        raise ValueError(f"{name} must be finite; it contains NaN or infinity.")


def _is_numeric(array):
    return isinstance(array, np.ndarray) and array.dtype.kind in "biuf"


def _kind(value):
    """Return what a value is, in a word: the dtype of an array, the type of anything else."""
    return str(value.dtype) if isinstance(value, np.ndarray) else type(value).__name__


def centred(X: np.ndarray, offset: np.ndarray | None) -> np.ndarray:
    """Return a copy of a chunk of samples without the offset, subtracted in the finer of both dtypes."""
    return np.array(X, order="C") if offset is None else np.subtract(X, offset, order="C").astype(X.dtype, copy=False)


def start_codes(codes: np.ndarray | sp.csr_array, dtype) -> sp.csr_array:
    """Return a chunk of given codes as a CSR array with one entry for each code."""
    if not sp.issparse(codes):
        codes = np.asarray(codes, dtype)  # scipy takes no bytes in foreign order
    codes = sp.csr_array(codes).astype(dtype, copy=False)
    if not codes.has_canonical_format:
        codes = codes.copy()
        codes.sum_duplicates()
    return codes


def is_cached_size(gram: np.ndarray) -> bool:
    """Tell whether rows of ``gram`` are likely to be read from a cache."""
    return gram.nbytes <= _CACHED_GRAM_BYTES


def _squared_norms(atoms):
    return np.einsum("ij,ij->i", atoms, atoms, dtype=np.float64)
