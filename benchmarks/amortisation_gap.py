"""Is it the encoder or the dictionary that fails when concepts meet in new combinations?

Runs every method of "Stop Probing, Start Coding" (Barin Pacela et al., arXiv:2603.28744) on the paper's protocol, with
the published value beside ours, then asks the same question of a real network's activations. Writes
``amortisation_gap.json``, ``.csv`` and ``.png``.

    python benchmarks/amortisation_gap.py                                    # n=100, k=10, 5000 samples; then digits
    python benchmarks/amortisation_gap.py --data synthetic --seeds 0 1 2     # means and spread over seeds
    python benchmarks/amortisation_gap.py --data my_activations.npy          # your own (n_samples, n_features)

Published values, in ``published_results.csv``: means and standard deviations over three seeds from the result files of
the authors' repository.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from collections import defaultdict
from functools import partial
from pathlib import Path

# Two processes of one BLAS thread each beat one of two: set before numpy is loaded, here and in the workers.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import _published
import numpy as np
from _contestants import COSTS, METHODS, MOST_PASSES_ON_REAL_DATA, applicable, run
from _harness import Parser, Progress, fail, natural, output_directory, print_table, writable, write_results
from _problems import Problem, digits, from_file, open_activations, synthetic
from joblib import Parallel, delayed

LABELS = {
    "linear_probe": "linear probe", "sae_default": "SAE, TopK, skcode's defaults",
    "dl_fista": "DL-FISTA (on the test half)", "dl_fista_train": "DL-FISTA",
    "softplus_adam": "Softplus-Adam (on the test half)", "softplus_adam_train": "Softplus-Adam",
    "learner": "DictionaryLearner", "oracle": "FISTA, true dictionary",
}  # fmt: skip
ON_TRAIN = "dl_fista_train", "softplus_adam_train", "learner"
DATA = {"synthetic": synthetic, "digits": digits}
TITLES = {"digits": "A real network: new pairs of digits"}
INK, BLUE, ORANGE = "#222222", "#0072b2", "#d55e00"
FIT_SECONDS = "fit s: learning the dictionary behind the row; fits ran --n-jobs at a time."


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    load = loaders(options)
    directory = output_directory(options.output)
    problems = {(name, seed): load[name](seed) for name in load for seed in options.seeds}
    if importlib.util.find_spec("matplotlib") is None:
        fail('drawing needs matplotlib: python -m pip install ".[benchmarks]"')
    paths = writable(directory, [f"amortisation_gap.{ending}" for ending in ("json", "csv", "png")])
    rows = compete(problems, options)
    for name in dict.fromkeys(name for name, _ in problems):
        show(name, [row for row in rows if row["data"] == name], problems[name, options.seeds[0]])
    settings = {name: value for name, value in vars(options).items() if name != "output"}
    write_results(*paths[:2], settings, rows)
    draw(rows, published_for(next(iter(problems.values()))), paths[-1])
    print("\nWritten: " + ", ".join(str(path) for path in paths))


def parse(arguments):
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=None, metavar="{synthetic,digits,FILE.npy}",
                        help="what to run on; by default synthetic, then digits")  # fmt: skip
    parser.add_argument(
        "--seeds", type=natural(0, 2**32 - 10_001), nargs="+", default=[0], metavar="SEED", help="default: 0"
    )
    parser.add_argument("--n-components", type=natural(2), default=None, metavar="N",
                        help="concepts, and width of dictionaries (default: 100, or twice the features)")  # fmt: skip
    parser.add_argument("--n-active", type=natural(1), default=None, metavar="K",
                        help="active concepts in a sample; k of TopK and MP "
                             "(default: 10, or half of the components if that is less)")  # fmt: skip
    parser.add_argument("--n-samples", type=natural(40), default=5000, metavar="N",
                        help="samples, half to learn from and half held out (default: 5000)")  # fmt: skip
    parser.add_argument("--methods", nargs="+", default=list(METHODS), metavar="METHOD",
                        help="any of: " + " ".join(METHODS))  # fmt: skip
    parser.add_argument("--n-jobs", type=int, default=None, metavar="N",
                        help="fits at a time, -1 for one per core (default: one per core, at most 2)")  # fmt: skip
    parser.add_argument("--output", default=".", metavar="DIR", help="where results are written (default: here)")
    options = parser.parse_args(arguments)
    unknown = [method for method in options.methods if method not in METHODS]
    if unknown:
        fail(f"--methods: unknown method {unknown[0]!r}; choose from {', '.join(METHODS)}")
    if options.n_jobs == 0:
        fail("--n-jobs: 0 jobs cannot do anything; give a positive number, or -1 for one per core")
    if options.n_jobs is None:
        options.n_jobs = min(2, os.cpu_count() or 1)
    if options.n_active is None:
        width = options.n_components
        if width is None and _is_file(options.data):
            width = 2 * open_activations(options.data).shape[1]
        options.n_active = 10 if width is None else min(10, width // 2)
    options.methods = [method for method in METHODS if method in options.methods]
    options.seeds = list(dict.fromkeys(options.seeds))
    return options


def loaders(options):
    """Return {name: function of the seed} for the data asked for."""
    size = {"n_components": options.n_components, "n_active": options.n_active, "n_samples": options.n_samples}
    if not _is_file(options.data):
        names = list(DATA) if options.data is None else [options.data]
        return {name: partial(DATA[name], **size) for name in names}
    name = Path(options.data).name
    if name in DATA:
        fail(f"--data {options.data}: a file of that name would be taken for a data set; call it {name}.npy")
    return {name: partial(from_file, options.data, **size)}


def _is_file(data: str | None) -> bool:
    return data is not None and data not in DATA


def compete(problems: dict, options) -> list[dict]:
    """Make every fit, two or more at a time, and return the rows in the order of the methods."""
    tasks = []
    for (name, seed), problem in problems.items():
        methods = tuple(method for method in options.methods if applicable(method, name))
        tasks += [(fit, methods, problem, seed) for fit in dict.fromkeys(METHODS[method] for method in methods)]
    if not tasks:
        fail(f"--methods {' '.join(options.methods)}: none of them applies to --data {options.data}")
    tasks.sort(key=lambda task: -COSTS[task[0]])  # the long ones first, so that no core waits at the end
    for name in dict.fromkeys(name for name, _ in problems):
        left_out = [method for method in options.methods if not applicable(method, name)]
        if left_out:
            print(f"{name}: left out, for want of labels or true codes: {', '.join(left_out)}", file=sys.stderr)
    at_a_time = f"at most {options.n_jobs}" if options.n_jobs > 0 else "one per core"
    print(f"{len(tasks)} fits, {at_a_time} at a time; kernels are compiled on first use.", file=sys.stderr)
    progress = Progress(sum(COSTS[fit] for fit, *_ in tasks), len(tasks))
    rows = []
    for (fit, _, problem, seed), (found, seconds) in Parallel(options.n_jobs, return_as="generator_unordered")(
        delayed(_keep)(task) for task in tasks
    ):
        progress.finished(f"{problem}, seed {seed}, {fit}", COSTS[fit], seconds)
        rows += found
    order = list(METHODS)
    first = [name for name, _ in problems]
    return sorted(rows, key=lambda row: (first.index(row["data"]), row["seed"], order.index(row["method"])))


def _keep(task):
    fit, methods, problem, seed = task
    return (fit, methods, problem.name, seed), run(*task)


def published_for(problem: Problem) -> dict:
    """Return {(method, metric): (mean, std)} of the published point with this problem's sizes."""
    n_samples = len(problem.X_train) + len(problem.X_id)
    return _published.results(problem.n_components, problem.n_active, n_samples) if problem.name == "synthetic" else {}


def label(method: str, data: str = "synthetic") -> str:
    kind, _, activation = method.partition("+") if "+" in method else method.partition("_")
    if activation in _published.SAE_NAMES:
        return (
            f"SAE, {_published.SAE_NAMES[activation]}"
            if kind == "sae"
            else f"FISTA on {_published.SAE_NAMES[activation]}'s decoder"
        )
    # Only on the paper's protocol does anything learn on the test half.
    return LABELS[method] + (" (on train)" if data == "synthetic" and method in ON_TRAIN else "")


def collect(rows: list[dict], method: str, metric: str) -> np.ndarray:
    return np.array([row[metric] for row in rows if row["method"] == method and metric in row])


def show(name: str, rows: list[dict], problem: Problem) -> None:
    """Print the table of one data set."""
    published = published_for(problem)
    n_seeds = len({row["seed"] for row in rows})
    methods = list(dict.fromkeys(row["method"] for row in rows))
    if problem.codes_ood is not None:
        title = (
            f"{problem.n_components} concepts in {problem.X_train.shape[1]} dimensions, {problem.n_active} active, "
            f"{len(problem.X_train) + len(problem.X_id)} samples"
        )
        metrics = {"MCC-OOD": "mcc_ood", "MCC-ID": "mcc_id", "accuracy-OOD": "accuracy_ood", "AUC-OOD": "auc_ood"}
        more = {
            "adjusted": "adjusted_mcc_ood",
            "gap-OOD": "amortisation_gap_ood",
            "L0": "mean_l0",
            "fit s": "fit_seconds",
        }
        notes = [
            "MCC as published: noise-padded, and out of distribution on the columns of largest variance only.",
            "adjusted: plain MCC out of distribution, over all columns, corrected for chance.",
            "gap-OOD: mean (objective - optimum) / (1/2 ||x||^2) out of distribution, on the method's own dictionary, "
            f"alpha={problem.alpha:g} (for MP, whose codes are signed, the signed optimum).",
            FIT_SECONDS,
        ]
        if "softplus_adam" in methods:
            notes.insert(-1, "Softplus-Adam (on the test half): codes of the descent itself, as published; out of "
                             "distribution, they are descended along with the dictionary.")  # fmt: skip
        if published:
            notes.append("In brackets: published mean over 3 seeds.")
    else:
        known = not problem.unlabelled
        n_samples = len(problem.X_train) + len(problem.X_id)
        what = (
            "activations of a network that reads two digits"
            if known
            else f"{name}, {n_samples} of its {problem.n_rows} rows"
        )
        title = (
            f"{what}: {len(problem.X_train)} samples to learn from, {len(problem.X_id)} held out, "
            f"{problem.X_train.shape[1]} features, {problem.n_components} components"
        )
        metrics = {"accuracy-ID": "accuracy_id", "accuracy-OOD": "accuracy_ood"} if known else {}
        gaps = (
            {"gap-ID": "amortisation_gap_id", "gap-OOD": "amortisation_gap_ood"}
            if known
            else {"gap": "amortisation_gap_id"}
        )
        more = {"unexplained": "unexplained_variance", "L0": "mean_l0"} | gaps | {"fit s": "fit_seconds"}
        notes = ["unexplained: share of held-out variance missed; compare it at similar L0 only.",
                 "gap: mean (objective - optimum) / (1/2 ||x||^2) on the method's own dictionary, "
                 + (f"alpha={problem.alpha:.3g}, by the samples' scale." if known else "alpha=0.1, the paper's."),
                 "Samples are centred by the training mean"
                 + ("." if known else ", and in the scale of the paper's.")]  # fmt: skip
        if known:
            notes.insert(
                0, "accuracy: which digit is on the left, read by a logistic regression trained on seen pairs."
            )
        else:
            notes += [
                "Rows without a gap: optimal codes, refitted by least squares (debias=True), with the L0 of their",
                "autoencoder (FISTA) or of --n-active (what learns by itself), or with as much as they can have.",
            ]
            if any(method.startswith("fista+") for method in methods):
                notes.append("What FISTA misses less than its autoencoder is the encoder's loss.")
                if "learner" in methods:
                    notes.append("What DictionaryLearner misses less than FISTA, at the same L0, is the dictionary's.")
            notes.append("A file holds no new combinations: if you can label some, see skcode.metrics.shift_report.")
        if any(method.startswith("dl_fista") for method in methods):
            notes.append(f"DL-FISTA makes at most {MOST_PASSES_ON_REAL_DATA} passes here.")
        notes.append(FIT_SECONDS)

    def cell(method, metric):
        values = collect(rows, method, metric)
        if not len(values):
            return "-"
        digits_shown = {"fit_seconds": 1, "mean_l0": 1, "unexplained_variance": 4}.get(metric, 3)
        text = f"{values.mean():.{digits_shown}f}"
        if n_seeds > 1 and metric != "fit_seconds":
            text += f" ± {values.std():.{digits_shown}f}"
        if published and metric in metrics.values():
            text += f" ({published[method, metric][0]:.3f})" if (method, metric) in published else " " * 8
        return text

    columns = metrics | more
    if n_seeds > 1:
        title += f", mean ± std of {n_seeds} seeds"
    body = [[label(method, name), *(cell(method, metric) for metric in columns.values())] for method in methods]
    print_table(title, ["method", *columns], body, notes)


def draw(rows: list[dict], published: dict, path: Path) -> None:
    """Draw, for each data set, what every method keeps of its score when the combinations are new."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    by_data = defaultdict(list)
    for row in rows:
        by_data[row["data"]].append(row)
    heights = [len({row["method"] for row in part}) for part in by_data.values()]
    figure, axes = plt.subplots(
        1, len(by_data), figsize=(6.2 * len(by_data), 1.9 + 0.34 * max(heights)), squeeze=False, layout="constrained"
    )
    for axis, (name, part) in zip(axes[0], by_data.items(), strict=True):
        if "accuracy_ood" in part[0]:
            _shift_panel(axis, part, published if name == "synthetic" else {})
        else:
            _trade_off_panel(axis, part)
        axis.set_title("Known concepts in new combinations" if name == "synthetic" else TITLES.get(name, name),
                       fontsize=11, loc="left", parse_math=False)  # fmt: skip
        axis.set_axisbelow(True)
        axis.tick_params(length=0)
        axis.spines[["top", "right", "left"]].set_visible(False)
        axis.spines["bottom"].set_color("#b5b5b5")
    keys = [
        ("o", BLUE, BLUE, "autoencoder"),
        ("o", ORANGE, ORANGE, "FISTA on its dictionary"),
        ("o", INK, INK, "others"),
    ]
    if any("accuracy_ood" in part[0] for part in by_data.values()):
        keys += [("o", "white", INK, "in distribution"), ("o", INK, INK, "new combinations")]
    if published:
        keys.append(("|", INK, INK, "published, new combinations"))
    handles = [
        plt.Line2D([], [], ls="", marker=m, mfc=fill, mec=edge, mew=1.4, label=text) for m, fill, edge, text in keys
    ]
    figure.legend(
        handles=handles, frameon=False, fontsize=8.5, ncols=min(len(keys), 3 * len(by_data)),
        loc="outside lower center", handletextpad=0.2, columnspacing=1.4,
    )  # fmt: skip
    figure.savefig(path, dpi=160)
    plt.close(figure)


def _colour(method):
    return ORANGE if method.startswith("fista+") else BLUE if method.startswith("sae_") else INK


def _shift_panel(axis, rows, published):
    methods = list(dict.fromkeys(row["method"] for row in rows))[::-1]
    score, words = ("mcc", "mean correlation with the true concepts (MCC)") if "mcc_ood" in rows[0] else (
        "accuracy", "accuracy of a linear readout")  # fmt: skip
    for height, method in enumerate(methods):
        colour = _colour(method)
        start, end = collect(rows, method, f"{score}_id"), collect(rows, method, f"{score}_ood")
        axis.plot([start.mean(), end.mean()], [height, height], color=colour, lw=2, alpha=0.35, solid_capstyle="butt")
        axis.plot(end.mean(), height, "o", ms=6, color=colour, clip_on=False)
        axis.plot(start.mean(), height, "o", ms=8, mfc="none", mec=colour, mew=1.4, clip_on=False)
        if len(end) > 1:
            axis.errorbar(end.mean(), height, xerr=end.std(), color=colour, capsize=2, lw=1)
        if (method, f"{score}_ood") in published:
            axis.plot(published[method, f"{score}_ood"][0], height, "|", ms=15, mew=1.6, color=INK)
    axis.set_yticks(range(len(methods)), [label(method, rows[0]["data"]) for method in methods])
    axis.set_xlabel(words)
    axis.grid(axis="x", color="#ececec")


def _trade_off_panel(axis, rows):
    widest = max(row["mean_l0"] for row in rows)
    highest = max(row["unexplained_variance"] for row in rows)
    placed = []
    for method in dict.fromkeys(row["method"] for row in rows):
        l0, missed = collect(rows, method, "mean_l0").mean(), collect(rows, method, "unexplained_variance").mean()
        axis.plot(l0, missed, "o", ms=7, color=_colour(method), clip_on=False)
        crowded = any(abs(l0 - x) < 0.3 * widest and abs(missed - y) < 0.04 * highest for x, y in placed)
        placed.append((l0, missed))
        axis.annotate(
            label(method, rows[0]["data"]), (l0, missed), xytext=(6, -12 if crowded else 3),
            textcoords="offset points", fontsize=8.5, color="#444444",
        )  # fmt: skip
    axis.set_xlim(0, 1.3 * widest)
    axis.set_ylim(0, 1.1 * highest)
    axis.set_xlabel("mean number of active components (L0)")
    axis.set_ylabel("held-out variance left unexplained")
    axis.grid(color="#ececec")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("interrupted")
