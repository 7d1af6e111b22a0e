"""What training is to do: all that the parameters of an autoencoder decide, checked and decided once."""

from __future__ import annotations

from dataclasses import dataclass, fields
from inspect import signature
from math import ceil, inf
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np

from .._warnings import warn
from .activation import Activation
from .encoders import BatchTopK, Gated, JumpReLU, Matryoshka, ReLU, TopK
from .pursuit import MatchingPursuit

if TYPE_CHECKING:
    from .estimator import SparseAutoencoder

ACTIVATIONS = {
    "topk": TopK,
    "batchtopk": BatchTopK,
    "matryoshka": Matryoshka,
    "relu": ReLU,
    "jumprelu": JumpReLU,
    "gated": Gated,
    "matching_pursuit": MatchingPursuit,
}
_STEPS, _MOST_EPOCHS = 20_000, 500  # of a fit, by default
_STREAM_STEPS = 2000  # that the schedules of a stream are laid out for
_ACTIVE = 10  # concepts in a sample, by default: the paper's
# Samples, in those between two uses of a latent if all were used alike: after a fourth of that more latents died, for
# what is revived too soon competes with what was about to learn (a network's activations, BatchTopK).
_DEAD_AFTER = 400
_RESAMPLED_UNTIL = 0.5  # of training: what starts anew must have time to learn (Bricken et al., 2023)
_FIRST_ALPHA = 5e-3  # of a penalty that is steered, on scaled samples
_NESTED = (1 / 8, 1 / 4, 1 / 2, 1)  # widths of Matryoshka by default, in all components


@dataclass(frozen=True)
class Plan:
    """What training is to do.

    Parameters
    ----------
    activation : Activation
        Gives codes, loss and gradients.
    n_components : int
        Number of latents.
    n_epochs, n_steps : int
        Passes over the samples of a fit, and steps that the schedules are laid out for.
    wanted_l0 : float or None
        Mean L0 that thresholds are set for, and a penalty is steered to; None leaves both alone.
    alpha : float
        Weight of the penalty, at first if it is steered.
    learning_rate, weight_decay : float
        Of Adam; the share that latents in use shrink by is their product.
    warmup, decay, sparsity_warmup : float
        Shares of the steps over which the learning rate grows and falls, and sparsity grows.
    normalise_steps : bool
        Whether atoms are scaled to norm 1 after each step.
    normalise_passes : int or None
        Every so many passes over samples they are, beginning with the first.
    auxiliary : bool
        Whether dead latents learn what the others miss.
    resample_until : float
        Number of steps until which dead latents get a new start after a pass; with 0 they never do.
    dead_after : int
        Samples without any use after which a latent is dead.
    whiten, scale : bool
        Whether samples are whitened, or divided by their scale.
    bias_init : str
        Where the decoder bias starts, a key of ``start.CENTRES``.
    n_jobs : int or None
        Threads for large mini-batches.
    """

    activation: Activation
    n_components: int
    n_epochs: int
    n_steps: int
    wanted_l0: float | None
    alpha: float
    learning_rate: float
    weight_decay: float
    warmup: float
    decay: float
    sparsity_warmup: float
    normalise_steps: bool
    normalise_passes: int | None
    auxiliary: bool
    resample_until: float
    dead_after: int
    whiten: bool
    scale: bool
    bias_init: str
    n_jobs: int | None

    @property
    def steered(self) -> bool:
        """Whether the penalty is steered to the mean L0 wanted."""
        return self.activation.penalised and self.wanted_l0 is not None

    @property
    def centred(self) -> bool:
        """Whether the scale of samples is that of samples less their mean."""
        return self.whiten or self.bias_init != "zero"

    @classmethod
    def of_fit(cls, sae: SparseAutoencoder, n_components: int, n_samples: int) -> Plan:
        """Return the plan of a fit on so many samples."""
        steps_an_epoch = ceil(n_samples / sae.batch_size)
        n_epochs = sae.max_epochs or min(ceil(_STEPS / steps_an_epoch), _MOST_EPOCHS)
        n_steps = n_epochs * steps_an_epoch
        return cls._of(
            sae, n_components, n_epochs=n_epochs, n_steps=n_steps, decay=sae.decay, resampled=_RESAMPLED_UNTIL * n_steps
        )

    @classmethod
    def of_stream(cls, sae: SparseAutoencoder, n_components: int) -> Plan:
        """Return the plan of a stream, which never ends: nothing may wait for its end."""
        return cls._of(sae, n_components, n_epochs=1, n_steps=_STREAM_STEPS, decay=0.0, resampled=inf)

    @classmethod
    def _of(cls, sae, n_components, *, n_epochs, n_steps, decay, resampled):
        kind = ACTIVATIONS[sae.activation]
        n_active = min(_ACTIVE, n_components) if sae.n_active is None else sae.n_active
        _check_l0(sae, kind, n_components, n_active)
        _warn_of_idle_parameters(sae, kind)
        mean_l0 = n_active if sae.target_l0 is None else float(sae.target_l0)
        given = {
            "n_active": n_active if kind.counted else mean_l0,
            "bandwidth": sae.bandwidth,
            "widths": _nested_widths(sae.widths, n_components) if _takes(kind, "widths") else None,
        }
        asked = sae.target_l0 is not None or sae.alpha == "auto" or not kind.penalised
        wanted_l0 = float(mean_l0) if asked and not kind.counted else None
        alpha = sae.alpha if wanted_l0 is None else _FIRST_ALPHA
        every = sae.renormalise_every
        learning_rate = kind.learning_rate if sae.learning_rate is None else sae.learning_rate
        _check_decay(sae.weight_decay, learning_rate)
        return cls(
            activation=kind(**{field.name: given[field.name] for field in fields(kind)}),
            n_components=n_components,
            n_epochs=n_epochs,
            n_steps=n_steps,
            wanted_l0=wanted_l0,
            alpha=alpha if kind.penalised else 0.0,
            learning_rate=learning_rate,
            weight_decay=sae.weight_decay,
            warmup=sae.warmup,
            decay=decay,
            sparsity_warmup=_sparsity_warmup(sae.sparsity_warmup, kind),
            normalise_steps=every == "step",
            normalise_passes=min(every, n_epochs) if isinstance(every, Integral) else None,
            auxiliary=sae.dead_latents == "auxk",
            resample_until=resampled if sae.dead_latents == "resample" else 0.0,
            dead_after=sae.dead_after or ceil(_DEAD_AFTER * n_components / mean_l0),
            whiten=sae.whiten,
            scale=sae.scale_inputs,
            bias_init=sae.bias_init,
            n_jobs=sae.n_jobs,
        )


def _sparsity_warmup(given, kind):
    """Return the share of steps over which sparsity grows."""
    if kind.sparsity_warmup is None:
        return 0.0
    return kind.sparsity_warmup if given is None else given


def _takes(kind, name):
    return name in (field.name for field in fields(kind))


def _warn_of_idle_parameters(sae, kind):
    """Warn of parameters that were given and have no effect; defaults say nothing."""
    beside_target = "beside target_l0"
    with_activation = f"with activation={sae.activation!r}"
    idle = {
        "alpha": beside_target if sae.target_l0 is not None else None if kind.penalised else with_activation,
        "n_active": beside_target if sae.target_l0 is not None and not kind.counted else None,
        "bandwidth": None if _takes(kind, "bandwidth") else with_activation,
        "widths": None if _takes(kind, "widths") else with_activation,
    }
    defaults = signature(type(sae)).parameters
    for name, why in idle.items():
        value, default = getattr(sae, name), defaults[name].default
        given = value is not None and not (isinstance(value, type(default)) and value == default)
        if why is not None and given:
            warn(f"{name}={value!r} has no effect {why}. Leave it out.")


def _check_l0(sae, kind, n_components, n_active):
    if n_active > n_components:
        raise ValueError(f"n_active={n_active} must be at most n_components={n_components}.")
    if sae.target_l0 is None:
        return
    if kind.counted:
        raise ValueError(f"target_l0={sae.target_l0:g} is not for activation={sae.activation!r}: its L0 is n_active.")
    if sae.target_l0 >= n_components:
        raise ValueError(f"target_l0={sae.target_l0:g} must be below n_components={n_components}.")


def _check_decay(weight_decay, learning_rate):
    if not weight_decay * learning_rate <= 1:
        raise ValueError(
            f"weight_decay={weight_decay:g} with learning_rate={learning_rate:g} would shrink weights by more than "
            "all of themselves in a step. Their product must be at most 1."
        )


def _nested_widths(widths, n_components):
    if widths is None:
        return tuple(sorted({ceil(share * n_components) for share in _NESTED}))
    array = np.asarray(widths)
    whole = array.ndim == 1 and array.size and array.dtype.kind in "iu"
    if not whole or not (np.diff(array, prepend=0) > 0).all():
        raise ValueError(f"widths must be increasing positive integers, got {widths!r}.")
    if array[-1] != n_components:
        raise ValueError(f"widths must end with n_components={n_components}, got {widths!r}.")
    return tuple(int(width) for width in array)
