"""
Where sparse codes can be found
===============================

Given the true dictionary, whether codes can be found depends on two ratios: how many features there are for each
concept, and how many active concepts for each feature. Between nearly always and nearly never lies a narrow border. The
protocol of the paper stays on the safe side of it, so that what its methods lose is not lost to inference.
"""

# %%
# The plane of the two ratios
# ---------------------------
# For each point, thirty samples without noise, non-negative codes on a Gaussian dictionary of 150 atoms, and the
# smallest of penalties. A sample counts as recovered when its codes are off by less than a hundredth of their norm.

import numpy as np

from skcode.solvers import working_set

n, n_samples = 150, 30
deltas = np.linspace(0.08, 0.92, 15)  # features / concepts
rhos = np.linspace(0.08, 0.92, 15)  # active concepts / features
rng = np.random.default_rng(0)

recovered = np.zeros((len(rhos), len(deltas)))
for j, delta in enumerate(deltas):
    m = round(delta * n)
    dictionary = rng.standard_normal((n, m))
    dictionary /= np.linalg.norm(dictionary, axis=1, keepdims=True)
    for i, rho in enumerate(rhos):
        k = max(1, round(rho * m))
        codes = np.zeros((n_samples, n))
        for row in codes:
            row[rng.choice(n, k, replace=False)] = rng.uniform(0.1, 1, k)
        found = working_set(codes @ dictionary, dictionary, 1e-4, tol=1e-7, max_iter=2000).codes
        error = np.linalg.norm(found - codes, axis=1) / np.linalg.norm(codes, axis=1)
        recovered[i, j] = np.mean(error < 0.01)

# %%
# The border that theory gives
# ----------------------------
# Donoho and Tanner counted the faces that a random projection of a simplex keeps ("Neighborliness of randomly projected
# simplices in high dimensions", PNAS 2005): non-negative codes are found, for most supports, up to a number of active
# concepts at which three exponents balance. They are those of the number of faces, of the angle inside and of the angle
# outside of a face. An equivalent and shorter road is the state evolution of message passing (Donoho, Maleki and
# Montanari, "Message-passing algorithms for compressed sensing", PNAS 2009), which gives the border in one parameter.

from scipy.stats import norm

z = np.linspace(0.01, 6, 2000)
pdf, tail = norm.pdf(z), norm.sf(z)
excess = (1 + z**2) * tail - z * pdf
border = np.array([np.max((1 - excess / delta) / (1 + z**2 - excess)) for delta in deltas])

inside = recovered[rhos[:, None] < 0.85 * border].mean()
outside = recovered[rhos[:, None] > 1.15 * border].mean()
print(f"recovered below the border: {inside:.0%}, above it: {outside:.0%}")

# %%
# The protocol takes ``m = 2 k ln(n/k)`` features. That is the dotted line for 150 concepts.

import matplotlib.pyplot as plt

fig, ax = plt.subplots(figsize=(7.4, 4.6), layout="constrained")
mesh = ax.pcolormesh(deltas, rhos, recovered, cmap="Greys_r", vmin=0, vmax=1, shading="nearest")
fig.colorbar(mesh, ax=ax, label="share of samples recovered", pad=0.02)
ax.plot(deltas, border, color="#D55E00", linewidth=2.5)
ax.text(0.56, 0.75, "border of theory", color="#D55E00", ha="right", fontsize=11)
k = np.arange(1, 50)
m = 2 * k * np.log(n / k)
ax.plot(m / n, k / m, ":", color="#0072B2", linewidth=3)
ax.text(0.93, 0.24, "protocol of the paper", color="#0072B2", ha="right", fontsize=11)
ax.set(xlabel="features per concept, $m/n$", ylabel="active concepts per feature, $k/m$")
ax.set(xlim=(deltas[0] - 0.03, deltas[-1] + 0.03), ylim=(rhos[0] - 0.03, rhos[-1] + 0.03))
plt.show()
