"""
From your activations to their concepts
=======================================

All that skcode needs is an array of activations with a row for each sample. This page goes from a ``.npy`` file to the
concepts of one sample: learn a dictionary, check it on samples held out, code a sample, and look at the samples that
show its strongest concepts most. Nobody tells the learner what the concepts are, or how many a sample has. For a file
of your own, change one line, the path; all numbers below then speak of it.
"""

# %%
# A file of activations
# ---------------------
# Yours may hold the residual stream of a language model at one layer, a token in each row. Ours holds the 32 hidden
# activations of a small network that reads two handwritten digits side by side. It is made in this cell, which you can
# leave out.

import tempfile
from pathlib import Path

import numpy as np
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

path = Path(tempfile.mkdtemp()) / "activations.npy"
np.save(path, hidden.astype(np.float32))

# %%
# The line to change
# ------------------
# Put the path of your file here. With ``mmap_mode="r"`` rows are read from disk when they are asked for.

activations = np.load(path, mmap_mode="r")
print(f"{activations.shape[0]} samples, {activations.shape[1]} features, {activations.dtype}")

# %%
# Learn a dictionary
# ------------------
# The last tenth of the samples is held out. ``offset="mean"`` takes away what all activations have in common, before an
# atom is spent on it.

from skcode import DictionaryLearner

n_train = len(activations) * 9 // 10
n_components = activations.shape[1]
learner = DictionaryLearner(n_components, offset="mean", random_state=0).fit(activations[:n_train])

# %%
# Two numbers say whether to go on: the share of the variance of held-out samples that the codes leave unexplained, and
# how many concepts a sample has on average, its L0. Neither says that the concepts mean anything: compare with an
# autoencoder at the same L0, and look at the concepts.

from skcode.metrics import unexplained_variance

held_out = activations[n_train:]
codes = learner.transform(held_out)
missed = unexplained_variance(held_out, learner.inverse_transform(codes), mean=learner.mean_)
print(f"held out: {missed:.1%} of the variance unexplained, {(codes != 0).sum(axis=1).mean():.1f} concepts in a sample")
print(f"alpha = {learner.alpha_:.3g}, {learner.unused_atoms_.sum()} of {n_components} atoms unused")

# %%
# What to change if they do not please you:
#
# * ``n_components``. We know that there are 20 concepts (ten digits on two sides), so we take no more atoms than
#   features. The default is twice the number of features; for a language model take several times as many. With too
#   few, atoms stand for several concepts; with too many, a concept is split between atoms.
# * ``alpha``. Ours was chosen by the scale of the data and is printed above. Twice as much gives fewer concepts for
#   each sample, and explains less; :func:`~skcode.model_selection.l0_path` shows the whole exchange. If you would
#   rather say how many, keep the dictionary and let :class:`~skcode.FISTACoder` find the penalty:

from skcode import FISTACoder

sparser = FISTACoder(learner.components_, offset=learner.offset_, target_l0=4).fit(activations[:n_train])
missed = unexplained_variance(held_out, sparser.inverse_transform(sparser.transform(held_out)), mean=learner.mean_)
print(f"with 4 concepts in a sample, alpha = {sparser.alpha_:.3g}: {missed:.1%} unexplained")

# %%
# The concepts of one sample
# --------------------------
# A concept has no name. It shows itself by the samples that have most of it: look these rows up in your own data. Any
# sample will do; this one is held out.

sample = n_train + 4
code = learner.transform(activations[sample : sample + 1])[0]
strongest = np.argsort(-code)[:4]
all_codes = learner.transform(activations)  # with sparse_output=True as CSR, if there are many
top = np.argsort(-all_codes[:, strongest], axis=0)[:6].T
for concept, rows in zip(strongest, top, strict=True):
    print(f"concept {concept:2d}, code {code[concept]:4.2f}, most in rows {rows}")

# %%
# Keep the learner, or only its dictionary, for another day. A concept's direction in the space of activations is its
# row of ``components_``.

import pickle

np.save(path.with_name("dictionary.npy"), learner.components_)
with path.with_name("learner.pkl").open("wb") as file:
    pickle.dump(learner, file)

# %%
# Two codes stand out, and the samples that have most of them say why: they share the left digit or the right one, and
# differ in all else. Is that a lucky sample? Here the truth is known, and can be counted: give each digit on each side
# the atom whose codes tell it best.

truth = np.hstack([np.eye(10)[labels[left]], np.eye(10)[labels[right]]])
correlation = np.corrcoef(truth.T, all_codes.T)[:20, 20:]
atom_of = correlation.argmax(axis=1)
two_strongest = np.argsort(-all_codes[n_train:], axis=1)[:, :2]
own = np.column_stack([atom_of[labels[left[n_train:]]], atom_of[10 + labels[right[n_train:]]]])
right_ones = (own[:, :, None] == two_strongest[:, None, :]).any(axis=2)
print(
    f"{len(np.unique(atom_of))} atoms tell the 20 concepts; the two strongest codes of a held-out sample are those of"
)
both, one = right_ones.all(axis=1).mean(), right_ones.any(axis=1).mean()
print(f"both its digits in {both:.0%} of cases, of one at least in {one:.0%}")

# %%
# The learner never saw a label. Weaker codes are harder to name.

import matplotlib.pyplot as plt

fig = plt.figure(figsize=(9, 4.2), layout="constrained")
grid = fig.add_gridspec(len(strongest) + 1, 8, width_ratios=[1.5, 1.8] + [1] * 6, height_ratios=[0.2] + [1] * 4)


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
