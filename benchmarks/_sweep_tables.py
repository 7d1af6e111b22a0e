"""Tables and figures of the paper's sweeps: what was published beside what was measured."""

from __future__ import annotations

import csv
from collections import defaultdict
from itertools import product
from pathlib import Path
from typing import NamedTuple

import _published
import numpy as np
from _harness import print_table

LABELS = {
    "linear_probe": "linear probe",
    **{f"sae_{key}": f"SAE, {name}" for key, name in _published.SAE_NAMES.items()},
    "softplus_adam": "Softplus-Adam", "dl_fista": "DL-FISTA", "learner": "DictionaryLearner", "oracle": "oracle",
}  # fmt: skip
COLOURS = {
    "linear_probe": "0.45", "sae_relu": "#8A5F00", "sae_topk": "#E69F00", "sae_jumprelu": "#CC79A7",
    "sae_matching_pursuit": "#F0C566", "softplus_adam": "#56B4E9", "dl_fista": "#D55E00", "learner": "#009E73",
    "oracle": "black",
}  # fmt: skip
METRICS = {
    "": ("mcc_ood", "MCC"),
    "_adjusted": ("adjusted_mcc_ood", "adjusted MCC"),
    "_accuracy": ("accuracy_ood", "accuracy"),
}


class Axis(NamedTuple):
    """What a sweep varies, and the sizes that it keeps."""

    experiment: str
    size: str
    words: str
    kept: dict


AXES = {
    "latents": Axis("vary_latents", "n_components", "number of concepts", {"n_active": 10, "n_samples": 5000}),
    "samples": Axis("vary_samples", "n_samples", "number of samples", {"n_components": 100, "n_active": 10}),
    "sparsity": Axis("vary_sparsity", "n_active", "active concepts", {"n_components": 1000, "n_samples": 5000}),
}


class Line(NamedTuple):
    """One line of a table: a point of an experiment but for its sizes."""

    label: str
    experiment: str
    method: str
    setting: float | None = None


class Table(NamedTuple):
    """A table with a column for each size along an axis."""

    name: str
    title: str
    axis: Axis
    metric: str
    lines: list[Line]
    decimals: int = 3


def tables() -> list[Table]:
    """Return all tables, those of no results included."""
    found = []
    for sweep, axis in AXES.items():
        lines = [Line(label, axis.experiment, method) for method, label in LABELS.items()]
        for ending, (metric, name) in METRICS.items():
            found.append(Table(f"{sweep}{ending}", f"{name}, new combinations, by {axis.words}", axis, metric, lines))
    latents, saes = AXES["latents"], _published.SAE_NAMES.items()
    parts = [
        line
        for key, name in saes
        for line in (
            Line(f"{name}: its own codes", "vary_latents", f"sae_{key}"),
            Line(f"{name}: its supports, least squares", "support_refit", f"refit+{key}"),
            Line(f"{name}: FISTA on its decoder", "frozen_decoder", f"fista+{key}"),
            Line(f"{name}: the same, started from its codes", "frozen_decoder", f"refined+{key}"),
            Line(f"{name}: the same, atoms of norm 1", "dictionary_quality", f"unit_norms+{key}"),
            Line(f"{name}: the same, true norms", "dictionary_quality", f"true_norms+{key}"),
        )
    ] + [Line(LABELS[method], "vary_latents", method) for method in ("dl_fista", "learner", "oracle")]
    supports = [Line(LABELS[f"sae_{key}"], "support", f"sae_{key}") for key, _ in saes]
    dictionaries = [
        Line(LABELS[method], "dictionary_match", method)
        for method in [*(f"sae_{key}" for key, _ in saes), "dl_fista", "learner"]
    ]
    return [
        *found,
        Table("decompositions", "MCC, new combinations: what an autoencoder's parts lose", latents, "mcc_ood", parts),
        Table("atoms", "share of atoms found, cosine above 0.9", latents, "frac_recovered", dictionaries),
        Table("cosines", "mean cosine of atoms with the true ones", latents, "mean_cosine", dictionaries),
        Table("supports", "F1 of supports, new combinations", latents, "f1_ood", supports),
        Table("l0", "active latents, new combinations", latents, "pred_total_l0_ood", supports, 1),
        _varied("penalties", "penalty", "lambda_sensitivity", {
            "oracle": "oracle", **{f"fista+{key}": f"FISTA on {name}'s decoder" for key, name in saes}}),
        _varied("steps", "steps of FISTA", "warmstart_encoder", {
            f"{start}_fista+{key}": f"{name}'s decoder, from {words}"
            for key, name in saes for start, words in (("cold", "zero"), ("warm", "its codes"))}),
        _varied("rounds", "rounds of DL-FISTA", "warmstart_decoder", {
            "dl_fista": "from random atoms",
            **{f"warm_dl_fista+{key}": f"from {name}'s decoder" for key, name in saes}}),
    ]  # fmt: skip


def _varied(name, what, experiment, methods):
    """Return a table with a line for each method and published value of what is varied."""
    settings = sorted({point.setting for point in _published.points() if point.experiment == experiment})
    lines = [
        Line(f"{label}, {setting:g}", experiment, method, setting)
        for method, label in methods.items()
        for setting in settings
    ]
    return Table(name, f"MCC, new combinations, by {what}", AXES["latents"], "mcc_ood", lines)


def show(rows: list[dict], directory: Path) -> list[Path]:
    """Print the tables for which there are results, and write each as CSV."""
    written = []
    for table in tables():
        for kept, cells in _cells(table, rows).items():
            columns, body = _body(table, cells)
            elsewhere = ", ".join(f"{name}={size}" for name, size in kept if table.axis.kept[name] != size)
            print_table(
                table.title[0].upper() + table.title[1:] + (f" ({elsewhere})" if elsewhere else ""), columns, body, []
            )
            name = "".join(f"_{name[2:]}_{size}" for name, size in kept if table.axis.kept[name] != size)
            written.append(directory / f"paper_sweeps_{table.name}{name}.csv")
            with written[-1].open("w", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows([columns, *body])
    if written:
        print(
            "\nIn brackets: published mean over seeds. * marks a difference of more than 0.05 (of L0: a tenth) and of"
            "\nmore than three published standard deviations. MCC as published; the adjusted one is 0 by chance."
        )
    return written


def _cells(table, rows):
    """Return {sizes kept: {(line, size along the axis): values of seeds, published mean and std}}."""
    lines = {(line.experiment, line.method, line.setting): line for line in table.lines}
    found = defaultdict(lambda: defaultdict(lambda: [[], None]))
    for row in rows:
        point = _published.Point(*(row.get(name) for name in _published.Point._fields))
        line = lines.get((point.experiment, point.method, point.setting))
        if line is None or row["ratio"] is not None or table.metric not in row:
            continue
        kept = tuple((name, getattr(point, name)) for name in table.axis.kept)
        cell = found[kept][line, getattr(point, table.axis.size)]
        cell[0].append(row[table.metric])
        cell[1] = _published.at(point).get(table.metric)
    return found


def _body(table, cells):
    sizes = sorted({size for _, size in cells})
    body = [
        [line.label, *(_text(cells[line, size], table.decimals) if (line, size) in cells else "" for size in sizes)]
        for line in table.lines
        if any((line, size) in cells for size in sizes)
    ]
    counts = [sorted({len(values) for (_, at), (values, _) in cells.items() if at == size}) for size in sizes]
    body.append(["seeds", *(f"{n[0]}" if len(n) == 1 else f"{n[0]} to {n[-1]}" for n in counts)])
    return ["", *(f"{size:,}" for size in sizes)], body


def _text(cell, decimals):
    values, published = cell
    mean = float(np.mean(values))
    text = f"{mean:.{decimals}f}"
    if published is None:
        return text
    far = max(0.05 if decimals == 3 else 0.1 * published[0], 3 * published[1])
    return f"{text} ({published[0]:.{decimals}f})" + ("*" if abs(mean - published[0]) > far else "")


def draw(rows: list[dict], directory: Path) -> list[Path]:
    """Draw each sweep for which there are results: as published, and corrected for chance."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    written = []
    for name, axis in AXES.items():
        lines = [Line(label, axis.experiment, method) for method, label in LABELS.items()]
        panels = [Table(name, title, axis, metric, lines) for metric, title in
                  (("mcc_ood", "MCC as published"), ("adjusted_mcc_ood", "MCC, corrected for chance"))]  # fmt: skip
        usual = tuple(axis.kept.items())
        found = [_cells(table, rows).get(usual, {}) for table in panels]
        if not found[0]:
            continue
        figure, plots = plt.subplots(1, 2, figsize=(10, 4.6), sharey=True)
        figure.subplots_adjust(left=0.08, right=0.98, top=0.93, bottom=0.27, wspace=0.06)
        for plot, table, cells in zip(plots, panels, found, strict=True):
            _panel(plot, table, cells)
        plots[0].set_ylabel("agreement with the true codes,\nnew combinations")
        handles = [plt.Line2D([], [], color=COLOURS[m], lw=2, marker="o", ms=5, label=LABELS[m]) for m in LABELS]
        handles.append(plt.Line2D([], [], ls="", marker="_", ms=12, mew=1.5, color="0.3", label="published"))
        figure.legend(handles=handles, frameon=False, fontsize=9, ncols=5, loc="lower center")
        written.append(directory / f"paper_sweeps_{name}.png")
        figure.savefig(written[-1], dpi=150)
        plt.close(figure)
    return written + _draw_phases(rows, directory, plt)


def _panel(plot, table, cells):
    for method, label in LABELS.items():
        line = Line(label, table.axis.experiment, method)
        sizes = sorted(size for at, size in cells if at == line)
        values = [cells[line, size][0] for size in sizes]
        below = method == "oracle"  # which else would hide what comes near it
        plot.errorbar(
            sizes, [np.mean(v) for v in values], yerr=[np.std(v) for v in values], color=COLOURS[method],
            lw=4 if below else 2, marker="o", ms=8 if below else 5, ls="--" if method == "linear_probe" else "-",
            elinewidth=1, zorder=1.9 if below else 2, clip_on=False,
        )  # fmt: skip
        known = [(size, cells[line, size][1][0]) for size in sizes if cells[line, size][1]]
        if known:
            plot.plot(*zip(*known, strict=True), ls="", marker="_", ms=12, mew=1.5, color=COLOURS[method])
    sizes = sorted({size for _, size in cells})
    plot.set(xscale="log", ylim=(min(0, *plot.get_ylim()), 1), xlabel=table.axis.words)
    plot.set_xticks(sizes, [f"{size:,}" for size in sizes])
    plot.minorticks_off()
    plot.set_title(table.title, loc="left", fontsize=11)
    plot.spines[["top", "right"]].set_visible(False)


def _draw_phases(rows, directory, plt):
    """Draw the phase transition: recovery against the number of features, in units that sparsity asks for."""
    rows = [row for row in rows if row["experiment"] == "phase_transition"]
    if not rows:
        return []
    ns, ks = (sorted({row[size] for row in rows}) for size in ("n_components", "n_active"))
    figure, plots = plt.subplots(
        len(ks), len(ns), figsize=(3.2 * len(ns) + 1, 2.3 * len(ks) + 1), sharex=True, sharey=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for (i, k), (j, n) in product(enumerate(ks), enumerate(ns)):
        for method in LABELS:
            at = defaultdict(list)
            for row in rows:
                if (row["method"], row["n_components"], row["n_active"]) == (method, n, k):
                    at[row["ratio"]].append(row["adjusted_mcc_ood"])
            ratios = sorted(at)
            plots[i, j].plot(ratios, [np.mean(at[ratio]) for ratio in ratios], color=COLOURS[method], lw=2)
        plots[i, j].set_title(f"{n} concepts, {k} active", loc="left", fontsize=10)
        plots[i, j].spines[["top", "right"]].set_visible(False)
    figure.supxlabel("features, in units of k ln(n / k)", fontsize=10)
    figure.supylabel("adjusted MCC, new combinations", fontsize=10)
    shown = [method for method in LABELS if any(row["method"] == method for row in rows)]
    handles = [plt.Line2D([], [], color=COLOURS[method], lw=2, label=LABELS[method]) for method in shown]
    figure.legend(handles=handles, frameon=False, fontsize=9, ncols=5, loc="outside lower center")
    path = directory / "paper_sweeps_phase.png"
    figure.savefig(path, dpi=150)
    plt.close(figure)
    return [path]
