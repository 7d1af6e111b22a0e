"""The share of variance that reconstructions leave."""

from __future__ import annotations

import numpy as np

from .._validation import FLOATS, ArrayLike, check_array, validate_params
from ._units import SumOfSquares, in_units, unit_of

_ROUNDINGS = 8  # of the mean, within which samples are all the same
_ROWS_AT_ONCE = 8192


class UnexplainedVariance:
    """The same as `unexplained_variance`, of samples that come in blocks.

    Parameters
    ----------
    mean : ndarray of shape (n_features,)
        The point around which samples vary. Its dtype says how finely it is known.

    Examples
    --------
    >>> import numpy as np
    >>> from skcode.metrics import UnexplainedVariance
    >>> unexplained = UnexplainedVariance(mean=np.array([1.0]))
    >>> unexplained.add(np.array([[0.0]]), np.array([[0.0]]))
    >>> unexplained.add(np.array([[2.0]]), np.array([[1.0]]))
    >>> unexplained.share()
    0.5
    """

    def __init__(self, mean: np.ndarray):
        self._mean = mean.astype(np.float64)
        self._rounding = float(np.finfo(mean.dtype if mean.dtype.kind == "f" else np.float64).eps)
        self._n_samples = 0
        self._missed, self._total, self._squares = SumOfSquares(), SumOfSquares(), SumOfSquares()

    def add(self, X: np.ndarray, X_hat: np.ndarray) -> None:
        """Take in a block of samples and their reconstructions.

        Parameters
        ----------
        X, X_hat : ndarray of shape (n_samples, n_features)
            Samples, which are finite, and their reconstructions.
        """
        self._n_samples += len(X)
        for start in range(0, len(X), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            self._missed.add(*_difference(X[part], X_hat[part]))
            self._total.add(*_difference(X[part], self._mean))
            self._squares.add(X[part])

    def share(self) -> float:
        """Return the share so far.

        Returns
        -------
        share : float
            ``sum ||x - x_hat||^2 / sum ||x - mean||^2``. Where all samples are the mean, it is 0 for perfect
            reconstructions and infinity for any other.
        """
        rounding = _ROUNDINGS * self._rounding + self._n_samples * float(np.finfo(np.float64).eps)
        if self._total.value == 0.0 or self._total.over(self._squares) <= rounding**2:
            return 0.0 if self._missed.value == 0.0 else float("inf")
        return self._missed.over(self._total)


@validate_params(
    {"X": ["array-like"], "X_hat": ["array-like"], "mean": ["array-like", None]},
    prefer_skip_nested_validation=True,
)
def unexplained_variance(X: ArrayLike, X_hat: ArrayLike, *, mean: ArrayLike | None = None) -> float:
    """Share of the variance of ``X`` that the reconstruction misses, ``sum ||x - x_hat||^2 / sum ||x - mean||^2``.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Samples, of any scale.
    X_hat : array-like of shape (n_samples, n_features)
        Reconstruction of ``X``.
    mean : array-like of shape (n_features,), optional
        Mean of the training set, against which the variance is measured. By default, the mean of ``X``.

    Returns
    -------
    share : float
        0 is perfect, 1 no better than the mean. Without any variance to explain, it is 0 for a perfect reconstruction
        and infinity for any other.

    Raises
    ------
    ValueError
        If shapes do not fit, or a number is NaN or infinite.

    Examples
    --------
    >>> from skcode.metrics import unexplained_variance
    >>> unexplained_variance([[0.0], [2.0]], [[0.0], [1.0]])
    0.5
    """
    X = check_array(X, dtype=FLOATS, input_name="X")
    X_hat = check_array(X_hat, dtype=FLOATS, input_name="X_hat")
    if X.shape != X_hat.shape:
        raise ValueError(f"X and X_hat must have the same shape, got {X.shape} and {X_hat.shape}.")
    mean = _mean(X) if mean is None else check_array(mean, ensure_2d=False, input_name="mean")
    if mean.shape != (X.shape[1],):
        raise ValueError(f"mean must be a vector of n_features={X.shape[1]} values, got shape {mean.shape}.")
    unexplained = UnexplainedVariance(mean)
    unexplained.add(X, X_hat)
    return unexplained.share()


def _difference(first, second):
    """Return a difference in float64 that does not overflow, and the power of two it is in."""
    unit = unit_of(first, second)
    return in_units(first, unit) - in_units(second, unit), unit


def _mean(X):
    """Return the mean in float64, summed from the first sample on: that of equal samples is exact."""
    unit = unit_of(X)
    first, total = in_units(X[0], unit), 0.0
    for start in range(0, len(X), _ROWS_AT_ONCE):
        total = total + (in_units(X[start : start + _ROWS_AT_ONCE], unit) - first).sum(axis=0)
    return np.ldexp(first + total / len(X), unit)
