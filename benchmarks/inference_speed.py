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
import importlib
import importlib.metadata
import importlib.util
import os
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import threadpoolctl
from _harness import Parser, fail, natural, output_directory, print_table, writable, write_results
from sklearn.datasets import load_digits
from sklearn.decomposition import sparse_encode
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from skcode import FISTACoder, SparseAutoencoder
from skcode.datasets import make_compositional_shift
from skcode.metrics import duality_gap

BLOCK = 1000  # samples of one product
SLOW = 20.0  # seconds for all samples; whoever needs more gets fewer samples, and about as long for all rounds
PILOT = 1.0  # seconds of a run that are enough to judge the speed by
REST = 0.25  # seconds before each run, until the threads of the one before have stopped to wait for work in a loop
MOST_CERTIFIED = 10**7  # codes; more samples than have so many are not certified
LARGEST_SENT = 1 << 29  # bytes of a Gram matrix that scikit-learn may hash and send to its processes in every call
SIZES = {"samples": 20, "components": 2, "active": 1}  # what may be overridden, and the least of it
PEERS = ("celer", "skglm", "spams-bin", "torch")
SMALLEST_GAP = 1e-15  # in the figure
INK, GREY, ORANGE = "#222222", "#8a8a8a", "#d55e00"


@dataclass
class Problem:
    """Samples and unit atoms in float32; peers that want float64 get the same numbers."""

    name: str
    X: np.ndarray
    dictionary: np.ndarray
    n_active: int
    alpha: float
    grams: dict = field(default_factory=dict)

    def gram(self, dtype: type) -> np.ndarray:
        """Return the Gram matrix, which contestants share; how long it took is kept beside it."""
        if dtype not in self.grams:
            start = time.perf_counter()
            atoms = self.dictionary.astype(dtype)
            # Without the copy NumPy calls syrk, which can crash on so many atoms (numpy issue 19685).
            self.grams[dtype] = atoms @ atoms.T.copy(), time.perf_counter() - start
        return self.grams[dtype][0]


def load(name: str, options) -> Problem:
    make, settings = PROBLEMS[name]
    sizes = {size: getattr(options, f"n_{size}") for size in SIZES}
    sizes = {f"n_{size}": given for size, given in sizes.items() if given is not None}
    if sizes.keys() - {"n_samples"}:  # the features follow
        settings = {key: value for key, value in settings.items() if key != "n_features"}
    return make(name, options.seed, **settings | sizes)


def compositional(name, seed, *, n_samples, n_components, n_active, n_features=None, alpha=0.1):
    """Return the paper's protocol."""
    sizes = (n_samples, n_components, n_active, n_features)
    try:
        data = make_compositional_shift(*sizes, sparse_codes=True, dtype=np.float32, random_state=seed)
    except ValueError as error:
        fail(str(error))
    return Problem(name, np.vstack([data.X_train, data.X_val]), data.dictionary, n_active, alpha)


def coherent(name, seed, *, n_samples, n_components, n_active, alpha):
    """Return activations of a network that reads two digits, and the decoder of an autoencoder trained on others.

    ``alpha`` is in units of the root mean square norm of a sample.
    """
    if n_active > n_components:
        fail(f"--n-active {n_active}: must be at most the {n_components} components")
    rng = np.random.RandomState(seed)
    images, labels = load_digits(return_X_y=True)
    left, right = rng.randint(len(images), size=(2, 2 * n_samples))
    pixels = np.hstack([images[left], images[right]]) / 16
    both = np.hstack([np.eye(10)[labels[left]], np.eye(10)[labels[right]]])
    network = MLPClassifier((128,), random_state=seed)
    for _ in range(20):
        network.partial_fit(pixels, both, classes=np.arange(20))
    hidden = np.maximum(pixels @ network.coefs_[0] + network.intercepts_[0], 0)
    train, X = np.split((hidden - hidden[:n_samples].mean(axis=0)).astype(np.float32), 2)
    sae = SparseAutoencoder(
        n_components, n_active=n_active, max_epochs=20, learning_rate=3e-3, batch_size=128, random_state=seed
    ).fit(train)
    atoms = sae.components_ / np.linalg.norm(sae.components_, axis=1, keepdims=True)
    return Problem(name, X, atoms, n_active, float(alpha * np.sqrt((train**2).sum(axis=1).mean())))


# The alphas of the last two leave about 200 and about 16 codes non-zero. In the second pair the paper's formula would
# give other features.
WIDE = {"n_samples": 2000, "n_components": 16_384, "n_features": 768}
PROBLEMS = {
    "n1000": (compositional, {"n_samples": 10_000, "n_components": 1000, "n_active": 10}),
    "n10000": (compositional, {"n_samples": 5000, "n_components": 10_000, "n_active": 10}),
    "n16384_50": (compositional, WIDE | {"n_active": 50}),
    "n16384_200": (compositional, WIDE | {"n_active": 200, "alpha": 0.4}),
    "coherent": (coherent, {"n_samples": 5000, "n_components": 1024, "n_active": 16, "alpha": 0.1}),
}


# Contestants: called with a problem and a number of threads, they prepare what does not depend on the samples and
# return solve(n) -> codes of the first n samples. What they import, they import inside.


def encoder_pass(problem, n_jobs):
    """Return the unit: topk(X @ D.T, k) by blocks, without what an encoder would add."""
    X, atoms, k = problem.X, problem.dictionary, problem.n_active
    if importlib.util.find_spec("torch") is None:
        return lambda n: [np.argpartition(X[part] @ atoms.T, -k, axis=1)[:, -k:] for part in _blocks(n)]
    torch = _torch(n_jobs)
    X, atoms = torch.from_numpy(X), torch.from_numpy(atoms)
    return lambda n: [torch.topk(X[part] @ atoms.T, k) for part in _blocks(n)]


def dense_product(problem, n_jobs):
    product = np.empty((BLOCK, len(problem.dictionary)), np.float32)

    def solve(n):
        for part in _blocks(n):
            np.matmul(problem.X[part], problem.dictionary.T, out=product[: part.stop - part.start])

    return solve


def skcode(problem, n_jobs, tol):
    coder = FISTACoder(problem.dictionary, alpha=problem.alpha, tol=tol, sparse_output=True, n_jobs=n_jobs)
    coder.fit(problem.X)
    return lambda n: coder.transform(problem.X[:n])


def spams(problem, n_jobs, dtype):
    """LARS in C++. Given the Gram matrix and the product X @ D.T, it is at its fastest."""
    import spams

    X, atoms, gram = problem.X.astype(dtype), problem.dictionary.astype(dtype), problem.gram(dtype)
    options = {"lambda1": problem.alpha, "mode": 2, "pos": True, "numThreads": n_jobs}  # 2: the penalised problem
    return lambda n: spams.lasso(X[:n].T, Q=gram.T, q=(X[:n] @ atoms.T).T, **options).T


def scikit_learn(problem, n_jobs, algorithm):
    X, atoms, gram = problem.X.astype(float), problem.dictionary.astype(float), problem.gram(float)
    n_jobs = n_jobs if gram.nbytes < LARGEST_SENT else 1
    options = {"alpha": problem.alpha, "positive": True, "max_iter": 10_000, "n_jobs": n_jobs, "gram": gram}
    return lambda n: sparse_encode(X[:n], atoms, algorithm=algorithm, **options)


def one_by_one(problem, n_jobs, package):
    """scikit-learn's objective, over m, and tolerances that leave a gap of about 1e-4."""
    lasso = importlib.import_module(package).Lasso
    design, X = np.asfortranarray(problem.dictionary.T, dtype=float), problem.X.astype(float)
    alpha = problem.alpha / len(design)
    # celer's is the gap as a share of ||x||^2 / m; skglm's is how far a correlation may exceed alpha.
    tol = {"celer": 0.5e-4, "skglm": 1e-3 * alpha}[package]
    model = lasso(alpha=alpha, tol=tol, positive=True, fit_intercept=False)
    return lambda n: np.array([model.fit(design, x).coef_ for x in X[:n]])


def fista(problem, n_jobs, n_iter):
    """The paper's: momentum without restart, from zero, a fixed number of steps for a whole block."""
    torch = _torch(n_jobs)
    X, atoms = torch.from_numpy(problem.X), torch.from_numpy(problem.dictionary)
    step = 1 / float(torch.linalg.matrix_norm(atoms, 2)) ** 2

    def block(x):
        z = ahead = torch.zeros(len(x), len(atoms))
        t = 1.0
        for _ in range(n_iter):
            last, z = z, torch.relu(ahead - step * ((ahead @ atoms - x) @ atoms.T + problem.alpha))
            t, before = (1 + (1 + 4 * t * t) ** 0.5) / 2, t
            ahead = z + (before - 1) / t * (z - last)
        return z

    return lambda n: torch.cat([block(X[part]) for part in _blocks(n)]).numpy()


def _blocks(n):
    return [slice(start, min(start + BLOCK, n)) for start in range(0, n, BLOCK)]


def _torch(n_jobs):
    import torch

    torch.set_num_threads(n_jobs)
    return torch


class Contestant(NamedTuple):
    label: str
    prepare: Callable
    fewest: int = 4  # samples that it must be timed on to show what it can do


CONTESTANTS = {
    "product": Contestant("dense product X @ D.T alone", dense_product, BLOCK),
    "skcode": Contestant("skcode, tol=1e-4", partial(skcode, tol=1e-4)),
    "skcode_tight": Contestant("skcode, tol=1e-6", partial(skcode, tol=1e-6)),
    "spams_float32": Contestant("SPAMS lasso, float32", partial(spams, dtype=np.float32)),
    "spams_float64": Contestant("SPAMS lasso, float64", partial(spams, dtype=float)),
    "sklearn_cd": Contestant("scikit-learn lasso_cd", partial(scikit_learn, algorithm="lasso_cd")),
    "sklearn_lars": Contestant("scikit-learn lasso_lars", partial(scikit_learn, algorithm="lasso_lars")),
    "celer": Contestant("celer", partial(one_by_one, package="celer")),
    "skglm": Contestant("skglm", partial(one_by_one, package="skglm")),
    "fista_100": Contestant("FISTA, 100 steps", partial(fista, n_iter=100), 100),
    "fista_1000": Contestant("FISTA, 1000 steps", partial(fista, n_iter=1000), 100),
}
UNIT = Contestant("one encoder pass: top k of X @ D.T", encoder_pass, BLOCK)


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
    for part in _blocks(len(dictionary)):
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
        *([f"Not in the times: fit and a first call of {'; '.join(setups)}."] if setups else []),
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
    offsets = place(spots, [4.6 * len(row["label"]) for row in rows], 11, axis.bbox.width * 72 / axis.figure.dpi)
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
