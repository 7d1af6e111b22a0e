"""Codes under the minimax concave penalty: sparse, and without the shrinkage of the L1 penalty."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from ..penalties import MCP
from ._prepared import PreparedDictionary
from ._result import CodingResult
from .descent import coordinate_descent


def mcp(
    X: np.ndarray,
    dictionary: np.ndarray | PreparedDictionary,
    alpha: float,
    *,
    gamma: float = 3.0,
    positive: bool = True,
    max_iter: int = 100,
    tol: float = 1e-4,
    codes_init: np.ndarray | sp.csr_array | None = None,
    offset: np.ndarray | None = None,
    sparse_output: bool = False,
    n_jobs: int | None = None,
) -> CodingResult:
    """Find a stationary point of the problem with the minimax concave penalty for every sample.

    The penalty (Zhang, 2010) grows like ``alpha |z|`` at zero and is flat beyond ``gamma * alpha / ||atom||^2``: large
    codes are fitted by least squares.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), float32 or float64
        Data.
    dictionary : ndarray of shape (n_components, n_features) or PreparedDictionary
        Atoms in rows, of any norm.
    alpha : float
        Slope of the penalty at zero, positive.
    gamma : float, default=3.0
        Above 1. The curvature of the penalty of each code is that of its least squares divided by gamma. Large values
        approach the L1 penalty.
    positive, max_iter, tol, codes_init, offset, sparse_output, n_jobs
        As in `coordinate_descent`, which this is for ``skcode.penalties.MCP(alpha, gamma)``.

    Returns
    -------
    result : CodingResult
        As from `coordinate_descent`: with ``violation``, and ``dual_gap=None``.

    Raises
    ------
    TypeError, ValueError
        If gamma is not above 1, and whatever `coordinate_descent` raises.
    """
    return coordinate_descent(
        X, dictionary, MCP(alpha, gamma), positive=positive, max_iter=max_iter, tol=tol, codes_init=codes_init,
        offset=offset, sparse_output=sparse_output, n_jobs=n_jobs,
    )  # fmt: skip
