"""How far codes are from the optimum of their own L1 problem."""

from __future__ import annotations

from numbers import Integral

import numpy as np
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import Bunch

from .. import _lasso
from .._validation import (
    FLOATS,
    ArrayLike,
    HasMethods,
    MatrixLike,
    check_array,
    check_codes,
    check_dictionary,
    integers_from,
    positive_real,
    validate_params,
)
from .._warnings import warn
from ..solvers import working_set
from ._inputs import check_same_length
from ._units import in_units, unit_of

_PLAIN_FOR_SOLVERS = {np.float32: 50, np.float64: 400}  # powers of two around 1 in which solvers can tell squares
_ROWS_AT_ONCE = 8192
_ROWS_TO_CHECK = 8  # codes on which an encoder's reconstruction is checked to be linear


@validate_params(
    {
        "X": ["array-like"],
        "codes": ["array-like", "sparse matrix"],
        "dictionary": ["array-like"],
        "alpha": [positive_real()],
        "positive": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def duality_gap(
    X: ArrayLike, codes: MatrixLike, dictionary: ArrayLike, alpha: float, *, positive: bool = True
) -> np.ndarray:
    """Certificate of codes: an upper bound on how far their objective is from the optimum, per sample.

    The problem is ``min_z 1/2 ||x - z D||^2 + alpha ||z||_1`` (``z >= 0`` when positive). The dual point is the
    residual, shrunk until it is feasible (Mairal et al., 2014, section 5; Ndiaye et al., 2017).

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Data, any offset removed.
    codes : {array-like, CSR} of shape (n_samples, n_components)
        Codes to certify.
    dictionary : array-like of shape (n_components, n_features)
        Atoms in rows.
    alpha : float
        Penalty.
    positive : bool, default=True
        Whether the problem asks for non-negative codes. Codes that violate it have an infinite gap.

    Returns
    -------
    gap : ndarray of shape (n_samples,), dtype float64
        Relative to ``1/2 ||x||^2``; 0 means optimal.

    Raises
    ------
    ValueError
        If shapes do not fit, a number is NaN or infinite, or the scale of ``codes`` and ``alpha`` is so far from that
        of ``X`` and ``dictionary`` that the gap is beyond float64.

    Examples
    --------
    >>> from skcode.metrics import duality_gap
    >>> duality_gap([[1.0, 0.0]], [[0.9, 0.0]], [[1.0, 0.0], [0.0, 1.0]], alpha=0.1).round(12).tolist()
    [0.0]
    >>> duality_gap([[1.0, 0.0]], [[1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]], alpha=0.1).round(3).tolist()
    [0.2]
    """
    X = check_array(X, dtype=FLOATS, input_name="X")
    codes = check_codes(codes, "codes")
    check_same_length(X=X, codes=codes)
    dictionary = check_dictionary(dictionary, n_features=X.shape[1])
    if codes.shape[1] != dictionary.shape[0]:
        raise ValueError(f"codes has {codes.shape[1]} columns but dictionary has {dictionary.shape[0]} atoms.")
    # Samples, codes and penalty in a common unit, and dictionary in another: the relative gap is the same.
    unit, of_atoms = unit_of(X), unit_of(dictionary)
    with np.errstate(over="ignore"):
        codes, alpha = in_units(codes, unit - of_atoms), float(np.ldexp(alpha, -unit - of_atoms))
    if alpha == 0 or not (np.isfinite(alpha) and np.isfinite(codes.max()) and np.isfinite(codes.min())):
        raise ValueError("codes and alpha must have the scale of X and dictionary: the gap is beyond float64.")
    return _lasso.duality_gap(in_units(X, unit), codes, in_units(dictionary, of_atoms), alpha, positive)


@validate_params(
    {
        "encoder": [HasMethods(["transform", "inverse_transform"])],
        "X": ["array-like"],
        "alpha": [positive_real()],
        "positive": ["boolean", None],
        "tol": [positive_real()],
        "max_iter": [integers_from(1)],
        "n_jobs": [None, Integral],
    },
    prefer_skip_nested_validation=True,
)
def amortisation_gap(
    encoder,
    X: ArrayLike,
    *,
    alpha: float,
    positive: bool | None = None,
    tol: float = 1e-5,
    max_iter: int = 10_000,
    n_jobs: int | None = None,
) -> Bunch:
    """Measure what an encoder loses by not solving the inference problem on its own dictionary, per sample.

    Compares the objective ``1/2 ||x - b - z D||^2 + alpha ||z||_1`` of the encoder's codes with that of the optimum,
    both on the encoder's dictionary ``D`` and offset ``b``. It asks nothing of the dictionary's quality: an encoder
    with a wrong dictionary may have no gap, and one with the true dictionary a large one.

    Parameters
    ----------
    encoder : fitted estimator
        With ``transform``, ``inverse_transform`` (linear) and ``components_``.
    X : array-like of shape (n_samples, n_features)
        Samples. They are coded in blocks, and codes are kept as CSR.
    alpha : float
        Penalty of the common objective.
    positive : bool, optional
        Whether the optimum must be non-negative. By default it must if all of the encoder's codes are.
    tol, max_iter :
        Relative duality gap to which the optimum is certified, and the most iterations spent on it.
    n_jobs : int, optional
        Threads for the optimum.

    Returns
    -------
    gap : Bunch
        - ``gap``: ndarray of shape (n_samples,), ``(objective - optimum) / (1/2 ||x - b||^2)``, at least 0
        - ``mean_gap``: its mean
        - ``objective``, ``optimum``: ndarrays of shape (n_samples,), absolute values
        - ``dual_gap``: ndarray of shape (n_samples,), certificate of ``optimum``: the true gap is at most
          ``gap + dual_gap``

    Raises
    ------
    ValueError
        If the encoder does not reconstruct by ``codes @ components_ + offset``, or squares of ``X`` are beyond its
        dtype.

    Warns
    -----
    ConvergenceWarning
        If an optimum misses ``tol``.

    Examples
    --------
    >>> from skcode import FISTACoder
    >>> from skcode.datasets import make_compositional_shift
    >>> from skcode.metrics import amortisation_gap
    >>> data = make_compositional_shift(n_samples=100, random_state=0)
    >>> coder = FISTACoder(data.dictionary, alpha=0.1).fit(data.X_train)
    >>> bool(amortisation_gap(coder, data.X_val, alpha=0.1).mean_gap < 1e-4)
    True
    """
    if not hasattr(encoder, "components_"):
        raise TypeError(
            f"encoder must be fitted and have components_, its dictionary; {type(encoder).__name__} has none."
        )
    named, X = X, check_array(X, dtype=FLOATS, input_name="X")
    codes = _sparse_codes(encoder, named.iloc if hasattr(named, "iloc") else X, len(X))
    dictionary = np.asarray(encoder.components_)
    offset = np.asarray(encoder.inverse_transform(np.zeros((1, dictionary.shape[0]), dtype=X.dtype)))[0]
    some = codes[:_ROWS_TO_CHECK]
    if not np.allclose(encoder.inverse_transform(some.toarray()), some @ dictionary + offset, rtol=1e-3, atol=1e-5):
        raise ValueError(
            f"encoder.inverse_transform of {type(encoder).__name__} is not codes @ components_ + offset: it has no "
            "dictionary to compare on."
        )
    X = X - offset.astype(X.dtype)
    if unit_of(X, plain=_PLAIN_FOR_SOLVERS[X.dtype.type]):
        raise ValueError(
            f"X, less the offset of encoder, must have numbers whose squares {X.dtype} can tell, got "
            f"{np.abs(X).max():.1e} as the largest. Scale X, the encoder's training samples and alpha."
        )
    if positive is None:
        positive = bool(codes.min() >= 0)
    objective = _objective(X, codes, dictionary, alpha, positive)
    best = working_set(
        X, dictionary, alpha, positive=positive, tol=tol, max_iter=max_iter, sparse_output=True, n_jobs=n_jobs
    )
    missed = best.dual_gap > tol
    if missed.any():
        warn(
            f"the optimum of {np.count_nonzero(missed)} of {len(missed)} samples missed the relative duality gap "
            f"{tol:g} within {max_iter} iterations; their gap is underestimated by up to {best.dual_gap.max():.2g}.",
            ConvergenceWarning,
        )
    optimum = np.minimum(_objective(X, best.codes, dictionary, alpha, positive), objective)
    energy = 0.5 * np.einsum("ij,ij->i", X, X, dtype=np.float64)
    gap = np.divide(objective - optimum, energy, where=energy > 0, out=np.zeros_like(energy))
    return Bunch(gap=gap, mean_gap=float(gap.mean()), objective=objective, optimum=optimum, dual_gap=best.dual_gap)


def _sparse_codes(encoder, rows, n_samples):
    """Return codes as CSR, for which the encoder is asked in blocks: dense codes can be far larger than samples."""
    blocks = []
    for part in _blocks(n_samples):
        codes = check_codes(encoder.transform(rows[part]), "the codes of encoder")
        blocks.append(sp.csr_array(codes))
    return sp.vstack(blocks, format="csr")


def _objective(X, codes, dictionary, alpha, positive):
    """Return the objective of each sample; its residuals are made in blocks, too."""
    parts = [_lasso.objective(X[part], codes[part], dictionary, alpha, positive) for part in _blocks(len(X))]
    return np.concatenate(parts)


def _blocks(n_samples):
    return [slice(start, start + _ROWS_AT_ONCE) for start in range(0, n_samples, _ROWS_AT_ONCE)]
