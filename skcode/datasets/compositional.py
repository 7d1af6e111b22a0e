"""Concepts that meet in combinations which training never showed."""

from __future__ import annotations

import math

import numpy as np
import scipy.sparse as sp
from sklearn.utils import Bunch

from .._validation import check_random_state, integers_from, real_from, validate_params
from ._dtype import check_float_dtype


@validate_params(
    {
        "n_samples": [integers_from(2)],
        "n_components": [integers_from(2)],
        "n_active": [integers_from(1)],
        "n_features": [integers_from(1), None],
        "noise": [real_from(0)],
        "sparse_codes": ["boolean"],
        "dtype": "no_validation",
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_compositional_shift(
    n_samples: int = 5000,
    n_components: int = 100,
    n_active: int = 10,
    n_features: int | None = None,
    *,
    noise: float = 0.0,
    sparse_codes: bool = False,
    dtype=np.float64,
    random_state=None,
) -> Bunch:
    """Generate sparse codes in superposition whose combinations shift between training and test.

    The protocol of "Stop Probing, Start Coding" [1]_. Samples are ``X = codes @ dictionary`` with exactly ``n_active``
    active components per sample and active values drawn from U(0, 1). Atoms are Gaussian, normalised. The label says
    whether component 0 exceeds 1/2. Which components meet is what shifts:

    * in distribution, half of the samples hold component 0 together with ``n_active - 1`` of the components
      ``1 .. n_components - n_ood - 1``; the other half hold ``n_active`` of all components but 0;
    * out of distribution, every sample holds component 0 and ``n_active - 1`` of the last ``n_ood`` components,
      ``n_ood = n_components // 2``: each concept was seen in training, never this company.

    Parameters
    ----------
    n_samples : int, default=5000
        Samples in distribution, training and validation together, half each. There are ``n_samples // 2`` samples out
        of distribution.
    n_components : int, default=100
        Number of concepts.
    n_active : int, default=10
        Number of active components in each sample, k.
    n_features : int, optional
        Dimension of the samples. By default ``max(k + 1, ceil(2 k ln(n_components / k)))``, which compressed sensing
        asks for.
    noise : float, default=0.0
        Standard deviation of Gaussian noise added to every feature.
    sparse_codes : bool, default=False
        Whether codes are returned as CSR; then no dense ``(n_samples, n_components)`` array is ever made.
    dtype : float32 or float64, default=float64
        Type of samples, codes and dictionary.
    random_state : int, RandomState instance or None, default=None
        Source of randomness.

    Returns
    -------
    data : Bunch
        ``X_train``, ``X_val``, ``X_ood`` of shape ``(·, n_features)``; ``codes_train``, ``codes_val``, ``codes_ood`` of
        shape ``(·, n_components)``; ``y_train``, ``y_val``, ``y_ood`` of shape ``(·,)``, dtype int64, 0 or 1; and
        ``dictionary`` of shape ``(n_components, n_features)``, unit-norm rows.

    Raises
    ------
    ValueError
        If ``n_active`` is more than every half of the components has room for, or ``dtype`` another one.

    References
    ----------
    .. [1] Barin Pacela, Joshi, Camacho, Lacoste-Julien, Klindt, "Stop Probing, Start Coding: Why Linear Probes and
       Sparse Autoencoders Fail at Compositional Generalisation", arXiv:2603.28744, 2026.

    Examples
    --------
    >>> from skcode.datasets import make_compositional_shift
    >>> data = make_compositional_shift(n_samples=200, n_components=50, n_active=5, random_state=0)
    >>> data.X_train.shape, data.codes_ood.shape, data.dictionary.shape
    ((100, 24), (100, 50), (50, 24))
    """
    dtype = check_float_dtype(dtype)
    n_ood = n_components // 2
    # The smallest of the three pools: component 0 with training's company, all but 0, and 0 with the OOD company.
    most_active = min(n_components - n_ood, n_components - 1, n_ood + 1)
    if n_active > most_active:
        raise ValueError(f"n_active={n_active} must be at most {most_active} with n_components={n_components}.")
    if n_features is None:
        n_features = max(n_active + 1, math.ceil(2 * n_active * math.log(n_components / n_active)))

    rng = check_random_state(random_state)
    anchored = rng.random_sample(n_samples) < 0.5
    active_id = np.empty((n_samples, n_active), dtype=np.int64)
    active_id[anchored] = _with_component_0(1, n_components - n_ood, np.count_nonzero(anchored), n_active, rng)
    active_id[~anchored] = _subsets(1, n_components, np.count_nonzero(~anchored), n_active, rng)
    active_ood = _with_component_0(n_components - n_ood, n_components, n_samples // 2, n_active, rng)
    half = n_samples // 2
    codes = {
        name: _codes(active, n_components, dtype, rng)
        for name, active in (("train", active_id[:half]), ("val", active_id[half:]), ("ood", active_ood))
    }
    # Drawn late, on purpose: a learner that is given the same seed starts from Gaussian atoms too, and would otherwise
    # start from the truth.
    dictionary = rng.standard_normal((n_components, n_features))
    dictionary = (dictionary / np.linalg.norm(dictionary, axis=1, keepdims=True)).astype(dtype)

    data = Bunch(dictionary=dictionary)
    for name, z in codes.items():
        X = z @ dictionary
        if noise > 0:
            X += (noise * rng.standard_normal(X.shape)).astype(dtype)
        data[f"X_{name}"] = X
        data[f"codes_{name}"] = z if sparse_codes else z.toarray()
        data[f"y_{name}"] = (z[:, [0]].toarray().ravel() > 0.5).astype(np.int64)
    return data


def _subsets(low, high, n_samples, size, rng):
    """Return ``n_samples`` uniform subsets of ``range(low, high)``, one per row, by Floyd's algorithm on all rows."""
    chosen = np.empty((n_samples, size), dtype=np.int64)
    for column, last in enumerate(range(high - size, high)):
        drawn = rng.randint(low, last + 1, size=n_samples)
        taken = (chosen[:, :column] == drawn[:, None]).any(axis=1)
        chosen[:, column] = np.where(taken, last, drawn)
    return chosen


def _with_component_0(low, high, n_samples, n_active, rng):
    return np.column_stack([np.zeros(n_samples, dtype=np.int64), _subsets(low, high, n_samples, n_active - 1, rng)])


def _codes(active, n_components, dtype, rng):
    n_samples, n_active = active.shape
    active = np.sort(active, axis=1)
    values = rng.random_sample(active.shape).astype(dtype)
    starts = np.arange(0, n_samples * n_active + 1, n_active)
    return sp.csr_array((values.ravel(), active.ravel(), starts), shape=(n_samples, n_components))
