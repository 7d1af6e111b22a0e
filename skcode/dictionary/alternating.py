"""Alternation of FISTA and least squares over the whole training set: the published DL-FISTA, kept as the baseline."""

from __future__ import annotations

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from .. import _lasso
from .._parallel import single_threaded_blas
from .._warnings import warn
from ..solvers import fista

_STEPS_PER_ROUND = 100
_RIDGE = 1e-6 / 3.3  # relative to the samples' mean square norm: the published 1e-6 on the paper's, of 3.3
_FEWEST_ROUNDS = 12  # the published stopping rule is not asked before


def alternate(X, components, alpha, *, positive, max_epochs, tol, n_jobs=None):
    """Improve components in place by rounds of 100 warm-started FISTA steps, least squares, and scaling to norm 1.

    Yields for each round what it showed, and whether it is the last: the dictionary moved by less than ``tol`` of its
    norm, or there were ``max_epochs`` rounds. An atom that no sample uses becomes zero and stays so, as published; when
    no atom is used at all, it warns and stops.
    """
    codes = None
    ridge = _RIDGE * float(np.einsum("ij,ij->", X, X, dtype=np.float64)) / len(X) or _RIDGE
    for epoch in range(1, max_epochs + 1):
        with single_threaded_blas():
            result = fista(
                X, components, alpha, positive=positive, max_iter=_STEPS_PER_ROUND, tol=0.0, codes_init=codes,
                restart=False, n_jobs=n_jobs,
            )  # fmt: skip
            codes = result.codes
            objective = float(_lasso.objective(X, codes, components, alpha, positive).mean())
            updated = _least_squares_atoms(X, codes, ridge)
        change = float(np.linalg.norm(updated - components) / np.linalg.norm(components))
        components[:] = updated
        at_rest = epoch >= _FEWEST_ROUNDS and change < tol
        nothing = not codes.any()
        if nothing:
            warn(
                f"no sample uses any atom with alpha={alpha:g}: learning stopped after pass {epoch}. Lower alpha.",
                ConvergenceWarning,
            )
        record = {"objective": objective, "mean_l0": float(np.count_nonzero(codes) / len(codes)), "change": change}
        last = at_rest or nothing or epoch == max_epochs
        yield record, last
        if last:
            return


def _least_squares_atoms(X, codes, ridge):
    """Return the unit-norm rows of ``(codes' codes + ridge I)^-1 codes' X``; an unused atom is zero."""
    dtype, codes = X.dtype, codes.astype(np.float64)  # the small ridge is lost in float32
    gram = codes.T @ codes
    gram[np.diag_indices_from(gram)] += ridge
    atoms = np.linalg.solve(gram, codes.T @ X)
    norms = np.linalg.norm(atoms, axis=1, keepdims=True)
    return (atoms / np.maximum(norms, 1e-8)).astype(dtype)
