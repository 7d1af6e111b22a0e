"""The dictionary learner: activations in, dictionary and codes out."""

from __future__ import annotations

import numpy as np

from .._base import CertifiedCoder
from .._validation import (
    ArrayLike,
    StrOptions,
    check_dictionary,
    derived_random_state,
    fit_context,
    integers_from,
    positive_real,
    real_from,
)
from .alternating import alternate

_METHODS = {"alternating": alternate}
# alpha="auto" in units of the root mean square norm of the samples: 0.1 on the paper's protocol.
_AUTO_ALPHA = 0.055


class DictionaryLearner(CertifiedCoder):
    """Learn a dictionary from samples alone, then code on it as `FISTACoder` does.

    Minimises, over unit-norm atoms and codes::

        mean over samples of  1/2 ||x - offset - z D||^2 + alpha * sum_j |z_j|        (z >= 0 when positive)

    Parameters
    ----------
    n_components : int, optional
        Number of atoms; by default twice the number of features.
    alpha : float or "auto", default="auto"
        Penalty of learning and of `transform`. ``"auto"`` is 0.055 times the root mean square norm of the training
        samples, offset removed: about 0.1 on the paper's protocol.
    positive : bool, default=True
        Whether codes must be non-negative.
    method : {"alternating"}, default="alternating"
        ``"alternating"`` is the published DL-FISTA [1]_: rounds of 100 FISTA steps on all samples, warm-started, and a
        least-squares dictionary scaled to unit atoms. Made for moderate sizes: atoms that fall out of use stay out.
    dictionary_init : array-like of shape (n_components, n_features), optional
        Where learning starts, each atom scaled to norm 1; by default random Gaussian directions.
    max_epochs : int, default=1000
        Most passes over the training samples. Reaching it is no cause for a warning; ``n_iter_`` and
        ``history_["change"]`` tell.
    tol : float, default=1e-5
        Learning stops when a pass changes the dictionary by less than this share of its norm.
    offset : {"mean"}, array-like of shape (n_features,) or None, default=None
        What is subtracted from samples before learning and coding: nothing, the training mean, or a given vector.
        Samples whose mean is itself a mixture of concepts, as the paper's, need no offset.
    debias : bool, default=False
        Whether `transform` refits non-zero codes by least squares, as in `FISTACoder`.
    solver : {"working_set", "fista", "ista"}, default="working_set"
        Solver behind `transform`.
    coding_max_iter : int, default=10000
        Most iterations per sample in `transform`.
    coding_tol : float, default=1e-4
        Bound on the relative duality gap of every sample in `transform`.
    sparse_output : bool, default=False
        Whether codes are returned as CSR.
    n_jobs : int, optional
        Threads, or workers of the active joblib backend.
    random_state : int, RandomState instance or None, default=None
        Source of the initial dictionary.
    verbose : int, default=0
        1 prints a line now and then, 2 one for each pass.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        Learned atoms, unit norm (zero if never used); read-only.
    offset_, mean_ : ndarray of shape (n_features,)
        What is subtracted before coding, and the mean of the training data.
    alpha_ : float
        The penalty in use.
    n_iter_ : int
        Passes made.
    history_ : dict of list of float
        For each pass: ``objective`` (mean per sample), ``mean_l0`` (mean number of non-zeros) and ``change`` (of the
        dictionary, relative).
    unused_atoms_ : ndarray of shape (n_components,), dtype bool
        Which atoms no training sample uses.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, if ``X`` had any.

    See Also
    --------
    FISTACoder : Codes on a given dictionary.

    References
    ----------
    .. [1] Barin Pacela et al., "Stop Probing, Start Coding", arXiv:2603.28744, 2026.

    Examples
    --------
    >>> from skcode import DictionaryLearner
    >>> from skcode.datasets import make_compositional_shift
    >>> from skcode.metrics import match_dictionaries
    >>> data = make_compositional_shift(n_samples=2000, n_components=50, n_active=3, random_state=1)
    >>> learner = DictionaryLearner(50, max_epochs=50, random_state=1).fit(data.X_train)
    >>> match = match_dictionaries(data.dictionary, learner.components_)
    >>> match.mean_cosine > 0.85, match.chance_cosine < 0.6
    (True, True)
    """

    _parameter_constraints = {
        **CertifiedCoder._inference_constraints,
        "n_components": [integers_from(1), None],
        "alpha": [positive_real(), StrOptions({"auto"})],
        "method": [StrOptions(set(_METHODS))],
        "dictionary_init": ["array-like", None],
        "max_epochs": [integers_from(1)],
        "tol": [real_from(0)],
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
        method="alternating",
        dictionary_init=None,
        max_epochs=1000,
        tol=1e-5,
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
        self.method = method
        self.dictionary_init = dictionary_init
        self.max_epochs = max_epochs
        self.tol = tol
        self.offset = offset
        self.debias = debias
        self.solver = solver
        self.coding_max_iter = coding_max_iter
        self.coding_tol = coding_tol
        self.sparse_output = sparse_output
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y=None) -> DictionaryLearner:
        """Learn the dictionary.

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
            If ``dictionary_init`` or ``offset`` does not fit ``X`` and ``n_components``.

        Warns
        -----
        ConvergenceWarning
            If ``alpha`` is so large that no sample uses any atom.
        """
        X = self._check_training_samples(X)
        self._set_offset(X)
        centred = self._without_offset(X)
        self.alpha_ = _auto_alpha(centred) if self.alpha == "auto" else float(self.alpha)
        learned = _METHODS[self.method](
            centred,
            self._initial_dictionary(centred),
            self.alpha_,
            positive=self.positive,
            max_epochs=self.max_epochs,
            tol=self.tol,
            n_jobs=self.n_jobs,
            report=self._report if self.verbose else None,
        )
        self._set_components(learned.components)
        self.n_iter_ = learned.n_iter
        self.history_ = learned.history
        self.unused_atoms_ = ~(learned.codes != 0).any(axis=0)
        return self

    def _initial_dictionary(self, X):
        n_features = X.shape[1]
        n_components = 2 * n_features if self.n_components is None else self.n_components
        if self.dictionary_init is None:
            atoms = derived_random_state(self.random_state).standard_normal((n_components, n_features))
        else:
            atoms = check_dictionary(self.dictionary_init, n_features, name="dictionary_init")
            if self.n_components is not None and len(atoms) != n_components:
                raise ValueError(f"dictionary_init has {len(atoms)} atoms but n_components={n_components}.")
        return (atoms / np.maximum(np.linalg.norm(atoms, axis=1, keepdims=True), 1e-8)).astype(X.dtype)

    def _report(self, epoch, history):
        if self.verbose > 1 or epoch % max(1, self.max_epochs // 20) == 0:
            latest = ", ".join(f"{name} {values[-1]:.4g}" for name, values in history.items())
            print(f"[{type(self).__name__}] pass {epoch} of at most {self.max_epochs}: {latest}")

    def _inference_options(self):
        return {"max_iter": self.coding_max_iter, "tol": self.coding_tol, "restart": True}


def _auto_alpha(X):
    scale = float(np.sqrt(np.einsum("ij,ij->", X, X, dtype=np.float64) / len(X)))
    return _AUTO_ALPHA * scale if scale > 0 else _AUTO_ALPHA
