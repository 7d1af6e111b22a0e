"""Codes along a sequence of penalties, and the penalty that gives a wanted sparsity."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from numbers import Real

import numpy as np

from .._lasso import alpha_max
from ._prepared import PreparedDictionary, centred, check_number, check_options, prepare
from ._result import CodingResult
from ._table import SOLVERS
from .working_set import working_set

_ROWS_AT_ONCE = 1024
_SMALLEST_SHARE = 1e-4  # of the largest useful alpha of a sample, below which nothing is sparse
_FIRST_SHARE = 0.3  # of the median of them, where the search starts: few atoms are active there
_L0_TOLERANCE = 0.015  # relative; leaves room below the 2 % that are promised
# Relative step to the side of a penalty. Where samples tie, rounding decides at one penalty which of them have a code
# (over about 1e-7 in float32), and other samples would have other numbers. A step beside it, it does not.
_ASIDE = 1e-5
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
    prepared = prepare(dictionary, X, offset=offset)
    check_options(tol=tol, max_iter=max_iter, n_jobs=n_jobs, positive=positive)
    if not np.iterable(alphas) or isinstance(alphas, str):
        raise TypeError(f"alphas must be a sequence of penalties, got {alphas!r:.60}.")
    return _path(X, prepared, alphas, positive=positive, max_iter=max_iter, tol=tol, offset=offset, n_jobs=n_jobs)


def _path(X, prepared, alphas, **options):
    codes = None
    for alpha in alphas:
        result = working_set(X, prepared, alpha, codes_init=codes, sparse_output=True, **options)
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
    check_options(positive=positive)
    return float(largest_of_each(X, prepare(dictionary, X, offset=offset), positive, offset).max())


def largest_of_each(X, prepared, positive, offset):
    """Return `alpha_max` of each sample, in chunks."""
    if not len(X):
        raise ValueError("X must hold at least one sample, got 0.")
    chunks = (centred(X[start : start + _ROWS_AT_ONCE], offset) for start in range(0, len(X), _ROWS_AT_ONCE))
    largest = np.concatenate([alpha_max(chunk, prepared.components, positive) for chunk in chunks])
    if not np.isfinite(largest).all():
        raise ValueError("X must be finite, and so must its correlations with atoms; got NaN, infinity or huge values.")
    return largest


def alpha_for_l0(
    X: np.ndarray,
    dictionary: np.ndarray | PreparedDictionary,
    target_l0: float,
    *,
    penalty: str = "l1",
    positive: bool = True,
    max_iter: int = 1000,
    tol: float = 1e-4,
    offset: np.ndarray | None = None,
    n_jobs: int | None = None,
) -> float:
    """Return the penalty for which samples have ``target_l0`` non-zeros on average, to within 2 %.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), float32 or float64
        Data, finite.
    dictionary : ndarray of shape (n_components, n_features) or PreparedDictionary
        Atoms in rows.
    target_l0 : float
        Mean number of non-zeros wanted, positive.
    penalty : {"l1", "mcp"}, default="l1"
        Whose codes are counted: those of `working_set`, or of `mcp`.
    positive, max_iter, tol, offset, n_jobs
        As for the solver. Counted are the codes that it returns with them, to ``tol``.

    Returns
    -------
    alpha : float
        Between the largest useful penalty of all samples and 1e-4 of the median one. The search comes from above, so
        that it costs about ten times what codes of the wanted sparsity cost. Where samples tie, the mean number of
        non-zeros jumps, and alpha is beside a jump, where rounding does not decide.

    Raises
    ------
    ValueError
        If the target is not positive or out of reach; the message gives the range, or the jump, that contains it.
        Whatever the solver raises.
    """
    if penalty not in list(SOLVERS):  # a list, for what is unhashable is not looked up in a table
        raise ValueError(f"penalty must be one of {', '.join(map(repr, SOLVERS))}, got {penalty!r}.")
    check_number("target_l0", target_l0, Real, lambda value: 0 < value < np.inf, "a number, positive and finite")
    check_options(tol=tol, max_iter=max_iter, n_jobs=n_jobs, positive=positive)
    prepared = prepare(dictionary, X, offset=offset)

    def l0_at(alpha):
        result = SOLVERS[penalty]["working_set"](
            X, prepared, alpha, positive=positive, max_iter=max_iter, tol=tol, offset=offset, sparse_output=True,
            n_jobs=n_jobs,
        )  # fmt: skip
        return result.codes.nnz / len(X)

    def is_met(l0):
        return abs(l0 - target_l0) <= _L0_TOLERANCE * target_l0

    largest = largest_of_each(X, prepared, positive, offset)
    high, l0_high = float(largest.max()), 0.0
    if high == 0.0:
        raise ValueError(f"target_l0={target_l0:g} cannot be reached: no sample correlates with any atom.")
    # A typical sample sets the lower end: one sample of enormous norm must not lift it above all others.
    typical = float(np.median(largest[largest > 0]))
    alpha, lowest = min(_FIRST_SHARE * typical, high / 2), _SMALLEST_SHARE * typical
    low = l0_low = None
    for _ in range(_MOST_TRIALS):
        l0 = l0_at(alpha)
        if is_met(l0):
            high, low = alpha * (1 + _ASIDE), alpha * (1 - _ASIDE)
            l0_high = l0_at(high)
            if is_met(l0_high):
                return high
            l0_low = l0_at(low)
            if is_met(l0_low):
                return low
            break
        if l0 > target_l0:
            low, l0_low = alpha, l0
        else:
            high, l0_high = alpha, l0
        if low is not None:
            if high - low <= _ASIDE * high:
                break
            alpha = _interpolated(low, l0_low, high, l0_high, target_l0)
        elif alpha > lowest:  # downwards from where codes are cheap, and no further than needed
            alpha = max(alpha / 3, lowest)
        else:
            raise ValueError(
                f"target_l0={target_l0:g} cannot be reached: the mean number of non-zeros lies between 0 "
                f"(alpha={largest.max():.3g}) and {l0:.4g} (alpha={alpha:.3g})."
            )
    raise ValueError(
        f"target_l0={target_l0:g} cannot be reached to within 2 %: the mean number of non-zeros of {len(X)} samples "
        f"jumps from {l0_high:g} to {l0_low:g} at alpha={alpha:.4g}."
    )


def _interpolated(low, l0_low, high, l0_high, target_l0):
    """Return a penalty between two, by interpolation of the logarithms, not too close to either."""
    share = 0.5
    if l0_high > 0:
        share = np.log(l0_low / target_l0) / np.log(l0_low / l0_high)
    return float(low * (high / low) ** np.clip(share, 0.1, 0.9))
