"""Agreement of a learned dictionary with the true one."""

from __future__ import annotations

import numpy as np
from sklearn.utils import Bunch

from .._norms import unit_rows
from .._validation import ArrayLike, check_dictionary, derived_random_state, integers_from, validate_params
from ._pairs import best_pairs
from ._ratios import mean

_CLOSE = 0.9  # the paper's threshold for "recovered"


@validate_params(
    {
        "components_true": ["array-like"],
        "components_learned": ["array-like"],
        "n_draws": [integers_from(0)],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def match_dictionaries(
    components_true: ArrayLike, components_learned: ArrayLike, *, n_draws: int = 1, random_state=0
) -> Bunch:
    """Match true and learned atoms one to one by absolute cosine.

    Atoms of zeros are no atoms: a learner leaves those it does not use at zero. The result is as it would be without
    them, but for the indices in ``pairs``.

    Parameters
    ----------
    components_true : array-like of shape (n_true, n_features)
        True atoms in rows, of which at least one is not zero.
    components_learned : array-like of shape (n_learned, n_features)
        Learned atoms in rows, in any order, sign and norm.
    n_draws : int, default=1
        How many random dictionaries (Gaussian directions, as many as learned atoms) are matched to the true one to find
        the chance level. 0 leaves it out, which halves the cost.
    random_state : int, RandomState instance or None, default=0
        Source of the random dictionaries.

    Returns
    -------
    match : Bunch
        With ``n_matched``, the smaller of the numbers of true and of learned atoms that are not zero:

        - ``pairs``: ndarray of shape (n_matched, 2), indices of the true and of the learned atom of each pair
        - ``cosines``: ndarray of shape (n_matched,), absolute cosine of each pair
        - ``mean_cosine``, ``mean_angular_error`` (radians), ``mean_norm_ratio`` (learned over true): floats, over the
          matched pairs; NaN if there are none
        - ``frac_recovered``: share of the true atoms that are matched with a cosine above 0.9
        - ``chance_cosine``: mean cosine that a random dictionary reaches: .335 at 1000 atoms in 93 dimensions, so a
          plain mean cosine of .4 is next to nothing. NaN with ``n_draws=0``, and if there are no pairs
        - ``adjusted_cosine``: ``(mean_cosine - chance_cosine) / (1 - chance_cosine)``, 0 by chance and 1 when perfect

    Raises
    ------
    ValueError
        If the dictionaries have different numbers of features, or all true atoms are zero.
    MemoryError
        If there is no room for the cosines of all pairs of atoms.

    Examples
    --------
    >>> import numpy as np
    >>> from skcode.metrics import match_dictionaries
    >>> match = match_dictionaries(np.eye(3), [[0, 0, -2.0], [1, 0, 0], [0, 1, 0]])
    >>> match.pairs.tolist(), match.frac_recovered, round(match.mean_norm_ratio, 3)
    ([[0, 1], [1, 2], [2, 0]], 1.0, 1.333)
    """
    true = check_dictionary(components_true, name="components_true").astype(np.float64)
    learned = check_dictionary(components_learned, name="components_learned").astype(np.float64)
    if true.shape[1] != learned.shape[1]:
        raise ValueError(
            "components_true and components_learned must have the same number of features, got "
            f"{true.shape[1]} and {learned.shape[1]}."
        )
    used_true, used_learned = (np.flatnonzero(atoms.any(axis=1)) for atoms in (true, learned))
    if not len(used_true):
        raise ValueError("components_true must have an atom that is not zero.")
    true, learned = true[used_true], learned[used_learned]
    directions = unit_rows(true)
    matched, cosines = _match(directions, learned)
    rng = derived_random_state(random_state)
    draws = [mean(_match(directions, rng.standard_normal(learned.shape))[1]) for _ in range(n_draws)]
    mean_cosine, chance = mean(cosines), mean(draws)
    return Bunch(
        pairs=np.column_stack([used_true[matched[:, 0]], used_learned[matched[:, 1]]]),
        cosines=cosines,
        mean_cosine=mean_cosine,
        mean_angular_error=mean(np.arccos(np.clip(cosines, 0.0, 1.0))),
        mean_norm_ratio=mean(_norm_ratios(learned[matched[:, 1]], true[matched[:, 0]])),
        frac_recovered=float(np.count_nonzero(cosines > _CLOSE) / len(true)),
        chance_cosine=chance,
        adjusted_cosine=(mean_cosine - chance) / (1.0 - chance) if chance != 1.0 else 0.0,
    )


def _match(directions, learned):
    return best_pairs(lambda: np.abs(directions @ unit_rows(learned).T), len(directions), len(learned))


def _norm_ratios(rows, others):
    """Return the norms of rows over those of others; in powers of two, as squares could overflow or vanish."""
    both = rows, others
    units = [np.frexp(np.abs(each).max(axis=1))[1] for each in both]
    norms = [np.linalg.norm(np.ldexp(each, -unit[:, None]), axis=1) for each, unit in zip(both, units, strict=True)]
    with np.errstate(over="ignore", under="ignore"):
        return np.ldexp(norms[0] / norms[1], units[0] - units[1])
