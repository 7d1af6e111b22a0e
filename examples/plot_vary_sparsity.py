"""
More active concepts
====================

The more concepts are active at once, the harder it is to tell which. Agreement with the true codes and the accuracy of
a classifier tell different stories about that: with a third of all concepts active, the oracle's codes are still nearly
right, while the accuracy of a classifier on them, in new combinations, is that of a coin. Accuracy alone is not a
measure of recovery.
"""

# %%
# From two active concepts to forty
# ---------------------------------
# Of 120 concepts, with the dimensions that the protocol of "Stop Probing, Start Coding" (arXiv:2603.28744) gives for
# each number of active ones. The classifier asks whether the first concept is strong. It is fitted to codes in
# distribution.

from sklearn.linear_model import LogisticRegression

from skcode import DictionaryLearner, OracleCoder, SparseAutoencoder
from skcode.datasets import make_compositional_shift
from skcode.metrics import shift_report

active = [2, 5, 10, 20, 40]
fitted_anew = []
reports = {"oracle": [], "DictionaryLearner": [], "autoencoder, TopK": []}
for k in active:
    data = make_compositional_shift(4000, 120, k, random_state=0)
    contestants = (
        OracleCoder(data.dictionary),
        DictionaryLearner(120, alpha=0.1, penalty="l1", random_state=0),
        SparseAutoencoder(120, n_active=k, max_epochs=60, random_state=0),
    )
    for found, contestant in zip(reports.values(), contestants, strict=True):
        contestant.fit(data.X_train)
        sides = (data.X_val, data.y_val, data.X_ood, data.y_ood)
        found.append(shift_report(contestant, *sides, codes_id=data.codes_val, codes_ood=data.codes_ood))
    codes = contestants[0].transform(data.X_ood)
    anew = LogisticRegression(max_iter=2000).fit(codes[::2], data.y_ood[::2])
    fitted_anew.append(anew.score(codes[1::2], data.y_ood[1::2]))

for score in ("adjusted_mcc_ood", "accuracy_ood"):
    print(f"{score:20}" + "".join(f"k={k:<6}" for k in active))
    for name, found in reports.items():
        print(f"{name:20}" + "".join(f"{report[score]:<8.3f}" for report in found))

print(f"{'oracle, fitted anew':20}" + "".join(f"{accuracy:<8.3f}" for accuracy in fitted_anew))

# %%
# What the oracle's codes say of the first concept is not lost: a classifier that is fitted to new combinations is right
# in most of them. It is the one fitted to the old company that no longer holds. The dictionary is harder to learn when
# codes are dense: with forty concepts active, :class:`~skcode.DictionaryLearner` does not find it either.

import matplotlib.pyplot as plt

colours = dict(zip(reports, ("black", "#009E73", "#E69F00"), strict=True))
fig, axes = plt.subplots(1, 2, figsize=(9.4, 4.0), layout="constrained")
for ax, score, title in zip(
    axes,
    ("adjusted_mcc_ood", "accuracy_ood"),
    ("Agreement with the true codes (adjusted MCC)", "Accuracy of a classifier"),
    strict=True,
):
    if score == "accuracy_ood":
        ax.plot(active, fitted_anew, "--", color="black", linewidth=1.5, clip_on=False)
        ax.text(39, 0.945, "fitted anew", ha="right", va="bottom")
    for name, found in reports.items():
        values = [report[score] for report in found]
        ax.plot(active, values, color=colours[name], linewidth=2.2, marker="o", markersize=6, clip_on=False)
    ax.set(xscale="log", xlim=(2, 40), xlabel="active concepts, of 120")
    ax.set_xticks(active, active)
    ax.minorticks_off()
    ax.set_title(title + ",\nnew combinations", loc="left", fontsize=11)
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_ylim(0, 1)
axes[1].set_ylim(0.45, 1)
axes[1].text(2.1, 0.505, "chance", color="0.45", va="bottom")
for name, height in zip(reports, (0.4, 0.3, 0.2), strict=True):
    axes[0].text(2.2, height, name, color=colours[name], fontsize=11)
plt.show()
