"""Alternation of FISTA and least squares over the whole training set: the published DL-FISTA, kept as the baseline."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from .. import _lasso
from .._parallel import single_threaded_blas
from ..solvers import fista

_STEPS_PER_ROUND = 100
_RIDGE = 1e-6
_FEWEST_ROUNDS = 12  # the published stopping rule is not asked before


class Learned(NamedTuple):
    """A learned dictionary: atoms, training codes under the penultimate atoms, rounds made, and what was seen."""

    components: np.ndarray
    codes: np.ndarray
    n_iter: int
    history: dict


def alternate(X, components, alpha, *, positive, max_epochs, tol, n_jobs=None, report=None) -> Learned:
    """Learn a dictionary by rounds of 100 warm-started FISTA steps, a least-squares dictionary, and unit atoms.

    Stops when the dictionary moves by less than ``tol`` of its norm, or after ``max_epochs`` rounds. An atom that no
    sample uses becomes zero and stays so, as published; when no atom is used at all, it warns and stops. ``report`` is
    called with the round and the history.
    """
    history = {"objective": [], "mean_l0": [], "change": []}
    codes = None
    with single_threaded_blas:
        for epoch in range(1, max_epochs + 1):
            result = fista(
                X, components, alpha, positive=positive, max_iter=_STEPS_PER_ROUND, tol=0.0, codes_init=codes,
                restart=False, n_jobs=n_jobs,
            )  # fmt: skip
            codes = result.codes
            history["objective"].append(float(_lasso.objective(X, codes, components, alpha, positive).mean()))
            history["mean_l0"].append(float(np.count_nonzero(codes) / len(codes)))
            if not codes.any():
                history["change"].append(0.0)
                warnings.warn(
                    f"no sample uses any atom with alpha={alpha:g}: learning stopped after pass {epoch}. Lower alpha.",
                    ConvergenceWarning,
                    stacklevel=4,
                )
                break
            updated = _least_squares_atoms(X, codes)
            history["change"].append(float(np.linalg.norm(updated - components) / np.linalg.norm(components)))
            components = updated
            if report is not None:
                report(epoch, history)
            if epoch >= _FEWEST_ROUNDS and history["change"][-1] < tol:
                break
    return Learned(components, codes, epoch, history)


def _least_squares_atoms(X, codes):
    """Return the unit-norm rows of ``(codes' codes + 1e-6 I)^-1 codes' X``; an unused atom is zero."""
    dtype, codes = X.dtype, codes.astype(np.float64)  # the small ridge is lost in float32
    gram = codes.T @ codes
    gram[np.diag_indices_from(gram)] += _RIDGE
    atoms = np.linalg.solve(gram, codes.T @ X)
    norms = np.linalg.norm(atoms, axis=1, keepdims=True)
    return (atoms / np.maximum(norms, 1e-8)).astype(dtype)
