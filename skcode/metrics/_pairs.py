"""Pairs, one to one, of what is most alike."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment


def best_pairs(make_similarity, n_first: int, n_second: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs with the largest sum of similarities, and the similarity of each.

    Parameters
    ----------
    make_similarity : callable
        Returns an ndarray of shape ``(n_first, n_second)``, larger where more alike.
    n_first, n_second : int
        Numbers of things on either side.

    Returns
    -------
    pairs : ndarray of shape (min(n_first, n_second), 2)
        Indices on the first side, in order, and on the second.
    similarities : ndarray of shape (min(n_first, n_second),)
        Of each pair.

    Raises
    ------
    MemoryError
        If there is no room for the similarities of all pairs.
    """
    try:
        similarity = make_similarity()
        rows, columns = linear_sum_assignment(similarity, maximize=True)
    except MemoryError as error:
        raise MemoryError(
            f"matching {n_first} with {n_second} components takes the similarity of each pair, "
            f"{8 * n_first * n_second / 2**30:.2g} GiB, and some copies of them. {error}"
        ) from error
    return np.column_stack([rows, columns]), similarity[rows, columns]
