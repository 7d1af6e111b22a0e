"""Who finds concepts that depend on each other: in families, and of Zipfian frequencies?

Draws worlds as language models have them (`skcode.datasets.make_concept_world`, after SynthSAEBench, arXiv:2602.14687),
learns dictionaries of several widths, and judges atoms and codes by the true concepts on samples that none has seen.
Every dictionary is judged by exact codes, with the minimax concave penalty at the level of noise; autoencoders are also
judged by their own codes. Writes ``concept_worlds.json``, ``.csv`` and ``.png``.

    python benchmarks/concept_worlds.py                                     # S: 1,024 concepts in 160 dimensions
    python benchmarks/concept_worlds.py --seeds 0 1 2 --widths 256 1024 1536
    python benchmarks/concept_worlds.py --worlds M --widths 2048 --contestants learner matryoshka
    python benchmarks/concept_worlds.py --worlds scaled noise mean flat --contestants learner
    python benchmarks/concept_worlds.py --worlds published --widths 4096 --n-samples 700000 --contestants learner
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
import warnings
from functools import partial
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import threadpoolctl
from _harness import Parser, fail, natural, output_directory, print_table, writable, write_results
from sklearn.decomposition import MiniBatchDictionaryLearning
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from skcode import DictionaryLearner, FISTACoder, SparseAutoencoder
from skcode.datasets import make_concept_world
from skcode.metrics import absorption_scores, concept_scores, unexplained_variance

S = {"n_components": 1024, "n_features": 160, "n_trees": 8}
M = {"n_components": 2048, "n_features": 256, "n_trees": 16}
LARGE = {"n_components": 16_384, "n_features": 768, "n_trees": 128}
ALIKE = {"n_trees": 0, "exponent": 0.0, "most_frequent": 0.00716, "least_frequent": 0.00716, "correlation": 0.0}
WORLDS = {  # -> (what it is, samples to learn from, options of `ConceptWorld`)
    "S": ("1,024 concepts, 160 dimensions, 8 families of 85", 60_000, S),
    "M": ("2,048 concepts, 256 dimensions, 16 families of 85", 100_000, M),
    "published": ("16,384 concepts, 768 dimensions, 128 families of 85", 700_000, LARGE),
    "scaled": ("S, children scaled by their parents", 60_000, S | {"scaled_by_parent": True}),
    "noise": ("S with noise at 20 dB", 60_000, S | {"noise": 0.096}),
    "mean": ("S with a mean of norm 10", 60_000, S | {"mean_norm": 10.0}),
    "flat": ("S without families, all concepts alike", 60_000, S | ALIKE),
}
PUBLISHED = {  # F1 with 4,096 latents, 200 million samples (arXiv:2602.14687 and what was built on it)
    "Matryoshka": 0.88, "logistic probes": 0.97, "LISTA-Matryoshka": 0.97, "the same, pruned": 0.989,
}  # fmt: skip
PUBLISHED_WIDTH = 4096
OFTEN = 100  # firings from which a concept counts as one to be found,
FOUND = 0.9  # by this cosine
PROBED = 200  # concepts
FALLING = 0.8  # share of the steps over which the number of active latents falls from four times as many
SHARES = np.geomspace(0.25, 4, 9)  # of the penalty, for F1 along L0
BINS = 8  # of frequencies
COLOURS = {
    "learner": "#d55e00", "reconstruction": "#e69f00", "sklearn": "#009e73", "random": "0.6", "truth": "#222222",
    "ceiling": "0.35", "matryoshka": "#0072b2", "batchtopk": "#56b4e9", "topk": "#cc79a7", "jumprelu": "#8A5F00",
    "relu": "#F0C566", "gated": "#999933", "probes": "#117733", "matryoshka_falling": "#332288",
    "batchtopk_falling": "#88ccee",
}  # fmt: skip


class Dictionary(NamedTuple):
    """What was learned."""

    components: np.ndarray
    offset: np.ndarray
    read: object = None  # an encoder's own way from samples to codes


def learner(data, n, l0, seed, n_jobs, aim="concepts"):
    model = DictionaryLearner(n, aim=aim, offset=data.offset, random_state=seed, n_jobs=n_jobs).fit(data.X_train)
    return Dictionary(model.components_, model.offset_)


def autoencoder(data, n, l0, seed, n_jobs, activation, **settings):
    model = SparseAutoencoder(n, activation=activation, n_active=l0, random_state=seed, n_jobs=n_jobs, **settings)
    model.set_params(bias_init="zero" if data.offset is None else "mean", sparse_output=True).fit(data.X_train)
    return Dictionary(model.components_, model.offset_, model.transform)


def scikit_learn(data, n, l0, seed, n_jobs):
    offset = _mean_if_wanted(data)
    model = MiniBatchDictionaryLearning(
        n, alpha=0.056 * np.median(np.linalg.norm(data.X_train - offset, axis=1)), fit_algorithm="cd",
        positive_code=True, batch_size=256, max_iter=2, max_no_improvement=None, random_state=seed, n_jobs=n_jobs,
    ).fit(data.X_train - offset)  # fmt: skip
    return Dictionary(model.components_.astype(np.float32), offset)


def random_atoms(data, n, l0, seed, n_jobs):
    return Dictionary(_unit(np.random.RandomState(seed + 1).standard_normal((n, data.X_train.shape[1]))), data.mean)


def truth(data, n, l0, seed, n_jobs):
    return Dictionary(data.dictionary[most_energetic(data, n)], data.mean)


def ceiling(data, n, l0, seed, n_jobs):
    """Return the best atoms for the true codes of as many concepts: they take up the mean of what they leave out."""
    codes = data.codes_train[:, most_energetic(data, n)].astype(np.float64)
    gram = (codes.T @ codes).toarray()
    gram[np.diag_indices_from(gram)] += 1e-6 * gram.trace() / len(gram)
    return Dictionary(_unit(np.linalg.solve(gram, codes.T @ (data.X_train - data.mean))), data.mean)


CONTESTANTS = {  # -> (label, how it learns)
    "learner": ("skcode DictionaryLearner", learner),
    "reconstruction": ('the same, aim="reconstruction"', partial(learner, aim="reconstruction")),
    **{name: (f"SparseAutoencoder, {label}", partial(autoencoder, activation=name)) for name, label in {
        "matryoshka": "Matryoshka", "batchtopk": "BatchTopK", "topk": "TopK", "jumprelu": "JumpReLU", "relu": "ReLU",
        "gated": "gated",
    }.items()},
    **{f"{name}_falling": (f"SparseAutoencoder, {label}, L0 falling",
                           partial(autoencoder, activation=name, sparsity_warmup=FALLING))
       for name, label in {"matryoshka": "Matryoshka", "batchtopk": "BatchTopK"}.items()},
    "sklearn": ("MiniBatchDictionaryLearning, 2 passes", scikit_learn),
    "random": ("random atoms", random_atoms),
    "truth": ("true directions", truth),
    "ceiling": ("best atoms for true codes", ceiling),
}  # fmt: skip


def _unit(atoms):
    return (atoms / np.maximum(np.linalg.norm(atoms, axis=1, keepdims=True), 1e-12)).astype(np.float32)


def _mean_if_wanted(data):
    return data.X_train.mean(axis=0) if data.offset == "mean" else np.zeros(data.X_train.shape[1], np.float32)


def most_energetic(data, n):
    """Return the numbers of the concepts that explain most, as many as there are atoms, or all."""
    return np.sort(np.argsort(-data.codes_train.power(2).sum(axis=0), kind="stable")[:n])


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    directory = output_directory(options.output)
    endings = ("json", "csv", "png") if options.figure else ("json", "csv")
    paths = writable(directory, [f"concept_worlds.{ending}" for ending in endings])
    rows = []
    with threadpoolctl.threadpool_limits(options.n_jobs), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "all codes of")  # a penalty along the path may be too large
        for name in options.worlds:
            for seed in options.seeds:
                data = world(name, seed, options)
                if "probes" in options.contestants:
                    rows.append(common(name, seed, None, "probes", "logistic probes") | probes(data, seed))
                    show(rows[-1:], data)
                for width in options.widths or [len(data.dictionary) // 4, len(data.dictionary)]:
                    found = [row for each in options.contestants if each != "probes"
                             for row in judged(each, name, data, width, seed, options)]  # fmt: skip
                    show(found, data)
                    rows += found
    write_results(*paths[:2], {name: value for name, value in vars(options).items() if name != "output"}, rows)
    if options.figure:
        draw(rows, paths[-1])
    print("\nWritten: " + ", ".join(str(path) for path in paths))


def parse(arguments):
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told = "; ".join(f"{name} ({what[0]})" for name, what in WORLDS.items())
    parser.add_argument("--worlds", nargs="+", default=["S"], choices=WORLDS, metavar="WORLD",
                        help=f"any of: {told} (default: S)")  # fmt: skip
    names = [*CONTESTANTS, "probes"]
    parser.add_argument("--contestants", nargs="+", default=names, choices=names, metavar="CONTESTANT",
                        help="any of: " + ", ".join(names) + " (default: all)")  # fmt: skip
    parser.add_argument("--widths", type=natural(2), nargs="+", default=None, metavar="N",
                        help="atoms (default: a quarter of the concepts, and as many)")  # fmt: skip
    parser.add_argument("--n-components", type=natural(8), default=None, metavar="N", help="concepts, if not as named")
    parser.add_argument("--n-features", type=natural(2), default=None, metavar="M", help="dimensions, if not as named")
    parser.add_argument("--n-samples", type=natural(100), default=None, metavar="N", help="samples to learn from")
    parser.add_argument("--n-test", type=natural(20), default=10_000, metavar="N",
                        help="samples to judge by (default: 10,000)")  # fmt: skip
    parser.add_argument("--l0", type=natural(1), default=None, metavar="L0",
                        help="of autoencoders (default: mean number of those concepts that fire)")  # fmt: skip
    parser.add_argument("--seeds", type=natural(0, 2**31), nargs="+", default=[0], metavar="SEED", help="default: 0")
    parser.add_argument("--n-jobs", type=natural(1), default=min(2, os.cpu_count() or 1), metavar="N",
                        help="threads (default: one per core, at most 2)")  # fmt: skip
    parser.add_argument("--output", default=".", metavar="DIR", help="where results are written (default: here)")
    options = parser.parse_args(arguments)
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        print("no figure: matplotlib is not installed", file=sys.stderr)
    options.figure = "matplotlib" in sys.modules and options.contestants != ["probes"]
    return options


def world(name, seed, options):
    _, n_samples, settings = WORLDS[name]
    own = {"n_components": options.n_components, "n_features": options.n_features}
    settings = settings | {key: value for key, value in own.items() if value is not None}
    try:
        data = make_concept_world(options.n_samples or n_samples, options.n_test, random_state=seed, **settings)
    except ValueError as error:
        fail(str(error))
    data.offset = "mean" if data.mean.any() else None
    data.firings = np.bincount(data.codes_train.indices, minlength=len(data.dictionary))
    return data


def common(name, seed, width, contestant, label):
    return {"world": name, "seed": seed, "width": width, "contestant": contestant, "label": label}


def judged(contestant, name, data, width, seed, options):
    """Return a row for exact codes on what a contestant has learned, and one for its own codes."""
    label, learn = CONTESTANTS[contestant]
    fires = data.codes_train[:, most_energetic(data, width)].nnz / len(data.X_train)
    start = time.perf_counter()
    found = learn(data, width, options.l0 or max(round(fires), 1), seed, options.n_jobs)
    seconds = time.perf_counter() - start
    gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    row = common(name, seed, width, contestant, label) | {"seconds": seconds, "peak_gigabytes": gigabytes}
    row |= directions(data, found.components)
    coder = FISTACoder(
        found.components, alpha="noise", penalty="mcp", offset=found.offset, tol=1e-3, sparse_output=True,
        n_jobs=options.n_jobs,
    ).fit(data.X_train)  # fmt: skip
    rows = [row | {"codes": "exact", "alpha": coder.alpha_} | scores(data, found, coder.transform(data.X_test))]
    path = []
    for share in SHARES:
        other = FISTACoder(**coder.get_params() | {"alpha": share * coder.alpha_}).fit(data.X_train[:100])
        told = scores(data, found, other.transform(data.X_test))
        path.append((share * coder.alpha_, told["l0"], told["f1"]))
    rows[0] |= {"path": path, "best_f1": max(f1 for *_, f1 in path)}
    if found.read is not None:
        rows.append(row | {"codes": "own", "alpha": None} | scores(data, found, found.read(data.X_test)))
    return rows


def directions(data, components):
    """Return which concepts were found, by frequency, and what atoms consist of."""
    atoms = _unit(components[components.any(axis=1)])
    best = np.zeros(len(data.dictionary))
    for start in range(0, len(atoms), 1024):
        best = np.maximum(best, np.abs(atoms[start : start + 1024] @ data.dictionary.T).max(axis=0))
    is_found, often = best > FOUND, data.firings >= OFTEN
    order = np.argsort(data.firings, kind="stable")
    return {
        "used": len(atoms),
        "found_often": float(is_found[often].mean()) if often.any() else float("nan"),
        "found_by_frequency": [float(is_found[part].mean()) for part in np.array_split(order, BINS)],
        "frequencies": [float(data.frequencies[part].mean()) for part in np.array_split(order, BINS)],
        "composition": composition(data, atoms),
    }


def composition(data, atoms):
    """Return the mean absolute weight of an atom's concept, its ancestors, its children, siblings, and the rest."""
    weights = np.zeros(5)
    for atom in atoms[:2000]:
        concept = int(np.abs(data.dictionary @ atom).argmax())
        elders, at = [], concept
        while data.parents[at] >= 0:
            at = data.parents[at]
            elders.append(at)
        children = np.flatnonzero(data.parents == concept)
        alike = (data.parents == data.parents[concept]) & (np.arange(len(data.parents)) != concept)
        siblings = np.flatnonzero(alike & (data.parents[concept] >= 0))
        groups = [[concept], elders, children, siblings]
        family = np.concatenate(groups).astype(int)
        found = np.linalg.lstsq(data.dictionary[family].T, atom, rcond=None)[0]
        ends = np.cumsum([len(group) for group in groups])[:-1]
        weights[:4] += [np.abs(part).mean() if len(part) else 0.0 for part in np.split(found, ends)]
        weights[4] += np.linalg.norm(atom - found @ data.dictionary[family])
    return (weights / max(len(atoms[:2000]), 1)).tolist()


def scores(data, found, codes):
    """Return what codes on samples to judge by are worth."""
    codes, X, true = sp.csr_array(codes), data.X_test, data.codes_test
    told = concept_scores(data.dictionary, found.components, true, codes)
    names = ("f1", "precision", "recall", "chance_f1", "uniqueness", "matched_cosine", "chance_cosine")
    row = {name: float(told[name]) for name in names} | {"l0": codes.nnz / len(X)}
    row["unexplained"] = float(unexplained_variance(X, codes @ found.components + found.offset))
    if (data.parents >= 0).any():
        told = absorption_scores(data.dictionary, found.components, true, codes, data.parents)
        row |= {"absorbed": float(told.absorbed), "ancestor_weight": float(told.ancestor_weight)}
    return row


def probes(data, seed):
    """Return precision, recall and F1 of a logistic regression for each of some concepts."""
    rng = np.random.RandomState(seed)
    concepts = rng.choice(np.flatnonzero(data.firings >= OFTEN), min(PROBED, np.sum(data.firings >= OFTEN)), False)
    few = slice(20_000)
    start, found = time.perf_counter(), []
    for concept in concepts:
        y = np.asarray(data.codes_train[few, [concept]].toarray()).ravel() != 0
        if not 0 < y.sum() < len(y):
            continue
        said = LogisticRegression(max_iter=200, C=1.0).fit(data.X_train[few], y).predict(data.X_test)
        fires = np.asarray(data.codes_test[:, [concept]].toarray()).ravel() != 0
        both = np.sum(said & fires)
        found.append(
            (both / max(said.sum(), 1), both / max(fires.sum(), 1), 2 * both / max(said.sum() + fires.sum(), 1))
        )
    precision, recall, f1 = np.mean(found, axis=0) if found else (float("nan"),) * 3
    return {
        "codes": "labels",
        "seconds": time.perf_counter() - start,
        "f1": f1,
        "precision": precision,
        "recall": recall,
    }


def show(rows, data):
    if not rows:
        return
    first = rows[0]
    columns = ["", "codes", "F1", "P", "R", "cosine", "unique", "found", "absorbed", "L0", "unexpl.", "alpha", "best"]
    columns += ["s", "GB"]

    def cell(row, name, digits=3):
        value = row.get(name)
        return "-" if value is None or value != value else f"{value:.{digits}f}"

    table = [
        [row["label"], row["codes"], *(cell(row, name) for name in (
            "f1", "precision", "recall", "matched_cosine", "uniqueness", "found_often", "absorbed")),
         cell(row, "l0", 1), cell(row, "unexplained"), cell(row, "alpha", 2), cell(row, "best_f1"),
         cell(row, "seconds", 0), cell(row, "peak_gigabytes", 1)]
        for row in rows
    ]  # fmt: skip
    atoms = f"{first['width']} atoms" if first["width"] else f"{PROBED} concepts"
    print_table(
        f"World {first['world']}: {len(data.dictionary)} concepts in {data.dictionary.shape[1]} dimensions, "
        f"{len(data.X_train)} samples; {atoms}, seed {first['seed']}",
        columns, table,
        [
            f"found: share of the concepts of {OFTEN} firings or more with an atom of cosine above {FOUND}; chance F1 "
            f"{cell(first, 'chance_f1')}, chance cosine {cell(first, 'chance_cosine')}; best: F1 over penalties"
        ],
    )  # fmt: skip
    sys.stdout.flush()


def draw(rows, path):
    import matplotlib.pyplot as plt

    rows = [row for row in rows if row["world"] == rows[0]["world"]]
    learned = [row for row in rows if row["width"] is not None]
    widths = sorted({row["width"] for row in learned})
    figure, axes = plt.subplots(2, 3, figsize=(15, 8.5), layout="constrained")
    for ax, name, label in ((axes[0, 0], "f1", "F1"), (axes[0, 1], "matched_cosine", "matched cosine")):
        for contestant in dict.fromkeys(row["contestant"] for row in learned):
            for codes, style in (("exact", "o-"), ("own", "s--")):
                if codes == "own" and name != "f1":
                    continue
                mine = [row for row in learned if row["contestant"] == contestant and row["codes"] == codes]
                if not mine:
                    continue
                means = [np.mean([row[name] for row in mine if row["width"] == width]) for width in widths]
                label_of = CONTESTANTS[contestant][0] + ("" if codes == "exact" else ", own codes")
                ax.plot(widths, means, style, color=COLOURS[contestant], ms=5, lw=1.5, label=label_of)
        ax.set(xscale="log", xlabel="atoms", ylabel=label, ylim=(0, 1.03))
        ax.set_xticks(widths, [f"{width:,}" for width in widths], minor=False)
        ax.minorticks_off()
    for row in rows:
        if row["contestant"] == "probes":
            axes[0, 0].axhline(row["f1"], color=COLOURS["probes"], ls=":", lw=1)
    if rows[0]["world"] == "published":
        for name, f1 in PUBLISHED.items():
            axes[0, 0].plot(PUBLISHED_WIDTH, f1, "k*", ms=8)
            axes[0, 0].annotate(name, (PUBLISHED_WIDTH, f1), textcoords="offset points", xytext=(8, -3), fontsize=7)
    axes[0, 1].legend(fontsize=7, loc="lower right")
    exact = [row for row in learned if row["codes"] == "exact" and row["seed"] == learned[0]["seed"]]
    for row in exact:
        if row["width"] == widths[0] and "path" in row:
            _, l0, f1 = zip(*row["path"], strict=True)
            axes[0, 2].plot(l0, f1, "o-", ms=3, color=COLOURS[row["contestant"]])
            axes[0, 2].plot(row["l0"], row["f1"], "*", ms=11, color=COLOURS[row["contestant"]])
        if row["width"] == widths[-1]:
            axes[1, 0].plot(row["frequencies"], row["found_by_frequency"], "o-", ms=4, color=COLOURS[row["contestant"]])
    axes[0, 2].set(xscale="log", xlabel="mean L0 of exact codes", ylabel="F1", ylim=(0, 1.03),
                   title=f"{widths[0]:,} atoms; star: alpha=\"noise\"")  # fmt: skip
    axes[1, 0].set(xscale="log", xlabel="frequency of a concept", ylabel="share found", ylim=(-0.03, 1.03),
                   title=f"{widths[-1]:,} atoms")  # fmt: skip
    names = ["own", "elders", "children", "siblings", "rest"]
    for ax, width in ((axes[1, 1], widths[0]), (axes[1, 2], widths[-1])):
        bars = [row for row in exact if row["width"] == width]
        for k, row in enumerate(bars):
            at = np.arange(5) + 0.8 * (k + 0.5) / len(bars) - 0.4
            ax.bar(at, row["composition"], 0.8 / len(bars), color=COLOURS[row["contestant"]])
        ax.set(title=f"what atoms consist of, {width:,} atoms", ylabel="mean absolute weight", ylim=(0, 1.03))
        ax.set_xticks(range(5), names)
    figure.suptitle(f"World {rows[0]['world']}: {WORLDS[rows[0]['world']][0]}")
    figure.savefig(path, dpi=130)
    plt.close(figure)


if __name__ == "__main__":
    main()
