"""Which function solves the problem with which penalty, by which solver."""

from __future__ import annotations

from functools import partial

from ..penalties import PENALTIES
from .descent import coordinate_descent
from .fista import fista, ista
from .working_set import working_set


def _descend(make_penalty, X, dictionary, alpha, **options):
    return coordinate_descent(X, dictionary, make_penalty(alpha), **options)


SOLVERS = {
    **{name: {"working_set": partial(_descend, penalty)} for name, penalty in PENALTIES.items()},
    "l1": {"working_set": working_set, "fista": fista, "ista": ista},
}
"""``SOLVERS[penalty][solver](X, dictionary, alpha, **options)``, with the names that estimators take.

Every penalty has the solver ``"working_set"``: coordinate descent, but for the L1 penalty, which has more to choose
from. All take the options ``positive``, ``max_iter``, ``tol``, ``codes_init``, ``offset``, ``sparse_output`` and
``n_jobs``; ``fista`` alone has ``restart``.
"""
