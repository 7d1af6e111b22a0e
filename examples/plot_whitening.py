"""
Directions that drown the others
================================

In real activations a few directions vary far more than all others, and reconstruction error is mostly about them. A
concept that lives in the quiet directions is cheap to miss. Whitening makes all directions count alike. An autoencoder
then finds concepts that it does not find otherwise; :class:`~skcode.DictionaryLearner`, which finds most of them
anyway, gains less.
"""

# %%
# A loud background
# -----------------
# A hundred sparse concepts in fifty dimensions, seen through a linear map that makes some directions up to thirty times
# larger than others: the spectrum of activations falls off like a power law.

import numpy as np

from skcode.datasets import make_compositional_shift

data = make_compositional_shift(8000, n_components=100, n_active=5, n_features=50, random_state=0)
rng = np.random.default_rng(0)
rotation = np.linalg.qr(rng.standard_normal((50, 50)))[0]
stretch = rotation * np.geomspace(30, 1, 50) @ rotation.T
X_train, X_val = data.X_train @ stretch, data.X_val @ stretch

# %%
# With whitening, and without
# ---------------------------
# ``SparseAutoencoder(whiten=True)`` encodes and penalises in white space, keeps the error in the original one ("Data
# whitening improves sparse autoencoder learning", arXiv:2511.13981), and folds all of it into its weights. For the
# learner, :class:`~skcode.preprocessing.PCAWhitener` goes before it in a pipeline; what it does, ``inverse_transform``
# undoes.

from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from skcode import DictionaryLearner, SparseAutoencoder
from skcode.metrics import mcc_score, unexplained_variance
from skcode.preprocessing import PCAWhitener

sae = {"n_components": 100, "n_active": 5, "max_epochs": 60, "random_state": 0}
learner = DictionaryLearner(100, aim="reconstruction", offset="mean", random_state=0)
contestants = {
    ("autoencoder, TopK", False): SparseAutoencoder(**sae),
    ("autoencoder, TopK", True): SparseAutoencoder(**sae, whiten=True),
    ("DictionaryLearner", False): learner,
    ("DictionaryLearner", True): make_pipeline(PCAWhitener(), clone(learner).set_params(offset=None)),
}
scores, missed, sparsity = {}, {}, {}
for key, contestant in contestants.items():
    codes = contestant.fit(X_train).transform(X_val)
    scores[key] = mcc_score(data.codes_val, codes, adjusted=True)
    missed[key] = unexplained_variance(X_val, contestant.inverse_transform(codes), mean=X_train.mean(axis=0))
    sparsity[key] = np.mean((codes != 0).sum(axis=1))
    name = f"{key[0]}, {'white' if key[1] else 'as is'}"
    print(f"{name:26} MCC {scores[key]:.3f}, unexplained {missed[key]:6.2%}, {sparsity[key]:.1f} active")

# %%
# The arrows lead from the activations as they are to the white ones. What it costs is reconstruction, if anything: the
# error that counts in white space is another one. Here the autoencoder's own error falls, since it has better atoms.

import matplotlib.pyplot as plt

colours = {"autoencoder, TopK": "#E69F00", "DictionaryLearner": "#009E73"}
fig, ax = plt.subplots(figsize=(8.2, 4.2), layout="constrained")
for name, colour in colours.items():
    (x0, y0), (x1, y1) = ((missed[name, white], scores[name, white]) for white in (False, True))
    ax.annotate(
        "",
        (x1, y1),
        (x0, y0),
        arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 2, "shrinkA": 6, "shrinkB": 6},
    )
    ax.plot(x0, y0, "o", color=colour, markerfacecolor="white", markersize=9, markeredgewidth=2)
    ax.plot(x1, y1, "o", color=colour, markersize=9)
    ax.annotate(name, (x1, y1), xytext=(12, 0), textcoords="offset points", va="center", color=colour)
ax.set(ylim=(0.6, 1), xlabel="variance left unexplained", ylabel="MCC with the true codes,\nadjusted for chance")
ax.set_xlim(0, 1.5 * max(missed.values()))
ax.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
ax.spines[["top", "right"]].set_visible(False)
plt.show()
