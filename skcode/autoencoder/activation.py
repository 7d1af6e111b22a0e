"""What an activation is: codes, and the loss of a mini-batch with its gradients by hand.

An activation is a frozen dataclass whose fields are the parameters of the estimator that it takes. It offers

* ``first(decoder, encoder, decoder_bias)``: the parameters that training starts from;
* ``loss(parameters, X, alpha, ...)``: loss, codes and gradients of a mini-batch, as a `BatchLoss`;
* ``auxiliary(parameters, batch, dead, ...)``: adds the gradients of what dead latents could do;
* ``constrain(parameters)``: brings parameters back, after a step, to where they are defined;
* ``folded(parameters)``: the weights of inference, which are the same for all, and ``unfolded``, the way back;
* ``encode(weights, X)``: the codes of samples.

Nothing else knows an activation by name: a new one is a class and a row of ``ACTIVATIONS`` in ``plan.py``.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import numpy as np

from .codes import Codes, above, largest
from .weights import Parameters, Weights

_AUXILIARY_WEIGHT = 1 / 32  # Gao et al., 2024


class BatchLoss(NamedTuple):
    """What a mini-batch showed: sums over its samples, and the gradients of the loss."""

    squared_error: float
    penalty: float  # alpha not included
    codes: Codes
    centred: np.ndarray  # X less the decoder bias
    preactivation: np.ndarray | None
    excess: np.ndarray  # reconstruction less X
    gradients: Parameters


class Activation:
    """What all activations share, and what tells the rest of the room about one."""

    penalised: ClassVar[bool] = False  # the loss has a penalty, which `alpha` weighs
    thresholded: ClassVar[bool] = False  # codes are what exceeds thresholds, which can be set for a mean L0
    counted: ClassVar[bool] = False  # each sample has `n_active` codes: there is no mean L0 to ask for
    signed: ClassVar[bool] = False  # codes may be negative
    of_batch: ClassVar[bool] = False  # codes depend on the other samples of a mini-batch, which cannot be cut then
    learning_rate: ClassVar[float] = 3e-3  # by default
    sparsity_warmup: ClassVar[float | None] = None  # by default; None if sparsity cannot grow
    latent_starts: ClassVar[dict[str, float]] = {}  # the parameters with one number per latent, and where they start

    def first(self, decoder, encoder, decoder_bias) -> Parameters:
        """Return the parameters that training starts from."""
        own = {name: np.full(len(decoder), value, decoder.dtype) for name, value in self.latent_starts.items()}
        return Parameters(decoder=decoder, encoder=encoder, decoder_bias=decoder_bias, **own)

    def loosened(self, share) -> Activation:
        """Return the activation when a share of the way to sparsity is done: with more codes, if it counts them."""
        return self

    def restart(self, parameters, rows):
        """Set all of some latents but their weights to where training starts, in place."""
        arrays = parameters.arrays()
        for name, value in self.latent_starts.items():
            arrays[name][rows] = value

    def constrain(self, parameters):
        """Bring parameters back to where they are defined, in place."""


class FeedForward(Activation):
    """``codes = activation(encoder (x - decoder_bias) + encoder_bias)``, reconstruction ``codes decoder + bias``."""

    latent_starts: ClassVar[dict[str, float]] = {"encoder_bias": 0.0}

    def encode(self, weights: Weights, X) -> Codes:
        """Return the codes of samples."""
        level = np.zeros_like(weights.encoder_bias) if weights.threshold is None else weights.threshold
        return above(preactivation_of(weights, X - weights.decoder_bias), level)

    def loss(self, parameters: Parameters, X, alpha, n_samples=None, feature_weight=None) -> BatchLoss:
        """Return loss and gradients of a mini-batch.

        Parameters
        ----------
        parameters : Parameters
            The parameters of training.
        X : ndarray of shape (n_rows, n_features)
            Samples.
        alpha : float
            Weight of the penalty.
        n_samples : int, optional
            Number of samples that the loss is the mean of, if these are a part of a mini-batch.
        feature_weight : ndarray of shape (n_features,), optional
            Weight of the squared error of each feature.
        """
        n_samples = n_samples or len(X)
        centred = X - parameters.decoder_bias
        preactivation = preactivation_of(parameters, centred)
        error_of = SquaredError(centred, 2 / (n_samples * X.shape[1]), feature_weight)
        codes, slope, squared_error, penalty, gradients = self._backward(
            parameters, preactivation, alpha / n_samples, error_of
        )
        slope = codes.with_values(slope)
        by_component = slope.sum_by_component()
        gradients.encoder = slope.accumulate(centred)
        if gradients.encoder_bias is None:
            gradients.encoder_bias = by_component
        gradients.decoder_bias -= by_component @ parameters.encoder
        return BatchLoss(squared_error, penalty, codes, centred, preactivation, error_of.excess, gradients)

    def _backward(self, parameters, preactivation, weight, error_of):
        """Return codes, the slope of the loss by preactivation at their places, squared error and penalty, gradients.

        Whatever the gradients leave out follows from the slope.
        """
        codes = self._codes(parameters, preactivation)
        squared_error, slope, gradients = reconstruct(codes, parameters.decoder, error_of)
        penalty, slope = self._penalise(codes, slope, weight)
        return codes, slope, squared_error, penalty, gradients

    def _penalise(self, codes, slope, weight):
        return 0.0, slope

    def auxiliary(self, parameters, batch, dead, n_active, n_samples=None, feature_weight=None):
        """Add to the gradients those of what ``n_active`` dead latents a sample leave of the error (AuxK).

        The loss is 1/32 of the share of the squared error that they leave; only their own weights are moved by it.
        """
        error_of = SquaredError(-batch.excess, auxiliary_scale(batch.excess, n_samples, feature_weight), feature_weight)
        codes = largest(np.ascontiguousarray(batch.preactivation[:, dead]), min(n_active, len(dead)))
        _, slope, gradients = reconstruct(codes, parameters.decoder[dead], error_of)
        slope = codes.with_values(slope)
        batch.gradients.decoder[dead] += gradients.decoder
        batch.gradients.encoder[dead] += slope.accumulate(batch.centred)
        batch.gradients.encoder_bias[dead] += slope.sum_by_component()

    def folded(self, parameters: Parameters) -> Weights:
        """Return the weights of inference."""
        return Weights(
            decoder=parameters.decoder,
            decoder_bias=parameters.decoder_bias,
            encoder=parameters.encoder,
            encoder_bias=parameters.encoder_bias,
            threshold=np.zeros_like(parameters.encoder_bias) if self.thresholded else None,
        )

    def unfolded(self, weights: Weights) -> Parameters:
        """Return the parameters of training that `folded` makes these of."""
        return Parameters(
            decoder=weights.decoder,
            decoder_bias=weights.decoder_bias,
            encoder=weights.encoder,
            encoder_bias=weights.encoder_bias,
        )


class SquaredError:
    """Squared error of reconstructions of some samples, and its slope.

    Parameters
    ----------
    centred : ndarray of shape (n_samples, n_features)
        The samples.
    scale : float
        What the slope is multiplied by.
    feature_weight : ndarray of shape (n_features,) or None
        Weight of the squared error of each feature.

    Attributes
    ----------
    excess : ndarray of shape (n_samples, n_features)
        The last reconstruction less the samples.
    """

    def __init__(self, centred, scale, feature_weight):
        self.centred = centred
        self.scale = scale
        self.feature_weight = feature_weight
        self.excess = None

    def __call__(self, decoded):
        """Return the squared error of a reconstruction, which becomes ``excess``, and its slope."""
        decoded -= self.centred
        self.excess = decoded
        return weighted_square(decoded, self.scale, self.feature_weight)


def weighted_square(excess, scale, feature_weight=None):
    """Return the weighted sum of squares, and ``scale`` times the weighted ``excess``."""
    weighted = excess if feature_weight is None else excess * feature_weight
    return float(np.vdot(weighted, excess)), weighted * excess.dtype.type(scale)


def auxiliary_scale(excess, n_samples, feature_weight):
    """Return the slope of AuxK's loss by an error: 1/32 of the share of the squared error that dead latents leave.

    Of a mini-batch in parts, the loss is the mean of those of the parts.
    """
    squared_error, _ = weighted_square(excess, 1.0, feature_weight)
    share = len(excess) / (n_samples or len(excess))
    return 2 * _AUXILIARY_WEIGHT * share / squared_error if squared_error > 0 else 0.0


def preactivation_of(weights: Weights | Parameters, centred):
    """Return ``encoder x + encoder_bias`` of samples less the decoder bias."""
    preactivation = centred @ weights.encoder.T
    preactivation += weights.encoder_bias
    return preactivation


def reconstruct(codes, decoder, error_of):
    """Return the squared error, its slope by the codes at their places, and its gradients."""
    squared_error, error = error_of(codes.decode(decoder))
    gradients = Parameters(decoder=codes.accumulate(error), decoder_bias=error.sum(axis=0))
    return squared_error, codes.correlate(error, decoder), gradients
