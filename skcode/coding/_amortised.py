"""What the encoders on a dictionary share: what they minimise, their training, and reading codes off.

A network is a class with

* ``initialise(dictionary, alpha, rng)``: its parameters, a dict of C-contiguous arrays in the dtype of the dictionary,
  for samples whose norms are about 1;
* ``forward(parameters, X)``: the codes, and what `backward` needs;
* ``backward(parameters, X, kept, slope)``: the gradients, given that of the codes;
* ``encode(parameters, X)``: the codes to return, of a network that is trained;
* ``project(parameters)``: back to where parameters may be, in place, after a step.

``parameters["dictionary"]`` is there for all of them, whether it is learned or not. Neither the units of the data nor
norms of atoms matter to learning rates: networks see samples divided by ``scale_``, atoms divided by powers of two that
make their norms about 1, and codes and penalties to match.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from .._norms import sample_norms, typical_norm, unit_rows, warn_of_loud_samples, warn_of_mean
from .._training import Adam, minibatches, record
from .._validation import (
    StrOptions,
    check_random_state,
    check_true_codes,
    derived_random_state,
    integers_from,
    positive_real,
)
from ..base import AmortisedCoder
from ._dictionaries import given_dictionary, least_squares_dictionary

_FARTHEST_NORM = 40  # power of two from the typical norm of atoms, beyond which one is as good as zero, or all there is
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
        norms = sample_norms(X, self.offset_)
        warn_of_loud_samples(norms)
        if learned and self.offset is None:
            warn_of_mean(X, self.mean_, norms)
        self.scale_ = _power_of_two(typical_norm(norms))
        centred = centred / centred.dtype.type(self.scale_)
        exponents = norm_exponents(components)
        aim = Aim.of(self.alpha, codes, self.scale_, exponents)
        rng = check_random_state(self.random_state)
        network = self._network()
        start = np.ldexp(components, -exponents[:, None]).astype(X.dtype)
        parameters = {**network.initialise(start, aim.alpha, rng), "dictionary": start}
        with np.errstate(over="ignore", invalid="ignore"):
            self._train(network, parameters, centred, aim, learned, rng)
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
            return given_dictionary(self.dictionary, X.shape[1])
        if codes is not None:
            return least_squares_dictionary(codes, X)
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

    def _train(self, network, parameters, X, aim, learned, rng):
        optimiser = Adam(parameters, self.learning_rate)
        self.history_, self.n_iter_ = {}, 0
        first = None  # loss, before any step
        for epoch in range(self.max_epochs):
            total, n_active = 0.0, 0
            for batch in minibatches(len(X), self.batch_size, rng):
                loss, codes, gradients = loss_and_gradients(network, parameters, X[batch], aim[batch])
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
            entries = {"loss": total / len(X) * aim.unit, "mean_l0": n_active / len(X)}
            record(self, entries, "epoch", self.max_epochs)
        first, zero, final = (aim.unit * each for each in (first, _loss_of_zero(X, aim), total / len(X)))
        if final > _WORSE * max(first, zero):
            raise ValueError(
                f"training diverged: the loss went from {first:.2g} to {final:.2g}, and codes of zero have {zero:.2g}: "
                f"{self._advice()}"
            )

    def _advice(self):
        return f"learning_rate={self.learning_rate:g} is too large, or norms of atoms differ too much."

    def _reader(self, dtype):
        exponents = norm_exponents(self.components_)
        dictionary = np.ldexp(self.components_, -exponents[:, None])
        parameters = {
            name: value.astype(dtype, copy=False) for name, value in {**self.weights_, "dictionary": dictionary}.items()
        }
        return partial(
            _read, offset=self.offset_, scale=dtype.type(self.scale_),
            unit=np.ldexp(self.scale_, -exponents).astype(dtype), network=self._trained, parameters=parameters,
        )  # fmt: skip

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = self.loss == "codes"
        return tags


class Aim(NamedTuple):
    """What is minimised, for codes ``z`` of scaled samples ``x`` over scaled atoms.

    Without true codes, the objective ``1/2 ||x - z D||^2 + sum alpha |z|``, mean over samples; with them, ``weight *
    (z - true)^2``, mean over samples and components.
    """

    alpha: np.ndarray  # of each component
    true: np.ndarray | sp.csr_array | None = None
    weight: np.ndarray | float = 1.0  # of each component: errors of codes count as they are in the units of the user
    unit: float = 1.0  # of what is minimised, in those of the user

    @classmethod
    def of(cls, alpha, true, scale, exponents):
        """Return what is minimised for samples divided by ``scale``, and atoms by 2 to the power of ``exponents``."""
        alphas = np.ldexp(alpha / scale, -exponents)
        if true is None:
            return cls(alphas, unit=scale**2)
        typical = int(np.median(exponents))
        if sp.issparse(true):
            scaled = true.astype(np.float64)
            scaled.data = np.ldexp(scaled.data / scale, exponents[scaled.indices])
        else:
            scaled = np.ldexp(true / scale, exponents)
        return cls(alphas, scaled, np.ldexp(1.0, 2 * (typical - exponents)), float(np.ldexp(scale, -typical)) ** 2)

    def __getitem__(self, rows):
        """Return the aim of some of the samples."""
        return self if self.true is None else self._replace(true=self.true[rows])


def loss_and_gradients(network, parameters, X, aim):
    """Return what is minimised, the codes, and its gradients."""
    codes, kept = network.forward(parameters, X)
    if aim.true is None:
        dictionary, share = parameters["dictionary"], X.dtype.type(1 / len(X))
        error = codes @ dictionary
        error -= X
        penalty = float(np.abs(codes).sum(axis=0, dtype=np.float64) @ aim.alpha)
        loss = (0.5 * float(np.vdot(error, error)) + penalty) / len(X)
        error *= share
        slope = error @ dictionary.T
        slope += (aim.alpha / len(X)).astype(X.dtype) * np.sign(codes)
        gradients = network.backward(parameters, X, kept, slope)
        gradients["dictionary"] = gradients.get("dictionary", 0) + codes.T @ error
    else:
        true = aim.true.toarray() if sp.issparse(aim.true) else aim.true
        error = codes - true.astype(X.dtype, copy=False)
        slope = error * np.asarray(aim.weight).astype(X.dtype)
        loss = float(np.vdot(error, slope)) / error.size
        slope *= X.dtype.type(2 / error.size)
        gradients = network.backward(parameters, X, kept, slope)
    return loss, codes, gradients


def _loss_of_zero(X, aim):
    """Return what is minimised, for codes of zero."""
    if aim.true is None:
        return 0.5 * float(np.einsum("ij,ij->", X, X, dtype=np.float64)) / len(X)
    squares = np.asarray((aim.true * aim.true).sum(axis=0)).ravel()
    return float(squares @ np.broadcast_to(aim.weight, squares.shape)) / np.prod(aim.true.shape)


def norm_exponents(components):
    """Return, for each atom, the power of two nearest to its norm, or to the typical one for atoms of zeros."""
    exponents = np.frexp(np.abs(components).max(axis=1))[1]
    norms = np.linalg.norm(np.ldexp(components, -exponents[:, None]), axis=1)
    used = norms > 0
    exponents[used] += np.rint(np.log2(norms[used])).astype(exponents.dtype)
    typical = int(np.median(exponents[used])) if used.any() else 0
    exponents[~used] = typical
    return np.clip(exponents, typical - _FARTHEST_NORM, typical + _FARTHEST_NORM)


def _read(X, sparse, *, offset, scale, unit, network, parameters):
    X = np.subtract(X, offset).astype(X.dtype, copy=False)
    X /= scale
    codes = network.encode(parameters, X)
    codes *= unit
    return sp.csr_array(codes) if sparse else codes


def _power_of_two(scale):
    """Return the nearest power of two, by which to divide rounds nothing; 1 for samples without a scale."""
    return 2.0 ** round(np.log2(scale)) if scale > 0 else 1.0
