"""Agreement of codes with the truth, and of reconstructions with the data."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.optimize import linear_sum_assignment

from .._validation import (
    FLOATS,
    ArrayLike,
    MatrixLike,
    StrOptions,
    check_array,
    check_codes,
    check_consistent_length,
    check_random_state,
    integers_from,
    validate_params,
)
from .unexplained import UnexplainedVariance

# A column counts as constant when its variance is this small beside its largest square: rounding, not signal.
_CONSTANT = 1e-14
# Chance is averaged over about this many matched columns, at a bounded cost.
_MATCHED_COLUMNS_FOR_CHANCE = 2000
_MOST_PERMUTATIONS = 200


@validate_params(
    {
        "codes_true": ["array-like", "sparse matrix"],
        "codes_pred": ["array-like", "sparse matrix"],
        "adjusted": ["boolean"],
        "padding": [StrOptions({"noise"}), None],
        "selection": [StrOptions({"variance"}), None],
        "n_permutations": [integers_from(1), None],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def mcc_score(
    codes_true: MatrixLike,
    codes_pred: MatrixLike,
    *,
    adjusted: bool = False,
    padding: str | None = None,
    selection: str | None = None,
    n_permutations: int | None = None,
    random_state=0,
) -> float:
    """Mean correlation coefficient: how well predicted code columns match the true ones, one to one.

    Columns are matched by the Hungarian algorithm on the absolute Pearson correlation. The score is the mean over the
    active true columns (those that are not constant in this sample); an unmatched one counts 0.

    Parameters
    ----------
    codes_true : {array-like, CSR} of shape (n_samples, n_components_true)
        True codes.
    codes_pred : {array-like, CSR} of shape (n_samples, n_components_pred)
        Predicted codes, in any column order, sign and scale.
    adjusted : bool, default=False
        Whether to correct for chance as the adjusted Rand index does: ``(score - expected) / (1 - expected)``, which is
        1 for perfect codes and 0 on average for codes unrelated to the truth, whatever the sizes (it can be below 0).
        The expectation is the mean score after shuffling the samples of ``codes_pred``, which keeps both
        distributions and destroys the relation. A plain score can be mostly chance: with few samples or many
        columns the best of many accidental correlations is high.
    padding : {"noise"} or None, default=None
        ``"noise"`` is the official variant [1]_: the side with fewer columns is filled up with Gaussian noise, and
        the mean is over all pairs. Perfect codes beside as many unused columns then score 1/2.
    selection : {"variance"} or None, default=None
        ``"variance"`` keeps only as many predicted columns of largest variance as there are active true ones: the
        official variant out of distribution [1]_.
    n_permutations : int, optional
        Shufflings behind the expectation. By default 2000 divided by the number of active columns, at least 1 and at
        most 200: the mean over many columns needs few.
    random_state : int, RandomState instance or None, default=0
        Source of the shufflings and of the noise padding (42 gives the official values).

    Returns
    -------
    score : float
        In [0, 1] unless adjusted. NaN when no true column is active.

    References
    ----------
    .. [1] Barin Pacela et al., "Stop Probing, Start Coding", arXiv:2603.28744, 2026.

    Examples
    --------
    >>> import numpy as np
    >>> from skcode.metrics import mcc_score
    >>> rng = np.random.default_rng(0)
    >>> codes = rng.random((500, 20)) * (rng.random((500, 20)) < 0.2)
    >>> round(mcc_score(codes, -3 * codes[:, ::-1]), 6)
    1.0
    >>> unrelated = rng.random((500, 20))
    >>> round(mcc_score(codes, unrelated), 2), round(abs(mcc_score(codes, unrelated, adjusted=True)), 1)
    (0.09, 0.0)
    """
    codes_true = check_codes(codes_true, "codes_true")
    codes_pred = check_codes(codes_pred, "codes_pred")
    check_consistent_length(codes_true, codes_pred)
    rng = check_random_state(random_state)

    true = _standardised(codes_true)
    true = true[:, _norms(true) > 0]
    n_true = true.shape[1]
    if n_true == 0:
        return float("nan")
    if selection == "variance":
        codes_pred = codes_pred[:, np.argsort(-_variances(codes_pred))[:n_true]]
    pred = _standardised(codes_pred)
    n_pairs = n_true
    if padding == "noise":
        n_pairs = max(n_true, pred.shape[1])
        missing = n_pairs - min(n_true, pred.shape[1])
        noise = _standardised(rng.normal(size=(true.shape[0], missing)))
        if n_true < n_pairs:
            true = np.hstack([true.toarray() if sp.issparse(true) else true, noise])
        elif missing:
            pred = np.hstack([pred.toarray() if sp.issparse(pred) else pred, noise])

    score = _matched_correlation(true, pred) / n_pairs
    if not adjusted:
        return score
    if n_permutations is None:
        n_permutations = int(np.clip(_MATCHED_COLUMNS_FOR_CHANCE // n_true, 1, _MOST_PERMUTATIONS))
    shuffled = [_matched_correlation(true, pred[rng.permutation(pred.shape[0])]) for _ in range(n_permutations)]
    expected = float(np.mean(shuffled)) / n_pairs
    if expected > 1.0 - 1e-12:  # two samples: everything correlates
        return 1.0 if score > 1.0 - 1e-12 else 0.0
    return (score - expected) / (1.0 - expected)


def _matched_correlation(true, pred):
    """Return the sum of the matched absolute correlations of standardised columns."""
    cross = true.T @ pred
    cross = cross.toarray() if sp.issparse(cross) else cross
    # Sparse columns were scaled but not centred: their means are taken out here (those of dense ones are 0).
    cross -= np.outer(_column_sums(true) / true.shape[0], _column_sums(pred))
    similarity = np.abs(cross, out=cross)
    matched = similarity[linear_sum_assignment(similarity, maximize=True)]
    return float(np.minimum(matched, 1.0).sum())


def _standardised(codes):
    """Return float64 columns scaled to centred norm 1 (constant ones to 0); dense ones are centred as well."""
    codes = codes.astype(np.float64)
    if sp.issparse(codes):
        spread = np.sqrt(codes.shape[0] * _variances(codes))
        return sp.csr_array(codes @ sp.diags_array(np.divide(1.0, spread, where=spread > 0, out=np.zeros_like(spread))))
    centred = codes - codes.mean(axis=0)
    spread = np.sqrt(codes.shape[0] * _variances(codes))
    return np.divide(centred, spread, where=spread > 0, out=np.zeros_like(centred))


def _variances(codes):
    """Return the variance of each column in float64, exactly 0 where it is no more than rounding."""
    n_samples = codes.shape[0]
    if sp.issparse(codes):
        codes = sp.csr_array(codes, dtype=np.float64)
        largest = np.asarray(abs(codes).max(axis=0).toarray()).ravel() if codes.nnz else np.zeros(codes.shape[1])
        variances = (codes * codes).sum(axis=0) / n_samples - (codes.sum(axis=0) / n_samples) ** 2
    else:
        largest = np.abs(codes).max(axis=0).astype(np.float64)
        variances = codes.var(axis=0, dtype=np.float64)
    return np.where(variances > _CONSTANT * largest**2, variances, 0.0)


def _norms(columns):
    return np.sqrt(np.asarray((columns * columns).sum(axis=0)).ravel())


def _column_sums(columns):
    return np.asarray(columns.sum(axis=0)).ravel()


@validate_params(
    {"X": ["array-like"], "X_hat": ["array-like"], "mean": ["array-like", None]},
    prefer_skip_nested_validation=True,
)
def unexplained_variance(X: ArrayLike, X_hat: ArrayLike, *, mean: ArrayLike | None = None) -> float:
    """Share of the variance of ``X`` that the reconstruction misses, ``sum ||x - x_hat||^2 / sum ||x - mean||^2``.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Data.
    X_hat : array-like of shape (n_samples, n_features)
        Reconstruction of ``X``.
    mean : array-like of shape (n_features,), optional
        Mean of the training set, against which the variance is measured; by default the mean of ``X``.

    Returns
    -------
    share : float
        0 is perfect, 1 no better than the mean. With no variance to explain: 0 for a perfect reconstruction, else
        infinity.

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
    # From the first sample on, so that samples that are all the same have no variance to the last bit.
    mean = X[0] + np.subtract(X, X[0], dtype=np.float64).mean(axis=0) if mean is None else np.asarray(mean)
    if mean.shape != (X.shape[1],):
        raise ValueError(f"mean must be a vector of n_features={X.shape[1]} values, got shape {mean.shape}.")
    unexplained = UnexplainedVariance(mean)
    unexplained.add(X, X_hat)
    return unexplained.share()
