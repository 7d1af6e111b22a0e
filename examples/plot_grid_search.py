"""
Choosing the coder by cross-validation
======================================

Coders are transformers, so a grid search can choose among them, and their parameters, by what the codes are for. It
prefers :class:`~skcode.DictionaryLearner`, and takes autoencoders for no better than the activations as they are. But
cross-validation only asks about combinations that are in the training set: what it sees as five points of accuracy are
twenty-five in new combinations.
"""

# %%
# One pipeline, many coders
# -------------------------
# Fifty concepts, five active; the label asks whether the first one is strong. The step "coder" of the pipeline is
# itself a parameter, and ``"passthrough"`` leaves activations as they are.

from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skcode import DictionaryLearner, SparseAutoencoder
from skcode.datasets import make_compositional_shift

data = make_compositional_shift(3000, n_components=50, n_active=5, random_state=0)
pipeline = Pipeline(
    [("coder", "passthrough"), ("scale", StandardScaler()), ("probe", LogisticRegression(C=10, max_iter=1000))]
)
grid = [
    {"coder": ["passthrough"]},
    {"coder": [SparseAutoencoder(50, max_epochs=60, random_state=0)], "coder__n_active": [3, 5, 10]},
    {
        "coder": [SparseAutoencoder(50, activation="jumprelu", max_epochs=60, random_state=0)],
        "coder__target_l0": [3, 5, 10],
    },
    {"coder": [DictionaryLearner(50, random_state=0)], "coder__penalty": ["l1", "mcp"]},
]
search = GridSearchCV(pipeline, grid, cv=3).fit(data.X_train, data.y_train)

# %%
# Every candidate is fitted once more to all training samples, and asked about familiar and about new combinations.

from sklearn.base import clone

results = search.cv_results_
rows = []
for parameters, score in zip(results["params"], results["mean_test_score"], strict=True):
    candidate = clone(pipeline).set_params(**clone(parameters, safe=False)).fit(data.X_train, data.y_train)
    coder = parameters["coder"]
    name = "activations" if coder == "passthrough" else type(coder).__name__
    if name == "SparseAutoencoder":
        name = f"autoencoder, {coder.activation}"
    value = next((f"{key.removeprefix('coder__')}={value}" for key, value in parameters.items() if key != "coder"), "")
    rows.append((name, value, score, candidate.score(data.X_ood, data.y_ood)))
    print(f"{name:22} {value:12} cross-validation {score:.3f}, new combinations {rows[-1][-1]:.3f}")

# %%
# On the horizontal axis what the search sees, on the vertical one what it does not. Points of one colour are the values
# of a parameter.

import matplotlib.pyplot as plt

colours = {
    "activations": "0.45",
    "autoencoder, topk": "#E69F00",
    "autoencoder, jumprelu": "#CC79A7",
    "DictionaryLearner": "#009E73",
}
fig, ax = plt.subplots(figsize=(8.2, 4.4), layout="constrained")
ax.plot([0.5, 1], [0.5, 1], color="0.85", linewidth=1.5, zorder=0)
for name, colour in colours.items():
    points = [(inside, outside, value) for other, value, inside, outside in rows if other == name]
    x, y, values = zip(*points, strict=True)
    ax.plot(x, y, color=colour, linewidth=1, alpha=0.5)
    ax.plot(x, y, "o", color=colour, markersize=9)
    if name == "DictionaryLearner":
        for x, y, value in points:
            place = (8, 2) if x > 0.98 else (8, -14)
            ax.annotate(value, (x, y), xytext=place, textcoords="offset points", color=colour, fontsize=9)
    place = (-10, -20) if "jumprelu" in name else (-10, 12)
    ax.annotate(name, max(points)[:2], xytext=place, textcoords="offset points", ha="right", color=colour)
ax.set(xlim=(0.81, 1.02), ylim=(0.52, 1), xlabel="accuracy in cross-validation", ylabel="accuracy in new combinations")
ax.spines[["top", "right"]].set_visible(False)
plt.show()
