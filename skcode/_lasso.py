"""The problem with the L1 penalty, stated once, with its certificate.

Per sample, with no hidden ``1/n``::

    P(z) = 1/2 ||x - z D||^2 + alpha * sum_j |z_j|        (z >= 0 when positive)

Everything here takes plain arrays, works in float64 whatever comes in, and checks nothing.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
import scipy.sparse as sp
import scipy.sparse.linalg

# Above this size of the smaller Gram matrix a Lanczos iteration replaces the full eigendecomposition.
_DENSE_EIGENVALUES_UP_TO = 512
# A Lanczos value converges from below; the step 1/L must not be too long.
_LANCZOS_SAFETY = 1.001
# Sums of squares below this lose digits, because the squares are not normal numbers any more.
_LEAST_HALF_SQUARE = float(np.finfo(np.float64).tiny / np.finfo(np.float64).eps)


def half_squared_norms(X: np.ndarray) -> np.ndarray:
    """Return ``1/2 ||x||^2`` of each sample in float64, shape ``(n_samples,)``; NaN where float64 cannot tell it.

    Where squares overflow, or vanish although the sample is not zero, nothing relative to them can be certified.
    """
    with np.errstate(over="ignore"):
        half = 0.5 * np.einsum("ij,ij->i", X, X, dtype=np.float64)
    doubtful = np.flatnonzero(~((half >= _LEAST_HALF_SQUARE) & (half < np.inf)))
    if doubtful.size:
        half[doubtful] = np.where(X[doubtful].any(axis=1), np.nan, 0.0)
    return half


def residual(X, codes, dictionary):
    """Return ``X - codes @ dictionary`` in float64; ``codes`` may be sparse."""
    return _float64(X) - _float64(codes) @ _float64(dictionary)


def objective(
    X: np.ndarray, codes: np.ndarray | sp.csr_array, dictionary: np.ndarray, alpha: float, positive: bool = True
) -> np.ndarray:
    """Return ``P(z)`` per sample, shape ``(n_samples,)``; infinite where ``positive`` is violated."""
    value = 0.5 * _squared_norms(residual(X, codes, dictionary)) + alpha * _row_sums(abs(codes))
    return np.where(_feasible(codes, positive), value, np.inf)


def duality_gap(
    X: np.ndarray, codes: np.ndarray | sp.csr_array, dictionary: np.ndarray, alpha: float, positive: bool = True
) -> np.ndarray:
    """Return the duality gap per sample, relative to ``1/2 ||x||^2``, shape ``(n_samples,)``.

    With ``r = x - z D`` and ``c = max_j d_j . r`` (of absolute values when signed), the dual point is ``r`` shrunk into
    the feasible set, ``theta = r * min(1, alpha / c)``, and the gap ``P(z) - 1/2 ||x||^2 + 1/2 ||x - theta||^2``.
    It is NaN where ``||x||^2`` overflows, or vanishes although the sample is not zero.
    """
    X = _float64(X)
    rest = residual(X, codes, dictionary)
    correlation = rest @ _float64(dictionary).T
    steepest = (correlation if positive else np.abs(correlation)).max(axis=1)
    with np.errstate(divide="ignore"):
        shrink = np.where(steepest <= alpha, 1.0, alpha / steepest)
    half = half_squared_norms(X)
    primal = 0.5 * _squared_norms(rest) + alpha * _row_sums(abs(codes))
    gap = np.maximum(primal - half + 0.5 * _squared_norms(X - shrink[:, None] * rest), 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(gap == 0.0, 0.0, gap / half)
    return np.where(_feasible(codes, positive), relative, np.inf)


def alpha_max(X: np.ndarray, dictionary: np.ndarray, positive: bool = True) -> np.ndarray:
    """Return, per sample, the smallest ``alpha`` whose optimal code is zero, shape ``(n_samples,)``."""
    correlation = _float64(X) @ _float64(dictionary).T
    return np.maximum(correlation if positive else np.abs(correlation), 0.0).max(axis=1)


def lipschitz(dictionary: np.ndarray) -> float:
    """Return ``||D||_2^2``, the Lipschitz constant of the gradient of the smooth part, never too small."""
    dictionary = _float64(dictionary)
    gram = dictionary.T @ dictionary if dictionary.shape[1] < dictionary.shape[0] else dictionary @ dictionary.T
    size = gram.shape[0]
    if size <= _DENSE_EIGENVALUES_UP_TO:
        return float(scipy.linalg.eigvalsh(gram, subset_by_index=[size - 1, size - 1])[0])
    if not gram.any():
        return 0.0
    # Fixed, so that the same dictionary always gives the same step; random, so as not to be orthogonal to what is
    # sought, as a constant start would be to atoms of zero mean.
    start = np.random.RandomState(0).standard_normal(size)
    largest = scipy.sparse.linalg.eigsh(gram, k=1, v0=start, tol=1e-5, return_eigenvectors=False)[0]
    return float(largest) * _LANCZOS_SAFETY


def _float64(array):
    return array.astype(np.float64, copy=False)


def _squared_norms(rows):
    return np.einsum("ij,ij->i", rows, rows)


def _row_sums(matrix):
    return np.asarray(matrix.sum(axis=1, dtype=np.float64)).ravel()


def _feasible(codes, positive):
    if not positive:
        return np.ones(codes.shape[0], dtype=bool)
    lowest = codes.min(axis=1)
    lowest = lowest.toarray() if hasattr(lowest, "toarray") else lowest
    return np.asarray(lowest).ravel() >= 0
