"""What every solver returns."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp


class Status(IntEnum):
    """How the work on a sample ended."""

    CERTIFIED = 0
    """The certificate is at most ``tol``."""
    AT_REST = 1
    """The codes no longer move: the precision of their dtype is exhausted."""
    OUT_OF_ITERATIONS = 2
    """``max_iter`` iterations were made."""
    TOO_DENSE = 3
    """The codes have more non-zeros than the solver has room or work for."""


# As numbers, which kernels take in as constants.
CERTIFIED, AT_REST, OUT_OF_ITERATIONS, TOO_DENSE = (int(status) for status in Status)
OPEN = -1  # in place of a status: the work goes on


class CodingResult(NamedTuple):
    """Codes of a block of samples, and how good they are.

    Attributes
    ----------
    codes : ndarray or CSR array of shape (n_samples, n_components)
        The codes, in the dtype of the data.
    n_iter : ndarray of shape (n_samples,), dtype int64
        Iterations spent on each sample.
    dual_gap : ndarray of shape (n_samples,), dtype float64, or None
        Duality gap of these very codes, relative to ``1/2 ||x||^2``: an upper bound on how far their objective is
        from the optimum. None for a penalty that has no dual problem.
    status : ndarray of shape (n_samples,), dtype int8
        How the work on each sample ended, as a `Status`.
    violation : ndarray of shape (n_samples,), dtype float64, or None
        For a penalty without a dual problem: how far the codes are from being stationary. It is the farthest that a
        step of one code alone would move the reconstruction, relative to the norm of the sample.
    """

    codes: np.ndarray | sp.csr_array
    n_iter: np.ndarray
    dual_gap: np.ndarray | None
    status: np.ndarray
    violation: np.ndarray | None = None

    @property
    def certificate(self) -> np.ndarray:
        """What the codes are certified by: the duality gap, or the violation where there is none."""
        return self.dual_gap if self.violation is None else self.violation

    @classmethod
    def concatenate(cls, results: list[CodingResult]) -> CodingResult:
        """Stack the results of consecutive blocks of samples."""
        if len(results) == 1:
            return results[0]
        codes = [result.codes for result in results]
        stacked = sp.vstack(codes, format="csr") if sp.issparse(codes[0]) else np.concatenate(codes)
        others = zip(*(result[1:] for result in results), strict=True)
        return cls(stacked, *(None if parts[0] is None else np.concatenate(parts) for parts in others))
