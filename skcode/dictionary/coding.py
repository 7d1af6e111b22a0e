"""How learning codes samples: by the minimax concave penalty, whatever `transform` uses."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from ..penalties import MCP
from ..solvers import PreparedDictionary, mcp


class Step(NamedTuple):
    """What some samples showed, coded under the dictionary before the step; sums over samples."""

    n_samples: int
    objective: float  # 1/2 ||residual||^2 + alpha ||codes||_1, at the alpha of the step
    squared_samples: float
    squared_residuals: float
    nnz: int
    n_replaced: int

    def __add__(self, other: Step) -> Step:
        return Step(*(one + another for one, another in zip(self, other, strict=True)))

    def record(self) -> dict[str, float]:
        """Return the entries of ``history_``: means over samples."""
        n_samples = max(self.n_samples, 1)
        return {
            "objective": self.objective / n_samples,
            "mean_l0": self.nnz / n_samples,
            "unexplained": self.squared_residuals / self.squared_samples if self.squared_samples > 0 else 0.0,
            "n_replaced": self.n_replaced,
        }


NOTHING = Step(0, 0.0, 0.0, 0.0, 0, 0)


class Coder(NamedTuple):
    """A way to code samples."""

    alpha: float
    gamma: float
    positive: bool
    tol: float
    n_jobs: int | None

    def codes(self, X: np.ndarray, components: np.ndarray) -> sp.csr_array:
        """Return the codes of samples."""
        return mcp(
            X, PreparedDictionary(components), self.alpha, gamma=self.gamma, positive=self.positive, tol=self.tol,
            sparse_output=True, n_jobs=self.n_jobs,
        ).codes  # fmt: skip

    def objective(self, X: np.ndarray, components: np.ndarray) -> float:
        """Return the sum over samples of what their codes minimise."""
        codes = self.codes(X, components)
        residuals = X - codes @ components
        penalty = MCP(self.alpha, self.gamma).value(codes.data.astype(np.float64))
        return 0.5 * sum_of_squares(residuals) + float(penalty.sum())

    def tell(self, X: np.ndarray, codes: sp.csr_array, residuals: np.ndarray) -> Step:
        """Return what samples showed."""
        squared_residuals = sum_of_squares(residuals)
        l1 = float(np.abs(codes.data).sum(dtype=np.float64))
        objective = 0.5 * squared_residuals + self.alpha * l1
        return Step(len(X), objective, sum_of_squares(X), squared_residuals, codes.nnz, 0)


def sum_of_squares(rows: np.ndarray) -> float:
    """Return the sum of all squares, in float64."""
    return float(np.einsum("ij,ij->", rows, rows, dtype=np.float64))


def chance_correlation(residuals: np.ndarray, codes: sp.csr_array) -> float:
    """Return how large a correlation with one of the atoms is to be expected of what codes leave, were it noise.

    The noise is taken to be white, and its level that of a typical sample.
    """
    freedom = np.maximum(residuals.shape[1] - np.diff(codes.indptr), 1)
    variance = np.median(np.einsum("ij,ij->i", residuals, residuals) / freedom)
    return float(np.sqrt(2 * np.log(max(codes.shape[1], 2)) * variance))
