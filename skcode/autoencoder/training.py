"""The training loop's state: parameters and optimiser, schedules, the steered penalty, and latents that went dead."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from .._compiled import compiled
from .._norms import unit_rows
from .._parallel import map_chunks
from .._training import Adam

_SHARD = 512  # samples that one thread takes of a mini-batch
_STEERING = 0.01  # step of log(alpha) for each unit of log(L0 / target), at the full learning rate
_FIRST_ALPHA = 5e-3  # of a penalty that is steered
_NEAR_TARGET = 0.1  # in log(L0), where weights may be kept as the best
_MOST_AUXILIARY = 0.5  # dead latents that a sample may use, in numbers of features
_RESAMPLED_UNTIL = 0.5  # of training
_RESAMPLED_ENCODER = 0.2  # norm, in those of latents that are alive


class Training:
    """One training under way; pickles with its state.

    Parameters
    ----------
    activation : Activation
        Gives loss and gradients.
    parameters : dict of ndarray
        Changed in place.
    options : dict
        Parameters of the estimator, by their names.
    target_l0 : float or None
        Mean L0 that the penalty is steered to; None leaves ``alpha`` alone.
    feature_weight : ndarray of shape (n_features,) or None
        Weight of the squared error of each feature.
    n_steps : int
        Steps that the schedules are laid out for.
    endless : bool
        Whether there may be more, so that the learning rate must not decay.
    """

    def __init__(self, activation, parameters, options, *, target_l0, feature_weight, n_steps, endless=False):
        self.activation = activation
        self.parameters = parameters
        self.options = options
        self.target_l0 = target_l0
        self.feature_weight = feature_weight
        self.n_steps = n_steps
        self.endless = endless
        self.n_done = 0
        self.under_way = False  # whether a block of a stream is, or was when it failed
        self.optimiser = Adam(parameters, options["learning_rate"])
        self.alpha = 0.0 if not activation.penalised else _FIRST_ALPHA if target_l0 is not None else options["alpha"]
        self.idle = np.zeros(len(parameters["decoder"]), dtype=np.int64)  # samples since a latent was last on

    @property
    def dead(self):
        """Which latents no sample of the last ``dead_after`` has used, as indices."""
        return np.flatnonzero(self.idle > self.options["dead_after"])

    def step(self, X):
        """Make one step on a mini-batch; return the sums over its samples of squared error, penalty and non-zeros."""
        self.n_done += 1
        done = self.n_done / self.n_steps
        alpha = self.alpha * _ramp(done, self.options["sparsity_warmup"])
        sums, used, gradients = self._gradients(X, alpha)
        self.idle += len(X)
        self.idle[used] = 0
        decoder = self.parameters["decoder"]
        _project_off(gradients["decoder"], decoder)
        rate = self._rate(done)
        self.optimiser.step(gradients, rate, self.options["n_jobs"])
        self._decay(used, rate * self.options["learning_rate"] * self.options["weight_decay"])
        self.activation.constrain(self.parameters)
        if self.options["renormalise_every"] == "step":
            self.normalise()
        if self.activation.penalised and self.target_l0 is not None:
            error = math.log(max(sums[2] / len(X), 1e-2) / self.target_l0)
            self.alpha *= math.exp(_STEERING * rate * min(max(error, -1.0), 1.0))
        return sums

    def _decay(self, used, share):
        """Shrink the weights of latents that were on, the others' not: or those that are rarely on would vanish."""
        if share > 0:
            for name in ("encoder", "decoder"):
                if name in self.parameters:
                    _shrink_rows(self.parameters[name], used, 1 - share)

    def settled(self, mean_l0):
        """Return whether codes are as sparse as they are to be, so that errors can be compared."""
        if self.activation.penalised and self.n_done < self.options["sparsity_warmup"] * self.n_steps:
            return False
        return self.target_l0 is None or abs(math.log(max(mean_l0, 1e-2) / self.target_l0)) < _NEAR_TARGET

    def is_finite(self):
        """Return whether all parameters still are numbers."""
        return all(np.isfinite(value).all() for value in self.parameters.values())

    def normalise(self):
        """Scale atoms to norm 1."""
        _normalise_rows(self.parameters["decoder"])

    def resample(self, X, rng):
        """Give dead latents a new start at samples that are badly reconstructed (Bricken et al., 2023)."""
        dead = self.dead
        if (self.n_done > _RESAMPLED_UNTIL * self.n_steps and not self.endless) or not len(dead):
            return
        parameters = self.parameters
        missed = -self.activation.step(parameters, X, 0.0, feature_weight=self.feature_weight).excess
        loss = np.einsum("ij,ij->i", missed, missed, dtype=np.float64)
        if not loss.any():
            return
        chosen = rng.choice(len(X), len(dead), p=loss**2 / np.sum(loss**2))
        parameters["decoder"][dead] = unit_rows(missed[chosen])
        if "encoder" in parameters:
            alive = np.setdiff1d(np.arange(len(self.idle)), dead)
            norm = np.linalg.norm(parameters["encoder"][alive], axis=1).mean() if len(alive) else 1.0
            parameters["encoder"][dead] = parameters["decoder"][dead] * (_RESAMPLED_ENCODER * norm)
            self.activation.restart(parameters, dead)
        for name in set(parameters) - {"decoder_bias"}:
            self.optimiser.forget(name, dead)
        self.idle[dead] = 0

    def _gradients(self, X, alpha):
        """Return sums over samples, which latents were on, and the gradients."""
        dead = self.dead if self.options["dead_latents"] == "auxk" else ()
        work = partial(self._shard, X=X, alpha=alpha, dead=dead)
        if len(X) <= _SHARD or self.activation.of_batch:
            return work(slice(None))
        sums, used, gradients = zip(*map_chunks(work, len(X), _SHARD, self.options["n_jobs"]), strict=True)
        total = gradients[0]
        for more in gradients[1:]:
            for name, value in more.items():
                total[name] += value
        return sum(sums), np.any(used, axis=0), total

    def _shard(self, part, *, X, alpha, dead):
        step = self.activation.step(self.parameters, X[part], alpha, len(X), self.feature_weight)
        if len(dead):
            n_active = max(1, int(_MOST_AUXILIARY * X.shape[1]))
            self.activation.auxiliary(self.parameters, step, dead, n_active, len(X), self.feature_weight)
        used, n_used = step.codes.used()
        return np.array([step.squared_error, alpha * step.penalty, n_used]), used, step.gradients

    def _rate(self, done):
        rate = _ramp(done, self.options["warmup"])
        return rate if self.endless else rate * _ramp(1 - done + 1 / self.n_steps, self.options["decay"])


def _ramp(done, length):
    """Return a share that grows from 0 to 1 over the first ``length`` of training."""
    return min(1.0, done / length) if length > 0 else 1.0


_REORDERED = {"reassoc", "contract"}  # sums that may be, or they would not be vectorised


@compiled(fastmath=_REORDERED)
def _project_off(gradient, decoder):
    """Take out of each atom's gradient its part along the atom, in place, so that norms stay about 1.

    As published, without dividing by the squared norm, which between two rescalings is only about 1.
    """
    for j in range(len(decoder)):
        along = decoder.dtype.type(0)
        for f in range(decoder.shape[1]):
            along += gradient[j, f] * decoder[j, f]
        for f in range(decoder.shape[1]):
            gradient[j, f] -= along * decoder[j, f]


@compiled(fastmath=_REORDERED)
def _normalise_rows(decoder):
    for j in range(len(decoder)):
        square = decoder.dtype.type(0)
        for f in range(decoder.shape[1]):
            square += decoder[j, f] * decoder[j, f]
        factor = decoder.dtype.type(1) / max(np.sqrt(square), decoder.dtype.type(1e-8))
        for f in range(decoder.shape[1]):
            decoder[j, f] *= factor


@compiled()
def _shrink_rows(parameter, used, factor):
    factor = parameter.dtype.type(factor)
    for j in range(len(parameter)):
        if used[j]:
            for f in range(parameter.shape[1]):
                parameter[j, f] *= factor
