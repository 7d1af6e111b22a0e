"""Codes along a sequence of penalties, and the penalty that gives a wanted sparsity."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from .._lasso import alpha_max
from ._prepared import PreparedDictionary, centred, prepare
from ._result import CodingResult
from .working_set import working_set

_ROWS_AT_ONCE = 1024
_SMALLEST_SHARE = 1e-4  # of the largest useful alpha of a sample, below which nothing is sparse
_L0_TOLERANCE = 0.015  # relative; leaves room below the 2 % that are promised
_MOST_TRIALS = 60


def coding_path(
    X: np.ndarray,
    dictionary: np.ndarray | PreparedDictionary,
    alphas: Iterable[float],
    *,
    positive: bool = True,
    max_iter: int = 1000,
    tol: float = 1e-4,
    offset: np.ndarray | None = None,
    n_jobs: int | None = None,
) -> Iterator[CodingResult]:
    """Yield the optimal codes, as CSR, for one penalty after the other, each starting from the last.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), float32 or float64
        Data.
    dictionary : ndarray of shape (n_components, n_features) or PreparedDictionary
        Atoms in rows.
    alphas : iterable of float
        Penalties, positive; cheapest in decreasing order.
    positive : bool, default=True
        Whether codes must be non-negative.
    max_iter : int, default=1000
        Most rounds per sample and penalty.
    tol : float, default=1e-4
        Bound on the relative duality gap of each sample, for each penalty.
    offset : ndarray of shape (n_features,), optional
        Subtracted from every sample.
    n_jobs : int, optional
        Threads, or workers of the active joblib backend.

    Yields
    ------
    result : CodingResult
        As `working_set` returns it.
    """
    prepared = prepare(dictionary, X)
    codes = None
    for alpha in alphas:
        result = working_set(
            X, prepared, alpha, positive=positive, max_iter=max_iter, tol=tol, codes_init=codes, offset=offset,
            sparse_output=True, n_jobs=n_jobs,
        )  # fmt: skip
        codes = result.codes
        yield result


def largest_alpha(
    X: np.ndarray,
    dictionary: np.ndarray | PreparedDictionary,
    *,
    positive: bool = True,
    offset: np.ndarray | None = None,
) -> float:
    """Return the smallest penalty for which the codes of all samples are zero."""
    return float(_largest_of_each(X, prepare(dictionary, X), positive, offset).max())


def _largest_of_each(X, prepared, positive=True, offset=None):
    """Return `alpha_max` of each sample, in chunks."""
    chunks = (centred(X[start : start + _ROWS_AT_ONCE], offset) for start in range(0, len(X), _ROWS_AT_ONCE))
    return np.concatenate([alpha_max(chunk, prepared.components, positive) for chunk in chunks])


def alpha_for_l0(
    X: np.ndarray,
    dictionary: np.ndarray | PreparedDictionary,
    target_l0: float,
    **options,
) -> float:
    """Return the penalty for which samples have ``target_l0`` non-zeros on average, to within 2 %.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), float32 or float64
        Data.
    dictionary : ndarray of shape (n_components, n_features) or PreparedDictionary
        Atoms in rows.
    target_l0 : float
        Mean number of non-zeros wanted, positive.
    **options
        ``positive``, ``max_iter``, ``tol``, ``offset`` and ``n_jobs`` of `coding_path`.

    Returns
    -------
    alpha : float
        Found by bisection of its logarithm, between the largest useful penalty of all samples and 1e-4 of the median
        one.

    Raises
    ------
    ValueError
        If the target is out of reach; the message gives the range, or the jump, that contains it.
    """
    prepared = prepare(dictionary, X)
    where = {name: options[name] for name in ("positive", "offset") if name in options}
    largest = _largest_of_each(X, prepared, **where)
    high = float(largest.max())
    if high == 0.0:
        raise ValueError(f"target_l0={target_l0:g} cannot be reached: no sample correlates with any atom.")
    # A typical sample sets the lower end: one sample of enormous norm must not lift it above all others.
    low, l0_high = _SMALLEST_SHARE * float(np.median(largest[largest > 0])), 0.0

    def mean_l0(alpha):
        (result,) = coding_path(X, prepared, [alpha], **options)
        return result.codes.nnz / len(X)

    l0_low = mean_l0(low)
    if target_l0 > l0_low * (1 + _L0_TOLERANCE):
        raise ValueError(
            f"target_l0={target_l0:g} cannot be reached: the mean number of non-zeros lies between 0 "
            f"(alpha={high:.3g}) and {l0_low:.4g} (alpha={low:.3g})."
        )
    if abs(l0_low - target_l0) <= _L0_TOLERANCE * target_l0:
        return low
    for _ in range(_MOST_TRIALS):
        alpha = float(np.sqrt(low * high))
        l0 = mean_l0(alpha)
        if abs(l0 - target_l0) <= _L0_TOLERANCE * target_l0:
            return alpha
        if l0 > target_l0:
            low, l0_low = alpha, l0
        else:
            high, l0_high = alpha, l0
    raise ValueError(
        f"target_l0={target_l0:g} cannot be reached to within 2 %: the mean number of non-zeros of {len(X)} samples "
        f"jumps from {l0_high:g} to {l0_low:g} at alpha={alpha:.6g}."
    )
