"""Problems and contestants of `inference_speed.py`."""

from __future__ import annotations

import importlib
import importlib.util
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np
from _harness import fail
from sklearn.datasets import load_digits
from sklearn.decomposition import sparse_encode
from sklearn.neural_network import MLPClassifier

from skcode import FISTACoder, SparseAutoencoder
from skcode.datasets import make_compositional_shift

BLOCK = 1000  # samples of one product
LARGEST_SENT = 1 << 29  # bytes of a Gram matrix that scikit-learn may hash and send to its processes in every call
SIZES = {"samples": 20, "components": 2, "active": 1}  # what may be overridden, and the least of it


@dataclass
class Problem:
    """Samples and unit atoms in float32; peers that want float64 get the same numbers."""

    name: str
    X: np.ndarray
    dictionary: np.ndarray
    n_active: int
    alpha: float
    grams: dict = field(default_factory=dict)

    def gram(self, dtype: type) -> np.ndarray:
        """Return the Gram matrix, which contestants share; how long it took is kept beside it."""
        if dtype not in self.grams:
            start = time.perf_counter()
            atoms = self.dictionary.astype(dtype)
            # Without the copy NumPy calls syrk, which can crash on so many atoms (numpy issue 19685).
            self.grams[dtype] = atoms @ atoms.T.copy(), time.perf_counter() - start
        return self.grams[dtype][0]


def load(name: str, options) -> Problem:
    make, settings = PROBLEMS[name]
    sizes = {size: getattr(options, f"n_{size}") for size in SIZES}
    sizes = {f"n_{size}": given for size, given in sizes.items() if given is not None}
    if sizes.keys() - {"n_samples"}:  # the features follow
        settings = {key: value for key, value in settings.items() if key != "n_features"}
    return make(name, options.seed, **settings | sizes)


def compositional(name, seed, *, n_samples, n_components, n_active, n_features=None, alpha=0.1):
    """Return the paper's protocol."""
    sizes = (n_samples, n_components, n_active, n_features)
    try:
        data = make_compositional_shift(*sizes, sparse_codes=True, dtype=np.float32, random_state=seed)
    except ValueError as error:
        fail(str(error))
    return Problem(name, np.vstack([data.X_train, data.X_val]), data.dictionary, n_active, alpha)


def coherent(name, seed, *, n_samples, n_components, n_active, alpha):
    """Return activations of a network that reads two digits, and the decoder of an autoencoder trained on others.

    ``alpha`` is in units of the root mean square norm of a sample.
    """
    if n_active > n_components:
        fail(f"--n-active {n_active}: must be at most the {n_components} components")
    rng = np.random.RandomState(seed)
    images, labels = load_digits(return_X_y=True)
    left, right = rng.randint(len(images), size=(2, 2 * n_samples))
    pixels = np.hstack([images[left], images[right]]) / 16
    both = np.hstack([np.eye(10)[labels[left]], np.eye(10)[labels[right]]])
    network = MLPClassifier((128,), random_state=seed)
    for _ in range(20):
        network.partial_fit(pixels, both, classes=np.arange(20))
    hidden = np.maximum(pixels @ network.coefs_[0] + network.intercepts_[0], 0)
    train, X = np.split((hidden - hidden[:n_samples].mean(axis=0)).astype(np.float32), 2)
    sae = SparseAutoencoder(
        n_components, n_active=n_active, max_epochs=20, learning_rate=3e-3, batch_size=128, random_state=seed
    ).fit(train)
    atoms = sae.components_ / np.linalg.norm(sae.components_, axis=1, keepdims=True)
    return Problem(name, X, atoms, n_active, float(alpha * np.sqrt((train**2).sum(axis=1).mean())))


# The alphas of the last two leave about 200 and about 16 codes non-zero. In the second pair the paper's formula would
# give other features.
WIDE = {"n_samples": 2000, "n_components": 16_384, "n_features": 768}
PROBLEMS = {
    "n1000": (compositional, {"n_samples": 10_000, "n_components": 1000, "n_active": 10}),
    "n10000": (compositional, {"n_samples": 5000, "n_components": 10_000, "n_active": 10}),
    "n16384_50": (compositional, WIDE | {"n_active": 50}),
    "n16384_200": (compositional, WIDE | {"n_active": 200, "alpha": 0.4}),
    "coherent": (coherent, {"n_samples": 5000, "n_components": 1024, "n_active": 16, "alpha": 0.1}),
}


# Contestants: called with a problem and a number of threads, they prepare what does not depend on the samples and
# return solve(n) -> codes of the first n samples. What they import, they import inside.


def encoder_pass(problem, n_jobs):
    """Return the unit: topk(X @ D.T, k) by blocks, without what an encoder would add."""
    X, atoms, k = problem.X, problem.dictionary, problem.n_active
    if importlib.util.find_spec("torch") is None:
        return lambda n: [np.argpartition(X[part] @ atoms.T, -k, axis=1)[:, -k:] for part in blocks(n)]
    torch = _torch(n_jobs)
    X, atoms = torch.from_numpy(X), torch.from_numpy(atoms)
    return lambda n: [torch.topk(X[part] @ atoms.T, k) for part in blocks(n)]


def dense_product(problem, n_jobs):
    product = np.empty((BLOCK, len(problem.dictionary)), np.float32)

    def solve(n):
        for part in blocks(n):
            np.matmul(problem.X[part], problem.dictionary.T, out=product[: part.stop - part.start])

    return solve


def skcode(problem, n_jobs, tol):
    coder = FISTACoder(problem.dictionary, alpha=problem.alpha, tol=tol, sparse_output=True, n_jobs=n_jobs)
    coder.fit(problem.X)
    coder.transform(problem.X[: -(-len(problem.dictionary) // 16)])  # as many as the Gram matrix is computed for
    return lambda n: coder.transform(problem.X[:n])


def spams(problem, n_jobs, dtype):
    """LARS in C++. Given the Gram matrix and the product X @ D.T, it is at its fastest."""
    import spams

    X, atoms, gram = problem.X.astype(dtype), problem.dictionary.astype(dtype), problem.gram(dtype)
    options = {"lambda1": problem.alpha, "mode": 2, "pos": True, "numThreads": n_jobs}  # 2: the penalised problem
    return lambda n: spams.lasso(X[:n].T, Q=gram.T, q=(X[:n] @ atoms.T).T, **options).T


def scikit_learn(problem, n_jobs, algorithm):
    X, atoms, gram = problem.X.astype(float), problem.dictionary.astype(float), problem.gram(float)
    n_jobs = n_jobs if gram.nbytes < LARGEST_SENT else 1
    options = {"alpha": problem.alpha, "positive": True, "max_iter": 10_000, "n_jobs": n_jobs, "gram": gram}
    return lambda n: sparse_encode(X[:n], atoms, algorithm=algorithm, **options)


def one_by_one(problem, n_jobs, package):
    """scikit-learn's objective, over m, and tolerances that leave a gap of about 1e-4."""
    lasso = importlib.import_module(package).Lasso
    design, X = np.asfortranarray(problem.dictionary.T, dtype=float), problem.X.astype(float)
    alpha = problem.alpha / len(design)
    # celer's is the gap as a share of ||x||^2 / m; skglm's is how far a correlation may exceed alpha.
    tol = {"celer": 0.5e-4, "skglm": 1e-3 * alpha}[package]
    model = lasso(alpha=alpha, tol=tol, positive=True, fit_intercept=False)
    return lambda n: np.array([model.fit(design, x).coef_ for x in X[:n]])


def fista(problem, n_jobs, n_iter, with_gram=False):
    """The paper's: momentum without restart, from zero, a fixed number of steps for a whole block.

    A step is two products with the dictionary, or one with its Gram matrix, which textbooks write down and which is
    dear where atoms are many.
    """
    torch = _torch(n_jobs)
    X, atoms = torch.from_numpy(problem.X), torch.from_numpy(problem.dictionary)
    gram = torch.from_numpy(problem.gram(np.float32)) if with_gram else None
    step = 1 / float(torch.linalg.matrix_norm(atoms, 2)) ** 2

    def block(x):
        z = ahead = torch.zeros(len(x), len(atoms))
        t, projected = 1.0, x @ atoms.T
        for _ in range(n_iter):
            slope = ahead @ gram - projected if with_gram else (ahead @ atoms - x) @ atoms.T
            last, z = z, torch.relu(ahead - step * (slope + problem.alpha))
            t, before = (1 + (1 + 4 * t * t) ** 0.5) / 2, t
            ahead = z + (before - 1) / t * (z - last)
        return z

    return lambda n: torch.cat([block(X[part]) for part in blocks(n)]).numpy()


def blocks(n):
    return [slice(start, min(start + BLOCK, n)) for start in range(0, n, BLOCK)]


def _torch(n_jobs):
    import torch

    torch.set_num_threads(n_jobs)
    return torch


class Contestant(NamedTuple):
    label: str
    prepare: Callable
    fewest: int = 4  # samples that it must be timed on to show what it can do


CONTESTANTS = {
    "product": Contestant("dense product X @ D.T alone", dense_product, BLOCK),
    "skcode": Contestant("skcode, tol=1e-4", partial(skcode, tol=1e-4)),
    "skcode_tight": Contestant("skcode, tol=1e-6", partial(skcode, tol=1e-6)),
    "spams_float32": Contestant("SPAMS lasso, float32", partial(spams, dtype=np.float32)),
    "spams_float64": Contestant("SPAMS lasso, float64", partial(spams, dtype=float)),
    "sklearn_cd": Contestant("scikit-learn lasso_cd", partial(scikit_learn, algorithm="lasso_cd")),
    "sklearn_lars": Contestant("scikit-learn lasso_lars", partial(scikit_learn, algorithm="lasso_lars")),
    "celer": Contestant("celer", partial(one_by_one, package="celer")),
    "skglm": Contestant("skglm", partial(one_by_one, package="skglm")),
    "fista_gram_100": Contestant("FISTA Gram, 100 steps", partial(fista, n_iter=100, with_gram=True), 100),
    "fista_100": Contestant("FISTA, 100 steps", partial(fista, n_iter=100), 100),
    "fista_1000": Contestant("FISTA, 1000 steps", partial(fista, n_iter=1000), 100),
}
UNIT = Contestant("one encoder pass: top k of X @ D.T", encoder_pass, BLOCK)
