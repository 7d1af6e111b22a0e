"""What "Stop Probing, Start Coding" (Barin Pacela et al., arXiv:2603.28744) published, and how it got there.

Means and standard deviations over seeds, from the result files of the authors' repository, are in
``published_results.csv``. An experiment is a sweep (``vary_...``) or a decomposition of its autoencoders; what
decompositions repeat of the sweep is left out. ``setting`` is what a decomposition varies: the penalty, the number of
steps, or of rounds. DL-FISTA from a random start was published once beside each autoencoder: it is their mean.
"""

from __future__ import annotations

import csv
import functools
from pathlib import Path
from typing import NamedTuple

SAE_ACTIVATIONS = ("relu", "topk", "jumprelu", "matching_pursuit")
SAE_NAMES = {"relu": "ReLU", "topk": "TopK", "jumprelu": "JumpReLU", "matching_pursuit": "MP"}
SAE_SETTINGS = {
    "alpha": 1e-4, "bandwidth": 1e-3, "bias_init": "zero", "scale_inputs": False, "learning_rate": 5e-4,
    "weight_decay": 0.01, "warmup": 0, "decay": 0, "sparsity_warmup": 0, "renormalise_every": 50,
    "dead_latents": None, "batch_size": 64, "max_epochs": 500,
}  # fmt: skip
_SAE_IDLE = {"alpha": ("relu", "jumprelu", "gated"), "bandwidth": ("jumprelu",)}  # settings, and where they matter
FISTA_SETTINGS = {"solver": "fista", "max_iter": 100, "tol": 0.0, "restart": False}
MCC_ID = {"padding": "noise", "random_state": 42}
MCC_OOD = MCC_ID | {"selection": "variance"}


def sae_settings(activation: str) -> dict:
    """Return the published settings that an activation has."""
    return {name: value for name, value in SAE_SETTINGS.items() if activation in _SAE_IDLE.get(name, (activation,))}


class Point(NamedTuple):
    """One point of an experiment."""

    experiment: str
    method: str
    n_components: int
    n_active: int
    n_samples: int
    setting: float | None = None


@functools.cache
def _published() -> dict:
    found = {}
    with (Path(__file__).parent / "published_results.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            sizes = (int(row[size]) for size in ("n_components", "n_active", "n_samples"))
            setting = float(row["setting"]) if row["setting"] else None
            point = Point(row["experiment"], row["method"], *sizes, setting)
            found.setdefault(point, {})[row["metric"]] = float(row["mean"]), float(row["std"])
    return found


def points() -> list[Point]:
    """Return all published points."""
    return list(_published())


def at(point: Point) -> dict:
    """Return {metric: (mean, std)} of one point; empty where nothing was published."""
    return _published().get(point, {})


def results(n_components: int, n_active: int, n_samples: int) -> dict:
    """Return {(method, metric): (mean, std)} of the main comparison with these sizes; empty where there is none."""
    sizes = (n_components, n_active, n_samples)
    return {
        (point.method, metric): values
        for point, metrics in _published().items()
        if point[2:5] == sizes
        and (
            point.experiment == "vary_latents"
            or (point.experiment == "frozen_decoder" and point.method.startswith("fista+"))
        )
        for metric, values in metrics.items()
    }
