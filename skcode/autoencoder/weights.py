"""The numbers of an autoencoder: those that read codes off, and those that training moves."""

from __future__ import annotations

from dataclasses import dataclass, fields
from hashlib import blake2b

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

    def digest(self) -> bytes:
        """Return what tells these weights from others, in any bit."""
        hashed = blake2b()
        for field in fields(self):
            array = getattr(self, field.name)
            if array is not None:
                hashed.update(f"{field.name} {array.dtype} {array.shape}".encode())
                hashed.update(np.ascontiguousarray(array))
        return hashed.digest()

    @classmethod
    def of(cls, estimator, dtype) -> Weights:
        """Return the fitted attributes of an autoencoder, in a dtype; others may have been assigned, but must fit."""
        n_components, n_features = len(estimator.components_), estimator.n_features_in_

        def fitted(attribute, *shape):
            value = getattr(estimator, attribute, None)
            if value is None:
                return None
            array = np.asarray(value)
            if array.shape != shape or array.dtype.kind not in "iuf":
                raise ValueError(
                    f"{attribute} must be an array of numbers of shape {shape}, got {array.dtype} of {array.shape}."
                )
            return array.astype(dtype, copy=False)

        return cls(
            decoder=fitted("components_", n_components, n_features),
            decoder_bias=fitted("decoder_bias_", n_features),
            encoder=fitted("encoder_components_", n_components, n_features),
            encoder_bias=fitted("encoder_bias_", n_components),
            threshold=fitted("threshold_", n_components),
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
