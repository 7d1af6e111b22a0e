"""
Is it the encoder, or is it the dictionary?
===========================================

The codes of a sparse autoencoder miss the truth for two reasons: its encoder makes one feed-forward pass where an
optimisation is called for, and its dictionary is not the true one. Coding optimally on its *frozen* dictionary tells
them apart. With little training nearly all of the loss is the dictionary's; trained long and well, on this small
problem, the dictionary is found, and three quarters of what is still lost is the encoder's, in distribution and out of
it.
"""

# %%
# Concepts in new company
# -----------------------
# Fifty concepts in 24 dimensions, five active at a time. Out of distribution every concept is known from training, but
# not the combinations in which they meet.

from skcode.datasets import make_compositional_shift

n_components, n_active, alpha = 50, 5, 0.1
data = make_compositional_shift(5000, n_components, n_active, random_state=0)
sides = {"in distribution": (data.X_val, data.codes_val), "out of distribution": (data.X_ood, data.codes_ood)}

# %%
# Two references that know more than any autoencoder: a linear probe is fitted to true codes, and the oracle is given
# the true dictionary. The mean correlation coefficient (MCC) compares codes with the truth; the adjusted one is 0 for
# codes that are unrelated to it.

import numpy as np
from sklearn.linear_model import RidgeCV

from skcode import FISTACoder, OracleCoder, SparseAutoencoder
from skcode.metrics import match_dictionaries, mcc_score

scores, adjusted = {}, {}


def measure(name, infer):
    """Score codes against the truth on both sides of the shift."""
    for side, (X, codes) in sides.items():
        predicted = infer(X)
        scores[name, side] = mcc_score(codes, predicted)
        adjusted[name, side] = mcc_score(codes, predicted, adjusted=True)


measure("oracle", OracleCoder(data.dictionary, alpha=alpha).fit(data.X_train).transform)
measure("linear probe", RidgeCV(np.logspace(-6, 2, 9)).fit(data.X_train, data.codes_train).predict)

# %%
# One autoencoder, trained for shorter or longer
# ----------------------------------------------
# Each is coded twice: by its own encoder, and by FISTA on its dictionary and decoder bias.

epochs = [5, 15, 50, 150, 500]
for n in epochs:
    sae = SparseAutoencoder(n_components, n_active=n_active, max_epochs=n, random_state=0).fit(data.X_train)
    frozen = FISTACoder(sae.components_, alpha=alpha, offset=sae.offset_).fit(data.X_train)
    measure(("autoencoder", n), sae.transform)
    measure(("FISTA on its dictionary", n), frozen.transform)
    recovered = match_dictionaries(data.dictionary, sae.components_).frac_recovered
    print(f"after {n:3d} epochs {recovered:4.0%} of the true atoms are found (cosine above 0.9)")

# %%
# All numbers, plain and adjusted for chance. With 2500 samples and 50 concepts chance contributes little.

print(f"{'':36}{'in distribution':>20}{'out of distribution':>24}")
print(f"{'':36}{'MCC':>10}{'adjusted':>10}{'MCC':>14}{'adjusted':>10}")
rows = ["linear probe", ("autoencoder", 500), ("FISTA on its dictionary", 500), "oracle"]
for name in rows:
    title = name if isinstance(name, str) else f"{name[0]}, {name[1]} epochs"
    inside, outside = ((scores[name, side], adjusted[name, side]) for side in sides)
    print(f"{title:<36}{inside[0]:10.3f}{inside[1]:10.3f}{outside[0]:14.3f}{outside[1]:10.3f}")

# %%
# The band between the autoencoder and FISTA is what the encoder loses; the band between FISTA and the oracle is what
# the dictionary loses. Training narrows the second, and not the first.

import matplotlib.pyplot as plt

blue, orange, grey = "#0072B2", "#E69F00", "0.45"
fig, axes = plt.subplots(1, 2, figsize=(9.4, 4.4), sharey=True, layout="constrained")
for ax, side in zip(axes, sides, strict=True):
    encoder = [scores[("autoencoder", n), side] for n in epochs]
    optimum = [scores[("FISTA on its dictionary", n), side] for n in epochs]
    oracle, probe = scores["oracle", side], scores["linear probe", side]
    ax.fill_between(epochs, optimum, oracle, color=blue, alpha=0.15, linewidth=0)
    ax.fill_between(epochs, encoder, optimum, color=orange, alpha=0.45, linewidth=0)
    ax.plot(epochs, [oracle] * len(epochs), color="black", linewidth=2)
    ax.plot(epochs, optimum, color=blue, linewidth=2, marker="o", markersize=5, clip_on=False)
    ax.plot(epochs, encoder, color=orange, linewidth=2, marker="o", markersize=5, clip_on=False)
    ax.plot(epochs, [probe] * len(epochs), color=grey, linewidth=1.5, linestyle=(0, (4, 3)))
    ax.set(xscale="log", xlim=(epochs[0], epochs[-1]), ylim=(0, 1.05), xlabel="training epochs of the autoencoder")
    ax.set_title(side.capitalize(), loc="left", fontsize=11)
    ax.set_xticks(epochs, epochs)
    ax.minorticks_off()
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("MCC with the true codes")
axes[0].text(6, 0.85, "lost by the dictionary", color="#004C78")
axes[0].annotate(
    "lost by the encoder",
    (50, np.mean([scores[(name, 50), "in distribution"] for name in ("autoencoder", "FISTA on its dictionary")])),
    xytext=(60, 0.3),
    color="#8A5F00",
    arrowprops={"arrowstyle": "-", "color": "#8A5F00", "shrinkA": 2, "shrinkB": 0},
)
right = axes[1]
for label, height, colour in (
    ("oracle", scores["oracle", side] + 0.03, "black"),
    ("FISTA on its\ndictionary", optimum[-1] - 0.03, blue),
    ("autoencoder", encoder[-1], "#A87400"),
    ("linear probe", scores["linear probe", side], grey),
):
    right.annotate(label, (epochs[-1], height), xytext=(8, 0), textcoords="offset points", va="center", color=colour)
plt.show()
