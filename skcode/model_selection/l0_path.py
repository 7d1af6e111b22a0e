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
from ..metrics import unexplained_variance
from ..solvers import PreparedDictionary, coding_path, largest_alpha


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
def l0_path(estimator, X: ArrayLike, *, alphas: ArrayLike | None = None, n_alphas: int = 20, eps: float = 1e-2):
    """Return mean L0 and reconstruction error of optimal codes for a sequence of penalties.

    The codes for each penalty start from those for the one before, so that a path costs little more than its last
    point. The dictionary stays as it is: for a learner, this is the choice of the penalty of `transform`.

    Parameters
    ----------
    estimator : estimator
        Fitted, with ``components_``, ``offset_`` and ``mean_``: a `FISTACoder`, a `DictionaryLearner`, a
        `SparseAutoencoder`. Its ``positive`` and ``n_jobs`` are used if it has them; otherwise codes are non-negative,
        one thread codes. Codes are certified to 1e-4, whatever its ``tol``.
    X : array-like of shape (n_samples, n_features)
        Samples.
    alphas : array-like of shape (n_alphas,), optional
        Penalties, positive; by default ``n_alphas``, evenly spaced in their logarithm, from the largest useful one,
        for which all codes are zero, down to ``eps`` times that.
    n_alphas : int, default=20
        Number of penalties, if not given.
    eps : float, default=1e-2
        Smallest penalty as a share of the largest, between 0 and 1.

    Returns
    -------
    path : Bunch
        ``alpha``, ``l0`` (mean number of non-zeros per sample), ``unexplained_variance`` (share of the variance that
        codes leave) and ``dual_gap`` (the worst of any sample), each of shape (n_alphas,), in the order of ``alphas``,
        decreasing by default.

    Raises
    ------
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
    components = estimator.components_
    if X.shape[1] != components.shape[1]:
        raise ValueError(f"X must have n_features={components.shape[1]} features, got {X.shape[1]}.")
    prepared = PreparedDictionary(components)
    offset = estimator.offset_
    options = {"positive": getattr(estimator, "positive", True), "offset": offset}
    if alphas is None:
        if not 0 < eps < 1:
            raise ValueError(f"eps must lie between 0 and 1, got {eps:g}.")
        largest = largest_alpha(X, prepared, **options)
        if largest == 0:
            raise ValueError("X must correlate with some atom: all codes are zero for every penalty.")
        alphas = np.geomspace(largest, eps * largest, n_alphas)
    alphas = check_array(alphas, dtype=np.float64, ensure_2d=False, ensure_min_samples=0, input_name="alphas")
    if alphas.ndim != 1 or not alphas.size or (alphas <= 0).any():
        raise ValueError(f"alphas must be a list of positive numbers, got {alphas.tolist()}.")
    rows = []
    for result in coding_path(X, prepared, alphas, n_jobs=getattr(estimator, "n_jobs", None), **options):
        reconstruction = result.codes @ components.astype(X.dtype) + offset.astype(X.dtype)
        rows.append(
            (
                result.codes.nnz / len(X),
                unexplained_variance(X, reconstruction, mean=estimator.mean_),
                result.dual_gap.max(),
            )
        )
    l0, unexplained, gap = np.array(rows).T
    return Bunch(alpha=alphas, l0=l0, unexplained_variance=unexplained, dual_gap=gap)
