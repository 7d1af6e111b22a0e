"""A concept that is found twice, with either sign, because other atoms lean towards it.

Where a concept ``a`` is in most samples of others, their atoms may take some of it over: with ``d_j + e_j a`` instead
of ``d_j``, the code of ``a`` becomes ``z_a - sum_j e_j z_j``, and with an atom for ``-a`` it may be negative. That is a
local optimum, and costs another concept its atom. But codes know the lean: it is what makes the code of ``a``, with its
sign, non-negative again.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import lsqr

from .._norms import unit_rows

_OPPOSITE = -0.9  # the cosine. Concepts that are opposites of each other do exist: the objective tells them apart.
_COMMON = 3.0  # such a concept is in so many times the samples of a typical atom
_ZERO = 0.0, 0.7, 0.3  # codes up to here, in their root mean square, are taken for zeros: first the negative ones alone
_REWEIGHTED = 6  # times for each
_POSITIVE = 0.01  # weight of samples with the concept, which say little about the lean
_RIDGE = 3e-3  # of the mean squared codes of an atom; what it holds on to is the lean before
_ROWS_AT_ONCE = 1024


def opposites(components: np.ndarray) -> np.ndarray:
    """Return the pairs of unit atoms that are each other's opposites, as numbers of shape (n_pairs, 2)."""
    nearest, cosine = np.empty(len(components), np.intp), np.empty(len(components))
    for start in range(0, len(components), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        cosines = components[rows] @ components.T
        nearest[rows], cosine[rows] = cosines.argmin(axis=1), cosines.min(axis=1)
    numbers = np.arange(len(components))
    mutual = (nearest[nearest] == numbers) & (numbers < nearest) & (cosine < _OPPOSITE)
    return np.column_stack([numbers, nearest])[mutual]


def most_common(pairs: np.ndarray, codes: sp.csr_array) -> tuple[int, int] | None:
    """Return the pair that most samples use, the more used atom first, or None if no pair is common."""
    usage = np.bincount(codes.indices, minlength=codes.shape[1])
    together = usage[pairs].sum(axis=1)
    if not (together > _COMMON * np.median(usage)).any():
        return None
    one, other = pairs[together.argmax()]
    return (one, other) if usage[one] >= usage[other] else (other, one)


def without_lean(components: np.ndarray, kept: int, opposite: int, codes: sp.csr_array) -> np.ndarray:
    """Return the atoms without their lean towards one that has an opposite; the opposite is zero."""
    by_atom = codes.tocsc().astype(np.float64)
    others = np.delete(np.arange(len(components)), [kept, opposite])
    signed = (by_atom[:, [kept]] - by_atom[:, [opposite]]).toarray().ravel()
    lean = _lean(signed, by_atom[:, others].tocsr())
    upright = components.copy()
    upright[others] -= np.outer(lean, components[kept]).astype(components.dtype)
    upright[opposite] = 0
    return unit_rows(upright)


def _lean(signed, codes):
    """Return weights with which codes added to the signed one make it non-negative, and zero where it is small.

    Least squares over the samples that seem to be without the concept, chosen anew a few times.
    """
    scale = np.sqrt(np.mean(signed**2))
    damp = np.sqrt(_RIDGE * (codes.data @ codes.data) / codes.shape[1])
    lean = np.zeros(codes.shape[1])
    for zero in np.repeat(_ZERO, _REWEIGHTED):
        without = signed + codes @ lean < zero * scale
        weight = np.sqrt(np.where(without, 1.0, _POSITIVE))
        lean = lsqr(sp.diags_array(weight) @ codes, -weight * signed, damp=damp, iter_lim=100, x0=lean)[0]
    return lean
