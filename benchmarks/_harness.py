"""What the benchmarks share: one-line errors, progress with the time left, readable tables, result files."""

from __future__ import annotations

import argparse
import csv
import json
import math
import platform
import sys
import time
from pathlib import Path
from typing import NoReturn


def fail(message: str) -> NoReturn:
    """End with one clear line on standard error and exit status 2."""
    print(f"{Path(sys.argv[0]).name}: error: {message}", file=sys.stderr)
    sys.exit(2)


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        fail(message)


def natural(lowest: int, highest: int | None = None):
    """Return the type of an argument that is an integer in a range."""

    def integer(text):
        value = int(text)
        if value < lowest:
            raise argparse.ArgumentTypeError(f"must be at least {lowest}, got {value}")
        if highest is not None and value > highest:
            raise argparse.ArgumentTypeError(f"must be at most {highest}, got {value}")
        return value

    return integer


class Progress:
    """Lines on standard error: what was finished, and the time left, judged by the relative costs of the tasks."""

    def __init__(self, total_cost: float, n_tasks: int):
        self.total_cost = total_cost
        self.n_tasks = n_tasks
        self.done_cost = 0.0
        self.n_done = 0
        self.start = time.perf_counter()

    def finished(self, name: str, cost: float, seconds: float) -> None:
        self.n_done += 1
        self.done_cost += cost
        elapsed = time.perf_counter() - self.start
        left = elapsed * (self.total_cost - self.done_cost) / self.done_cost
        status = f"about {_clock(left)} left" if self.n_done < self.n_tasks else f"{_clock(elapsed)} in all"
        print(f"[{self.n_done:>2}/{self.n_tasks}] {name}: {seconds:.1f} s; {status}", file=sys.stderr, flush=True)


def _clock(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.1f} min"


def print_table(title: str, columns: list[str], rows: list[list[str]], notes: list[str]) -> None:
    """Print a table: first column to the left, the others to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(columns, *rows, strict=True)]

    def line(cells):
        first, *others = (
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return "  ".join([first, *others]).rstrip()

    print(f"\n{title}\n")
    print(line(columns))
    print("-" * (sum(widths) + 2 * (len(widths) - 1)))
    for row in rows:
        print(line(row))
    for note in notes:
        print(note)


def output_directory(path: str) -> Path:
    """Return the directory for results, made if need be."""
    directory = Path(path)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail(f"--output {path}: cannot make that directory ({error.strerror})")
    return directory


def writable(directory: Path, names: list[str]) -> list[Path]:
    """Return the paths of result files, having made sure before any work that they can be written."""
    paths = [directory / name for name in names]
    for path in paths:
        try:
            path.open("a").close()
        except OSError as error:
            fail(f"--output {directory}: cannot write {path.name} there ({error.strerror})")
    return paths


def write_results(as_json: Path, as_csv: Path, settings: dict, rows: list[dict]) -> None:
    """Write settings, versions and rows as JSON, and the rows as CSV without their lists."""
    import numba
    import numpy
    import scipy
    import sklearn

    import skcode

    modules = (numba, numpy, scipy, sklearn, skcode)
    versions = {"python": platform.python_version()} | {module.__name__: module.__version__ for module in modules}
    rows = [{k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()} for row in rows]
    as_json.write_text(json.dumps({"settings": settings, "versions": versions, "rows": rows}, indent=1) + "\n")
    fields = list(dict.fromkeys(field for row in rows for field, value in row.items() if not isinstance(value, list)))
    with as_csv.open("w", newline="") as file:
        writer = csv.DictWriter(file, fields, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
