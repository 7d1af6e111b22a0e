"""The contestants: what is fitted, and the rows that each fit gives."""

from __future__ import annotations

import functools
import time

import _published
import numpy as np
from _problems import Problem, synthetic
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skcode import DictionaryLearner, FISTACoder, OracleCoder, SparseAutoencoder
from skcode.dictionary import SoftplusDescent
from skcode.metrics import amortisation_gap, mcc_score, shift_report, unexplained_variance

# Passes of DL-FISTA where there is no published run to repeat; on the paper's protocol its own stopping rule decides.
MOST_PASSES_ON_REAL_DATA = 100
MOST_PASSES_OF_SOFTPLUS = 60  # of 100 steps; published are 500, most of them with a learning rate of next to nothing
_NEXT_TO_NONE = 1e-3  # of a penalty

MANY = (
    2000  # atoms beyond which in-distribution codes are not matched: all columns are active there, and it takes minutes
)

# Method -> the fit it comes from, in the order of the table. One fit may give several rows.
METHODS = {
    "linear_probe": "linear_probe",
    **{name: f"sae_{a}" for a in _published.SAE_ACTIVATIONS for name in (f"sae_{a}", f"fista+{a}")},
    "sae_default": "sae_default",
    "dl_fista": "dl_fista",
    "dl_fista_train": "dl_fista_train",
    "softplus_adam": "softplus_adam",
    "softplus_adam_train": "softplus_adam_train",
    "learner": "learner",
    "oracle": "oracle",
}
# Rough relative costs, for the time left alone.
COSTS = {
    "linear_probe": 1, "sae_relu": 5, "sae_topk": 6, "sae_jumprelu": 7, "sae_matching_pursuit": 13,
    "sae_default": 5, "dl_fista": 30,
    "dl_fista_train": 30, "softplus_adam": 10, "softplus_adam_train": 5, "learner": 2, "oracle": 1,
}  # fmt: skip


def applicable(method: str, problem_name: str) -> bool:
    """Return whether a method can be run on a kind of data: only the paper's protocol knows the truth."""
    if problem_name == "synthetic":
        return True
    if method == "linear_probe":
        return problem_name == "digits"
    return method not in ("oracle", "dl_fista", "softplus_adam")


def run(fit: str, methods: tuple[str, ...], problem: Problem, seed: int) -> tuple[list[dict], float]:
    """Make one fit; return a row for each of its methods that was asked for, and the seconds it all took."""
    warm_up()
    start = time.perf_counter()
    rows = []
    for method, encoder, seconds in fitted(fit, methods, problem, 10_000 + seed):
        row = {"data": problem.name, "seed": seed, "method": method}
        rows.append(row | measure(encoder, problem) | {"fit_seconds": round(seconds, 3)})
    return rows, time.perf_counter() - start


@functools.cache
def warm_up() -> None:
    """Compile every kernel (or load it from the cache) before anything is timed."""
    problem = synthetic(0, 20, 3, 100)
    for method in ("online", "softplus"):
        DictionaryLearner(20, method=method, max_epochs=1).fit(problem.X_train).transform(problem.X_train)
    for activation in _published.SAE_ACTIVATIONS:
        settings = {"n_active": 3} | _published.sae_settings(activation) | {"max_epochs": 1}
        SparseAutoencoder(20, activation=activation, **settings).fit(problem.X_train)
    for restart in (True, False):
        for positive in (True, False):
            coder = FISTACoder(
                problem.dictionary, solver="fista", positive=positive, restart=restart, max_iter=20, tol=0.0
            )
            coder.fit(problem.X_train)


def fitted(fit: str, methods: tuple[str, ...], problem: Problem, seed: int):
    """Yield (method, fitted encoder, seconds of its fit)."""
    start = time.perf_counter()

    def took():
        return time.perf_counter() - start

    if fit == "linear_probe":
        yield fit, _linear_probe(problem), took()
    elif fit == "oracle":
        yield (
            fit,
            OracleCoder(problem.dictionary, alpha=problem.alpha, **_published.FISTA_SETTINGS).fit(problem.X_train),
            took(),
        )
    elif fit == "softplus_adam":
        yield fit, PublishedSoftplus(problem, seed), took()
    elif fit == "dl_fista":  # published: learned on the very samples that the in-distribution metrics use
        yield fit, _learner("dl_fista_train", problem, seed).fit(problem.X_id), took()
    elif fit in ("learner", "dl_fista_train", "softplus_adam_train"):
        learner = _learner(fit, problem, seed).fit(problem.X_train)
        seconds = took()
        if problem.unlabelled:
            learner = equally_sparse(problem, problem.n_active, learner.components_)
        yield fit, learner, seconds
    elif fit == "sae_default":
        sae = SparseAutoencoder(problem.n_components, n_active=problem.n_active, random_state=seed)
        yield fit, sae.fit(problem.X_train), took()
    else:
        activation = fit.removeprefix("sae_")
        sae = published_autoencoder(activation, problem, seed)
        seconds = took()
        if fit in methods:
            yield fit, sae, seconds
        if f"fista+{activation}" in methods:
            # Published: non-negative on every decoder, also on that of MP, whose own codes are signed.
            positive = problem.dictionary is not None or activation != "matching_pursuit"
            if problem.unlabelled:
                l0 = np.count_nonzero(sae.transform(problem.X_train)) / len(problem.X_train)
                coder = equally_sparse(problem, l0, sae.components_, offset=sae.decoder_bias_, positive=positive)
            else:
                coder = published_fista(problem, sae, positive=positive)
            yield f"fista+{activation}", coder, seconds


def _learner(fit, problem, seed):
    most_passes = MOST_PASSES_ON_REAL_DATA if problem.dictionary is None else 1000
    settings = {
        "learner": {},
        "dl_fista_train": {"method": "alternating", "max_epochs": most_passes},
        "softplus_adam_train": {"method": "softplus", "max_epochs": MOST_PASSES_OF_SOFTPLUS},
    }
    # The published penalty of codes for all, so that all have one objective.
    return DictionaryLearner(
        problem.n_components, alpha=problem.alpha, penalty="l1", random_state=seed, **settings[fit]
    )


def published_autoencoder(activation: str, problem: Problem, seed: int, **changes) -> SparseAutoencoder:
    """Train one of the paper's autoencoders with its published settings, but for ``changes``."""
    settings = {"n_active": problem.n_active, "random_state": seed} | _published.sae_settings(activation) | changes
    return SparseAutoencoder(problem.n_components, activation=activation, **settings).fit(problem.X_train)


def published_fista(problem: Problem, sae: SparseAutoencoder, components=None, **changes) -> FISTACoder:
    """Return the paper's 100 steps of FISTA on the decoder of an autoencoder, or on changed components of it."""
    settings = {"alpha": problem.alpha, "offset": sae.decoder_bias_} | _published.FISTA_SETTINGS | changes
    return FISTACoder(sae.components_ if components is None else components, **settings).fit(problem.X_train)


def equally_sparse(problem: Problem, l0: float, components, **settings) -> FISTACoder:
    """Return a coder whose error can be compared with that of an encoder of that L0: as sparse, and not shrunk.

    Where no penalty gives so many, next to no penalty gives as many as there can be.
    """
    coder = FISTACoder(components, debias=True, target_l0=l0, **settings)
    try:
        return coder.fit(problem.X_train)
    except ValueError as error:
        if "target_l0" not in str(error):
            raise
        return coder.set_params(target_l0=None, alpha=_NEXT_TO_NONE * problem.alpha).fit(problem.X_train)


class PublishedSoftplus(BaseEstimator):
    """Softplus-Adam as the paper evaluates it: learned on the test half, and its codes are those of the descent.

    Codes of samples out of distribution are descended along with them, moving no atom; there is no encoder for others.
    """

    def __init__(self, problem, seed):
        n_features = problem.X_id.shape[1]
        atoms = np.random.RandomState(seed).standard_normal((problem.n_components, n_features))
        self.components_ = (atoms / np.linalg.norm(atoms, axis=1, keepdims=True)).astype(problem.X_id.dtype)
        self.offset_ = np.zeros(n_features, problem.X_id.dtype)
        descent = SoftplusDescent(
            problem.X_id, self.components_, problem.alpha, max_epochs=MOST_PASSES_OF_SOFTPLUS, tol=1e-5,
            rng=np.random.RandomState(seed + 1), X_along=problem.X_ood,
        )  # fmt: skip
        for _ in descent.passes():
            pass
        self.components_ = descent.components
        self._known = [(problem.X_id, descent.codes()), (problem.X_ood, descent.codes(along=True))]

    def transform(self, X):
        for known, codes in self._known:
            if np.array_equal(known, X):
                return codes
        raise ValueError("the descent has codes of the samples in and out of distribution, and of no others.")

    def inverse_transform(self, X):
        return X @ self.components_


def _linear_probe(problem):
    if problem.codes_train is None:  # no codes to regress on: the activations themselves
        return FunctionTransformer().fit(problem.X_train)
    # The ridge path squares the condition number, which float32 does not bear.
    ridge = RidgeCV(alphas=(1e-6, 1e-4, 1e-2, 1.0, 10.0), fit_intercept=False)
    return ridge.fit(problem.X_train.astype(np.float64), problem.codes_train)


def measure(encoder, problem: Problem) -> dict:
    """Return what can be said of an encoder: against the truth, where it is known, and without."""
    row = {}
    if problem.codes_ood is not None:
        true_id = None if problem.n_components > MANY else problem.codes_id
        report = shift_report(
            encoder, problem.X_id, problem.y_id, problem.X_ood, problem.y_ood,
            codes_id=true_id, codes_ood=problem.codes_ood,
        )  # fmt: skip
        row |= {f"plain_{name}" if name.startswith("mcc") else name: value for name, value in report.items()}
        if true_id is not None:
            row["mcc_id"] = mcc_score(true_id, codes_of(encoder, problem.X_id), **_published.MCC_ID)
        row["mcc_ood"] = mcc_score(problem.codes_ood, codes_of(encoder, problem.X_ood), **_published.MCC_OOD)
    elif problem.y_ood is not None:
        probe = make_pipeline(FrozenEstimator(encoder), StandardScaler(), LogisticRegression(max_iter=2000))
        probe.fit(problem.X_train, problem.y_train)
        report = shift_report(probe, problem.X_id, problem.y_id, problem.X_ood, problem.y_ood)
        row |= {"accuracy_id": report.accuracy_id, "accuracy_ood": report.accuracy_ood}
    codes = codes_of(encoder, problem.X_id)
    row["mean_l0"] = float(np.count_nonzero(codes) / len(codes))
    if hasattr(encoder, "components_"):
        reconstruction = encoder.inverse_transform(codes)
        row["unexplained_variance"] = unexplained_variance(
            problem.X_id, reconstruction, mean=problem.X_train.mean(axis=0, dtype=np.float64)
        )
        for side, X in (("id", problem.X_id), ("ood", problem.X_ood)):
            if X is not None and not getattr(encoder, "debias", False):  # which does not minimise the objective
                row[f"amortisation_gap_{side}"] = amortisation_gap(encoder, X, alpha=problem.alpha).mean_gap
    return row


def codes_of(encoder, X):
    return encoder.transform(X) if hasattr(encoder, "transform") else encoder.predict(X)
