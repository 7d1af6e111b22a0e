"""Who finds the dictionary behind samples, from how many of them, and how fast?

Learns dictionaries of the paper's protocol ("Stop Probing, Start Coding", arXiv:2603.28744) and of harder ones with
skcode, scikit-learn, SPAMS and an autoencoder, and judges them by the true dictionary and on samples that none has
seen. Writes ``dictionary_recovery.json``, ``.csv`` and ``.png``.

    python benchmarks/dictionary_recovery.py                              # n=1000 from 2,500 samples, the paper's
    python benchmarks/dictionary_recovery.py --n-samples 1500 2000 2500 5000 10000 --seeds 0 1 2
    python benchmarks/dictionary_recovery.py --n-components 5000 --n-samples 50000 --contestants skcode oracle
    python benchmarks/dictionary_recovery.py --problems noise zipf sparsity signed wide --contestants skcode

Times are also given in epochs of the published TopK autoencoder of the same width on the same samples, in torch where
it is installed, measured before and after each fit; the paper trains 500. SPAMS (spams-bin) and torch are in the extra
``peers``; what is not installed is left out.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import itertools
import os
import resource
import sys
import warnings
from functools import partial
from pathlib import Path

import _published
import numpy as np
import threadpoolctl
from _dictionary import ALPHA, CONTESTANTS, PROBLEMS, ceiling, fewest_samples, seconds_of_an_epoch
from _harness import Parser, fail, natural, output_directory, print_table, writable, write_results
from sklearn.exceptions import ConvergenceWarning

from skcode import FISTACoder
from skcode.metrics import match_dictionaries, mcc_score

PUBLISHED_NAMES = {"alternating": "dl_fista", "sae": "sae_topk", "oracle": "oracle"}
PUBLISHED_RECOVERY = {1000: 0.52, 5000: 0.0, 10_000: 0.0}  # of DL-FISTA from 2,500 samples, the same paper
LEAST_USED = 50
USES = 1, 5, 10, 15, 20, 30, 50, 100, 200, 10**9
SHORTEST_BUDGET = 60.0
COLOURS = {
    "skcode": "#d55e00", "stream": "#e69f00", "alternating": "#0072b2", "sklearn": "#009e73", "spams": "#cc79a7",
    "sae": "#56b4e9", "oracle": "#222222",
}  # fmt: skip
LABELS = {name: contestant.label for name, contestant in CONTESTANTS.items()} | {"oracle": "the true dictionary"}
NEEDS = {"spams": "spams"}
PEERS = ("spams-bin", "torch")


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    directory = output_directory(options.output)
    if importlib.util.find_spec("matplotlib") is None:
        fail('drawing needs matplotlib: python -m pip install ".[benchmarks]"')
    paths = writable(directory, [f"dictionary_recovery.{ending}" for ending in ("json", "csv", "png")])
    rows = []
    with threadpoolctl.threadpool_limits(options.n_jobs), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warm_up(options)
        for name in options.problems:
            for n_components in options.n_components:
                for n_samples in options.n_samples or [default_samples(name, n_components)]:
                    found = [
                        row for seed in options.seeds for row in race(name, n_components, n_samples, seed, options)
                    ]
                    show(found)
                    rows += found
    settings = {name: value for name, value in vars(options).items() if name != "output"}
    peers = {each.name: each.version for each in importlib.metadata.distributions() if each.name in PEERS}
    write_results(*paths[:2], settings | {"peers": peers}, rows)
    draw(rows, paths[-1])
    print("\nWritten: " + ", ".join(str(path) for path in paths))


def parse(arguments):
    names = [*CONTESTANTS, "oracle"]
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", nargs="+", default=["paper"], choices=PROBLEMS, metavar="PROBLEM",
                        help="any of: " + described({name: PROBLEMS[name][0] for name in PROBLEMS})
                        + " (default: paper)")  # fmt: skip
    parser.add_argument("--contestants", nargs="+", default=names, choices=names, metavar="CONTESTANT",
                        help="any of: " + described(LABELS) + " (default: all, five minutes a seed at the "
                        "default size; skcode and oracle alone take half a minute)")  # fmt: skip
    parser.add_argument("--n-components", type=natural(2), nargs="+", default=[1000], metavar="N",
                        help="true atoms (default: 1000)")  # fmt: skip
    parser.add_argument("--n-samples", type=natural(20), nargs="+", default=None, metavar="N",
                        help="samples to learn from (default: 2500; 20 per atom of harder problems)")  # fmt: skip
    parser.add_argument("--n-active", type=natural(1), default=10, metavar="K",
                        help="active concepts in a sample (default: 10)")  # fmt: skip
    parser.add_argument("--seeds", type=natural(0, 2**31), nargs="+", default=[0], metavar="SEED", help="default: 0")
    parser.add_argument("--budget", type=float, default=None, metavar="SECONDS",
                        help="end of each fit; by default, skcode takes its time and the others get as long, at least "
                        "a minute")  # fmt: skip
    parser.add_argument("--n-jobs", type=natural(1), default=min(2, os.cpu_count() or 1), metavar="N",
                        help="threads (default: one per core, at most 2)")  # fmt: skip
    parser.add_argument("--output", default=".", metavar="DIR", help="where results are written (default: here)")
    options = parser.parse_args(arguments)
    if options.budget is not None and not options.budget > 0:
        fail(f"--budget: must be above 0 seconds, got {options.budget:g}")
    if options.n_active > min(options.n_components):
        fail(f"--n-active {options.n_active}: must be at most the {min(options.n_components)} components")
    options.contestants = [name for name in names if name in options.contestants]
    for name in [name for name in options.contestants if name in NEEDS and not importlib.util.find_spec(NEEDS[name])]:
        print(f"{name} is left out: {NEEDS[name]} is not installed", file=sys.stderr)
        options.contestants.remove(name)
    if not options.contestants:
        fail('--contestants: none of them is installed: python -m pip install ".[peers]"')
    return options


def described(names: dict[str, str]) -> str:
    return "; ".join(f"{name} ({what})" for name, what in names.items()).replace("%", "%%")


def default_samples(problem: str, n_components: int) -> int:
    return 2500 if problem == "paper" else 20 * n_components


def warm_up(options) -> None:
    """Compile every kernel (or load it from the cache) before anything is timed."""
    for name in dict.fromkeys("signed" if name == "signed" else "paper" for name in options.problems):
        toy = PROBLEMS[name][1](0, 20, 3, 300)
        for contestant in options.contestants:
            if contestant in CONTESTANTS and (toy.positive or CONTESTANTS[contestant].signed):
                CONTESTANTS[contestant].learn(toy, 0, options.n_jobs, 0.2)
        FISTACoder(toy.dictionary, positive=toy.positive, debias=True, n_jobs=options.n_jobs).fit(toy.X).transform(
            toy.X
        )
        seconds_of_an_epoch(toy, options.n_jobs)


def race(name: str, n_components: int, n_samples: int, seed: int, options) -> list[dict]:
    """Let every contestant learn from the same samples; return a row for each."""
    problem = PROBLEMS[name][1](seed, n_components, options.n_active, n_samples)
    uses = np.bincount(problem.codes.indices, minlength=n_components)
    cosine, share = ceiling(problem.codes)
    n_features = problem.X.shape[1]
    common = {
        "problem": name, "n_components": n_components, "n_features": n_features, "n_active": options.n_active,
        "n_samples": n_samples, "seed": seed, "ceiling_cosine": cosine, "ceiling_recovered": share,
        "fewest_samples": fewest_samples(n_components, n_features, options.n_active),
    }  # fmt: skip
    rows, longest = [], SHORTEST_BUDGET
    before = seconds_of_an_epoch(problem, options.n_jobs)
    for contestant in options.contestants:
        if contestant == "oracle":
            kept, passes = [(0.0, problem.dictionary)], None
        elif not (problem.positive or CONTESTANTS[contestant].signed):
            continue
        else:
            budget = options.budget or (np.inf if contestant == "skcode" else longest)
            print(f"{name}, n={n_components}, {n_samples} samples, seed {seed}: {LABELS[contestant]}",
                  file=sys.stderr, flush=True)  # fmt: skip
            kept, passes = CONTESTANTS[contestant].learn(problem, seed, options.n_jobs, budget)
        seconds = kept[-1][0]
        if contestant == "skcode":
            longest = max(longest, seconds)
        row = common | {"contestant": contestant, "seconds": seconds, "passes": passes, "peak_mb": peak_megabytes()}
        if seconds:
            after = seconds_of_an_epoch(problem, options.n_jobs)
            row |= {"epoch_seconds": (before + after) / 2, "epochs": 2 * seconds / (before + after)}
            before = after
        rows.append(row | judge(problem, kept, uses, options.n_jobs))
    return rows


def peak_megabytes() -> float:
    """Return the most memory that this process has taken so far: of a row, if no earlier one took more."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def judge(problem, kept, uses, n_jobs) -> dict:
    """Return how near a dictionary is to the true one, and what its codes are worth on new samples."""
    components = kept[-1][1]
    cosines = true_cosines(problem, components)
    often = uses >= LEAST_USED
    coder = FISTACoder(components, alpha=ALPHA, positive=problem.positive, sparse_output=True, n_jobs=n_jobs)
    codes = coder.fit(problem.X_test).transform(problem.X_test)
    residual = problem.X_test - codes @ coder.components_
    row = {
        "recovered": float((cosines > 0.9).mean()),
        "recovered_often_used": float((cosines[often] > 0.9).mean()) if often.any() else None,
        "often_used": int(often.sum()),
        "mean_cosine": float(cosines.mean()),
        "zero_atoms": int((~components.any(axis=1)).sum()),
        "objective": float(0.5 * (residual**2).sum(axis=1).mean() + ALPHA * np.abs(codes).sum() / len(residual)),
        "mean_l0": codes.nnz / len(residual),
        "trajectory": [[seconds, share_near(problem, part)] for seconds, part in thin(kept)],
        "by_uses": [
            [float(uses[some].mean()), int(some.sum()), float((cosines[some] > 0.9).mean())]
            for low, high in itertools.pairwise(USES)
            if (some := (uses >= low) & (uses < high)).any()
        ],
    }
    if problem.X_ood is not None:
        found = coder.transform(problem.X_ood)
        row["mcc_ood"] = mcc_score(problem.codes_ood, found, **_published.MCC_OOD)
        row["mcc_ood_adjusted"] = mcc_score(problem.codes_ood, found, adjusted=True)
    return row


def true_cosines(problem, components) -> np.ndarray:
    """Return the cosine of each true atom with the learned one that it is matched with."""
    match = match_dictionaries(problem.dictionary, components, n_draws=0)
    cosines = np.zeros(len(problem.dictionary))
    cosines[match.pairs[:, 0]] = match.cosines
    return cosines


def share_near(problem, components) -> float:
    """Return the share of true atoms with a cosine above 0.9 to some atom: next to "recovered", and cheap."""
    return float((np.abs(problem.dictionary @ components.T).max(axis=1) > 0.9).mean())


def thin(kept: list, most: int = 40) -> list:
    """Return at most so many of the dictionaries kept, evenly spaced and the last among them."""
    places = np.unique(np.linspace(0, len(kept) - 1, most).round().astype(int))
    return [kept[place] for place in places]


def published_mcc(row: dict) -> float | None:
    name, sizes = PUBLISHED_NAMES.get(row["contestant"]), (
        row["n_components"], row["n_active"], 2 * row["n_samples"],
    )  # fmt: skip
    if row["problem"] != "paper" or name is None:
        return None
    mean, _ = _published.results(*sizes).get((name, "mcc_ood"), (None, None))
    return mean


def show(rows: list[dict]) -> None:
    """Print the table of one problem, means over seeds."""
    first = rows[0]
    n_seeds = len({row["seed"] for row in rows})
    paper = first["problem"] == "paper"
    title = (
        f"{PROBLEMS[first['problem']][0]}: {first['n_components']} atoms in {first['n_features']} dimensions from "
        f"{first['n_samples']} samples" + (f", mean ± std of {n_seeds} seeds" if n_seeds > 1 else "")
    )
    columns = {"recovered": ("recovered", 3), f"of {LEAST_USED}+ uses": ("recovered_often_used", 3)}
    columns |= {"cosine": ("mean_cosine", 3)}
    if paper:
        columns |= {"MCC-OOD": ("mcc_ood", 3), "adjusted": ("mcc_ood_adjusted", 3)}
    columns |= {"objective": ("objective", 3), "L0": ("mean_l0", 1), "zero": ("zero_atoms", 0)}
    columns |= {"passes": ("passes", 0), "seconds": ("seconds", 1), "epochs": ("epochs", 0)}

    def cell(contestant, key, digits):
        part = [row for row in rows if row["contestant"] == contestant]
        values = np.array([row[key] for row in part if row.get(key) is not None])
        if not len(values):
            return "-"
        text = f"{values.mean():.{digits}f}" + (f" ± {values.std():.{digits}f}" if n_seeds > 1 else "")
        published = published_mcc(part[0]) if key == "mcc_ood" else None
        return text + (f" ({published:.3f})" if published is not None else "")

    unit = "torch's" if importlib.util.find_spec("torch") else "ours, for want of torch"
    notes = [
        "recovered: share of true atoms matched with a cosine above 0.9; then of those that as many samples use.",
        f"objective, L0: of exact codes, alpha={ALPHA:g}, on samples that none has seen, without noise.",
        *(["MCC-OOD: published variant" + (", in brackets the published mean, of 500 epochs or at most 1000 rounds."
                                           if any(published_mcc(row) is not None for row in rows) else "."),
          "adjusted: plain MCC out of distribution, corrected for chance."]
          if paper else []),
        f"epochs: seconds in epochs of the published TopK autoencoder, {unit}; one takes "
        f"{np.median([row['epoch_seconds'] for row in rows if 'epoch_seconds' in row] or [np.nan]):.3g} s.",
        f"Equations for all unknowns from {first['fewest_samples']} samples; from the true codes, least squares gives "
        f"a mean cosine of {first['ceiling_cosine']:.3f} and recovers {first['ceiling_recovered']:.3f}.",
    ]  # fmt: skip
    names = list(dict.fromkeys(row["contestant"] for row in rows))
    body = [[LABELS[name], *(cell(name, *column) for column in columns.values())] for name in names]
    print_table(title, ["", *columns], body, notes)


def draw(rows: list[dict], path: Path) -> None:
    """Draw recovery against time, against samples and against uses, as far as there is something to see."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    paper = [row for row in rows if row["problem"] == "paper"]
    other = [row for row in rows if row["problem"] != "paper"]
    largest = {row["n_components"]: row["n_samples"] for row in sorted(paper, key=lambda row: row["n_samples"])}
    panels = [(_time_panel, [row for row in paper if (row["n_components"], row["n_samples"]) == size])
              for size in largest.items()]  # fmt: skip
    if paper:
        panels += [(partial(_samples_panel, key=key), paper) for key in ("recovered", "mcc_ood")]
    if other:
        panels.append((_uses_panel, other))
    figure, axes = plt.subplots(1, len(panels), figsize=(5.4 * len(panels), 4), squeeze=False, layout="constrained")
    for axis, (panel, part) in zip(axes[0], panels, strict=True):
        panel(axis, part)
        axis.set(ylim=(-0.03, 1.03))
        axis.grid(color="#ececec")
        axis.set_axisbelow(True)
        axis.tick_params(which="both", length=0)
        axis.spines[["top", "right", "left"]].set_visible(False)
        axis.spines["bottom"].set_color("#b5b5b5")
    figure.savefig(path, dpi=160)
    plt.close(figure)


def _time_panel(axis, rows):
    for row in rows:
        if row["contestant"] != "oracle":
            colour, unit = COLOURS[row["contestant"]], row["epoch_seconds"]
            times, shares = np.array(row["trajectory"]).T
            axis.plot(times / unit, shares, color=colour, lw=1.2, alpha=0.8)
            label = LABELS[row["contestant"]] if row["seed"] == rows[0]["seed"] else None
            axis.plot(times[-1] / unit, shares[-1], "o", ms=6, color=colour, label=label)
    axis.set(xscale="log", xlabel="time, in epochs of the published autoencoder",
             ylabel="share of true atoms with a cosine above 0.9")  # fmt: skip
    _plain_ticks(axis)
    axis.set_title(f"{rows[0]['n_components']} atoms from {rows[0]['n_samples']} samples", fontsize=11, loc="left")
    if axis.get_legend_handles_labels()[0]:
        axis.legend(frameon=False, fontsize=8.5)


def _samples_panel(axis, rows, key):
    published = {
        n: _published_points(n, rows[0]["n_active"], key) for n in dict.fromkeys(r["n_components"] for r in rows)
    }
    for n in published:
        part = [row for row in rows if row["n_components"] == n]
        fade = 1.0 if n == rows[0]["n_components"] else 0.5
        for contestant in dict.fromkeys(row["contestant"] for row in part):
            if contestant == "oracle" and key == "recovered":
                continue
            sizes, values = _means(part, contestant, key)
            axis.plot(sizes / n, values, "o-", ms=5, lw=1.2, color=COLOURS[contestant], alpha=fade,
                      label=f"{LABELS[contestant]}, n={n}")  # fmt: skip
        if key == "recovered":
            sizes, values = _means(part, part[0]["contestant"], "ceiling_recovered")
            axis.plot(sizes / n, values, "--", marker="_", ms=9, lw=1, color="#222222", alpha=fade)
        axis.axvline(part[0]["fewest_samples"] / n, color="#222222", lw=1, ls=":", alpha=fade)
        if published[n] is not None:
            axis.plot(2500 / n, published[n], "x", ms=8, mew=2, color=COLOURS["alternating"])
            to_the_left = 2500 / n > 0.7 * max(row["n_samples"] / row["n_components"] for row in rows)
            axis.annotate(f"DL-FISTA published, n={n}", (2500 / n, published[n]), xytext=(-8 if to_the_left else 8, 3),
                          textcoords="offset points", ha="right" if to_the_left else "left", fontsize=8.5)  # fmt: skip
    axis.set(xscale="log", xlabel="samples for each atom; dotted: equations for all unknowns")
    _plain_ticks(axis)
    if key == "recovered":
        axis.set_title("Recovery against samples; dashed: from the true codes", fontsize=11, loc="left")
        axis.set_ylabel("share of true atoms recovered")
    else:
        axis.set_title("Codes on new combinations against samples", fontsize=11, loc="left")
        axis.set_ylabel("MCC out of distribution")
    if axis.get_legend_handles_labels()[0]:
        axis.legend(frameon=False, fontsize=8)


def _means(rows, contestant, key):
    by_size = {}
    for row in rows:
        if row["contestant"] == contestant and row.get(key) is not None:
            by_size.setdefault(row["n_samples"], []).append(row[key])
    return np.array(sorted(by_size)), np.array([np.mean(by_size[size]) for size in sorted(by_size)])


def _published_points(n_components, n_active, key):
    if key == "mcc_ood":
        row = {"problem": "paper", "contestant": "alternating", "n_samples": 2500}
        return published_mcc(row | {"n_components": n_components, "n_active": n_active})
    return PUBLISHED_RECOVERY.get(n_components) if n_active == 10 else None


def _uses_panel(axis, rows):
    markers = dict(zip([name for name in PROBLEMS if name != "paper"], "osD^v", strict=True))
    rows = [row for row in rows if row["contestant"] != "oracle"]
    several = {key: len({row[key] for row in rows}) > 1 for key in ("contestant", "n_samples")}
    seen = set()
    for row in rows:
        label = PROBLEMS[row["problem"]][0].partition(",")[0]
        label += f", {row['n_samples']} samples" if several["n_samples"] else ""
        label = f"{LABELS[row['contestant']]}: {label}" if several["contestant"] else label
        means, _, shares = zip(*row["by_uses"], strict=True)
        axis.plot(means, shares, marker=markers[row["problem"]], ms=5, lw=1.2, color=COLOURS[row["contestant"]],
                  alpha=0.7, label=None if label in seen else label)  # fmt: skip
        seen.add(label)
    axis.axvline(LEAST_USED, color="#222222", lw=1, ls="--")
    axis.set(xscale="log", xlabel="samples that use the atom", ylabel="share of true atoms recovered")
    _plain_ticks(axis)
    axis.set_title("Recovery against uses", fontsize=11, loc="left")
    axis.legend(frameon=False, fontsize=8, loc="lower right")


def _plain_ticks(axis):
    """Label a logarithmic axis 1, 2, 5, 10, 20, ..."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter(NullFormatter())


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("interrupted")
