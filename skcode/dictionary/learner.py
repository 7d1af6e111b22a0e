"""The dictionary learner: activations in, dictionary and codes out."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.metaestimators import available_if

from .._callbacks import CallbackSupportMixin, with_callbacks
from .._norms import sample_norms, typical_norm, unit_rows, warn_of_loud_samples, warn_of_mean
from .._training import hold_out, record
from .._validation import (
    FLOATS,
    ArrayLike,
    StrOptions,
    check_is_fitted,
    check_random_state,
    check_start,
    check_unchanged,
    derived_random_state,
    fit_context,
    integers_from,
    open_unit_interval,
    positive_real,
    real_from,
    validate_data,
)
from .._warnings import warn
from ..base import CertifiedCoder
from .alternating import N_ROUNDS, Alternation
from .coding import NOTHING
from .online import OnlineLearning, without_offset
from .schedule import Schedule
from .search import Search
from .softplus import N_PASSES, SoftplusDescent

_SCALE = 0.056  # of the penalties of learning, in typical norms of samples: 0.1 on the paper's protocol
# Ratio of the scales of two blocks from which one alpha cannot serve both: on samples a tenth as loud as those it is
# for, it leaves one of ten concepts (the paper's protocol, n=100 and 1000).
_OTHER_SCALE = 10.0


def _online(learner, X, components, rng):
    return OnlineLearning(
        components, X, learner.offset_, learner.alpha_, positive=learner.positive, aim=learner.aim,
        recentres=isinstance(learner.offset, str), max_epochs=learner.max_epochs, batch=learner.batch_size, rng=rng,
        n_jobs=learner.n_jobs,
    )  # fmt: skip


def _alternating(learner, X, components, rng):
    return Alternation(
        without_offset(X, learner.offset_), components, learner.alpha_, positive=learner.positive,
        max_epochs=learner.max_epochs or N_ROUNDS, tol=learner.tol, n_jobs=learner.n_jobs,
    )  # fmt: skip


def _softplus(learner, X, components, rng):
    return SoftplusDescent(
        without_offset(X, learner.offset_), components, learner.alpha_, max_epochs=learner.max_epochs or N_PASSES,
        tol=learner.tol, rng=rng,
    )  # fmt: skip


class _Method(NamedTuple):
    """A way to learn."""

    learning: Callable  # what makes it, for a learner, samples, atoms to start from and a source of chance
    streams: bool = False  # whether it learns from streams,
    signed: bool = False  # signed codes,
    aims: bool = False  # and what ``aim`` says


_METHODS = {
    "online": _Method(_online, streams=True, signed=True, aims=True),
    "alternating": _Method(_alternating, signed=True),
    "softplus": _Method(_softplus),
}


def _learns_from_streams(learner):
    streaming = [name for name, method in _METHODS.items() if method.streams]
    if learner.method not in streaming:
        raise AttributeError(f"learning from a stream needs method={streaming[0]!r}, got method={learner.method!r}.")
    return True


class DictionaryLearner(CallbackSupportMixin, CertifiedCoder):
    """Learn a dictionary from samples alone, then code on it as `FISTACoder` with ``penalty="mcp"`` does.

    Looks for unit atoms that explain the samples by few of them each::

        mean over samples of  1/2 ||x - offset - z D||^2 + penalty(z)        (z >= 0 when positive)

    The penalty of `transform`, and of ``method="online"``, is the minimax concave one, which does not shrink codes (see
    `skcode.solvers.mcp`). ``method="alternating"`` learns with ``alpha * sum_j |z_j|``, and ``method="softplus"`` with
    ``n_features / (2 n_components)`` of that.

    Parameters
    ----------
    n_components : int, optional
        Number of atoms; by default that of ``dictionary_init``, or twice the number of features.
    alpha : float, "auto" or "noise", default="auto"
        Penalty of `transform`, and scale of those of learning. If it is not a number, the scale is 0.056 times the
        median norm of the training samples, offset removed: about 0.1 on the paper's protocol. A few loud samples do
        not move it. On a stream it is that of the latest 10,000 samples.

        ``"noise"`` then takes the penalty that correlations with atoms seldom pass by chance
        (`skcode.solvers.alpha_for_noise`), by training samples; on a stream, by those of the latest finish. ``"auto"``
        does the same where concepts are looked for (``method="online"`` with ``aim="concepts"``), and stays at the
        scale elsewhere: what is only noise to concepts still is to be reconstructed.
    positive : bool, default=True
        Whether codes must be non-negative.
    penalty : {"mcp", "l1"}, default="mcp"
        Penalty of `transform` alone: ``"mcp"``, the one that ``"online"`` learns with, does not shrink large codes, and
        is certified for stationarity, as in `FISTACoder`. ``"l1"`` is convex, and the one of the published baselines.
    method : {"online", "alternating", "softplus"}, default="online"
        ``"online"`` learns from mini-batches with short memory [1]_. Its penalty falls and becomes less convex, it
        replaces atoms that others make redundant, and at the end it mends a concept that was found with either sign.

        The other two are the published baselines. ``"alternating"`` is DL-FISTA [2]_: rounds of 100 warm-started FISTA
        steps on all samples, followed by a least-squares dictionary that is scaled to unit atoms. Its small ridge is in
        the scale of the samples, and atoms that fall out of use stay out. ``"softplus"`` is Softplus-Adam [2]_: Adam
        descends the dictionary together with the codes of all samples, which are softplus of free parameters, in passes
        of 100 steps. It learns positive codes only.
    aim : {"concepts", "reconstruction"}, default="concepts"
        What ``"online"`` learns for, where concepts depend on each other. The shortest description of samples has one
        atom for concepts that come together, as a child with its parent. ``"reconstruction"`` keeps these.
        ``"concepts"`` takes them apart, if codes are positive, and where that lowers the objective of the finish. If
        ``n_components`` atoms leave more than 5 % of the squares, `fit` goes on with twice and four times as many, as
        long as that pays and there are 40 samples for each, and keeps those with the most energy: concepts without an
        atom pull on the atoms of others.
    dictionary_init : array-like of shape (n_components, n_features), optional
        Where learning starts, each atom scaled to norm 1; by default random Gaussian directions.
    batch_size : int, optional
        Samples of a mini-batch; by default as many as there are atoms, or a tenth of the samples if that is less.
    max_epochs : int, optional
        Passes over the training samples. ``"online"`` makes as many in each search, and then a finish of 4 to 30 more.
        By default these are at most 500 passes that show 80 samples for each atom: 145 where there are 2.5 distinct
        ones, 240 where there are 2, and as many as for 250 atoms where there are fewer; and at least 8, or 120 samples
        for each atom if that is less. A search that goes on with more atoms makes half as many. With fewer samples than
        atoms there are 8.
        ``"alternating"`` makes at most as many, by default 1000, and ``"softplus"``, by default 500.
    tol : float, default=1e-5
        ``"alternating"`` and ``"softplus"`` stop when a pass changes the dictionary by less than this share of its
        norm. ``"softplus"`` also stops when its learning rate is at its floor. With 0 it makes all of the published
        50,000 steps, most of which do next to nothing.
    validation_fraction : float, optional
        Share of the training samples, between 0 and 1, that `fit` does not learn from but judges each pass by (see
        ``history_``). They are chosen at random; the others are copied.
    offset : {"mean"}, array-like of shape (n_features,) or None, default=None
        What is subtracted from samples before learning and coding: nothing, the mean of the training samples (of all
        so far in `partial_fit`), which ``aim="concepts"`` may improve upon, or a given vector. Activations of a network
        usually need the mean. Samples whose mean is itself a mixture of concepts, as on the paper's protocol, need no
        offset.
    debias : bool, default=False
        Whether `transform` refits non-zero codes by least squares, as in `FISTACoder`.
    solver : {"working_set", "fista", "ista"}, default="working_set"
        Solver behind `transform`; the other two are for ``penalty="l1"``.
    coding_max_iter : int, default=10000
        Most iterations per sample in `transform`.
    coding_tol : float, default=1e-4
        Bound on the violation of stationarity of every sample in `transform`; with ``penalty="l1"``, on its relative
        duality gap.
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
        Learned atoms, unit norm, zero where ``unused_atoms_``; read-only. Others may be assigned: they are coded on,
        and a stream goes on from them.
    offset_, mean_ : ndarray of shape (n_features,)
        What is subtracted before coding, and the mean of the training data; of a stream, of all blocks so far. With
        ``offset="mean"`` the two differ where concepts are taken apart: the mean is also that of their codes.
    alpha_ : float
        The penalty in use.
    n_iter_ : int
        Passes made and calls of `partial_fit`, with the rounds of each finish.
    history_ : dict of list of float
        One entry for each pass, of what it showed of the dictionary before its steps. All methods tell ``objective``
        (mean per sample, with the L1 penalty at the moment's alpha) and ``mean_l0`` (mean number of non-zeros).
        The passes of a search for more atoms than asked for are about those; ``held_out`` stands still meanwhile.
        ``"online"`` adds ``unexplained`` (squared residuals as a share of squared samples) and ``n_replaced`` (atoms);
        on a stream, ``unexplained`` is an error on samples not seen before. The others add ``change`` (of the
        dictionary, relative to its norm). ``validation_fraction`` adds ``held_out`` (minus `score` after the pass, at
        the scale of learning; NaN for blocks of a stream). No code of ``"softplus"`` is zero: it counts those above
        0.01, in the published scale.
    unused_atoms_ : ndarray of shape (n_components,), dtype bool
        Which atoms are zero, because no sample uses them, others make them redundant, or next to nothing rests on
        them: squared codes of less than 1 % of a typical atom's, beyond what other atoms could take over. With
        ``"online"``, judged by the samples of the finish; before it, none.
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
        "alpha": [positive_real(), StrOptions({"auto", "noise"})],
        "method": [StrOptions(set(_METHODS))],
        "aim": [StrOptions({"concepts", "reconstruction"})],
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
        penalty="mcp",
        method="online",
        aim="concepts",
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
        self.aim = aim
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

        With ``"online"``, the finish is made on all samples, or on a random choice of 30 for each atom and at least
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
            ``alpha`` is not a number and ``X``, less the offset, is zero or its squares are beyond its dtype.

        Warns
        -----
        ConvergenceWarning
            If ``alpha`` is so large that no sample uses any atom, or learning was interrupted.
        UserWarning
            If there are fewer samples than atoms, a few samples hold much of the sum of squares, or the mean of the
            others holds most of theirs and ``offset`` is None.
        """
        X = self._check_training_samples(X)
        rng = check_random_state(self.random_state)
        X, held_out = hold_out(X, self.validation_fraction, rng)
        self._set_offset(X)
        norms = self._norms_of(X, first=True)
        self.alpha_ = self._scale_of(norms)
        learning = self._learning(X, rng)
        self.history_, self.n_iter_, self._n_seen_samples = {}, 0, len(X)
        context = self._init_callback_context(max_subtasks=learning.n_passes)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        passes = learning.passes()
        last = interrupted = False
        try:
            while not last:
                task = context.subcontext(task_name="pass")
                task.call_on_fit_task_begin(estimator=self, X=X, y=y)
                entries, last = next(passes)
                if held_out is not None:
                    self._set_components(learning.components)
                    self._move_offset(learning.search)
                    entries["held_out"] = self._unexplained_by(self._sparse_blocks(held_out, warns=False), held_out)
                record(self, entries, "pass", learning.n_passes, of="of at most")
                last |= task.call_on_fit_task_end(
                    estimator=self, X=X, y=y, reconstruction_attributes=lambda: {"components_": learning.components}
                )
        except KeyboardInterrupt:
            interrupted = True
        self._take(learning.components)
        self._search = learning.search
        self._move_offset(self._search)
        if self._search is not None:
            self._search.remember_norms(norms)
            self._search.rest(len(X))
        self._know_noise(X)
        if interrupted:
            warn(
                f"learning was interrupted after pass {self.n_iter_}; the dictionary is that of the moment.",
                ConvergenceWarning,
            )
        context.call_on_fit_task_end(estimator=self, X=X, y=y, reconstruction_attributes=dict)
        return self

    @available_if(_learns_from_streams)
    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: ArrayLike, y=None) -> DictionaryLearner:
        """Go on learning from a block of samples; the blocks of a stream need not fit into memory together.

        Without a `fit` before, the search takes 80 samples for each atom, and at least 20,000 in all. A shorter stream
        should be repeated until it has as many, or be ended by `finalize`. When the search is over, the learner
        polishes its components by itself, on the latest samples: 30 for each atom and at least 10,000, which are kept
        for that. It does so again whenever the stream has become twice as long. In between, and after a `fit`, a block
        of any size improves the components by what it adds to the evidence there is.

        The components can be used after each block. ``mean_``, ``alpha_`` (if ``alpha`` is not a number) and
        ``offset_`` (if ``offset="mean"``) follow the stream: the scale is that of the latest 10,000 samples, and once
        the search is over, the level of noise is that of the latest finish. Blocks larger than ``batch_size`` (by
        default, the number of atoms) are cut. Callbacks and ``validation_fraction`` have no effect on a stream. A call
        that fails, or is interrupted, changes nothing.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.
        y : ignored
            Present for API consistency.

        Returns
        -------
        self : DictionaryLearner
            The learner.

        Raises
        ------
        AttributeError
            If ``method`` is not ``"online"``.
        ValueError
            If ``X`` has other features than the samples before, ``alpha`` is not a number and all samples so far, less
            the offset, are zero or out of scale, ``dictionary_init`` or ``offset`` does not fit, or ``n_components``,
            ``positive``, ``aim``, ``method`` or the number of components assigned is not what they were learned with.

        Warns
        -----
        UserWarning
            If the typical norm of the block is more than ten times that of the stream, or less than a tenth, a few of
            its samples hold much of the sum of squares, or the mean of a first block does and ``offset`` is None.
        """
        search, X = self._go_on(X)
        norms = self._norms_of(X, first=not search.n_seen)
        self._warn_of_scale(norms, search.norms)
        search.remember(X, norms)
        scale = self._scale_of(search.norms)
        total, centred = NOTHING, without_offset(X, self.offset_)
        for part in np.array_split(centred, ceil(len(X) / (self.batch_size or len(search.components)))):
            total += search.step(part, scale, self.n_jobs)
        record(self, total.record(), "pass", of="of at most")
        if not (self._knows_noise and search.is_over):
            self.alpha_ = scale
        self._take_from(search, scale, finishes=search.is_due and search.can_finish)
        return self

    @available_if(_learns_from_streams)
    @fit_context(prefer_skip_nested_validation=True)
    def finalize(self) -> DictionaryLearner:
        """Polish what `partial_fit` has learned, on the latest samples; more blocks may follow.

        Where the dictionary rests on more samples than have come since, as after a `fit` and a few small blocks, it is
        left as it is: it is polished already, and the latest samples alone would say less. Atoms are found to be
        unused only by so many samples that no atom goes without a use by chance.

        Returns
        -------
        self : DictionaryLearner
            The learner.

        Raises
        ------
        NotFittedError
            If there was neither a `fit` nor a `partial_fit` before.
        ValueError
            If ``method="online"`` has not learned the components, or ``n_components``, ``positive`` or the number of
            components assigned is not what they were learned with.
        """
        check_is_fitted(self, "_search", msg="finalize ends a stream: call partial_fit on at least one block before.")
        search = self._search_to_go_on()
        if search.can_finish:
            self.alpha_ = scale = self._scale_of(search.norms)
            self._take_from(search, scale, finishes=True)
        elif self.verbose:
            print(f"[{type(self).__name__}] left as it is: it rests on more samples than have come since")
        return self

    @property
    def unused_atoms_(self):
        """Which atoms are zero."""
        return ~self.components_.any(axis=1)

    def _go_on(self, X):
        """Return the search that a block goes to, a copy, and the block; its mean and offset are noted."""
        first = not hasattr(self, "components_")
        dtype = FLOATS if first else [self.components_.dtype]
        X = validate_data(self, X, dtype=dtype, order="C", reset=first)
        if first:
            self._set_offset(X)
            self.history_, self.n_iter_, self._n_seen_samples = {}, 0, len(X)
            components = self._initial_dictionary(X)
            schedule = Schedule.of_stream(len(components))
            recentres = isinstance(self.offset, str)
            return Search(components, schedule, positive=self.positive, aim=self.aim, recentres=recentres), X
        search = self._search_to_go_on()
        self._add_to_mean(X)
        self._move_offset(search)
        return search, X

    def _search_to_go_on(self):
        """Return a copy of the search, at the components that there are, which somebody may have assigned."""
        if self._search is None:
            raise ValueError("A stream goes on from what method='online' has learned: call fit, or use a clone.")
        check_unchanged(self, self._search.n_wanted, positive=self._search.positive, aim=self._search.aim)
        search = self._search.copy()
        if not np.array_equal(search.dictionary, self.components_):
            search.move_to(self.components_)
        return search

    def _warn_of_scale(self, norms, earlier):
        here, before = typical_norm(norms), typical_norm(earlier)
        if here > 0 and before > 0 and not 1 / _OTHER_SCALE <= here / before <= _OTHER_SCALE:
            warn(
                f"X has a typical norm of {here:.3g}, the stream before one of {before:.3g}. One dictionary and one "
                "alpha are for samples of one scale: scale the blocks alike."
            )

    def _move_offset(self, search):
        """Set the offset to what a search has found that it should be, if there is one and it is to be the mean."""
        if search is not None and isinstance(self.offset, str):
            self.offset_ = self.mean_ + search.shift

    def _take_from(self, search, scale, finishes):
        """Take over what a search has found, after its finish if there is one, on the latest samples of the stream."""
        if finishes:
            X = without_offset(search.reserve.samples, self.offset_)
            for step in search.finish(X, scale, is_all=False, n_jobs=self.n_jobs):
                record(self, step.record(), "pass", of="of at most")
            self._move_offset(search)
        self._take(search.dictionary)
        if finishes:
            self._know_noise(search.reserve.samples)
        self._search = search

    def _norms_of(self, X, first):
        norms = sample_norms(X, self.offset_)
        warn_of_loud_samples(norms)
        if first and self.offset is None:
            warn_of_mean(X, self.mean_, norms)
        return norms

    def _learning(self, X, rng):
        """Return what learns from all samples; it has ``components``, ``n_passes`` and ``passes()``."""
        components = self._initial_dictionary(X)
        if len(X) < len(components):
            warn(
                f"n_components={len(components)} atoms cannot be told apart by n_samples={len(X)} samples, which are "
                "fewer: several samples for each atom are needed. X has a row for each sample."
            )
        return _METHODS[self.method].learning(self, X, components, rng)

    def _check_training_samples(self, X):
        if not self.positive and not _METHODS[self.method].signed:
            raise ValueError(
                f"method={self.method!r} learns non-negative codes: leave positive=True, got positive=False."
            )
        return super()._check_training_samples(X)

    def _what_fills_memory(self):
        n = self.n_components
        size = "" if n is None else f", {8e-9 * n**2:.2g} GB for n_components={n} in float64"
        grows = self.positive and self.aim == "concepts" and _METHODS[self.method].aims
        more = " With aim='concepts', fit searches for up to four times as many atoms." if grows else ""
        return f"Learning takes matrices with a number for each pair of components{size}.{more}"

    def _take(self, components):
        self._set_components(components)
        if self.unused_atoms_.all():
            warn(
                f"no sample uses any atom with alpha={self.alpha_:g}: after pass {self.n_iter_} all atoms are zero. "
                "Lower alpha.",
                ConvergenceWarning,
            )

    def _scale_of(self, norms):
        """Return the scale of the penalties of learning."""
        if not isinstance(self.alpha, str):
            return float(self.alpha)
        typical = typical_norm(norms)
        if typical == 0:
            is_mean = isinstance(self.offset, str) and len(norms) == 1
            hint = " One sample is its own mean: begin with a larger block." if is_mean else ""
            raise ValueError(
                f"X, less the offset, must not be all zero, but n_samples={len(norms)} are: alpha={self.alpha!r} comes "
                f"from it.{hint}"
            )
        return _SCALE * typical

    @property
    def _knows_noise(self):
        """Whether codes are at the level of noise once the dictionary is learned."""
        return self.alpha == "noise" or (self.alpha == "auto" and self.aim == "concepts" and _METHODS[self.method].aims)

    def _know_noise(self, X):
        """Set the penalty to the level of noise of some samples, if it is to be that and there is any atom."""
        if self._knows_noise and not self.unused_atoms_.all():
            self.alpha_ = self._alpha_for_noise(X, otherwise=self.alpha_)

    def _initial_dictionary(self, X):
        n_components, atoms = check_start(self.dictionary_init, self.n_components, X.shape[1])
        if atoms is None:
            atoms = derived_random_state(self.random_state).standard_normal((n_components, X.shape[1]))
        return unit_rows(atoms).astype(X.dtype)
