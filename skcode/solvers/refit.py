"""Codes without shrinkage: least squares on a support that the L1 problem has found."""

from __future__ import annotations

from functools import partial

import numpy as np
import scipy.sparse as sp

from .._compiled import ALLOCATES, IN_ORDER, compiled
from .._parallel import map_chunks, single_threaded_blas
from .._rows import correlate
from ._direct import FLOOR, direct_room, solve_directly
from ._prepared import PreparedDictionary, centred, check_options, prepare
from ._sparse_rows import compute_gram, write_residual

_CHUNK_SAMPLES = 512  # larger ones are a tenth faster at most (n=100 and 1000), 64 take 1.4 to 1.9 times as long
# Share of its energy that others must leave of an atom for it to be fitted: below it, codes a thousand times as large
# as the sample would fit its noise.
_DEPENDENT = 1e-6


def refit(
    X: np.ndarray,
    codes: np.ndarray | sp.csr_array,
    dictionary: np.ndarray | PreparedDictionary,
    *,
    positive: bool = True,
    offset: np.ndarray | None = None,
    n_jobs: int | None = None,
) -> np.ndarray | sp.csr_array:
    """Refit the non-zero codes of each sample by least squares, non-negative if ``positive``.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), float32 or float64
        Data.
    codes : {ndarray, CSR array} of shape (n_samples, n_components)
        Codes of ``X``; their non-zeros are the support.
    dictionary : ndarray of shape (n_components, n_features) or PreparedDictionary
        Atoms in rows.
    positive : bool, default=True
        Whether refitted codes must be non-negative; some of the support may then become zero.
    offset : ndarray of shape (n_features,), optional
        Subtracted from every sample.
    n_jobs : int, optional
        Threads, or workers of the active joblib backend.

    Returns
    -------
    codes : {ndarray, CSR array} of shape (n_samples, n_components)
        Refitted codes, sparse if ``codes`` is. On a support of dependent atoms they are one of many solutions, near
        ``codes`` unless these leave more of the sample than zeros do.
    """
    prepared = prepare(dictionary, X, codes, offset=offset)
    check_options(positive=positive, n_jobs=n_jobs)
    support = sp.csr_array(codes if sp.issparse(codes) else codes.astype(codes.dtype.newbyteorder("=")), copy=True)
    support.eliminate_zeros()
    with single_threaded_blas():
        work = partial(
            _refit_chunk, X=X, codes=support, offset=offset, positive=positive, atoms=prepared.exact(X.dtype)
        )
        chunks = map_chunks(work, X.shape[0], _CHUNK_SAMPLES, n_jobs)
    refitted = sp.csr_array((np.concatenate(chunks), support.indices, support.indptr), shape=support.shape)
    refitted.eliminate_zeros()
    return refitted if sp.issparse(codes) else refitted.toarray()


def _refit_chunk(part, *, X, codes, offset, positive, atoms):
    X = centred(X[part], offset)
    codes = codes[part].astype(X.dtype)
    values = codes.data.copy()
    room = direct_room(int(np.diff(codes.indptr).max(initial=0)), X.shape[1])
    _refit_rows(X, codes.indptr, codes.indices, values, atoms, positive, room, np.empty(X.shape[1]))
    return values


@compiled(**IN_ORDER | ALLOCATES)
def _refit_rows(X, indptr, indices, values, dictionary, positive, room, residual):
    for i in range(X.shape[0]):
        start, size = indptr[i], indptr[i + 1] - indptr[i]
        support, codes = indices[start : start + size], values[start : start + size]
        energy = 0.0
        for k in range(X.shape[1]):
            energy += 0.5 * np.float64(X[i, k]) ** 2
        before, n_start = write_residual(X, i, size, support, codes, dictionary, residual), size
        if not before <= energy:  # worse than none: the residual would be more rounding than sample
            before, n_start = write_residual(X, i, 0, support, codes, dictionary, residual), 0
        compute_gram(size, support, dictionary, room.copies, room.gram)
        largest = 0.0
        for p in range(size):
            room.codes[p] = codes[p] if p < n_start else 0.0
            room.slope[p] = correlate(p, room.copies, residual)
            largest = max(largest, room.gram[p, p])
        solve_directly(size, room, _DEPENDENT, FLOOR * np.sqrt(2 * largest * energy), 0.0, positive)
        refitted = room.codes.astype(X.dtype)
        after = write_residual(X, i, size, support, refitted, dictionary, residual)
        better = after <= before  # and not where atoms are so dependent that rounding has the last word
        if better or n_start == 0:
            for p in range(size):
                codes[p] = refitted[p] if better else 0
