"""How a layer shares its dimensions among features."""

from __future__ import annotations

import numpy as np

from .._norms import unit_rows
from .._validation import ArrayLike, check_array, validate_params


@validate_params({"weights": ["array-like"]}, prefer_skip_nested_validation=True)
def feature_dimensionality(weights: ArrayLike) -> np.ndarray:
    """Share of a dimension that each feature has to itself.

    For weights ``w_i`` it is ``||w_i||^2 / sum_j (w_i . w_j / ||w_i||)^2``: 1 for a feature with a direction to itself,
    1/2 for each of an antipodal pair, 2/5 for each of a pentagon, 0 for a feature that is not represented [1]_. The sum
    is at most the number of dimensions.

    Parameters
    ----------
    weights : array-like of shape (n_components, n_features)
        The direction of each feature in the layer, rows; a dictionary for instance.

    Returns
    -------
    dimensionality : ndarray of shape (n_components,), dtype float64
        Between 0 and 1.

    References
    ----------
    .. [1] Elhage et al., "Toy models of superposition", Transformer Circuits Thread, arXiv:2209.10652, 2022.

    Examples
    --------
    >>> from skcode.metrics import feature_dimensionality
    >>> feature_dimensionality([[1, 0, 0], [0, 2, 0], [0, -2, 0], [0, 0, 0]]).tolist()
    [1.0, 0.5, 0.5, 0.0]
    """
    weights = check_array(weights, dtype=np.float64, input_name="weights")
    largest = np.abs(weights).max()
    if largest > 0:
        weights = weights / largest  # the squares of what is very small or large would be lost
    shares = np.einsum("ij,ij->i", weights, weights)
    overlaps = np.einsum("ij,jk,ik->i", unit_rows(weights), weights.T @ weights, unit_rows(weights))
    return np.divide(shares, overlaps, where=overlaps > 0, out=np.zeros(len(weights)))
