"""All sweeps of "Stop Probing, Start Coding" (arXiv:2603.28744) at full size, the published values beside ours.

Concepts, samples and active concepts are varied, and at each number of concepts it is taken apart what the autoencoders
lose: their decoder coded optimally, with other norms, with other penalties, with more steps, their supports refitted,
their dictionary as the start of DL-FISTA. Each finished part is kept in ``paper_sweeps.jsonl``; a second call with the
same arguments goes on where the first one ended, and one with other arguments adds to it. Then come the tables and the
figures of all that is there: ``paper_sweeps_*.csv`` and ``.png``.

    python benchmarks/paper_sweeps.py --n-components 50 100                  # some minutes
    python benchmarks/paper_sweeps.py --seeds 0 1 2                          # days: n = 50 to 10,000
    python benchmarks/paper_sweeps.py --sweep samples sparsity --seeds 0 1 2
    python benchmarks/paper_sweeps.py --n-components 5000 --parts sae_topk learner oracle
    python benchmarks/paper_sweeps.py --tables-only                          # of what is there
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

# Two processes of one BLAS thread each beat one of two: set before numpy is loaded, here and in the workers.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Full-batch steps make and drop megabytes each time: workers keep them, or hand pages to and fro a third of the time.
os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(2**28))
os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(2**29))

import _published
import numpy as np
from _contestants import COSTS, fitted, measure, published_autoencoder, warm_up
from _decompositions import alternation, decompose, match_and_support, oracle_penalties
from _harness import Parser, Progress, fail, natural, output_directory
from _problems import synthetic
from _sweep_tables import draw, show
from joblib import Parallel, delayed
from sklearn.preprocessing import normalize

from skcode import FISTACoder

PHASE_RATIOS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)


class Sweep(NamedTuple):
    """The sizes that a sweep runs over, as published."""

    experiment: str
    n_components: tuple[int, ...]
    n_active: tuple[int, ...]
    n_samples: tuple[int, ...]
    ratios: tuple[float | None, ...] = (None,)  # n_features / (k ln(n/k)); None is the protocol's 2


SWEEPS = {
    "latents": Sweep("vary_latents", (50, 100, 500, 1000, 5000, 10_000), (10,), (5000,)),
    "samples": Sweep("vary_samples", (100,), (10,), (100, 500, 1000, 5000, 10_000, 50_000, 100_000)),
    "samples_10000": Sweep("vary_samples", (10_000,), (10,), (100, 500, 1000, 5000, 10_000)),
    "sparsity": Sweep("vary_sparsity", (1000,), (2, 5, 10, 20, 50, 100), (5000,)),
    "phase": Sweep("phase_transition", (50, 100, 200), (3, 5, 10), (2000,), PHASE_RATIOS),
}
SAES = [f"sae_{activation}" for activation in _published.SAE_ACTIVATIONS]
WARM = [f"warm_dl_fista+{activation}" for activation in _published.SAE_ACTIVATIONS]
PARTS = ["oracle", "learner", "linear_probe", *SAES, "softplus_adam", "dl_fista", *WARM]
COSTS = COSTS | dict.fromkeys(WARM, 60)


class Task(NamedTuple):
    """One fit and all that is measured with it."""

    sweep: str
    part: str
    n_components: int
    n_active: int
    n_samples: int
    ratio: float | None
    seed: int
    max_epochs: int
    max_rounds: int

    def __str__(self):
        ratio = "" if self.ratio is None else f", c={self.ratio:g}"
        return (
            f"n={self.n_components}, k={self.n_active}, {self.n_samples} samples{ratio}, seed {self.seed}, {self.part}"
        )

    @property
    def cost(self) -> float:
        return COSTS[self.part] * (self.n_components + 100) * self.n_active * self.n_samples

    @property
    def n_features(self) -> int | None:
        if self.ratio is None:
            return None
        return int(np.ceil(self.ratio * self.n_active * np.log(self.n_components / self.n_active)))


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    if importlib.util.find_spec("matplotlib") is None:
        fail('drawing needs matplotlib: python -m pip install ".[benchmarks]"')
    directory = output_directory(options.output)
    store = Store(directory / "paper_sweeps.jsonl")
    if not options.tables_only:
        run_all([task for task in tasks(options) if task not in store.finished], store, options.n_jobs)
    if not store.rows:
        fail(f"--output {options.output}: nothing has been finished there yet")
    written = show(store.rows, directory) + draw(store.rows, directory)
    print("\nWritten: " + ", ".join(str(path) for path in [store.path, *written]))


def parse(arguments):
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweep", nargs="+", choices=list(SWEEPS), default=["latents"], metavar="SWEEP",
                        help="any of: " + " ".join(SWEEPS) + " (default: latents)")  # fmt: skip
    parser.add_argument("--seeds", type=natural(0, 2**32 - 10_001), nargs="+", default=[0], metavar="SEED",
                        help="default: 0")  # fmt: skip
    for size, what, least in (
        ("n-components", "numbers of concepts", 2),
        ("n-active", "active concepts in a sample", 1),
        ("n-samples", "samples, half to learn from and half held out", 40),
    ):
        parser.add_argument(f"--{size}", type=natural(least), nargs="+", default=None, metavar="N",
                            help=f"{what} (default: those of the sweep)")  # fmt: skip
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, metavar="PART",
                        help="any of: " + " ".join(PARTS))  # fmt: skip
    parser.add_argument("--max-epochs", type=natural(1), default=500, metavar="N",
                        help="of the autoencoders (default: the published 500)")  # fmt: skip
    parser.add_argument("--max-rounds", type=natural(1), default=1000, metavar="N",
                        help="of DL-FISTA (default: the published 1000)")  # fmt: skip
    parser.add_argument("--n-jobs", type=natural(1), default=min(2, os.cpu_count() or 1), metavar="N",
                        help="parts at a time (default: one per core, at most 2)")  # fmt: skip
    parser.add_argument("--tables-only", action="store_true", help="run nothing: tables and figures of what is there")
    parser.add_argument("--output", default=".", metavar="DIR", help="where results are kept (default: here)")
    options = parser.parse_args(arguments)
    for sweep in options.sweep:
        n_active, n_components = max(sizes(options, sweep)[1]), min(sizes(options, sweep)[0])
        if n_active > n_components // 2:  # company in distribution, and other company out of it
            fail(f"--n-active {n_active}: must be at most half of the {n_components} concepts of --sweep {sweep}")
    return options


def sizes(options, sweep: str) -> tuple[tuple[int, ...], ...]:
    """Return the sizes that were asked for: those of the sweep, but for what is given."""
    chosen = (options.n_components, options.n_active, options.n_samples)
    return tuple(
        own if asked is None else tuple(dict.fromkeys(asked))
        for own, asked in zip(SWEEPS[sweep][1:4], chosen, strict=True)
    )


def tasks(options) -> list[Task]:
    """Return what was asked for, the cheap first: something can be seen early."""
    found = [
        Task(sweep, part, *size, ratio, seed, options.max_epochs, options.max_rounds)
        for sweep in options.sweep
        for part, ratio, *size, seed in product(
            PARTS, SWEEPS[sweep].ratios, *sizes(options, sweep), dict.fromkeys(options.seeds)
        )
        if part in options.parts and (part not in WARM or sweep == "latents")
    ]
    return sorted(found, key=lambda task: task.cost)


class Store:
    """The finished tasks, one line of JSON each, so that nothing finished is lost and nothing is run twice."""

    def __init__(self, path: Path):
        self.path = path
        self.finished: set[Task] = set()
        self._found: dict[tuple, dict] = {}
        try:
            path.touch()
            lines = path.read_text().splitlines(keepends=True)
        except OSError as error:
            fail(f"--output {path.parent}: cannot write {path.name} there ({error.strerror})")
        if lines and not lines[-1].endswith("\n"):  # cut off when an earlier run was killed
            path.write_text("".join(lines[:-1]))
            print(f"{path.name}: its last line was cut off; that part is run again.", file=sys.stderr)
            del lines[-1]
        for number, line in enumerate(lines, 1):
            try:
                self._take(json.loads(line))
            except (ValueError, TypeError, KeyError):
                fail(f"{path}: line {number} is not a finished part; delete that line, and its part is run again")

    def _take(self, entry):
        task = Task(**entry["task"])
        self.finished.add(task)
        for row in entry["rows"]:
            row = {
                name: getattr(task, name) for name in ("n_components", "n_active", "n_samples", "ratio", "seed")
            } | row
            # The same point can be run anew, with more rounds for one: the longest run counts, whatever came last.
            identity = tuple(row.get(name) for name in (*_published.Point._fields, "ratio", "seed"))
            length = task.max_epochs, task.max_rounds
            if length >= self._found.get(identity, (length, None))[0]:
                self._found[identity] = length, row

    @property
    def rows(self) -> list[dict]:
        return [row for _, row in self._found.values()]

    def add(self, task: Task, rows: list[dict], seconds: float) -> None:
        entry = {"task": task._asdict(), "seconds": round(seconds, 1), "rows": [_rounded(row) for row in rows]}
        with self.path.open("a") as file:
            file.write(json.dumps(entry) + "\n")
        self._take(entry)


def _rounded(row):
    return {
        name: float(f"{value:.5g}") if isinstance(value, float) else value
        for name, value in row.items()
        if value is not None and not (isinstance(value, float) and not np.isfinite(value))
    }


def run_all(todo: list[Task], store: Store, n_jobs: int) -> None:
    """Run tasks, two or more at a time, and keep each as soon as it is done."""
    progress = Progress(sum(task.cost for task in todo), len(todo))
    for task, rows, seconds in Parallel(n_jobs, return_as="generator_unordered", batch_size=1)(
        delayed(run)(task) for task in todo
    ):
        store.add(task, rows, seconds)
        progress.finished(str(task), task.cost, seconds)


def run(task: Task) -> tuple[Task, list[dict], float]:
    """Run one task; return it, the rows it gave, and the seconds it took."""
    warm_up()
    start = time.perf_counter()
    problem = synthetic(task.seed, task.n_components, task.n_active, task.n_samples, task.n_features)
    rows = [
        {"experiment": experiment, "method": method, "setting": setting} | metrics
        for experiment, method, setting, metrics in reports(task, problem)
        if task.sweep == "latents" or experiment == SWEEPS[task.sweep].experiment  # decompositions belong to one sweep
    ]
    return task, rows, time.perf_counter() - start


def reports(task: Task, problem) -> Iterator[tuple]:
    """Yield ``(experiment, method, setting, metrics)`` of all that is measured in one task."""
    experiment, seed = SWEEPS[task.sweep].experiment, 10_000 + task.seed
    kind, _, activation = task.part.partition("+" if "+" in task.part else "sae_")
    if task.part in SAES:
        start = time.perf_counter()
        sae = published_autoencoder(activation, problem, seed, max_epochs=task.max_epochs)
        seconds = time.perf_counter() - start
        yield experiment, task.part, None, measure(sae, problem) | {"fit_seconds": seconds}
        if task.sweep == "latents":
            yield from decompose(activation, sae, problem)
    elif kind in ("dl_fista", "warm_dl_fista"):
        if kind == "dl_fista":
            atoms = np.random.RandomState(seed).standard_normal(problem.dictionary.shape)
        else:
            atoms = published_autoencoder(activation, problem, seed, max_epochs=task.max_epochs).components_
        *on_the_way, (components, seconds) = alternation(task.part, normalize(atoms), problem, task.max_rounds)
        yield from on_the_way
        if kind == "dl_fista":
            coder = FISTACoder(components, alpha=problem.alpha, **_published.FISTA_SETTINGS).fit(problem.X_train)
            yield experiment, task.part, None, measure(coder, problem) | {"fit_seconds": seconds}
            yield from match_and_support(task.part, components, problem)
    else:
        for method, encoder, seconds in fitted(task.part, (task.part,), problem, seed):
            yield experiment, method, None, measure(encoder, problem) | {"fit_seconds": seconds}
            if method == "learner":
                yield from match_and_support(method, encoder.components_, problem)
        if task.part == "oracle" and task.sweep == "latents":
            yield from oracle_penalties(problem)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("interrupted; what was finished is kept")
