"""Agreement of codes with the truth."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from .._validation import (
    MatrixLike,
    StrOptions,
    check_codes,
    check_random_state,
    integers_from,
    validate_params,
)
from ._inputs import check_same_length
from ._pairs import best_pairs

_ROUNDINGS = 8  # of its largest code, within which a column is constant
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

    The Hungarian algorithm matches columns by their absolute Pearson correlation. The score is the mean over the active
    true columns, which are those that are not constant in this sample. A true column without a partner counts 0.
    Neither the scale of a column nor a constant added to it matters, up to the rounding of the codes themselves.

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
        columns, the best of many accidental correlations is high.
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

    Raises
    ------
    ValueError
        If codes are of different numbers of samples, or a code is NaN or infinite.
    MemoryError
        If there is no room for the correlations of all pairs of columns.

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
    check_same_length(codes_true=codes_true, codes_pred=codes_pred)
    rng = check_random_state(random_state)

    true, spreads = _standardised(codes_true)
    true = true[:, spreads > 0]
    n_true = true.shape[1]
    if n_true == 0:
        return float("nan")
    pred, spreads = _standardised(codes_pred)
    if selection == "variance":
        pred = pred[:, np.argsort(-spreads, kind="stable")[:n_true]]
    n_pairs = n_true
    if padding == "noise":
        n_pairs = max(n_true, pred.shape[1])
        missing = n_pairs - min(n_true, pred.shape[1])
        noise = _standardised(rng.normal(size=(true.shape[0], missing)))[0]
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
    matched = best_pairs(lambda: _correlations(true, pred), true.shape[1], pred.shape[1])[1]
    return float(np.minimum(matched, 1.0).sum())


def _correlations(true, pred):
    """Return the absolute correlation of each pair of standardised columns."""
    cross = true.T @ pred
    cross = cross.toarray() if sp.issparse(cross) else cross
    # Sparse columns were scaled but not centred: their means are taken out here (those of dense ones are 0).
    cross -= np.outer(_column_sums(true) / true.shape[0], _column_sums(pred))
    return np.abs(cross, out=cross)


def _column_sums(columns):
    return np.asarray(columns.sum(axis=0)).ravel()


def _standardised(codes):
    """Return float64 columns of variance ``1 / n_samples`` (constant ones: 0), and the standard deviation each had.

    Dense columns are centred as well; sparse ones are where they have no zeros to keep.
    """
    return _standardised_sparse(codes) if sp.issparse(codes) else _standardised_dense(codes)


def _standardised_dense(codes):
    columns = codes.astype(np.float64)
    unit = _units(np.abs(columns).max(axis=0))
    np.ldexp(columns, -unit, out=columns)
    columns -= columns[0]  # equal codes become zeros, and a large common part costs no digits
    constant = np.abs(columns).max(axis=0) <= _ROUNDINGS * np.finfo(codes.dtype).eps
    columns -= columns.mean(axis=0)
    deviations = np.where(constant, 0.0, np.sqrt(np.square(columns).mean(axis=0)))
    columns *= _inverse(deviations * np.sqrt(len(columns)))
    return columns, np.ldexp(deviations, unit)


def _standardised_sparse(codes):
    columns = sp.csr_array(codes, dtype=np.float64, copy=True)
    columns.sum_duplicates()
    n_samples, n_columns = columns.shape
    column, n_stored = columns.indices, np.bincount(columns.indices, minlength=n_columns)
    largest = np.zeros(n_columns)
    np.maximum.at(largest, column, np.abs(columns.data))
    unit = _units(largest)
    columns.data = np.ldexp(columns.data, -unit[column])
    common = np.where(n_stored == n_samples, columns[[0]].toarray().ravel(), 0.0)
    columns.data -= common[column]
    largest = np.zeros(n_columns)
    np.maximum.at(largest, column, np.abs(columns.data))
    constant = largest <= _ROUNDINGS * np.finfo(codes.dtype).eps
    means = _column_sums(columns) / n_samples
    squares = np.bincount(column, np.square(columns.data - means[column]), n_columns)
    squares += (n_samples - n_stored) * means**2
    deviations = np.where(constant, 0.0, np.sqrt(squares / n_samples))
    columns.data *= _inverse(deviations * np.sqrt(n_samples))[column]
    return columns, np.ldexp(deviations, unit)


def _units(largest):
    """Return the power of two in which the largest code of each column is about 1: it rounds nothing."""
    return np.frexp(largest)[1]


def _inverse(numbers):
    return np.divide(1.0, numbers, where=numbers > 0, out=np.zeros_like(numbers))
