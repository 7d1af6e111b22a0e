"""
Concepts in a real network
==========================

A small network reads two digits side by side, so that its hidden activations mix two concepts: which digit is on the
left, and which on the right. Single codes, of an autoencoder or on a learned dictionary, tell them far better than
single neurons. When digits meet in pairs that were never seen, neurons lose a quarter of what they told above chance,
codes of the autoencoder a fortieth, and codes on the learned dictionary half of that. (That is with as many
features as neurons; of twice as many, the autoencoder's tell more, and lose more.)
"""

# %%
# The network
# -----------
# Pairs of handwritten digits, a perceptron with 32 hidden units that says which they are, and a shift: in training, the
# right digit is up to four more than the left one (modulo ten); out of distribution it is five to nine more.

import numpy as np
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

images, labels = load_digits(return_X_y=True)
images = images / 16
rng = np.random.default_rng(0)


def pairs(pool, n_pairs, new):
    """Draw pairs of digits; return the images side by side, and both labels."""
    left, right = rng.choice(pool, 4 * n_pairs), rng.choice(pool, 4 * n_pairs)
    fits = ((labels[right] - labels[left]) % 10 >= 5) == new
    left, right = left[fits][:n_pairs], right[fits][:n_pairs]
    return np.hstack([images[left], images[right]]), labels[left], labels[right]


pool, unseen = np.split(rng.permutation(len(images)), [1100])
train, familiar, new = pairs(pool, 3000, False), pairs(unseen, 1500, False), pairs(unseen, 1500, True)
network = MLPClassifier((32,), random_state=0)
targets = np.hstack([np.eye(10)[train[1]], np.eye(10)[train[2]]])
for _ in range(80):
    network.partial_fit(train[0], targets, classes=np.arange(20))
mean = None
activations = []
for pixels, *_ in (train, familiar, new):
    hidden = np.maximum(pixels @ network.coefs_[0] + network.intercepts_[0], 0)
    mean = hidden.mean(axis=0) if mean is None else mean
    activations.append(hidden - mean)

# %%
# Three sets of features
# ----------------------
# The neurons themselves, the latents of a TopK autoencoder, and codes on learned atoms: 32 of each, the latter two with
# six active in a sample.

from skcode import DictionaryLearner, FISTACoder, SparseAutoencoder

sae = SparseAutoencoder(32, n_active=6, random_state=0).fit(activations[0])
learner = DictionaryLearner(32, random_state=0).fit(activations[0])
coder = FISTACoder(learner.components_, target_l0=6).fit(activations[0])
features = {
    "neurons": activations,
    "autoencoder, TopK": [sae.transform(X) for X in activations],
    "DictionaryLearner": [coder.transform(X) for X in activations],
}

# %%
# A concept is read from a single feature: the one that tells it best, in familiar pairs. The score is the area under
# the ROC curve, one half by chance. The question is how well that same feature tells it in new pairs.

from scipy.stats import rankdata


def auc(feature_ranks, is_concept):
    """Return the area under the ROC curve of each column, either way round."""
    n_yes, n_no = is_concept.sum(), (~is_concept).sum()
    area = (feature_ranks[is_concept].sum(axis=0) - n_yes * (n_yes + 1) / 2) / (n_yes * n_no)
    return np.maximum(area, 1 - area)


concepts = [(side, digit) for side in ("left", "right") for digit in range(10)]
scores = {}
for name, (_, inside, outside) in features.items():
    ranks_in, ranks_out = rankdata(inside, axis=0), rankdata(outside, axis=0)
    scores[name] = []
    for side, digit in concepts:
        column = 1 if side == "left" else 2
        areas = auc(ranks_in, familiar[column] == digit)
        best = np.argmax(areas)
        scores[name].append((areas[best], auc(ranks_out, new[column] == digit)[best]))
    inside, outside = np.mean(scores[name], axis=0)
    print(f"{name:18} familiar pairs {inside:.3f}, new pairs {outside:.3f}, lost {inside - outside:.3f}")

# %%
# Each point is a concept, such as "a seven on the left". There are 20 of them. With 64 features in place of 32, each
# concept is spread over more of them: 0.95 becomes 0.94 for the autoencoder in new pairs, and 0.90 for the dictionary.

import matplotlib.pyplot as plt

colours = {"neurons": "0.45", "autoencoder, TopK": "#E69F00", "DictionaryLearner": "#009E73"}
fig, axes = plt.subplots(1, 3, figsize=(9.6, 3.6), sharex=True, sharey=True, layout="constrained")
for ax, (name, found) in zip(axes, scores.items(), strict=True):
    inside, outside = np.array(found).T
    ax.plot([0.5, 1], [0.5, 1], color="0.85", linewidth=1.5, zorder=0)
    ax.plot(inside, outside, "o", color=colours[name], markersize=7, alpha=0.7, markeredgewidth=0, clip_on=False)
    ax.set_title(f"{name}: {outside.mean():.2f}", loc="left", fontsize=11, color=colours[name])
    ax.set(xlim=(0.5, 1), ylim=(0.5, 1), xlabel="AUC, familiar pairs", aspect="equal")
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("AUC, new pairs")
plt.show()
