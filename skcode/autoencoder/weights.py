"""The numbers of an autoencoder: those that read codes off, and those that training moves."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np


@dataclass(frozen=True)
class Weights:
    """What codes are read off with; the same for all activations, None where one has no such thing.

    Parameters
    ----------
    decoder : ndarray of shape (n_components, n_features)
        Atoms.
    decoder_bias : ndarray of shape (n_features,)
        Subtracted from samples, and added to reconstructions.
    encoder : ndarray of shape (n_components, n_features), optional
        Weights of the preactivations.
    encoder_bias : ndarray of shape (n_components,), optional
        Their bias.
    threshold : ndarray of shape (n_components,), optional
        What preactivations must exceed to be codes.
    """

    decoder: np.ndarray
    decoder_bias: np.ndarray
    encoder: np.ndarray | None = None
    encoder_bias: np.ndarray | None = None
    threshold: np.ndarray | None = None

    def copy(self) -> Weights:
        """Return weights of their own."""
        named = ((field.name, getattr(self, field.name)) for field in fields(self))
        return Weights(**{name: None if array is None else array.copy() for name, array in named})

    @classmethod
    def of(cls, estimator, dtype) -> Weights:
        """Return the fitted attributes of an autoencoder, in a dtype."""

        def fitted(attribute):
            value = getattr(estimator, attribute, None)
            return None if value is None else value.astype(dtype, copy=False)

        return cls(
            decoder=fitted("components_"),
            decoder_bias=fitted("decoder_bias_"),
            encoder=fitted("encoder_components_"),
            encoder_bias=fitted("encoder_bias_"),
            threshold=fitted("threshold_"),
        )


@dataclass
class Parameters:
    """What training moves, or the gradient of the loss by it; None where an activation has no such thing.

    Parameters
    ----------
    decoder, encoder : ndarray of shape (n_components, n_features)
        Weights of both directions; matching pursuit has no encoder.
    decoder_bias : ndarray of shape (n_features,)
        Subtracted from samples, and added to reconstructions.
    encoder_bias, threshold, log_scale, magnitude_bias : ndarray of shape (n_components,), optional
        One number per latent, as the activations describe them.
    """

    decoder: np.ndarray
    decoder_bias: np.ndarray
    encoder: np.ndarray | None = None
    encoder_bias: np.ndarray | None = None
    threshold: np.ndarray | None = None
    log_scale: np.ndarray | None = None
    magnitude_bias: np.ndarray | None = None

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays that are there, by name."""
        return {name: array for name in _NAMES if (array := getattr(self, name)) is not None}

    def copy(self) -> Parameters:
        """Return parameters of their own, C-contiguous and writable whatever these are."""
        return Parameters(**{name: np.array(array, order="C") for name, array in self.arrays().items()})


_NAMES = tuple(field.name for field in fields(Parameters))  # once: every step of training goes through them
