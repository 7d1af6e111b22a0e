"""Alternation of FISTA and least squares over the whole training set: the published DL-FISTA, kept as the baseline."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .. import _lasso
from ..solvers import fista

N_ROUNDS = 1000  # as published
_STEPS_PER_ROUND = 100
_RIDGE = 1e-6 / 3.3  # relative to the samples' mean square norm: the published 1e-6 on the paper's, of 3.3
_FEWEST_ROUNDS = 12  # the published stopping rule is not asked before


class Alternation:
    """Rounds of 100 warm-started FISTA steps, least squares, and scaling to norm 1.

    An atom that no sample uses becomes zero and stays so, as published. When no atom is used at all, learning stops.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Samples, offset removed.
    components : ndarray of shape (n_components, n_features)
        Unit atoms to start from.
    alpha : float
        Penalty.
    positive : bool
        Whether codes are non-negative.
    max_epochs : int
        Most rounds.
    tol : float
        Share of its norm by which the dictionary moves in the last round.
    n_jobs : int or None
        Threads.
    """

    search = None  # nothing that a stream could go on from

    def __init__(self, X, components, alpha, *, positive, max_epochs, tol, n_jobs=None):
        self.components = components
        self.n_passes = max_epochs
        self._X, self._alpha, self._positive, self._tol, self._n_jobs = X, alpha, positive, tol, n_jobs
        self._ridge = _RIDGE * float(np.einsum("ij,ij->", X, X, dtype=np.float64)) / len(X) or _RIDGE

    def passes(self) -> Iterator[tuple[dict[str, float], bool]]:
        """Learn; yield for each round what it showed, and whether it was the last."""
        codes = None
        for epoch in range(1, self.n_passes + 1):
            before = self.components
            codes = fista(
                self._X, before, self._alpha, positive=self._positive, max_iter=_STEPS_PER_ROUND, tol=0.0,
                codes_init=codes, restart=False, n_jobs=self._n_jobs,
            ).codes  # fmt: skip
            objective = float(_lasso.objective(self._X, codes, before, self._alpha, self._positive).mean())
            self.components = _least_squares_atoms(self._X, codes, self._ridge)
            change = float(np.linalg.norm(self.components - before) / np.linalg.norm(before))
            mean_l0 = float(np.count_nonzero(codes) / len(codes))
            at_rest = epoch >= _FEWEST_ROUNDS and change < self._tol
            last = at_rest or mean_l0 == 0 or epoch == self.n_passes
            yield {"objective": objective, "mean_l0": mean_l0, "change": change}, last
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
