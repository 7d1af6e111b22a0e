"""How well does a learned dictionary explain activations that it has not seen, at equal sparsity?

On a real network's activations nobody knows the true concepts. What can be judged is what codes of equal mean L0 leave
unexplained on held-out samples. Every dictionary is given the same codes: exact ones, under the L1 and the minimax
concave penalty (MCP), refitted by least squares, with the penalty that leaves them the wanted mean L0. The autoencoders
are also judged by their own codes, and trained with skcode's defaults and with the published settings at several
learning rates and lengths, of which the best on held-out samples counts. Writes ``dictionary_error.json`` and ``.csv``.

    python benchmarks/dictionary_error.py                                  # a network that reads two digits
    python benchmarks/dictionary_error.py --seeds 0 1 2 --l0 5 10
    python benchmarks/dictionary_error.py --data my_activations.npy        # your own (n_samples, n_features)
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings

import _published
import numpy as np
import threadpoolctl
from _harness import Parser, fail, natural, output_directory, print_table, writable, write_results
from _problems import digits, from_file
from sklearn.decomposition import MiniBatchDictionaryLearning
from sklearn.exceptions import ConvergenceWarning

from skcode import DictionaryLearner, FISTACoder, SparseAutoencoder
from skcode.metrics import unexplained_variance
from skcode.solvers import refit

LEARNING_RATES = (5e-4, 1e-3, 2e-3, 4e-3, 8e-3)
EPOCHS = (100, 500)
SWEEPS = 100  # over the samples, of the other learners
LEARNERS = {
    "skcode": "skcode DictionaryLearner", "alternating": "DL-FISTA, 100 rounds",
    "sklearn": "scikit-learn MiniBatchDictionaryLearning",
}  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    directory = output_directory(options.output)
    paths = writable(directory, [f"dictionary_error.{ending}" for ending in ("json", "csv")])
    rows = []
    with threadpoolctl.threadpool_limits(options.n_jobs), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for seed in options.seeds:
            problem = load(options, seed)
            if max(options.l0) > problem.X_train.shape[1]:
                fail(f"--l0 {max(options.l0):g}: must be at most the {problem.X_train.shape[1]} features")
            dictionaries = {name: learn(name, problem, seed, options.n_jobs) for name in LEARNERS}
            for l0 in options.l0:
                found = [
                    _row(f"{name}_{penalty}", f"{LEARNERS[name]}, {penalty.upper()}", seconds, problem,
                         exact_codes(components, problem.X_id, l0, penalty), components)
                    for name, (components, seconds) in dictionaries.items() for penalty in ("l1", "mcp")
                ] + autoencoders(problem, l0, seed)  # fmt: skip
                best = min(row["unexplained"] for row in found if row["method"] == "sae")
                rows += [row | {"seed": seed, "l0_wanted": l0, "times_sae": row["unexplained"] / best} for row in found]
    for l0 in options.l0:
        show([row for row in rows if row["l0_wanted"] == l0], problem)
    write_results(*paths, {name: value for name, value in vars(options).items() if name != "output"}, rows)
    print("\nWritten: " + ", ".join(str(path) for path in paths))


def parse(arguments):
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", default="digits", metavar="{digits,FILE.npy}", help="what to run on (default: digits)"
    )
    parser.add_argument("--l0", type=natural(1), nargs="+", default=[10], metavar="L0",
                        help="mean non-zeros of the codes (default: 10)")  # fmt: skip
    parser.add_argument("--n-components", type=natural(2), default=None, metavar="N",
                        help="width of dictionaries (default: twice the features)")  # fmt: skip
    parser.add_argument("--n-samples", type=natural(40), default=5000, metavar="N",
                        help="samples, half to learn from and half held out (default: 5000)")  # fmt: skip
    parser.add_argument("--seeds", type=natural(0, 2**31), nargs="+", default=[0], metavar="SEED", help="default: 0")
    parser.add_argument("--n-jobs", type=natural(1), default=min(2, os.cpu_count() or 1), metavar="N",
                        help="threads (default: one per core, at most 2)")  # fmt: skip
    parser.add_argument("--output", default=".", metavar="DIR", help="where results are written (default: here)")
    options = parser.parse_args(arguments)
    if options.n_components is not None and max(options.l0) > options.n_components:
        fail(f"--l0 {max(options.l0)}: must be at most the {options.n_components} components")
    return options


def load(options, seed):
    sizes = {"n_components": options.n_components, "n_active": max(options.l0), "n_samples": options.n_samples}
    return digits(seed, **sizes) if options.data == "digits" else from_file(options.data, seed, **sizes)


def learn(name: str, problem, seed: int, n_jobs: int) -> tuple[np.ndarray, float]:
    """Return a dictionary and the seconds it took."""
    n_components, alpha, X = problem.n_components, problem.alpha, problem.X_train
    if name == "sklearn":
        # Its own start has no more atoms than features.
        start = np.random.RandomState(seed).standard_normal((n_components, X.shape[1])).astype(X.dtype)
        start /= np.linalg.norm(start, axis=1, keepdims=True)
        learner = MiniBatchDictionaryLearning(
            n_components, alpha=alpha, max_iter=SWEEPS, fit_algorithm="cd", transform_algorithm="lasso_cd",
            positive_code=True, dict_init=start, tol=0, max_no_improvement=None, random_state=seed,
        )  # fmt: skip
    else:
        settings = {"method": "alternating", "max_epochs": SWEEPS} if name == "alternating" else {}
        learner = DictionaryLearner(n_components, alpha=alpha, n_jobs=n_jobs, random_state=seed, **settings)
    start = time.perf_counter()
    components = learner.fit(X).components_
    seconds = time.perf_counter() - start
    return components[components.any(axis=1)], seconds


def exact_codes(components: np.ndarray, X: np.ndarray, l0: int, penalty: str, bias=None) -> np.ndarray:
    """Return refitted codes of samples; the refit takes some away, so that the penalty is found in two goes."""
    wanted = float(l0)
    for last in (False, True):
        coder = FISTACoder(components, target_l0=wanted, penalty=penalty, debias=True, offset=bias).fit(X)
        codes = coder.transform(X)
        if not last:
            wanted *= l0 * len(codes) / np.count_nonzero(codes)
    return codes


def autoencoders(problem, l0: int, seed: int) -> list[dict]:
    """Return the rows of the autoencoder of all those trained that leaves least unexplained."""
    candidates = {"skcode's defaults": {}} | {
        f"published settings, lr {rate:g}, {epochs} epochs": _published.sae_settings("topk")
        | {"learning_rate": rate, "max_epochs": epochs}
        for rate in LEARNING_RATES
        for epochs in EPOCHS
    }
    best = None
    for settings, parameters in candidates.items():
        sae = SparseAutoencoder(problem.n_components, n_active=l0, random_state=seed, **parameters)
        start = time.perf_counter()
        sae.fit(problem.X_train)
        seconds = time.perf_counter() - start
        error = -sae.score(problem.X_id)
        if best is None or error < best[0]:
            best = error, sae, seconds, settings
    _, sae, seconds, settings = best
    codes, atoms, bias = sae.transform(problem.X_id), sae.components_, sae.decoder_bias_
    refitted = refit(problem.X_id, codes, atoms, offset=bias)
    return [
        _row("sae", f"best TopK autoencoder ({settings})", seconds, problem, codes, atoms, bias),
        _row("sae_refitted", "its codes refitted", seconds, problem, refitted, atoms, bias),
        *(
            _row(f"sae_{penalty}", f"its decoder, {penalty.upper()}", seconds, problem,
                 exact_codes(atoms, problem.X_id, l0, penalty, bias), atoms, bias)
            for penalty in ("l1", "mcp")
        ),
    ]  # fmt: skip


def _row(method, label, seconds, problem, codes, components, bias=0.0):
    return {
        "method": method, "label": label, "seconds": seconds, "mean_l0": np.count_nonzero(codes) / len(codes),
        "unexplained": unexplained_variance(
            problem.X_id, codes @ components + bias, mean=problem.X_train.mean(axis=0, dtype=np.float64)
        ),
    }  # fmt: skip


def show(rows: list[dict], problem) -> None:
    """Print the table of one sparsity, means over seeds."""
    n_seeds = len({row["seed"] for row in rows})
    title = (
        f"{problem.name}, mean L0 of {rows[0]['l0_wanted']}: {len(problem.X_train)} samples to learn from, "
        f"{len(problem.X_id)} held out, {problem.X_train.shape[1]} features, {problem.n_components} components"
        + (f", mean ± std of {n_seeds} seeds" if n_seeds > 1 else "")
    )
    body = []
    for method in dict.fromkeys(row["method"] for row in rows):
        part = [row for row in rows if row["method"] == method]
        cells = [part[0]["label"]]
        for key, digits_shown in (("unexplained", 4), ("times_sae", 2), ("mean_l0", 2), ("seconds", 1)):
            values = np.array([row[key] for row in part])
            spread = f" ± {values.std():.{digits_shown}f}" if n_seeds > 1 and key != "seconds" else ""
            cells.append(f"{values.mean():.{digits_shown}f}{spread}")
        body.append(cells)
    notes = [
        "unexplained: share of held-out variance; x SAE: times that of the autoencoder's own codes.",
        "L1, MCP: penalty of the exact codes, which are then refitted.",
        "The autoencoder is the best on held-out samples of "
        f"{1 + len(LEARNING_RATES) * len(EPOCHS)} trained; settings are those of the first seed, seconds its own.",
    ]
    print_table(title, ["", "unexplained", "x SAE", "L0", "seconds"], body, notes)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("interrupted")
