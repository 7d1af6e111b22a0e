"""Codes of a mini-batch as compressed rows: with k of n latents on, decoder and gradients touch only k rows."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from .._compiled import FUSED, compiled

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
        self._dense = None

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
        if self._dense is None:
            self._dense = np.zeros((len(self), self.n_components), dtype=self.values.dtype)
            _scatter(self.indptr, self.indices, self.values, self._dense)
        return self._dense

    def tocsr(self):
        """Return a CSR array."""
        codes = sp.csr_array((self.values, self.indices, self.indptr), shape=(len(self), self.n_components))
        if not self.values.all():  # of a pursuit that has nothing left to explain
            codes = codes.copy()
            codes.eliminate_zeros()
        return codes

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
            _products_at_places(self.indptr, self.indices, rows, decoder, values)
        return values

    def accumulate(self, rows):
        """Return ``codes.T @ rows``."""
        if self._crowded:
            return self.toarray().T @ rows
        total = np.empty((self.n_components, rows.shape[1]), dtype=rows.dtype)
        starts = np.empty(self.n_components + 1, dtype=np.int64)
        samples, places = np.empty(len(self.indices), dtype=np.int32), np.empty(len(self.indices), dtype=np.int64)
        _by_component(self.indptr, self.indices, starts, samples, places)
        _accumulate(starts, samples, places, self.values, rows, total)
        return total

    def sum_by_component(self):
        """Return the sum of the values of each component, shape ``(n_components,)``."""
        if self._crowded:
            return self.toarray().sum(axis=0)
        return np.bincount(self.indices, self.values, self.n_components).astype(self.values.dtype)

    def used(self):
        """Return which components have non-zeros, and how many non-zeros there are."""
        used = np.zeros(self.n_components, dtype=np.bool_)
        return used, _mark(self.indices, self.values, used)


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


@compiled()
def _scatter(indptr, indices, values, dense):
    for i in range(len(indptr) - 1):
        for place in range(indptr[i], indptr[i + 1]):
            dense[i, indices[place]] = values[place]


@compiled()
def _gather(indptr, indices, dense, values):
    for i in range(len(indptr) - 1):
        for place in range(indptr[i], indptr[i + 1]):
            values[place] = dense[i, indices[place]]


@compiled()
def _decode(indptr, indices, values, decoder, decoded):
    for i in range(len(indptr) - 1):
        for place in range(indptr[i], indptr[i + 1]):
            value, atom = values[place], indices[place]
            for f in range(decoder.shape[1]):
                decoded[i, f] += value * decoder[atom, f]


@compiled(**FUSED)
def _products_at_places(indptr, indices, rows, decoder, values):
    for i in range(len(indptr) - 1):
        for place in range(indptr[i], indptr[i + 1]):
            atom = indices[place]
            total = values.dtype.type(0)
            for f in range(decoder.shape[1]):
                total += rows[i, f] * decoder[atom, f]
            values[place] = total


@compiled()
def _by_component(indptr, indices, starts, samples, places):
    """Write where the places of each component begin in an order by component, their samples, and their places.

    Nothing is returned: an interrupt while numba makes Python objects of new arrays would end in a ``SystemError``.
    """
    n_components = len(starts) - 1
    starts[:] = 0
    for place in range(len(indices)):
        starts[indices[place] + 1] += 1
    for j in range(n_components):
        starts[j + 1] += starts[j]
    for i in range(len(indptr) - 1):
        for place in range(indptr[i], indptr[i + 1]):
            slot = starts[indices[place]]
            samples[slot], places[slot] = i, place
            starts[indices[place]] = slot + 1
    for j in range(n_components, 0, -1):  # each has moved on to where the next begins
        starts[j] = starts[j - 1]
    starts[0] = 0


@compiled()
def _accumulate(starts, samples, places, values, rows, total):
    """Sum by component, since the sum then stays in a core's cache."""
    for j in range(total.shape[0]):
        total[j] = 0
        for slot in range(starts[j], starts[j + 1]):
            value, i = values[places[slot]], samples[slot]
            for f in range(rows.shape[1]):
                total[j, f] += value * rows[i, f]


@compiled()
def _mark(indices, values, used):
    n_used = 0
    for place in range(len(indices)):
        if values[place] != 0:
            used[indices[place]] = True
            n_used += 1
    return n_used


@compiled()
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


@compiled()
def _compress_largest(preactivation, count, indptr, indices, values):
    n_samples, n_components = preactivation.shape
    some_values = np.empty(n_components + 1, dtype=preactivation.dtype)
    some_indices = np.empty(n_components + 1, dtype=np.int32)
    n_places, level = 0, preactivation.dtype.type(0)
    for i in range(n_samples):
        indptr[i] = n_places
        row = preactivation[i]
        # The level of the sample before is a good guess of what few but enough values exceed.
        n_some = 0
        for j in range(n_components):
            n_some += row[j] > level
        if n_some < count:
            level = row.dtype.type(0)
        n_some = 0
        for j in range(n_components):
            some_values[n_some] = row[j]
            some_indices[n_some] = j
            n_some += row[j] > level
        low, high, room = _border(some_values[:n_some], count)
        for place in range(n_some):  # there is room for so many of the values between the two levels
            value = some_values[place]
            if value > high or (value > low and room > 0):
                room -= value <= high
                indices[n_places], values[n_places] = some_indices[place], value
                n_places += 1
        level = low * row.dtype.type(0.8)
    indptr[-1] = n_places
    return n_places


@compiled()
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
