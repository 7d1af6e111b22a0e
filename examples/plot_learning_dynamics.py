"""
A plateau is not the end
========================

While a dictionary is learned by full rounds, or by an autoencoder, next to nothing seems to happen for a long time: not
one atom is right, and the error falls ever more slowly. Then most are found within a few passes. Who stops where the
error has flattened out stops before that. Many small updates with a short memory get there in a tenth of the passes.
"""

# %%
# Three learners, watched
# -----------------------
# Two hundred concepts, eight active, 2,000 samples. The alternation of the paper (DL-FISTA) goes over all samples in
# each round and is continued from its own dictionary; :class:`~skcode.DictionaryLearner` and the TopK autoencoder take
# the samples as a stream, in blocks, and can be looked at after each pass.

import numpy as np

from skcode import DictionaryLearner, FISTACoder, SparseAutoencoder
from skcode.datasets import make_compositional_shift
from skcode.metrics import match_dictionaries

n = 200
data = make_compositional_shift(4000, n, 8, random_state=0)
passes = [1, 2, 4, 7, 10, 14, 20, 28, 40, 60, 90]
blocks = np.array_split(data.X_train, 10)

alternation = DictionaryLearner(n, alpha=0.1, method="alternating", random_state=0)
learner = DictionaryLearner(n, alpha=0.1, random_state=0)
autoencoder = SparseAutoencoder(n, n_active=8, random_state=0)


def continued(n_passes):
    """Go on with each learner for a number of passes."""
    alternation.set_params(max_epochs=n_passes).fit(data.X_train)
    alternation.set_params(dictionary_init=alternation.components_)
    for _ in range(n_passes):
        for block in blocks:
            learner.partial_fit(block)
            autoencoder.partial_fit(block)


found = {"DictionaryLearner": [], "DL-FISTA": [], "autoencoder, TopK": []}
unexplained = {name: [] for name in found}
for before, after in zip([0, *passes], passes, strict=False):
    continued(after - before)
    for name, each in zip(found, (learner, alternation, autoencoder), strict=True):
        found[name].append(match_dictionaries(data.dictionary, each.components_, n_draws=0).frac_recovered)
        # All dictionaries are judged alike: by optimal codes on them.
        coder = FISTACoder(each.components_, alpha=0.1, offset=each.offset_).fit(data.X_train)
        unexplained[name].append(-coder.score(data.X_val[:500]))

for name in found:
    print(f"{name:18} found " + " ".join(f"{share:5.0%}" for share in found[name]))
    print(f"{'':18} error " + " ".join(f"{share:5.0%}" for share in unexplained[name]))

# %%
# Left, the truth, which nobody sees in practice; right, what one sees. DL-FISTA's error falls from round to round by
# ever less, with no sign of whether the atoms are found yet or not.

import matplotlib.pyplot as plt

colours = dict(zip(found, ("#009E73", "#D55E00", "#E69F00"), strict=True))
fig, axes = plt.subplots(1, 2, figsize=(9.4, 4.0), layout="constrained")
for ax, curves, title in zip(
    axes, (found, unexplained), ("True atoms found", "Held-out variance unexplained by optimal codes"), strict=True
):
    for name, values in curves.items():
        ax.plot(passes, values, color=colours[name], linewidth=2.2, marker="o", markersize=5, clip_on=False)
    ax.set(xscale="log", xlabel="passes over the samples", xlim=(1, passes[-1]), ylim=(0, None))
    ax.set_xticks([1, 3, 10, 30, 90], [1, 3, 10, 30, 90])
    ax.minorticks_off()
    ax.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    ax.set_title(title, loc="left", fontsize=11)
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_ylim(0, 1)
axes[1].yaxis.set_major_locator(plt.MultipleLocator(0.05))
for name, height in zip(found, (0.55, 0.46, 0.37), strict=True):
    axes[0].text(4.5, height, name, color=colours[name], fontsize=11)
plt.show()
