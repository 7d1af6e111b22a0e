"""The scale of samples, from which the penalty comes."""

from __future__ import annotations

import numpy as np

_AUTO_ALPHA = 0.055  # alpha="auto" in units of the root mean square norm of the samples: 0.1 on the paper's protocol
_SCALES = 0.4  # powers of the least and the largest number between which samples may lie, so that squares can be told
_ROWS_AT_ONCE = 8192


def auto_alpha(X: np.ndarray, offset: np.ndarray) -> float:
    """Return the penalty that ``alpha="auto"`` stands for; raises as `scale_of` does."""
    return _AUTO_ALPHA * scale_of(X, offset)


def scale_of(X: np.ndarray, offset: np.ndarray) -> float:
    """Return the root mean square norm of samples less the offset, where their squares can be told.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Samples; a memory map is read in blocks.
    offset : ndarray of shape (n_features,)
        What is subtracted from them.

    Returns
    -------
    scale : float
        Root mean square norm.

    Raises
    ------
    ValueError
        If nothing is left of the samples but rounding, or their squares are beyond their dtype.
    """
    energy, largest, largest_raw = 0.0, 0.0, 0.0
    for start in range(0, len(X), _ROWS_AT_ONCE):
        raw = X[start : start + _ROWS_AT_ONCE]
        part = np.subtract(raw, offset).astype(X.dtype, copy=False)
        largest = max(largest, float(np.abs(part).max()))
        largest_raw = max(largest_raw, float(np.abs(raw).max()))
        with np.errstate(over="ignore"):
            energy += np.einsum("ij,ij->", part, part, dtype=np.float64)
    rounding = 2 * float(np.finfo(X.dtype).eps) + len(X) * float(np.finfo(np.float64).eps)  # of a mean
    if largest <= rounding * largest_raw:
        raise ValueError(
            f"X, less the offset, must not be all zero, but n_samples={len(X)} are: alpha='auto' comes from it."
        )
    scale = float(np.sqrt(energy / len(X)))
    least, most = (float(bound) ** _SCALES for bound in (np.finfo(X.dtype).tiny, np.finfo(X.dtype).max))
    if not least <= scale <= most:
        raise ValueError(
            f"X, less the offset, must have a root mean square norm between {least:.0e} and {most:.0e} in "
            f"{X.dtype}, got {scale:.1e}: squares of codes could not be told. Scale X."
        )
    return scale
