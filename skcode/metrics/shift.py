"""One pipeline, in and out of distribution."""

from __future__ import annotations

import warnings

import numpy as np
import scipy.sparse as sp
from scipy.stats import rankdata
from sklearn.base import is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline
from sklearn.utils import Bunch

from .._validation import (
    ArrayLike,
    HasMethods,
    MatrixLike,
    check_array,
    check_codes,
    validate_params,
)
from ._inputs import check_same_length
from ._units import in_units, unit_of
from .codes import mcc_score

_COLUMNS_AT_ONCE = 256  # of a sparse code matrix made dense for ranking
_PLAIN_FOR_A_PROBE = 20  # powers of two around 1 within which a probe sees codes as they are, as published
_READOUT_RIDGE = 1e-6  # of the mean square of a column: unused and duplicate columns must not blow the readout up


@validate_params(
    {
        "estimator": [HasMethods(["transform"]), HasMethods(["predict"])],
        "X_id": ["array-like"],
        "y_id": ["array-like"],
        "X_ood": ["array-like"],
        "y_ood": ["array-like"],
        "codes_id": ["array-like", "sparse matrix", None],
        "codes_ood": ["array-like", "sparse matrix", None],
    },
    prefer_skip_nested_validation=True,
)
def shift_report(
    estimator,
    X_id: ArrayLike,
    y_id: ArrayLike,
    X_ood: ArrayLike,
    y_ood: ArrayLike,
    *,
    codes_id: MatrixLike | None = None,
    codes_ood: MatrixLike | None = None,
) -> Bunch:
    """Report what a compositional shift does to the codes of a fitted estimator and to a probe on them.

    Parameters
    ----------
    estimator : fitted estimator
        A ``Pipeline`` that ends in a classifier, or a search over one (its own predictions give the accuracy, the codes
        are what reaches the classifier); or a transformer; or a regressor whose predictions are the codes, as the
        linear probe's ``RidgeCV``. For the latter two an unpenalised ``LogisticRegression`` is fitted to the
        in-distribution codes, so its ``accuracy_id`` is a training accuracy, as published [1]_.
    X_id, X_ood : array-like of shape (n_samples, n_features)
        Data in and out of distribution; preferably not what the estimator was fitted to.
    y_id, y_ood : array-like of shape (n_samples,)
        Labels; the AUC needs two classes.
    codes_id, codes_ood : {array-like, CSR} of shape (n_samples, n_components), optional
        True codes; MCC is reported for the sides given.

    Returns
    -------
    report : Bunch
        ``accuracy_id``, ``accuracy_ood``; ``auc_id``, ``auc_ood`` of the single code column that separates the
        in-distribution labels best. Each is ``max(AUC, 1 - AUC)``, as published: the direction is free on either side,
        so a column that turns round under the shift is not punished. NaN on a side that lacks one of two classes. With
        true codes
        ``mcc_id``, ``mcc_ood`` and the chance-corrected ``adjusted_mcc_id``, ``adjusted_mcc_ood``.

        With true codes on both sides also the scores of a linear readout of the true codes, fitted to the codes in
        distribution and read out of distribution without being fitted anew [2]_; over the true components that vary
        there. ``zero_shot_r2`` is the share of their variance that it explains as it stands,
        ``affine_correlation`` the mean correlation of a component with its readout, whatever the scale and offset of
        the readout, and ``calibrated_r2`` the share explained once scale and offset are fitted there. What separates
        the first from the last is drift of scales, not lost information.

    See Also
    --------
    mcc_score : The metric behind ``mcc`` and its published variants.

    References
    ----------
    .. [1] Barin Pacela et al., "Stop Probing, Start Coding", arXiv:2603.28744, 2026.
    .. [2] Internò et al., "The Observer Effect in World Models: Invasive Adaptation Corrupts Latent Physics",
       arXiv:2602.12218, 2026: the non-invasive probing PhyIP.

    Examples
    --------
    >>> from skcode import FISTACoder
    >>> from skcode.datasets import make_compositional_shift
    >>> from skcode.metrics import shift_report
    >>> data = make_compositional_shift(n_samples=1000, n_components=50, n_active=5, random_state=0)
    >>> coder = FISTACoder(data.dictionary, alpha=0.05).fit(data.X_train)
    >>> report = shift_report(coder, data.X_val, data.y_val, data.X_ood, data.y_ood, codes_ood=data.codes_ood)
    >>> report.accuracy_ood > 0.85, report.auc_ood > 0.95, report.mcc_ood > 0.95
    (True, True, True)
    """
    estimator = getattr(estimator, "best_estimator_", estimator)
    if is_classifier(estimator) and not isinstance(estimator, Pipeline):
        raise ValueError(
            "estimator must be a Pipeline that ends in a classifier, a transformer, or a regressor that predicts "
            f"codes; {type(estimator).__name__} is a classifier without codes."
        )
    y_id = check_array(y_id, ensure_2d=False, dtype=None, input_name="y_id")
    y_ood = check_array(y_ood, ensure_2d=False, dtype=None, input_name="y_ood")
    if codes_id is not None and codes_ood is not None:
        codes_id, codes_ood = check_codes(codes_id, "codes_id"), check_codes(codes_ood, "codes_ood")
        if codes_id.shape[1] != codes_ood.shape[1]:
            raise ValueError(
                f"codes_id and codes_ood must have the same columns, got {codes_id.shape[1]} and {codes_ood.shape[1]}."
            )
    pred_id, pred_ood = _codes_of(estimator, X_id), _codes_of(estimator, X_ood)
    check_same_length(X_id=pred_id, y_id=y_id)
    check_same_length(X_ood=pred_ood, y_ood=y_ood)

    report = Bunch()
    if _ends_in_classifier(estimator):
        report.accuracy_id = float(np.mean(estimator.predict(X_id) == y_id))
        report.accuracy_ood = float(np.mean(estimator.predict(X_ood) == y_ood))
    else:
        unit = unit_of(pred_id, pred_ood, plain=_PLAIN_FOR_A_PROBE)
        seen_id, seen_ood = (in_units(codes, unit) if unit else codes for codes in (pred_id, pred_ood))
        probe = LogisticRegression(C=np.inf, max_iter=1000)
        with warnings.catch_warnings():
            # Separable codes have no finite optimum: the iterations end at max_iter, as published.
            warnings.simplefilter("ignore", ConvergenceWarning)
            probe.fit(seen_id, y_id)
        report.accuracy_id = float(probe.score(seen_id, y_id))
        report.accuracy_ood = float(probe.score(seen_ood, y_ood))
    report.auc_id, report.auc_ood = _best_column_auc(pred_id, y_id, pred_ood, y_ood)
    for side, true, pred in (("id", codes_id, pred_id), ("ood", codes_ood, pred_ood)):
        if true is not None:
            report[f"mcc_{side}"] = mcc_score(true, pred)
            report[f"adjusted_mcc_{side}"] = mcc_score(true, pred, adjusted=True)
    if codes_id is not None and codes_ood is not None:
        report |= _readout_scores(pred_id, codes_id, pred_ood, codes_ood)
    return report


def _readout_scores(pred_id, true_id, pred_ood, true_ood):
    """Return the scores out of distribution of a linear readout that was fitted in distribution."""
    units = 2 * [unit_of(pred_id, pred_ood)] + 2 * [unit_of(true_id, true_ood)]  # on which no score depends
    pred_id, pred_ood, true_id, true_ood = (
        in_units(codes.toarray() if sp.issparse(codes) else codes, unit)
        for codes, unit in zip((pred_id, pred_ood, true_id, true_ood), units, strict=True)
    )
    varying = np.ptp(true_ood, axis=0) > 0
    if not varying.any():
        return Bunch(zero_shot_r2=float("nan"), affine_correlation=float("nan"), calibrated_r2=float("nan"))
    true_id, true_ood = true_id[:, varying], true_ood[:, varying]
    readout = Ridge(_READOUT_RIDGE * max(float(np.square(pred_id).sum()) / pred_id.shape[1], np.finfo(float).tiny))
    predicted = readout.fit(pred_id, true_id).predict(pred_ood).reshape(true_ood.shape)
    missed = np.square(true_ood - predicted).sum()
    true_ood = true_ood - true_ood.mean(axis=0)
    predicted = predicted - predicted.mean(axis=0)
    total, norms = np.square(true_ood).sum(axis=0), np.square(predicted).sum(axis=0)
    products = np.einsum("ij,ij->j", true_ood, predicted)
    explained = np.divide(products**2, norms, where=norms > 0, out=np.zeros_like(norms))
    return Bunch(
        zero_shot_r2=float(1 - missed / total.sum()),
        affine_correlation=float(np.mean(np.sign(products) * np.sqrt(explained / total))),
        calibrated_r2=float(explained.sum() / total.sum()),
    )


def _ends_in_classifier(estimator):
    return isinstance(estimator, Pipeline) and is_classifier(estimator)


def _codes_of(estimator, X):
    if _ends_in_classifier(estimator):
        codes = estimator[:-1].transform(X) if len(estimator) > 1 else X
    elif hasattr(estimator, "transform"):
        codes = estimator.transform(X)
    else:
        codes = estimator.predict(X)
    return check_codes(codes, "the codes of estimator")


def _best_column_auc(pred_id, y_id, pred_ood, y_ood):
    classes = np.unique(y_id)
    if len(classes) != 2:
        return float("nan"), float("nan")
    auc_id = _column_auc(pred_id, y_id == classes[1])
    best = int(np.argmax(auc_id))
    if not np.array_equal(np.unique(y_ood), classes):
        return float(auc_id[best]), float("nan")
    return float(auc_id[best]), float(_column_auc(pred_ood[:, [best]], y_ood == classes[1])[0])


def _column_auc(codes, positive_class):
    """Return the ROC AUC of each column as a score of the label, either way round; ties count one half."""
    n_positive = np.count_nonzero(positive_class)
    n_negative = len(positive_class) - n_positive
    auc = np.empty(codes.shape[1])
    for start in range(0, codes.shape[1], _COLUMNS_AT_ONCE):
        block = codes[:, start : start + _COLUMNS_AT_ONCE]
        ranks = rankdata(block.toarray() if sp.issparse(block) else block, axis=0)
        wins = ranks[positive_class].sum(axis=0) - n_positive * (n_positive + 1) / 2
        auc[start : start + _COLUMNS_AT_ONCE] = wins / (n_positive * n_negative)
    return np.maximum(auc, 1.0 - auc)
