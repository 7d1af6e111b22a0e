"""Learned ISTA: a few unrolled iterations whose matrices are trained."""

from __future__ import annotations

import numpy as np

from .._lasso import lipschitz
from .._validation import ArrayLike, MatrixLike, fit_context, integers_from
from ._amortised import TrainedCoder


class LISTACoder(TrainedCoder):
    """Learned ISTA: unrolled iterations on a dictionary, whose matrices and thresholds are trained.

    A sample, its offset removed, goes through ``n_layers`` layers, from ``z = 0``::

        z <- prox(z S + x W, threshold)        coupled: S = I - D W, that is, prox(z + (x - z D) W, threshold)

    where prox is the soft threshold, one-sided when ``positive``, with thresholds of its own for each layer and
    component, and D are the atoms, divided by powers of two that make their norms about 1. Training starts at ISTA,
    ``W = D' / L``, ``S = I - D D' / L``, thresholds ``alpha / L`` with ``L = ||D||_2^2``: untrained, the network makes
    ``n_layers`` steps of it. It is trained by Adam, differentiating through all layers. What is known decides what is
    minimised, where the objective of a sample is ``1/2 ||x - offset - z D||^2 + alpha * sum_j |z_j|`` and its mean over
    samples counts:

    ============ ===== ==================================================== ====================================
    dictionary   y     what is minimised                                    ``components_``
    ============ ===== ==================================================== ====================================
    given        none  the objective                                        the given dictionary
    given        codes mean squared error of the codes                      the given dictionary
    none         codes mean squared error of the codes                      least squares from codes to samples
    none         none  the objective, over network and dictionary           learned, atoms of norm 1
    ============ ===== ==================================================== ====================================

    Trained steps are longer than those of ISTA, and on supports unlike those of the training samples a few samples in a
    thousand can be thrown ever farther off. Where the codes leave more of a sample than there was, `transform` returns
    those of ISTA.

    Parameters
    ----------
    dictionary : array-like of shape (n_components, n_features), optional
        Atoms in rows, of any norm.
    n_components : int, optional
        Number of components where `fit` is given neither dictionary nor codes; by default twice the number of features.
    alpha : float, default=0.1
        Penalty of the objective, positive.
    n_layers : int, default=16
        Number of layers.
    coupled : bool, default=True
        Whether ``S = I - D W``, to which the matrices of every network that converges to the true codes must tend
        [2]_; else S is trained too, as in [1]_: ``n_components ** 2`` more numbers for each W, which fit the training
        samples better and others worse.
    shared : bool, default=True
        Whether all layers share one W (and S), as in [1]_, or each has its own, as in [2]_; thresholds are of each
        layer. Shared matrices lose less in new combinations of atoms.
    positive : bool, default=True
        Whether codes must be non-negative.
    loss : {"auto", "objective", "codes"}, default="auto"
        What is minimised: the objective, or the error of codes, for which `fit` needs the true ones as ``y``.
        ``"auto"`` is the latter if there is a ``y`` of two dimensions, with a column for each component; labels, as a
        ``Pipeline`` passes them to every step, are ignored.
    learning_rate : float, default=1e-3
        Of Adam. With 50 to 500 atoms, two to three times as much about halved the mean gap that is left, but the codes
        of single samples unlike those of training could then be far off, with gaps of 8 to 13; ten times as much could
        diverge.
    batch_size : int, default=64
        Samples per step; the last batch of an epoch may be smaller.
    max_epochs : int, default=100
        Passes over the training samples.
    offset : {"mean"}, array-like of shape (n_features,) or None, default=None
        What is subtracted from samples before coding and added back by `inverse_transform`: nothing, the training mean,
        or a given vector.
    refine : coder, optional
        An unfitted `FISTACoder`, whose settings are used to go on from the codes of the network, on its dictionary and
        offset: ``FISTACoder(alpha=0.05, solver="fista", max_iter=10, tol=0)`` makes ten steps for each sample. Its
        ``alpha`` is its own; where ``positive=False``, it must say so, too. By default codes are those of the network.
    sparse_output : bool, default=False
        Whether codes are returned as CSR.
    n_jobs : int, optional
        Threads of `transform`, or workers of the active joblib backend. Training is sequential; ``refine`` has its own.
    random_state : int, RandomState instance or None, default=None
        Source of the dictionary to start from, and of the order of samples.
    verbose : int, default=0
        1 prints a line now and then, 2 one for each epoch.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        The dictionary: the given one, the least-squares one behind true codes, or the learned one with atoms of norm 1.
    weights_ : dict of ndarray
        ``weights`` W of shape (n_layers, n_features, n_components), ``thresholds`` of shape (n_layers, n_components)
        and, unless coupled, ``recurrent`` S of shape (n_layers, n_components, n_components); shared matrices have one
        layer.
    scale_ : float
        Norm of the training samples, rounded to a power of two. The network works on samples divided by it, and on
        atoms divided by powers of two that make their norms about 1, so that neither the units of the data nor the
        norms of atoms matter to the learning rate. Its codes are scaled back.
    offset_, mean_ : ndarray of shape (n_features,)
        What is subtracted before coding, and the mean of the training data.
    refiner_ : coder or None
        The fitted ``refine``, which has ``codes`` with certificates.
    n_iter_ : int
        Epochs made.
    history_ : dict of list of float
        For each epoch: ``loss`` and ``mean_l0`` over its batches.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, if ``X`` had any.

    See Also
    --------
    MLPCoder : A network that knows nothing of iterations.
    FISTACoder : Optimal codes, which a network of ever more layers approaches.

    References
    ----------
    .. [1] Gregor and LeCun, "Learning Fast Approximations of Sparse Coding", ICML 2010.
    .. [2] Chen, Liu, Wang and Yin, "Theoretical Linear Convergence of Unfolded ISTA and Its Practical Weights and
       Thresholds", NeurIPS 2018.

    Examples
    --------
    >>> from skcode import LISTACoder
    >>> from skcode.datasets import make_compositional_shift
    >>> from skcode.metrics import amortisation_gap
    >>> data = make_compositional_shift(n_samples=400, n_components=50, n_active=5, random_state=0)
    >>> coder = LISTACoder(dictionary=data.dictionary, max_epochs=30, random_state=0).fit(data.X_train)
    >>> coder.transform(data.X_val).shape
    (200, 50)
    >>> amortisation_gap(coder, data.X_ood, alpha=0.1).mean_gap < 0.05
    True
    """

    _parameter_constraints = {
        **TrainedCoder._training_constraints,
        "n_layers": [integers_from(1)],
        "coupled": ["boolean"],
        "shared": ["boolean"],
        "positive": ["boolean"],
    }

    def __init__(
        self,
        dictionary=None,
        *,
        n_components=None,
        alpha=0.1,
        n_layers=16,
        coupled=True,
        shared=True,
        positive=True,
        loss="auto",
        learning_rate=1e-3,
        batch_size=64,
        max_epochs=100,
        offset=None,
        refine=None,
        sparse_output=False,
        n_jobs=None,
        random_state=None,
        verbose=0,
    ):
        self.dictionary = dictionary
        self.n_components = n_components
        self.alpha = alpha
        self.n_layers = n_layers
        self.coupled = coupled
        self.shared = shared
        self.positive = positive
        self.loss = loss
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.offset = offset
        self.refine = refine
        self.sparse_output = sparse_output
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: ArrayLike, y: MatrixLike | None = None) -> LISTACoder:
        """Train the network.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training samples.
        y : {array-like, CSR} of shape (n_samples, n_components) or (n_samples,), optional
            True codes of ``X``; in one dimension, those of one component with ``loss="codes"``, and ignored else.

        Returns
        -------
        self : LISTACoder
            The fitted coder.

        Raises
        ------
        ValueError
            If dictionary, codes, ``n_components`` and ``X`` do not fit each other, ``loss="codes"`` lacks them, squares
            of ``X`` are beyond its dtype, training diverges, or ``refine`` fails on what was trained. A call that fails
            changes nothing.

        Warns
        -----
        UserWarning
            If a few samples hold much of the sum of squares, or a dictionary is to be learned, the mean of ``X`` holds
            most of its squares, and ``offset`` is None.
        """
        return self._fit(X, y)

    def _network(self):
        return UnrolledISTA(self.n_layers, self.coupled, self.shared, self.positive)

    def _what_fills_memory(self):
        return None if self.coupled else "With coupled=False there is a weight for each pair of components."

    def _what_signs_codes(self):
        return None if self.positive else "positive=False"


class UnrolledISTA:
    """``n_layers`` steps ``z <- prox(z S + x W, threshold)`` from zero; as initialised, those of ISTA.

    Parameters are ``weights`` W of shape (n_layers, n_features, n_components), ``thresholds`` of shape (n_layers,
    n_components) and, unless coupled, ``recurrent`` S of shape (n_layers, n_components, n_components). Coupled,
    ``S = I - D W``. With shared matrices, W and S have one layer.
    """

    def __init__(self, n_layers, coupled, shared, positive):
        self.n_layers = n_layers
        self.coupled = coupled
        self.shared = shared
        self.positive = positive

    def initialise(self, dictionary, alpha, rng=None):
        """Return the matrices of ISTA, ``W = D' / L``, ``S = I - D D' / L`` and ``alpha / L``; nothing is random."""
        self.alpha = alpha
        curvature = lipschitz(dictionary)
        step = dictionary.dtype.type(1 / curvature if curvature > 0 else 1)
        n_matrices = 1 if self.shared else self.n_layers
        parameters = {
            "weights": np.repeat((step * dictionary.T)[None], n_matrices, axis=0),
            "thresholds": np.full((self.n_layers, len(dictionary)), step * alpha, dtype=dictionary.dtype),
        }
        if not self.coupled:
            recurrent = np.eye(len(dictionary), dtype=dictionary.dtype) - step * (dictionary @ dictionary.T)
            parameters["recurrent"] = np.repeat(recurrent[None], n_matrices, axis=0)
        return parameters

    def encode(self, parameters, X):
        """Return the codes, each at least as good as zeros.

        Training lengthens the steps, so that they are stable on supports as sparse as those of the training samples,
        and on some denser ones not: there the codes swing and grow from layer to layer. A sample of which they leave
        more than there was gets as many steps of ISTA, which cannot.
        """
        dictionary = parameters["dictionary"]
        with np.errstate(over="ignore", invalid="ignore"):
            codes, _ = self.forward(parameters, X)
            left = X - codes @ dictionary
            good = np.einsum("ij,ij->i", left, left) <= np.einsum("ij,ij->i", X, X)  # and NaN is not
        if not good.all():
            codes[~good] = self.forward(
                {**self.initialise(dictionary, self.alpha), "dictionary": dictionary}, X[~good]
            )[0]
        return codes

    def forward(self, parameters, X):
        """Return the codes, and the codes and residuals that each layer was given."""
        dictionary, weights, thresholds = (parameters[name] for name in ("dictionary", "weights", "thresholds"))
        codes = np.zeros((len(X), len(dictionary)), dtype=X.dtype)
        kept = []
        for layer in range(self.n_layers):
            matrix = layer % len(weights)
            # Nothing is subtracted from x, and nothing carried over, while codes are zero.
            rest = X - codes @ dictionary if self.coupled and layer else X
            value = rest @ weights[matrix]
            if layer:
                value += codes if self.coupled else codes @ parameters["recurrent"][matrix]
            kept.append((codes, rest))
            codes = self._prox(value, thresholds[layer])
        return codes, [*kept, (codes, None)]

    def _prox(self, value, threshold):
        if self.positive:
            value -= threshold
            return np.maximum(value, 0, out=value)
        return np.sign(value) * np.maximum(np.abs(value) - threshold, 0)

    def backward(self, parameters, X, kept, slope):
        """Return the gradients, last layer first."""
        dictionary, weights = parameters["dictionary"], parameters["weights"]
        gradients = {name: np.zeros_like(value) for name, value in parameters.items()}
        for layer in range(self.n_layers - 1, -1, -1):
            matrix = layer % len(weights)
            (codes, rest), (after, _) = kept[layer], kept[layer + 1]
            slope = slope * (after != 0)
            gradients["thresholds"][layer] = -np.einsum("ij,ij->j", slope, np.sign(after))
            gradients["weights"][matrix] += rest.T @ slope
            if not layer:
                break
            if self.coupled:
                back = slope @ weights[matrix].T
                gradients["dictionary"] -= codes.T @ back
                slope -= back @ dictionary.T
            else:
                gradients["recurrent"][matrix] += codes.T @ slope
                slope = slope @ parameters["recurrent"][matrix].T
        return gradients

    def project(self, parameters):
        """Keep thresholds from becoming negative."""
        np.maximum(parameters["thresholds"], 0, out=parameters["thresholds"])
