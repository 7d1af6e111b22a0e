"""The search for a dictionary: mini-batches with unbiased codes, short memory, and no atom wasted.

After Mairal et al. (2010), with three changes that matter under superposition. Memory is short: what codes under a bad
dictionary said is soon forgotten. The penalty is the minimax concave one from the start, nearly convex and high at
first, then ever less so: under the L1 penalty, the best dictionary for few samples is not the true one. And atoms that
are duplicates, or mixtures of concepts that often come together, give way to directions that residuals share.

A search goes through three states. It *searches*, by `Search.step`, until its schedule is over. A *finish*, by
`Search.finish`, polishes what was found on one block of samples as a whole. From then on every further step *keeps* the
dictionary: samples count for what they add to the evidence that is there, so that one sample changes next to nothing
and many move the atoms as far as they should.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy

import numpy as np

from .._norms import unit_rows
from .coding import Coder, Step, chance_correlation, sum_of_squares
from .families import taken_apart
from .opposites import mended
from .redundancy import directions_of, redundancy_threshold, redundant_atoms
from .reserve import Reserve
from .schedule import Schedule
from .statistics import Statistics, updated

_NORMS_KEPT = 10_000  # latest norms of samples, whose median is the scale of a stream


class Search:
    """A search under way: its components, what they rest on, what is kept for the finish, schedule and clock.

    Components are never changed in place: a step puts new ones in their place when it is whole. A `copy` shares nothing
    that steps change. A pickle goes on to the same bits.

    Parameters
    ----------
    components : ndarray of shape (n_components, n_features)
        Unit atoms to start from.
    schedule : Schedule
        How the search goes.
    positive : bool
        Whether codes are non-negative.
    aim : {"concepts", "reconstruction"}
        Whether a finish takes families of concepts apart.
    recentres : bool
        Whether it then may find that something else is to be subtracted from samples.
    n_wanted : int or None
        How many atoms the dictionary has, if fewer than are searched for.

    Attributes
    ----------
    components : ndarray of shape (n_components, n_features)
        The atoms of the moment; after a finish, zero where they are not needed.
    dictionary : ndarray of shape (n_wanted, n_features)
        Those with the most energy at the latest finish, or all.
    n_seen : int
        Samples seen in steps.
    shift : ndarray of shape (n_features,)
        What finishes have found is to be subtracted, beside what was subtracted from the samples given to the search.
    is_over : bool
        Whether a finish has ended the search.
    reserve : Reserve
        The latest samples of a stream.
    norms : ndarray
        Norms of the latest samples.
    """

    def __init__(
        self, components: np.ndarray, schedule: Schedule, *, positive: bool, aim: str = "concepts",
        recentres: bool = False, n_wanted: int | None = None,
    ):  # fmt: skip
        self.components = components
        self.schedule = schedule
        self.positive = positive
        self.aim = aim
        self.recentres = recentres
        self.n_wanted = len(components) if n_wanted is None else n_wanted
        self._kept = slice(self.n_wanted)  # places of the atoms of the dictionary
        self.shift = np.zeros(components.shape[1], components.dtype)
        self.n_seen = self._checked = schedule.n_skipped  # _checked: when redundant atoms were last looked for
        self.is_over = False
        self.reserve = Reserve(schedule.most_kept(components[0].nbytes))
        self.norms = np.empty(0)
        self._statistics = Statistics(*components.shape, components.dtype)
        self._evidence = None  # what is left of the statistics of a search at rest
        self._usage = np.zeros(len(components))
        self._threshold = redundancy_threshold(*components.shape, schedule.redundancy, positive=positive)
        # Whether families have come apart. From then on, atoms to spare stay so: slips of elders that are not upright
        # yet would take their places.
        self._is_apart = False
        self._noise = 0.0  # correlations with an atom that are to be expected by chance
        self._rests_on = 0  # samples of a fit, or of the latest finish
        self._due = schedule.n_visits  # samples seen when a stream is to be finished by itself

    @property
    def dictionary(self) -> np.ndarray:
        """Atoms that were asked for."""
        return self.components[self._kept]

    @property
    def looks_for_concepts(self) -> bool:
        """Whether families are taken apart; that is known of non-negative codes only."""
        return self.positive and self.aim == "concepts"

    def copy(self) -> Search:
        """Return a search that goes on on its own."""
        copied = copy(self)
        copied._statistics = None if self._statistics is None else self._statistics.copy()
        copied._usage = np.array(self._usage)
        return copied

    def rest(self, n_samples: int) -> None:
        """Keep no more than is needed to go on: how firm each atom is, and norms, but no samples.

        ``n_samples`` is on how many the dictionary rests.
        """
        self._rests_on = min(n_samples, self.reserve.capacity)
        self._evidence = self._known().evidence
        self._statistics = None
        self.reserve = Reserve(self.reserve.capacity)

    def move_to(self, dictionary: np.ndarray) -> None:
        """Go on from another dictionary, whose atoms are taken to be as firm as those they replace."""
        self._evidence = self._known().evidence
        self._statistics = None
        self.components = np.array(self.components)
        self.components[self._kept] = dictionary

    def remember(self, X: np.ndarray, norms: np.ndarray) -> None:
        """Keep samples of a stream for its finish, offset included, and norms, for its scale, without."""
        self.reserve = self.reserve.with_more(X)
        self.remember_norms(norms)

    def remember_norms(self, norms: np.ndarray) -> None:
        """Keep norms of samples, for the scale of a stream that may follow."""
        self.norms = np.concatenate([self.norms, norms[-_NORMS_KEPT:]])[-_NORMS_KEPT:]

    def step(self, X: np.ndarray, alpha: float, n_jobs: int | None = None) -> Step:
        """Improve the components by what a mini-batch shows, offset removed; ``alpha`` is the scale of penalties."""
        return (self._keep if self.is_over else self._explore)(X, alpha, n_jobs)

    def _explore(self, X, alpha, n_jobs):
        n_components, schedule = len(self.components), self.schedule
        progress = min(self.n_seen / schedule.n_visits, 1.0)
        relative, gamma = schedule.search_penalty(progress)
        coder = self._coder(relative * alpha, gamma, n_jobs)
        codes, residuals = self._code(X, self.components, coder)
        step = coder.tell(X, codes, residuals)
        statistics = self._known()
        statistics.absorb(codes, X, schedule.memory ** (len(X) / n_components))
        components = self._filled(self.components, residuals)
        self._usage += np.bincount(codes.indices, minlength=n_components)
        self.n_seen += len(X)
        if self.n_seen - self._checked >= schedule.check_every * n_components:
            if schedule.is_checked(progress):
                components, n_replaced = self._replaced(components, residuals, self._usage, statistics, n_jobs)
                step = step._replace(n_replaced=n_replaced)
            self._usage, self._checked = np.zeros(n_components), self.n_seen
        self.components = updated(components, statistics)
        return step

    def _keep(self, X, alpha, n_jobs):
        schedule = self.schedule
        coder = self._coder(self._unbiased(schedule.alpha_finish, alpha), schedule.gamma_finish, n_jobs)
        codes, residuals = self._code(X, self.components, coder)
        statistics = self._known()
        # A stream that goes on for longer than a search averages over ever more of it.
        horizon = self.reserve.capacity * max(self.n_seen / schedule.n_visits, 1.0)
        statistics.absorb(codes, X, schedule.memory ** (len(X) / horizon))
        self.n_seen += len(X)
        self.components = updated(self.components, statistics)
        return coder.tell(X, codes, residuals)

    @property
    def is_due(self) -> bool:
        """Whether a stream has come to the end of its schedule, or twice as far as when it was last finished."""
        return self.n_seen >= self._due

    @property
    def can_finish(self) -> bool:
        """Whether the reserve says at least as much as what the dictionary rests on already."""
        return len(self.reserve) >= max(self._rests_on, 1)

    def finish(self, X: np.ndarray, alpha: float, *, is_all: bool, n_jobs: int | None = None) -> Iterator[Step]:
        """Polish on samples as a whole, offset removed; yield a `Step` for each round.

        Families of concepts are taken apart first, if the search is over. Then codes become all but unbiased, and
        statistics are fresh in each round. Atoms that are still redundant in the end become zero. ``is_all`` says that
        these are all samples there are. Otherwise nothing is removed if they are too few to tell which atoms are used.
        """
        schedule, components, shift = self.schedule, self.components, self.shift
        n_components, n_rounds = schedule.n_components, schedule.n_rounds(len(X))
        coder = self._coder(schedule.alpha_last * alpha, schedule.gamma_last, n_jobs)
        can_tell = is_all or self._code(X, components, coder)[0].nnz >= schedule.uses_to_judge * n_components
        # Before a search is over, atoms are similar because they are not apart yet.
        if can_tell and self.looks_for_concepts and self.n_seen >= schedule.n_visits:
            scale = coder._replace(alpha=alpha)
            apart, more = taken_apart(X, components, scale, schedule, recentres=self.recentres)
            self._is_apart |= apart is not components
            components, shift, X = apart, shift + more, X - more
        if can_tell and self.positive and not self._is_apart:
            components = mended(X, components, coder, schedule)
        self._noise = 0.0
        for done in range(n_rounds):
            last = done == n_rounds - 1
            relative = schedule.finish_alpha(done / (n_rounds - 1))
            coder = self._coder(self._unbiased(relative, alpha), schedule.gamma_finish, n_jobs)
            statistics = Statistics(*components.shape, components.dtype)
            codes, residuals = self._code(X, components, coder)
            step = coder.tell(X, codes, residuals)
            statistics.absorb(codes, X)
            self._noise = chance_correlation(residuals, codes)
            usage = np.bincount(codes.indices, minlength=n_components).astype(float)
            if can_tell and not self._is_apart and schedule.is_replacing(done, n_rounds):
                components, n_replaced = self._replaced(components, residuals, usage, statistics, n_jobs)
                step = step._replace(n_replaced=n_replaced)
            components = updated(components, statistics, schedule.finish_sweeps)
            if can_tell and last:
                components = self._without_surplus(components, usage, statistics, n_jobs)
            self.components, self.shift, self._statistics, self._evidence = components, shift, statistics, None
            if last:
                most = np.argsort(-statistics.energy, kind="stable")[: self.n_wanted]
                self._kept = np.sort(most) if self.n_wanted < n_components else slice(None)
                self.is_over = self.n_seen >= schedule.n_visits
                self._rests_on, self._due = len(X), max(schedule.finished_again * self.n_seen, schedule.n_visits)
            yield step

    def unexplained(self, X: np.ndarray, alpha: float, n_jobs: int | None = None) -> float:
        """Return the share of the squares of samples that codes without shrinkage leave."""
        residuals, squares = self._code(X, self.components, self._unshrunk(alpha, n_jobs))[1], sum_of_squares(X)
        return sum_of_squares(residuals) / squares if squares > 0 else 0.0

    def grown(self, schedule: Schedule, more: np.ndarray) -> Search:
        """Return a search for more atoms that goes on from those found, for a dictionary with no more than before."""
        components = np.concatenate([self.components, unit_rows(more)], dtype=self.components.dtype)
        return Search(
            components, schedule, positive=self.positive, aim=self.aim, recentres=self.recentres,
            n_wanted=self.n_wanted,
        )  # fmt: skip

    def _coder(self, alpha, gamma, n_jobs):
        return Coder(alpha, gamma, self.positive, self.schedule.coding_tol, n_jobs)

    def _unshrunk(self, alpha, n_jobs):
        """Return a way to code that shrinks next to nothing, as for families."""
        return self.schedule.families.coder(self._coder(alpha, self.schedule.gamma_last, n_jobs))

    def _unbiased(self, relative, alpha):
        """Return a penalty that is as low as wanted, but not below what noise reaches by chance."""
        return max(relative * alpha, min(self._noise, self.schedule.alpha_last * alpha))

    def _code(self, X, components, coder):
        codes = coder.codes(X, components)
        return codes, X - codes @ components

    def _known(self):
        """Return the statistics, which a search at rest has in short."""
        if self._statistics is None:
            self._statistics, self._evidence = Statistics.around(self.components, self._evidence), None
        return self._statistics

    def _filled(self, components, residuals):
        """Return components with new directions in place of the zeros that a finish in mid-search has left."""
        empty = np.flatnonzero(~components.any(axis=1))
        if len(empty):
            new, _ = directions_of(residuals, len(empty), self.schedule.redundancy, positive=self.positive)
            components = np.array(components)
            components[empty[: len(new)]] = new
        return components

    def _replaced(self, components, residuals, usage, statistics, n_jobs):
        """Return components whose redundant atoms have become directions that explain more, and how many have."""
        schedule, rule = self.schedule, self.schedule.redundancy
        gone, share = redundant_atoms(
            components, usage, self._threshold, rule, positive=self.positive, n_jobs=n_jobs
        )  # fmt: skip
        if not len(gone):
            return components, 0
        loss = (1 - share) * statistics.energy[gone] / statistics.n_samples
        order = np.argsort(loss, kind="stable")[: max(int(schedule.most_replaced * len(components)), 1)]
        new, gain = directions_of(residuals, len(order), rule, positive=self.positive)
        n_replaced = int((loss[order][: len(new)] <= gain / len(residuals)).cumprod().sum())
        gone = gone[order][:n_replaced]
        components = np.array(components)
        components[gone] = new[:n_replaced]
        statistics.forget(gone)
        return components, n_replaced

    def _without_surplus(self, components, usage, statistics, n_jobs):
        """Return components with zeros in place of atoms that no sample uses, or that next to nothing rests on."""
        worth = 1 - self.schedule.worthless * _typical(statistics.energy)
        rule = self.schedule.redundancy
        surplus, _ = redundant_atoms(components, usage, worth, rule, positive=self.positive, n_jobs=n_jobs)
        components = np.array(components)
        components[surplus] = 0
        statistics.forget(surplus)  # or the next update would make them anew
        return components


def _typical(energy):
    """Return the squared codes of a typical atom in units of those of each atom; infinite for unused ones."""
    energy = energy.astype(np.float64)
    used = energy > 0
    typical = np.median(energy[used]) if used.any() else 0.0
    return np.divide(typical, energy, where=used, out=np.full(len(energy), np.inf))
