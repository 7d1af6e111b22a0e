"""Codes from a multilayer perceptron."""

from __future__ import annotations

import numpy as np

from .._validation import ArrayLike, MatrixLike, StrOptions, fit_context, integers_from
from ._amortised import TrainedCoder


class MLPCoder(TrainedCoder):
    """Codes from a perceptron with one hidden layer of ReLU units, or with none, and ReLU outputs.

    With ``n_hidden=None`` it is the encoder of a ReLU autoencoder, one linear map and an activation. It is trained by
    Adam, by default starting from the positive correlations of samples with atoms, ``relu(x d / ||d||^2)``. What is
    known decides what is minimised, where the objective of a sample is
    ``1/2 ||x - offset - z D||^2 + alpha * sum_j z_j``, and its mean over samples counts:

    ============ ===== ==================================================== ====================================
    dictionary   y     what is minimised                                    ``components_``
    ============ ===== ==================================================== ====================================
    given        none  the objective                                        the given dictionary
    given        codes mean squared error of the codes                      the given dictionary
    none         codes mean squared error of the codes                      least squares from codes to samples
    none         none  the objective, over network and dictionary           learned, atoms of norm 1
    ============ ===== ==================================================== ====================================

    The authors' loss for n_features M and n_components N, mean squares over samples and features plus 0.01 times the
    mean code, is the objective for ``alpha = 0.01 M / (2 N)``, but for a factor, which Adam does not see.

    Parameters
    ----------
    dictionary : array-like of shape (n_components, n_features), optional
        Atoms in rows, of any norm.
    n_components : int, optional
        Number of components where `fit` is given neither dictionary nor codes; by default twice the number of features.
    alpha : float, default=0.1
        Penalty of the objective, positive.
    n_hidden : int or None, default=256
        Width of the hidden layer; None for no such layer.
    init : {"atoms", "random"}, default="atoms"
        What training starts from: the correlations with atoms, or weights and biases that are uniform between plus and
        minus ``1 / sqrt(n_inputs)`` of their layer, as published. From a random start some outputs are positive for
        no sample, and stay so: their codes are always zero.
    bias : bool, default=True
        Whether biases are trained; without, they are zero.
    loss : {"auto", "objective", "codes"}, default="auto"
        What is minimised: the objective, or the error of codes, for which `fit` needs the true ones as ``y``.
        ``"auto"`` is the latter if there is a ``y`` of two dimensions, with a column for each component; labels, as a
        ``Pipeline`` passes them to every step, are ignored.
    learning_rate : float, default=1e-3
        Of Adam.
    batch_size : int, default=64
        Samples per step; the last batch of an epoch may be smaller.
    max_epochs : int, default=500
        Passes over the training samples.
    offset : {"mean"}, array-like of shape (n_features,) or None, default=None
        What is subtracted from samples before coding and added back by `inverse_transform`: nothing, the training mean,
        or a given vector.
    refine : coder, optional
        An unfitted `FISTACoder`, whose settings are used to go on from the codes of the network, on its dictionary and
        offset: ``FISTACoder(alpha=0.05, solver="fista", max_iter=10, tol=0)`` makes ten steps for each sample. Its
        ``alpha`` is its own. By default codes are those of the network.
    sparse_output : bool, default=False
        Whether codes are returned as CSR.
    n_jobs : int, optional
        Threads of `transform`, or workers of the active joblib backend. Training is sequential; ``refine`` has its own.
    random_state : int, RandomState instance or None, default=None
        Source of the initial weights, the dictionary to start from, and of the order of samples.
    verbose : int, default=0
        1 prints a line now and then, 2 one for each epoch.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        The dictionary: the given one, the least-squares one behind true codes, or the learned one with atoms of norm 1.
    weights_ : dict of ndarray
        ``hidden`` of shape (n_features, n_hidden) and ``hidden_bias``, if there is a hidden layer; ``output`` of shape
        (n_hidden or n_features, n_components) and ``output_bias``.
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
    LISTACoder : A network made of the iterations that find the optimum.
    skcode.SparseAutoencoder : Other activations, without a dictionary.

    References
    ----------
    .. [1] O'Neill, Gumran and Klindt, "Compute Optimal Inference and Provable Amortisation Gap in Sparse
       Autoencoders", arXiv:2411.13117, 2024.

    Examples
    --------
    >>> from skcode import MLPCoder
    >>> from skcode.datasets import make_compositional_shift
    >>> from skcode.metrics import mcc_score
    >>> data = make_compositional_shift(n_samples=2000, n_components=20, n_active=2, random_state=0)
    >>> coder = MLPCoder(max_epochs=50, random_state=0).fit(data.X_train, data.codes_train)
    >>> mcc_score(data.codes_val, coder.transform(data.X_val)) > 0.9
    True
    """

    _parameter_constraints = {
        **TrainedCoder._training_constraints,
        "n_hidden": [integers_from(1), None],
        "init": [StrOptions({"atoms", "random"})],
        "bias": ["boolean"],
    }

    def __init__(
        self,
        dictionary=None,
        *,
        n_components=None,
        alpha=0.1,
        n_hidden=256,
        init="atoms",
        bias=True,
        loss="auto",
        learning_rate=1e-3,
        batch_size=64,
        max_epochs=500,
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
        self.n_hidden = n_hidden
        self.init = init
        self.bias = bias
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
    def fit(self, X: ArrayLike, y: MatrixLike | None = None) -> MLPCoder:
        """Train the network.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training samples.
        y : {array-like, CSR} of shape (n_samples, n_components) or (n_samples,), optional
            True codes of ``X``; in one dimension, those of one component with ``loss="codes"``, and ignored else.

        Returns
        -------
        self : MLPCoder
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
        return Perceptron(self.n_hidden, self.init, self.bias)


class Perceptron:
    """``codes = relu(h W + b)`` of the hidden layer ``h = relu(x V + c)``, or of the sample itself.

    Parameters are ``hidden`` V of shape (n_features, n_hidden), ``hidden_bias`` c, ``output`` W of shape (n_hidden or
    n_features, n_components) and ``output_bias`` b.
    """

    def __init__(self, n_hidden, init="atoms", bias=True):
        self.n_hidden = n_hidden
        self.init = init
        self.bias = bias

    def initialise(self, dictionary, alpha, rng):
        """Return the weights and biases to start from."""
        start = self._from_atoms(dictionary, rng) if self.init == "atoms" else self._at_random(dictionary.shape, rng)
        return {name: np.array(value, dtype=dictionary.dtype, order="C") for name, value in start.items()}

    def _at_random(self, shape, rng):
        """Return layers uniform between minus and plus one over the root of the number of their inputs."""
        n_components, n_features = shape
        sizes = {"hidden": (n_features, self.n_hidden)} if self.n_hidden else {}
        sizes |= {"output": (self.n_hidden or n_features, n_components)}
        start = {}
        for layer, (n_inputs, width) in sizes.items():
            bound = n_inputs**-0.5
            start[layer] = rng.uniform(-bound, bound, (n_inputs, width))
            start[f"{layer}_bias"] = rng.uniform(-bound, bound, width) if self.bias else np.zeros(width)
        return start

    def _from_atoms(self, dictionary, rng):
        """Return weights with which codes are ``relu(x d / ||d||^2)``, by pairs of opposite hidden units.

        With fewer than two hidden units per feature, nearly so.
        """
        width = self.n_hidden
        norms = np.einsum("ij,ij->i", dictionary, dictionary)[:, None]
        output = np.divide(dictionary, norms, out=np.zeros_like(dictionary), where=norms > 0).T
        parameters = {}
        if width:
            # He's scale; relu(u) - relu(-u) = u.
            half = np.sqrt(2 / len(output)) * rng.standard_normal((len(output), -(-width // 2)))
            parameters |= {"hidden": np.hstack([half, -half])[:, :width], "hidden_bias": np.zeros(width)}
            output = np.linalg.pinv(half) @ output
            output = np.vstack([output, -output])[:width]
        return {**parameters, "output": output, "output_bias": np.zeros(len(dictionary))}

    def encode(self, parameters, X):
        """Return the codes."""
        return self.forward(parameters, X)[0]

    def forward(self, parameters, X):
        """Return the codes, and the hidden layer with them."""
        hidden = _layer(X, parameters["hidden"], parameters["hidden_bias"]) if self.n_hidden else X
        codes = _layer(hidden, parameters["output"], parameters["output_bias"])
        return codes, (hidden, codes)

    def backward(self, parameters, X, kept, slope):
        """Return the gradients."""
        hidden, codes = kept
        slope = slope * (codes > 0)
        gradients = self._gradients("output", hidden, slope)
        if self.n_hidden:
            slope = slope @ parameters["output"].T
            slope *= hidden > 0
            gradients |= self._gradients("hidden", X, slope)
        return gradients

    def _gradients(self, layer, inputs, slope):
        gradients = {layer: inputs.T @ slope}
        return {**gradients, f"{layer}_bias": slope.sum(axis=0)} if self.bias else gradients

    def project(self, parameters):
        """Leave the parameters as they are."""


def _layer(values, weights, bias):
    values = values @ weights
    values += bias
    return np.maximum(values, 0, out=values)
