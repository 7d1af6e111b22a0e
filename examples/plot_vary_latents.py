"""
More concepts
=============

With more concepts in superposition and the same number of samples, one method after the other loses them. Inference on
the true dictionary does not, so the codes can still be found; :class:`~skcode.DictionaryLearner` does not either, so
the dictionary can still be learned from these samples.
"""

# %%
# From twenty concepts to three hundred
# -------------------------------------
# 2,500 samples, five active concepts, and as many dimensions as the protocol of "Stop Probing, Start Coding"
# (arXiv:2603.28744) gives: enough for inference. The sweep of the paper, up to ten thousand concepts and with the
# published settings, is ``python benchmarks/paper_sweeps.py``.

from sklearn.linear_model import RidgeCV

from skcode import DictionaryLearner, OracleCoder, SparseAutoencoder
from skcode.datasets import make_compositional_shift
from skcode.metrics import mcc_score

sizes = [20, 40, 80, 160, 320]


def contestants(n, dictionary):
    """Return the methods, for n concepts."""
    return {
        "oracle": OracleCoder(dictionary),
        "DictionaryLearner": DictionaryLearner(n, alpha=0.1, penalty="l1", random_state=0),
        "DL-FISTA, 30 rounds": DictionaryLearner(
            n, alpha=0.1, method="alternating", penalty="l1", max_epochs=30, random_state=0
        ),
        "autoencoder, TopK": SparseAutoencoder(n, n_active=5, max_epochs=50, random_state=0),
        "linear probe": RidgeCV([1e-4, 1e-2, 1, 10], fit_intercept=False),
    }


scores = {}
for n in sizes:
    data = make_compositional_shift(5000, n, 5, random_state=0)
    for name, contestant in contestants(n, data.dictionary).items():
        contestant.fit(data.X_train, data.codes_train if name == "linear probe" else None)
        infer = contestant.predict if name == "linear probe" else contestant.transform
        scores.setdefault(name, []).append(mcc_score(data.codes_ood, infer(data.X_ood), adjusted=True))

print(f"{'':20}" + "".join(f"{n:8}" for n in sizes))
for name, values in scores.items():
    print(f"{name:20}" + "".join(f"{value:8.3f}" for value in values))

# %%
# The score is corrected for chance; without that, curves end on a floor (:doc:`/paper`). DL-FISTA is given thirty
# rounds here. With a thousand it finds most of 500 atoms, but half of 1,000.

import matplotlib.pyplot as plt

colours = dict(zip(scores, ("black", "#009E73", "#D55E00", "#E69F00", "0.45"), strict=True))
fig, ax = plt.subplots(figsize=(8.2, 4.2), layout="constrained")
for name, values in scores.items():
    style = "--" if name == "linear probe" else "-"
    ax.plot(sizes, values, style, color=colours[name], linewidth=2.2, marker="o", markersize=6, clip_on=False)
    nudge = {"oracle": 8, "DictionaryLearner": -6}.get(name, 0)
    ax.annotate(
        name, (sizes[-1], values[-1]), xytext=(10, nudge), textcoords="offset points", va="center", color=colours[name]
    )
ax.set(xscale="log", ylim=(0, 1), xlabel="concepts", ylabel="MCC in new combinations, adjusted for chance")
ax.set_xticks(sizes, sizes)
ax.minorticks_off()
ax.spines[["top", "right"]].set_visible(False)
plt.show()
