"""
A toy model of superposition
============================

Five features, two dimensions, and a network that is to give the features back: ``relu(x W W' + b)``. If features are
dense it keeps the two most important ones and drops the rest. The sparser they are, the more of them it squeezes in,
first as opposite pairs, then as a pentagon in which all five share the plane.
"""

# %%
# The model
# ---------
# From "Toy models of superposition" (Elhage et al., arXiv:2209.10652), trained by Adam with the gradient written out.
# The features come from :func:`~skcode.datasets.make_toy_superposition`.

import numpy as np

from skcode.datasets import make_toy_superposition
from skcode.metrics import feature_dimensionality


def trained(n, m, sparsity, importance_decay, n_steps=3000, n_starts=4):
    """Return the weights of shape (n, m) with the least loss of several starts, on fresh samples in each step."""
    best = np.inf, None
    for seed in range(n_starts):
        rng = np.random.RandomState(seed)
        parameters = [rng.standard_normal((n, m)) / np.sqrt(n), np.zeros(n)]
        moments = [[np.zeros_like(p), np.zeros_like(p)] for p in parameters]
        smoothed = 0.0
        for step in range(1, n_steps + 1):
            data = make_toy_superposition(
                256, n, sparsity=sparsity, importance_decay=importance_decay, random_state=rng
            )
            X, (W, b) = data.X, parameters
            hidden = X @ W
            output = np.maximum(hidden @ W.T + b, 0)
            error = data.importance * (output - X)
            smoothed += 0.01 * (np.mean(np.sum(error * (output - X), axis=1)) - smoothed)
            slope = error * (output > 0) / len(X)
            gradients = [X.T @ (slope @ W) + slope.T @ hidden, slope.sum(axis=0)]
            rate = 0.01 * (1 - step / n_steps)
            for p, g, (first, second) in zip(parameters, gradients, moments, strict=True):
                first += 0.1 * (g - first)
                second += 0.001 * (g**2 - second)
                p -= rate * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
        if smoothed < best[0]:
            best = smoothed, parameters[0]
    return best[1]


# %%
# Five features in two dimensions
# -------------------------------
# :func:`~skcode.metrics.feature_dimensionality` says how much of a dimension a feature has to itself: one whole, half
# of one in a pair, two fifths in a pentagon.

sparsities = [0.0, 0.8, 0.97]
weights = [trained(5, 2, sparsity, importance_decay=0.9) for sparsity in sparsities]
for sparsity, W in zip(sparsities, weights, strict=True):
    print(f"sparsity {sparsity:.2f}: dimensionality of each feature {feature_dimensionality(W).round(2)}")

# %%
# Twenty features in five dimensions, as in "Effects of sparsity and superposition on loss in simple autoencoders"
# (arXiv:2606.18538): how many are represented, counting those whose direction has at least half of the norm of the
# longest.

many = [0.0, 0.3, 0.6, 0.8, 0.9, 0.96]
represented = []
for sparsity in many:
    norms = np.linalg.norm(trained(20, 5, sparsity, 0.7, n_steps=1500, n_starts=1), axis=1)
    represented.append(int(np.sum(norms > 0.5 * norms.max())))
print(
    "features represented in five dimensions: "
    + ", ".join(f"{n} at {s:.2f}" for n, s in zip(represented, many, strict=True))
)

import matplotlib.pyplot as plt

fig, axes = plt.subplots(1, 4, figsize=(9.6, 2.9), width_ratios=[1, 1, 1, 1.25], layout="constrained")
shades = plt.get_cmap("viridis")(np.linspace(0, 0.85, 5))
for ax, sparsity, W in zip(axes, sparsities, weights, strict=False):
    for direction, colour in zip(W, shades, strict=True):
        ax.plot([0, direction[0]], [0, direction[1]], color=colour, linewidth=3, solid_capstyle="round")
        ax.plot(*direction, "o", color=colour, markersize=8)
    ax.set(xlim=(-1.4, 1.4), ylim=(-1.4, 1.4), aspect="equal", xticks=[], yticks=[])
    ax.set_title(f"each {1 - sparsity:.0%} of the time", fontsize=11)
    ax.spines[:].set_color("0.85")
axes[3].plot(many, represented, color="black", linewidth=2.2, marker="o", markersize=6, clip_on=False)
axes[3].axhline(5, color="0.8", linewidth=1.5, zorder=0)
axes[3].text(1, 3.4, "dimensions", color="0.45", ha="right")
axes[3].set(ylim=(0, 20.5), xlabel="sparsity", ylabel="features represented, of 20")
axes[3].spines[["top", "right"]].set_visible(False)
plt.show()
