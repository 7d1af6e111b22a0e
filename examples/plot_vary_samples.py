"""
More samples
============

How many samples does it take to learn a dictionary? Counting equations and unknowns says that nobody can do with much
less than one for each atom. :class:`~skcode.DictionaryLearner` finds nine of ten atoms from about three samples for
each, the alternation of the paper from seven or eight, and a TopK autoencoder not from sixteen.
"""

# %%
# A hundred and fifty concepts
# ----------------------------
# Five of them active. A sample gives as many equations as it has features, and takes away five unknown codes; the
# directions of the atoms are unknown as well. So ``N (m - k) >= n (m - 1)``: with fewer samples than that, other
# dictionaries explain the samples just as well.

import warnings

from skcode import DictionaryLearner, SparseAutoencoder
from skcode.datasets import make_compositional_shift
from skcode.metrics import match_dictionaries

n, k = 150, 5
warnings.filterwarnings("ignore", "n_components=150 atoms cannot be told apart")  # we shall see whether they can
sizes = [100, 150, 250, 400, 700, 1250, 2500]
data = make_compositional_shift(2 * sizes[-1], n, k, random_state=0)
m = data.X_train.shape[1]
fewest = n * (m - 1) / (m - k)
print(f"{m} features: at least {fewest:.0f} samples")

recovered = {"DictionaryLearner": [], "DL-FISTA, 60 rounds": [], "autoencoder, TopK": []}
for size in sizes:
    X = data.X_train[:size]
    # As many steps for the autoencoder whatever the number of samples.
    learners = (
        DictionaryLearner(n, random_state=0),
        DictionaryLearner(n, alpha=0.1, method="alternating", penalty="l1", max_epochs=60, random_state=0),
        SparseAutoencoder(n, n_active=k, max_epochs=100 * sizes[-1] // size, random_state=0),
    )
    for found, learner in zip(recovered.values(), learners, strict=True):
        found.append(match_dictionaries(data.dictionary, learner.fit(X).components_).frac_recovered)

print(f"{'samples':20}" + "".join(f"{size:7}" for size in sizes))
for name, values in recovered.items():
    print(f"{name:20}" + "".join(f"{value:7.0%}" for value in values))

# %%
# Recovery is nearly a matter of all or nothing: over a factor of three in samples it goes from next to no atom to
# nearly all. What differs is where.

import matplotlib.pyplot as plt

colours = dict(zip(recovered, ("#009E73", "#D55E00", "#E69F00"), strict=True))
fig, ax = plt.subplots(figsize=(8.2, 4.2), layout="constrained")
ax.axvspan(sizes[0], fewest, color="0.9", linewidth=0)
ax.text(130, 0.5, "fewer equations than unknowns", ha="center", va="center", rotation=90, color="0.35")
for name, values in recovered.items():
    ax.plot(sizes, values, color=colours[name], linewidth=2.2, marker="o", markersize=6, clip_on=False)
    ax.annotate(
        name, (sizes[-1], values[-1]), xytext=(10, 0), textcoords="offset points", va="center", color=colours[name]
    )
ax.set(xscale="log", xlim=(sizes[0], sizes[-1]), ylim=(0, 1), xlabel="samples to learn from")
ax.set_ylabel("share of the true atoms found")
ax.set_xticks(sizes, sizes)
ax.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
ax.minorticks_off()
ax.spines[["top", "right"]].set_visible(False)
plt.show()
