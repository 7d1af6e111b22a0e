"""Where an autoencoder of "Stop Probing, Start Coding" loses: its decoder, its supports and its codes, one at a time.

Each function yields ``(experiment, method, setting, metrics)``: the names of ``published_results.csv``.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator

import _published
import numpy as np
from _contestants import MANY, published_fista
from _problems import Problem
from sklearn.preprocessing import normalize

from skcode import FISTACoder
from skcode.dictionary import Alternation
from skcode.metrics import match_dictionaries, mcc_score, support_scores

ALPHAS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500)
ROUNDS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
# With many atoms it takes minutes to match columns: fewer values of what is varied, new combinations only, no
# correction for chance, and none of what needs the atoms matched a second time.
FEWER = {"alphas": (0.01, 0.5), "steps": (10,), "rounds": (1, 2, 5, 10, 20, 100, 1000)}


def decompose(activation: str, sae, problem: Problem) -> Iterator[tuple]:
    """Decompose what a trained autoencoder loses, in all ways that learn no other dictionary."""
    many = problem.n_components > MANY
    own = {side: sae.transform(X) for side, X in _sides(problem).items()}

    def fista(components=None, **changes):
        return published_fista(problem, sae, components, **changes)

    yield from match_and_support(f"sae_{activation}", sae.components_, problem, own)
    codes = {side: fista().transform(X) for side, X in _sides(problem).items()}
    yield "frozen_decoder", f"fista+{activation}", None, agreement(codes, problem)
    refined = {side: fista().codes(X, codes_init=own[side]).codes for side, X in _sides(problem).items()}
    yield "frozen_decoder", f"refined+{activation}", None, agreement(refined, problem)

    scaled = {"unit_norms": normalize(sae.components_)}
    if not many:
        scaled["true_norms"] = with_true_norms(sae.components_, problem.dictionary)
    for method, components in scaled.items():
        found = {side: fista(components).transform(X) for side, X in _sides(problem).items()}
        yield "dictionary_quality", f"{method}+{activation}", None, agreement(found, problem)

    refitted = {side: refit(X - sae.decoder_bias_, own[side], sae.components_) for side, X in _sides(problem).items()}
    yield "support_refit", f"refit+{activation}", None, agreement(refitted, problem)

    for alpha in FEWER["alphas"] if many else ALPHAS:
        found = {"ood": quietly(fista(alpha=alpha), problem.X_ood)}
        yield "lambda_sensitivity", f"fista+{activation}", alpha, agreement(found, problem)
    yield "warmstart_encoder", f"warm_fista+{activation}", 0, agreement({"ood": own["ood"]}, problem)
    for steps in FEWER["steps"] if many else STEPS:
        coder = fista(max_iter=steps)
        for method, start in (("cold", None), ("warm", own["ood"])):
            found = {"ood": coder.codes(problem.X_ood, codes_init=start).codes}
            yield "warmstart_encoder", f"{method}_fista+{activation}", steps, agreement(found, problem)


def quietly(coder: FISTACoder, X: np.ndarray) -> np.ndarray:
    """Return the codes of samples under a penalty that may leave none."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "all codes of")
        return coder.transform(X)


def oracle_penalties(problem: Problem) -> Iterator[tuple]:
    """Vary the penalty on the true dictionary."""
    for alpha in FEWER["alphas"] if problem.n_components > MANY else ALPHAS:
        coder = FISTACoder(problem.dictionary, alpha=alpha, **_published.FISTA_SETTINGS).fit(problem.X_train)
        yield "lambda_sensitivity", "oracle", alpha, agreement({"ood": quietly(coder, problem.X_ood)}, problem)


def alternation(method: str, start: np.ndarray, problem: Problem, most_rounds: int) -> Iterator[tuple]:
    """Run DL-FISTA on the test half, as published, from some dictionary, and report of it on the way.

    After so many rounds means: the dictionary that this round starts from, as published; beyond the last round, the
    one it ended with. The last item is not a report but the dictionary, and the seconds that learning it took.
    """
    components = normalize(start).astype(problem.X_id.dtype)
    wanted = [r for r in (FEWER["rounds"] if problem.n_components > MANY else ROUNDS) if r <= most_rounds]
    learning = Alternation(problem.X_id, components, problem.alpha, positive=True, max_epochs=most_rounds, tol=1e-5)
    rounds = learning.passes()
    before, ended, done, seconds = components, False, 0, 0.0

    def go_on_to(round_):
        nonlocal before, ended, done, seconds
        start = time.perf_counter()
        while done < round_ and not ended:
            before = learning.components
            _, ended = next(rounds)
            done += 1
        seconds += time.perf_counter() - start

    for r in wanted:
        go_on_to(r)
        at = learning.components if ended and done < r else before
        coder = FISTACoder(at, alpha=problem.alpha, **_published.FISTA_SETTINGS).fit(problem.X_train)
        yield "warmstart_decoder", method, r, agreement({"ood": coder.transform(problem.X_ood)}, problem)
    go_on_to(most_rounds)
    yield learning.components, seconds


def match_and_support(method: str, components: np.ndarray, problem: Problem, codes: dict | None = None):
    """Compare a dictionary with the true one, and with codes also which components are active."""
    matches = match_dictionaries(problem.dictionary, components, n_draws=0)
    names = ("frac_recovered", "mean_cosine", "mean_norm_ratio")
    yield "dictionary_match", method, None, {name: matches[name] for name in names}
    if codes is not None:
        row = {}
        for side, found in codes.items():
            scores = support_scores(problem.codes_id if side == "id" else problem.codes_ood, found, pairs=matches.pairs)
            row |= {f"{name}_{side}": scores[name] for name in ("precision", "recall", "f1", "pred_total_l0")}
        yield "support", method, None, row


def agreement(codes: dict, problem: Problem) -> dict:
    """Return the agreement of codes with the true ones on the sides given: as published, and corrected for chance."""
    row = {}
    if "id" in codes:
        row["mcc_id"] = mcc_score(problem.codes_id, codes["id"], **_published.MCC_ID)
    row["mcc_ood"] = mcc_score(problem.codes_ood, codes["ood"], **_published.MCC_OOD)
    if problem.n_components <= MANY:
        row["adjusted_mcc_ood"] = mcc_score(problem.codes_ood, codes["ood"], adjusted=True)
    return row


def with_true_norms(components: np.ndarray, dictionary: np.ndarray) -> np.ndarray:
    """Return the atoms, each with the norm of the true atom that it matches."""
    pairs = match_dictionaries(dictionary, components, n_draws=0).pairs
    scaled = normalize(components)
    scaled[pairs[:, 1]] *= np.linalg.norm(dictionary[pairs[:, 0]], axis=1, keepdims=True)
    return scaled


def refit(X: np.ndarray, codes: np.ndarray, components: np.ndarray) -> np.ndarray:
    """Return codes on the same supports by least squares, the shortest solution where there are several."""
    refitted = np.zeros_like(codes)
    for x, code, out in zip(X, codes, refitted, strict=True):
        support = np.flatnonzero(code)
        if len(support):
            out[support] = np.linalg.lstsq(components[support].T, x)[0]
    return refitted


def _sides(problem):
    return {"ood": problem.X_ood} | ({} if problem.n_components > MANY else {"id": problem.X_id})
