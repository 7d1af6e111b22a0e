"""
Families become one atom, and how they come apart
=================================================

Where a concept comes only with its parent, a sparse dictionary has one atom for both: that costs one code in place of
two. The error does not show it. But families share their elders. What several atoms have in common beyond chance is a
parent, and what each has beyond it is its own: :class:`~skcode.DictionaryLearner` takes families apart by that.
"""

# %%
# A world with families
# ---------------------
# 120 concepts in 60 dimensions. In four families of thirteen, a root has three children, and each of these three. A
# child fires only where its parent does, and never with its siblings. The other concepts fire by themselves.

import numpy as np

from skcode import DictionaryLearner
from skcode.datasets import make_concept_world
from skcode.metrics import absorption_scores, concept_scores, match_dictionaries

world = make_concept_world(
    15_000, 2000, n_components=120, n_features=60, n_trees=4, n_children=3, depth=2, most_frequent=0.3,
    least_frequent=5e-3, random_state=0,
)  # fmt: skip
in_families = (world.parents >= 0) | np.isin(np.arange(120), world.parents)
print(f"{in_families.sum()} of 120 concepts are in families, {world.codes_train.nnz / 15_000:.1f} fire in a sample")

# %%
# Two aims
# --------
# ``aim="reconstruction"`` looks for the shortest description, ``aim="concepts"``, the default, for what is behind it.
# Codes of both are at the level of noise here, and both explain nearly all. But in the first, *absorption* is the rule:
# where a child fires, its parent's code is zero.

learners = {
    aim: DictionaryLearner(120, aim=aim, alpha="noise", random_state=0) for aim in ("reconstruction", "concepts")
}
for aim, learner in learners.items():
    codes = learner.fit(world.X_train).transform(world.X_test)
    found = concept_scores(world.dictionary, learner.components_, world.codes_test, codes)
    absorbed = absorption_scores(world.dictionary, learner.components_, world.codes_test, codes, world.parents).absorbed
    print(f"{aim:15} unexplained {-learner.score(world.X_test):.3f}, F1 {found.f1:.3f}, absorbed {absorbed:.2f}")

# %%
# What atoms are made of
# ----------------------
# Take the family with the most frequent root. Rows are the atoms that are matched to its concepts, columns the concepts
# in them, by least squares on the directions of the family. The learners knew nothing of these.

roots = np.flatnonzero((world.parents < 0) & in_families)
root = roots[np.argmax(world.frequencies[roots])]
children = np.flatnonzero(world.parents == root)
leaves = [np.flatnonzero(world.parents == child) for child in children]
family = np.concatenate([[root], *([child, *below] for child, below in zip(children, leaves, strict=True))])
directions = world.dictionary[family]


def composition(learner):
    """Return the weights of the family's concepts in the atom that is matched to each of them."""
    pairs = match_dictionaries(directions, learner.components_).pairs
    matched = learner.components_[pairs[np.argsort(pairs[:, 0]), 1]]
    return np.linalg.lstsq(directions.T, matched.T, rcond=None)[0].T


# %%
# One atom for a leaf, its parent and its root shows as three dark cells in a row. Apart, each row has one.

import matplotlib.pyplot as plt

weights = {aim: composition(learner) for aim, learner in learners.items()}
names = ["root", *(name for number in "abc" for name in (number, *(f"{number}{leaf}" for leaf in "123")))]
fig, axes = plt.subplots(1, 3, figsize=(10.4, 4.6), width_ratios=(0.55, 1, 1), layout="constrained")
depth = [0 if name == "root" else len(name) for name in names]
axes[0].set(xlim=(-0.3, 2.9), ylim=(12.5, -0.5))
for row, (name, level) in enumerate(zip(names, depth, strict=True)):
    axes[0].text(level + 0.1, row, name, va="center", fontsize=10)
    if level:
        above = names.index("root" if level == 1 else name[0])
        axes[0].plot([level - 0.75, level - 0.75, level], [above + 0.35, row, row], color="0.6", linewidth=1)
axes[0].set_title("The family, and its atoms", loc="left", fontsize=11)
axes[0].axis("off")
for ax, (aim, found) in zip(axes[1:], weights.items(), strict=True):
    image = ax.imshow(np.abs(found), cmap="Greens", vmin=0, vmax=1, aspect="auto")
    ax.set_xticks(range(13), names, fontsize=9, rotation=60)
    ax.set_yticks([])
    ax.set_xlabel("concepts")
    ax.set_title(f'aim="{aim}"', loc="left", fontsize=11)
fig.colorbar(image, ax=axes[1:], shrink=0.6, label="weight of the concept in the atom")
plt.show()
