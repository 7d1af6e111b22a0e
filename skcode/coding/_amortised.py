"""What the encoders on a dictionary share: what they minimise, their training, and reading codes off.

A network is a class with

* ``initialise(dictionary, alpha, rng)``: its parameters, a dict of C-contiguous arrays in the dtype of the dictionary,
  for samples whose norms are about 1;
* ``forward(parameters, X)``: the codes, and what `backward` needs;
* ``backward(parameters, X, kept, slope)``: the gradients, given that of the codes;
* ``project(parameters)``: back to where parameters may be, in place, after a step.

``parameters["dictionary"]`` is there for all of them, whether it is learned or not. Networks see samples, codes and
alpha divided by ``scale_``, so that the units of the data do not matter to learning rates.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import scipy.sparse as sp

from .._norms import sample_norms, typical_norm, unit_rows
from .._parallel import single_threaded_blas
from .._training import Adam, minibatches, record
from .._validation import (
    StrOptions,
    check_dictionary,
    check_random_state,
    check_true_codes,
    derived_random_state,
    integers_from,
    positive_real,
)
from ..base import AmortisedCoder
from .oracle_coder import least_squares_dictionary

_WORSE = 2  # times the loss of the first batch, whose samples are not the others


class TrainedCoder(AmortisedCoder):
    """Base of encoders trained on a dictionary, on true codes, or together with their dictionary.

    Subclasses take the parameters of ``_training_constraints`` and implement ``_network``, of those parameters.
    """

    _training_constraints = {
        **AmortisedCoder._amortised_constraints,
        "n_components": [integers_from(1), None],
        "dictionary": ["array-like", None],
        "alpha": [positive_real()],
        "loss": [StrOptions({"auto", "objective", "codes"})],
        "learning_rate": [positive_real()],
        "batch_size": [integers_from(1)],
        "max_epochs": [integers_from(1)],
        "offset": ["array-like", StrOptions({"mean"}), None],
        "random_state": ["random_state"],
    }

    def _fit(self, X, y):
        X = self._check_training_samples(X)
        codes = self._true_codes(y, len(X))
        self._set_offset(X)
        centred = self._without_offset(X)
        learned = self.dictionary is None and codes is None
        components = self._first_components(centred, codes)
        self._check_width(components, codes)
        self.scale_ = _power_of_two(typical_norm(sample_norms(X, self.offset_)))
        centred = centred / centred.dtype.type(self.scale_)
        codes = None if codes is None else codes / self.scale_
        rng = check_random_state(self.random_state)
        network = self._network()
        start = components.astype(X.dtype)
        parameters = {**network.initialise(start, self.alpha / self.scale_, rng), "dictionary": start}
        with single_threaded_blas(), np.errstate(over="ignore", invalid="ignore"):
            self._train(network, parameters, centred, codes, learned, rng)
        dictionary = parameters.pop("dictionary")
        self.components_ = dictionary if learned else components
        self.weights_, self._trained = parameters, network
        self._fit_refiner(X)
        return self

    def _true_codes(self, y, n_samples):
        labels = y is None or (not sp.issparse(y) and np.asarray(y).ndim < 2)
        if self.loss == "objective" or (self.loss == "auto" and labels):
            return None
        return check_true_codes(y, n_samples, f"{type(self).__name__}(loss='codes')")

    def _first_components(self, X, codes):
        """Return the dictionary: the given one, the one behind true codes, or random atoms to start from."""
        if self.dictionary is not None:
            return check_dictionary(self.dictionary, n_features=X.shape[1])
        if codes is not None:
            return least_squares_dictionary(codes, X).astype(X.dtype)
        n_components = 2 * X.shape[1] if self.n_components is None else self.n_components
        atoms = derived_random_state(self.random_state).standard_normal((n_components, X.shape[1])).astype(X.dtype)
        return unit_rows(atoms)

    def _check_width(self, components, codes):
        if self.n_components not in (None, len(components)):
            where = "y holds codes over" if self.dictionary is None else "dictionary has"
            raise ValueError(f"n_components={self.n_components} but {where} {len(components)} components.")
        if codes is not None and codes.shape[1] != len(components):
            raise ValueError(
                f"y must hold codes over the {len(components)} components of the dictionary, got {codes.shape[1]}; "
                "loss='objective' trains without y."
            )

    def _train(self, network, parameters, X, true, learned, rng):
        optimiser = Adam(parameters, self.learning_rate)
        self.history_, self.n_iter_ = {}, 0
        alpha = self.alpha / self.scale_
        first = None  # loss, before any step
        for epoch in range(self.max_epochs):
            total, n_active = 0.0, 0
            for batch in minibatches(len(X), self.batch_size, rng):
                loss, codes, gradients = loss_and_gradients(
                    network, parameters, X[batch], None if true is None else true[batch], alpha
                )
                first = loss if first is None else first
                if learned:
                    slope, atoms = gradients["dictionary"], parameters["dictionary"]
                    slope -= np.einsum("ij,ij->i", slope, atoms)[:, None] * atoms  # atoms move on the sphere
                else:
                    gradients.pop("dictionary", None)
                optimiser.step(gradients)
                network.project(parameters)
                if learned:
                    parameters["dictionary"][:] = unit_rows(parameters["dictionary"])
                total += len(batch) * loss
                n_active += np.count_nonzero(codes)
            last = epoch + 1 == self.max_epochs
            if not np.isfinite(total) or (last and not all(np.isfinite(each).all() for each in parameters.values())):
                raise ValueError(f"training diverged in epoch {epoch + 1}: {self._advice()}")
            entries = {"loss": total / len(X) * self.scale_**2, "mean_l0": n_active / len(X)}
            record(self, entries, "epoch", self.max_epochs)
        first, zero, final = (self.scale_**2 * each for each in (first, _loss_of_zero(X, true), total / len(X)))
        if final > _WORSE * max(first, zero):
            raise ValueError(
                f"training diverged: the loss went from {first:.2g} to {final:.2g}, and codes of zero have {zero:.2g}: "
                f"{self._advice()}"
            )

    def _advice(self):
        return f"learning_rate={self.learning_rate:g} is too large, or atoms are not of moderate norm."

    def _reader(self, dtype):
        parameters = {
            name: value.astype(dtype, copy=False)
            for name, value in {**self.weights_, "dictionary": self.components_}.items()
        }
        return partial(
            _read, offset=self.offset_, scale=dtype.type(self.scale_), network=self._trained, parameters=parameters
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = self.loss == "codes"
        return tags


def _read(X, output, *, offset, scale, network, parameters):
    X = np.subtract(X, offset).astype(X.dtype, copy=False)
    X /= scale
    codes, _ = network.forward(parameters, X)
    codes *= scale
    return sp.csr_array(codes) if output == "csr" else codes


def loss_and_gradients(network, parameters, X, true, alpha):
    """Return what is minimised, the codes, and its gradients.

    Without true codes, the objective ``1/2 ||x - z D||^2 + alpha sum |z|``, mean over samples; with them,
    ``(z - true)^2``, mean over samples and components.
    """
    codes, kept = network.forward(parameters, X)
    if true is None:
        dictionary, weight = parameters["dictionary"], X.dtype.type(1 / len(X))
        error = codes @ dictionary
        error -= X
        loss = (0.5 * float(np.vdot(error, error)) + alpha * float(np.abs(codes).sum())) / len(X)
        error *= weight
        slope = error @ dictionary.T
        slope += X.dtype.type(alpha / len(X)) * np.sign(codes)
        gradients = network.backward(parameters, X, kept, slope)
        gradients["dictionary"] = gradients.get("dictionary", 0) + codes.T @ error
    else:
        error = codes - (true.toarray() if sp.issparse(true) else true).astype(X.dtype, copy=False)
        loss = float(np.vdot(error, error)) / error.size
        error *= X.dtype.type(2 / error.size)
        gradients = network.backward(parameters, X, kept, error)
    return loss, codes, gradients


def _loss_of_zero(X, true):
    """Return what is minimised, for codes of zero."""
    if true is None:
        return 0.5 * float(np.einsum("ij,ij->", X, X, dtype=np.float64)) / len(X)
    return float((true * true).sum()) / (true.shape[0] * true.shape[1])


def _power_of_two(scale):
    """Return the nearest power of two, by which to divide rounds nothing; 1 for samples without a scale."""
    return 2.0 ** round(np.log2(scale)) if scale > 0 else 1.0
