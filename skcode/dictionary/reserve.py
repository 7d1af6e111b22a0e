"""The latest samples of a stream, for its finish."""

from __future__ import annotations

import numpy as np


class Reserve:
    """The latest samples of a stream, in blocks that are never changed, so that copies share them.

    Parameters
    ----------
    capacity : int
        Most samples kept.
    """

    def __init__(self, capacity: int):
        self.capacity = capacity
        self._blocks = ()

    def __len__(self) -> int:
        return sum(len(block) for block in self._blocks)

    def with_more(self, X: np.ndarray) -> Reserve:
        """Return a reserve that holds samples too, at the cost of the oldest."""
        blocks = [*self._blocks, np.array(X[-self.capacity :])]
        # As in a binary counter, so that many small blocks become few large ones and each row is copied seldom.
        while len(blocks) > 1 and len(blocks[-2]) < 2 * len(blocks[-1]):
            blocks[-2:] = [np.concatenate(blocks[-2:])]
        spare = sum(len(block) for block in blocks) - self.capacity
        while spare > 0 and len(blocks[0]) <= spare:
            spare -= len(blocks.pop(0))
        if spare > 0:
            blocks[0] = blocks[0][spare:].copy()
        more = Reserve(self.capacity)
        more._blocks = tuple(blocks)
        return more

    @property
    def samples(self) -> np.ndarray:
        """What is kept, oldest first, of shape (n_samples, n_features)."""
        return np.concatenate(self._blocks)
