"""
Known concepts in new combinations
==================================

Concepts that are each known from training meet in combinations that training never showed. A classifier on what a
linear probe or a sparse autoencoder reads off in one pass is right in more than nine of ten familiar samples, and in
six to seven of ten new ones. On codes that are inferred for each sample on a good dictionary it stays right in nine of
ten. :class:`~skcode.DictionaryLearner` learns such a dictionary from activations alone, and its codes are next to those
of the oracle, which is given the true one.
"""

# %%
# The shift
# ---------
# The protocol of "Stop Probing, Start Coding" (arXiv:2603.28744): a hundred concepts in 47 dimensions, ten active in
# each sample. The first concept is the one that a classifier asks for. In training it comes with one half of the
# others, and out of distribution with the other half. Every concept was seen; the company is new.

from skcode.datasets import make_compositional_shift

data = make_compositional_shift(5000, n_components=100, n_active=10, random_state=0)
for name in ("train", "val", "ood"):
    together = data[f"codes_{name}"][data[f"codes_{name}"][:, 0] > 0] > 0
    print(f"{name:5} first concept with one of the first half: {together[:, 1:50].any(axis=1).mean():4.0%}")

# %%
# Those who compete
# -----------------
# The probe is told the true codes of the training samples and the oracle the true dictionary. All others see
# activations only. The autoencoders have skcode's defaults, which do better than the published settings, and know how
# many concepts are active. DL-FISTA is the dictionary learner of the paper.

import time

from sklearn.linear_model import RidgeCV

from skcode import DictionaryLearner, OracleCoder, SparseAutoencoder

contestants = {
    "linear probe": RidgeCV([1e-4, 1e-2, 1, 10], fit_intercept=False),
    "SAE, ReLU": SparseAutoencoder(100, activation="relu", target_l0=10, max_epochs=100, random_state=0),
    "SAE, JumpReLU": SparseAutoencoder(100, activation="jumprelu", target_l0=10, max_epochs=100, random_state=0),
    "SAE, TopK": SparseAutoencoder(100, activation="topk", n_active=10, max_epochs=100, random_state=0),
    "DL-FISTA": DictionaryLearner(100, alpha=0.1, method="alternating", max_epochs=150, random_state=0),
    "DictionaryLearner": DictionaryLearner(100, alpha=0.1, random_state=0),
    "oracle": OracleCoder(data.dictionary, alpha=0.1),
}
for name, contestant in contestants.items():
    start = time.perf_counter()
    contestant.fit(data.X_train, data.codes_train if name == "linear probe" else None)
    print(f"{name:18} fitted in {time.perf_counter() - start:5.1f} s")

# %%
# Codes are compared with the true ones by their correlation, corrected for what chance would give, and by a classifier
# on top of them that asks whether the first concept is strong. :func:`~skcode.metrics.shift_report` does both, on
# samples in distribution that nothing was learned from, and out of it.

from skcode.metrics import shift_report

reports = {
    name: shift_report(
        contestant, data.X_val, data.y_val, data.X_ood, data.y_ood, codes_id=data.codes_val, codes_ood=data.codes_ood
    )
    for name, contestant in contestants.items()
}
print(f"{'':18}{'adjusted MCC':>22}{'accuracy':>22}")
for name, report in reports.items():
    scores = (report[f"{score}_{side}"] for score in ("adjusted_mcc", "accuracy") for side in ("id", "ood"))
    print(f"{name:18}" + "".join(f"{score:11.3f}" for score in scores))

# %%
# Open circles are in distribution, full ones in new combinations: the line between them is what the shift costs.

import matplotlib.pyplot as plt

colours = {"linear probe": "0.45", "oracle": "black", "DictionaryLearner": "#009E73", "DL-FISTA": "#D55E00"}
fig, axes = plt.subplots(1, 2, figsize=(9.4, 3.9), sharey=True, layout="constrained")
for ax, score, title in zip(
    axes, ("adjusted_mcc", "accuracy"), ("Agreement with the true codes", "Accuracy of a classifier"), strict=True
):
    for height, name in enumerate(reversed(reports)):
        inside, outside = (reports[name][f"{score}_{side}"] for side in ("id", "ood"))
        colour = colours.get(name, "#E69F00")
        ax.plot([inside, outside], [height, height], color=colour, linewidth=3, alpha=0.4, solid_capstyle="butt")
        ax.plot(outside, height, "o", color=colour, markersize=8, clip_on=False)
        ax.plot(
            inside, height, "o", color=colour, markersize=8, markerfacecolor="white", markeredgewidth=1.8, clip_on=False
        )
    ax.set_title(title, loc="left", fontsize=11)
    ax.grid(axis="x", color="0.92")
    ax.set_axisbelow(True)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(length=0)
axes[0].set_yticks(range(len(reports)), list(reversed(reports)))
axes[0].set_xlabel("MCC, adjusted for chance")
axes[0].set_xlim(0.5, 1)
axes[1].set_xlabel("share of samples classified correctly")
axes[1].set_xlim(0.5, 1)
plt.show()
