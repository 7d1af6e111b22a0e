"""The feed-forward activations: which preactivations are codes, and how the loss moves what decides it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from .activation import FeedForward, preactivation_of, reconstruct
from .codes import above, largest, largest_of_all
from .weights import Parameters

_FIRST_THRESHOLD = 1e-3  # of JumpReLU, as published
_PENALTY_WARMUP = 0.1
_MOST_CODES = 4.0  # that counted ones begin with, in those wanted, where they fall; ten times as many help less


def _times_at(share):
    return _MOST_CODES ** (1 - share)


@dataclass(frozen=True)
class ReLU(FeedForward):
    """Rectified codes with an L1 penalty."""

    penalised: ClassVar[bool] = True
    sparsity_warmup: ClassVar[float] = _PENALTY_WARMUP
    # 3e-3 killed a fifth to three tenths of 500 latents that 2,500 samples were to use densely.
    learning_rate: ClassVar[float] = 1.5e-3

    def _codes(self, parameters, preactivation):
        return above(preactivation, np.zeros_like(parameters.encoder_bias))

    def _penalise(self, codes, slope, weight):
        return float(codes.values.sum()), slope + slope.dtype.type(weight)


@dataclass(frozen=True)
class TopK(FeedForward):
    """The ``n_active`` largest preactivations of a sample, if positive; no penalty (Gao et al., 2024)."""

    n_active: int
    counted: ClassVar[bool] = True
    sparsity_warmup: ClassVar[float] = 0.0

    def loosened(self, share):
        """Return the activation with more codes."""
        return replace(self, n_active=round(_times_at(share) * self.n_active))

    def _codes(self, parameters, preactivation):
        return largest(preactivation, min(self.n_active, preactivation.shape[1]))

    def encode(self, weights, X):
        """Return the codes of samples."""
        return largest(preactivation_of(weights, X - weights.decoder_bias), self.n_active)


@dataclass(frozen=True)
class BatchTopK(FeedForward):
    """The largest positive preactivations of a mini-batch, ``n_active`` a sample on average (Bussmann et al., 2024).

    Samples are coded on their own by a threshold that the same number exceed.
    """

    n_active: float
    thresholded: ClassVar[bool] = True
    of_batch: ClassVar[bool] = True
    sparsity_warmup: ClassVar[float] = 0.0

    def loosened(self, share):
        """Return the activation with more codes."""
        return replace(self, n_active=_times_at(share) * self.n_active)

    def _codes(self, parameters, preactivation):
        return largest_of_all(preactivation, round(len(preactivation) * self.n_active))


@dataclass(frozen=True)
class Matryoshka(BatchTopK):
    """BatchTopK whose first latents must reconstruct alone, for each of some nested widths (Bussmann et al., 2025).

    The squared error is the mean of those of all widths.
    """

    widths: tuple[int, ...]

    def _backward(self, parameters, preactivation, weight, error_of):
        codes = self._codes(parameters, preactivation)
        decoder, decoded, parts, errors, squared_error = parameters.decoder, 0.0, [], [], 0.0
        for start, stop in zip([0, *self.widths[:-1]], self.widths, strict=True):
            parts.append(codes.columns(start, stop))
            decoded = decoded + parts[-1][0].decode(decoder)
            squared, error = error_of(decoded.copy())
            squared_error += squared / len(self.widths)
            errors.append(error / error.dtype.type(len(self.widths)))
        slope, gradient, total = np.empty_like(codes.values), 0.0, 0.0
        for (part, places), error in zip(parts[::-1], errors[::-1], strict=True):
            total = total + error  # a latent works for the narrowest width that has it and for all wider ones
            slope[places] = part.correlate(total, decoder)
            gradient = gradient + part.accumulate(total)
        return codes, slope, squared_error, 0.0, Parameters(decoder=gradient, decoder_bias=total.sum(axis=0))


@dataclass(frozen=True)
class JumpReLU(FeedForward):
    """Rectified codes above a learned threshold per component, with an L0 penalty (Rajamanoharan et al., 2024b).

    Nothing but a straight-through estimate moves the threshold: a rectangle kernel of width ``bandwidth`` around it.
    """

    bandwidth: float
    penalised: ClassVar[bool] = True
    sparsity_warmup: ClassVar[float] = _PENALTY_WARMUP
    thresholded: ClassVar[bool] = True
    latent_starts: ClassVar[dict[str, float]] = FeedForward.latent_starts | {"threshold": _FIRST_THRESHOLD}

    def constrain(self, parameters):
        """Keep thresholds from becoming negative."""
        np.maximum(parameters.threshold, 0, out=parameters.threshold)

    def _backward(self, parameters, preactivation, weight, error_of):
        threshold, half = parameters.threshold, preactivation.dtype.type(self.bandwidth / 2)
        near = above(preactivation, threshold - half)
        level = threshold[near.indices]
        on = near.values > level
        codes = near.with_values(near.values * on)
        squared_error, slope, gradients = reconstruct(codes, parameters.decoder, error_of)
        moved = (level * slope + slope.dtype.type(weight)) * (near.values <= level + half) / (-2 * half)
        gradients.threshold = near.with_values(moved).sum_by_component()
        return codes, slope * on, squared_error, float(np.count_nonzero(on)), gradients

    def folded(self, parameters):
        """Return the weights of inference."""
        return replace(super().folded(parameters), threshold=parameters.threshold)

    def unfolded(self, weights):
        """Return the parameters of training."""
        return replace(super().unfolded(weights), threshold=weights.threshold)


@dataclass(frozen=True)
class Gated(FeedForward):
    """A gate says which latents are on, a scaled copy of its preactivation how strongly (Rajamanoharan et al., 2024a).

    ``codes = [g > 0] * max(exp(log_scale) * (g - encoder_bias) + magnitude_bias, 0)`` with ``g`` the preactivation. The
    penalty is the L1 norm of ``max(g, 0)``, which an auxiliary loss asks to reconstruct as well, on a decoder that it
    does not move.
    """

    penalised: ClassVar[bool] = True
    sparsity_warmup: ClassVar[float] = _PENALTY_WARMUP
    thresholded: ClassVar[bool] = True
    latent_starts: ClassVar[dict[str, float]] = FeedForward.latent_starts | {"log_scale": 0.0, "magnitude_bias": 0.0}

    def _backward(self, parameters, preactivation, weight, error_of):
        decoder, gate_bias = parameters.decoder, parameters.encoder_bias
        gate = above(preactivation, np.zeros_like(gate_bias))
        scale = np.exp(parameters.log_scale)[gate.indices]
        scaled = scale * (gate.values - gate_bias[gate.indices])
        magnitude = scaled + parameters.magnitude_bias[gate.indices]
        on = magnitude > 0
        _, slope_gate, _ = reconstruct(gate, decoder, error_of)
        slope_gate += slope_gate.dtype.type(weight)
        codes = gate.with_values(magnitude * on)
        squared_error, slope, gradients = reconstruct(codes, decoder, error_of)
        slope *= on
        gradients.magnitude_bias = gate.with_values(slope).sum_by_component()
        gradients.log_scale = gate.with_values(slope * scaled).sum_by_component()
        gradients.encoder_bias = gate.with_values(slope_gate).sum_by_component()
        return codes, slope_gate + slope * scale, squared_error, float(gate.values.sum()), gradients

    def folded(self, parameters):
        """Return the weights of inference: those of an equal JumpReLU."""
        scale, bias = np.exp(parameters.log_scale), parameters.magnitude_bias
        return replace(
            super().folded(parameters),
            encoder=scale[:, None] * parameters.encoder,
            encoder_bias=bias,
            threshold=np.maximum(bias - scale * parameters.encoder_bias, 0),
        )

    def unfolded(self, weights):
        """Return parameters of training that give the same codes: scales of 1."""
        return replace(
            super().unfolded(weights),
            encoder_bias=weights.encoder_bias - weights.threshold,
            magnitude_bias=weights.encoder_bias,
            log_scale=np.zeros_like(weights.encoder_bias),
        )
