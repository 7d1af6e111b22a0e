"""The sparse autoencoder as an estimator."""

from __future__ import annotations

from copy import copy
from functools import partial

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from .._callbacks import CallbackSupportMixin, with_callbacks
from .._training import hold_out, record
from .._validation import (
    FLOATS,
    ArrayLike,
    StrOptions,
    check_random_state,
    check_start,
    check_unchanged,
    fit_context,
    integers_from,
    open_unit_interval,
    positive_real,
    real_from,
    unit_interval,
    validate_data,
)
from .._warnings import warn
from ..base import AmortisedCoder
from .input_map import input_map_for, warn_of_strange_block
from .plan import ACTIVATIONS, Plan
from .start import CENTRES, kept, latest
from .stopping import Best
from .training import Training
from .weights import Weights


class SparseAutoencoder(CallbackSupportMixin, AmortisedCoder):
    """Codes in one feed-forward pass: amortised sparse inference, trained with its dictionary by gradient descent.

    The loss of a mini-batch, on samples divided by the typical size of a feature (``scale_inputs``), is::

        mean over samples and features of (x - x_hat)^2  +  alpha * mean over samples of penalty(codes)

    The penalty of ``"relu"`` is the sum of codes, that of ``"jumprelu"`` their number; the others have none, but for
    ``"gated"``: it penalises the sum of the positive preactivations of its gate, and adds the error of what they
    reconstruct as codes. The error of ``"matryoshka"`` is the mean of those of its widths. With ``whiten``, the error
    is divided by the mean variance of a feature. ``dead_latents="auxk"`` adds 1/32 of the share of the squared error
    that dead latents leave of it, at most half as many for a sample as there are features; it moves only them.

    Adam makes the steps. The scale is folded back into the weights at the end, so that every fitted attribute but
    ``alpha_`` speaks of samples as they are. The defaults are meant to train well as they stand. The published settings
    [1]_ are::

        bias_init="zero", scale_inputs=False, learning_rate=5e-4, weight_decay=0.01, warmup=0, decay=0,
        sparsity_warmup=0, renormalise_every=50, dead_latents=None, batch_size=64, max_epochs=500

    with ``alpha=1e-4`` where there is a penalty and ``bandwidth=1e-3`` for ``"jumprelu"``. In the terms of the authors'
    code ``sae_type`` is ``activation`` (``MP`` is ``"matching_pursuit"``), ``width`` ``n_components``, ``gamma_reg``
    ``alpha``, ``kval_topk`` and ``mp_kval`` ``n_active``, ``lr`` of AdamW ``learning_rate`` with ``weight_decay=0.01``,
    ``renorm_every`` ``renormalise_every``, and the weights ``Ae``, ``be``, ``Ad``, ``bd`` are ``encoder_components_``,
    ``encoder_bias_``, ``components_.T``, ``decoder_bias_``. An L1 loss of weight ``alpha`` is, for unscaled samples,
    the problem of `FISTACoder` with ``n_features / 2`` times that. AdamW shrinks all parameters, and before its step;
    with its decay of 5e-6 a step that makes no difference beyond that between seeds.

    Parameters
    ----------
    n_components : int, optional
        Number of latents; by default that of ``dictionary_init``, or twice the number of features.
    activation : {"topk", "batchtopk", "matryoshka", "relu", "jumprelu", "gated", "matching_pursuit"}, default="topk"
        How codes are made sparse.

        - ``"topk"``: the ``n_active`` largest preactivations of each sample, if positive [2]_.
        - ``"batchtopk"``: as many on average, the largest of a mini-batch; after training, those above one threshold
          that gives the same mean L0 on training samples [3]_.
        - ``"matryoshka"``: the same, with dictionaries of nested ``widths`` that must each reconstruct alone [4]_.
        - ``"relu"``: all positive ones, under an L1 penalty.
        - ``"jumprelu"``: those above a learned threshold each, under an L0 penalty, by straight-through gradients [5]_.
        - ``"gated"``: a gate under an L1 penalty says which, another scale and bias how strongly [6]_; fitted, it is a
          JumpReLU.
        - ``"matching_pursuit"``: ``n_active`` greedy steps on the decoder, without an encoder, with signed codes.
    n_active : int, optional
        Number of active latents wanted, on training samples where it is a mean; others may have more, if training
        samples are few for the number of latents. By default ``min(10, n_components)``. The penalties of ``"relu"``,
        ``"jumprelu"`` and ``"gated"`` are steered to it, unless ``alpha`` or ``target_l0`` is given.
    alpha : float or "auto", default="auto"
        Weight of the penalty of ``"relu"``, ``"jumprelu"`` and ``"gated"``; ``"auto"`` is steered during training so
        that the mean L0 becomes ``n_active``.
    target_l0 : float, optional
        Mean number of active latents wanted, in place of ``n_active`` and ``alpha``; not for ``"topk"`` and
        ``"matching_pursuit"``. At last, all thresholds are moved by the same so that it is met on the training samples,
        or on those held out if there are any (``"relu"`` has none: it comes close). Equal preactivations are on or off
        together; between them, what is nearest is taken.
    bandwidth : float, default=0.5
        Width of the kernel behind the threshold gradient of ``"jumprelu"``, in units of scaled preactivations.
    widths : array-like of int, optional
        Nested widths of ``"matryoshka"``, increasing up to ``n_components``; by default an eighth, a quarter, a half
        and all of them.
    dictionary_init : array-like of shape (n_components, n_features), optional
        Where decoder and encoder start, each atom scaled to norm 1, and random in place of zeros; by default random.
    bias_init : {"mean", "median", "zero"}, default="mean"
        Where the decoder bias starts: the mean of the training samples, their geometric median, or zero.
    scale_inputs : bool, default=True
        Whether samples are divided for training by the typical size of a feature, so that the other parameters do not
        depend on their scale: the median norm of samples (less their mean, unless ``bias_init="zero"``), divided by the
        root of the number of features. With ``whiten`` they do not anyway. With either, samples of more than 3 times
        the median norm are scaled down to that, in training only: the squared error of a few loud ones would leave
        nothing to the others.
    whiten : bool, default=False
        Whether samples are whitened for training (`skcode.preprocessing.PCAWhitener`): the encoder works and codes are
        penalised in whitened space, the error is that of samples as they are [7]_. Folded into the weights at the end;
        atoms then do not have norm 1.
    learning_rate : float, optional
        Of Adam; by default 3e-3, and 1.5e-3 for ``"relu"``, whose latents die of more and cannot be revived by
        ``"auxk"`` once no sample has a positive preactivation.
    weight_decay : float, default=0.3
        Decoupled; per step, the weights of the latents in use shrink by ``learning_rate * weight_decay`` of themselves,
        at most 1. It keeps encoders from learning few samples by heart.
    warmup, decay : float, default=0.05, 0.3
        Shares of the steps, at the beginning and at the end, over which the learning rate grows from 0 and falls to 0.
    sparsity_warmup : float, optional
        Share of the steps over which sparsity grows. A penalty grows from 0, by default over 0.1 of them. The number of
        active latents of ``"topk"``, ``"batchtopk"`` and ``"matryoshka"`` falls from four times as many; by default
        it is the same throughout. With many samples and as many latents as concepts, 0.8 finds far more of these;
        with few samples it costs agreement. That of ``"matching_pursuit"`` cannot change.
    renormalise_every : "step", int or None, default="step"
        When atoms are scaled to norm 1: after every step, after the first of so many epochs, or never. Their gradients
        are always projected off the atoms.
    dead_latents : {"auxk", "resample"} or None, default="auxk"
        What is done for latents that are no longer used: they learn to reconstruct what is missed by the others [2]_,
        or are given a new start at badly reconstructed samples, until half of the training is over [8]_.
    dead_after : int, optional
        Samples without any use after which a latent counts as dead; by default 400 times as many as lie between two
        uses if all are used alike, ``400 * n_components`` divided by the mean L0 wanted.
    batch_size : int, default=64
        Samples per step; the last batch of an epoch may be smaller. Large ones are shared among threads, but for
        ``"batchtopk"`` and ``"matryoshka"``, which choose from all of a batch.
    max_epochs : int, optional
        Passes over the training samples; by default as many as make 20,000 steps, but at most 500.
    validation_fraction : float, optional
        Share of the training samples, between 0 and 1, that `fit` does not learn from but judges each epoch by.
        Training stops when that (and the penalty, where ``alpha`` is given) does not improve, and the best weights are
        kept; epochs before the penalty is at its height, or the wanted mean L0 is reached, do not count. The learning
        rate does not know: give ``decay=0``, or it may not get to fall.
    n_iter_no_change : int, default=10
        Epochs without improvement after which training stops.
    tol : float, default=1e-4
        Relative improvement that counts.
    refine : coder, optional
        A `FISTACoder`, say, which goes on from the codes (inference-time optimisation), on the fitted decoder and
        decoder bias: they take the place of its ``dictionary`` and ``offset``. Its other parameters are
        ``refine__alpha`` and so on. Training knows nothing of it.
    sparse_output : bool, default=False
        Whether codes are returned as CSR.
    n_jobs : int, optional
        Threads (or workers of the active joblib backend), of `transform` and for mini-batches of more than 512 samples.
        The results are the same bits whatever the number.
    random_state : int, RandomState instance or None, default=None
        Source of the initial weights and of the order of samples.
    verbose : int, default=0
        1 prints some twenty lines in a `fit`, 2 one for each epoch; both one for each block of a stream.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        Decoder: the dictionary, atoms in rows. It and the other weights may be assigned, of the shapes that they have.
    encoder_components_ : ndarray of shape (n_components, n_features)
        Encoder weights (for ``"matching_pursuit"`` only with ``whiten``).
    encoder_bias_ : ndarray of shape (n_components,)
        Encoder bias (not for ``"matching_pursuit"``).
    threshold_ : ndarray of shape (n_components,)
        What preactivations must exceed to be codes (``"batchtopk"``, ``"matryoshka"``, ``"jumprelu"``, ``"gated"``).
    decoder_bias_, offset_ : ndarray of shape (n_features,)
        Decoder bias, subtracted before encoding; two names of one array.
    mean_ : ndarray of shape (n_features,)
        Mean of the training data; of a stream, of all blocks so far.
    alpha_ : float
        Weight of the penalty at the end of training, on scaled samples; 0 where there is none.
    refiner_ : coder or None
        ``refine``, fitted.
    n_iter_ : int
        Epochs made; calls of `partial_fit`.
    history_ : dict of list of float
        For each epoch: ``squared_error`` (per feature, in units of the samples; of ``"matryoshka"``, the mean over
        widths), ``penalty`` (weighed, on scaled samples) and ``mean_l0`` over its batches; ``dead``, the share of
        latents at its end that ``dead_after`` samples have not used, which in a short `fit` is 0; ``alpha`` where there
        is a penalty; ``held_out``, with ``validation_fraction``: minus the `score` of what has been held out, without
        ``refine``.
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
    .. [2] Gao et al., "Scaling and evaluating sparse autoencoders", arXiv:2406.04093, 2024.
    .. [3] Bussmann, Leask and Nanda, "BatchTopK Sparse Autoencoders", arXiv:2412.06410, 2024.
    .. [4] Bussmann et al., "Learning Multi-Level Features with Matryoshka Sparse Autoencoders", arXiv:2503.17547, 2025.
    .. [5] Rajamanoharan et al., "Jumping Ahead: Improving Reconstruction Fidelity with JumpReLU Sparse Autoencoders",
       arXiv:2407.14435, 2024.
    .. [6] Rajamanoharan et al., "Improving Dictionary Learning with Gated Sparse Autoencoders", arXiv:2404.16014, 2024.
    .. [7] Saraswatula and Klindt, "Data Whitening Improves Sparse Autoencoder Learning", arXiv:2511.13981, 2025.
    .. [8] Bricken et al., "Towards Monosemanticity", Transformer Circuits Thread, 2023.

    Examples
    --------
    >>> from skcode import SparseAutoencoder
    >>> from skcode.datasets import make_compositional_shift
    >>> data = make_compositional_shift(n_samples=400, n_components=50, n_active=5, random_state=0)
    >>> sae = SparseAutoencoder(50, n_active=5, max_epochs=50, random_state=0).fit(data.X_train)
    >>> codes = sae.transform(data.X_val)
    >>> codes.shape, int((codes != 0).sum(axis=1).max())
    ((200, 50), 5)

    As the paper trains it, and a steered penalty:

    >>> published = SparseAutoencoder(
    ...     50, activation="relu", alpha=1e-4, bias_init="zero", scale_inputs=False, learning_rate=5e-4,
    ...     weight_decay=0.01, warmup=0, decay=0, sparsity_warmup=0, renormalise_every=50, dead_latents=None,
    ...     max_epochs=20, random_state=0,
    ... ).fit(data.X_train)
    >>> jump = SparseAutoencoder(50, activation="jumprelu", target_l0=5, batch_size=16, max_epochs=50, random_state=0)
    >>> bool(abs((jump.fit(data.X_train).transform(data.X_train) != 0).sum(axis=1).mean() - 5) < 0.25)
    True
    """

    _parameter_constraints = {
        **AmortisedCoder._amortised_constraints,
        "n_components": [integers_from(1), None],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "n_active": [integers_from(1), None],
        "alpha": [real_from(0), StrOptions({"auto"})],
        "target_l0": [positive_real(), None],
        "bandwidth": [positive_real()],
        "widths": ["array-like", None],
        "dictionary_init": ["array-like", None],
        "bias_init": [StrOptions(set(CENTRES))],
        "scale_inputs": ["boolean"],
        "whiten": ["boolean"],
        "learning_rate": [positive_real(), None],
        "weight_decay": [real_from(0)],
        "warmup": [unit_interval()],
        "decay": [unit_interval()],
        "sparsity_warmup": [unit_interval(), None],
        "renormalise_every": [integers_from(1), StrOptions({"step"}), None],
        "dead_latents": [StrOptions({"auxk", "resample"}), None],
        "dead_after": [integers_from(1), None],
        "batch_size": [integers_from(1)],
        "max_epochs": [integers_from(1), None],
        "validation_fraction": [open_unit_interval(), None],
        "n_iter_no_change": [integers_from(1)],
        "tol": [real_from(0)],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_components=None,
        *,
        activation="topk",
        n_active=None,
        alpha="auto",
        target_l0=None,
        bandwidth=0.5,
        widths=None,
        dictionary_init=None,
        bias_init="mean",
        scale_inputs=True,
        whiten=False,
        learning_rate=None,
        weight_decay=0.3,
        warmup=0.05,
        decay=0.3,
        sparsity_warmup=None,
        renormalise_every="step",
        dead_latents="auxk",
        dead_after=None,
        batch_size=64,
        max_epochs=None,
        validation_fraction=None,
        n_iter_no_change=10,
        tol=1e-4,
        refine=None,
        sparse_output=False,
        n_jobs=None,
        random_state=None,
        verbose=0,
    ):
        self.n_components = n_components
        self.activation = activation
        self.n_active = n_active
        self.alpha = alpha
        self.target_l0 = target_l0
        self.bandwidth = bandwidth
        self.widths = widths
        self.dictionary_init = dictionary_init
        self.bias_init = bias_init
        self.scale_inputs = scale_inputs
        self.whiten = whiten
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.warmup = warmup
        self.decay = decay
        self.sparsity_warmup = sparsity_warmup
        self.renormalise_every = renormalise_every
        self.dead_latents = dead_latents
        self.dead_after = dead_after
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.refine = refine
        self.sparse_output = sparse_output
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @with_callbacks
    @fit_context(prefer_skip_nested_validation=False)
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
            If ``n_active``, ``target_l0``, ``widths`` or ``dictionary_init`` do not fit the number of components or
            features, squares of ``X`` are beyond its dtype, ``validation_fraction`` leaves too few samples, training
            diverges, or ``refine`` fails on what was trained. A call that fails changes nothing.

        Warns
        -----
        ConvergenceWarning
            If training was interrupted; the fitted attributes are then those of the moment. If codes of training
            samples have a mean L0 more than a quarter away from the one wanted, or had before thresholds were moved.
        UserWarning
            If a parameter is given that has no effect on this activation or beside ``target_l0``, or a few loud samples
            hold much of the squares.
        """
        X = self._check_training_samples(X)
        rng = check_random_state(self.random_state)
        X, held_out = hold_out(X, self.validation_fraction, rng)
        judge = X if held_out is None else held_out
        n_components, atoms = check_start(self.dictionary_init, self.n_components, X.shape[1])
        plan = Plan.of_fit(self, n_components, len(X))
        input_map = input_map_for(X, whiten=plan.whiten, scale=plan.scale, centred=plan.centred)
        training = Training.from_scratch(plan, X, atoms, input_map, rng)
        self._forget()  # callbacks add the weights of the moment to what is here
        self._input_map, self._stream, self.history_, self.n_iter_ = input_map, None, {}, 0
        self.mean_ = X.mean(axis=0, dtype=np.float64).astype(X.dtype)
        self._n_seen_samples = len(X)
        context = self._init_callback_context(max_subtasks=plan.n_epochs)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        variance = 1.0 if held_out is None else float(np.mean((held_out - self.mean_) ** 2)) or 1.0
        best = Best(self.n_iter_no_change, self.tol, variance)
        try:
            for _ in range(plan.n_epochs):
                task = context.subcontext(task_name="epoch")
                task.call_on_fit_task_begin(estimator=self, X=X, y=y)
                entries, last = training.make_pass(X, self.batch_size), False
                if held_out is not None:
                    self._store(training, training.weights(judge)[0])
                    entries["held_out"] = self._held_out_error(held_out)
                    last = best.exhausted(entries, training)
                record(self, entries, "epoch", plan.n_epochs)
                last |= task.call_on_fit_task_end(
                    estimator=self, X=X, y=y, reconstruction_attributes=lambda: self._at_present(training, judge)
                )
                if last:
                    break
        except KeyboardInterrupt:
            training.settle()
            which = "of the moment" if best.parameters is None else "that were best on the samples held out"
            warn(
                f"training was interrupted after epoch {self.n_iter_}; the weights are those {which}.",
                ConvergenceWarning,
            )
        weights, sparsity = training.weights(judge, best.parameters)
        self._store(training, weights)
        said = training.complaint(sparsity)
        if said is not None:
            warn(said, ConvergenceWarning)
        self._fit_refiner(X)
        context.call_on_fit_task_end(estimator=self, X=X, y=y, reconstruction_attributes=dict)
        return self

    @fit_context(prefer_skip_nested_validation=False)
    def partial_fit(self, X: ArrayLike, y=None) -> SparseAutoencoder:
        """Train on from a block of samples; the blocks of a stream need not fit into memory together.

        One pass over the block, in mini-batches. The first block sets the scale of inputs, the whitening and the first
        decoder bias. The schedules are laid out for 2,000 steps, and the learning rate does not fall at their end.
        After a `fit`, training goes on from its weights, without a warm-up. The weights can be used after each block.
        Thresholds for a mean L0 are set by the block, or by the latest 1,024 samples if it has fewer. ``max_epochs``,
        ``decay`` and ``validation_fraction`` have no effect on a stream. Once it has begun, nor have changes of the
        parameters of training, except ``batch_size``. A stream goes on from weights that were assigned.

        A call that fails or is interrupted changes nothing: the next block trains what it would have trained.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.
        y : ignored
            Present for API consistency.

        Returns
        -------
        self : SparseAutoencoder
            The autoencoder.

        Raises
        ------
        ValueError
            As in `fit`, or if ``X`` has other features than the samples before, or is of quite another scale than the
            first block, ``n_components`` or ``activation`` are not what was fitted before, assigned weights have other
            shapes, all samples of the first block are the same, or with ``whiten`` it has no more of them than
            features.

        Warns
        -----
        ConvergenceWarning
            If codes miss the mean L0 that is wanted by more than a quarter: once within the first 2,000 steps, in which
            a penalty has to find its place, and once after them.
        UserWarning
            As in `fit`, from the first block; and once if the typical norm of a block is more than ten times, or less
            than a tenth, of that of the samples that the scale of inputs was set by.
        """
        fitted = hasattr(self, "components_")
        X = validate_data(self, X, dtype=[self.components_.dtype] if fitted else FLOATS, order="C", reset=not fitted)
        training = self._go_on(X) if fitted else self._begin_stream(X)
        training.input_map.refuse(X)
        if "scale" not in training.told and warn_of_strange_block(training.input_map, X):
            training.told |= {"scale"}
        self._add_to_mean(X)
        entries = training.make_pass(X, self.batch_size)
        judge = X
        if training.plan.activation.thresholded:
            judge = latest(training.judged_by, X)
            training.judged_by = kept(judge)
        weights, sparsity = training.weights(judge)
        training.made = weights.digest()
        self._store(training, weights)
        # Of a missed mean L0, once while the penalty finds its place and once after.
        said, stage = training.complaint(sparsity), "early" if training.n_done < training.plan.n_steps else "late"
        if said is not None and stage not in training.told:
            warn(said, ConvergenceWarning)
            training.told |= {stage}
        self._fit_refiner(X)
        record(self, entries, "epoch")
        self._stream = training
        return self

    def _what_signs_codes(self):
        return f"activation={self.activation!r}" if ACTIVATIONS[self.activation].signed else None

    def _go_on(self, X):
        """Return the training of a block: a copy of the stream's, which it replaces when all has gone well."""
        fitted = next(name for name, kind in ACTIVATIONS.items() if type(self._activation) is kind)
        n_fitted = len(self.components_) if self._stream is None else self._stream.plan.n_components
        check_unchanged(self, n_fitted, activation=fitted)
        weights = Weights.of(self, X.dtype)
        if self._stream is None:
            plan = Plan.of_stream(self, len(self.components_))
            rng = check_random_state(self.random_state)
            return Training.from_weights(plan, weights, self.alpha_, self._input_map, rng)
        training = self._stream.copy()
        if weights.digest() != training.made:
            training.move_to(weights)
        return training

    def _begin_stream(self, X):
        """Return the training of a stream, from its first block."""
        rng = check_random_state(self.random_state)
        n_components, atoms = check_start(self.dictionary_init, self.n_components, X.shape[1])
        plan = Plan.of_stream(self, n_components)
        input_map = input_map_for(X, whiten=plan.whiten, scale=plan.scale, centred=plan.centred, first_block=True)
        self._input_map, self.history_, self.n_iter_ = input_map, {}, 0
        self.mean_, self._n_seen_samples = np.zeros(X.shape[1], dtype=X.dtype), 0
        return Training.from_scratch(plan, X, atoms, input_map, rng)

    def _store(self, training, weights):
        """Set the fitted attributes that a training makes; those that its activation does not have disappear."""
        self._forget()
        self.components_ = weights.decoder
        self.decoder_bias_ = weights.decoder_bias
        if weights.encoder is not None:
            self.encoder_components_ = weights.encoder
        if weights.encoder_bias is not None:
            self.encoder_bias_ = weights.encoder_bias
        if weights.threshold is not None:
            self.threshold_ = weights.threshold
        self.alpha_ = float(training.alpha)
        self._refiner = None
        self._activation = training.plan.activation

    @property
    def offset_(self):
        """The decoder bias, by the name that it has in other coders."""
        return self.decoder_bias_

    @offset_.setter
    def offset_(self, offset):
        self.decoder_bias_ = offset

    def _forget(self):
        """Drop the fitted attributes that only some activations have: another may have been fitted before."""
        for name in ("encoder_components_", "encoder_bias_", "threshold_"):
            self.__dict__.pop(name, None)

    def _at_present(self, training, judge):
        """Return the attributes of an autoencoder with the weights of the moment."""
        other = copy(self)
        other._store(training, training.weights(judge)[0])
        return vars(other)

    def _reader(self, dtype):
        return partial(_codes_of, activation=self._activation, weights=Weights.of(self, dtype))

    def _held_out_error(self, X):
        return self._unexplained_by(self._blocks_read_off(X), X)


def _codes_of(X, sparse, *, activation, weights):
    codes = activation.encode(weights, X)
    return codes.tocsr() if sparse else codes.toarray()
