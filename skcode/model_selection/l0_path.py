"""Sparsity and reconstruction along a sequence of penalties."""

from __future__ import annotations

import numpy as np
from sklearn.utils import Bunch

from .._validation import (
    FLOATS,
    ArrayLike,
    HasMethods,
    check_array,
    check_is_fitted,
    integers_from,
    real_from,
    validate_params,
)
from ..coding import FISTACoder
from ..metrics import UnexplainedVariance
from ..solvers import largest_alpha

_ROWS_AT_ONCE = 8192  # enough for any solver to work at full speed


@validate_params(
    {
        "estimator": [HasMethods(["transform", "inverse_transform"])],
        "X": ["array-like"],
        "alphas": ["array-like", None],
        "n_alphas": [integers_from(2)],
        "eps": [real_from(0)],
    },
    prefer_skip_nested_validation=True,
)
def l0_path(
    estimator, X: ArrayLike, *, alphas: ArrayLike | None = None, n_alphas: int = 20, eps: float = 1e-2
) -> Bunch:
    """Return mean L0 and reconstruction error of the codes of an estimator for a sequence of penalties.

    Each row is what the estimator would return with that penalty, whatever its other parameters: ``penalty``,
    ``debias``, ``positive``, ``tol`` and the rest. The dictionary stays as it is. For a learner, this is the choice of
    the penalty of `transform`.

    Parameters
    ----------
    estimator : estimator
        Fitted, with ``components_``, ``offset_`` and ``mean_``. A coder whose codes solve a problem, such as
        `FISTACoder` or `DictionaryLearner`, is asked for its codes. An encoder that reads codes off, such as
        `SparseAutoencoder`, has no penalty: the path is that of its ``refine`` coder if it has one, else of a
        `FISTACoder` on its dictionary, with its ``positive`` and ``n_jobs`` where it has them.
    X : array-like of shape (n_samples, n_features)
        Samples. They are coded in blocks, and the codes of one block only are kept, as CSR.
    alphas : array-like of shape (n_alphas,), optional
        Penalties, positive. By default ``n_alphas`` of them, evenly spaced in their logarithm, from the largest useful
        one, for which all codes are zero, down to ``eps`` times that.
    n_alphas : int, default=20
        Number of penalties, if not given.
    eps : float, default=1e-2
        Smallest penalty as a share of the largest, between 0 and 1.

    Returns
    -------
    path : Bunch
        ``alpha``, ``l0`` (mean number of non-zeros per sample), ``unexplained_variance`` (share of the variance that
        codes leave), and what certifies the worst sample: ``dual_gap`` or, with a penalty that has no dual problem such
        as ``"mcp"``, ``violation``; the other one is None. Arrays of shape (n_alphas,), in the order of ``alphas``,
        decreasing by default. No warning tells of samples that miss ``tol``: look at the certificate.

    Raises
    ------
    TypeError
        If ``estimator`` lacks a dictionary, an offset or a mean.
    ValueError
        If a penalty is not positive, ``eps`` not between 0 and 1, or no sample correlates with any atom.

    Examples
    --------
    >>> from skcode import FISTACoder
    >>> from skcode.datasets import make_compositional_shift
    >>> from skcode.model_selection import l0_path
    >>> data = make_compositional_shift(n_samples=200, random_state=0)
    >>> path = l0_path(FISTACoder(data.dictionary).fit(data.X_train), data.X_val, alphas=[0.4, 0.2, 0.1])
    >>> bool(path.l0[0] < path.l0[2] and path.unexplained_variance[0] > path.unexplained_variance[2])
    True
    """
    check_is_fitted(estimator)
    lacking = [name for name in ("components_", "offset_", "mean_") if not hasattr(estimator, name)]
    if lacking:
        raise TypeError(f"estimator must have {', '.join(lacking)}, as coders of skcode do; {estimator!r} has not.")
    X = check_array(X, dtype=FLOATS, order="C", input_name="X")
    if X.shape[1] != estimator.components_.shape[1]:
        raise ValueError(f"X must have n_features={estimator.components_.shape[1]} features, got {X.shape[1]}.")
    coder = _coder_of(estimator, X)
    alphas = _default_alphas(coder, X, n_alphas, eps) if alphas is None else _checked_alphas(alphas)
    return _path(coder, X, alphas, estimator.mean_)


def _coder_of(estimator, X):
    """Return the coder that says what codes at some penalty are."""
    coder = getattr(estimator, "refiner_", None) or estimator
    if hasattr(coder, "_codes_at"):
        return coder
    return FISTACoder(
        estimator.components_,
        offset=estimator.offset_,
        positive=getattr(estimator, "positive", True),
        n_jobs=getattr(estimator, "n_jobs", None),
    ).fit(X[:1])


def _default_alphas(coder, X, n_alphas, eps):
    if not 0 < eps < 1:
        raise ValueError(f"eps must lie between 0 and 1, got {eps:g}.")
    largest = largest_alpha(X, coder.components_, positive=coder.positive, offset=coder.offset_)
    if largest == 0:
        raise ValueError("X must correlate with some atom: all codes are zero for every penalty.")
    return np.geomspace(largest, eps * largest, n_alphas)


def _checked_alphas(alphas):
    alphas = check_array(alphas, dtype=np.float64, ensure_2d=False, ensure_min_samples=0, input_name="alphas")
    if alphas.ndim != 1 or not alphas.size or (alphas <= 0).any():
        raise ValueError(f"alphas must be a list of positive numbers, got {alphas.tolist()}.")
    return alphas


def _path(coder, X, alphas, mean):
    components, offset = coder.components_.astype(X.dtype), coder.offset_.astype(X.dtype)
    n_codes, worst = np.zeros(len(alphas)), np.zeros(len(alphas))
    unexplained = [UnexplainedVariance(mean) for _ in alphas]
    for start in range(0, len(X), _ROWS_AT_ONCE):
        part = X[start : start + _ROWS_AT_ONCE]
        for k, alpha in enumerate(alphas):
            result = coder._codes_at(part, alpha)
            n_codes[k] += result.codes.nnz
            worst[k] = np.maximum(worst[k], result.certificate.max())  # NaN stays
            unexplained[k].add(part, result.codes @ components + offset)
    return Bunch(
        alpha=alphas,
        l0=n_codes / len(X),
        unexplained_variance=np.array([each.share() for each in unexplained]),
        dual_gap=worst if result.dual_gap is not None else None,
        violation=worst if result.violation is not None else None,
    )
