"""Learning a dictionary by mini-batches: unbiased codes, short memory, and no atom wasted.

After Mairal et al. (2010), with three changes that matter under superposition. Memory is short: what codes under a bad
dictionary said is soon forgotten. The penalty is the minimax concave one from the start, nearly convex and high at
first, then ever less so: under the L1 penalty, the best dictionary for few samples is not the true one. And atoms that
are duplicates, or mixtures of concepts that often come together, give way to directions that residuals share.
"""

from __future__ import annotations

from copy import copy
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from ..solvers import PreparedDictionary, mcp
from .atoms import Statistics, directions_of, redundancy_threshold, redundant_atoms, update_atoms
from .opposites import most_common, opposites, without_lean

# Samples per atom that a search takes at least and at most, if there are 250 atoms or more: three times as many where
# there are two distinct ones per atom as where there are many. With few, it takes long until chance has put the last
# atoms right.
_VISITS = 80, 500
_SCARCITY = 2.0
_FEWEST_ATOMS = 250  # that a search takes samples for: where there are fewer, a sample says less of each that it holds
# From the start of the search to its end, and to the end of the finish; penalties relative to alpha.
_ALPHA = 3.0, 0.6, 0.2
_GAMMA = 20.0, 8.0
_GAMMA_FINISH = 3.0
_CODING_TOL = 1e-3
_SHARE_OF_BATCH, _SMALLEST_BATCH = 1 / 10, 64  # of the samples, or as many as there are atoms
_MEMORY = 0.3  # share of what was seen that is left after as many samples as there are atoms,
_MEMORY_OF_PASS = 3e-3  # and at most after a pass, when samples are seen again
_CHECK_EVERY = 10  # samples per atom between two looks for redundant atoms,
_CHECKS = 0.3, 0.95  # in this part of the search
_FINISH_VISITS, _FINISH_ROUNDS = 30, (4, 30)  # samples per atom in the finish, in at least and at most so many rounds
_FINISH_SWEEPS = 3
_MOST_MENDED = 3  # opposites, one after the other
_MEND_VISITS = 15  # samples per atom on which a dictionary without one is tried,
_JUDGED = 10_000  # samples by which it is judged
_LAST_REPLACED = 0.8  # of the finish, and two rounds before its end
_MOST_REPLACED = 0.1  # of all atoms, at a time
_WORTHLESS = 0.01  # squared codes lost with an atom, as a share of those of a typical one, for which it is not kept
_RESERVE = 10, 10_000  # samples per atom, or in all, that a stream leaves for its finish, and a fit uses in its own,
_RESERVE_BYTES = 1 << 28  # up to that size,
_FEWEST_KEPT = 64  # but no fewer


class Step(NamedTuple):
    """What some samples showed, coded under the dictionary before the step; sums over samples."""

    n_samples: int
    objective: float  # 1/2 ||residual||^2 + alpha ||codes||_1, at the alpha of the step
    energy: float  # ||x||^2
    unexplained: float  # ||residual||^2
    nnz: int
    n_replaced: int

    def __add__(self, other):
        return Step(*(one + another for one, another in zip(self, other, strict=True)))

    def record(self):
        """Return the entries of ``history_``: means over samples."""
        n_samples = max(self.n_samples, 1)
        return {
            "objective": self.objective / n_samples,
            "mean_l0": self.nnz / n_samples,
            "unexplained": self.unexplained / self.energy if self.energy > 0 else 0.0,
            "n_replaced": self.n_replaced,
        }


NOTHING = Step(0, 0.0, 0.0, 0.0, 0, 0)


def visits(n_components: int, n_samples: int | None = None) -> int:
    """Return how many samples a search takes, some of them again and again where there are few."""
    scarcity = 0.0 if n_samples is None else _SCARCITY * (2 * n_components / n_samples) ** 4
    return int(max(n_components, _FEWEST_ATOMS) * min(_VISITS[0] * (1 + scarcity), _VISITS[1]))


def default_batch_size(n_samples: int, n_components: int) -> int:
    """Return how many samples a mini-batch has."""
    return max(min(int(_SHARE_OF_BATCH * n_samples), n_components), _SMALLEST_BATCH)


class OnlineSearch:
    """A search under way: its components, what they rest on, and how far along it is.

    A pickle of it goes on to the same bits.

    Parameters
    ----------
    components : ndarray of shape (n_components, n_features)
        Unit atoms to start from; they are improved in place.
    alpha : float
        Scale of the penalties.
    positive : bool
        Whether codes are non-negative.
    n_visits : int
        Samples after which penalty and convexity have reached their end.
    n_distinct : int, optional
        Samples that they are taken from, if known.
    """

    def __init__(
        self, components: np.ndarray, alpha: float, *, positive: bool, n_visits: int, n_distinct: int | None = None
    ):
        self.components = components
        self.alpha = alpha
        self.positive = positive
        self.n_visits = n_visits
        self.n_seen = 0
        self.memory = _MEMORY if n_distinct is None else min(_MEMORY, _MEMORY_OF_PASS ** (len(components) / n_distinct))
        self.threshold = redundancy_threshold(*components.shape, positive=positive)
        self.statistics = Statistics(*components.shape, components.dtype)
        self.surplus = np.empty(0, int)
        self._usage = np.zeros(len(components))
        self._checked = 0  # samples seen when redundant atoms were last looked for

    def step(self, X: np.ndarray, n_jobs: int | None = None) -> Step:
        """Code a mini-batch, and improve the components by what that shows."""
        n_components = len(self.components)
        progress = min(self.n_seen / self.n_visits, 1.0)
        self.n_seen += len(X)
        # A stream that goes on for longer than a search averages over ever more of it.
        lengthened = min(self.n_visits / self.n_seen, 1.0)
        alpha, gamma = self.alpha * _between(_ALPHA[0], _ALPHA[1], progress), _between(*_GAMMA, progress)
        codes, residual, step = self._take_in(X, alpha, gamma, n_jobs, lengthened)
        self._usage += np.bincount(codes.indices, minlength=n_components)
        if self.n_seen - self._checked >= _CHECK_EVERY * n_components:
            # Not just before the finish, which has checks of its own; but a stream may go on for ever.
            if _CHECKS[0] <= progress <= _CHECKS[1] or self.n_seen > self.n_visits:
                step = step._replace(n_replaced=self._replace(residual, self._usage))
            self._usage[:], self._checked = 0, self.n_seen
        update_atoms(self.components, self.statistics)
        return step

    def n_rounds(self, n_samples: int) -> int:
        """Return how many rounds a finish on so many samples takes."""
        return int(np.clip(-(-_FINISH_VISITS * len(self.components) // n_samples), *_FINISH_ROUNDS))

    def finish(self, X: np.ndarray, n_jobs: int | None = None):
        """Polish on samples as a whole; yield a `Step` for each round.

        Codes become all but unbiased, and statistics are fresh in each round. ``surplus`` then are the atoms that are
        still redundant; they stay, for blocks that may follow.
        """
        n_components, n_rounds = len(self.components), self.n_rounds(len(X))
        self._mend_opposites(X, n_jobs)
        noise = 0.0
        for done in range(n_rounds):
            alpha = self.alpha * _between(_ALPHA[1], _ALPHA[2], done / (n_rounds - 1))
            alpha = max(alpha, min(noise, _ALPHA[1] * self.alpha))
            self.statistics.clear()
            codes, residual, step = self._take_in(X, alpha, _GAMMA_FINISH, n_jobs)
            noise = chance_correlation(residual, codes)
            usage = np.bincount(codes.indices, minlength=n_components).astype(float)
            if done % 2 == 1 and done < min(_LAST_REPLACED * n_rounds, n_rounds - 2):
                step = step._replace(n_replaced=self._replace(residual, usage))
            update_atoms(self.components, self.statistics, _FINISH_SWEEPS)
            if done == n_rounds - 1:
                worth = 1 - _WORTHLESS * _typical(self.statistics)
                self.surplus, _ = redundant_atoms(self.components, usage, worth, positive=self.positive)
            yield step

    def _take_in(self, X, alpha, gamma, n_jobs, lengthened=1.0):
        """Code a mini-batch, and add it to what is not yet forgotten."""
        codes = self._encode(X, alpha, gamma, n_jobs)
        residual = X - codes @ self.components
        self.statistics.fade(self.memory ** (lengthened * len(X) / len(self.components)))
        self.statistics.add(codes, X)
        return codes, residual, _tell(X, codes, residual, alpha)

    def _mend_opposites(self, X, n_jobs):
        """Undo what made a common concept be found with either sign, if the objective is lower after a few batches."""
        penalty = self.alpha * _ALPHA[1], _GAMMA[1]
        judged = X[:: max(len(X) // _JUDGED, 1)]
        for _ in range(_MOST_MENDED if self.positive else 0):
            pairs = opposites(self.components)
            codes = self._encode(X, *penalty, n_jobs) if len(pairs) else None
            pair = most_common(pairs, codes) if len(pairs) else None
            if pair is None:
                return
            trial = copy(self)
            trial.components = without_lean(self.components, *pair, codes)
            left = judged - trial._encode(judged, *penalty, n_jobs) @ trial.components
            new, _ = directions_of(left, 1, positive=True)
            trial.components[pair[1]] = new[0] if len(new) else 0
            trial._polish(X, *penalty, n_jobs)
            if trial._objective(judged, *penalty, n_jobs) >= self._objective(judged, *penalty, n_jobs):
                return
            self.components[:] = trial.components

    def _polish(self, X, alpha, gamma, n_jobs):
        """Improve the components by a few mini-batches, from fresh statistics."""
        n_components = len(self.components)
        self.statistics = Statistics(*self.components.shape, self.components.dtype)
        n_batches = -(-len(X) // default_batch_size(len(X), n_components))
        n_steps = -(-_MEND_VISITS * max(n_components, _FEWEST_ATOMS) * n_batches // len(X))
        for step in range(n_steps):
            self._take_in(X[step % n_batches :: n_batches], alpha, gamma, n_jobs)
            update_atoms(self.components, self.statistics)

    def _objective(self, X, alpha, gamma, n_jobs):
        """Return the sum over samples of what their codes minimise."""
        codes = self._encode(X, alpha, gamma, n_jobs)
        residual = X - codes @ self.components
        size = np.minimum(np.abs(codes.data), gamma * alpha).astype(np.float64)
        penalty = np.sum(alpha * size - size**2 / (2 * gamma))
        return 0.5 * np.einsum("ij,ij->", residual, residual, dtype=np.float64) + penalty

    def _encode(self, X, alpha, gamma, n_jobs) -> sp.csr_array:
        prepared = PreparedDictionary(self.components)
        return mcp(
            X, prepared, alpha, gamma=gamma, positive=self.positive, tol=_CODING_TOL, sparse_output=True, n_jobs=n_jobs
        ).codes

    def _replace(self, residual, usage):
        """Give redundant atoms to directions that residuals share, if those explain more; return how many."""
        gone, share = redundant_atoms(self.components, usage, self.threshold, positive=self.positive)
        if not len(gone):
            return 0
        statistics = self.statistics
        loss = (1 - share) * statistics.A[gone, gone] / statistics.n_samples
        order = np.argsort(loss, kind="stable")[: max(int(_MOST_REPLACED * len(self.components)), 1)]
        new, gain = directions_of(residual, len(order), positive=self.positive)
        n = int((loss[order][: len(new)] <= gain / len(residual)).cumprod().sum())
        gone = gone[order][:n]
        self.components[gone] = new[:n]
        statistics.forget(gone)
        return n


def _tell(X, codes, residual, alpha):
    energy, unexplained = (float(np.einsum("ij,ij->", rows, rows, dtype=np.float64)) for rows in (X, residual))
    penalty = alpha * float(np.abs(codes.data).sum(dtype=np.float64))
    return Step(len(X), 0.5 * unexplained + penalty, energy, unexplained, codes.nnz, 0)


def _typical(statistics):
    """Return the squared codes of a typical atom in units of those of each atom; infinite for unused ones."""
    energy = np.diag(statistics.A).astype(np.float64)
    used = energy > 0
    typical = np.median(energy[used]) if used.any() else 0.0
    return np.divide(typical, energy, where=used, out=np.full(len(energy), np.inf))


def chance_correlation(residual: np.ndarray, codes: sp.csr_array) -> float:
    """Return how large a correlation with one of the atoms is to be expected of what codes leave, were it noise.

    The noise is taken to be white, and its level that of a typical sample.
    """
    freedom = np.maximum(residual.shape[1] - np.diff(codes.indptr), 1)
    variance = np.median(np.einsum("ij,ij->i", residual, residual) / freedom)
    return float(np.sqrt(2 * np.log(max(codes.shape[1], 2)) * variance))


def _between(first, last, share):
    """Return what lies a share of the way between two positive numbers, in their logarithms."""
    return first * (last / first) ** share


def most_kept(X: np.ndarray, n_components: int) -> int:
    """Return on how many samples like these a finish is made, at most."""
    return max(min(max(_RESERVE[0] * n_components, _RESERVE[1]), _RESERVE_BYTES // X[0].nbytes), _FEWEST_KEPT)


class Reserve:
    """The latest samples of a stream, for its finish.

    Parameters
    ----------
    capacity : int
        Most samples kept.
    n_features : int
        Their length.
    dtype : dtype
        Their type.
    """

    def __init__(self, capacity: int, n_features: int, dtype):
        self._rows = np.empty((capacity, n_features), dtype)
        self._n_seen = 0

    def __getstate__(self):
        return {"capacity": len(self._rows), "samples": self.samples.copy(), "n_seen": self._n_seen}

    def __setstate__(self, state):
        samples = state["samples"]
        self.__init__(state["capacity"], samples.shape[1], samples.dtype)
        self._rows[: len(samples)], self._n_seen = samples, state["n_seen"]

    def add(self, X: np.ndarray) -> None:
        """Keep samples, at the cost of the oldest."""
        capacity = len(self._rows)
        X = X[-capacity:]
        self._rows[(self._n_seen + np.arange(len(X))) % capacity] = X
        self._n_seen += len(X)

    @property
    def samples(self) -> np.ndarray:
        """What is kept, of shape (n_samples, n_features)."""
        return self._rows[: min(self._n_seen, len(self._rows))]
