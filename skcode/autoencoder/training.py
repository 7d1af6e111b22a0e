"""One training run: parameters and optimiser, schedules, the steered penalty, and latents that went dead."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from functools import partial

import numpy as np

from .._compiled import FUSED, compiled
from .._norms import unit_rows
from .._parallel import map_chunks
from .._training import Adam, minibatches
from .plan import Plan
from .sparsity import Sparsity, calibrated, complaint
from .start import first_parameters, some
from .weights import Parameters, Weights

_SHARD = 512  # samples that one thread takes of a mini-batch
# Step of log(alpha) for each unit of log(L0 / wanted), at the full learning rate; 0.004 was too slow, 0.03 swung.
_STEERING = 0.01
_MOST_RATIO = 1.0  # of log(L0 / wanted), that steering answers to
_LEAST_L0 = 1e-2  # in place of none at all, which has no logarithm
_NEAR_WANTED = 0.1  # in log(L0), where parameters may be kept as the best
_MOST_AUXILIARY = 0.5  # dead latents that a sample may use, in numbers of features
_RESAMPLED_ENCODER = 0.2  # norm, in those of latents that are alive


class Training:
    """One training under way; `fit` feeds it epochs, `partial_fit` blocks.

    Parameters
    ----------
    plan : Plan
        What to do.
    parameters : Parameters
        Where to start, for mapped samples; changed in place.
    input_map : InputMap
        What samples go through.
    rng : RandomState
        Source of the order of samples.

    Attributes
    ----------
    alpha : float
        Weight of the penalty, at its height.
    n_done, n_passes : int
        Steps made, and passes over samples.
    idle : ndarray of shape (n_components,)
        Samples since a latent was last on.
    judged_by : ndarray or None
        Of a stream, the latest samples.
    made : bytes or None
        Of a stream, the digest of the weights that it has made last: with others, somebody has assigned them.
    told : frozenset of str
        What a stream has warned of, and need not again.
    """

    def __init__(self, plan, parameters, input_map, rng):
        self.plan = plan
        self.parameters = parameters
        self.input_map = input_map
        self.rng = rng
        self.optimiser = Adam(parameters.arrays(), plan.learning_rate)
        self.alpha = plan.alpha
        self.n_done = self.n_passes = 0
        self.idle = np.zeros(plan.n_components, dtype=np.int64)
        self.judged_by = self.made = None
        self.told = frozenset()
        weight = input_map.feature_weight
        self._feature_weight = None if weight is None else weight.astype(parameters.decoder.dtype)

    @classmethod
    def from_scratch(cls, plan: Plan, X, atoms, input_map, rng) -> Training:
        """Return a training from random weights, or from given atoms."""
        return cls(plan, first_parameters(X, atoms, plan, input_map, rng), input_map, rng)

    @classmethod
    def from_weights(cls, plan: Plan, weights: Weights, alpha, input_map, rng) -> Training:
        """Return a training that goes on from fitted weights and from where steering had got to, past all warm-ups."""
        parameters = plan.activation.unfolded(input_map.unfolded(weights)).copy()
        training = cls(replace(plan, warmup=0.0, sparsity_warmup=0.0), parameters, input_map, rng)
        if plan.steered and alpha > 0:
            training.alpha = alpha
        return training

    def copy(self) -> Training:
        """Return a training that goes on from here on its own; if it fails, this one is as it was."""
        other = copy.copy(self)
        other.parameters = self.parameters.copy()
        other.optimiser = self.optimiser.copy(other.parameters.arrays())
        other.idle = np.array(self.idle)
        other.rng = copy.deepcopy(self.rng)
        return other

    def move_to(self, weights: Weights) -> None:
        """Go on from other weights, of as many latents."""
        parameters = self.plan.activation.unfolded(self.input_map.unfolded(weights)).copy()
        for name, array in parameters.arrays().items():
            if not np.isfinite(array).all():
                raise ValueError(f"weights that are assigned must be finite, but the {name.replace('_', ' ')} is not.")
        self.parameters = parameters
        self.optimiser = Adam(self.parameters.arrays(), self.plan.learning_rate)

    @property
    def dead(self):
        """Which latents no sample of the last ``dead_after`` has used, as indices."""
        return np.flatnonzero(self.idle > self.plan.dead_after)

    def make_pass(self, X, batch_size) -> dict[str, float]:
        """Make one pass over samples as they are; return the entries of ``history_``."""
        sums, plan = np.zeros(3), self.plan
        for rows in minibatches(len(X), batch_size, self.rng):
            sums += self.step(self._mapped(X[rows]))
        if not (np.isfinite(sums).all() and self.is_finite()):
            raise ValueError(
                f"training diverged in epoch {self.n_passes + 1}: learning_rate={plan.learning_rate:g} is too large"
                + ("." if self.input_map.adapts else ", or X is not of moderate scale.")
            )
        share_dead = len(self.dead) / plan.n_components
        self.resample(X)
        if plan.normalise_passes and self.n_passes % plan.normalise_passes == 0:
            self.normalise()
        self.n_passes += 1
        squared_error, penalty, mean_l0 = sums / len(X)
        unit = self.input_map.unit
        entries = {"squared_error": unit**2 * squared_error / X.shape[1], "penalty": penalty, "mean_l0": mean_l0}
        entries["dead"] = share_dead
        if plan.activation.penalised:
            entries["alpha"] = self.alpha
        return entries

    def step(self, X):
        """Make one step on a mini-batch; return the sums over its samples of squared error, penalty and non-zeros."""
        plan, decoder = self.plan, self.parameters.decoder
        done = (self.n_done + 1) / plan.n_steps
        share = _ramp(done, plan.sparsity_warmup)
        sums, used, gradients = self._gradients(X, plan.activation.loosened(share), share * self.alpha)
        _project_off(gradients.decoder, decoder)
        rate = self._rate(done)
        self.optimiser.step(gradients.arrays(), rate, plan.n_jobs)
        self._shrink(used, rate * plan.learning_rate * plan.weight_decay)
        self.settle()
        self.idle += len(X)
        self.idle[used] = 0
        if plan.steered:
            error = math.log(max(sums[2] / len(X), _LEAST_L0) / plan.wanted_l0)
            self.alpha *= math.exp(_STEERING * rate * min(max(error, -_MOST_RATIO), _MOST_RATIO))
        self.n_done += 1
        return sums

    def settle(self):
        """Bring parameters to where they are to be after each step, also where an interrupt has cut a step off."""
        self.plan.activation.constrain(self.parameters)
        if self.plan.normalise_steps:
            self.normalise()

    def normalise(self):
        """Scale atoms to norm 1."""
        _normalise_rows(self.parameters.decoder)

    def is_settled(self, mean_l0):
        """Return whether codes are as sparse as they are to be, so that errors can be compared."""
        plan = self.plan
        if self.n_done < plan.sparsity_warmup * plan.n_steps:
            return False
        return not plan.steered or abs(math.log(max(mean_l0, _LEAST_L0) / plan.wanted_l0)) < _NEAR_WANTED

    def is_finite(self):
        """Return whether all parameters still are numbers."""
        return all(np.isfinite(array).all() for array in self.parameters.arrays().values())

    def resample(self, X):
        """Give dead latents a new start at samples that are badly reconstructed (Bricken et al., 2023)."""
        dead = self.dead
        if self.n_done > self.plan.resample_until or not len(dead):
            return
        X = self._mapped(some(X, self.rng))
        parameters, activation = self.parameters, self.plan.activation
        residual = -activation.loss(parameters, X, 0.0, feature_weight=self._feature_weight).excess
        loss = np.einsum("ij,ij->i", residual, residual, dtype=np.float64)
        if not loss.any():
            return
        chosen = self.rng.choice(len(X), len(dead), p=loss**2 / np.sum(loss**2))
        parameters.decoder[dead] = unit_rows(residual[chosen])
        if parameters.encoder is not None:
            alive = np.setdiff1d(np.arange(len(self.idle)), dead)
            norm = np.linalg.norm(parameters.encoder[alive], axis=1).mean() if len(alive) else 1.0
            parameters.encoder[dead] = parameters.decoder[dead] * (_RESAMPLED_ENCODER * norm)
            activation.restart(parameters, dead)
        for name in parameters.arrays():
            if name != "decoder_bias":
                self.optimiser.forget(name, dead)
        self.idle[dead] = 0

    def weights(self, judge, parameters: Parameters | None = None) -> tuple[Weights, Sparsity | None]:
        """Return the weights of inference for samples as they are, and how sparse codes are if a mean L0 is wanted.

        Parameters
        ----------
        judge : ndarray of shape (n_samples, n_features)
            Samples that thresholds are set by, and the mean L0 is measured on.
        parameters : Parameters, optional
            Others than those of the moment.
        """
        activation, wanted = self.plan.activation, self.plan.wanted_l0
        weights, sparsity = activation.folded(parameters or self.parameters), None
        if wanted is not None:
            judge = self.input_map(some(judge, np.random.RandomState(0)))
            if activation.thresholded:
                weights, sparsity = calibrated(weights, judge, wanted)
            else:
                l0 = len(activation.encode(weights, judge).values) / len(judge)
                sparsity = Sparsity(l0, l0)
        return self.input_map.folded(weights).copy(), sparsity

    def complaint(self, sparsity: Sparsity | None) -> str | None:
        """Return what is to be said of a mean L0 that was wanted and did not come, or None."""
        if sparsity is None:
            return None
        return complaint(sparsity, self.plan.wanted_l0, self.n_done, steered=self.plan.steered)

    def _mapped(self, X):
        return self.input_map(self.input_map.limited(X))

    def _shrink(self, used, share):
        """Shrink the weights of latents that were on, the others' not: or those that are rarely on would vanish."""
        if share > 0:
            for rows in (self.parameters.encoder, self.parameters.decoder):
                if rows is not None:
                    _shrink_rows(rows, used, 1 - share)

    def _gradients(self, X, activation, alpha):
        """Return sums over samples, which latents were on, and the gradients."""
        dead = self.dead if self.plan.auxiliary else ()
        work = partial(self._shard, X=X, activation=activation, alpha=alpha, dead=dead)
        if len(X) <= _SHARD or activation.of_batch:
            return work(slice(None))
        sums, used, gradients = zip(*map_chunks(work, len(X), _SHARD, self.plan.n_jobs), strict=True)
        total = gradients[0].arrays()
        for more in gradients[1:]:
            for name, array in more.arrays().items():
                total[name] += array
        return sum(sums), np.any(used, axis=0), gradients[0]

    def _shard(self, part, *, X, activation, alpha, dead):
        batch = activation.loss(self.parameters, X[part], alpha, len(X), self._feature_weight)
        if len(dead):
            n_active = max(1, int(_MOST_AUXILIARY * X.shape[1]))
            activation.auxiliary(self.parameters, batch, dead, n_active, len(X), self._feature_weight)
        used, n_used = batch.codes.used()
        return np.array([batch.squared_error, alpha * batch.penalty, n_used]), used, batch.gradients

    def _rate(self, done):
        """Return the share of the learning rate: it grows at the beginning and falls at the end."""
        return _ramp(done, self.plan.warmup) * _ramp(1 - done + 1 / self.plan.n_steps, self.plan.decay)


def _ramp(done, length):
    """Return a share that grows from 0 to 1 over the first ``length`` of training."""
    return min(1.0, done / length) if length > 0 else 1.0


@compiled(**FUSED)
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


@compiled(**FUSED)
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
