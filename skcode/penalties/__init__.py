"""Penalties on codes: what each one is, in a file of its own, and one table of all.

A penalty is a `typing.NamedTuple` of floats. Its first field, ``alpha``, is its slope at zero; the others have
defaults. It has

``prox(value, step, positive)``
    ``argmin_z 1/2 (z - value)^2 + step * penalty(z)``, over ``z >= 0`` if ``positive``, as plain scalar code. ``step``
    is ``1 / ||atom||^2``, and a penalty may depend on it. A result has the type of ``value``: a literal zero would turn
    the float32 arithmetic of a kernel into float64. Compiled kernels call it in the same words as Python does,
    ``penalty.prox(value, step, positive)``: what is compiled is this very method.
``value(codes, squared_norms)``
    The penalty of each code, given ``||atom||^2``; an array of the shape of both together.
``threshold(squared_norms)``
    Of each atom, a correlation with the residual (of absolute value, when signed) up to which a code of zero stays
    zero. Solvers look no further at atoms below it.
``above``
    What each field has to be above.
``certificate``
    What certifies codes under it, in words: ``"relative duality gap"`` where there is a dual problem, and
    ``"violation of stationarity"`` where there is none. Either is `skcode.solvers.CodingResult.certificate`.

To add a penalty, write such a file and add a row to `PENALTIES`. Its name is what estimators take as ``penalty=``, they
make it by ``PENALTIES[name](alpha)``, and `skcode.solvers.SOLVERS` has coordinate descent for it.
"""

from __future__ import annotations

from numba.core import types
from numba.extending import overload_method

from .l1 import L1, prox_l1, prox_l1_positive
from .mcp import MCP

PENALTIES = {"l1": L1, "mcp": MCP}

__all__ = ["L1", "MCP", "PENALTIES", "prox_l1", "prox_l1_positive"]


@overload_method(types.BaseNamedTuple, "prox", jit_options={"error_model": "numpy", "forceinline": True})
def _prox_in_kernels(self, value, step, positive):
    """Tell numba what ``penalty.prox`` means: the method of the class, which it then compiles."""
    penalty = self.instance_class
    return penalty.prox if penalty in PENALTIES.values() else None
