"""
Three concepts in two dimensions
================================

Two neurons can hold three concepts, if few are active at a time. They then *represent* each concept, but no straight
line tells where it is active: the true boundary has a bend. A linear probe that was right on all the combinations it
has seen is wrong on a new one; inferring the codes of each sample on the three directions is right on both.
"""

# %%
# Superposition
# -------------
# Each concept has a direction in the plane, its *atom*, and a sample is the sum of the atoms of its active concepts,
# each with its own strength. Three directions cannot be orthogonal in two dimensions: the concepts interfere. In
# training, concept A meets concept B; that it meets C is new.

import numpy as np

angles = np.deg2rad([90, 200, 340])
dictionary = np.column_stack([np.cos(angles), np.sin(angles)])  # one atom per row
rng = np.random.default_rng(0)


def samples(*combinations, n_each=60):
    """Draw samples of each combination of concepts; return them and whether A is active."""
    codes = np.zeros((n_each * len(combinations), 3))
    for i, concepts in enumerate(combinations):
        for concept in concepts:
            codes[i * n_each : (i + 1) * n_each, concept] = rng.uniform(0.15, 1.0, n_each)
    return codes @ dictionary, codes[:, 0] > 0


A, B, C = range(3)
X_seen, has_a_seen = samples([A], [B], [C], [A, B], [B, C])
X_new, has_a_new = samples([A, C], [C], n_each=60)

# %%
# Two ways to read concept A
# --------------------------
# The linear probe is fitted to the labels. The sparse coder is given the dictionary and no labels; A is active where
# its code is not small.

from sklearn.linear_model import LogisticRegression

from skcode import FISTACoder

probe = LogisticRegression(C=np.inf).fit(X_seen, has_a_seen)
coder = FISTACoder(dictionary, alpha=0.01).fit(X_seen)

threshold = 0.07  # below the least strength, 0.15, less what the penalty shrinks
for name, X, truth in (("seen", X_seen, has_a_seen), ("new", X_new, has_a_new)):
    linear = np.mean(probe.predict(X) == truth)
    sparse = np.mean((coder.transform(X)[:, A] > threshold) == truth)
    print(f"{name:4} combinations: linear probe {linear:4.0%}, sparse coder {sparse:4.0%} right")

# %%
# The line separates the combinations that it has seen. In the plane as a whole the region where A is active ends along
# two rays, parallel to the atoms of B and of C, and the new combination lies in the part that the line cuts off. No
# other line would do: the region is not half a plane. The code of A is no linear function of the sample, so no linear
# probe computes it; an optimisation for each sample does.

import matplotlib.pyplot as plt

grid_x, grid_y = np.meshgrid(np.linspace(-1.9, 1.9, 220), np.linspace(-1.1, 1.5, 160))
grid = np.column_stack([grid_x.ravel(), grid_y.ravel()])
regions = {
    "Linear probe": probe.decision_function(grid),
    "Sparse coder": coder.transform(grid)[:, A] - threshold,
}
green, grey = "#009E73", "0.45"
fig, axes = plt.subplots(1, 2, figsize=(9.4, 3.6), sharex=True, sharey=True, layout="constrained")
for ax, (name, region) in zip(axes, regions.items(), strict=True):
    region = region.reshape(grid_x.shape)
    ax.contourf(grid_x, grid_y, region, levels=[0, np.inf], colors=[green], alpha=0.13)
    ax.contour(grid_x, grid_y, region, levels=[0], colors=[green], linewidths=1.5)
    for X, truth, marker in ((X_seen, has_a_seen, "o"), (X_new, has_a_new, "D")):
        for active, colour in ((True, green), (False, grey)):
            face = colour if marker == "D" else "none"
            ax.scatter(*X[truth == active].T, s=16, marker=marker, facecolors=face, edgecolors=colour, linewidths=0.8)
    for atom, letter in zip(dictionary, "ABC", strict=True):
        ax.annotate("", 1.02 * atom, (0, 0), arrowprops={"arrowstyle": "-|>", "color": "black", "linewidth": 1.8})
        ax.text(*(1.17 * atom), letter, ha="center", va="center", fontsize=12, fontweight="bold")
    ax.set_title(f"{name}: where it finds A", loc="left", fontsize=11)
    ax.set(xticks=[], yticks=[], xlabel="neuron 1", aspect="equal", xlim=(-1.9, 1.9), ylim=(-1.1, 1.5))
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("neuron 2")
axes[0].text(1.0, 0.95, "A with C: new", color=green, ha="center")
axes[0].text(-1.0, 0.95, "A with B: seen", color=green, ha="center")
axes[0].text(0, -0.95, "without A", color=grey, ha="center")
plt.show()
