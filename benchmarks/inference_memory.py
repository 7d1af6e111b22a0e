"""How much memory do the codes of a data set take that does not fit into it?

Codes samples from a memory map to CSR in one call, and watches the process: anonymous resident memory (``RssAnon`` of
Linux), to which pages of the map itself do not count. Writes ``inference_memory.json`` and ``.csv``.

    python benchmarks/inference_memory.py                       # a million samples: a minute, and 400 MB of disk
    python benchmarks/inference_memory.py --n-samples 100_000
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from _harness import Parser, fail, natural, output_directory, print_table, writable, write_results

from skcode import FISTACoder
from skcode.datasets import make_compositional_shift

DISTINCT = 10_000  # samples in the map, over and over
STATUS = Path("/proc/self/status")


def anonymous_memory() -> float:
    """Return the anonymous resident memory of this process in MB."""
    lines = STATUS.read_text().splitlines()
    return next(int(line.split()[1]) / 1000 for line in lines if line.startswith("RssAnon"))


class Watch:
    """The most anonymous memory that was seen while in this context, in MB."""

    def __enter__(self):
        self.peak = anonymous_memory()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._done.set()
        self._thread.join()

    def _look(self):
        while not self._done.wait(0.01):
            self.peak = max(self.peak, anonymous_memory())


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    directory = output_directory(options.output)
    paths = writable(directory, [f"inference_memory.{ending}" for ending in ("json", "csv")])
    if not (STATUS.exists() and "RssAnon" in STATUS.read_text()):
        fail("anonymous memory can be watched on Linux only")
    try:
        data = make_compositional_shift(
            min(2 * DISTINCT, 2 * options.n_samples), options.n_components, options.n_active, sparse_codes=True,
            dtype=np.float32, random_state=options.seed,
        )  # fmt: skip
    except ValueError as error:
        fail(str(error))
    rows = []
    with tempfile.TemporaryDirectory(dir=directory) as scratch:
        X = write_map(Path(scratch) / "samples.npy", data.X_train, options.n_samples)
        for offset in (None, "mean"):
            coder = FISTACoder(data.dictionary, offset=offset, sparse_output=True, n_jobs=options.n_jobs)
            coder.fit(X[:DISTINCT]).transform(X[:DISTINCT])  # compiled, and what depends on the dictionary computed
            before = anonymous_memory()
            with Watch() as watch:
                start = time.perf_counter()
                codes = coder.transform(X)
                seconds = time.perf_counter() - start
            of_codes = (codes.data.nbytes + codes.indices.nbytes + codes.indptr.nbytes) / 1e6
            rows.append(
                {"offset": str(offset), "samples": len(X), "seconds": seconds, "mb_before": before,
                 "mb_of_codes": of_codes, "mb_peak": max(watch.peak, before)}
            )  # fmt: skip
            del codes
        del X
    on_disk = options.n_samples * data.X_train[0].nbytes / 1e6
    dense = options.n_samples * options.n_components * 4 / 1e6
    print_table(
        f"{options.n_samples:,} samples of {data.dictionary.shape[1]} features, {options.n_components:,} atoms",
        ["offset", "seconds", "MB before", "MB of codes", "MB at most"],
        [
            [row["offset"], *(f"{row[key]:,.0f}" for key in ("seconds", "mb_before", "mb_of_codes", "mb_peak"))]
            for row in rows
        ],
        [f"Anonymous resident memory. Samples are {on_disk:,.0f} MB on disk; dense codes would be {dense:,.0f} MB."],
    )
    settings = {name: value for name, value in vars(options).items() if name != "output"}
    write_results(*paths, settings, rows)
    print("\nWritten: " + ", ".join(str(path) for path in paths))


def parse(arguments):
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, lowest, default in (("samples", 20, 1_000_000), ("components", 2, 1000), ("active", 1, 10)):
        parser.add_argument(f"--n-{name}", type=natural(lowest, 10**9), default=default, metavar="N",
                            help=f"default: {default}")  # fmt: skip
    parser.add_argument("--seed", type=natural(0, 2**32 - 1), default=0, metavar="SEED", help="default: 0")
    parser.add_argument("--n-jobs", type=natural(1), default=min(2, os.cpu_count() or 1), metavar="N",
                        help="threads (default: one per core, at most 2)")  # fmt: skip
    parser.add_argument("--output", default=".", metavar="DIR", help="where results are written (default: here)")
    return parser.parse_args(arguments)


def write_map(path: Path, block: np.ndarray, n_samples: int) -> np.ndarray:
    """Write ``n_samples`` rows that repeat ``block``, and return them as a memory map."""
    X = np.lib.format.open_memmap(path, mode="w+", dtype=block.dtype, shape=(n_samples, block.shape[1]))
    for start in range(0, n_samples, len(block)):
        part = X[start : start + len(block)]
        part[:] = block[: len(part)]
    X.flush()
    del X
    return np.load(path, mmap_mode="r")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("interrupted")
