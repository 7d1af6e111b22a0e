"""What every solver returns."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp


class CodingResult(NamedTuple):
    """Codes of a block of samples, and how good they are.

    Attributes
    ----------
    codes : ndarray or CSR array of shape (n_samples, n_components)
        The codes, in the dtype of the data.
    n_iter : ndarray of shape (n_samples,), dtype int64
        Iterations spent on each sample.
    dual_gap : ndarray of shape (n_samples,), dtype float64
        Duality gap of these very codes, relative to ``1/2 ||x||^2``: an upper bound on how far their objective is
        from the optimum. From `mcp`, whose problem has no dual, how far they are from being stationary.
    """

    codes: np.ndarray
    n_iter: np.ndarray
    dual_gap: np.ndarray

    @classmethod
    def concatenate(cls, results):
        """Stack the results of consecutive blocks of samples."""
        if len(results) == 1:
            return results[0]
        blocks = [result.codes for result in results]
        return cls(
            sp.vstack(blocks, format="csr") if sp.issparse(blocks[0]) else np.concatenate(blocks),
            np.concatenate([result.n_iter for result in results]),
            np.concatenate([result.dual_gap for result in results]),
        )
