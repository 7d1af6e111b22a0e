"""Sparse features of unequal importance, for toy models of superposition."""

from __future__ import annotations

import numpy as np
from sklearn.utils import Bunch

from .._validation import check_random_state, integers_from, positive_real, unit_interval, validate_params
from ._dtype import check_float_dtype


@validate_params(
    {
        "n_samples": [integers_from(1)],
        "n_components": [integers_from(1)],
        "sparsity": [unit_interval()],
        "importance_decay": [positive_real()],
        "dtype": "no_validation",
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_toy_superposition(
    n_samples: int = 1000,
    n_components: int = 20,
    *,
    sparsity: float = 0.9,
    importance_decay: float = 0.7,
    dtype=np.float64,
    random_state=None,
) -> Bunch:
    """Generate the samples of toy models of superposition: independent sparse features, some more important.

    A feature is 0 with probability ``sparsity``, else drawn from U(0, 1) [1]_. A toy model squeezes them through fewer
    dimensions, ``relu(x W W' + b)``, and is trained on ``sum_i importance_i (x_i - x^_i)^2``.

    Parameters
    ----------
    n_samples : int, default=1000
        Number of samples.
    n_components : int, default=20
        Number of features of a sample, each a concept of its own.
    sparsity : float, default=0.9
        Probability that a feature is 0, between 0 and 1.
    importance_decay : float, default=0.7
        Feature i has importance ``importance_decay ** i``.
    dtype : float32 or float64, default=float64
        Type of samples and importances.
    random_state : int, RandomState instance or None, default=None
        Source of randomness.

    Returns
    -------
    data : Bunch
        ``X`` of shape (n_samples, n_components) and ``importance`` of shape (n_components,).

    Raises
    ------
    ValueError
        If ``dtype`` is another one, or an importance is beyond it.

    References
    ----------
    .. [1] Elhage et al., "Toy models of superposition", Transformer Circuits Thread, arXiv:2209.10652, 2022.

    Examples
    --------
    >>> from skcode.datasets import make_toy_superposition
    >>> data = make_toy_superposition(500, 5, sparsity=0.8, random_state=0)
    >>> data.X.shape, data.importance.round(2).tolist()
    ((500, 5), [1.0, 0.7, 0.49, 0.34, 0.24])
    """
    dtype = check_float_dtype(dtype)
    rng = check_random_state(random_state)
    X = rng.random_sample((n_samples, n_components))
    X[rng.random_sample(X.shape) < sparsity] = 0.0
    with np.errstate(over="ignore"):
        importance = (float(importance_decay) ** np.arange(n_components)).astype(dtype)
    if not np.isfinite(importance).all():
        raise ValueError(f"importance_decay={importance_decay:g} ** i is beyond {dtype} for {n_components} components.")
    return Bunch(X=X.astype(dtype), importance=importance)
