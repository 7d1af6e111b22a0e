"""
What a score of chance looks like
=================================

The mean correlation coefficient (MCC) matches predicted columns to true ones so that the sum of correlations is
greatest. With many columns and few samples, random numbers match well too: with 400 columns and 200 samples, codes that
know nothing score 0.6. And where the narrower side is padded with noise, perfect codes beside as many unused columns
score one half. The adjusted score is zero for the first and one for the second.
"""

# %%
# Codes that know nothing
# -----------------------
# True codes are sparse, and the predicted ones are as sparse and independent of them.

import numpy as np

from skcode.metrics import mcc_score

rng = np.random.default_rng(0)


def sparse_codes(n_samples, n_components, n_active=5):
    """Draw independent sparse codes."""
    active = rng.random((n_samples, n_components)).argpartition(n_active, axis=1)[:, :n_active]
    codes = np.zeros((n_samples, n_components))
    np.put_along_axis(codes, active, rng.random((n_samples, n_active)), axis=1)
    return codes


widths = [10, 20, 50, 100, 200, 400]
floors, adjusted = {}, {}
for n_samples in (50, 200, 2000):
    pairs = [(sparse_codes(n_samples, n), sparse_codes(n_samples, n)) for n in widths]
    floors[n_samples] = [mcc_score(*pair) for pair in pairs]
    adjusted[n_samples] = [mcc_score(*pair, adjusted=True) for pair in pairs]
    print(f"{n_samples:4} samples: plain " + " ".join(f"{score:.2f}" for score in floors[n_samples]), end="; ")
    print("adjusted " + " ".join(f"{score:5.2f}" for score in adjusted[n_samples]))

# %%
# Perfect codes in company
# ------------------------
# Now the predicted codes are the true ones, and beside them stand columns that are never used. With
# ``padding="noise"``, the published variant, the narrower side is filled up with noise, and every unused column is
# matched with some of it.

codes = sparse_codes(2000, 50)
extra = [0, 10, 25, 50, 100, 200]
variants = {"plain": {}, "padded": {"padding": "noise"}, "adjusted": {"adjusted": True}}
company = {
    name: [mcc_score(codes, np.hstack([codes, np.zeros((2000, n))]), **variant) for n in extra]
    for name, variant in variants.items()
}

# %%
# So a score says little without its floor. After one round from random atoms, DL-FISTA has a published MCC of 0.36 with
# ten thousand concepts, and 0.30 after a hundred (:doc:`/paper`).

import matplotlib.pyplot as plt

fig, (left, right) = plt.subplots(1, 2, figsize=(9.4, 4.0), sharey=True, layout="constrained")
for n_samples, shade in zip(floors, ("0.0", "0.35", "0.6"), strict=True):
    left.plot(widths, floors[n_samples], color=shade, linewidth=2.2, marker="o", markersize=5, clip_on=False)
    left.plot(widths, adjusted[n_samples], color="#009E73", linewidth=2.2, marker="o", markersize=5, clip_on=False)
    left.annotate(
        f"{n_samples} samples", (widths[-1], floors[n_samples][-1]), xytext=(-4, 9), textcoords="offset points",
        ha="right", color=shade,
    )  # fmt: skip
left.text(10, -0.08, "adjusted", color="#009E73")
left.set(xscale="log", ylim=(-0.1, 1.02), xlabel="columns", ylabel="MCC")
left.set_xticks(widths, widths)
left.minorticks_off()
left.set_title("Codes that know nothing", loc="left", fontsize=11)
for name, colour in (("adjusted", "#009E73"), ("padded", "#D55E00")):
    right.plot(extra, company[name], color=colour, linewidth=2.2, marker="o", markersize=5, clip_on=False)
right.text(200, 0.93, "plain and adjusted", color="#009E73", ha="right")
right.text(105, 0.36, "padded with noise", color="#D55E00")
right.set(xlabel="unused columns beside 50 perfect ones")
right.set_title("Perfect codes", loc="left", fontsize=11)
for ax in (left, right):
    ax.spines[["top", "right"]].set_visible(False)
plt.show()
