"""
The amortisation gap against compute
====================================

What does an encoder lose against the optimum on its own dictionary, and what does it cost to lose less? That of a TopK
autoencoder loses 8 % of a typical sample's energy, and 14 % in new combinations of concepts. One trained for nothing
but the objective loses half as much, and a perceptron of thirty times its cost hardly less than that. Iterations close
the gap: each doubling of the layers of LISTA divides it by three to seven, and untrained FISTA catches up with it at
about twenty steps. The optimum itself takes no longer than a short network: :class:`~skcode.FISTACoder` reaches it in
the time of about three passes of an encoder, and certifies it for every sample. A network promises nothing: a few
samples come out of a deep LISTA far worse than without any codes.
"""

# %%
# One dictionary for all
# ----------------------
# That of a TopK autoencoder, with its decoder bias, so that the autoencoder competes on its own ground. Perceptrons and
# LISTA are trained to minimise the objective on it, from the training samples. The gap is the excess over the optimal
# objective, relative to half the squared norm of the sample.

import numpy as np

from skcode import FISTACoder, LISTACoder, MLPCoder, SparseAutoencoder
from skcode.datasets import make_compositional_shift
from skcode.metrics import amortisation_gap
from skcode.solvers import fista

n_components, n_active, alpha = 100, 10, 0.1
data = make_compositional_shift(5000, n_components, n_active, dtype=np.float32, random_state=0)
sides = {"In distribution": data.X_val, "Out of distribution": data.X_ood}
n_features = data.X_train.shape[1]

sae = SparseAutoencoder(n_components, n_active=n_active, max_epochs=200, random_state=0).fit(data.X_train)
given = {"dictionary": sae.components_, "offset": sae.offset_, "alpha": alpha}

# %%
# Operations are counted in passes: one is the product of a sample with a matrix of the size of the dictionary, what the
# encoder of an autoencoder takes. A step of FISTA takes two, for the residual and for its correlations, and the first
# one from zero only the latter; so does a layer of LISTA. A perceptron has two matrices, of its inputs and its outputs.
# The working set is counted by its time, three passes, as measured for 1000 and more atoms (:ref:`bench-speed`).

encoders = {("TopK autoencoder", 1): sae}
for n_hidden, passes in [(None, 1), *((width, width / n_components + width / n_features) for width in (64, 256, 1024))]:
    encoders["perceptron", passes] = MLPCoder(**given, n_hidden=n_hidden, max_epochs=100, random_state=0)
for n_layers in (1, 2, 4, 8, 16):
    encoders["LISTA", 2 * n_layers - 1] = LISTACoder(**given, n_layers=n_layers, random_state=0)
encoders["working set", 3] = FISTACoder(**given, tol=1e-5)

gaps = {side: {} for side in sides}
for (name, passes), encoder in encoders.items():
    if encoder is not sae:
        encoder.fit(data.X_train)
    for side, X in sides.items():
        gaps[side].setdefault(name, {})[passes] = amortisation_gap(encoder, X, alpha=alpha).gap

# %%
# FISTA starts from zero, or goes on from the codes of the autoencoder, which costs a pass.

steps = (1, 2, 3, 5, 8, 12, 20, 30)
for side, X in sides.items():
    own = amortisation_gap(sae, X, alpha=alpha)
    centred, start = X - sae.offset_, sae.transform(X)
    energy = 0.5 * (centred**2).sum(axis=1)
    for name, codes_init, passes in (("FISTA", None, -1), ("FISTA from the SAE's codes", start, 1)):
        gaps[side][name] = {}
        for n in steps:
            codes = fista(centred, sae.components_, alpha, max_iter=n, tol=0, codes_init=codes_init).codes
            objective = 0.5 * ((centred - codes @ sae.components_) ** 2).sum(axis=1) + alpha * codes.sum(axis=1)
            gaps[side][name][2 * n + passes] = (objective - own.optimum) / energy


def summaries(name):
    """Return passes, and the median inside, the median outside and the worst outside of the shift."""
    inside, outside = (gaps[side][name] for side in sides)
    rows = [(n, np.median(inside[n]), np.median(outside[n]), outside[n].max()) for n in sorted(outside)]
    return np.array(rows).T


print(f"{'gap':30}{'passes':>8}{'median':>10}{'outside':>10}{'its worst':>10}")
for name in gaps["In distribution"]:
    for n, *values in summaries(name).T:
        print(f"{name:30}{n:8.0f}" + "".join(f"{value:10.1e}" for value in values))

# %%
# Left, thin lines are in distribution. What a network has learned of combinations does not carry over; FISTA from zero
# has learned nothing, and its first steps lose the same on both sides. Right, the sample that fares worst; without any
# codes it would lose at most 1. FISTA improves all samples. LISTA has learned to take larger steps than are safe: not
# on every problem, but on this one, for some samples it diverges.

diverged = np.mean(gaps["Out of distribution"]["LISTA"][31] > 1)
print(f"LISTA with 16 layers is worse than no codes for {diverged:.2%} of new samples")

import matplotlib.pyplot as plt

colours = {
    "TopK autoencoder": "#E69F00", "perceptron": "#CC79A7", "LISTA": "#8A5F00", "FISTA": "#0072B2",
    "FISTA from the SAE's codes": "#0072B2",
}  # fmt: skip
fig, (typical, worst) = plt.subplots(1, 2, figsize=(9.4, 4.4), sharex=True, layout="constrained")
for name, colour in colours.items():
    passes, inside, outside, most = summaries(name)
    style = {"color": colour, "linestyle": (0, (3, 1.5)) if "codes" in name else "-", "markersize": 5}
    typical.plot(passes, inside, linewidth=0.8, **style)
    typical.plot(passes, outside, marker="o", linewidth=2, **style)
    worst.plot(passes, most, marker="o", linewidth=2, **style)
worst.axhline(1, color="0.8", linewidth=1, zorder=0)
for ax in (typical, worst):
    ax.plot(3, 2e-5, marker="v", markersize=10, color="black")
    ax.set(xscale="log", yscale="log", xlim=(0.3, 70), xlabel="operations for a sample, in passes of an encoder")
    ax.set_ylim(1e-5, None)
    ax.set_xticks([1, 3, 10, 30], ["1", "3", "10", "30"])
    ax.minorticks_off()
    ax.spines[["top", "right"]].set_visible(False)
for ax, x, y, label, colour in (
    (typical, 0.32, 0.34, "FISTA", "#0072B2"),
    (typical, 0.32, 0.14, "TopK SAE", "#A87400"),
    (typical, 12, 0.15, "perceptron", "#A8558A"),
    (typical, 2.2, 0.0025, "LISTA", "#8A5F00"),
    (typical, 2.6, 2e-5, "certified\noptimum", "black"),
    (worst, 14, 200, "LISTA", "#8A5F00"),
    (worst, 0.8, 0.004, "FISTA, and from the\nSAE's codes (dashed)", "#0072B2"),
    (worst, 0.32, 2.5, "no codes at all", "0.5"),
):
    right = label in ("certified\noptimum", "LISTA")
    ax.text(x, y, label, color=colour, ha="right" if right else "left", va="center")
typical.set_title("Gap of the median sample (thin: in distribution)", loc="left", fontsize=11)
worst.set_title("Gap of the worst of 2500 new samples", loc="left", fontsize=11)
plt.show()
