"""Where the dictionary of a coder comes from, if it is not learned."""

from __future__ import annotations

import numpy as np
import scipy.linalg
import scipy.sparse as sp

from .._validation import check_dictionary
from .._warnings import warn


def given_dictionary(dictionary, n_features):
    """Return a copy of the user's ``dictionary``, checked."""
    dictionary = check_dictionary(dictionary, n_features)
    if not dictionary.any():
        warn("all atoms of dictionary are zero, so all codes will be.")
    return dictionary


def least_squares_dictionary(codes, X):
    """Return the dictionary of least norm that minimises ``||X - codes @ dictionary||``, in the dtype of ``X``."""
    largest = abs(codes).max()
    exponent = np.frexp(largest)[1]  # to scale by a power of two rounds nothing, and keeps squares within bounds
    codes, X_64 = codes.astype(np.float64), X.astype(np.float64)
    if sp.issparse(codes):
        codes.data = np.ldexp(codes.data, -exponent)
        try:
            scaled = _sparse_least_squares(codes, X_64)
        except MemoryError as error:
            size = min(codes.shape)
            error.add_note(f"Least squares of codes of shape {codes.shape} take {size}^2 numbers several times.")
            raise
    else:
        scaled = scipy.linalg.lstsq(np.ldexp(codes, -exponent), X_64)[0]
    with np.errstate(over="ignore", under="ignore"):
        dictionary = np.ldexp(scaled, -exponent).astype(X.dtype)
        finite = np.isfinite(np.square(dictionary, dtype=np.float64).sum(axis=1)).all()
    if not finite:
        raise ValueError(
            f"y is too small beside X: its largest code is {largest:.2g}, and atoms that explain X by such codes are "
            f"too large to square in {X.dtype}. Scale y."
        )
    return dictionary


def _sparse_least_squares(codes, X):
    # The smaller of the two Gram matrices, so that the codes are never made dense.
    if codes.shape[0] < codes.shape[1]:
        return codes.T @ (scipy.linalg.pinvh((codes @ codes.T).toarray()) @ X)
    return scipy.linalg.pinvh((codes.T @ codes).toarray()) @ (codes.T @ X)
