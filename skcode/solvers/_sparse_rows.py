"""Codes while a solver works on them: the support of each sample, its values, and how many there are.

Row ``i`` of ``support`` lists the atoms that sample ``i`` uses, that of ``values`` their codes; ``sizes[i]`` says how
many entries count. Arrays are passed whole, with row numbers.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numba import njit

from .._compiled import ALLOCATES, IN_ORDER, compiled
from .._rows import subtract_rows


def as_csr(support: np.ndarray, values: np.ndarray, sizes: np.ndarray, n_components: int) -> sp.csr_array:
    """Return the codes of all samples as a CSR array with its indices in order."""
    indptr = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    indices, data = np.empty(indptr[-1], np.int32), np.empty(indptr[-1], values.dtype)
    emit(support, values, sizes, indptr, indices, data)
    return sp.csr_array((data, indices, indptr), shape=(len(sizes), n_components))


@compiled(**IN_ORDER)
def emit(support, values, sizes, indptr, indices, data):
    """Write support and values as the rows of a CSR matrix, indices in order."""
    for i in range(sizes.shape[0]):
        start = indptr[i]
        for p in range(sizes[i]):
            j, value = support[i, p], values[i, p]
            at = start + p
            while at > start and indices[at - 1] > j:
                indices[at] = indices[at - 1]
                data[at] = data[at - 1]
                at -= 1
            indices[at] = j
            data[at] = value


@compiled(**IN_ORDER)
def start_from(
    indptr, indices, data, positive, X, dictionary, squared_norms, support, values, sizes, rest, rest_energy, residual
):
    """Take given codes as the start of each sample: those that are feasible, on atoms that are not zero.

    ``rest`` is set to the residuals, and ``rest_energy`` to half their squared norms.
    """
    for i in range(X.shape[0]):
        size = 0
        for place in range(indptr[i], indptr[i + 1]):
            feasible = data[place] > 0 or (data[place] < 0 and not positive)
            if feasible and squared_norms[indices[place]] > 0 and size < support.shape[1]:
                support[i, size], values[i, size] = indices[place], data[place]
                size += 1
        sizes[i] = size
        rest_energy[i] = write_residual(X, i, size, support[i], values[i], dictionary, residual)
        for k in range(X.shape[1]):
            rest[i, k] = residual[k]


@njit(**IN_ORDER)
def write_residual(X, i, size, support, values, dictionary, residual):
    """Write the residual of sample ``i`` in float64, given its support and values; return half its squared norm."""
    for k in range(X.shape[1]):
        residual[k] = X[i, k]
    subtract_rows(residual, size, support, values, dictionary)
    energy = 0.0
    for k in range(X.shape[1]):
        energy += residual[k] * residual[k]
    return 0.5 * energy


@njit(**IN_ORDER | ALLOCATES)
def compute_gram(size, atoms, dictionary, copies, gram):
    """Copy some atoms to ``copies``, and write the products of all pairs to ``gram``."""
    for p in range(size):
        j = atoms[p]
        for k in range(dictionary.shape[1]):
            copies[p, k] = dictionary[j, k]
    product = np.dot(copies[:size], copies[:size].T)
    for p in range(size):
        for q in range(size):
            gram[p, q] = product[p, q]
