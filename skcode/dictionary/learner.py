"""The dictionary learner: activations in, dictionary and codes out."""

from __future__ import annotations

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from .._callbacks import CallbackSupportMixin, with_callbacks
from .._norms import sample_norms, typical_norm, unit_rows
from .._training import hold_out, record
from .._validation import (
    ArrayLike,
    StrOptions,
    check_random_state,
    check_start,
    derived_random_state,
    fit_context,
    integers_from,
    open_unit_interval,
    positive_real,
    real_from,
)
from .._warnings import warn
from ..base import CertifiedCoder
from ..metrics import unexplained_variance
from .alternating import alternate
from .online import NOTHING, OnlineSearch, default_batch_size, most_kept, visits
from .softplus import SoftplusDescent
from .stream import StreamMixin

_METHODS = ("online", "alternating", "softplus")
_AUTO_ALPHA = 0.056  # alpha="auto" in units of the typical norm of samples: 0.1 on the paper's protocol
_ALTERNATIONS, _DESCENTS = 1000, 500  # the published numbers of passes
_FEWEST_EPOCHS, _MOST_EPOCHS = 8, 500


class DictionaryLearner(CallbackSupportMixin, StreamMixin, CertifiedCoder):
    """Learn a dictionary from samples alone, then code on it as `FISTACoder` does.

    Looks for unit atoms that explain the samples by few of them each::

        mean over samples of  1/2 ||x - offset - z D||^2 + penalty(z)        (z >= 0 when positive)

    The penalty of `transform`, and of ``method="alternating"``, is ``alpha * sum_j |z_j|``. ``method="online"`` learns
    with the minimax concave penalty, which does not shrink codes (see `skcode.solvers.mcp`); ``method="softplus"`` with
    ``n_features / (2 n_components)`` of ``alpha``.

    Parameters
    ----------
    n_components : int, optional
        Number of atoms; by default that of ``dictionary_init``, or twice the number of features.
    alpha : float or "auto", default="auto"
        Penalty of `transform`, and scale of those of learning. ``"auto"`` is 0.055 times the root mean square norm of
        the training samples, offset removed: about 0.1 on the paper's protocol.
    positive : bool, default=True
        Whether codes must be non-negative.
    penalty : {"l1", "mcp"}, default="l1"
        Penalty of `transform` alone: ``"mcp"`` does not shrink large codes, and is certified for stationarity, as in
        `FISTACoder`.
    method : {"online", "alternating", "softplus"}, default="online"
        ``"online"`` learns by mini-batches with short memory, a penalty that becomes ever lower and less convex, and
        replacement of atoms that others make redundant [1]_; a concept that was found with either sign, because others
        lean towards it, is mended in the end. ``"alternating"`` is the published DL-FISTA [2]_: rounds
        of 100 FISTA steps on all samples, warm-started, and a least-squares dictionary (its small ridge in the scale of
        the samples) scaled to unit atoms; atoms that fall out of use stay out. ``"softplus"`` is the published
        Softplus-Adam [2]_: codes of all samples, as softplus of free parameters, and the dictionary descended together
        by Adam, in passes of 100 steps; positive codes only. Both are baselines.
    dictionary_init : array-like of shape (n_components, n_features), optional
        Where learning starts, each atom scaled to norm 1; by default random Gaussian directions.
    batch_size : int, optional
        Samples of a mini-batch; by default as many as there are atoms, or a tenth of the samples if that is less.
    max_epochs : int, optional
        Passes over the training samples: of ``"online"`` before its finish of 4 to 30 more, by default as many as make
        80 samples per atom (145 where there are 2.5 distinct ones, 240 where there are 2; as for 250 atoms, if there
        are fewer), between 8 and 500; of ``"alternating"`` at most, by default 1000, and of ``"softplus"`` 500.
    tol : float, default=1e-5
        ``"alternating"`` and ``"softplus"`` stop when a pass changes the dictionary by less than this share of its
        norm, ``"softplus"`` also when its learning rate is at its floor; with 0, it makes all of the published 50,000
        steps, most of them next to nothing.
    validation_fraction : float, optional
        Share of the training samples, between 0 and 1, that `fit` does not learn from but judges each pass by (see
        ``history_``). They are chosen at random; the others are copied.
    offset : {"mean"}, array-like of shape (n_features,) or None, default=None
        What is subtracted from samples before learning and coding: nothing, the training mean (of the first block in
        `partial_fit`), or a given vector. Samples whose mean is itself a mixture of concepts, as the paper's, need no
        offset; activations of a network usually do.
    debias : bool, default=False
        Whether `transform` refits non-zero codes by least squares, as in `FISTACoder`.
    solver : {"working_set", "fista", "ista"}, default="working_set"
        Solver behind `transform`.
    coding_max_iter : int, default=10000
        Most iterations per sample in `transform`.
    coding_tol : float, default=1e-4
        Bound on the relative duality gap of every sample in `transform`, or on the violation with ``penalty="mcp"``.
    sparse_output : bool, default=False
        Whether codes are returned as CSR.
    n_jobs : int, optional
        Threads, or workers of the active joblib backend.
    random_state : int, RandomState instance or None, default=None
        Source of the initial dictionary and of the order of samples.
    verbose : int, default=0
        1 prints at most some 40 lines in a `fit`, 2 one for each pass; both one for each block of a stream.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        Learned atoms, unit norm, zero where ``unused_atoms_``; read-only.
    offset_, mean_ : ndarray of shape (n_features,)
        What is subtracted before coding, and the mean of the training data; of a stream, of all blocks so far.
    alpha_ : float
        The penalty in use.
    n_iter_ : int
        Passes made, rounds of the finish included; calls of `partial_fit`.
    history_ : dict of list of float
        For each pass, ``objective`` (mean per sample, L1 penalty at the moment's alpha) and ``mean_l0`` (mean number of
        non-zeros), under the dictionary before each step; and ``unexplained`` (squared residual as a share of squared
        samples) and ``n_replaced`` (atoms) with ``"online"``, ``change`` (of the dictionary, relative) with the others;
        and ``held_out`` (minus `score`, after the pass) with ``validation_fraction``. On a stream, ``unexplained`` is
        an error on samples not seen before. No code of ``"softplus"`` is zero: those above 0.01 count, in the published
        scale of samples.
    unused_atoms_ : ndarray of shape (n_components,), dtype bool
        Which atoms no sample uses, others make redundant, or next to nothing rests on: squared codes of less than 1 %
        of a typical atom's, beyond what other atoms could take over. With ``"online"``, judged by the samples of the
        finish; before it, none.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, if ``X`` had any.

    See Also
    --------
    FISTACoder : Codes on a given dictionary.

    References
    ----------
    .. [1] Mairal, Bach, Ponce and Sapiro, "Online learning for matrix factorization and sparse coding", JMLR 2010.
    .. [2] Barin Pacela et al., "Stop Probing, Start Coding", arXiv:2603.28744, 2026.

    Examples
    --------
    >>> from skcode import DictionaryLearner
    >>> from skcode.datasets import make_compositional_shift
    >>> from skcode.metrics import match_dictionaries
    >>> data = make_compositional_shift(n_samples=2000, n_components=50, n_active=3, random_state=1)
    >>> learner = DictionaryLearner(50, random_state=1).fit(data.X_train)
    >>> match = match_dictionaries(data.dictionary, learner.components_)
    >>> match.mean_cosine > 0.95, match.chance_cosine < 0.6
    (True, True)
    """

    _prefix = "coding_"
    _parameter_constraints = {
        **CertifiedCoder._inference_constraints,
        "n_components": [integers_from(1), None],
        "alpha": [positive_real(), StrOptions({"auto"})],
        "method": [StrOptions(set(_METHODS))],
        "dictionary_init": ["array-like", None],
        "batch_size": [integers_from(1), None],
        "max_epochs": [integers_from(1), None],
        "tol": [real_from(0)],
        "validation_fraction": [open_unit_interval(), None],
        "coding_max_iter": [integers_from(1)],
        "coding_tol": [real_from(0)],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_components=None,
        *,
        alpha="auto",
        positive=True,
        penalty="l1",
        method="online",
        dictionary_init=None,
        batch_size=None,
        max_epochs=None,
        tol=1e-5,
        validation_fraction=None,
        offset=None,
        debias=False,
        solver="working_set",
        coding_max_iter=10_000,
        coding_tol=1e-4,
        sparse_output=False,
        n_jobs=None,
        random_state=None,
        verbose=0,
    ):
        self.n_components = n_components
        self.alpha = alpha
        self.positive = positive
        self.penalty = penalty
        self.method = method
        self.dictionary_init = dictionary_init
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.tol = tol
        self.validation_fraction = validation_fraction
        self.offset = offset
        self.debias = debias
        self.solver = solver
        self.coding_max_iter = coding_max_iter
        self.coding_tol = coding_tol
        self.sparse_output = sparse_output
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @with_callbacks
    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y=None) -> DictionaryLearner:
        """Learn the dictionary.

        With ``"online"``, the finish is made on all samples, or on a random choice of ten for each atom and at least
        10,000. An interrupt (Ctrl-C) ends learning with a warning, and keeps the dictionary of the moment.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training samples.
        y : ignored
            Present for API consistency.

        Returns
        -------
        self : DictionaryLearner
            The fitted learner.

        Raises
        ------
        ValueError
            If ``dictionary_init`` or ``offset`` does not fit ``X`` and ``n_components``, ``validation_fraction`` leaves
            too few samples, ``solver`` is not for the penalty, ``method="softplus"`` and codes may be negative, or
            ``alpha="auto"`` and ``X``, less the offset, is zero or its squares are beyond its dtype.

        Warns
        -----
        ConvergenceWarning
            If ``alpha`` is so large that no sample uses any atom, or learning was interrupted.
        UserWarning
            If there are fewer samples than atoms.
        """
        X = self._check_training_samples(X)
        self._forget_stream()
        rng = check_random_state(self.random_state)
        X, held_out = hold_out(X, self.validation_fraction, rng)
        self._set_offset(X)
        self.alpha_ = self._alpha_for(X)
        components = self._initial_dictionary(X)
        self._warn_of_few(len(X), len(components))
        learn = {"online": self._learn_online, "alternating": self._alternate, "softplus": self._descend}[self.method]
        n_passes, passes = learn(X, components, rng)
        self.history_, self.n_iter_, self._n_seen_samples = {}, 0, len(X)
        context = self._init_callback_context(max_subtasks=n_passes)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        last = interrupted = False
        try:
            while not last:
                task = context.subcontext(task_name="pass")
                task.call_on_fit_task_begin(estimator=self, X=X, y=y)
                entries, last = next(passes)
                if held_out is not None:
                    self._set_components(components.copy())
                    entries["held_out"] = self._unexplained(held_out)
                self._record(entries, n_passes)
                last |= task.call_on_fit_task_end(
                    estimator=self, X=X, y=y, reconstruction_attributes=lambda: {"components_": components.copy()}
                )
        except KeyboardInterrupt:
            interrupted = True
        self._take_components(components)
        if interrupted:
            warn(
                f"learning was interrupted after pass {self.n_iter_}; the dictionary is that of the moment.",
                ConvergenceWarning,
            )
        context.call_on_fit_task_end(estimator=self, X=X, y=y, reconstruction_attributes=dict)
        return self

    def _warn_of_few(self, n_samples, n_components):
        if n_samples < n_components:
            warn(
                f"n_components={n_components} atoms cannot be told apart by n_samples={n_samples} samples, which are "
                "fewer: several samples for each atom are needed. X has a row for each sample.",
            )

    def _learn_online(self, X, components, rng):
        n_samples = len(X)
        n_epochs = self.max_epochs or int(
            np.clip(round(visits(len(components), n_samples) / n_samples), _FEWEST_EPOCHS, _MOST_EPOCHS)
        )
        search = OnlineSearch(
            components, self.alpha_, positive=self.positive, n_visits=n_epochs * n_samples, n_distinct=n_samples
        )
        batch_size = self.batch_size or default_batch_size(n_samples, len(components))
        most = most_kept(X, len(components))
        n_polished = min(n_samples, most)

        def passes():
            for _ in range(n_epochs):
                order, total = rng.permutation(n_samples), NOTHING
                for rows in np.array_split(order, max(n_samples // batch_size, 1)):
                    total += search.step(self._centred(X[np.sort(rows)]), self.n_jobs)
                yield total.record(), False
            some = X if n_samples <= most else X[np.sort(rng.choice(n_samples, most, replace=False))]
            left = search.n_rounds(n_polished)
            for step in search.finish(self._centred(some), self.n_jobs):
                left -= 1
                if left == 0:
                    components[search.surplus] = 0
                yield step.record(), left == 0

        return n_epochs + search.n_rounds(n_polished), passes()

    def _alternate(self, X, components, rng):
        max_epochs = self.max_epochs or _ALTERNATIONS
        return max_epochs, alternate(
            self._centred(X), components, self.alpha_,
            positive=self.positive, max_epochs=max_epochs, tol=self.tol, n_jobs=self.n_jobs,
        )  # fmt: skip

    def _descend(self, X, components, rng):
        max_epochs = self.max_epochs or _DESCENTS
        descent = SoftplusDescent(self._centred(X), components, self.alpha_, rng)
        return max_epochs, descent.passes(max_epochs, self.tol)

    def _check_training_samples(self, X):
        if self.method == "softplus" and not self.positive:
            raise ValueError("method='softplus' learns non-negative codes: leave positive=True, got positive=False.")
        return super()._check_training_samples(X)

    def _unexplained(self, X):
        codes = self._refitted(X, self._solve(X, sparse_output=True)).codes
        return unexplained_variance(X, self.inverse_transform(codes), mean=self.mean_)

    def _take_components(self, components):
        self._set_components(components.copy())
        self.unused_atoms_ = ~self.components_.any(axis=1)
        if self.method == "online" and self.unused_atoms_.all():
            warn(
                f"no sample uses any atom with alpha={self.alpha_:g}. Lower alpha.",
                ConvergenceWarning,
            )

    def _record(self, entries, n_passes):
        record(self, entries, "pass", n_passes, of="of at most")

    def _centred(self, X):
        return np.ascontiguousarray(self._without_offset(X))

    def _alpha_for(self, X):
        if self.alpha != "auto":
            return float(self.alpha)
        scale = typical_norm(sample_norms(X, self.offset_))
        if scale == 0:
            raise ValueError(
                f"X, less the offset, must not be all zero, but n_samples={len(X)} are: alpha='auto' comes from it."
            )
        return _AUTO_ALPHA * scale

    def _initial_dictionary(self, X):
        n_components, atoms = check_start(self.dictionary_init, self.n_components, X.shape[1])
        if atoms is None:
            atoms = derived_random_state(self.random_state).standard_normal((n_components, X.shape[1]))
        return unit_rows(atoms).astype(X.dtype)

    def _inference_options(self):
        return {"max_iter": self.coding_max_iter, "tol": self.coding_tol, "restart": True}
