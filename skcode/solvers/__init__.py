"""Solvers of the L1 problem with a fixed dictionary: arrays in, a `CodingResult` out; they know no estimator."""

from .._lasso import alpha_max, duality_gap, lipschitz, objective
from ._result import CodingResult
from .fista import fista, ista

SOLVERS = {"fista": fista, "ista": ista}

__all__ = ["SOLVERS", "CodingResult", "alpha_max", "duality_gap", "fista", "ista", "lipschitz", "objective"]
