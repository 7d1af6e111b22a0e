"""Does training without a deep-learning library cost time, or quality?

The same autoencoder, start, mini-batches and number of steps, here and in torch: the loss curves are laid over each
other, and the time of a step is compared, on as many threads. Where dictionary_learning or SAELens are installed, their
own autoencoders of the same activation make as many steps on the same batches, from their own start and with their own
loss. Writes
``autoencoder_training.json``, ``.csv`` and ``.png``.

    python benchmarks/autoencoder_training.py                            # TopK and ReLU, two sizes
    python benchmarks/autoencoder_training.py --sizes small --repeats 5

torch is in the extra ``peers``. Without it, only skcode's own curves are drawn.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import time
from typing import NamedTuple

import numpy as np
from _harness import Parser, fail, natural, output_directory, print_table, writable, write_results

from skcode import SparseAutoencoder
from skcode.datasets import make_compositional_shift

ALPHA = 1e-3
LEARNING_RATE = 1e-3
INK, BLUE, ORANGE, GREEN = "#222222", "#0072b2", "#d55e00", "#009e73"


class Size(NamedTuple):
    """A problem, and how it is trained."""

    n_components: int
    n_features: int
    n_active: int
    batch_size: int
    n_samples: int
    n_epochs: int


SIZES = {"small": Size(1000, 93, 10, 64, 2560, 20), "large": Size(4096, 384, 32, 1024, 8192, 6)}
TRAINERS = {
    "skcode": "skcode",
    "torch": "torch, the same",
    "dictionary_learning": "dictionary_learning",
    "sae_lens": "SAELens",
}


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    sizes = {name: adjusted(SIZES[name], options) for name in options.sizes}
    directory = output_directory(options.output)
    if importlib.util.find_spec("matplotlib") is None:
        fail('drawing needs matplotlib: python -m pip install ".[benchmarks]"')
    paths = writable(directory, [f"autoencoder_training.{ending}" for ending in ("json", "csv", "png")])
    known = {name: trainer for name, trainer in {"skcode": with_skcode, **PEERS}.items() if name in options.trainers}
    rows = []
    for name, size in sizes.items():
        X, start = problem(size, options.seed)
        for activation in options.activations:
            runs = {trainer: [] for trainer in known}
            for repeat in range(options.repeats + 1):  # the first one compiles, and warms up
                for trainer, train in known.items():
                    result = train(activation, size, X, start, options.seed, options.n_jobs)
                    if repeat > 0:
                        runs[trainer].append(result)
                    print(f"{name}, {activation}, {trainer}: {result['seconds']:.2f} s", file=sys.stderr, flush=True)
            rows += summary(name, activation, size, runs)
    show(rows, options)
    write_results(*paths[:2], {name: value for name, value in vars(options).items() if name != "output"}, rows)
    draw(rows, paths[-1])
    print("\nWritten: " + ", ".join(str(path) for path in paths))


def parse(arguments):
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES), metavar="SIZE",
                        help="any of: " + " ".join(SIZES))  # fmt: skip
    parser.add_argument("--activations", nargs="+", choices=["topk", "relu"], default=["topk", "relu"], metavar="NAME",
                        help="any of: topk relu")  # fmt: skip
    parser.add_argument("--trainers", nargs="+", choices=list(TRAINERS), default=list(TRAINERS), metavar="NAME",
                        help="any of: " + " ".join(TRAINERS))  # fmt: skip
    parser.add_argument("--repeats", type=natural(1), default=3, metavar="N", help="timed runs of each (default: 3)")
    for name, what in (("components", "latents"), ("samples", "training samples"), ("active", "active latents")):
        parser.add_argument(f"--n-{name}", type=natural(2), default=None, metavar="N",
                            help=f"{what}, instead of those of the sizes")  # fmt: skip
    parser.add_argument("--seed", type=natural(0, 2**31), default=0, metavar="SEED", help="default: 0")
    parser.add_argument("--n-jobs", type=natural(1), default=min(2, os.cpu_count() or 1), metavar="N",
                        help="threads (default: one per core, at most 2)")  # fmt: skip
    parser.add_argument("--output", default=".", metavar="DIR", help="where results are written (default: here)")
    return parser.parse_args(arguments)


def adjusted(size: Size, options) -> Size:
    given = {"n_components": options.n_components, "n_samples": options.n_samples, "n_active": options.n_active}
    size = size._replace(**{name: value for name, value in given.items() if value is not None})
    size = size._replace(n_features=min(size.n_features, size.n_components))
    if not size.n_active < size.n_features:
        fail(f"--n-active {size.n_active}: must be below the {size.n_features} features")
    return size


def problem(size: Size, seed: int):
    """Return training samples of the paper's protocol, and a random start for decoder and encoder."""
    data = make_compositional_shift(
        2 * size.n_samples, size.n_components, size.n_active, size.n_features, dtype=np.float32, random_state=seed
    )
    start = np.random.RandomState(10_000 + seed).standard_normal((size.n_components, size.n_features))
    return data.X_train, (start / np.linalg.norm(start, axis=1, keepdims=True)).astype(np.float32)


def with_skcode(activation, size, X, start, seed, n_jobs) -> dict:
    sae = SparseAutoencoder(
        size.n_components, activation=activation, n_active=size.n_active,
        alpha=ALPHA if activation == "relu" else "auto", dictionary_init=start,
        bias_init="zero", scale_inputs=False, learning_rate=LEARNING_RATE, weight_decay=0.0, warmup=0, decay=0,
        sparsity_warmup=0, dead_latents=None, batch_size=size.batch_size, max_epochs=size.n_epochs, random_state=seed,
        n_jobs=n_jobs,
    )  # fmt: skip
    begin = time.perf_counter()
    sae.fit(X)
    seconds = time.perf_counter() - begin
    history = sae.history_
    loss = np.add(history["squared_error"], history["penalty"])
    codes = sae.transform(X)
    return {"seconds": seconds, "loss": loss.tolist(), **sparsity(codes)}


def sparsity(codes) -> dict:
    return {"mean_l0": np.count_nonzero(codes) / len(codes), "dead": float(1 - (codes != 0).any(axis=0).mean())}


def batches(size, X, seed):
    """Yield the mini-batches of `SparseAutoencoder`, epoch by epoch."""
    rng = np.random.RandomState(seed)
    for _ in range(size.n_epochs):
        order = rng.permutation(len(X))
        yield [X[order[start : start + size.batch_size]] for start in range(0, len(X), size.batch_size)]


def with_torch(activation, size, X, start, seed, n_jobs) -> dict:
    """The same model, losses, optimiser, projection and normalisation, as one writes them in torch."""
    import torch

    torch.set_num_threads(n_jobs)
    epochs = [[torch.from_numpy(batch) for batch in epoch] for epoch in batches(size, X, seed)]
    encoder = torch.nn.Linear(size.n_features, size.n_components)
    decoder = torch.nn.Linear(size.n_components, size.n_features)
    with torch.no_grad():
        encoder.weight.copy_(torch.from_numpy(start))
        decoder.weight.copy_(torch.from_numpy(start.T))
        encoder.bias.zero_()
        decoder.bias.zero_()
    optimiser = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=LEARNING_RATE)

    def encode(x):
        preactivation = encoder(x - decoder.bias)
        if activation == "relu":
            return torch.relu(preactivation)
        values, places = torch.topk(preactivation, size.n_active, sorted=False)
        return torch.zeros_like(preactivation).scatter(1, places, torch.relu(values))

    losses = []
    begin = time.perf_counter()
    for epoch in epochs:
        total = 0.0
        for x in epoch:
            codes = encode(x)
            loss = ((decoder(codes) - x) ** 2).mean()
            if activation == "relu":
                loss = loss + ALPHA * codes.sum(1).mean()
            optimiser.zero_grad()
            loss.backward()
            with torch.no_grad():
                weight, slope = decoder.weight, decoder.weight.grad
                slope -= weight * (weight * slope).sum(0)
            optimiser.step()
            with torch.no_grad():
                weight /= weight.norm(dim=0)
            total += loss.item() * len(x)
        losses.append(total / len(X))
    seconds = time.perf_counter() - begin
    with torch.no_grad():
        codes = encode(torch.from_numpy(X)).numpy()
    return {"seconds": seconds, "loss": losses, **sparsity(codes)}


def with_dictionary_learning(activation, size, X, start, seed, n_jobs) -> dict:
    """The trainers of that library, as they are; their losses have other terms and are not compared."""
    import torch
    from dictionary_learning.trainers.standard import StandardTrainer
    from dictionary_learning.trainers.top_k import TopKTrainer

    torch.set_num_threads(n_jobs)
    epochs = [[torch.from_numpy(batch) for batch in epoch] for epoch in batches(size, X, seed)]
    n_steps = sum(map(len, epochs))
    common = {
        "steps": n_steps, "activation_dim": size.n_features, "dict_size": size.n_components, "layer": 0,
        "lm_name": "none", "lr": LEARNING_RATE, "warmup_steps": 1, "device": "cpu", "seed": seed,
    }  # fmt: skip
    if activation == "topk":
        trainer = TopKTrainer(k=size.n_active, **common)
    else:
        trainer = StandardTrainer(l1_penalty=ALPHA, sparsity_warmup_steps=None, **common)
    begin = time.perf_counter()
    for step, x in enumerate(x for epoch in epochs for x in epoch):
        trainer.update(step, x)
    seconds = time.perf_counter() - begin
    with torch.no_grad():
        codes = trainer.ae.encode(torch.from_numpy(X)).numpy()
    return {"seconds": seconds, "loss": [], **sparsity(codes)}


def with_sae_lens(activation, size, X, start, seed, n_jobs) -> dict:
    """The training autoencoders of that library, with the step that its trainer makes."""
    import torch
    from sae_lens import StandardTrainingSAE, StandardTrainingSAEConfig, TopKTrainingSAE, TopKTrainingSAEConfig
    from sae_lens.saes.sae import TrainStepInput

    torch.set_num_threads(n_jobs)
    torch.manual_seed(seed)
    epochs = [[torch.from_numpy(batch) for batch in epoch] for epoch in batches(size, X, seed)]
    widths = {"d_in": size.n_features, "d_sae": size.n_components}
    if activation == "topk":
        sae = TopKTrainingSAE(TopKTrainingSAEConfig(k=size.n_active, **widths))
    else:
        sae = StandardTrainingSAE(StandardTrainingSAEConfig(l1_coefficient=ALPHA, **widths))
    optimiser = torch.optim.Adam(sae.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.999))
    coefficients = {name: one.value for name, one in sae.get_coefficients().items()}
    begin = time.perf_counter()
    for step, x in enumerate(x for epoch in epochs for x in epoch):
        output = sae.training_forward_pass(
            TrainStepInput(
                sae_in=x, coefficients=coefficients, dead_neuron_mask=None, n_training_steps=step, is_logging_step=False
            )
        )
        output.loss.backward()
        torch.nn.utils.clip_grad_norm_(sae.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
    seconds = time.perf_counter() - begin
    with torch.no_grad():
        codes = sae.encode(torch.from_numpy(X)).numpy()
    return {"seconds": seconds, "loss": [], **sparsity(codes)}


def installed(*names: str) -> bool:
    return all(importlib.util.find_spec(name) is not None for name in names)


PEERS = {}
if installed("torch"):
    PEERS["torch"] = with_torch
if installed("torch", "dictionary_learning"):
    PEERS["dictionary_learning"] = with_dictionary_learning
if installed("torch", "sae_lens"):
    PEERS["sae_lens"] = with_sae_lens


def summary(name, activation, size, runs) -> list[dict]:
    """Return a row for each trainer: medians, and ratios of each round's times to skcode's of the same round."""
    n_steps = size.n_epochs * -(-size.n_samples // size.batch_size)
    rows = []
    for trainer, results in runs.items():
        seconds = np.array([result["seconds"] for result in results])
        row = {
            "size": name, "activation": activation, "trainer": trainer, **size._asdict(), "n_steps": n_steps,
            "step_ms": 1e3 * float(np.median(seconds)) / n_steps, "seconds": seconds.tolist(),
            "loss": results[-1]["loss"], "mean_l0": results[-1]["mean_l0"], "dead": results[-1]["dead"],
        }  # fmt: skip
        if "skcode" in runs:
            ratios = seconds / [result["seconds"] for result in runs["skcode"]]
            row |= {"ratio": float(np.median(ratios)), "ratio_min": ratios.min(), "ratio_max": ratios.max()}
            ours = runs["skcode"][-1]["loss"]
            if row["loss"] and ours:
                row["loss_difference"] = ours[-1] / row["loss"][-1] - 1
        rows.append(row)
    return rows


def show(rows, options) -> None:
    body = []
    for row in rows:
        ratio = f"{row['ratio']:.2f} ({row['ratio_min']:.2f} to {row['ratio_max']:.2f})" if "ratio" in row else "-"
        body.append([
            f"{row['activation']}, n={row['n_components']}, batch {row['batch_size']}: {TRAINERS[row['trainer']]}",
            f"{row['step_ms']:.2f}", ratio, f"{row['loss'][-1]:.5f}" if row["loss"] else "-",
            f"{100 * row['loss_difference']:+.2f} %" if "loss_difference" in row else "-",
            f"{row['mean_l0']:.1f}", f"{100 * row['dead']:.1f} %",
        ])  # fmt: skip
    notes = [
        f"Float32, {options.n_jobs} threads, median of {options.repeats} runs in turns; times are those of whole fits.",
        "x skcode: times skcode's time (lowest to highest round). Loss: mean of the last epoch.",
        "difference: of skcode's last loss from theirs. L0, dead: on the training samples after training.",
    ]
    print_table("Training sparse autoencoders: same start, batches and steps",
                ["", "ms a step", "x skcode", "loss", "difference", "L0", "dead"], body, notes)  # fmt: skip


def draw(rows, path) -> None:
    """Draw the loss curves over each other, with the time of a step."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    panels = list(dict.fromkeys((row["size"], row["activation"]) for row in rows))
    figure, axes = plt.subplots(1, len(panels), figsize=(3.4 * len(panels), 3.2), squeeze=False, layout="constrained")
    styles = {"torch": ("-", 5, ORANGE, 0.5), "skcode": ("--", 1.6, BLUE, 1.0)}
    for axis, panel in zip(axes[0], panels, strict=True):
        part = {row["trainer"]: row for row in rows if (row["size"], row["activation"]) == panel}
        for trainer, (line, width, colour, alpha) in styles.items():
            if trainer in part:
                row = part[trainer]
                axis.plot(range(1, len(row["loss"]) + 1), row["loss"], line, lw=width, color=colour, alpha=alpha,
                          label=f"{TRAINERS[trainer]}, {row['step_ms']:.1f} ms a step")  # fmt: skip
        row = next(iter(part.values()))
        axis.set_title(f"{panel[1]}, {row['n_components']} latents, batch {row['batch_size']}", fontsize=10, loc="left")
        axis.set(xlabel="epoch", yscale="log")
        axis.legend(frameon=False, fontsize=8)
        axis.grid(color="#ececec", which="both")
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(which="both", length=0)
    axes[0][0].set_ylabel("training loss")
    figure.savefig(path, dpi=160)
    plt.close(figure)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("interrupted")
