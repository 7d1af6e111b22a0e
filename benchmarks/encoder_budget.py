"""What does inference buy? Agreement with the true codes against the operations spent on a sample.

The toy problem of "Compute Optimal Inference and Provable Amortisation Gap in Sparse Autoencoders" (O'Neill, Gumran and
Klindt, arXiv:2411.13117): 16 sources, 3 of them active with values |N(0, 1)|, in 8 dimensions. Encoders are trained
when the codes are known, when the dictionary is, and when neither is; beside ours is the published test MCC. Writes
``encoder_budget.json``, ``.csv`` and ``.png``.

    python benchmarks/encoder_budget.py                                     # the published size, five seeds: an hour
    python benchmarks/encoder_budget.py --seeds 0 --starts 1 --steps 2000   # a look, in a minute
    python benchmarks/encoder_budget.py --n-components 64 --n-features 24 --n-active 4

Perceptrons are trained twice: as published, on all samples at once from a random start, by cosines if codes are known,
else without biases; and as `MLPCoder` does by default, from the atoms, here with 256 samples a step. Both take --steps
steps of Adam with learning rate 1e-3, and twice as many when nothing is known, as published; LISTA, which starts from
ISTA, takes a tenth. The penalty is the published one, in the units of skcode.

What differs from the published settings: each seed is a new problem, and not a new start on the same one. From a random
start some outputs are never positive, and each takes a sixteenth off the MCC. How many is chance: perceptrons that are
trained as published get several --starts on each problem.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import time
import warnings
from collections import defaultdict
from pathlib import Path

# Two processes of one BLAS thread each beat one of two: set before numpy is loaded, here and in the workers.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Training on all samples at once makes and drops megabytes in each step: workers keep them. Without that, a third
# of their time goes into handing pages to and fro.
os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(2**28))
os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(2**29))

import numpy as np
from _harness import Parser, Progress, fail, natural, output_directory, print_table, writable, write_results
from _published_encoders import LEARNING_RATE, PublishedPerceptron, free_codes
from joblib import Parallel, delayed
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import normalize

from skcode import DictionaryLearner, FISTACoder, LISTACoder, MLPCoder
from skcode.metrics import mcc_score

TASKS = {
    "codes": "codes known in training", "dictionary": "dictionary known", "neither": "neither known",
}  # fmt: skip
# Means over five runs, test set, at the end of training, from the result files of the authors' repository.
PUBLISHED = {
    ("codes", "sae"): 0.862, ("codes", "mlp32"): 0.901, ("codes", "mlp256"): 0.900,
    ("dictionary", "sae"): 0.609, ("dictionary", "mlp32"): 0.780, ("dictionary", "mlp256"): 0.818,
    ("dictionary", "optimum"): 0.967,
    ("neither", "sae"): 0.566, ("neither", "mlp32"): 0.623, ("neither", "mlp256"): 0.643,
    ("neither", "sparse_coding"): 0.691,
}  # fmt: skip
LABELS = {
    "sae": "linear + ReLU, as published", "mlp32": "MLP, 32 hidden, as published",
    "mlp256": "MLP, 256 hidden, as published", "sae_atoms": "linear + ReLU, from the atoms",
    "mlp32_atoms": "MLP, 32 hidden, from the atoms", "mlp256_atoms": "MLP, 256 hidden, from the atoms",
    "lista": "LISTA, 16 layers", "sae_atoms+10": "linear + ReLU from the atoms, 10 steps",
    "sae_atoms+100": "linear + ReLU from the atoms, 100 steps", "fista10": "FISTA, 10 steps",
    "fista100": "FISTA, 100 steps", "optimum": "optimum", "sparse_coding": "sparse coding, by Adam",
    "dl_fista": "sparse coding, DL-FISTA", "learner": "DictionaryLearner",
}  # fmt: skip
WIDTHS = {"sae": None, "mlp32": 32, "mlp256": 256}
# Fits: what is trained, and about how long, relative to the others.
ENCODERS = {"sae": 1.0, "mlp32": 2.0, "mlp256": 10.0, "sae_atoms": 1.0, "mlp32_atoms": 1.5, "mlp256_atoms": 3.5,
            "lista": 1.0}  # fmt: skip
COSTS = {**ENCODERS, "sparse_coding": 1.0, "dl_fista": 0.3, "learner": 0.1}
N_LAYERS = 16
BATCH_SIZE = 256
WEIGHT = 0.01  # of the mean absolute code beside the mean squared error
TOL = 1e-4
INK, BLUE, ORANGE, GREEN = "#222222", "#0072b2", "#d55e00", "#009e73"
COLOURS = {
    "sae": BLUE, "mlp32": BLUE, "mlp256": BLUE, "sae_atoms": BLUE, "mlp32_atoms": BLUE, "mlp256_atoms": BLUE,
    "lista": GREEN, "optimum": INK, "sparse_coding": INK, "dl_fista": INK, "learner": INK,
}  # fmt: skip
ABOVE, BELOW = 1, -1
NAMES = {
    "sae": ("linear + ReLU", BELOW, "left"), "mlp32": ("MLP-32", BELOW, "left"), "mlp256": ("MLP-256", BELOW, "left"),
    "lista": ("LISTA", ABOVE, "right"), "optimum": ("optimum", ABOVE, "center"),
    "sparse_coding": ("sparse coding, Adam", ABOVE, "center"), "dl_fista": ("DL-FISTA", BELOW, "center"),
    "learner": ("DictionaryLearner", ABOVE, "center"),
}  # fmt: skip
CURVE = (1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 300, 500, 1000)  # steps of FISTA on the way to the optimum


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    directory = output_directory(options.output)
    if importlib.util.find_spec("matplotlib") is None:
        fail('drawing needs matplotlib: python -m pip install ".[benchmarks]"')
    paths = writable(directory, [f"encoder_budget.{ending}" for ending in ("json", "csv", "png")])
    rows = compete(options)
    published = PUBLISHED if is_published(options) else {}
    show(rows, published, options)
    settings = {name: value for name, value in vars(options).items() if name != "output"}
    write_results(*paths[:2], settings, rows)
    draw(rows, published, paths[-1])
    print("\nWritten: " + ", ".join(str(path) for path in paths))


def parse(arguments):
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=natural(0, 2**31), nargs="+", default=[0, 1, 2, 3, 4], metavar="SEED",
                        help="default: 0 1 2 3 4")  # fmt: skip
    parser.add_argument("--n-components", type=natural(2), default=16, metavar="N", help="sources (default: 16)")
    parser.add_argument("--n-features", type=natural(2), default=8, metavar="N", help="dimensions (default: 8)")
    parser.add_argument("--n-active", type=natural(1), default=3, metavar="K", help="active sources (default: 3)")
    parser.add_argument("--n-samples", type=natural(40), default=2048, metavar="N",
                        help="samples, half to learn from and half held out (default: 2048)")  # fmt: skip
    parser.add_argument("--steps", type=natural(1), default=20_000, metavar="N",
                        help="of training, if something is known (default: 20000)")  # fmt: skip
    parser.add_argument("--starts", type=natural(1), default=4, metavar="N",
                        help="random starts of perceptrons as published, on each problem (default: 4)")  # fmt: skip
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS), metavar="TASK",
                        help="what is known, any of: " + " ".join(TASKS))  # fmt: skip
    parser.add_argument("--n-jobs", type=natural(1), default=min(2, os.cpu_count() or 1), metavar="N",
                        help="fits at a time (default: one per core, at most 2)")  # fmt: skip
    parser.add_argument("--output", default=".", metavar="DIR", help="where results are written (default: here)")
    options = parser.parse_args(arguments)
    if options.n_active > options.n_components:
        fail(f"--n-active {options.n_active}: must be at most the {options.n_components} components")
    options.seeds = list(dict.fromkeys(options.seeds))
    options.tasks = [task for task in TASKS if task in options.tasks]
    return options


def is_published(options) -> bool:
    sizes = options.n_components, options.n_features, options.n_active, options.n_samples
    return sizes == (16, 8, 3, 2048)


def toy(options, seed: int) -> dict:
    """Return training and test samples, their codes, and the dictionary, in float32 as published."""
    rng = np.random.RandomState(seed)
    shape = options.n_samples, options.n_components
    codes = np.abs(rng.standard_normal(shape))
    codes *= rng.random_sample(shape).argsort(axis=1).argsort(axis=1) < options.n_active
    dictionary = normalize(rng.standard_normal((options.n_components, options.n_features)))
    codes, dictionary = codes.astype(np.float32), dictionary.astype(np.float32)
    X, half = codes @ dictionary, options.n_samples // 2
    return {"X": X[:half], "codes": codes[:half], "X_test": X[half:], "codes_test": codes[half:],
            "dictionary": dictionary}  # fmt: skip


def flops(method: str, n_features: int, n_components: int, n_steps: float = 0) -> float:
    """Return the operations for codes and reconstruction of a sample; for the encoders, as the paper counts them.

    A step of FISTA is two products with the dictionary (4 M N), a residual (M), and per code a gradient step (2), the
    threshold (2) and the momentum (3).
    """
    encoder = method.partition("+")[0].removesuffix("_atoms")
    product = 2 * n_features * n_components
    iterations = n_steps * (2 * product + n_features + 7 * n_components)
    if encoder == "sae":
        return 2 * product + n_components + iterations
    if encoder.startswith("mlp"):
        width = WIDTHS[encoder]
        return 2 * n_features * width + width + 2 * width * n_components + n_components + product
    if encoder == "lista":
        # x W; then, of each further layer, x - z D, its product with W, the sum with z; two for the threshold.
        return 2 * product + 2 * n_components + (N_LAYERS - 1) * (2 * product + n_features + 3 * n_components)
    return product + iterations


def compete(options) -> list[dict]:
    """Make every fit, two or more at a time, and return the rows in the order of tasks and methods."""
    jobs = [
        (task, fit, seed, start) for task in options.tasks for fit in COSTS for seed in options.seeds
        for start in range(options.starts if fit in WIDTHS else 1) if task == "neither" or fit in ENCODERS
    ]  # fmt: skip
    costs = {job: COSTS[job[1]] * (2 if job[0] == "neither" else 1) for job in jobs}
    jobs.sort(key=lambda job: -costs[job])  # the long ones first, so that no core waits at the end
    print(f"{len(jobs)} fits, {options.n_jobs} at a time; kernels are compiled on first use.", file=sys.stderr)
    progress = Progress(sum(costs.values()), len(jobs))
    rows = []
    for job, found, seconds in Parallel(options.n_jobs, return_as="generator_unordered")(
        delayed(run)(job, options) for job in jobs
    ):
        task, fit, seed, number = job
        progress.finished(f"{TASKS[task]}, seed {seed}, {fit}", costs[job], seconds)
        rows += [{"task": task, "seed": seed, "start": number, **row, "fit_seconds": seconds} for row in found]
    order = list(LABELS)
    return sorted(rows, key=lambda row: (options.tasks.index(row["task"]), row["seed"], row["start"],
                                         order.index(row["method"]) if row["method"] in order else 99,
                                         row["flops"]))  # fmt: skip


def run(job, options):
    """Return one job, its rows, and the seconds that the fit took."""
    task, fit, seed, number = job
    data = toy(options, seed)
    alpha = WEIGHT * options.n_features / (2 * options.n_components)
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        coder = train(task, fit, seed, number, data, alpha, options)
        seconds = time.perf_counter() - start
        return job, judge(task, fit, coder, data, alpha), seconds


def train(task: str, fit: str, seed: int, number: int, data: dict, alpha: float, options):
    if fit == "learner":
        return DictionaryLearner(options.n_components, penalty="l1", random_state=seed).fit(data["X"])
    if fit == "sparse_coding":
        components = free_codes(data["X"], options.n_components, WEIGHT, 2 * options.steps, seed)
        return FISTACoder(components, alpha=alpha).fit(data["X"])
    if fit == "dl_fista":
        return DictionaryLearner(
            options.n_components, alpha=alpha, penalty="l1", method="alternating",
            max_epochs=max(12, options.steps // 20), random_state=seed,
        ).fit(data["X"])  # fmt: skip
    n_steps = options.steps * (2 if task == "neither" else 1) // (10 if fit == "lista" else 1)
    if fit in WIDTHS:
        return PublishedPerceptron(WIDTHS[fit], alpha, seed + 10_000 * (1 + number)).fit(task, data, n_steps)
    batches = -(-len(data["X"]) // BATCH_SIZE)
    settings = {"n_components": options.n_components, "alpha": alpha, "learning_rate": LEARNING_RATE,
                "batch_size": BATCH_SIZE, "max_epochs": max(1, n_steps // batches), "random_state": seed}  # fmt: skip
    settings |= {"dictionary": data["dictionary"]} if task == "dictionary" else {}
    if fit == "lista":
        coder = LISTACoder(n_layers=N_LAYERS, **settings)
    else:
        coder = MLPCoder(n_hidden=WIDTHS[fit.removesuffix("_atoms")], **settings)
    return coder.fit(data["X"], data["codes"] if task == "codes" else None)


def judge(task: str, fit: str, coder, data: dict, alpha: float) -> list[dict]:
    """Return the rows of one fit: its own codes, and those of FISTA on its dictionary."""
    X, (n_components, n_features) = data["X_test"], data["dictionary"].shape

    def row(method, codes, n_steps=0.0):
        return {"method": method, "mcc": mcc_score(data["codes_test"], codes), "n_steps": float(n_steps),
                "flops": float(flops(method, n_features, n_components, n_steps)),
                "mean_l0": np.count_nonzero(codes) / len(codes)}  # fmt: skip

    def fista(n_steps, codes_init=None):
        return FISTACoder(
            coder.components_, alpha=alpha, solver="fista", max_iter=n_steps or 100_000, tol=0 if n_steps else TOL
        ).fit(data["X"]).codes(X, codes_init=codes_init)  # fmt: skip

    if fit in ("sparse_coding", "dl_fista", "learner"):
        optimum = fista(None)
        return [row(fit, optimum.codes, optimum.n_iter.mean())]
    rows = [row(fit, coder.transform(X))]
    if fit == "sae_atoms":
        # As `refine` does, from one fit.
        rows += [row(f"sae_atoms+{steps}", fista(steps, coder.transform(X)).codes, steps) for steps in CURVE]
        if task != "neither":
            rows += [row(f"fista{steps}", fista(steps).codes, steps) for steps in CURVE]
            optimum = fista(None)
            rows.append(row("optimum", optimum.codes, optimum.n_iter.mean()))
    return rows


def collect(rows: list[dict], task: str, method: str, field: str = "mcc") -> np.ndarray:
    """Return the value of each seed, a mean over its starts."""
    seeds = defaultdict(list)
    for row in rows:
        if row["task"] == task and row["method"] == method:
            seeds[row["seed"]].append(row[field])
    return np.array([np.mean(values) for values in seeds.values()])


def show(rows: list[dict], published: dict, options) -> None:
    """Print one table: MCC of each task, and the operations."""

    def cell(task, method):
        values = collect(rows, task, method)
        if not len(values):
            return "-"
        text = f"{values.mean():.3f}" + (f" ± {values.std():.3f}" if len(values) > 1 else "")
        if published:
            text += f" ({published[task, method]:.3f})" if (task, method) in published else " " * 8
        return text

    def cost(method):
        values = [row["flops"] for row in rows if row["method"] == method]
        return f"{np.mean(values):,.0f}" if values else "-"

    methods = [method for method in LABELS if any(row["method"] == method for row in rows)]
    body = [[LABELS[method], *(cell(task, method) for task in options.tasks), cost(method)] for method in methods]
    title = (
        f"{options.n_components} sources in {options.n_features} dimensions, {options.n_active} active, "
        f"{options.n_samples // 2} training samples: test MCC"
    )
    if len(options.seeds) > 1:
        title += f", mean ± std of {len(options.seeds)} seeds"
    notes = ["FLOPs: for codes and reconstruction of one sample; of optima, with the mean iterations of FISTA to a gap "
             f"of {TOL:g}.", "Steps and optima are those of FISTA on the true, the least-squares or the encoder's "
             "dictionary."]  # fmt: skip
    if options.starts > 1:
        notes.append(f"As published: means of {options.starts} random starts on each problem.")
    if published:
        notes.append("In brackets: published mean over 5 runs on one problem.")
    print_table(title, ["method", *(TASKS[task] for task in options.tasks), "FLOPs"], body, notes)


def draw(rows: list[dict], published: dict, path: Path) -> None:
    """Draw, for each task, MCC against operations."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    tasks = list(dict.fromkeys(row["task"] for row in rows))
    figure, axes = plt.subplots(
        1, len(tasks), figsize=(1.2 + 4.2 * len(tasks), 4.4), sharey=True, sharex=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for axis, task in zip(axes[0], tasks, strict=True):
        part = [row for row in rows if row["task"] == task]
        _curve(axis, part, task, "sae_atoms+", ORANGE)
        _curve(axis, part, task, "fista", INK)
        for method in COLOURS:
            values = collect(part, task, method)
            if not len(values):
                continue
            x = collect(part, task, method, "flops").mean()
            axis.errorbar(x, values.mean(), yerr=values.std(), fmt="o", ms=7, color=COLOURS[method], capsize=2, lw=1,
                          mfc="white" if method in WIDTHS else None, clip_on=False, zorder=3)  # fmt: skip
            if (task, method) in published:
                axis.plot(x, published[task, method], "_", ms=17, mew=1.8, color=COLOURS[method])
        for method in NAMES:
            _name(axis, part, task, method, published)
        axis.set_xscale("log")
        axis.margins(y=0.09)  # the names have to fit, too
        axis.set_title(TASKS[task].capitalize(), fontsize=11, loc="left")
        axis.set_xlabel("operations per sample (FLOPs)")
        axis.set_axisbelow(True)
        axis.grid(color="#ececec")
        axis.tick_params(length=0, which="both")
        axis.spines[["top", "right", "left"]].set_visible(False)
        axis.spines["bottom"].set_color("#b5b5b5")
    axes[0][0].set_ylabel("agreement with the true codes (test MCC)")
    keys = [
        ("o", BLUE, "white", "perceptrons, as published"), ("o", BLUE, BLUE, "perceptrons, from the atoms"),
        ("o", GREEN, GREEN, "LISTA"), (".-", INK, INK, "FISTA, step by step"),
        (".-", ORANGE, ORANGE, "the same from the codes of linear + ReLU"), ("o", INK, INK, "optimal codes"),
    ]  # fmt: skip
    keys += [("_", INK, INK, "published")] if published else []
    handles = [
        plt.Line2D([], [], ls="-" if "-" in marker else "", marker=marker[0], color=colour, mfc=inside, label=text,
                   ms=12 if marker == "_" else 6) for marker, colour, inside, text in keys
    ]  # fmt: skip
    figure.legend(handles=handles, frameon=False, fontsize=8.5, ncols=len(keys), loc="outside lower center",
                  handletextpad=0.4, columnspacing=1.4)  # fmt: skip
    figure.savefig(path, dpi=160)
    plt.close(figure)


def _curve(axis, rows, task, prefix, colour):
    points = [
        (collect(rows, task, f"{prefix}{steps}", "flops").mean(), collect(rows, task, f"{prefix}{steps}").mean())
        for steps in CURVE if len(collect(rows, task, f"{prefix}{steps}"))
    ]  # fmt: skip
    if points:
        axis.plot(*zip(*points, strict=True), ".-", color=colour, lw=1.2, ms=4, alpha=0.7)


def _name(axis, rows, task, method, published):
    """Write the name of a method above what is drawn of it, or below."""
    from matplotlib.patheffects import withStroke

    drawn = [each for each in (method, f"{method}_atoms") if len(collect(rows, task, each))]
    if not drawn:
        return
    name, side, align = NAMES[method]
    values = [collect(rows, task, each) for each in drawn]
    ends = [each.mean() + side * each.std() for each in values]
    ends += [published[task, each] for each in drawn if (task, each) in published]
    axis.annotate(
        name, (collect(rows, task, drawn[0], "flops").mean(), side * max(side * end for end in ends)),
        xytext=(-7 if align == "left" else 0, 7 * side), textcoords="offset points", fontsize=8.5, color="#444444",
        ha=align, va="bottom" if side > 0 else "top", path_effects=[withStroke(linewidth=2.5, foreground="white")],
        zorder=4,
    )  # fmt: skip


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("interrupted")
