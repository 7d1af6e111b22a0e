"""
Why the finish must be unbiased
===============================

With few samples for each atom, the dictionary that is best for the L1 penalty is not the true one: it lowers the
objective below what the truth reaches, so that polishing leads *away* from the truth. The minimax concave penalty does
not shrink large codes. With it the truth is a place of rest, and from where L1 led it takes most atoms back.
"""

# %%
# Starting at the truth
# ---------------------
# 150 concepts, six active, and 375 samples: two and a half for each atom. The loop is the plainest there is: code all
# samples, then solve for the dictionary by least squares, over and over.

import numpy as np

from skcode import FISTACoder
from skcode.datasets import make_compositional_shift
from skcode.metrics import match_dictionaries

n = 150
data = make_compositional_shift(750, n, 6, random_state=0)
X, truth = data.X_train, data.dictionary


def round_of(dictionary, penalty, alpha):
    """Return the dictionary after one round of coding and least squares."""
    codes = FISTACoder(dictionary, alpha=alpha, penalty=penalty, max_iter=3000, tol=1e-3).fit(X).transform(X)
    update = np.linalg.solve(codes.T @ codes + 1e-4 * np.eye(n), codes.T @ X)
    norms = np.linalg.norm(update, axis=1, keepdims=True)
    return np.where(norms > 1e-8, update / np.maximum(norms, 1e-8), dictionary)


def look(dictionary):
    """Return the mean cosine with the true atoms, and the mean L1 objective."""
    codes = FISTACoder(dictionary, alpha=0.1).fit(X).transform(X)
    objective = 0.5 * np.sum((X - codes @ dictionary) ** 2, axis=1) + 0.1 * codes.sum(axis=1)
    return match_dictionaries(truth, dictionary, n_draws=0).mean_cosine, objective.mean()


def run(dictionary, penalty, alphas):
    """Go on from a dictionary for as many rounds as there are penalties; return where it led, and how it looked."""
    looks = [look(dictionary)]
    for alpha in alphas:
        dictionary = round_of(dictionary, penalty, alpha)
        looks.append(look(dictionary))
    return dictionary, np.array(looks)


n_rounds = 20
away, l1 = run(truth, "l1", np.full(n_rounds, 0.1))
stayed, stays = run(truth, "mcp", np.full(5 * n_rounds, 0.05))
returned, back = run(away, "mcp", np.geomspace(0.15, 0.01, 4 * n_rounds))


def cosines(dictionary):
    """Return the cosine of each true atom with its match."""
    return match_dictionaries(truth, dictionary, n_draws=0).cosines


ends = {"L1": away, "concave": stayed, "L1 then concave": returned}
print(f"L1 objective of the truth {l1[0, 1]:.4f}, after {n_rounds} rounds {l1[-1, 1]:.4f}")
print("cosine of the median atom: " + ", ".join(f"{name} {np.median(cosines(end)):.3f}" for name, end in ends.items()))
print(f"mean cosine with the truth: L1 {l1[-1, 0]:.3f}, concave {stays[-1, 0]:.3f}, L1 then concave {back[-1, 0]:.3f}")

# %%
# What the L1 penalty calls progress, on the right, is the loss on the left. The atoms that the concave penalty does not
# take back are far off, and no polishing moves them: they must be replaced, as the next example shows. That is how
# :class:`~skcode.DictionaryLearner` comes to end on a penalty that becomes ever less convex, and to replace atoms
# meanwhile.

import matplotlib.pyplot as plt

red, green = "#D55E00", "#009E73"
fig, axes = plt.subplots(1, 2, figsize=(9.4, 4.0), sharex=True, layout="constrained")
for column, ax in enumerate(axes):
    ax.plot(np.arange(n_rounds + 1), l1[:, column], color=red, linewidth=2.4)
    ax.plot(np.arange(len(stays)), stays[:, column], color=green, linewidth=1.6, linestyle=(0, (2, 2)))
    ax.plot(n_rounds + np.arange(len(back)), back[:, column], color=green, linewidth=2.4)
    ax.plot(0, l1[0, column], "o", color="black", markersize=8, clip_on=False, zorder=3)
    ax.set_xlabel("rounds")
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_title("Mean cosine with the true atoms", loc="left", fontsize=11)
axes[1].set_title('L1 objective: lower is "better"', loc="left", fontsize=11)
axes[0].annotate("the truth", (0, l1[0, 0]), xytext=(8, -14), textcoords="offset points")
axes[1].annotate("the truth", (0, l1[0, 1]), xytext=(10, -4), textcoords="offset points")
axes[0].text(13, 0.935, "L1", color=red)
axes[0].text(42, 0.914, "concave, from where L1 led", color=green)
axes[0].text(42, 0.989, "concave, from the truth", color=green)
plt.show()
