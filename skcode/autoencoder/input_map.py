"""What samples go through before training, and how it is folded into the weights at the end."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .._compiled import FUSED, compiled
from .._norms import sample_norms, typical_norm, warn_of_loud_samples
from .._warnings import warn
from ..preprocessing import PCAWhitener
from .weights import Weights

# Norm, in typical ones, that louder samples are scaled down to for training: the squared error of one a hundred times
# as large outweighs ten thousand others. With 30 such in 4,000 (the paper's protocol, n=100, TopK), a bound of 3 lets
# 95 % of the atoms be recovered, 5 87 %, 10 30 %, none 0 %. Samples of the protocol stay below 2.
_LOUDEST = 3.0
_FARTHEST = 1e6  # entry of a block of a stream, in units of scaled samples, before it is refused
_TOLD_BY = 256  # samples of a block that its scale is told by
_STRANGE = 10.0  # ratio of a block's typical norm to the first one's, either way, before a warning


class InputMap:
    """An invertible map of samples; this one leaves them as they are.

    Attributes
    ----------
    feature_weight : ndarray of shape (n_features,) or None
        Weights of the squared error after the map that make it the error before it, in units of ``unit**2``.
    unit : float
        Typical size of a feature before the map, where it is about 1 after it.
    adapts : bool
        Whether mapped samples are of moderate scale, whatever the samples.
    """

    feature_weight = None
    unit = 1.0
    adapts = False

    def __call__(self, X):
        """Return mapped samples."""
        return X

    def limited(self, X):
        """Return samples of which none is so loud that training would be about it alone."""
        return X

    def refuse(self, X):
        """Raise if samples are of quite another scale than those that the map was made for."""

    def strangeness(self, X):
        """Return the typical norm of samples in units of that of the samples that the map was made for."""
        return 1.0

    def directions(self, atoms):
        """Return what becomes of atoms, up to their norms."""
        return atoms

    def folded(self, weights: Weights) -> Weights:
        """Return weights that do on samples what these do on mapped samples."""
        return weights

    def unfolded(self, weights: Weights) -> Weights:
        """Return weights that do on mapped samples what these do on samples."""
        return weights


class _Adapted(InputMap):
    """A map that was made for samples of some scale.

    Parameters
    ----------
    centre : ndarray of shape (n_features,)
        Where norms are measured from.
    typical : float
        Typical norm of samples from there.
    """

    adapts = True

    def __init__(self, centre, typical):
        self.centre = centre
        self.typical = typical

    def limited(self, X):
        """Return samples, those of more than 3 times the typical norm scaled down to that, about the centre."""
        most = _LOUDEST * self.typical
        loud = np.empty(len(X), dtype=np.bool_)
        if not _mark_loud(X, self.centre, most**2, loud):
            return X
        X = X.copy()
        away = X[loud] - self.centre
        norms = np.linalg.norm(away, axis=1, keepdims=True)
        X[loud] = self.centre + away * (most / norms).astype(X.dtype)
        return X

    def refuse(self, X):
        """Raise if an entry of mapped samples is beyond a million."""
        largest = float(np.abs(self(X)).max())
        if not largest < _FARTHEST:
            raise ValueError(
                f"X must be of about the scale of the samples that the scale of inputs was set by, got one that is "
                f"{largest:.0e} times as large. Leave it out, or begin anew with a clone."
            )

    def strangeness(self, X):
        """Return the typical norm of samples in units of that of the samples that the map was made for.

        From the centre, or from their own mean: what is much quieter than the mean is seen from there only.
        """
        X = X[:_TOLD_BY]
        centres = [self.centre, _centre(X)] if self.centre.any() and len(X) > 1 else [self.centre]
        ratios = [typical_norm(sample_norms(X, centre)) / self.typical for centre in centres]
        return max(ratios, key=lambda ratio: abs(np.log(ratio)) if ratio > 0 else 0.0)


class Scaling(_Adapted):
    """Samples divided by a number; codes are scaled back with the weights, so that atoms keep their norms."""

    def __init__(self, centre, typical):
        super().__init__(centre, typical)
        self.unit = typical / np.sqrt(len(centre))

    def __call__(self, X):
        """Return scaled samples."""
        return X * X.dtype.type(1 / self.unit)

    def folded(self, weights):
        """Return weights for samples as they are."""
        return _biases_times(weights, self.unit)

    def unfolded(self, weights):
        """Return weights for scaled samples."""
        return _biases_times(weights, 1 / self.unit)


class Whitening(_Adapted):
    """Samples whitened, with the squared error of what they were; codes stay as they are, and atoms lose their norms.

    In the eigenbasis of the covariance, the error before whitening is that after it, weighted by the eigenvalues.
    """

    def __init__(self, centre, typical, X):
        super().__init__(centre, typical)
        self.whitener = PCAWhitener().fit(self.limited(X))
        back = self.whitener.unwhitening_
        variance = np.einsum("ij,ij->i", back, back)  # rows are orthogonal
        self.unit = float(np.sqrt(variance.mean()))
        self.feature_weight = variance / variance.mean()

    def __call__(self, X):
        """Return whitened samples."""
        # Without the checks of the whitener's own method, which are made once for all samples and not for each batch.
        return (X - self.whitener.mean_.astype(X.dtype)) @ self.whitener.whitening_.astype(X.dtype)

    def directions(self, atoms):
        """Return whitened atoms."""
        return atoms @ self.whitener.whitening_

    def folded(self, weights):
        """Return weights for samples as they are."""
        there, back = self.whitener.whitening_, self.whitener.unwhitening_
        # Matching pursuit has no encoder: its correlations in whitened space need one in the original.
        encoder = weights.decoder if weights.encoder is None else weights.encoder
        return _changed(
            weights,
            encoder=encoder @ there.T,
            decoder=weights.decoder @ back,
            decoder_bias=weights.decoder_bias @ back + self.whitener.mean_,
        )

    def unfolded(self, weights):
        """Return weights for whitened samples."""
        there, back = self.whitener.whitening_, self.whitener.unwhitening_
        return _changed(
            weights,
            encoder=weights.encoder @ back.T,
            decoder=weights.decoder @ there,
            decoder_bias=(weights.decoder_bias - self.whitener.mean_) @ there,
        )


def input_map_for(X, *, whiten, scale, centred, first_block=False) -> InputMap:
    """Return the map for training samples, made so that a few loud ones do not matter.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Training samples.
    whiten, scale : bool
        Whether samples are whitened, or divided by their scale.
    centred : bool
        Whether the scale is that of samples less their mean.
    first_block : bool, default=False
        Whether more samples will come, for which these must tell enough.

    Raises
    ------
    ValueError
        If norms of the samples are beyond their dtype, or a first block does not tell enough.
    """
    centre = _centre(X) if centred else np.zeros(X.shape[1])
    norms = sample_norms(X, centre)
    warn_of_loud_samples(norms)
    if not (whiten or scale):
        return InputMap()
    typical = typical_norm(norms)
    if typical == 0 and first_block:
        raise ValueError(
            f"the first block of a stream must hold samples that differ, since the scale of inputs comes from it; "
            f"got n_samples={len(X)} that do not. Give a larger block."
        )
    if whiten and first_block and len(X) <= X.shape[1]:
        raise ValueError(
            f"the first block of a stream must hold more samples than n_features={X.shape[1]} with whiten=True, "
            f"since the whitening comes from it; got n_samples={len(X)}. Give a larger block."
        )
    centre, typical = centre.astype(X.dtype), typical or float(np.sqrt(X.shape[1]))
    return Whitening(centre, typical, X) if whiten else Scaling(centre, typical)


def warn_of_strange_block(input_map: InputMap, X) -> bool:
    """Warn if a block of a stream is louder or quieter than the first; return whether it is."""
    ratio = input_map.strangeness(X)
    strange = ratio > 0 and not 1 / _STRANGE <= ratio <= _STRANGE
    if strange:
        warn(
            f"the samples of this block have {ratio:.2g} times the typical norm of those that the scale of inputs was "
            "set by, in the first block or the fit before: learning rate and penalty do not suit them. Scale them, or "
            "begin anew with a clone and a block that is like the others."
        )
    return strange


def _centre(X):
    """Return the mean of samples without the loud ones, which would move it."""
    centre = X.mean(axis=0, dtype=np.float64)
    norms = sample_norms(X, centre)
    quiet = norms <= _LOUDEST * typical_norm(norms)
    return X[quiet].mean(axis=0, dtype=np.float64) if quiet.any() and not quiet.all() else centre


@compiled(**FUSED)
def _mark_loud(X, centre, most, loud):
    """Mark the samples whose squared distance from the centre is above ``most``; return how many there are."""
    n_loud = 0
    for i in range(X.shape[0]):
        square = X.dtype.type(0)
        for f in range(X.shape[1]):
            square += (X[i, f] - centre[f]) * (X[i, f] - centre[f])
        loud[i] = square > most
        n_loud += loud[i]
    return n_loud


def _biases_times(weights, factor):
    """Return weights whose codes are multiplied by ``factor`` where samples are."""

    def times(array):
        return None if array is None else array * array.dtype.type(factor)

    return replace(
        weights,
        decoder_bias=times(weights.decoder_bias),
        encoder_bias=times(weights.encoder_bias),
        threshold=times(weights.threshold),
    )


def _changed(weights, **arrays):
    """Return weights with other arrays, in their dtype."""
    return replace(weights, **{name: array.astype(weights.decoder.dtype) for name, array in arrays.items()})
