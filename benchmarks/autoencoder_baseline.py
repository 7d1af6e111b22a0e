"""How good can sparse autoencoders be on the paper's protocol, if they are trained well?

"Stop Probing, Start Coding" (arXiv:2603.28744) compares them with per-sample inference. A comparison is only as good as
its weakest contestant; so each of the paper's autoencoders is trained here three times: with the published settings,
with skcode's defaults and the same mean L0 on held-out samples, and with the defaults and the true mean L0. The
activations that the paper does not have are trained the last way. On a network's activations, where nobody knows the
truth, what counts is what is left unexplained at that L0, and how many latents are in use. Writes
``autoencoder_baseline.json`` and ``.csv``.

    python benchmarks/autoencoder_baseline.py                                          # n=50 and 100
    python benchmarks/autoencoder_baseline.py --n-components 50 100 500 1000 --seeds 0 1 2
    python benchmarks/autoencoder_baseline.py --data digits --seeds 0 1 2
"""

from __future__ import annotations

import argparse
import os
import sys
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # two processes of one BLAS thread each beat one of two

import _published
import numpy as np
from _harness import Parser, Progress, fail, natural, output_directory, print_table, writable, write_results
from _problems import digits, synthetic
from joblib import Parallel, delayed

from skcode import SparseAutoencoder
from skcode.metrics import mcc_score

NAMES = _published.SAE_NAMES | {"batchtopk": "BatchTopK", "matryoshka": "Matryoshka", "gated": "Gated"}
COSTS = {"relu": 5, "topk": 2, "jumprelu": 5, "matching_pursuit": 5, "batchtopk": 1, "matryoshka": 2, "gated": 1}
STEERED = ("relu", "jumprelu")  # the published settings leave their mean L0 to the penalty
SETTINGS = {"published": "published settings", "equal": "defaults, equal L0", "true": "defaults, true L0"}
_NEAR = 0.02  # relative difference of two mean L0s that count as equal
_TRIES = 5


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    directory = output_directory(options.output)
    paths = writable(directory, [f"autoencoder_baseline.{ending}" for ending in ("json", "csv")])
    tasks = [
        (n, activation, seed) for n in options.n_components for activation in options.activations
        for seed in options.seeds
    ]  # fmt: skip
    compare = on_digits if options.data == "digits" else on_the_protocol
    tasks.sort(key=lambda task: -_cost(task))
    progress, rows = Progress(sum(map(_cost, tasks)), len(tasks)), []
    for task, found, seconds in Parallel(options.n_jobs, return_as="generator_unordered")(
        delayed(compare)(*task, options.n_active, options.n_samples, options.max_epochs) for task in tasks
    ):
        progress.finished("n={}, {}, seed {}".format(*task), _cost(task), seconds)
        rows += found
    rows.sort(key=lambda row: (options.n_components.index(row["n_components"]),
                               options.activations.index(row["activation"]), row["seed"]))  # fmt: skip
    (show_digits if options.data == "digits" else show)(rows, options)
    write_results(*paths, {name: value for name, value in vars(options).items() if name != "output"}, rows)
    print("\nWritten: " + ", ".join(str(path) for path in paths))


def parse(arguments):
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=["synthetic", "digits"], default="synthetic", metavar="{synthetic,digits}",
                        help="what to run on (default: synthetic, the paper's protocol)")  # fmt: skip
    parser.add_argument("--n-components", type=natural(2), nargs="+", default=None, metavar="N",
                        help="concepts, and width of the autoencoders (default: 50 100; digits: 64)")  # fmt: skip
    parser.add_argument("--n-active", type=natural(1), default=10, metavar="K",
                        help="active concepts in a sample (default: 10)")  # fmt: skip
    parser.add_argument("--n-samples", type=natural(40), default=5000, metavar="N",
                        help="samples, half to learn from and half held out (default: 5000)")  # fmt: skip
    parser.add_argument("--activations", nargs="+", choices=list(NAMES), default=list(NAMES), metavar="NAME",
                        help="any of: " + " ".join(NAMES))  # fmt: skip
    parser.add_argument("--max-epochs", type=natural(1), default=None, metavar="N",
                        help="epochs of training (default: the published 500, and the defaults' own)")  # fmt: skip
    parser.add_argument("--seeds", type=natural(0, 2**32 - 10_001), nargs="+", default=[0], metavar="SEED",
                        help="default: 0")  # fmt: skip
    parser.add_argument("--n-jobs", type=natural(1), default=min(2, os.cpu_count() or 1), metavar="N",
                        help="autoencoders trained at a time (default: one per core, at most 2)")  # fmt: skip
    parser.add_argument("--output", default=".", metavar="DIR", help="where results are written (default: here)")
    options = parser.parse_args(arguments)
    if options.n_components is None:
        options.n_components = [64] if options.data == "digits" else [50, 100]
    if options.n_active >= min(options.n_components):
        fail(f"--n-active {options.n_active}: must be below the {min(options.n_components)} components")
    options.n_components, options.seeds = (
        list(dict.fromkeys(values)) for values in (options.n_components, options.seeds)
    )
    return options


def _cost(task):
    n_components, activation, _ = task
    return COSTS[activation] * (100 + n_components)


def trained(settings, problem, n_components, activation, seed, n_active, max_epochs, **parameters):
    """Return a trained autoencoder, and a row of what can be said of it without the truth."""
    parameters |= {"activation": activation, "random_state": 10_000 + seed}
    if "target_l0" not in parameters:
        parameters["n_active"] = n_active
    if max_epochs is not None:
        parameters["max_epochs"] = max_epochs
    if settings == "published":
        parameters = _published.sae_settings(activation) | parameters
    start = time.perf_counter()
    sae = SparseAutoencoder(n_components, **parameters).fit(problem.X_train)
    seconds = time.perf_counter() - start
    on = {side: sae.transform(X) != 0 for side, X in (("train", problem.X_train), ("id", problem.X_id))}
    return sae, {
        "data": problem.name, "n_components": n_components, "activation": activation, "settings": settings,
        "seed": seed, "mean_l0": on["id"].sum() / len(on["id"]), "train_l0": on["train"].sum() / len(on["train"]),
        "unexplained": -sae.score(problem.X_id), "train_unexplained": -sae.score(problem.X_train),
        "dead": float(1 - on["train"].any(axis=0).mean()), "alpha": sae.alpha_, "fit_seconds": seconds,
    }  # fmt: skip


def on_digits(n_components, activation, seed, n_active, n_samples, max_epochs) -> tuple[tuple, list[dict], float]:
    """Train one kind of autoencoder both ways on a network's activations; return the rows, and the seconds."""
    begin = time.perf_counter()
    problem = digits(seed, n_components, n_active, n_samples)
    rows = [
        trained(settings, problem, n_components, activation, seed, n_active, max_epochs)[1]
        for settings in ("published", "true")
    ]
    return (n_components, activation, seed), rows, time.perf_counter() - begin


def on_the_protocol(n_components, activation, seed, n_active, n_samples, max_epochs) -> tuple[tuple, list[dict], float]:
    """Train one kind of autoencoder in all ways; return a row for each, and the seconds it all took."""
    begin = time.perf_counter()
    problem = synthetic(seed, n_components, n_active, n_samples)

    def row(settings, **parameters):
        sae, found = trained(
            settings, problem, n_components, activation, seed, n_active, max_epochs, **parameters
        )  # fmt: skip
        codes = {"id": sae.transform(problem.X_id), "ood": sae.transform(problem.X_ood)}
        return found | {
            "mcc_id": mcc_score(problem.codes_id, codes["id"], **_published.MCC_ID),
            "mcc_ood": mcc_score(problem.codes_ood, codes["ood"], **_published.MCC_OOD),
            "adjusted_mcc_id": mcc_score(problem.codes_id, codes["id"], adjusted=True),
            "adjusted_mcc_ood": mcc_score(problem.codes_ood, codes["ood"], adjusted=True),
        }

    rows = []
    if activation in _published.SAE_ACTIVATIONS:
        rows.append(row("published"))
        rows.append(at_equal_l0(row, rows[0]["mean_l0"], n_components) if activation in STEERED else row("equal"))
    rows.append(row("true") if activation in STEERED or len(rows) == 0 else rows[-1] | {"settings": "true"})
    return (n_components, activation, seed), rows, time.perf_counter() - begin


def at_equal_l0(row, wanted: float, n_components: int) -> dict:
    """Return the row of the target whose codes of held-out samples have the wanted mean L0, or come closest to it.

    The target is that of training samples; with few of them, others have more active latents.
    """
    best, tried = None, []
    least, most = 0.1, 0.999 * n_components
    target = min(max(wanted, least), most)
    for _ in range(_TRIES):
        found = row("equal", target_l0=target)
        error = float(np.log(max(found["mean_l0"], 1e-2) / wanted))
        tried.append((np.log(target), error))
        if best is None or abs(error) < abs(best[0]):
            best = error, found
        if abs(error) < _NEAR:
            break
        slope = 1.0
        if len(tried) > 1:
            slope = np.clip((tried[-1][1] - tried[-2][1]) / (tried[-1][0] - tried[-2][0]), 0.3, 2.0)
        following = float(np.clip(target * np.exp(-error / slope), least, most))
        if following == target:
            break  # there is nothing beyond
        target = following
    return best[1]


def show(rows: list[dict], options) -> None:
    """Print one table, means over seeds."""
    several = len(options.seeds) > 1
    body = []
    for n, activation in dict.fromkeys((row["n_components"], row["activation"]) for row in rows):
        published = _published.results(n, options.n_active, options.n_samples)
        known = published.get((f"sae_{activation}", "mcc_ood"))
        cells = [f"{n}  {NAMES[activation]}", "-" if known is None else f"{known[0]:.3f}"]
        for settings in SETTINGS:
            part = [row for row in rows if (row["n_components"], row["activation"], row["settings"]) ==
                    (n, activation, settings)]  # fmt: skip
            for key, shown in (("mcc_ood", 3), ("adjusted_mcc_ood", 3), ("mean_l0", 1)):
                values = np.array([row[key] for row in part])
                spread = f" ± {values.std():.3f}" if several and len(values) and key != "mean_l0" else ""
                cells.append(f"{values.mean():.{shown}f}{spread}" if len(values) else "-")
        body.append(cells)
    columns = ["n", "published", *(f"{name}{which}" for which in ("", "=", "k") for name in ("MCC", "adj", "L0"))]
    notes = [
        "MCC: out of distribution, the published variant; adj: plain MCC over all columns, corrected for chance.",
        "Columns without a sign: published settings; with =: the defaults, at the same mean L0 of held-out samples;",
        "with k: the defaults as they stand, told that k concepts are active.",
    ]
    title = (
        f"Autoencoders on the paper's protocol: {options.n_active} active, {options.n_samples} samples"
        + (f", mean ± std of {len(options.seeds)} seeds" if several else "")
    )  # fmt: skip
    print_table(title, columns, body, notes)


def show_digits(rows: list[dict], options) -> None:
    """Print the table of a network's activations, means over seeds."""
    body = []
    for n, activation in dict.fromkeys((row["n_components"], row["activation"]) for row in rows):
        cells = [f"{n}  {NAMES[activation]}"]
        for settings in ("published", "true"):
            part = [row for row in rows if (row["n_components"], row["activation"], row["settings"]) ==
                    (n, activation, settings)]  # fmt: skip
            for key, shown in (("unexplained", 4), ("train_l0", 2), ("mean_l0", 2)):
                cells.append(f"{np.mean([row[key] for row in part]):.{shown}f}")
            cells.append(f"{100 * max(row['dead'] for row in part):.1f} %")
        body.append(cells)
    columns = ["n", *(f"{name}{which}" for which in ("", "=") for name in ("unexplained", "L0", "held out", "dead"))]
    notes = [
        "unexplained: share of held-out variance. L0: on training samples, and on held-out ones.",
        "dead: latents that no training sample uses, most of any seed.",
        f"Columns without a sign: published settings; with =: the defaults, told that {options.n_active} are active.",
    ]
    title = f"Autoencoders of the activations of a network that reads two digits: {options.n_samples} samples" + (
        f", means of {len(options.seeds)} seeds" if len(options.seeds) > 1 else ""
    )
    print_table(title, columns, body, notes)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("interrupted")
