"""
Atoms that merge, and how they are found
========================================

Of the few atoms that DL-FISTA leaves wrong, most are surplus: doubles of right ones or *merges* of two, above all of
component 0, which is in half of all samples, with one of its partners. The L1 penalty likes a merge: it costs less than
its two parts. But each takes the place of an atom, and two rare concepts must share one. To find surplus atoms one need
not know the truth. Two or three of the *other learned atoms* explain nearly all of them, and hardly a third of a
typical right one. :class:`~skcode.DictionaryLearner` gives the places of such atoms away. One kind of surplus atom
nothing explains: component 0 with its sign reversed. Those it finds by the sign.
"""

# %%
# What is wrong with the wrong atoms
# ----------------------------------
# In distribution, half of the samples hold component 0 together with components of a pool of partners. For each of four
# problems we learn 120 atoms from 1200 samples, and take those whose match has a cosine below 0.9. FISTA on the *true*
# dictionary says what they are made of; non-negative least squares on at most three other learned atoms, chosen
# greedily, how well those explain them.

import numpy as np
from scipy.optimize import nnls

from skcode import DictionaryLearner, FISTACoder
from skcode.datasets import make_compositional_shift
from skcode.metrics import match_dictionaries

n_components, n_problems = 120, 4
rng = np.random.default_rng(0)


def explained_by_others(atoms):
    """Return the share of each atom's energy that at most three others explain, with positive weights."""
    shares = []
    for place, atom in enumerate(atoms):
        others, chosen, rest = np.delete(atoms, place, axis=0), [], atom
        for _ in range(3):
            chosen.append(np.argmax(others @ rest))
            weights, _ = nnls(others[chosen].T, atom)
            rest = atom - weights @ others[chosen]
        shares.append(1 - rest @ rest)
    return np.array(shares)


shares, parts = {"right": [], "wrong": [], "learner": []}, []
for seed in rng.integers(1000, size=n_problems):
    data = make_compositional_shift(20 * n_components, n_components, 10, dtype=np.float32, random_state=seed)
    alternation = DictionaryLearner(n_components, method="alternating", alpha=0.1, max_epochs=110, random_state=seed)
    atoms = alternation.fit(data.X_train).components_
    match = match_dictionaries(data.dictionary, atoms)
    wrong, explained = match.pairs[match.cosines < 0.9, 1], explained_by_others(atoms)
    shares["wrong"].append(explained[wrong])
    shares["right"].append(np.delete(explained, wrong))
    coder = FISTACoder(data.dictionary, alpha=0.05, debias=True).fit(data.X_train)
    for code in coder.transform(atoms[wrong]):
        others = np.sort(code[1:])[::-1]
        parts.append(np.array([code[0], others[0], others[1], np.linalg.norm(others[2:])]) ** 2 / (code @ code))

    learner = DictionaryLearner(n_components, random_state=seed).fit(data.X_train)
    shares["learner"].append(explained_by_others(learner.components_))
    left = match_dictionaries(data.dictionary, learner.components_)
    mirrored = (learner.components_ @ data.dictionary[0]).min()
    print(
        f"DL-FISTA has {len(wrong)} atoms wrong, DictionaryLearner {np.sum(left.cosines < 0.9)}; "
        f"the least cosine of one of its atoms with component 0 is {mirrored:.2f}"
    )

# %%
# The other learned atoms know it
# -------------------------------
# The learner takes atoms for redundant of which others explain more than 0.55 or so, depending on what chance explains.
# A few right atoms are above that: they are those that a double or a merge resembles. Of atoms that explain each other,
# the one that is used most stays.

shares = {name: np.concatenate(of) for name, of in shares.items()}
for name, of in shares.items():
    print(f"{name:8} {len(of):3} atoms; others explain {np.median(of):.2f} (median), {np.sum(of > 0.55)} above 0.55")

# %%
# The wrong atoms that others do not explain, at the bottom, mostly hold two concepts of which neither has an atom of
# its own. Nothing shows them, but they can come right once a place is free. The search of
# :class:`~skcode.DictionaryLearner` mostly gets an atom of another kind wrong: component 0 with its sign reversed,
# which no positive weights of others make. With both signs there, the other atoms lean towards component 0. In the end
# it takes that lean out, and the reversed atom away, and keeps what comes of it if the objective is lower.

import matplotlib.pyplot as plt

fig, (bars, strips) = plt.subplots(1, 2, figsize=(9.4, 4.4), layout="constrained")
order = np.argsort(shares["wrong"])
edges = np.cumsum(np.column_stack([np.zeros(len(parts)), parts]), axis=1)[order]
tones = ["black", "#D55E00", "#F3BE9A", "0.9"]
for part, tone in enumerate(tones):
    bars.barh(range(len(parts)), edges[:, part + 1] - edges[:, part], left=edges[:, part], color=tone, height=0.8)
for x, label, tone in (
    (0, "component 0", "black"),
    (0.37, "the strongest other", "#D55E00"),
    (0.83, "a second", "#B5764A"),
):
    bars.text(x, len(parts) - 0.2, label, color=tone, va="bottom")
bars.set(xlim=(0, 1), ylim=(-0.6, len(parts) + 0.9), yticks=[], xlabel="share of squared weights, by true atom")
bars.set_title("Atoms that DL-FISTA leaves wrong", loc="left", fontsize=11)
rows = {"wrong": ("DL-FISTA,\nwrong atoms", "#D55E00"), "right": ("DL-FISTA,\nright atoms", "#D55E00")}
rows["learner"] = "Dictionary-\nLearner,\nall atoms", "#009E73"
for place, (name, (_, colour)) in enumerate(rows.items()):
    jitter = rng.uniform(-0.25, 0.25, len(shares[name]))
    strips.plot(shares[name], place + jitter, "o", color=colour, markersize=5, alpha=0.9 if name == "wrong" else 0.25)
strips.axvline(0.55, color="0.6", linewidth=1, linestyle=":")
strips.set_yticks(range(3), [label for label, _ in rows.values()])
strips.tick_params(axis="y", length=0)
strips.invert_yaxis()
strips.set(xlim=(0, 1), xlabel="share explained by three other learned atoms")
strips.set_title("Seen without the truth", loc="left", fontsize=11)
for ax in (bars, strips):
    ax.spines[["top", "right", "left"]].set_visible(False)
plt.show()
