"""The penalty that noise does not pass: how far correlations with atoms go by chance."""

from __future__ import annotations

import numpy as np

from .._norms import unit_rows
from ._prepared import PreparedDictionary, centred, check_options, prepare
from .mcp import mcp
from .path import largest_of_each

_ROWS_AT_ONCE = 1024
_FALSE = 0.005  # of codes, that as many random atoms would have; .01 and .02 leave more false codes than help
_GAMMA = 1.5  # of the codes that are taken away: they are hardly shrunk
# Of the largest useful alpha of a typical sample, where the search begins and what alpha is without noise: .1 on the
# paper's protocol. From .2 on, codes may miss so much that it looks like noise. At .05 and .01 they are also about
# small faults of atoms: F1 is .976 and .96, at .1 .99 (`make_concept_world`, S, 1,024 learned atoms).
_FLOOR = 0.1
_CEILING = 0.5  # of the same: atoms that are no better than decoys would have no codes at all. S has at most .41
_MOST_STEPS, _STEP = 20, 0.01  # of the fixed point, and when it is one
_MOST_SAMPLES = 5_000


def alpha_for_noise(
    X: np.ndarray,
    dictionary: np.ndarray | PreparedDictionary,
    *,
    positive: bool = True,
    max_iter: int = 100,
    tol: float = 1e-3,
    offset: np.ndarray | None = None,
    otherwise: float | None = None,
    n_jobs: int | None = None,
) -> float:
    """Return the penalty that correlations with atoms seldom pass by chance, in what codes leave unexplained.

    What has no atom is noise to those that have one. Its level is not known beforehand, and neither are its tails,
    which are heavy where it consists of concepts without atoms: the universal threshold of Gaussian noise,
    ``sigma sqrt(2 log n_components)`` [1]_, is too low there. So it is measured with decoys, as in mass spectrometry
    [2]_: random atoms, as many as there are atoms, with their norms and covariance. ``alpha`` is what the correlations
    of decoys with residuals pass one time in 200 codes, and the residuals are those of the codes at ``alpha``: a fixed
    point, the lowest. Codes are those of `mcp` with gamma 1.5, which shrinks next to nothing.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), float32 or float64
        Data; of more than 5,000 samples, 5,000 are chosen at random, the same ones each time.
    dictionary : ndarray of shape (n_components, n_features) or PreparedDictionary
        Atoms in rows, of any norm.
    positive, max_iter, tol, offset, n_jobs
        As for `mcp`.
    otherwise : float, optional
        What to return if no sample correlates with any atom; by default that is an error.

    Returns
    -------
    alpha : float
        At least 10 % of the largest useful penalty of a typical sample, which is what it is without noise, and at most
        50 %, which is what it is for atoms that are no better than random ones.

    Raises
    ------
    ValueError
        If no sample correlates with any atom and ``otherwise`` is not given; whatever `mcp` raises.

    References
    ----------
    .. [1] Donoho and Johnstone, "Ideal spatial adaptation by wavelet shrinkage", Biometrika 81(3), 1994.
    .. [2] Elias and Gygi, "Target-decoy search strategy for increased confidence in large-scale protein
       identifications by mass spectrometry", Nature Methods 4, 2007; knock-offs (Barber and Candes, Annals of
       Statistics 43(5), 2015) are the same idea for regressions.

    Examples
    --------
    >>> import numpy as np
    >>> from skcode.solvers import alpha_for_noise
    >>> rng = np.random.default_rng(0)
    >>> atoms = rng.standard_normal((200, 50)) / 50**0.5
    >>> codes = rng.uniform(2, 3, (1000, 200)) * (rng.random((1000, 200)) < 0.01)
    >>> X = codes @ atoms + 0.1 * rng.standard_normal((1000, 50))
    >>> 0.2 < alpha_for_noise(X, atoms) < 0.5
    True
    """
    prepared = prepare(dictionary, X, offset=offset)
    check_options(tol=tol, max_iter=max_iter, n_jobs=n_jobs, positive=positive)
    rng = np.random.RandomState(0)
    if len(X) > _MOST_SAMPLES:
        X = X[np.sort(rng.choice(len(X), _MOST_SAMPLES, replace=False))]
    largest = largest_of_each(X, prepared, positive, offset)
    if not largest.any() and otherwise is not None:
        return otherwise
    if not largest.any():
        raise ValueError("X must correlate with some atom: all codes are zero for every penalty.")
    typical = float(np.median(largest[largest > 0]))
    alpha = _FLOOR * typical
    decoys = _decoys(prepared.components, rng)
    X = centred(X, offset)
    for _ in range(_MOST_STEPS):
        codes = mcp(
            X, prepared, alpha, gamma=_GAMMA, positive=positive, max_iter=max_iter, tol=tol, sparse_output=True,
            n_jobs=n_jobs,
        ).codes  # fmt: skip
        allowed = max(int(_FALSE * codes.nnz), 1)
        passed = _passed(X - codes @ prepared.components, decoys, allowed, positive)
        before, alpha = alpha, float(np.clip(passed, _FLOOR * typical, _CEILING * typical))
        if abs(alpha - before) <= _STEP * before:
            break
    return alpha


def _decoys(components, rng):
    """Return random atoms with the norms and the covariance of the atoms."""
    norms = np.linalg.norm(components, axis=1, keepdims=True)
    spread = np.linalg.svd(components.astype(np.float64), full_matrices=False)
    random = rng.standard_normal((len(components), len(spread.S))) @ (spread.S[:, None] * spread.Vh)
    return (unit_rows(random) * norms).astype(components.dtype)


def _passed(residuals, decoys, allowed, positive):
    """Return what as many correlations as allowed pass, in all."""
    top = np.zeros(0, residuals.dtype)
    for start in range(0, len(residuals), _ROWS_AT_ONCE):
        correlations = residuals[start : start + _ROWS_AT_ONCE] @ decoys.T
        top = np.concatenate([top, (correlations if positive else np.abs(correlations)).ravel()])
        if len(top) > allowed:
            top = np.partition(top, -allowed)[-allowed:]
    return float(top.min())
