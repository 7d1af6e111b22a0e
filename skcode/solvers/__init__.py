"""Solvers of the problem with a fixed dictionary: arrays in, a `CodingResult` out; they know no estimator."""

from .._lasso import alpha_max, duality_gap, lipschitz, objective
from ._prepared import PreparedDictionary
from ._result import CodingResult, Status
from ._table import SOLVERS
from .descent import coordinate_descent
from .fista import fista, ista
from .mcp import mcp
from .noise import alpha_for_noise
from .path import alpha_for_l0, coding_path, largest_alpha
from .refit import refit
from .working_set import working_set

__all__ = [
    "SOLVERS",
    "CodingResult",
    "PreparedDictionary",
    "Status",
    "alpha_for_l0",
    "alpha_for_noise",
    "alpha_max",
    "coding_path",
    "coordinate_descent",
    "duality_gap",
    "fista",
    "ista",
    "largest_alpha",
    "lipschitz",
    "mcp",
    "objective",
    "refit",
    "working_set",
]
