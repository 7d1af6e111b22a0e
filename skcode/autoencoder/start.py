"""Where training starts: tied weights, and the centre of the samples."""

from __future__ import annotations

import numpy as np

from .._norms import unit_rows
from .weights import Parameters

_SAMPLED = 8192  # samples that start values, resampling and thresholds are judged by
_KEPT = 1024  # of a stream, to judge small blocks by: they tell a mean L0 to .6 % if that of samples varies by a fifth
_MEDIAN_STEPS = 50  # from 20 on, rounding alone moves the median, also of samples with some 100 times as loud


def first_parameters(X, atoms, plan, input_map, rng) -> Parameters:
    """Return the parameters to start from, for mapped samples: decoder and encoder tied.

    Without ``atoms`` the encoder is Kaiming-uniform, as torch's linear layers, and the decoder its unit-norm copy.
    """
    if atoms is None:
        bound = 1.0 / np.sqrt(X.shape[1])
        encoder = rng.uniform(-bound, bound, size=(plan.n_components, X.shape[1]))
        decoder = unit_rows(encoder)
    else:
        decoder = unit_rows(input_map.directions(atoms))
        unused = ~decoder.any(axis=1)  # by a learner with atoms to spare; as zeros they could never be used
        decoder[unused] = unit_rows(rng.standard_normal((np.count_nonzero(unused), X.shape[1])))
        encoder = decoder.copy()
    centre = CENTRES[plan.bias_init](some(X, rng), input_map)
    arrays = (np.ascontiguousarray(array, dtype=X.dtype) for array in (decoder, encoder, centre))
    return plan.activation.first(*arrays)


def some(X, rng):
    """Return the samples, or a random choice if there are very many."""
    if len(X) <= _SAMPLED:
        return X
    return X[np.sort(rng.choice(len(X), _SAMPLED, replace=False))]


def latest(earlier, X):
    """Return the samples of a stream to judge by: a block, with earlier ones if it has few."""
    return X if earlier is None or len(X) >= _KEPT else np.concatenate([earlier, X])[-_KEPT:]


def kept(judge):
    """Return what is kept of them for the next block."""
    return judge[-_KEPT:].copy()


def _zero(X, input_map):
    """Return what zero is mapped to."""
    return input_map(np.zeros((1, X.shape[1]), dtype=X.dtype))[0]


def _mean(X, input_map):
    return input_map(input_map.limited(X)).mean(axis=0, dtype=np.float64)


def _median(X, input_map):
    """Return the geometric median of mapped samples (Weiszfeld's iteration)."""
    X = input_map(input_map.limited(X))
    centre = X.mean(axis=0, dtype=np.float64)
    for _ in range(_MEDIAN_STEPS):
        nearness = 1 / np.maximum(np.linalg.norm(X - centre, axis=1), 1e-10)
        centre = nearness @ X / nearness.sum()
    return centre


CENTRES = {"mean": _mean, "median": _median, "zero": _zero}
