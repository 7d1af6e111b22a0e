"""The sparse autoencoder as an estimator."""

from __future__ import annotations

from functools import partial
from numbers import Integral

import numpy as np
import scipy.sparse as sp

from .._base import BaseCoder
from .._parallel import map_chunks, single_threaded_blas
from .._training import Adam, minibatches
from .._validation import (
    ArrayLike,
    StrOptions,
    check_random_state,
    fit_context,
    integers_from,
    positive_real,
    real_from,
)
from .encoders import ACTIVATIONS

_CHUNK_SAMPLES = 1024  # samples encoded at once by `transform`


class SparseAutoencoder(BaseCoder):
    """Codes in one feed-forward pass: amortised sparse inference, trained with its dictionary by gradient descent.

    The loss of a mini-batch is::

        mean over samples and features of (x - x_hat)^2  +  alpha * mean over samples of penalty(codes)

    with the L1 norm as penalty for ``"relu"``, the L0 norm for ``"jumprelu"``, and none for ``"topk"`` and
    ``"matching_pursuit"``. The defaults are the published settings [1]_: Adam with decoupled weight decay, decoder
    started from the encoder, decoder gradients projected off the atoms, atoms rescaled to norm 1 every 50 epochs. In
    the terms of the authors' code:

    ================================= ==============================================
    official                          here
    ================================= ==============================================
    ``sae_type``                      ``activation`` (``MP`` is ``matching_pursuit``)
    ``width``                         ``n_components``
    ``gamma_reg = 1e-4``              ``alpha``, with the same two means
    ``kval_topk``, ``mp_kval``        ``n_active``
    ``lr = 5e-4`` of AdamW            ``learning_rate``, ``weight_decay=0.01``
    ``bandwidth = 1e-3``              ``bandwidth``
    ``renorm_every = 50``             ``renormalise_every``
    ``Ae``, ``be``, ``Ad``, ``bd``    ``encoder_components_``, ``encoder_bias_``, ``components_.T``, ``decoder_bias_``
    ================================= ==============================================

    Parameters
    ----------
    n_components : int, optional
        Number of latents; by default twice the number of features.
    activation : {"topk", "relu", "jumprelu", "matching_pursuit"}, default="topk"
        How codes are made sparse: the ``n_active`` largest preactivations; all positive ones, under an L1 penalty;
        those above a learned threshold, under an L0 penalty; or ``n_active`` greedy steps on the decoder, without an
        encoder and with signed codes.
    n_active : int, optional
        Number of active latents of ``"topk"`` and ``"matching_pursuit"``; by default ``min(10, n_components)``.
    alpha : float, default=1e-4
        Weight of the penalty of ``"relu"`` and ``"jumprelu"``.
    bandwidth : float, default=1e-3
        Width of the kernel behind the threshold gradient of ``"jumprelu"``.
    learning_rate : float, default=5e-4
        Of Adam.
    weight_decay : float, default=0.01
        Decoupled; per step, every parameter shrinks by ``learning_rate * weight_decay`` of itself.
    batch_size : int, default=64
        Samples per step; the last batch of an epoch may be smaller.
    max_epochs : int, default=500
        Passes over the training samples.
    renormalise_every : int or None, default=50
        Epochs between two rescalings of the atoms to norm 1 (the first comes after the first epoch); None for never.
    sparse_output : bool, default=False
        Whether codes are returned as CSR.
    n_jobs : int, optional
        Threads of `transform`, or workers of the active joblib backend. Training is sequential.
    random_state : int, RandomState instance or None, default=None
        Source of the initial weights and of the order of samples.
    verbose : int, default=0
        1 prints a line now and then, 2 one for each epoch.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        Decoder: the dictionary, atoms in rows.
    encoder_components_ : ndarray of shape (n_components, n_features)
        Encoder weights (not for ``"matching_pursuit"``).
    encoder_bias_ : ndarray of shape (n_components,)
        Encoder bias (not for ``"matching_pursuit"``).
    decoder_bias_, offset_ : ndarray of shape (n_features,)
        Decoder bias, subtracted before encoding; two names of one array.
    threshold_ : ndarray of shape (n_components,)
        Learned thresholds (``"jumprelu"`` only).
    mean_ : ndarray of shape (n_features,)
        Mean of the training data.
    n_iter_ : int
        Epochs made.
    history_ : dict of list of float
        For each epoch: ``squared_error``, ``penalty`` and ``mean_l0`` over its batches.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, if ``X`` had any.

    See Also
    --------
    skcode.FISTACoder : Per-sample optimal codes on a dictionary, an autoencoder's for instance.
    skcode.metrics.amortisation_gap : What the feed-forward pass loses.

    References
    ----------
    .. [1] Barin Pacela et al., "Stop Probing, Start Coding", arXiv:2603.28744, 2026.

    Examples
    --------
    >>> from skcode import SparseAutoencoder
    >>> from skcode.datasets import make_compositional_shift
    >>> data = make_compositional_shift(n_samples=400, n_components=50, n_active=5, random_state=0)
    >>> sae = SparseAutoencoder(50, n_active=5, max_epochs=50, random_state=0).fit(data.X_train)
    >>> codes = sae.transform(data.X_val)
    >>> codes.shape, int((codes != 0).sum(axis=1).max())
    ((200, 50), 5)
    """

    _parameter_constraints = {
        "n_components": [integers_from(1), None],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "n_active": [integers_from(1), None],
        "alpha": [real_from(0)],
        "bandwidth": [positive_real()],
        "learning_rate": [positive_real()],
        "weight_decay": [real_from(0)],
        "batch_size": [integers_from(1)],
        "max_epochs": [integers_from(1)],
        "renormalise_every": [integers_from(1), None],
        "sparse_output": ["boolean"],
        "n_jobs": [None, Integral],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        n_components=None,
        *,
        activation="topk",
        n_active=None,
        alpha=1e-4,
        bandwidth=1e-3,
        learning_rate=5e-4,
        weight_decay=0.01,
        batch_size=64,
        max_epochs=500,
        renormalise_every=50,
        sparse_output=False,
        n_jobs=None,
        random_state=None,
        verbose=0,
    ):
        self.n_components = n_components
        self.activation = activation
        self.n_active = n_active
        self.alpha = alpha
        self.bandwidth = bandwidth
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.renormalise_every = renormalise_every
        self.sparse_output = sparse_output
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y=None) -> SparseAutoencoder:
        """Train encoder and decoder.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training samples.
        y : ignored
            Present for API consistency.

        Returns
        -------
        self : SparseAutoencoder
            The fitted autoencoder.

        Raises
        ------
        ValueError
            If ``n_active`` exceeds the number of components, or training diverges.
        """
        X = self._check_training_samples(X)
        n_components = 2 * X.shape[1] if self.n_components is None else self.n_components
        n_active = min(10, n_components) if self.n_active is None else self.n_active
        if n_active > n_components:
            raise ValueError(f"n_active={n_active} must be at most n_components={n_components}.")
        self._encoder = ACTIVATIONS[self.activation](n_active, self.bandwidth)
        rng = check_random_state(self.random_state)
        parameters = _initial_parameters(n_components, X, rng)
        self._encoder.initialise(parameters)
        with single_threaded_blas:
            self.history_ = self._train(X, parameters, rng)

        self.mean_ = X.mean(axis=0, dtype=np.float64).astype(X.dtype)
        self.n_iter_ = self.max_epochs
        self._store(parameters)
        return self

    def _train(self, X, parameters, rng):
        optimiser = Adam(parameters, self.learning_rate, self.weight_decay)
        history = {"squared_error": [], "penalty": [], "mean_l0": []}
        for epoch in range(self.max_epochs):
            totals = np.zeros(3)
            for batch in minibatches(len(X), self.batch_size, rng):
                squared_error, penalty, codes, gradients = self._encoder.loss_and_gradients(
                    parameters, X[batch], self.alpha
                )
                _project_off_atoms(gradients["decoder"], parameters["decoder"])
                optimiser.step(gradients)
                totals += len(batch) * np.array([squared_error, penalty, np.count_nonzero(codes) / len(batch)])
            if not np.isfinite(totals).all():
                raise ValueError(
                    f"training diverged in epoch {epoch + 1}: learning_rate={self.learning_rate:g} is too large, or X "
                    "is not of moderate scale."
                )
            for values, total in zip(history.values(), totals, strict=True):
                values.append(float(total / len(X)))
            if self.renormalise_every is not None and epoch % self.renormalise_every == 0:
                _normalise_atoms(parameters["decoder"])
            self._report(epoch + 1, history)
        return history

    def _report(self, epoch, history):
        if self.verbose > 1 or (self.verbose == 1 and epoch % max(1, self.max_epochs // 20) == 0):
            latest = ", ".join(f"{name} {values[-1]:.4g}" for name, values in history.items())
            print(f"[{type(self).__name__}] epoch {epoch} of {self.max_epochs}: {latest}")

    def _store(self, parameters):
        if self._encoder.signed:
            _normalise_atoms(parameters["decoder"])  # codes were made on unit atoms all along
        self.components_ = parameters["decoder"]
        self.decoder_bias_ = self.offset_ = parameters["decoder_bias"]
        for attribute in ("encoder_components_", "encoder_bias_", "threshold_"):
            self.__dict__.pop(attribute, None)  # of an earlier fit with another activation
        if "encoder" in parameters:
            self.encoder_components_, self.encoder_bias_ = parameters["encoder"], parameters["encoder_bias"]
        if "log_threshold" in parameters:
            self.threshold_ = self._encoder.threshold(parameters)

    def _encode(self, X):
        names = {"components_": "decoder", "offset_": "decoder_bias", "encoder_components_": "encoder",
                 "encoder_bias_": "encoder_bias", "threshold_": "threshold"}  # fmt: skip
        parameters = {
            name: getattr(self, attribute).astype(X.dtype, copy=False)
            for attribute, name in names.items()
            if hasattr(self, attribute)
        }
        work = partial(_encode_slice, X=X, encoder=self._encoder, parameters=parameters, sparse=self.sparse_output)
        blocks = map_chunks(work, len(X), _CHUNK_SAMPLES, self.n_jobs)
        return sp.vstack(blocks, format="csr") if self.sparse_output else np.concatenate(blocks)


def _encode_slice(part, *, X, encoder, parameters, sparse):
    codes = encoder.encode(parameters, X[part])
    return sp.csr_array(codes) if sparse else codes


def _initial_parameters(n_components, X, rng):
    """Return tied random weights: Kaiming-uniform encoder (as torch's linear layers), decoder its unit-norm copy."""
    bound = 1.0 / np.sqrt(X.shape[1])
    encoder = rng.uniform(-bound, bound, size=(n_components, X.shape[1])).astype(X.dtype)
    decoder = encoder.copy()
    _normalise_atoms(decoder)
    return {
        "encoder": encoder,
        "encoder_bias": np.zeros(n_components, dtype=X.dtype),
        "decoder": decoder,
        "decoder_bias": np.zeros(X.shape[1], dtype=X.dtype),
    }


def _normalise_atoms(decoder):
    decoder /= np.maximum(np.linalg.norm(decoder, axis=1, keepdims=True), 1e-8)


def _project_off_atoms(gradient, decoder):
    """Take out of each atom's gradient its part along the atom, in place, so that norms stay about 1.

    As published, without dividing by the squared norm, which between two rescalings is only about 1.
    """
    gradient -= np.einsum("ij,ij->i", gradient, decoder)[:, None] * decoder
