"""How sparse codes are: thresholds for a mean L0, and a word where what was asked for is missed."""

from __future__ import annotations

from dataclasses import replace
from math import log
from typing import NamedTuple

import numpy as np

from .activation import preactivation_of
from .weights import Weights

# Ratio of mean L0s, either way, before a warning. Penalties that have had the time come within 2 % on the paper's
# protocol (n=100, 6,000 steps); in a hundredth of it they leave twice to nine times as many codes.
_MISSED = 1.25
_TIES = 16  # preactivations that differ by less are equal, in units of the rounding of the largest


class Sparsity(NamedTuple):
    """Mean L0 of codes of samples."""

    trained: float  # as training left them
    reached: float  # after thresholds were set


def missed(l0, wanted) -> bool:
    """Return whether a mean L0 is more than a quarter away from the one wanted."""
    return abs(log(max(l0, 1e-2) / wanted)) > log(_MISSED)


def calibrated(weights: Weights, X, l0) -> tuple[Weights, Sparsity]:
    """Return weights whose thresholds are all moved by the same, so that codes of samples have a mean L0.

    Thresholds lie half way between what is to be on and what is not, so that rounding does not matter. Preactivations
    that are equal are on or off together: what comes nearest is taken.

    Parameters
    ----------
    weights : Weights
        With thresholds.
    X : ndarray of shape (n_samples, n_features)
        Samples.
    l0 : float
        Mean L0 wanted.
    """
    preactivation = preactivation_of(weights, X - weights.decoder_bias)
    above_by = (preactivation - weights.threshold).ravel()
    trained = np.count_nonzero(preactivation > weights.threshold) / len(X)
    n_wanted = min(max(round(l0 * len(X)), 1), above_by.size)
    last = -np.partition(-above_by, n_wanted - 1)[n_wanted - 1]
    tie = _TIES * np.finfo(X.dtype).eps * np.abs(preactivation).max()
    higher, lower = above_by > last + tie, above_by < last - tie
    n_higher, n_lower = np.count_nonzero(higher), np.count_nonzero(lower)
    if n_wanted - n_higher < above_by.size - n_lower - n_wanted and n_higher:  # nearer without the last and its equals
        off, on = above_by[~(higher | lower)].max(), above_by[higher].min()
    else:
        on = above_by[~(higher | lower)].min()
        off = above_by[lower].max() if n_lower else on - np.abs(on)
    threshold = np.maximum(weights.threshold + (on + off) / 2, 0).astype(X.dtype, copy=False)
    reached = np.count_nonzero(preactivation > threshold) / len(X)
    return replace(weights, threshold=threshold), Sparsity(trained, reached)


def complaint(sparsity: Sparsity, wanted, n_steps, *, steered) -> str | None:
    """Return what is to be said where codes are not as sparse as was asked for, or were not without their thresholds.

    Parameters
    ----------
    sparsity : Sparsity
        What came.
    wanted : float
        Mean L0 that was asked for.
    n_steps : int
        Steps made.
    steered : bool
        Whether training was to come there by its penalty.
    """
    if steered and missed(sparsity.trained, wanted):
        said = (
            f"codes had a mean L0 of {sparsity.trained:.3g} when training ended (step {n_steps}), and {wanted:g} was "
            "asked for: the penalty was not steered there yet. Train for longer (max_epochs, or more blocks of a "
            "stream), with a smaller batch_size, or give alpha."
        )
        if not missed(sparsity.reached, wanted):
            said += f" Thresholds now give {sparsity.reached:.3g}, at the price of a larger error."
        return said
    if missed(sparsity.reached, wanted):
        return (
            f"codes have a mean L0 of {sparsity.reached:.3g}, and {wanted:g} was asked for: no threshold comes nearer, "
            "since preactivations are equal or too few of them are positive. Ask for a mean L0 near that (target_l0 or "
            "n_active), or train for longer."
        )
    return None
