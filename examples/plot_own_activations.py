"""
From your activations to the concepts of one sample
===================================================

All it takes is an array of activations of shape ``(n_samples, n_features)`` in a ``.npy`` file.
:class:`~skcode.DictionaryLearner` learns a dictionary of concepts from it, and tells which of them a sample is made of.
To use your own file, change one line; only the pictures at the end are of digits.
"""

# %%
# The activations
# ---------------
# A stand-in for your network: a perceptron that was trained to read handwritten digits, and the activations of its 32
# hidden units.

import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

images, labels = load_digits(return_X_y=True)
images = images / 16
network = MLPClassifier((32,), alpha=0.01, max_iter=60, random_state=0)
for _ in range(60):
    network.partial_fit(images[:800], labels[:800], classes=np.arange(10))
hidden = np.maximum(images @ network.coefs_[0] + network.intercepts_[0], 0)

path = Path(tempfile.mkdtemp()) / "activations.npy"
np.save(path, hidden.astype(np.float32))

# %%
# From here on it does not matter where they come from: **put your own path here.** A memory map is read block by block,
# so that the file may be larger than memory. Hold some samples out, to judge by; if rows that follow each other are
# alike, shuffle them first.

activations = np.load(path, mmap_mode="r")
n_train = int(0.8 * len(activations))
train, held_out = activations[:n_train], activations[n_train:]
print(f"{len(train)} samples to learn from, {len(held_out)} held out, {activations.shape[1]} features")

# %%
# The dictionary
# --------------
# Twice as many atoms as features is a start. ``offset="mean"`` takes away the mean activation, which is of no interest
# in most networks.

from skcode import DictionaryLearner

learner = DictionaryLearner(n_components=2 * activations.shape[1], offset="mean", random_state=0).fit(train)
codes = learner.transform(held_out)

# %%
# Three numbers say whether to go on: how many concepts a sample takes, how much of the variance they leave unexplained,
# and how many atoms are not used at all. More concepts per sample always explain more; a lower ``alpha`` gives that. To
# ask for a number of concepts instead of a penalty, put the dictionary into ``FISTACoder(learner.components_,
# offset=learner.offset_, target_l0=5)``.

print(f"concepts in a sample: {(codes != 0).sum(axis=1).mean():.1f} of {len(learner.components_)}")
print(f"unexplained of held-out samples: {-learner.score(held_out):.1%} of the variance")
print(f"atoms without use: {learner.unused_atoms_.sum()}")

# %%
# The concepts of one sample
# --------------------------
# The strongest codes of a sample name its concepts, and ``components_`` holds their directions. What a concept means,
# the samples tell in which it is strongest.

sample = 5
strongest = np.argsort(-codes[sample])[:4]
all_codes = learner.transform(activations)
for concept in strongest:
    top = np.argsort(-all_codes[:, concept])[:8]
    print(f"concept {concept:2}: code {codes[sample, concept]:.2f}, strongest in samples {top}")

# %%
# Keep the dictionary: two arrays and a penalty are all that is needed to code new samples, here or elsewhere.

np.savez(path.with_name("dictionary.npz"), components=learner.components_, offset=learner.offset_, alpha=learner.alpha_)

# %%
# On the left the sample, then its strongest concepts, each by the eight images in which it is strongest.

import matplotlib.pyplot as plt

fig, axes = plt.subplots(4, 10, figsize=(9.4, 4.0), width_ratios=[3.2, 1.4, *[1] * 8], layout="constrained")
for ax in axes.ravel():
    ax.set_axis_off()
for ax in axes[:, 0]:
    ax.remove()
ax = fig.add_subplot(axes[0, 0].get_gridspec()[:, 0])
ax.imshow(images[n_train + sample].reshape(8, 8), cmap="gray_r")
ax.set_title("the sample", fontsize=11)
ax.set(xticks=[], yticks=[])
for row, concept in zip(axes, strongest, strict=True):
    row[1].text(1, 0.6, f"concept {concept}", ha="right", va="center", fontsize=10, transform=row[1].transAxes)
    row[1].text(
        1,
        0.3,
        f"code {codes[sample, concept]:.2f}",
        ha="right",
        va="center",
        color="#009E73",
        transform=row[1].transAxes,
    )
    for ax, top in zip(row[2:], np.argsort(-all_codes[:, concept]), strict=False):
        ax.imshow(images[top].reshape(8, 8), cmap="gray_r")
plt.show()
