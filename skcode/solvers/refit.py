"""Codes without shrinkage: least squares on a support that the L1 problem has found."""

from __future__ import annotations

from functools import partial

import numpy as np
import scipy.sparse as sp

from .._compiled import compiled
from .._parallel import map_chunks, single_threaded_blas
from ._prepared import PreparedDictionary, centred, check_options, prepare
from ._small_problem import newton_step, sweep_members
from ._sparse_rows import compute_gram

_CHUNK_SAMPLES = 512
_MOST_SWEEPS = 1000
_PRECISION = 16  # correlations with the residual are 0 up to as many units in the last place


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
        Refitted codes, sparse if ``codes`` is. On a support of dependent atoms they are one of many solutions.
    """
    prepared = prepare(dictionary, X, codes, offset=offset)
    check_options(positive=positive, n_jobs=n_jobs)
    support = sp.csr_array(codes, copy=True)
    support.eliminate_zeros()
    with single_threaded_blas:
        work = partial(
            _refit_chunk, X=X, codes=support, offset=offset, positive=positive, atoms=prepared.padded(X.dtype)
        )
        chunks = map_chunks(work, X.shape[0], _CHUNK_SAMPLES, n_jobs)
    refitted = sp.csr_array((np.concatenate(chunks), support.indices, support.indptr), shape=support.shape)
    refitted.eliminate_zeros()
    return refitted if sp.issparse(codes) else refitted.toarray()


def _refit_chunk(part, *, X, codes, offset, positive, atoms):
    X = centred(X[part], offset)
    codes = codes[part].astype(X.dtype)
    values = codes.data.copy()
    size = int(np.diff(codes.indptr).max(initial=0))
    tolerance = _PRECISION * np.finfo(X.dtype).eps
    _refit_rows(X, codes.indptr, codes.indices, values, atoms, positive, tolerance, np.empty((size, size), X.dtype))
    return values


@compiled(error_model="numpy")
def _refit_rows(X, indptr, indices, values, dictionary, positive, tolerance, gram):
    capacity, n_features = gram.shape[0], X.shape[1]
    members, active = np.empty(capacity, np.uintp), np.empty(capacity, np.uintp)
    atoms, factor = np.empty((capacity, n_features), X.dtype), np.empty((capacity, capacity))
    slope, codes, inverse = np.empty(capacity, X.dtype), np.empty(capacity, X.dtype), np.empty(capacity, X.dtype)
    direction, start_codes, start_slope = np.empty(capacity), np.empty(capacity), np.empty(capacity)
    ready, factored = np.ones(capacity, np.bool_), np.empty(capacity + 1, np.intp)
    for i in range(X.shape[0]):
        start, size = indptr[i], indptr[i + 1] - indptr[i]
        length = np.float64(0)
        for k in range(n_features):
            length += np.float64(X[i, k]) ** 2
        for p in range(size):
            members[p], codes[p] = indices[start + p], values[start + p]
        compute_gram(size, members, dictionary, atoms, gram)
        factored[0] = -1
        for p in range(size):
            inverse[p] = 1 / gram[p, p] if gram[p, p] > 0 else 0
        for _ in range(_MOST_SWEEPS):
            worst = 0.0
            for p in range(size):  # anew each time: correlations that are updated drift
                exact = np.float64(0)
                for k in range(n_features):
                    exact += np.float64(atoms[p, k]) * np.float64(X[i, k])
                for q in range(size):
                    exact -= np.float64(codes[q]) * np.float64(gram[p, q])
                slope[p] = exact
                if not positive or codes[p] != 0 or exact > 0:
                    worst = max(worst, abs(exact) * np.sqrt(inverse[p]))
            if worst <= tolerance * np.sqrt(length):
                break
            newton_step(
                size, members, gram, slope, codes, 0.0, 0, factor, factored, direction, active, start_codes, start_slope
            )
            sweep_members(size, members, gram, gram, ready, slope, codes, inverse, 0.0, positive)
        before, after = np.float64(0), np.float64(0)
        for k in range(n_features):
            old, new = np.float64(X[i, k]), np.float64(X[i, k])
            for p in range(size):
                old -= np.float64(values[start + p]) * np.float64(atoms[p, k])
                new -= np.float64(codes[p]) * np.float64(atoms[p, k])
            before += old * old
            after += new * new
        if after <= before:  # and not where atoms are so dependent that rounding has the last word
            for p in range(size):
                values[start + p] = codes[p]
