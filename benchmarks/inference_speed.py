"""How fast is exact inference, counted in encoder passes?

Every contestant solves ``min_z 1/2 ||x - z D||^2 + alpha * sum(z), z >= 0`` for the same samples, and whatever it
returns is certified afterwards, by one yardstick: the duality gap relative to ``1/2 ||x||^2``, in float64. The unit of
time is what a TopK autoencoder would take: ``topk(X @ D.T, k)``, by blocks of 1000 samples on as many threads. Unit
and contestants take turns in every round, so that a slower spell of the machine hits them all. Peers that are not
installed are left out: ``python -m pip install ".[benchmarks,peers]"`` brings them. Writes ``inference_speed.json``,
``.csv`` and ``.png``.

    python benchmarks/inference_speed.py                                                      # everything: half an hour
    python benchmarks/inference_speed.py --problems n1000 --contestants skcode spams_float32  # one duel: seconds
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import sys
import time
import warnings

import numpy as np
import scipy.sparse as sp
import threadpoolctl
from _harness import Parser, fail, natural, output_directory, print_table, writable, write_results
from _inference import BLOCK, CONTESTANTS, PROBLEMS, SIZES, UNIT, Problem, blocks, compositional, load
from sklearn.exceptions import ConvergenceWarning

from skcode.metrics import duality_gap

SLOW = 20.0  # seconds for all samples; whoever needs more gets fewer samples, and about as long for all rounds
PILOT = 1.0  # seconds of a run that are enough to judge the speed by
REST = 0.25  # seconds before each run, until the threads of the one before have stopped to wait for work in a loop
MOST_CERTIFIED = 10**7  # codes; more samples than have so many are not certified
PEERS = ("celer", "skglm", "spams-bin", "torch")
SMALLEST_GAP = 1e-15  # in the figure
INK, GREY, ORANGE = "#222222", "#8a8a8a", "#d55e00"


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    directory = output_directory(options.output)
    if importlib.util.find_spec("matplotlib") is None:
        fail('drawing needs matplotlib: python -m pip install ".[benchmarks]"')
    paths = writable(directory, [f"inference_speed.{ending}" for ending in ("json", "csv", "png")])
    rows = []
    with threadpoolctl.threadpool_limits(options.n_jobs), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the gaps in the table tell
        problems = [load(name, options) for name in options.problems]
        names = [name for name in options.contestants if available(name, options.n_jobs)]
        for problem in problems:
            found = race(problem, names, options.n_jobs, options.repeats)
            show(problem, found, options.n_jobs)
            problem.grams.clear()  # gigabytes
            rows += found
    settings = {name: value for name, value in vars(options).items() if name != "output"}
    peers = {each.name: each.version for each in importlib.metadata.distributions() if each.name in PEERS}
    write_results(*paths[:2], settings | {"peers": peers}, rows)
    draw(rows, paths[-1])
    print("\nWritten: " + ", ".join(str(path) for path in paths))


def parse(arguments):
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", nargs="+", default=list(PROBLEMS), choices=PROBLEMS, metavar="PROBLEM",
                        help="any of: " + " ".join(PROBLEMS))  # fmt: skip
    parser.add_argument("--contestants", nargs="+", default=list(CONTESTANTS), choices=CONTESTANTS,
                        metavar="CONTESTANT", help="any of: " + " ".join(CONTESTANTS))  # fmt: skip
    parser.add_argument("--seed", type=natural(0, 2**32 - 1), default=0, metavar="SEED", help="default: 0")
    parser.add_argument("--n-jobs", type=natural(1), default=min(2, os.cpu_count() or 1), metavar="N",
                        help="threads, of the unit too (default: one per core, at most 2)")  # fmt: skip
    parser.add_argument("--repeats", type=natural(1), default=5, metavar="N", help="rounds (default: 5)")
    for size, lowest in SIZES.items():
        parser.add_argument(f"--n-{size}", type=natural(lowest, 10**9), default=None, metavar="N",
                            help="default: that of the problem")  # fmt: skip
    parser.add_argument("--output", default=".", metavar="DIR", help="where results are written (default: here)")
    options = parser.parse_args(arguments)
    options.problems = list(dict.fromkeys(options.problems))
    options.contestants = [name for name in CONTESTANTS if name in options.contestants]
    return options


def available(name: str, n_jobs: int) -> bool:
    """Return whether a contestant is installed, having compiled what it compiles on a toy problem."""
    toy = compositional("toy", 0, n_samples=40, n_components=20, n_active=2)
    try:
        CONTESTANTS[name].prepare(toy, n_jobs)(40)
    except ModuleNotFoundError as error:
        print(f"{name} is left out: {error.name} is not installed", file=sys.stderr)
        return False
    return True


def race(problem: Problem, names: list[str], n_jobs: int, repeats: int) -> list[dict]:
    """Time the unit and the contestants in turns; return a row for each."""
    entries = {"unit": UNIT} | {name: CONTESTANTS[name] for name in names}
    sizes = {"n_components": len(problem.dictionary), "n_features": problem.X.shape[1], "n_active": problem.n_active}
    rows, solvers, codes, times = {}, {}, {}, {name: [] for name in entries}
    for name, entry in entries.items():
        print(f"{problem.name}: {entry.label}", file=sys.stderr, flush=True)
        start = time.perf_counter()
        solvers[name] = entry.prepare(problem, n_jobs)
        solvers[name](n_jobs)
        setup = time.perf_counter() - start
        each = _pilot(solvers[name], entry.fewest, len(problem.X))
        samples, rounds = plan(each, entry.fewest, len(problem.X), repeats)
        rows[name] = {"problem": problem.name, "contestant": name, "label": entry.label, "alpha": problem.alpha} | sizes
        rows[name] |= {"samples": samples, "rounds": rounds, "setup_seconds": setup}
    for turn in range(repeats):
        print(f"{problem.name}: round {turn + 1} of {repeats}", file=sys.stderr, flush=True)
        for name, row in rows.items():
            if turn < row["rounds"]:
                seconds, codes[name] = _timed(solvers[name], row["samples"])
                times[name].append(1e6 * seconds / row["samples"])
    medians = {name: np.median(spent) for name, spent in times.items()}
    for name, row in rows.items():
        row |= {"us": medians[name], "us_min": min(times[name]), "us_max": max(times[name])}
        row |= {f"times_{other}": row["us"] / medians[other] for other in ("unit", "skcode") if other in medians}
        row |= certify(problem, codes[name])
    return list(rows.values())


def _timed(solve, n_samples):
    time.sleep(REST)
    start = time.perf_counter()
    codes = solve(n_samples)
    return time.perf_counter() - start, codes


def _pilot(solve, fewest, n_samples):
    """Return the seconds per sample of the first of ever larger runs that is long enough to judge by."""
    size = min(fewest, n_samples)
    while (seconds := _timed(solve, size)[0]) < PILOT and size < n_samples:
        size = min(4 * size, n_samples)
    return seconds / size


def plan(seconds_per_sample: float, fewest: int, n_samples: int, repeats: int) -> tuple[int, int]:
    """Return how many samples to time, in how many rounds: all of them in every round, unless that is too slow."""
    if n_samples * seconds_per_sample <= SLOW:
        return n_samples, repeats
    some = min(n_samples, max(fewest, int(SLOW / repeats / seconds_per_sample)))
    return some, int(np.clip(SLOW / (some * seconds_per_sample), 1, repeats))


def certify(problem: Problem, codes) -> dict:
    """Return the certified gaps and the mean L0 of codes of the first samples, or nothing if there are none."""
    if not hasattr(codes, "shape"):
        return {}
    n_samples, n_components = codes.shape
    n_certified = min(n_samples, max(1, MOST_CERTIFIED // n_components))
    rows = np.linspace(0, n_samples - 1, n_certified).astype(int)
    parts = np.array_split(rows, -(-n_certified // BLOCK))
    dictionary = problem.dictionary.astype(float)
    gaps = [duality_gap(problem.X[part].astype(float), codes[part], dictionary, problem.alpha) for part in parts]
    gaps = np.concatenate(gaps)
    l0 = (codes.count_nonzero() if sp.issparse(codes) else np.count_nonzero(codes)) / n_samples
    return {"gap_median": np.median(gaps), "gap_worst": gaps.max(), "certified": n_certified, "mean_l0": l0}


def coherence(dictionary: np.ndarray) -> tuple[float, float]:
    """Return the largest cosine between two unit atoms, and the mean over atoms of that with the nearest other."""
    nearest = np.empty(len(dictionary))
    for part in blocks(len(dictionary)):
        cosines = dictionary[part] @ dictionary.T
        cosines[np.arange(len(cosines)), np.arange(part.start, part.stop)] = -1
        nearest[part] = cosines.max(axis=1)
    return float(nearest.max()), float(nearest.mean())


def show(problem: Problem, rows: list[dict], n_jobs: int) -> None:
    """Print the table of one problem."""
    n_components, n_features = problem.dictionary.shape
    title = (
        f"{problem.name}: {n_components} atoms in {n_features} dimensions, alpha={problem.alpha:.3g}, {len(problem.X)} "
        "samples, --n-jobs {}; cosine of nearest atoms at most {:.2f}, on average {:.2f}"
    ).format(n_jobs, *coherence(problem.dictionary))
    unit = (
        "torch's"
        if importlib.util.find_spec("torch")
        else "numpy's, for want of torch, and its top k runs on one thread"
    )
    setups = [f"{row['label']}: {row['setup_seconds']:.2g} s" for row in rows if row["contestant"].startswith("skcode")]
    grams = [f"{np.dtype(dtype)}: {seconds:.2g} s" for dtype, (_, seconds) in problem.grams.items()]
    notes = [
        f"passes: times one encoder pass of the same rounds, medians. The pass is {unit}.",
        "x skcode: times skcode at tol=1e-4, medians; above 1, skcode is faster.",
        "gap: certified in float64, relative to 1/2 ||x||^2"
        + (f", on {most} samples at most." if (most := MOST_CERTIFIED // n_components) < len(problem.X) else "."),
        "samples, rounds: fewer where a contestant is slow. celer and skglm run on one thread.",
        *([f"Not in the times: fit and a first call, Gram matrix included, of {'; '.join(setups)}."] if setups else []),
        *([f"Not in the times: the Gram matrix that SPAMS and scikit-learn get, {'; '.join(grams)}."] if grams else []),
    ]
    columns = COLUMNS.values()
    body = [[row["label"], *(style(row[key]) if key in row else "-" for key, style in columns)] for row in rows]
    print_table(title, ["contestant", *COLUMNS], body, notes)


def _figures(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


COLUMNS = {
    "us/sample": ("us", _figures), "min": ("us_min", _figures), "max": ("us_max", _figures),
    "passes": ("times_unit", _figures), "x skcode": ("times_skcode", _figures),
    "gap median": ("gap_median", "{:.0e}".format), "gap worst": ("gap_worst", "{:.0e}".format),
    "L0": ("mean_l0", "{:.1f}".format), "samples": ("samples", str), "rounds": ("rounds", str),
}  # fmt: skip


def draw(rows: list[dict], path) -> None:
    """Draw, for each problem, what a certificate costs: passes against the worst gap."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = list(dict.fromkeys(row["problem"] for row in rows))
    across = 2 if len(names) in (2, 4) else min(3, len(names))
    down = -(-len(names) // across)
    figure = plt.figure(figsize=(5 * across, 4 * down), layout="constrained")
    panels = {name: figure.add_subplot(down, across, place) for place, name in enumerate(names, start=1)}
    figure.supxlabel("worst certified gap, relative to half the squared norm of the sample", fontsize=10)
    figure.supylabel("time per sample, in encoder passes", fontsize=10)
    for name, axis in panels.items():
        panel = [row for row in rows if row["problem"] == name]
        title = f"{name}: {panel[0]['n_components']} atoms in {panel[0]['n_features']} dimensions"
        axis.set_title(title, fontsize=11, loc="left", parse_math=False)
        _panel(axis, [row for row in panel if np.isfinite(row.get("gap_worst", np.inf))])
    figure.savefig(path, dpi=160)
    plt.close(figure)


def _panel(axis, rows):
    points = np.array([(max(row["gap_worst"], SMALLEST_GAP), row["times_unit"]) for row in rows]).reshape(-1, 2)
    axis.set(xscale="log", yscale="log", xlim=(SMALLEST_GAP / 3, 1e3), ylim=(0.5, 3 * points[:, 1].max(initial=10)))
    axis.axhline(1, color=INK, lw=1, ls="--")
    axis.annotate("one encoder pass", (SMALLEST_GAP, 0.93), va="top", fontsize=8.5, color=INK)
    axis.minorticks_off()
    axis.grid(color="#ececec")
    axis.set_axisbelow(True)
    axis.tick_params(length=0)
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.spines["bottom"].set_color("#b5b5b5")
    axis.figure.draw_without_rendering()  # now the axes have their final places, and labels can be given theirs
    spots = (axis.transData.transform(points) - axis.bbox.p0) * 72 / axis.figure.dpi
    offsets = place(spots, [5 * len(row["label"]) for row in rows], 11, axis.bbox.width * 72 / axis.figure.dpi)
    for row, point, offset in zip(rows, points, offsets, strict=True):
        ours = row["contestant"].startswith("skcode")
        axis.plot(*point, "o", ms=8 if ours else 6, color=ORANGE if ours else GREY, zorder=3)
        axis.annotate(row["label"], point, xytext=offset, textcoords="offset points", va="center", fontsize=8.5,
                      color=ORANGE if ours else INK, ha="left" if offset[0] > 0 else "right")  # fmt: skip


def place(spots, widths: list[float], height: float, room: float) -> list[tuple[float, float]]:
    """Return offsets of labels, beside their spots, that cover neither spot nor label and stay in the room if possible.

    An offset is that of the near end of the label: of its right end if it is negative.
    """
    taken = [(x - 4, y - 4, x + 4, y + 4) for x, y in spots]
    offsets = []
    for (x, y), width in zip(spots, widths, strict=True):
        options = []
        for dx, dy in ((side, step * height) for step in (0, 1, -1, 2, -2) for side in (7, -7)):
            left, low = x + dx - width * (dx < 0), y + dy - height / 2
            right, high = left + width, low + height
            hits = sum(left < c and a < right and low < d and b < high for a, b, c, d in taken)
            options.append((hits + (left < 0) + (right > room), (dx, dy), (left, low, right, high)))
        _, offset, box = min(options, key=lambda option: option[0])
        offsets.append(offset)
        taken.append(box)
    return offsets


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("interrupted")
