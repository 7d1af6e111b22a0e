"""What samples go through before training, and how it is folded into the weights at the end."""

from __future__ import annotations

import numpy as np


class InputMap:
    """An invertible map of samples: divided by their scale, or whitened.

    Attributes
    ----------
    feature_weight : ndarray of shape (n_features,) or None
        Weights of the squared error after the map that make it the error before it, in units of ``unit**2``.
    unit : float
        Root mean square of a feature before the map, where it is 1 after it.
    """

    feature_weight = None
    unit = 1.0

    def __call__(self, X):
        """Return mapped samples."""
        return X

    def directions(self, atoms):
        """Return what becomes of atoms, up to their norms."""
        return atoms

    def folded(self, parameters):
        """Return parameters that do on samples what these do on mapped samples."""
        return parameters

    def unfolded(self, parameters):
        """Return parameters that do on mapped samples what these do on samples."""
        return parameters


class Scaling(InputMap):
    """Samples divided by a number; codes are scaled back with the weights, so that atoms keep their norms."""

    _SCALED = ("encoder_bias", "decoder_bias", "threshold")

    def __init__(self, unit):
        self.unit = unit

    def __call__(self, X):
        """Return scaled samples."""
        return X * X.dtype.type(1 / self.unit)

    def folded(self, parameters):
        """Return parameters for samples as they are."""
        return self._times(parameters, self.unit)

    def unfolded(self, parameters):
        """Return parameters for scaled samples."""
        return self._times(parameters, 1 / self.unit)

    def _times(self, parameters, factor):
        return {
            name: value * value.dtype.type(factor) if name in self._SCALED else value
            for name, value in parameters.items()
        }


class Whitening(InputMap):
    """Samples whitened, with the squared error of what they were; codes stay as they are, and atoms lose their norms.

    In the eigenbasis of the covariance, the error before whitening is that after it, weighted by the eigenvalues.
    """

    def __init__(self, whitener):
        self.whitener = whitener
        back = whitener.unwhitening_
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

    def folded(self, parameters):
        """Return parameters for samples as they are."""
        there, back = self.whitener.whitening_, self.whitener.unwhitening_
        # Matching pursuit has no encoder: its correlations in whitened space need one in the original.
        encoder = parameters.get("encoder", parameters["decoder"])
        return parameters | _cast(
            parameters["decoder"].dtype,
            encoder=encoder @ there.T,
            decoder=parameters["decoder"] @ back,
            decoder_bias=parameters["decoder_bias"] @ back + self.whitener.mean_,
        )

    def unfolded(self, parameters):
        """Return parameters for whitened samples."""
        there, back = self.whitener.whitening_, self.whitener.unwhitening_
        return parameters | _cast(
            parameters["decoder"].dtype,
            encoder=parameters["encoder"] @ back.T,
            decoder=parameters["decoder"] @ there,
            decoder_bias=(parameters["decoder_bias"] - self.whitener.mean_) @ there,
        )


def _cast(dtype, **arrays):
    return {name: array.astype(dtype) for name, array in arrays.items()}
