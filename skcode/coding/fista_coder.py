"""Per-sample optimal codes on a given dictionary."""

from __future__ import annotations

import numpy as np

from .._norms import unit_rows
from .._validation import ArrayLike, StrOptions, fit_context, integers_from, positive_real, real_from
from .._warnings import warn
from ..base import CertifiedCoder
from ..solvers import alpha_for_l0
from ._dictionaries import given_dictionary

_CALIBRATION_SAMPLES = 20_000
_ALPHA = 0.1  # by default
_CALIBRATION_TOL = 1e-4  # where tol=0 leaves none


class FISTACoder(CertifiedCoder):
    """Sparse codes of each sample on a fixed dictionary, optimal and certified.

    Per sample, with no hidden ``1/n``, `transform` solves (unless ``penalty`` says otherwise)::

        min_z  1/2 ||x - offset - z D||^2 + alpha * sum_j |z_j|        (z >= 0 when positive)

    and stops when the duality gap, relative to ``1/2 ||x - offset||^2``, is at most ``tol``.

    Parameters
    ----------
    dictionary : array-like of shape (n_components, n_features), optional
        Atoms in rows, of any norm. By default the training samples, offset removed and scaled to norm 1, are the
        atoms (an exemplar dictionary).
    alpha : float or "noise", default=0.1
        Penalty, positive. 0.1 suits unit atoms and code values of order 1. With ``"noise"``, `fit` finds the penalty
        that correlations with atoms seldom pass by chance, in what codes leave unexplained of the training samples
        (`skcode.solvers.alpha_for_noise`).
    target_l0 : float, optional
        Mean number of non-zeros wanted. `fit` then replaces ``alpha`` by the penalty whose codes to ``tol``, before any
        ``debias``, have as many on the training samples, to within 2 %; if there are more than 20,000, on a random
        choice of them. A warning says so if ``alpha`` is given as well.
    offset : {"mean"}, array-like of shape (n_features,) or None, default=None
        What is subtracted from samples before coding and added back by `inverse_transform`: nothing, the training mean,
        or a given vector (the decoder bias of a sparse autoencoder, say).
    positive : bool, default=True
        Whether codes must be non-negative.
    penalty : {"l1", "mcp"}, default="l1"
        ``"mcp"`` is the minimax concave penalty with gamma 3, which does not shrink large codes (`skcode.solvers.mcp`).
        Its codes are local solutions next to the L1 codes; they are certified not by a duality gap but for being
        stationary: by less than ``tol`` times the norm of a sample does a step of any one code move its
        reconstruction.
    debias : bool, default=False
        Whether non-zero codes are refitted by least squares (non-negative if ``positive``), which takes away the
        shrinkage by the penalty. The certificate still speaks of the L1 problem.
    solver : {"working_set", "fista", "ista"}, default="working_set"
        ``"working_set"`` solves a small problem for each sample, at the price of a few products with the dictionary;
        ``"fista"`` and ``"ista"`` are the textbook iterations, with and without momentum, for the L1 penalty only.
    restart : bool, default=True
        Whether ``solver="fista"`` forgets the momentum of a sample that points uphill. ``False`` is the original
        method, which takes several times as many iterations, most of all on coherent dictionaries.
    max_iter : int, default=10000
        Most iterations per sample; those of the working set are rounds, of which most samples need two or three.
    tol : float, default=1e-4
        Bound on the relative duality gap of every sample (on the violation with ``penalty="mcp"``). With 0, the
        textbook solvers make exactly ``max_iter`` iterations, the others go on until samples are at rest, and nothing
        is warned of: ``solver="fista", max_iter=100, tol=0, restart=False`` is the paper's setting [1]_.
    sparse_output : bool, default=False
        Whether codes are returned as CSR.
    n_jobs : int, optional
        Threads, or workers of the active joblib backend. The codes are the same bits whatever the number.
    verbose : int, default=0
        Whether `transform` prints a line about its work.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        The dictionary; read-only, assign a new array to replace it.
    offset_, mean_ : ndarray of shape (n_features,)
        What is subtracted before coding, and the mean of the training data.
    alpha_ : float
        The penalty in use.
    n_iter_ : int
        Most iterations that the first 32 training samples needed, at least 1.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, if ``X`` had any.

    See Also
    --------
    OracleCoder : The same with the true dictionary, or one fitted to true codes.
    skcode.DictionaryLearner : Learns the dictionary.

    References
    ----------
    .. [1] Barin Pacela et al., "Stop Probing, Start Coding", arXiv:2603.28744, 2026.
    .. [2] Beck and Teboulle, "A Fast Iterative Shrinkage-Thresholding Algorithm for Linear Inverse Problems",
       SIAM Journal on Imaging Sciences 2(1), 2009.
    .. [3] O'Donoghue and Candes, "Adaptive Restart for Accelerated Gradient Schemes", Foundations of Computational
       Mathematics 15(3), 2015.

    Examples
    --------
    >>> from skcode import FISTACoder
    >>> from skcode.datasets import make_compositional_shift
    >>> data = make_compositional_shift(n_samples=200, random_state=0)
    >>> coder = FISTACoder(data.dictionary, alpha=0.1).fit(data.X_train)
    >>> result = coder.codes(data.X_ood)
    >>> result.codes.shape, bool(result.dual_gap.max() <= 1e-4)
    ((100, 100), True)
    """

    _parameter_constraints = {
        **CertifiedCoder._inference_constraints,
        "dictionary": ["array-like", None],
        "alpha": [positive_real(), StrOptions({"noise"})],
        "target_l0": [positive_real(), None],
        "restart": ["boolean"],
        "max_iter": [integers_from(1)],
        "tol": [real_from(0)],
    }

    def __init__(
        self,
        dictionary=None,
        *,
        alpha=_ALPHA,
        target_l0=None,
        offset=None,
        positive=True,
        penalty="l1",
        debias=False,
        solver="working_set",
        restart=True,
        max_iter=10_000,
        tol=1e-4,
        sparse_output=False,
        n_jobs=None,
        verbose=0,
    ):
        self.dictionary = dictionary
        self.alpha = alpha
        self.target_l0 = target_l0
        self.offset = offset
        self.positive = positive
        self.penalty = penalty
        self.debias = debias
        self.solver = solver
        self.restart = restart
        self.max_iter = max_iter
        self.tol = tol
        self.sparse_output = sparse_output
        self.n_jobs = n_jobs
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y=None) -> FISTACoder:
        """Take in the dictionary, or make one of the training samples.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training samples; with a dictionary given, they only set ``mean_``, ``offset_`` when it is the mean, and
            ``alpha_`` when there is a ``target_l0`` or ``alpha="noise"``.
        y : ignored
            Present for API consistency.

        Returns
        -------
        self : FISTACoder
            The fitted coder.

        Raises
        ------
        ValueError
            If the dictionary or the offset does not have the features of ``X``, ``target_l0`` is out of reach,
            ``alpha="noise"`` and no training sample correlates with any atom, or ``solver`` is not for the penalty.
        """
        X = self._check_training_samples(X)
        self._set_offset(X)
        if self.dictionary is None:
            self._set_components(unit_rows(self._without_offset(X)))
        else:
            self._set_components(given_dictionary(self.dictionary, X.shape[1]))
        return self._finish_fit(X)

    def _finish_fit(self, X):
        if self.target_l0 is not None and self.alpha != _ALPHA:
            warn(f"alpha={self.alpha} has no effect beside target_l0={self.target_l0:g}, which sets alpha_.")
        if self.target_l0 is not None:
            self.alpha_ = self._calibrated_alpha(X)
        else:
            self.alpha_ = self._alpha_for_noise(X) if self.alpha == "noise" else float(self.alpha)
        self.n_iter_ = self._iterations_on_probe(X)
        return self

    def _calibrated_alpha(self, X):
        """Return the penalty for ``target_l0``, by random samples if there are very many."""
        if len(X) > _CALIBRATION_SAMPLES:  # the same ones each time
            X = X[np.sort(np.random.RandomState(0).choice(len(X), _CALIBRATION_SAMPLES, replace=False))]
        return alpha_for_l0(
            X, self._prepared, self.target_l0, penalty=self.penalty, positive=self.positive,
            max_iter=self.max_iter, tol=self.tol or _CALIBRATION_TOL, offset=self._offset_or_none, n_jobs=self.n_jobs,
        )  # fmt: skip
