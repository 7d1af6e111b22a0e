"""Whether one can tell from examples what a unit responds to."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp
from sklearn.utils import Bunch

from .._norms import unit_rows
from .._validation import (
    ArrayLike,
    MatrixLike,
    StrOptions,
    check_array,
    check_codes,
    check_random_state,
    integers_from,
    validate_params,
)
from ._inputs import check_same_length
from ._units import in_units, unit_of


@validate_params(
    {
        "codes": ["array-like", "sparse matrix"],
        "features": ["array-like"],
        "similarity": [StrOptions({"cosine", "euclidean"}), callable],
        "n_examples": [integers_from(1)],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def interpretability_score(
    codes: MatrixLike,
    features: ArrayLike,
    *,
    similarity: str | Callable = "cosine",
    n_examples: int = 9,
    random_state=0,
) -> Bunch:
    """Score units as a psychophysical experiment does: by whether examples tell what else a unit responds to.

    For each unit, the ``n_examples + 1`` samples that activate it most and as many that activate it least are taken.
    One of each end is the query, the others are examples. The trial is passed when the strongly activating query is, by
    mean similarity, more on the side of the strongly activating examples than the other query is. Every sample of an
    end is the query once, and the score is the share of trials passed [1]_.

    Parameters
    ----------
    codes : {array-like, CSR} of shape (n_samples, n_units)
        Activations of the units. Ties, such as the zeros of sparse codes, are broken at random.
    features : array-like of shape (n_samples, ...)
        What is shown of a sample: pixels, activations of another layer, embeddings.
    similarity : {"cosine", "euclidean"} or callable, default="cosine"
        ``similarity(A, B)`` of two blocks of features returns an array of shape ``(len(A), len(B))``, larger where more
        alike. ``"euclidean"`` is minus the distance. For both of these, a sample's features are taken as one vector.
    n_examples : int, default=9
        Examples of each end that are shown.
    random_state : int, RandomState instance or None, default=0
        Source of how ties are broken.

    Returns
    -------
    result : Bunch
        ``score``, the mean over units, 0.5 by chance and 1 at best; ``per_unit`` of shape (n_units,), NaN for units
        that have no two ends: the weakest of the samples at the upper one is no stronger than the strongest at the
        lower one.

    Raises
    ------
    ValueError
        If there are too few samples for ``n_examples``, a number is NaN or infinite, or ``similarity`` returns another
        shape or such numbers.

    References
    ----------
    .. [1] Klindt, O'Neill, Reizinger, Maurer, Miolane, "From superposition to sparse codes: interpretable
       representations in neural networks", arXiv:2503.01824, 2025; after Zimmermann et al., "How well do feature
       visualizations support causal understanding of CNN activations?", arXiv:2106.12447, 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from skcode.metrics import interpretability_score
    >>> X = np.random.default_rng(0).standard_normal((500, 40))
    >>> own, others = interpretability_score(X, X), interpretability_score(X, X[::-1])
    >>> own.score > 0.95, 0.3 < others.score < 0.7
    (True, True)
    """
    codes = check_codes(codes, "codes")
    features = check_array(
        features, dtype="numeric", ensure_2d=not callable(similarity), allow_nd=True, input_name="features"
    )
    check_same_length(codes=codes, features=features)
    shown = n_examples + 1
    if codes.shape[0] < 2 * shown:
        raise ValueError(
            f"n_examples={n_examples} takes {2 * shown} samples, examples and a query of each end; "
            f"codes has {codes.shape[0]}."
        )
    compare = similarity if callable(similarity) else _SIMILARITIES[similarity]
    if not callable(similarity) and (unit := unit_of(features)):
        features = in_units(features, unit)  # on which neither of ours depends
    # One order of all samples, in which ties of any unit are broken: sorting is stable.
    order = check_random_state(random_state).permutation(codes.shape[0])
    codes = sp.csc_array(codes) if sp.issparse(codes) else codes
    per_unit = np.full(codes.shape[1], np.nan)
    for unit in range(codes.shape[1]):
        column = codes[:, [unit]].toarray().ravel() if sp.issparse(codes) else codes[:, unit]
        ranked = order[np.argsort(column[order], kind="stable")]
        low, high = ranked[:shown], ranked[-shown:]
        if column[high[0]] > column[low[-1]]:
            per_unit[unit] = _passed(features[high], features[low], compare, n_examples)
    tested = per_unit[~np.isnan(per_unit)]
    return Bunch(score=float(tested.mean()) if len(tested) else float("nan"), per_unit=per_unit)


def _passed(high, low, compare, n_examples):
    """Return the share of trials passed, one with each sample of an end as the query; ties count one half."""

    def leaning(queries, own, other):
        # Mean similarity with the own end, without the query itself, less that with the other end, without its query.
        within, across = np.asarray(compare(queries, own)), np.asarray(compare(queries, other))
        wanted = (len(queries), len(own))
        if within.shape != wanted:
            raise ValueError(f"similarity must return an array of shape {wanted}, got {within.shape}.")
        if not (np.isfinite(within).all() and np.isfinite(across).all()):
            raise ValueError("similarity must return finite numbers, got NaN or infinity.")
        return (within.sum(axis=1) - np.diag(within) - across.sum(axis=1) + np.diag(across)) / n_examples

    margin = leaning(high, high, low) + leaning(low, low, high)
    return float(np.mean((margin > 0) + 0.5 * (margin == 0)))


def _cosine(A, B):
    return unit_rows(_vectors(A)) @ unit_rows(_vectors(B)).T


def _minus_distance(A, B):
    A, B = _vectors(A), _vectors(B)
    return -np.linalg.norm(A[:, None] - B[None], axis=2)


def _vectors(block):
    return block.reshape(len(block), -1).astype(np.float64)


_SIMILARITIES = {"cosine": _cosine, "euclidean": _minus_distance}
