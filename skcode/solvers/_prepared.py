"""What can be computed from a dictionary once and used for every sample."""

from __future__ import annotations

import numpy as np

from .._lasso import lipschitz
from .._parallel import fork_safe_lock

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
        Atoms in rows.
    """

    def __init__(self, components: np.ndarray):
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
    dictionary: np.ndarray | PreparedDictionary, X: np.ndarray, codes=None, name: str = "codes"
) -> PreparedDictionary:
    """Return ``dictionary`` as a `PreparedDictionary`, after a look at whether samples and their codes fit it."""
    prepared = dictionary if isinstance(dictionary, PreparedDictionary) else PreparedDictionary(dictionary)
    n_components, n_features = prepared.shape
    if getattr(X, "dtype", None) not in (np.float32, np.float64):
        raise TypeError(f"X must be an array of float32 or float64, got {getattr(X, 'dtype', type(X).__name__)}.")
    if X.ndim != 2 or X.shape[1] != n_features:
        raise ValueError(f"X must have shape (n_samples, {n_features}), as the dictionary has, got {X.shape}.")
    if not np.isfinite(prepared.squared_norms(X.dtype)).all():
        raise ValueError("dictionary must be finite, also in its squares; it contains NaN, infinity or huge values.")
    if codes is not None and np.shape(codes) != (len(X), n_components):
        raise ValueError(f"{name} must have shape {(len(X), n_components)}, got {np.shape(codes)}.")
    return prepared


def check_penalty(alpha: float, tol: float) -> None:
    """Raise if there is no problem with such a penalty, or no such tolerance."""
    if not 0 < alpha < np.inf:
        raise ValueError(f"alpha must be positive and finite, got {alpha}.")
    if not tol >= 0:
        raise ValueError(f"tol must be at least 0, got {tol}.")


def centred(X: np.ndarray, offset: np.ndarray | None) -> np.ndarray:
    """Return a copy of a chunk of samples without the offset, subtracted in the finer of both dtypes."""
    return np.array(X, order="C") if offset is None else np.subtract(X, offset, order="C").astype(X.dtype, copy=False)


def is_cached_size(gram: np.ndarray) -> bool:
    """Tell whether rows of ``gram`` are likely to be read from a cache."""
    return gram.nbytes <= _CACHED_GRAM_BYTES


def _squared_norms(atoms):
    return np.einsum("ij,ij->i", atoms, atoms, dtype=np.float64)
