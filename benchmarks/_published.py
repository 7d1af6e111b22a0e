"""What "Stop Probing, Start Coding" (Barin Pacela et al., arXiv:2603.28744) published, and how it got there.

Means and standard deviations over three seeds, from the result files of the authors' repository, are in
``published_results.csv``.
"""

from __future__ import annotations

import csv
from pathlib import Path

SAE_ACTIVATIONS = ("relu", "topk", "jumprelu", "matching_pursuit")
SAE_NAMES = {"relu": "ReLU", "topk": "TopK", "jumprelu": "JumpReLU", "matching_pursuit": "MP"}
SAE_SETTINGS = {
    "alpha": 1e-4, "bandwidth": 1e-3, "bias_init": "zero", "scale_inputs": False, "learning_rate": 5e-4,
    "weight_decay": 0.01, "warmup": 0, "decay": 0, "sparsity_warmup": 0, "renormalise_every": 50,
    "dead_latents": None, "batch_size": 64, "max_epochs": 500,
}  # fmt: skip
FISTA_SETTINGS = {"solver": "fista", "max_iter": 100, "tol": 0.0, "restart": False}
MCC_ID = {"padding": "noise", "random_state": 42}
MCC_OOD = MCC_ID | {"selection": "variance"}


def results(n_components: int, n_active: int, n_samples: int) -> dict:
    """Return {(method, metric): (mean, std)} of the published point with these sizes; empty where there is none."""
    wanted = [str(size) for size in (n_components, n_active, n_samples)]
    with (Path(__file__).parent / "published_results.csv").open(newline="") as file:
        return {
            (row["method"], row["metric"]): (float(row["mean"]), float(row["std"]))
            for row in csv.DictReader(file)
            if [row["n_components"], row["n_active"], row["n_samples"]] == wanted
        }
