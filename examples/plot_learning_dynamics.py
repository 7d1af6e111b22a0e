"""
Recovery is sigmoidal: do not stop on a plateau
===============================================

While a dictionary is being learned, nothing is recovered for long, then nearly everything within a few passes. The loss
does not tell the plateau from the end. DL-FISTA, stopped when a pass lowers its loss by less than half a percent, stops
on the plateau without a single atom, and a TopK autoencoder with about half of those that it finds later.
:class:`~skcode.DictionaryLearner` finds nearly all within ten passes, and has no such rule: the number of its passes
follows from those of atoms and samples.
"""

# %%
# Three learners, watched
# -----------------------
# 200 concepts, ten of them active in each of 2000 training samples. Callbacks (scikit-learn 1.9 or later) hear of each
# pass, and judge the dictionary of the moment: the share of atoms that have a match with a cosine above 0.9, the mean
# cosine of all matches, and the objective of other samples, coded optimally on that dictionary. That is a common
# measure; the losses that are descended differ, and :class:`~skcode.DictionaryLearner` lowers its penalty on the way.

import numpy as np

from skcode import DictionaryLearner, FISTACoder, SparseAutoencoder
from skcode.datasets import make_compositional_shift
from skcode.metrics import match_dictionaries

n_components, n_active, alpha = 200, 10, 0.1
data = make_compositional_shift(4000, n_components, n_active, dtype=np.float32, random_state=0)
held_out = data.X_val[:300]


def objective(components):
    """Return the mean objective of samples that none has seen."""
    codes = FISTACoder(components, alpha=alpha).fit(held_out).transform(held_out)
    return (0.5 * ((held_out - codes @ components) ** 2).sum(axis=1) + alpha * codes.sum(axis=1)).mean()


class Watch:
    """Judges the dictionary after some of the passes."""

    def __init__(self, passes):
        self.wanted, self.n_done, self.judged = set(passes), 0, []

    def setup(self, estimator, context):
        """Nothing to prepare."""

    def teardown(self, estimator, context):
        """Nothing to clear away."""

    def on_fit_task_begin(self, estimator, context):
        """Nothing to note."""

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        """Judge the dictionary after a pass; the task without a parent is the fit as a whole."""
        self.n_done += context.parent is not None
        if context.parent is not None and self.n_done in self.wanted:
            atoms = fitted_estimator.components_
            match = match_dictionaries(data.dictionary, atoms, n_draws=0)
            self.judged.append((self.n_done, match.frac_recovered, match.mean_cosine, objective(atoms)))


learners = {
    "DictionaryLearner": DictionaryLearner(n_components, random_state=0),
    "DL-FISTA": DictionaryLearner(n_components, method="alternating", alpha=alpha, max_epochs=100, random_state=0),
    "TopK autoencoder": SparseAutoencoder(n_components, n_active=n_active, max_epochs=400, random_state=0),
}
curves = {}
for name, learner in learners.items():
    watch = Watch(np.unique(np.geomspace(1, 400, 80).round().astype(int)))
    learner.set_callbacks(watch).fit(data.X_train)
    curves[name] = np.array(watch.judged).T

# %%
# Where one would have stopped
# ----------------------------
# ``history_`` has the loss of each pass. We look for the first that lowers it by less than half a percent.

stopped = {}
for name, loss in (("DL-FISTA", "objective"), ("TopK autoencoder", "squared_error")):
    losses = np.array(learners[name].history_[loss])
    stopped[name] = 1 + np.argmax(losses[1:] > 0.995 * losses[:-1])
    passes, share = curves[name][:2]
    then = np.interp(stopped[name], passes, share)
    print(f"{name}: stopped after {stopped[name]} passes with {then:.0%} of the atoms; in the end {share[-1]:.0%}")

# %%
# The mean cosine rises all along: the plateau is not idle. But to see that one needs the truth. Atoms become right
# together, since each is learned from codes in which the others must be right as well.

import matplotlib.pyplot as plt

colours = {"DictionaryLearner": "#009E73", "DL-FISTA": "#D55E00", "TopK autoencoder": "#E69F00"}
fig, (left, right) = plt.subplots(1, 2, figsize=(9.4, 4.2), sharex=True, layout="constrained")
for name, (passes, share, cosine, loss) in curves.items():
    left.plot(passes, share, color=colours[name], linewidth=2, clip_on=False)
    left.plot(passes, cosine, color=colours[name], linewidth=0.8, clip_on=False)
    right.plot(passes, loss, color=colours[name], linewidth=2)
    if name in stopped:
        for ax, values in ((left, share), (right, loss)):
            at = stopped[name], np.interp(stopped[name], passes, values)
            ax.plot(*at, "X", color=colours[name], markersize=10, markeredgecolor="white", zorder=3, clip_on=False)
right.axhline(objective(data.dictionary), color="black", linewidth=2)
note = "X: the first pass that lowers\nthe loss by less than 0.5 %"
left.text(22, 0.06, note, color=colours["DL-FISTA"], ha="right", va="bottom", fontsize=9)
for name, x, y in (("DictionaryLearner", 3.3, 0.57), ("DL-FISTA", 3.3, 0.715), ("TopK autoencoder", 4.2, 0.88)):
    right.text(x, y, name, color="#8A5F00" if name.startswith("TopK") else colours[name], va="center")
right.text(1.1, 0.43, "true dictionary", va="center")
left.set(xscale="log", xlim=(1, 400), ylim=(0, 1.02), xlabel="passes over the samples")
left.set_title("Share of atoms recovered (thin: mean cosine)", loc="left", fontsize=11)
right.set_title("Objective of new samples, coded optimally", loc="left", fontsize=11)
right.set(xlabel="passes over the samples", ylim=(0.4, None))
for ax in (left, right):
    ax.set_xticks([1, 3, 10, 30, 100, 300], ["1", "3", "10", "30", "100", "300"])
    ax.minorticks_off()
    ax.spines[["top", "right"]].set_visible(False)
plt.show()
