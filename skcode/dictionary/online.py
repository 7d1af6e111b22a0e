"""The way to learn: passes of mini-batches over the samples, with more atoms where there is more to find, a finish."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .coding import NOTHING
from .schedule import Schedule, batch_size
from .search import Search


class OnlineLearning:
    """A search that is fed with passes over samples, offset removed block by block.

    A dictionary with fewer atoms than there are concepts is not the best part of one that has them all: what has no
    atom leans on what has. So, with ``aim="concepts"``, a search that leaves much unexplained goes on with twice as
    many atoms, and so on, as long as these explain much of what was left. The finish takes what the last one that did
    has found. The dictionary is as many of its atoms as were asked for, those with the most energy.

    Parameters
    ----------
    start : ndarray of shape (n_components, n_features)
        Unit atoms to start from.
    X : ndarray of shape (n_samples, n_features)
        Samples; a memory map is read in mini-batches.
    offset : ndarray of shape (n_features,)
        What is subtracted from them.
    alpha : float
        Scale of the penalties.
    positive : bool
        Whether codes are non-negative.
    aim : {"concepts", "reconstruction"}
        What for.
    recentres : bool
        Whether learning may move the offset.
    max_epochs : int or None
        Passes of each search.
    batch : int or None
        Samples of a mini-batch.
    rng : RandomState
        Source of their order, and of more atoms to start from.
    n_jobs : int or None
        Threads.

    Attributes
    ----------
    search : Search
        What has learned the dictionary, and may know more atoms.
    n_passes : int
        How many passes there are at most, rounds of the finish included.
    """

    def __init__(self, start, X, offset, alpha, *, positive, aim, recentres, max_epochs, batch, rng, n_jobs):
        self._X, self._offset, self._alpha, self._rng, self._n_jobs = X, offset, alpha, rng, n_jobs
        self._batch = batch
        schedules = [Schedule.of_fit(len(start), len(X), max_epochs)]
        self.search = Search(start, schedules[0], positive=positive, aim=aim, recentres=recentres)
        if self.search.looks_for_concepts:
            widths = schedules[0].growth.widths(len(start), len(X))
            begins = schedules[0].growth.begins
            schedules += [Schedule.of_fit(width, len(X), max_epochs, begins=begins) for width in widths]
        self._schedules = schedules
        epochs = np.cumsum([schedule.n_passes(len(X)) for schedule in schedules])
        rounds = [schedule.n_rounds(self._n_finish(schedule)) for schedule in schedules]
        self.n_passes = int(np.max(epochs + rounds))

    @property
    def components(self) -> np.ndarray:
        """The dictionary of the moment, of shape (n_components, n_features)."""
        return self.search.dictionary

    def passes(self) -> Iterator[tuple[dict[str, float], bool]]:
        """Learn; yield for each pass and each round of the finish what it showed, and whether it was the last."""
        search = wide = self.search
        growth = search.schedule.growth
        yield from self._searched(search)
        wider = self._schedules[1:]
        judging = self._some(growth.n_judging if wider else 0)
        left = kept = search.unexplained(judging, self._alpha, self._n_jobs) if wider else 0.0
        n_doublings = 0
        for schedule in wider:
            if left <= growth.enough:
                break
            more = self._rng.standard_normal((schedule.n_components - len(wide.components), self._X.shape[1]))
            wide = wide.grown(schedule, more)
            yield from self._searched(wide)
            before, left = left, wide.unexplained(judging, self._alpha, self._n_jobs)
            n_doublings += 1
            if growth.has_paid(left, kept, n_doublings):
                search, kept, n_doublings = wide, left, 0
            elif not growth.has_hope(left, before):
                break
        X = self._some(self._n_finish(search.schedule))
        left = search.schedule.n_rounds(len(X))
        for step in search.finish(X, self._alpha, is_all=True, n_jobs=self._n_jobs):
            left -= 1
            if not left:
                self.search = search
            yield step.record(), left == 0

    def _searched(self, search):
        """Yield what passes of a search show."""
        n_samples, n_components = len(self._X), len(search.components)
        n_batches = max(n_samples // (self._batch or batch_size(n_samples, n_components)), 1)
        for _ in range(search.schedule.n_passes(n_samples)):
            total = NOTHING
            for rows in np.array_split(self._rng.permutation(n_samples), n_batches):
                total += search.step(self._rows(np.sort(rows)), self._alpha, self._n_jobs)
            yield total.record(), False

    def _n_finish(self, schedule):
        return min(len(self._X), schedule.most_kept(self._X[0].nbytes))

    def _some(self, n_samples):
        """Return samples chosen at random, or all if there are no more."""
        if n_samples >= len(self._X):
            return self._rows(slice(None))
        return self._rows(np.sort(self._rng.choice(len(self._X), n_samples, replace=False)))

    def _rows(self, rows):
        return without_offset(self._X[rows], self._offset)


def without_offset(X: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Return samples less the offset, C-ordered, in their own dtype."""
    return np.ascontiguousarray(np.subtract(X, offset).astype(X.dtype, copy=False) if offset.any() else X)
