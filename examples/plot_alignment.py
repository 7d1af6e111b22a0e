"""
Two networks that know the same
===============================

Two networks represent the same concepts, each in a superposition of its own. Kernel alignment, representational
similarity and linear regression say that they differ, and by about as much as random overlaps of atoms predict. Once
the codes of both are inferred, the same measures find next to nothing missing.
"""

# %%
# The same concepts, twice
# ------------------------
# A hundred concepts, each active in five of a hundred samples, on random atoms of norm 1 in m dimensions: one set of
# atoms for each network. :func:`~skcode.metrics.expected_alignment` has the prediction.

import numpy as np

from skcode import FISTACoder
from skcode.metrics import expected_alignment, linear_cka, linear_regression_score, rsa_score

n, n_samples, density = 100, 10_000, 0.05
measures = {"linear_cka": linear_cka, "rsa": rsa_score, "linear_regression": linear_regression_score}


def network(codes, m, rng):
    """Return the activations of concepts on random atoms, and the atoms."""
    atoms = rng.standard_normal((n, m))
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    return codes @ atoms, atoms


def concepts(rng):
    """Draw sparse codes."""
    return rng.random((n_samples, n)) * (rng.random((n_samples, n)) < density)


many = concepts(np.random.default_rng(1))
centred = many - many.mean()
kurtosis = np.mean(centred**4) / np.mean(centred**2) ** 2 - 3

# %%
# As activations, and as codes
# ----------------------------
# Five pairs of networks at each width. The prediction is for samples without end: of few, all three measures come out
# too large. From 40 dimensions on, inference on the atoms reads the codes off nearly exactly; a thousand will do.

widths = [10, 20, 30, 40, 60, 80, 100]
measured = {kind: {name: [] for name in measures} for kind in ("activations", "codes")}
for m in widths:
    found = {kind: {name: [] for name in measures} for kind in measured}
    for seed in range(5):
        rng = np.random.default_rng(seed)
        codes = concepts(rng)
        pair = [network(codes, m, rng) for _ in range(2)]
        inferred = [FISTACoder(atoms, alpha=0.02, tol=1e-3).fit(X).transform(X[:1000]) for X, atoms in pair]
        for name, measure in measures.items():
            found["activations"][name].append(measure(pair[0][0], pair[1][0]))
            found["codes"][name].append(measure(*inferred))
    for kind, name in ((kind, name) for kind in found for name in measures):
        measured[kind][name].append((np.mean(found[kind][name]), np.std(found[kind][name])))

predicted = [expected_alignment(n, m, kurtosis=kurtosis) for m in widths]
for name in measures:
    print(f"{name:18} measured  " + " ".join(f"{mean:.3f}" for mean, _ in measured["activations"][name]))
    print(f"{'':18} spread    " + " ".join(f"{spread:.3f}" for _, spread in measured["activations"][name]))
    print(f"{'':18} predicted " + " ".join(f"{each[name]:.3f}" for each in predicted))
    print(f"{'':18} of codes  " + " ".join(f"{mean:.3f}" for mean, _ in measured["codes"][name]))

# %%
# The order can be turned round
# -----------------------------
# A wide pair that shares half of its concepts seems more alike than a narrow pair that shares all of them.

rng = np.random.default_rng(0)
shared, other = concepts(rng), concepts(rng)
half = np.hstack([shared[:, : n // 2], other[:, n // 2 :]])
wide = linear_cka(network(shared, 100, rng)[0], network(half, 100, rng)[0])
narrow = linear_cka(network(shared, 20, rng)[0], network(shared, 20, rng)[0])
print(f"CKA of a pair that shares half, 100 dimensions: {wide:.2f}; that shares all, 20 dimensions: {narrow:.2f}")

# %%
# Points are means over pairs, with their spread, mostly smaller than the points; lines are predictions. In 10 and 20
# dimensions five active concepts of a hundred are too many for inference, and the codes are not found either.

import matplotlib.pyplot as plt

fine = np.arange(5, 101)
titles = ("Linear CKA", "RSA", "Variance explained by regression")
fig, axes = plt.subplots(1, 3, figsize=(9.6, 3.8), sharey=True, layout="constrained")
for ax, name, title in zip(axes, measures, titles, strict=True):
    ax.plot(fine, [expected_alignment(n, int(m), kurtosis=kurtosis)[name] for m in fine], color="0.45", linewidth=2)
    for kind, colour in (("activations", "#E69F00"), ("codes", "#009E73")):
        means, spreads = np.array(measured[kind][name]).T
        ax.errorbar(widths, means, yerr=spreads, fmt="o", color=colour, markersize=6, elinewidth=1.5, clip_on=False)
    ax.set(xlim=(0, 103), ylim=(0, 1.03), xlabel="dimensions, for 100 concepts")
    ax.set_title(title, loc="left", fontsize=11)
    ax.spines[["top", "right"]].set_visible(False)
axes[0].text(45, 0.9, "of inferred codes", color="#009E73")
axes[0].text(50, 0.2, "of activations", color="#E69F00")
axes[0].text(5, 0.42, "predicted", color="0.45")
plt.show()
