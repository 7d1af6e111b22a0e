"""Problems, contestants and unit of `dictionary_recovery.py`."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import _published
import numpy as np
import scipy.sparse as sp
from _harness import fail
from sklearn.decomposition import MiniBatchDictionaryLearning

from skcode import DictionaryLearner, SparseAutoencoder
from skcode.datasets import make_compositional_shift

ALPHA = 0.1
TEST_SAMPLES = 2500
PAPER_SAMPLES = 5000
PUBLISHED_EPOCHS = 500
BATCH = 64  # of the published autoencoders
UNIT_STEPS = 150  # optimiser steps that an epoch is judged by, if it has more
VISITS_OF_STREAM, LEAST_OF_STREAM = 80, 20_000  # samples for each atom, and in all, as `partial_fit` asks for
MOST_EXACT = 3000  # the smaller side of codes whose projector is computed


@dataclass
class Problem:
    """Samples of a true dictionary to learn it from, and others to judge by."""

    n_active: int
    n_components: int  # asked for
    X: np.ndarray
    codes: sp.csr_array
    X_test: np.ndarray
    dictionary: np.ndarray
    positive: bool = True
    X_ood: np.ndarray | None = None
    codes_ood: sp.csr_array | None = None

    @property
    def start(self) -> np.ndarray:
        """A random dictionary for those who would otherwise start from fewer atoms."""
        atoms = np.random.RandomState(12_345).standard_normal((self.n_components, self.X.shape[1]))
        return atoms / np.linalg.norm(atoms, axis=1, keepdims=True)


def paper(seed, n_components, n_active, n_samples, *, noise_db=None, width=1.0):
    """Return the paper's protocol; the sets to judge by are as large as the published ones."""
    try:
        data = make_compositional_shift(
            max(2 * n_samples, PAPER_SAMPLES), n_components, n_active, dtype=np.float32, sparse_codes=True,
            random_state=seed,
        )  # fmt: skip
    except ValueError as error:
        fail(str(error))
    X = data.X_train[:n_samples]
    if noise_db is not None:
        X = _noisy(X, noise_db, seed)
    few = slice(TEST_SAMPLES)
    return Problem(
        n_active, round(width * n_components), X, data.codes_train[:n_samples], data.X_val[few],
        data.dictionary, X_ood=data.X_ood[few], codes_ood=data.codes_ood[few],
    )  # fmt: skip


def independent(seed, n_components, n_active, n_samples, *, spread=1.0, fewest=None, most=None, signed=False):
    """Return samples of concepts that come independently, with Zipf frequencies.

    The most frequent comes ``spread`` times as often as the least. Each sample has ``n_active`` of them, or a random
    number from ``fewest`` to ``most``; values are uniform or Gaussian.
    """
    rng = np.random.RandomState(seed)
    n_features = max(n_active + 1, int(np.ceil(2 * n_active * np.log(n_components / n_active))))
    dictionary = rng.standard_normal((n_components, n_features))
    dictionary /= np.linalg.norm(dictionary, axis=1, keepdims=True)
    frequency = np.arange(1, n_components + 1) ** -(np.log(spread) / np.log(n_components))
    frequency /= frequency.sum()

    def draw(n):
        sizes = np.full(n, n_active) if fewest is None else rng.randint(fewest, most + 1, n)
        sizes = np.minimum(sizes, n_components)
        atoms = [rng.choice(n_components, size, replace=False, p=frequency) for size in sizes]
        values = rng.standard_normal(sizes.sum()) if signed else rng.random_sample(sizes.sum())
        indptr = np.concatenate([[0], np.cumsum(sizes)])
        codes = sp.csr_array((values, np.concatenate(atoms), indptr), shape=(n, n_components))
        return (codes @ dictionary).astype(np.float32), codes

    X, codes = draw(n_samples)
    X_test, _ = draw(TEST_SAMPLES)
    return Problem(n_active, n_components, X, codes, X_test, dictionary.astype(np.float32), positive=not signed)


def _noisy(X, decibels, seed):
    scale = np.sqrt((X**2).mean() * 10 ** (-decibels / 10))
    return X + np.random.RandomState(seed + 1).normal(0, scale, X.shape).astype(np.float32)


# Name -> (what it is, loader). The others than the first vary one thing each, and are judged by the atoms in use.
PROBLEMS = {
    "paper": ("the paper's protocol", paper),
    "noise": ("noise at 20 dB", partial(paper, noise_db=20)),
    "zipf": ("Zipf frequencies, the most used atom 50 times the least", partial(independent, spread=50)),
    "sparsity": ("5 to 15 active", partial(independent, fewest=5, most=15)),
    "signed": ("signed Gaussian values", partial(independent, signed=True)),
    "wide": ("half as many atoms again asked for", partial(paper, width=1.5)),
}


def fewest_samples(n_components: int, n_features: int, n_active: int) -> int:
    """Return how many samples have as many equations as unknowns: ``N (m - k) >= n (m - 1)``."""
    return int(np.ceil(n_components * (n_features - 1) / (n_features - n_active)))


def ceiling(codes: sp.csr_array) -> tuple[float, float]:
    """Return the mean cosine, and the share above 0.9, of least-squares atoms from the true codes.

    An atom has the cosine ``sqrt(P_jj)`` with its estimate, in expectation over Gaussian dictionaries, with the
    projector ``P`` on what the codes span. Where both sides of the codes are large, P is taken to be full but for
    atoms that no sample uses.
    """
    n_samples, n_components = codes.shape
    used = np.bincount(codes.indices, minlength=n_components) > 0
    if min(n_samples, n_components) > MOST_EXACT:
        held = used if n_samples > n_components else np.full(n_components, n_samples / n_components)
    elif n_samples < n_components:
        _, spectrum, basis = np.linalg.svd(codes.toarray(), full_matrices=False)
        held = (basis[spectrum > 1e-9 * spectrum[0]] ** 2).sum(axis=0)
    else:
        spectrum, basis = np.linalg.eigh((codes.T @ codes).toarray().astype(float))
        held = (basis[:, spectrum > 1e-9 * spectrum[-1]] ** 2).sum(axis=1)
    cosines = np.sqrt(np.clip(held, 0, 1))
    return float(cosines.mean()), float((cosines > 0.9).mean())


class Watch:
    """A callback of scikit-learn: keeps the dictionary now and then, and ends a fit whose time is up.

    Parameters
    ----------
    budget : float
        Seconds.
    """

    def __init__(self, budget: float):
        self.budget = budget
        self.kept = []
        self._start = time.perf_counter()

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        return context.parent is not None and self.passed(fitted_estimator.components_)

    def passed(self, components) -> bool:
        """Keep the dictionary if the last one is old enough; return whether the time is up."""
        seconds = time.perf_counter() - self._start
        if not self.kept or seconds > 1.1 * self.kept[-1][0]:
            self.kept.append((seconds, components.copy()))
        return seconds > self.budget

    def end(self, components) -> list:
        """Return what was kept, with the last dictionary at its end."""
        seconds = time.perf_counter() - self._start
        return [(when, what) for when, what in self.kept if when < seconds] + [(seconds, components)]


# Contestants: called with a problem, seed, threads and seconds, they return [(seconds, components), ...], the end last,
# and how many passes over the samples they made.


def skcode(problem, seed, n_jobs, budget, **options):
    learner = _learner(problem, seed, n_jobs, **options)
    watch = Watch(budget)
    if hasattr(learner, "set_callbacks"):
        learner.set_callbacks(watch)
    elif np.isfinite(budget):
        print("without scikit-learn's callbacks (from 1.9) nothing ends this fit before its time", file=sys.stderr)
    return watch.end(learner.fit(problem.X).components_), learner.n_iter_


def stream(problem, seed, n_jobs, budget):
    """The same learner, given blocks one after the other, as many samples as `partial_fit` asks for."""
    learner, watch = _learner(problem, seed, n_jobs), Watch(budget)
    size = min(problem.n_components, len(problem.X))
    n_visits = VISITS_OF_STREAM * max(problem.n_components, LEAST_OF_STREAM // VISITS_OF_STREAM)
    n_blocks = -(-max(n_visits, 8 * len(problem.X)) // size)
    n_seen = 0
    for _ in range(n_blocks):
        rows = np.arange(n_seen, n_seen + size) % len(problem.X)
        n_seen += size
        if watch.passed(learner.partial_fit(problem.X[rows]).components_):
            break
    return watch.end(learner.finalize().components_), n_seen / len(problem.X)


def _learner(problem, seed, n_jobs, **options):
    return DictionaryLearner(
        problem.n_components, positive=problem.positive, n_jobs=n_jobs, random_state=10_000 + seed, **options
    )


def scikit_learn(problem, seed, n_jobs, budget):
    """On one thread: it would start processes for each mini-batch."""
    model = MiniBatchDictionaryLearning(
        problem.n_components, alpha=ALPHA, fit_algorithm="cd", transform_algorithm="lasso_cd",
        positive_code=problem.positive, dict_init=problem.start.astype(np.float32), random_state=seed,
    )  # fmt: skip
    rng, watch, n_seen = np.random.RandomState(seed), Watch(budget), 0
    while True:
        for rows in np.array_split(rng.permutation(len(problem.X)), max(len(problem.X) // 256, 1)):
            n_seen += len(rows)
            if watch.passed(model.partial_fit(problem.X[rows]).components_):
                return watch.end(model.components_), n_seen / len(problem.X)


def spams(problem, seed, n_jobs, budget):
    """Mairal et al.'s own program, which is told for how many seconds it may run."""
    import spams

    X = np.asfortranarray(problem.X.T)
    options = {"K": problem.n_components, "lambda1": ALPHA, "mode": 2, "posAlpha": problem.positive,
               "batchsize": min(512, len(problem.X)), "numThreads": n_jobs, "verbose": False}  # fmt: skip
    atoms, model, kept, spent = np.asfortranarray(problem.start.T, dtype=np.float32), None, [], 0.0
    while not kept or spent < budget - 0.5:
        seconds = max(round(min(max(budget / 16, 0.5 * spent), budget - spent)), 1)
        begin = time.perf_counter()
        atoms, model = spams.trainDL(X, return_model=True, model=model, D=atoms, iter=-seconds, **options)
        spent += time.perf_counter() - begin
        kept.append((spent, atoms.T.astype(np.float32)))
    return kept, None


def autoencoder(problem, seed, n_jobs, budget):
    """Ours, on one thread; as many epochs as the budget has room for, at most those of the paper."""

    def fit(n_epochs, some):
        sae = SparseAutoencoder(
            problem.n_components, activation="topk", n_active=problem.n_active, random_state=seed,
            **_published.sae_settings("topk") | {"max_epochs": n_epochs},
        )  # fmt: skip
        begin = time.perf_counter()
        return sae.fit(some).components_, time.perf_counter() - begin

    few = problem.X[: BATCH * UNIT_STEPS]
    _, seconds = fit(1, few)
    n_epochs = int(np.clip(budget / (seconds * len(problem.X) / len(few)), 1, PUBLISHED_EPOCHS))
    components, seconds = fit(n_epochs, problem.X)
    return [(seconds, components)], n_epochs


class Contestant(NamedTuple):
    label: str
    learn: Callable
    signed: bool = True  # whether it can learn with signed codes


CONTESTANTS = {
    "skcode": Contestant("skcode DictionaryLearner", skcode),
    "stream": Contestant("the same from a stream", stream),
    "alternating": Contestant("DL-FISTA", partial(skcode, method="alternating", alpha=ALPHA)),
    "sklearn": Contestant("scikit-learn MiniBatchDictionaryLearning", scikit_learn),
    "spams": Contestant("SPAMS trainDL", spams),
    "sae": Contestant("TopK autoencoder", autoencoder, signed=False),
}


def seconds_of_an_epoch(problem: Problem, n_jobs: int) -> float:
    """Return what one epoch of the published TopK autoencoder of the same width takes on the training samples.

    In torch: batches of 64, AdamW, decoder gradients projected off the atoms. Longer epochs are judged by their first
    150 steps. Without torch it is that of `SparseAutoencoder`.
    """
    few = problem.X[: BATCH * UNIT_STEPS]
    share = len(few) / len(problem.X)
    n_components, k = problem.n_components, problem.n_active
    if importlib.util.find_spec("torch") is None:
        settings = _published.sae_settings("topk") | {"max_epochs": 1}
        sae = SparseAutoencoder(n_components, n_active=k, random_state=0, **settings)
        begin = time.perf_counter()
        sae.fit(few)
        return (time.perf_counter() - begin) / share
    import torch

    torch.set_num_threads(n_jobs)
    torch.manual_seed(0)
    encoder, decoder = torch.nn.Linear(few.shape[1], n_components), torch.nn.Linear(n_components, few.shape[1])
    optimiser = torch.optim.AdamW([*encoder.parameters(), *decoder.parameters()], lr=5e-4)
    batches = torch.split(torch.from_numpy(few)[torch.randperm(len(few))], BATCH)

    def step(x):
        values, atoms = torch.topk(encoder(x), k)
        codes = torch.zeros(len(x), n_components).scatter(1, atoms, torch.relu(values))
        loss = ((decoder(codes) - x) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        with torch.no_grad():
            weight, slope = decoder.weight, decoder.weight.grad
            slope -= weight * (weight * slope).sum(0) / (weight * weight).sum(0)
        optimiser.step()

    for x in batches[:3]:
        step(x)
    begin = time.perf_counter()
    for x in batches:
        step(x)
    return (time.perf_counter() - begin) / share
