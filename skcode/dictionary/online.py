"""The way to learn: passes of mini-batches over the samples, and a finish."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .coding import NOTHING
from .schedule import batch_size
from .search import Search


class OnlineLearning:
    """A search that is fed with passes over samples, offset removed block by block.

    Parameters
    ----------
    search : Search
        What learns.
    X : ndarray of shape (n_samples, n_features)
        Samples; a memory map is read in mini-batches.
    offset : ndarray of shape (n_features,)
        What is subtracted from them.
    alpha : float
        Scale of the penalties.
    batch : int or None
        Samples of a mini-batch.
    rng : RandomState
        Source of their order.
    n_jobs : int or None
        Threads.
    """

    def __init__(self, search: Search, X, offset, alpha, *, batch, rng, n_jobs):
        n_samples, schedule = len(X), search.schedule
        self.search = search
        self._X, self._offset, self._alpha, self._rng, self._n_jobs = X, offset, alpha, rng, n_jobs
        self._n_batches = max(n_samples // (batch or batch_size(n_samples, schedule.n_components)), 1)
        self._n_finish = min(n_samples, schedule.most_kept(X[0].nbytes))
        self._n_epochs = schedule.n_visits // n_samples
        self.n_passes = self._n_epochs + schedule.n_rounds(self._n_finish)

    @property
    def components(self) -> np.ndarray:
        """The dictionary of the moment, of shape (n_components, n_features)."""
        return self.search.components

    def passes(self) -> Iterator[tuple[dict[str, float], bool]]:
        """Learn; yield for each pass and each round of the finish what it showed, and whether it was the last."""
        n_samples = len(self._X)
        for _ in range(self._n_epochs):
            total = NOTHING
            for rows in np.array_split(self._rng.permutation(n_samples), self._n_batches):
                total += self.search.step(self._rows(np.sort(rows)), self._alpha, self._n_jobs)
            yield total.record(), False
        rows = slice(None)
        if self._n_finish < n_samples:
            rows = np.sort(self._rng.choice(n_samples, self._n_finish, replace=False))
        left = self.search.schedule.n_rounds(self._n_finish)
        for step in self.search.finish(self._rows(rows), self._alpha, is_all=True, n_jobs=self._n_jobs):
            left -= 1
            yield step.record(), left == 0

    def _rows(self, rows):
        return without_offset(self._X[rows], self._offset)


def without_offset(X: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Return samples less the offset, C-ordered, in their own dtype."""
    return np.ascontiguousarray(np.subtract(X, offset).astype(X.dtype, copy=False) if offset.any() else X)
