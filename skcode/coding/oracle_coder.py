"""The ceiling: coding with knowledge that is never available in practice."""

from __future__ import annotations

from .._validation import ArrayLike, MatrixLike, check_true_codes, fit_context
from ._dictionaries import least_squares_dictionary
from .fista_coder import FISTACoder


class OracleCoder(FISTACoder):
    """Optimal codes on the true dictionary, or on the one that explains true codes best.

    Infers codes exactly as `FISTACoder`; what differs is where the dictionary comes from. With ``dictionary=None``,
    `fit` needs the true codes as ``y`` and takes the least-squares dictionary from ``y`` to ``X`` (of least norm where
    that is not unique). In a ``Pipeline`` the same ``y`` goes to every step, so give a dictionary there.

    Parameters
    ----------
    dictionary : array-like of shape (n_components, n_features), optional
        True atoms in rows. Without it, `fit` needs the true codes.
    alpha : float or "noise", default=0.1
        Penalty, positive, or what finds it, as in `FISTACoder`.
    target_l0 : float, optional
        Mean number of non-zeros wanted. `fit` then replaces ``alpha`` by the penalty whose codes to ``tol``, before any
        ``debias``, have as many on the training samples, to within 2 %; if there are more than 20,000, on a random
        choice of them. A warning says so if ``alpha`` is given as well.
    offset : {"mean"}, array-like of shape (n_features,) or None, default=None
        What is subtracted from samples before coding.
    positive : bool, default=True
        Whether codes must be non-negative.
    penalty : {"l1", "mcp"}, default="l1"
        ``"mcp"`` does not shrink large codes, and is certified for stationarity, as in `FISTACoder`.
    debias : bool, default=False
        Whether non-zero codes are refitted by least squares (non-negative if ``positive``), which takes away the
        shrinkage by the penalty. The certificate still speaks of the L1 problem.
    solver : {"working_set", "fista", "ista"}, default="working_set"
        ``"working_set"`` solves a small problem for each sample, at the price of a few products with the dictionary;
        ``"fista"`` and ``"ista"`` are the textbook iterations, with and without momentum.
    restart : bool, default=True
        Whether ``solver="fista"`` restarts adaptively.
    max_iter : int, default=10000
        Most iterations per sample; those of the working set are rounds, of which most samples need two or three.
    tol : float, default=1e-4
        Bound on the relative duality gap of every sample; 0 as in `FISTACoder`.
    sparse_output : bool, default=False
        Whether codes are returned as CSR.
    n_jobs : int, optional
        Threads, or workers of the active joblib backend.
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
    FISTACoder : The same on any dictionary.

    Examples
    --------
    >>> from skcode import OracleCoder
    >>> from skcode.datasets import make_compositional_shift
    >>> from skcode.metrics import match_dictionaries, mcc_score
    >>> data = make_compositional_shift(n_samples=1000, n_components=50, n_active=5, random_state=0)
    >>> oracle = OracleCoder(alpha=0.05).fit(data.X_train, data.codes_train)
    >>> match_dictionaries(data.dictionary, oracle.components_).frac_recovered
    1.0
    >>> mcc_score(data.codes_ood, oracle.transform(data.X_ood)) > 0.95
    True
    """

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: MatrixLike | None = None) -> OracleCoder:
        """Take in the dictionary, or fit one to true codes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training samples.
        y : {array-like, CSR} of shape (n_samples, n_components) or (n_samples,), optional
            True codes of ``X``, needed when no dictionary is given and ignored otherwise; 1-D is one component.

        Returns
        -------
        self : OracleCoder
            The fitted coder.

        Raises
        ------
        ValueError
            If neither dictionary nor codes are given, or either does not fit ``X``.
        """
        if self.dictionary is not None:
            return super().fit(X)
        X = self._check_training_samples(X)
        codes = check_true_codes(y, X.shape[0], f"{type(self).__name__} without a dictionary")
        self._set_offset(X)
        self._set_components(least_squares_dictionary(codes, self._without_offset(X)))
        return self._finish_fit(X)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = self.dictionary is None
        return tags
