"""Codes of a mini-batch as compressed rows: with k of n latents on, decoder and gradients touch only k rows."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numba import njit

# From this share of non-zeros on, matrix products over all latents are faster than loops over some.
_DENSE_FROM = 0.08


class Codes:
    """Values at some places of an array of shape (n_samples, n_components), zero elsewhere.

    Parameters
    ----------
    indptr : ndarray of shape (n_samples + 1,), dtype int64
        Where the places of each sample begin.
    indices : ndarray of shape (n_places,), dtype int32
        Components, ascending within a sample.
    values : ndarray of shape (n_places,)
        Their values; some may be 0.
    n_components : int
        Number of components.
    """

    def __init__(self, indptr, indices, values, n_components):
        self.indptr = indptr
        self.indices = indices
        self.values = values
        self.n_components = n_components

    def __len__(self):
        return len(self.indptr) - 1

    @property
    def _crowded(self):
        return len(self.indices) > _DENSE_FROM * len(self) * self.n_components

    def with_values(self, values):
        """Return other values at the same places."""
        return Codes(self.indptr, self.indices, values, self.n_components)

    def toarray(self):
        """Return the array of shape ``(n_samples, n_components)``."""
        dense = np.zeros((len(self), self.n_components), dtype=self.values.dtype)
        _scatter(self.indptr, self.indices, self.values, dense)
        return dense

    def tocsr(self):
        """Return a CSR array."""
        return sp.csr_array((self.values, self.indices, self.indptr), shape=(len(self), self.n_components))

    def columns(self, start, stop):
        """Return the codes of some components, all others zero, and their places among those of these codes."""
        chosen = (self.indices >= start) & (self.indices < stop)
        places = np.flatnonzero(chosen)
        indptr = np.concatenate([[0], np.cumsum(chosen)])[self.indptr]
        return Codes(indptr, self.indices[places], self.values[places], self.n_components), places

    def decode(self, decoder):
        """Return ``codes @ decoder``."""
        if self._crowded:
            return self.toarray() @ decoder
        decoded = np.zeros((len(self), decoder.shape[1]), dtype=decoder.dtype)
        _decode(self.indptr, self.indices, self.values, decoder, decoded)
        return decoded

    def correlate(self, rows, decoder):
        """Return ``rows @ decoder.T`` at the places."""
        values = np.empty_like(self.values)
        if self._crowded:
            _gather(self.indptr, self.indices, rows @ decoder.T, values)
        else:
            _correlate(self.indptr, self.indices, rows, decoder, values)
        return values

    def accumulate(self, rows):
        """Return ``codes.T @ rows``."""
        if self._crowded:
            return self.toarray().T @ rows
        total = np.zeros((self.n_components, rows.shape[1]), dtype=rows.dtype)
        _accumulate(self.indptr, self.indices, self.values, rows, total)
        return total

    def sum_by_component(self):
        """Return the sum of the values of each component, shape ``(n_components,)``."""
        return np.bincount(self.indices, self.values, self.n_components).astype(self.values.dtype)


def above(preactivation, level):
    """Return as codes the preactivations strictly above a level for each component."""
    n_samples, n_components = preactivation.shape
    indptr = np.empty(n_samples + 1, dtype=np.int64)
    indices = np.empty(preactivation.size + 1, dtype=np.int32)
    values = np.empty(preactivation.size + 1, dtype=preactivation.dtype)
    n_places = _compress(preactivation, level, indptr, indices, values)
    return Codes(indptr, indices[:n_places].copy(), values[:n_places].copy(), n_components)


def largest(preactivation, count):
    """Return as codes the ``count`` largest positive preactivations of each sample; of equal ones the first."""
    n_samples, n_components = preactivation.shape
    indptr = np.empty(n_samples + 1, dtype=np.int64)
    indices = np.empty(n_samples * count + 1, dtype=np.int32)
    values = np.empty(n_samples * count + 1, dtype=preactivation.dtype)
    n_places = _compress_largest(preactivation, count, indptr, indices, values)
    return Codes(indptr, indices[:n_places], values[:n_places], n_components)


def largest_of_all(preactivation, count):
    """Return as codes the ``count`` largest positive preactivations of all samples together."""
    n_samples, n_components = preactivation.shape
    flat = largest(preactivation.reshape(1, -1), min(count, preactivation.size))
    indptr = np.searchsorted(flat.indices, np.arange(n_samples + 1) * n_components)
    return Codes(indptr, flat.indices % np.int32(n_components), flat.values, n_components)


@njit(cache=True, nogil=True)
def _scatter(indptr, indices, values, dense):
    for i in range(len(indptr) - 1):
        for place in range(indptr[i], indptr[i + 1]):
            dense[i, indices[place]] = values[place]


@njit(cache=True, nogil=True)
def _gather(indptr, indices, dense, values):
    for i in range(len(indptr) - 1):
        for place in range(indptr[i], indptr[i + 1]):
            values[place] = dense[i, indices[place]]


@njit(cache=True, nogil=True)
def _decode(indptr, indices, values, decoder, decoded):
    for i in range(len(indptr) - 1):
        for place in range(indptr[i], indptr[i + 1]):
            value, atom = values[place], indices[place]
            for f in range(decoder.shape[1]):
                decoded[i, f] += value * decoder[atom, f]


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})  # or the sum would not be vectorised
def _correlate(indptr, indices, rows, decoder, values):
    for i in range(len(indptr) - 1):
        for place in range(indptr[i], indptr[i + 1]):
            atom = indices[place]
            total = values.dtype.type(0)
            for f in range(decoder.shape[1]):
                total += rows[i, f] * decoder[atom, f]
            values[place] = total


@njit(cache=True, nogil=True)
def _accumulate(indptr, indices, values, rows, total):
    for i in range(len(indptr) - 1):
        for place in range(indptr[i], indptr[i + 1]):
            value, component = values[place], indices[place]
            for f in range(rows.shape[1]):
                total[component, f] += value * rows[i, f]


@njit(cache=True, nogil=True)
def _compress(preactivation, level, indptr, indices, values):
    """Write what exceeds the levels without branching, which half-full rows would make slow; return how many."""
    n_places = 0
    for i in range(preactivation.shape[0]):
        indptr[i] = n_places
        for j in range(preactivation.shape[1]):
            indices[n_places] = j
            values[n_places] = preactivation[i, j]
            n_places += preactivation[i, j] > level[j]
    indptr[-1] = n_places
    return n_places


@njit(cache=True, nogil=True)
def _compress_largest(preactivation, count, indptr, indices, values):
    n_places = 0
    for i in range(preactivation.shape[0]):
        indptr[i] = n_places
        row = preactivation[i]
        low, high, room = _border(row, count)
        # Room is left for so many of the values between the two levels.
        for j in range(len(row)):
            if row[j] > low:
                if row[j] > high:
                    indices[n_places], values[n_places] = j, row[j]
                    n_places += 1
                elif room > 0:
                    indices[n_places], values[n_places] = j, row[j]
                    n_places += 1
                    room -= 1
    indptr[-1] = n_places
    return n_places


@njit(cache=True, nogil=True)
def _border(row, count):
    """Return levels (low, high) and how many values between them belong to the ``count`` largest positive ones.

    Bisects for a level that exactly ``count`` values exceed, since counting is one vectorised pass.
    """
    low, high = row.dtype.type(0), row.dtype.type(0)
    n_low = 0
    for j in range(len(row)):
        n_low += row[j] > low
        high = max(high, row[j])
    n_high = 0
    while n_low > count:  # more than count exceed low, fewer than count exceed high
        middle = low + (high - low) / 2
        if middle <= low or middle >= high:
            break
        n_middle = 0
        for j in range(len(row)):
            n_middle += row[j] > middle
        if n_middle < count:
            high, n_high = middle, n_middle
        else:
            low, n_low = middle, n_middle
    return low, high, min(n_low, count) - n_high
