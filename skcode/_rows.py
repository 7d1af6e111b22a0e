"""The loop that solvers and learners spend their time in, as compiled code: a sum of a few rows of a matrix."""

from __future__ import annotations

from numba import njit

from ._compiled import IN_ORDER


# Sums over rows need no reordering to be vectorised: each entry has a sum of its own.
@njit(**IN_ORDER)
def subtract_rows(target, count, rows, weights, matrix):
    """Subtract ``weights[p] * matrix[rows[p]]`` for the first ``count`` rows from ``target``, in its precision."""
    precision = target.dtype.type
    p = 0
    while p + 4 <= count:  # four rows a pass: the sum is loaded and stored once for all
        j0, j1, j2, j3 = rows[p], rows[p + 1], rows[p + 2], rows[p + 3]
        w0, w1 = precision(weights[p]), precision(weights[p + 1])
        w2, w3 = precision(weights[p + 2]), precision(weights[p + 3])
        for k in range(target.shape[0]):
            rest = target[k] - w0 * matrix[j0, k] - w1 * matrix[j1, k]
            target[k] = rest - w2 * matrix[j2, k] - w3 * matrix[j3, k]
        p += 4
    while p < count:
        j0, w0 = rows[p], precision(weights[p])
        for k in range(target.shape[0]):
            target[k] -= w0 * matrix[j0, k]
        p += 1


@njit(**IN_ORDER)
def correlate(j, matrix, vector):
    """Return the product of a row of a matrix with a vector in float64: eight sums, none of which waits for another."""
    size = vector.shape[0]
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
    for block in range(size // 8):
        k = 8 * block
        s0 += matrix[j, k] * vector[k]
        s1 += matrix[j, k + 1] * vector[k + 1]
        s2 += matrix[j, k + 2] * vector[k + 2]
        s3 += matrix[j, k + 3] * vector[k + 3]
        s4 += matrix[j, k + 4] * vector[k + 4]
        s5 += matrix[j, k + 5] * vector[k + 5]
        s6 += matrix[j, k + 6] * vector[k + 6]
        s7 += matrix[j, k + 7] * vector[k + 7]
    total = ((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7))
    for k in range(size - size % 8, size):
        total += matrix[j, k] * vector[k]
    return total
