"""Agreement of the supports of codes: which components are active, whatever their values."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from sklearn.utils import Bunch

from .._validation import (
    ArrayLike,
    MatrixLike,
    check_array,
    check_codes,
    real_from,
    validate_params,
)
from ._inputs import check_same_length
from ._ratios import ratio


@validate_params(
    {
        "codes_true": ["array-like", "sparse matrix"],
        "codes_pred": ["array-like", "sparse matrix"],
        "pairs": ["array-like", None],
        "threshold": [real_from(0)],
    },
    prefer_skip_nested_validation=True,
)
def support_scores(
    codes_true: MatrixLike, codes_pred: MatrixLike, *, pairs: ArrayLike | None = None, threshold: float = 1e-4
) -> Bunch:
    """Compare the active components of predicted and true codes, sample by sample.

    Parameters
    ----------
    codes_true : {array-like, CSR} of shape (n_samples, n_components_true)
        True codes.
    codes_pred : {array-like, CSR} of shape (n_samples, n_components_pred)
        Predicted codes.
    pairs : array-like of shape (n_pairs, 2), dtype int, optional
        Columns of true and predicted codes that belong together, as ``match_dictionaries(...).pairs``; other columns
        are left out. By default columns correspond as they stand.
    threshold : float, default=1e-4
        A component is active when the magnitude of its code exceeds this.

    Returns
    -------
    scores : Bunch
        ``precision``, ``recall``, ``f1``: means over samples of the share of predicted components that are truly
        active, the share of truly active ones that are predicted, and their harmonic mean (0 where a denominator is).
        ``true_l0``, ``pred_l0``: mean numbers of active components among the paired columns; ``pred_total_l0``: among
        all predicted columns.

    Examples
    --------
    >>> from skcode.metrics import support_scores
    >>> scores = support_scores([[1.0, 1.0, 0.0]], [[0.5, 0.0, 0.5]])
    >>> scores.precision, scores.recall, scores.f1
    (0.5, 0.5, 0.5)
    """
    codes_true = check_codes(codes_true, "codes_true")
    codes_pred = check_codes(codes_pred, "codes_pred")
    check_same_length(codes_true=codes_true, codes_pred=codes_pred)
    true, pred = _support(codes_true, threshold), _support(codes_pred, threshold)
    total = _per_sample(pred)
    if pairs is not None:
        pairs = check_array(pairs, dtype=None, input_name="pairs")
        if pairs.shape[1] != 2 or pairs.dtype.kind not in "iu":
            raise ValueError(f"pairs must be integers of shape (n_pairs, 2), got {pairs.dtype} of shape {pairs.shape}.")
        if pairs.min() < 0 or np.any(pairs.max(axis=0) >= (true.shape[1], pred.shape[1])):
            raise ValueError(f"pairs must index {true.shape[1]} true and {pred.shape[1]} predicted columns.")
        true, pred = true[:, pairs[:, 0]], pred[:, pairs[:, 1]]
    elif true.shape[1] != pred.shape[1]:
        raise ValueError(
            f"codes_true has {true.shape[1]} columns and codes_pred {pred.shape[1]}: pairs must name those that belong "
            "together."
        )
    hits, claimed, actual = _per_sample(true.multiply(pred)), _per_sample(pred), _per_sample(true)
    precision, recall = ratio(hits, claimed), ratio(hits, actual)
    return Bunch(
        precision=float(precision.mean()),
        recall=float(recall.mean()),
        f1=float(ratio(2 * precision * recall, precision + recall).mean()),
        true_l0=float(actual.mean()),
        pred_l0=float(claimed.mean()),
        pred_total_l0=float(total.mean()),
    )


def _support(codes, threshold):
    return sp.csr_array(abs(codes) > threshold).astype(np.int64)


def _per_sample(support):
    return np.asarray(support.sum(axis=1)).ravel()
