"""
Concepts in new combinations
============================

A concept can be read off activations with over 90 % accuracy, until it turns up in the company of other concepts. Then
every coder that makes one feed-forward pass, linear probe and sparse autoencoders alike, falls below 75 %; those that
infer the codes of every sample anew, on a good dictionary, stay above 90 %. The codes of
:class:`~skcode.DictionaryLearner`, which sees activations and nothing else, match the true ones nearly as well as those
of the oracle, which is given the true dictionary, and better than those of DL-FISTA, the paper's alternation of sparse
coding and least squares; in accuracy it is within two points of the oracle.

This is the experiment of "Stop Probing, Start Coding" (arXiv:2603.28744) in one page, at its size of 100 concepts in 47
dimensions.
"""

# %%
# What shifts
# -----------
# A sample mixes ten concepts out of 100, each with a strength between 0 and 1. There are more concepts than dimensions,
# so their directions overlap: this is superposition. Concept 0 is the one that we want to read off, say *is the person
# in the photograph smiling?* In training it is only ever seen together with concepts 1 to 49. The others are in
# training too, but without concept 0. Out of distribution, concept 0 meets concepts 50 to 99: nothing is new but the
# company.
#
# A monitor that watches the activations of a language model for one concept is in this position every day: the
# combinations of concepts are far too many for any training set to hold them all.

import numpy as np

from skcode.datasets import make_compositional_shift

n_components, n_active, alpha = 100, 10, 0.1
data = make_compositional_shift(5000, n_components, n_active, dtype=np.float32, random_state=0)
active = data.codes_train > 0
print(f"{len(data.X_train)} training samples in {data.X_train.shape[1]} dimensions, {n_components} concepts")
print(f"concepts 50 to 99: each in {active[:, 50:].mean():.1%} of the training samples,", end=" ")
print(f"but in {active[active[:, 0], 50:].mean():.1%} of those that hold concept 0")

# %%
# Eight ways to read codes
# ------------------------
# The linear probe is fitted to the true codes, which nobody has in practice. The autoencoders and both dictionary
# learners see activations only. "FISTA on TopK's dictionary" keeps what the TopK autoencoder has learned about the
# concepts' directions, and only replaces its encoder by an optimisation for each sample. The oracle infers in the same
# way on the true dictionary.

from sklearn.linear_model import LogisticRegression, RidgeCV

from skcode import DictionaryLearner, FISTACoder, OracleCoder, SparseAutoencoder

X = data.X_train
topk, relu, jumprelu = (
    SparseAutoencoder(n_components, activation=name, n_active=n_active, random_state=0).fit(X)
    for name in ("topk", "relu", "jumprelu")
)
dl_fista = DictionaryLearner(n_components, method="alternating", penalty="l1", max_epochs=150, random_state=0)
coders = {
    "linear probe": RidgeCV(np.logspace(-6, 2, 9)).fit(X, data.codes_train).predict,
    "autoencoder, ReLU": relu.transform,
    "autoencoder, JumpReLU": jumprelu.transform,
    "autoencoder, TopK": topk.transform,
    "FISTA on TopK's dictionary": FISTACoder(topk.components_, offset=topk.offset_, alpha=alpha).fit(X).transform,
    "DL-FISTA": dl_fista.fit(X).transform,
    "DictionaryLearner": DictionaryLearner(n_components, penalty="l1", random_state=0).fit(X).transform,
    "oracle": OracleCoder(data.dictionary, alpha=alpha).fit(X).transform,
}

# %%
# Two questions are asked of the codes, both on samples that no coder has seen. How well does each true concept agree
# with a code of its own? That is the mean correlation coefficient, MCC, adjusted so that chance gives 0. And does a
# logistic regression, trained on the codes of the training samples, still tell whether concept 0 is above one half?

from skcode.metrics import mcc_score

sides = {"in": (data.X_val, data.codes_val, data.y_val), "out": (data.X_ood, data.codes_ood, data.y_ood)}
mcc, accuracy = {}, {}
print(f"{'':28}{'MCC in':>8}{'out':>8}{'accuracy in':>14}{'out':>8}")
for name, code in coders.items():
    readout = LogisticRegression(C=10, max_iter=1000).fit(code(X), data.y_train)
    for side, (samples, codes_true, labels) in sides.items():
        codes = code(samples)
        mcc[name, side] = mcc_score(codes_true, codes, adjusted=True)
        accuracy[name, side] = readout.score(codes, labels)
    print(f"{name:28}{mcc[name, 'in']:8.3f}{mcc[name, 'out']:8.3f}", end="")
    print(f"{accuracy[name, 'in']:14.3f}{accuracy[name, 'out']:8.3f}")

# %%
# In distribution all coders look alike by their accuracy (hollow markers on the right); only the MCC on the left sets
# them apart. The autoencoders' MCC falls under the shift, their readouts collapse. The linear probe's MCC does not
# fall, but it was low to begin with: a linear map cannot tell 100 directions apart in 47 dimensions. What its readout
# has learned is the company that concept 0 keeps, and the company has changed. On the same dictionary, inference
# instead of the encoder makes good most of the loss: :ref:`sphx_glr_auto_examples_plot_encoder_or_dictionary.py` takes
# that apart. :ref:`sphx_glr_auto_examples_plot_merged_atoms.py` shows which atoms DL-FISTA gets wrong.

import matplotlib.pyplot as plt

colours = {
    "linear probe": "0.45", "autoencoder, ReLU": "#8A5F00", "autoencoder, JumpReLU": "#CC79A7",
    "autoencoder, TopK": "#E69F00", "FISTA on TopK's dictionary": "#0072B2", "DL-FISTA": "#D55E00",
    "DictionaryLearner": "#009E73", "oracle": "black",
}  # fmt: skip
rows = np.array([7.5, 6.5, 5.5, 4.5, 3, 2, 1, 0])
fig, axes = plt.subplots(1, 2, figsize=(9, 4.3), sharey=True, layout="constrained")
for ax, score in zip(axes, (mcc, accuracy), strict=True):
    for row, name in zip(rows, coders, strict=True):
        inside, outside = score[name, "in"], score[name, "out"]
        ax.annotate("", (outside, row), (inside, row), arrowprops={
            "arrowstyle": "-", "color": colours[name], "linewidth": 3, "alpha": 0.45, "shrinkA": 3, "shrinkB": 3,
        })  # fmt: skip
        ax.plot(inside, row, "o", markersize=9, color="white", markeredgecolor=colours[name], markeredgewidth=1.8)
        ax.plot(outside, row, "o", markersize=9, color=colours[name], markeredgecolor=colours[name])
    ax.axhline(3.75, color="0.85", linewidth=1)
    ax.grid(axis="x", color="0.93")
    ax.set_axisbelow(True)
    ax.tick_params(left=False)
    ax.spines[["top", "right", "left"]].set_visible(False)
axes[0].set_yticks(rows, coders)
for label, name in zip(axes[0].get_yticklabels(), coders, strict=True):
    label.set_color(colours[name])
axes[0].set(xlim=(0.6, 1.01), ylim=(-0.6, 8.9), xlabel="adjusted MCC with the true codes")
axes[1].set(xlim=(0.48, 1.01), xlabel="accuracy of a logistic regression on the codes")
axes[1].axvline(0.5, color="0.8", linewidth=2)
axes[1].text(0.507, 2.6, "a coin", color="0.5")
axes[1].text(1.0, 8.2, "seen combinations", ha="right", color="0.3")
axes[1].text(accuracy["linear probe", "out"] - 0.03, 8.2, "new combinations", ha="center", color="0.3")
axes[0].text(0.605, 8.2, "one pass", color="0.3", style="italic")
axes[0].text(0.605, 3.25, "inferred for each sample", color="0.3", style="italic", va="center")
plt.show()
