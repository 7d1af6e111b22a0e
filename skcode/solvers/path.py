"""Codes along a sequence of penalties, and the penalty that gives a wanted sparsity."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from .._lasso import alpha_max
from ._prepared import PreparedDictionary, centred, prepare
from ._result import CodingResult
from .mcp import mcp
from .working_set import working_set

_ROWS_AT_ONCE = 1024
_SMALLEST_SHARE = 1e-4  # of the largest useful alpha of a sample, below which nothing is sparse
_FIRST_SHARE = 0.3  # of the median of them, where the search starts: few atoms are active there
_L0_TOLERANCE = 0.015  # relative; leaves room below the 2 % that are promised
_MOST_TRIALS = 150


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
    *,
    penalty: str = "l1",
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
    penalty : {"l1", "mcp"}, default="l1"
        Whose codes are counted: those of `working_set`, or of `mcp`.
    **options
        ``positive``, ``max_iter``, ``tol``, ``offset`` and ``n_jobs`` of either.

    Returns
    -------
    alpha : float
        Between the largest useful penalty of all samples and 1e-4 of the median one. The search comes from above, so
        that it costs about ten times what codes of the wanted sparsity cost.

    Raises
    ------
    ValueError
        If the target is not positive or out of reach; the message gives the range, or the jump, that contains it.
    """
    if not (np.isfinite(target_l0) and target_l0 > 0):
        raise ValueError(f"target_l0 must be positive, got {target_l0}.")
    solve = {"l1": working_set, "mcp": mcp}[penalty]
    prepared = prepare(dictionary, X)
    where = {name: options[name] for name in ("positive", "offset") if name in options}
    largest = _largest_of_each(X, prepared, **where)
    high, l0_high = float(largest.max()), 0.0
    if high == 0.0:
        raise ValueError(f"target_l0={target_l0:g} cannot be reached: no sample correlates with any atom.")
    # A typical sample sets the lower end: one sample of enormous norm must not lift it above all others.
    typical = float(np.median(largest[largest > 0]))
    alpha, lowest = min(_FIRST_SHARE * typical, high / 2), _SMALLEST_SHARE * typical
    low = l0_low = None
    for _ in range(_MOST_TRIALS):
        result = solve(X, prepared, alpha, sparse_output=True, **options)
        l0 = result.codes.nnz / len(X)
        if abs(l0 - target_l0) <= _L0_TOLERANCE * target_l0:
            return alpha
        if l0 > target_l0:
            low, l0_low = alpha, l0
        else:
            high, l0_high = alpha, l0
        if low is not None:
            alpha = _between(low, l0_low, high, l0_high, target_l0)
        elif alpha > lowest:  # downwards from where codes are cheap, and no further than needed
            alpha = max(alpha / 3, lowest)
        else:
            raise ValueError(
                f"target_l0={target_l0:g} cannot be reached: the mean number of non-zeros lies between 0 "
                f"(alpha={largest.max():.3g}) and {l0:.4g} (alpha={alpha:.3g})."
            )
    raise ValueError(
        f"target_l0={target_l0:g} cannot be reached to within 2 %: the mean number of non-zeros of {len(X)} samples "
        f"jumps from {l0_high:g} to {l0_low:g} at alpha={alpha:.6g}."
    )


def _between(low, l0_low, high, l0_high, target_l0):
    """Return a penalty between two, by interpolation of the logarithms, not too close to either."""
    share = 0.5
    if l0_high > 0:
        share = np.log(l0_low / target_l0) / np.log(l0_low / l0_high)
    return float(low * (high / low) ** np.clip(share, 0.1, 0.9))
