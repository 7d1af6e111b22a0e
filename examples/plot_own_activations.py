"""
From your activations to their concepts
=======================================

All that skcode needs is an array of activations with a row for each sample. This page goes from a ``.npy`` file to the
concepts of one sample: find out how many atoms the data bears, learn them, code a sample, and look at the samples that
show its strongest concepts most. Nobody tells the learner what the concepts are, or how many a sample has; here it
finds nearly all. For a file of your own, change the path, and leave out what is about digits: the cell that makes the
file, and the last section.
"""

# %%
# The line to change
# ------------------
# Put the path of your file here.

import tempfile
from pathlib import Path

import numpy as np

path = Path(tempfile.mkdtemp()) / "activations.npy"  # yours: Path("my_activations.npy")

# %%
# A file of activations
# ---------------------
# Yours may hold the residual stream of a language model at one layer, a token in each row. Ours holds the 32 hidden
# activations of a small network that reads two handwritten digits side by side. This cell makes it; leave it out.

from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

rng = np.random.default_rng(0)
digits, labels = load_digits(return_X_y=True)
left, right = rng.integers(len(digits), size=(2, 5000))
images = np.concatenate([digits[left].reshape(-1, 8, 8), digits[right].reshape(-1, 8, 8)], axis=2) / 16
pixels = images.reshape(len(images), -1)
network = MLPClassifier((32,), random_state=0)
targets = np.hstack([np.eye(10)[labels[left]], np.eye(10)[labels[right]]])
for _ in range(50):
    network.partial_fit(pixels, targets, classes=np.arange(20))
hidden = np.maximum(pixels @ network.coefs_[0] + network.intercepts_[0], 0)
np.save(path, hidden.astype(np.float32))

# %%
# With ``mmap_mode="r"`` rows are read from disk when they are asked for. The last tenth is held out: our rows are in no
# order; of yours, hold out whole documents.

activations = np.load(path, mmap_mode="r")
n_train = len(activations) * 9 // 10
train, held_out = activations[:n_train], activations[n_train:]
print(f"{activations.shape[0]} samples, {activations.shape[1]} features, {activations.dtype}")

# %%
# How many atoms?
# ---------------
# Learn from several starts. Atoms that are in the data come back; those that are not, mostly do not: with too few, each
# stands for several concepts, with too many concepts are cut up, and there are many ways to do either. What is left
# unexplained says nothing about that, it only falls. Try numbers from half to some times the number of features, and go
# on where the most come back at an end of the range.

from itertools import combinations

from skcode import DictionaryLearner
from skcode.metrics import match_dictionaries


def learned(n_components, seed):
    """Return a learner that was fitted from one start."""
    return DictionaryLearner(n_components, offset="mean", random_state=seed).fit(train)


agreement = {}
for share in (1 / 2, 5 / 8, 3 / 4, 1, 5 / 4):
    n_components = int(share * activations.shape[1])
    learners = [learned(n_components, seed) for seed in range(3)]
    used = [learner.components_[~learner.unused_atoms_] for learner in learners]
    shares = [match_dictionaries(*pair, n_draws=0).frac_recovered for pair in combinations(used, 2)]
    agreement[n_components] = np.mean(shares)
    missed = -learners[0].score(held_out)
    print(f"{n_components} atoms: {np.mean(shares):4.0%} come back, {missed:5.1%} of the variance unexplained")

# %%
# Ours bears some twenty atoms. Indeed it holds twenty concepts, ten digits on two sides, but nobody was told that. To
# come back is not yet to be true: it is what one can see without the truth.

n_components = max(agreement, key=agreement.get)
learner = learned(n_components, seed=0)
codes = learner.transform(held_out)
print(f"{(codes != 0).sum(axis=1).mean():.1f} concepts in a sample, alpha = {learner.alpha_:.3g}")

# %%
# What else you may want to change:
#
# * ``offset="mean"`` takes away what all activations have in common, before an atom is spent on it. Where one concept
#   of a group is always on, such as one of ten digits, the mean holds a bit of each, and one of them may come to be
#   told by the absence of the others; ``offset=None`` takes nothing away.
# * ``alpha`` was chosen by the level of noise. Twice as much gives fewer concepts for each sample, and explains
#   less; :func:`~skcode.model_selection.l0_path` shows the whole exchange. If you would rather say how many, keep the
#   dictionary and let :class:`~skcode.FISTACoder` find the penalty. A penalty shrinks codes, and what they lack counts
#   as unexplained. ``debias=True`` gives it back; then compare with an autoencoder of as many concepts in a sample.

from skcode import FISTACoder, SparseAutoencoder

coder = FISTACoder(learner.components_, offset=learner.offset_, target_l0=4)
contestants = {
    "learned dictionary": coder,
    "the same, debias=True": FISTACoder(**coder.get_params() | {"debias": True}),
    "autoencoder, TopK": SparseAutoencoder(n_components, n_active=4, random_state=0),
}
for name, contestant in contestants.items():
    print(f"4 concepts in a sample, {name:21}: {-contestant.fit(train).score(held_out):.1%} unexplained")

# %%
# The concepts of one sample
# --------------------------
# A concept has no name. It shows itself by the samples that have most of it: look these rows up in your own data. One
# that is on in half of all samples or more may be what the mean has left, and no concept. Any sample will do; this one
# is held out.

sample = n_train + 4
code = learner.transform(activations[sample : sample + 1])[0]
strongest = np.argsort(-code)[:4]
strongest = strongest[code[strongest] > 0]  # a sample may have fewer
all_codes = learner.transform(activations)  # with sparse_output=True as CSR, if there are many
top = np.argsort(-all_codes[:, strongest], axis=0)[:6].T
on = (all_codes > 0).mean(axis=0)
for concept, rows in zip(strongest, top, strict=True):
    print(f"concept {concept:2d}, on in {on[concept]:3.0%}; here {code[concept]:4.2f}, most in rows {rows}")

# %%
# Keep the learner, or only its dictionary, for another day. A concept's direction in the space of activations is its
# row of ``components_``.

import pickle

np.save(path.with_name("dictionary.npy"), learner.components_)
with path.with_name("learner.pkl").open("wb") as file:
    pickle.dump(learner, file)

# %%
# Is that what it means?
# ----------------------
# With digits the truth is known, and can be counted: give each digit on each side the atom whose codes tell it best,
# and look how often the two strongest codes of a held-out sample are those of its two digits. All of this section is
# about digits: leave it out.

atom_of = np.corrcoef(targets.T, all_codes.T)[:20, 20:].argmax(axis=1)
two_strongest = np.argsort(-all_codes[n_train:], axis=1)[:, :2]
own = np.column_stack([atom_of[labels[left[n_train:]]], atom_of[10 + labels[right[n_train:]]]])
right_ones = (own[:, :, None] == two_strongest[:, None, :]).any(axis=2)
print(f"{len(np.unique(atom_of))} atoms tell the 20 concepts")
both, one = right_ones.all(axis=1).mean(), right_ones.any(axis=1).mean()
print(f"the two strongest codes are those of both digits in {both:.0%} of samples, of one at least in {one:.0%}")

# %%
# The learner never saw a label. Weaker codes are harder to name.

import matplotlib.pyplot as plt

fig = plt.figure(figsize=(9, 4.2), layout="constrained")
grid = fig.add_gridspec(
    len(strongest) + 1, 8, width_ratios=[1.5, 1.8] + [1] * 6, height_ratios=[0.2] + [1] * len(strongest)
)


def panel(place, title=""):
    """Return axes without ticks and frame."""
    ax = fig.add_subplot(place)
    ax.set_title(title, fontsize=9, color="0.4", pad=2)
    ax.axis("off")
    return ax


panel(grid[2:4, 0], f"row {sample}").imshow(images[sample], cmap="gray_r")
headings = ("the sample", "its strongest codes", "samples that have most of this concept, with their codes")
for columns, heading in zip((slice(0, 1), slice(1, 2), slice(2, 8)), headings, strict=True):
    panel(grid[0, columns]).text(0.5, 0, heading, ha="center", fontsize=11)
bars = [panel(grid[1 + i, 1]) for i in range(len(strongest))]
for ax, concept in zip(bars, strongest, strict=True):
    ax.barh(0, code[concept], height=0.35, color="#009E73")
    ax.text(0, 0.3, f"concept {concept}", va="bottom", color="0.4", fontsize=9)
    ax.text(code[concept], 0, f" {code[concept]:.1f}", va="center", color="#009E73")
    ax.set(xlim=(0, 1.35 * code.max()), ylim=(-0.6, 0.9))
for i, concept in enumerate(strongest):
    for j, row in enumerate(top[i]):
        panel(grid[1 + i, 2 + j], f"{all_codes[row, concept]:.1f}").imshow(images[row], cmap="gray_r")
plt.show()
