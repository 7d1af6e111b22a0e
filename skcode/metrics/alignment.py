"""How alike two representations of the same samples are, and how alike they should seem in superposition."""

from __future__ import annotations

import numpy as np
from sklearn.utils import Bunch

from .._validation import (
    ArrayLike,
    check_array,
    check_random_state,
    integers_from,
    real_from,
    validate_params,
)
from ._inputs import check_same_length

_PAIR = {"X": ["array-like"], "Y": ["array-like"]}


@validate_params(_PAIR, prefer_skip_nested_validation=True)
def linear_cka(X: ArrayLike, Y: ArrayLike) -> float:
    """Linear centred kernel alignment of two representations of the same samples.

    ``||Y' X||^2 / (||X' X|| ||Y' Y||)`` in Frobenius norms, features centred [1]_. It does not change when a
    representation is rotated or scaled as a whole. With few samples for the number of features it is biased upwards.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features_x)
        One representation.
    Y : array-like of shape (n_samples, n_features_y)
        The other.

    Returns
    -------
    alignment : float
        Between 0 and 1; NaN if one of them is constant.

    See Also
    --------
    expected_alignment : What superposition alone makes of it.

    References
    ----------
    .. [1] Kornblith, Norouzi, Lee, Hinton, "Similarity of neural network representations revisited",
       arXiv:1905.00414, 2019, equation 4.

    Examples
    --------
    >>> import numpy as np
    >>> from skcode.metrics import linear_cka
    >>> X = np.random.default_rng(0).standard_normal((500, 3))
    >>> rotation = np.linalg.qr(np.random.default_rng(1).standard_normal((3, 3)))[0]
    >>> round(linear_cka(X, 5 * X @ rotation), 6)
    1.0
    """
    X, Y = _centred_pair(X, Y)
    norms = np.linalg.norm(X.T @ X) * np.linalg.norm(Y.T @ Y)
    return float(np.linalg.norm(Y.T @ X) ** 2 / norms) if norms > 0 else float("nan")


@validate_params(_PAIR, prefer_skip_nested_validation=True)
def rsa_score(X: ArrayLike, Y: ArrayLike) -> float:
    """Representational similarity: the Pearson correlation of squared Euclidean distances between samples.

    All pairs of samples count, and none is formed: the products it takes are those of `linear_cka`.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features_x)
        One representation.
    Y : array-like of shape (n_samples, n_features_y)
        The other.

    Returns
    -------
    similarity : float
        Between -1 and 1; NaN if all distances in one of them are equal.

    See Also
    --------
    expected_alignment : What superposition alone makes of it.

    References
    ----------
    .. [1] Kriegeskorte, Mur, Bandettini, "Representational similarity analysis", Frontiers in Systems Neuroscience 2,
       2008.

    Examples
    --------
    >>> import numpy as np
    >>> from skcode.metrics import rsa_score
    >>> X = np.random.default_rng(0).standard_normal((100, 3))
    >>> round(rsa_score(X, -2 * X + 1), 6)
    1.0
    """
    X, Y = _centred_pair(X, Y)
    if len(X) < 3:
        raise ValueError(f"X and Y must have at least 3 samples to correlate distances, got {len(X)}.")
    spreads = np.sqrt([_distance_covariance(X, X), _distance_covariance(Y, Y)])
    return float(_distance_covariance(X, Y) / spreads.prod()) if spreads.all() else float("nan")


@validate_params(_PAIR, prefer_skip_nested_validation=True)
def linear_regression_score(X: ArrayLike, Y: ArrayLike) -> float:
    """Share of the variance of one representation that the best affine map of the other explains.

    Fitted and scored on the same samples, as in comparisons of representations [1]_; so there should be many more
    samples than features. `linear_identifiability_score` scores on other samples.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features_x)
        The representation to predict from.
    Y : array-like of shape (n_samples, n_features_y)
        The representation to predict.

    Returns
    -------
    r2 : float
        Between 0 and 1, over all features of ``Y`` together; NaN if it is constant. Not symmetric.

    See Also
    --------
    expected_alignment : What superposition alone makes of it.

    References
    ----------
    .. [1] Kornblith, Norouzi, Lee, Hinton, "Similarity of neural network representations revisited",
       arXiv:1905.00414, 2019, table 1.

    Examples
    --------
    >>> import numpy as np
    >>> from skcode.metrics import linear_regression_score
    >>> X = np.random.default_rng(0).standard_normal((100, 3))
    >>> round(linear_regression_score(X, X[:, :2] @ [[1.0], [2.0]]), 6)
    1.0
    """
    X, Y = _centred_pair(X, Y)
    total = np.linalg.norm(Y) ** 2
    if total == 0:
        return float("nan")
    directions, scales, _ = np.linalg.svd(X, full_matrices=False)
    directions = directions[:, scales > scales[0] * max(X.shape) * np.finfo(np.float64).eps]
    return float(np.linalg.norm(directions.T @ Y) ** 2 / total)


@validate_params(
    {"features": ["array-like"], "latents": ["array-like"], "random_state": ["random_state"]},
    prefer_skip_nested_validation=True,
)
def linear_identifiability_score(features: ArrayLike, latents: ArrayLike, *, random_state=0) -> float:
    """Share of the variance of true latents that an affine map of learned features explains, on other samples.

    The map is fitted to a random half of the samples and scored on the other [1]_.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)
        What was learned: activations, or codes.
    latents : array-like of shape (n_samples, n_latents)
        The truth.
    random_state : int, RandomState instance or None, default=0
        Source of the split.

    Returns
    -------
    r2 : float
        At most 1, over all latents together. It is below 0 if the map is worse than the mean of the scored half, and
        NaN if the latents are constant in that half.

    References
    ----------
    .. [1] Reizinger et al., "Cross-entropy is all you need to invert the data generating process", arXiv:2410.21869,
       2024.

    Examples
    --------
    >>> import numpy as np
    >>> from skcode.metrics import linear_identifiability_score
    >>> latents = np.random.default_rng(0).standard_normal((200, 3))
    >>> round(linear_identifiability_score(latents @ [[1, 2, 0], [0, 1, 0], [1, 0, 3.0]] + 1, latents), 6)
    1.0
    """
    features = _checked(features, "features")
    latents = _checked(latents, "latents")
    check_same_length(features=features, latents=latents)
    if len(features) < 4:
        raise ValueError(f"features and latents must have at least 4 samples to be split, got {len(features)}.")
    order = check_random_state(random_state).permutation(len(features))
    fitted, scored = order[: len(order) // 2], order[len(order) // 2 :]
    features, latents = _centred(features), _centred(latents)  # a common part says nothing, and costs digits
    truth = latents[scored] - latents[scored].mean(axis=0)
    if not _centred(latents[scored]).any():
        return float("nan")
    mean, target_mean = features[fitted].mean(axis=0), latents[fitted].mean(axis=0)
    weights = np.linalg.lstsq(features[fitted] - mean, latents[fitted] - target_mean)[0]
    missed = latents[scored] - target_mean - (features[scored] - mean) @ weights
    return float(1 - (np.linalg.norm(missed) / np.linalg.norm(truth)) ** 2)


@validate_params(
    {
        "n_components": [integers_from(1)],
        "n_features": [integers_from(1), "array-like"],
        "n_shared": [integers_from(0), None],
        "kurtosis": [real_from(-2)],
    },
    prefer_skip_nested_validation=True,
)
def expected_alignment(n_components: int, n_features, *, n_shared: int | None = None, kurtosis: float = 0.0) -> Bunch:
    """How alike two representations of the same concepts seem when each holds them in a superposition of its own.

    ``X = Z A`` and ``Y = Z B`` with the same independent concepts ``Z``, of equal variance, and random unit-norm atoms
    in the rows of ``A`` and of ``B``: nothing is lost but the measures fall short of 1 [1]_, since atoms overlap, in
    the two representations differently. With n concepts, p of them shared, excess kurtosis k, and m
    features:

    - linear CKA is ``p/n * m / (m + n - 1)``
    - RSA is ``p/n * (2 + k/2) / (2 + k/2 + 2 (n - 1) / m)``
    - the share of variance explained by regression is ``p/n * min(1, m/n)``

    For two widths, ``m`` of regression is that of the representation to predict from, and the other two measures
    are geometric means of what they are for each. All are averages over random dictionaries and many samples.

    Parameters
    ----------
    n_components : int
        Number of concepts in each representation, n.
    n_features : int or pair of int
        Dimension m of the representations, or of the first and of the second.
    n_shared : int, optional
        Number p of concepts that both represent; the others are independent. By default all.
    kurtosis : float, default=0.0
        Excess kurtosis of a single concept's activations: 0 if Gaussian, large if sparse. Concepts that are on with
        a small probability q, and then U(0, 1), have about ``1.8 / q - 3``.

    Returns
    -------
    expected : Bunch
        ``linear_cka``, ``rsa`` and ``linear_regression``, floats.

    References
    ----------
    .. [1] Liu et al., "Measuring the Representational Alignment of Neural Systems in Superposition", arXiv:2604.00208,
       2026. Its effect, in formulas for random atoms, of our own derivation.

    Examples
    --------
    >>> from skcode.metrics import expected_alignment
    >>> expected = expected_alignment(100, 20)
    >>> round(expected.linear_cka, 3), round(expected.linear_regression, 3), round(expected.rsa, 3)
    (0.168, 0.2, 0.168)
    """
    m = np.ravel(n_features)
    if (
        m.size not in (1, 2)
        or m.dtype.kind not in "iu"
        or any(isinstance(each, bool) for each in np.ravel(np.array(n_features, dtype=object)))
        or m.min() < 1
    ):
        raise ValueError(f"n_features must be a positive integer or a pair of them, got {n_features!r}.")
    n = n_components
    shared = n if n_shared is None else n_shared
    if shared > n:
        raise ValueError(f"n_shared={n_shared} must be at most n_components={n}.")
    own, overlap = 2 + kurtosis / 2, 2 * (n - 1) / m
    return Bunch(
        linear_cka=float(shared / n * np.sqrt(np.prod((m / (m + n - 1))[[0, -1]]))),
        rsa=float(shared / n * np.sqrt(np.prod((own / (own + overlap))[[0, -1]]))),
        linear_regression=float(shared / n * min(1, m[0] / n)),
    )


def _checked(X, name):
    return check_array(X, dtype=np.float64, input_name=name)


def _centred_pair(X, Y):
    X, Y = _checked(X, "X"), _checked(Y, "Y")
    check_same_length(X=X, Y=Y)
    return _centred(X), _centred(Y)


def _centred(X):
    """Return X less its mean, divided by the power of two that brings its largest number to about 1.

    It rounds nothing, and without it the squares of what is very small or large would be lost.
    """
    X = np.ldexp(X, -np.frexp(np.abs(X).max())[1])
    centred = X - X[0]  # so that features which are all the same become zeros
    centred -= centred.mean(axis=0)
    return np.ldexp(centred, -np.frexp(np.abs(centred).max())[1])


def _distance_covariance(X, Y):
    """Return the covariance of squared distances over all pairs of samples, up to a factor; 0 if it is all rounding.

    Features are centred. So the products of distances add up to ``2 n sum_i |x_i|^2 |y_i|^2 + 2 sum_i |x_i|^2
    sum_i |y_i|^2 + 4 ||X' Y||^2``, and the distances to ``2 n sum_i |x_i|^2``.
    """
    n_samples = len(X)
    first, second = (np.einsum("ij,ij->i", Z, Z) for Z in (X, Y))
    pairs_are_fewer = n_samples**2 < X.shape[1] * Y.shape[1]
    overlap = np.vdot(X @ X.T, Y @ Y.T) if pairs_are_fewer else np.linalg.norm(X.T @ Y) ** 2
    common = first.sum() * second.sum() / (n_samples - 1)
    covariance = 2 * overlap - 2 * common + n_samples * ((first - first.mean()) @ (second - second.mean()))
    return covariance if abs(covariance) > np.finfo(np.float64).eps * n_samples * common else 0.0
