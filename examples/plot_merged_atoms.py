"""
Atoms that merge, and how they are found
========================================

A dictionary learner that is stuck has not failed to converge: some of its atoms are mixtures of two concepts that often
come together, beside atoms for both, and so some third concept goes without. Such atoms give themselves away without
the truth being known: other atoms of the same dictionary explain them.
"""

# %%
# Where learning is stuck
# -----------------------
# Eighty concepts, five active, 2,500 samples: plenty. The first concept comes in half of all samples, with a partner
# from one half of the others. The alternation of the paper (DL-FISTA) is run until little moves, on three problems.

import numpy as np
from sklearn.linear_model import orthogonal_mp

from skcode import DictionaryLearner
from skcode.datasets import make_compositional_shift
from skcode.metrics import match_dictionaries


def explained(atom, others, n_explainers):
    """Return how much of a unit atom its best combination of a few others explains, and that combination."""
    weights = orthogonal_mp(others.T, atom, n_nonzero_coefs=n_explainers)
    return 1 - np.sum((atom - weights @ others) ** 2), weights


n = 80
learners = {
    "DL-FISTA": {"method": "alternating", "max_epochs": 80},
    "DictionaryLearner": {},
}
rows = {name: [] for name in learners}
for seed in range(3):
    data = make_compositional_shift(5000, n, 5, random_state=seed)
    for name, settings in learners.items():
        atoms = DictionaryLearner(n, alpha=0.1, random_state=seed, **settings).fit(data.X_train).components_
        match = match_dictionaries(data.dictionary, atoms, n_draws=0)
        for (_, j), cosine in zip(match.pairs, match.cosines, strict=True):
            if not atoms[j].any():
                continue  # marked as unused
            by_others, _ = explained(atoms[j], np.delete(atoms, j, axis=0), 3)
            by_truth, weights = explained(atoms[j], data.dictionary, 2)
            mixture = by_truth > 0.95 and np.sort(np.abs(weights))[-2] > 0.2
            rows[name].append((cosine, by_others, mixture, mixture and weights[0] != 0))

for name, found in rows.items():
    cosine, by_others, mixture, with_first = np.array(found).T
    missed = cosine < 0.9
    print(f"{name}: {missed.sum()} of {len(cosine)} atoms are near no true one;", end=" ")
    print(f"{mixture[missed].sum():.0f} are mixtures of two true atoms, {with_first[missed].sum():.0f} with the first;")
    print(f"three other learned atoms explain more than 95 % of {(by_others[missed] > 0.95).sum()} of them")

# %%
# Each point is an atom. Those that are right stand on their own: chance lets three others explain half of them.
# Mixtures lie in the upper left corner, explained by what they are made of. :class:`~skcode.DictionaryLearner` looks
# for such atoms while it learns, and gives their place to directions that the samples still ask for.

import matplotlib.pyplot as plt

colours = {"DL-FISTA": "#D55E00", "DictionaryLearner": "#009E73"}
fig, axes = plt.subplots(1, 2, figsize=(9.4, 4.1), sharex=True, sharey=True, layout="constrained")
for ax, (name, found) in zip(axes, rows.items(), strict=True):
    cosine, by_others, mixture, _ = np.array(found).T
    ax.axvspan(0.9, 1.01, color="0.94", linewidth=0)
    for is_mixture, marker in ((0, "o"), (1, "D")):
        which = mixture == is_mixture
        ax.plot(
            cosine[which], by_others[which], marker, color=colours[name], markersize=6, alpha=0.55, markeredgewidth=0
        )
    ax.set_title(f"{name}: {np.mean(cosine > 0.9):.1%} of atoms are right", loc="left", fontsize=11)
    ax.set(xlim=(0, 1.01), ylim=(0, 1.03), xlabel="cosine with the true atom matched")
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("share explained by\nthree other learned atoms")
axes[0].text(0.05, 0.86, "mixtures", color=colours["DL-FISTA"])
axes[0].text(0.88, 0.2, "right", color="0.35", ha="right")
plt.show()
