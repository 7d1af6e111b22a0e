"""Every constant that learning is tuned by, with its source and the range that it was measured on.

Unless a comment says otherwise, a value was chosen on the paper's protocol (n = 50 to 1000 atoms, 10 active, 1.5 to 10
samples for each atom, seeds 100 and up) and held on n = 5000 and 10,000, with noise of 20 dB, Zipf frequencies of 50 to
1, 5 to 15 active, signed codes, and half as many atoms again as there are concepts. Penalties are relative to alpha.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Redundancy:
    """When an atom is one too many, and where another begins."""

    # An atom is redundant when others explain this share of the way from chance to all of it, and at least that.
    share: float = 0.2
    at_least: float = 0.55
    n_explainers: int = 3  # a duplicate has one, a mixture of two concepts two, and one that is found in part three
    # Sum of absolute weights of explainers: (a + b) / sqrt(2) has 1.4, and a = sqrt(2) (a + b) - b more.
    most_weight: float = 1.9
    near: float = 0.5  # share of the highest correlation from which a residual counts as one of a direction
    n_steps: int = 4  # of the mean over those near


@dataclass(frozen=True, kw_only=True)
class Opposites:
    """When two atoms are one concept that was found with either sign, and how that is mended (n = 80 to 1000)."""

    cosine: float = -0.9  # concepts that are opposites of each other do exist: the objective tells them apart
    common: float = 3.0  # such a concept is in so many times the samples of a typical atom
    # Signed codes up to here, in their root mean square, are taken for zeros: first the negative ones alone.
    taken_for_zero: tuple[float, ...] = (0.0, 0.7, 0.3)
    n_reweighted: int = 6  # times for each
    weight_with: float = 0.01  # of samples with the concept, which say little about the lean; those without have 1
    ridge: float = 3e-3  # of the mean squared codes of an atom; it holds on to the lean before
    at_most: int = 3  # pairs; true opposites are tried in vain, and 100 of them took the ninefold time of the fit
    visits: int = 15  # samples for each atom on which a dictionary without one is tried; 7 and 30 do as well
    n_judging: int = 10_000  # samples that the trial is judged by


@dataclass(frozen=True, kw_only=True)
class Families:
    """When atoms are a family, and how it is taken apart.

    Measured on `make_concept_world`: S (seeds 100 to 102), and worlds of 120 concepts in 60 dimensions, where 18 fits
    of 30, 60 and 120 atoms (seeds 100 to 105) have a mean F1 of 0.983.
    """

    alpha: float = 1.5  # penalty of the codes that tell; 1 to 2.7 do as well
    gamma: float = 1.5  # hardly any code is shrunk: shrinkage is what lets parents fall silent
    # Each .981 to .985 for .7 to .9, .05 to .2, and 8 to 30.
    always: float = 0.8  # of the firings of an atom; an atom that is on in so many always fires with it
    own_share: float = 0.1  # of its firings; an atom whose children leave it fewer has no whole
    fewest: int = 15  # firings that say anything
    # Of the energy of a concept, by which the means of two families differ. From .6 to .8, 95 to 100 % of the elders
    # are found the first time; at .5, 87 to 100.
    apart: float = 0.65
    duplicate: float = 0.6  # cosine of atoms of which one is too many: .986 at .7, .962 at .5
    at_most: int = 5  # times that families are looked for, each to mend what is left; two to three are usual
    least_gain: float = 0.01  # of the objective each time, or it was the last
    n_rounds: int = 2  # of least squares each time
    n_judging: int = 10_000  # samples that the result is judged by

    def coder(self, coder):
        """Return how families are told, at the scale of a `Coder`."""
        return coder._replace(alpha=self.alpha * coder.alpha, gamma=self.gamma)


@dataclass(frozen=True, kw_only=True)
class Growth:
    """When a search goes on with more atoms (`make_concept_world`, S, widths from 256 to 2,048)."""

    doublings: int = 2  # at most: a quarter of the concepts is what the field's yardstick asks for
    widest: int = 16_384  # atoms, whose matrices take 1 GB each in float32
    fewest_samples: int = 40  # for each atom
    enough: float = 0.05  # unexplained: less is not worth a search. S leaves .18 at a quarter, .011 at full width
    # Of what was left, the share that each doubling explains if it pays. Of independent concepts, it takes two: at a
    # quarter of 1,024, the first explains .34, and the second nearly all. With noise of 0 dB a doubling explains at
    # most .29.
    pays: float = 0.4
    hope: float = 0.3  # the share from which it is worth a look at twice as many again
    # Share of its schedule that a search for more atoms skips, since it goes on from those found. From .5, F1 is as
    # from new atoms (.989 to .991, seeds 100 to 105), from .7 .976 to .990. From 0, what was found is lost again.
    begins: float = 0.5
    n_judging: int = 5_000  # samples that this is judged by

    def widths(self, n_components: int, n_samples: int) -> list[int]:
        """Return numbers of atoms that may be searched for after so many."""
        wide = [n_components << doubling for doubling in range(1, self.doublings + 1)]
        return [width for width in wide if width <= min(self.widest, n_samples // self.fewest_samples)]

    def has_paid(self, unexplained: float, before: float, n_doublings: int = 1) -> bool:
        """Tell whether so many doublings are worth it, by what is left of samples, and was before."""
        return unexplained <= (1 - self.pays) ** n_doublings * before

    def has_hope(self, unexplained: float, before: float) -> bool:
        """Tell whether a doubling explains enough that with the next one it may pay."""
        return unexplained <= (1 - self.hope) * before


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How a search goes, from its first sample to the end of its finish.

    Attributes
    ----------
    n_components : int
        Number of atoms.
    n_visits : int
        Samples after which the search is over, each counted as often as it is seen.
    begins : float
        Share of the search that is skipped, since it goes on from atoms that were found.
    memory : float
        Share of what was seen that is left after as many samples as there are atoms.
    """

    n_components: int
    n_visits: int
    memory: float = 0.3  # with many samples .3 is a little better than .1
    begins: float = 0.0

    # The search. The penalty falls and becomes less convex, in equal ratios.
    alpha_first: float = 3.0
    alpha_last: float = 0.6
    gamma_first: float = 20.0  # nearly the L1 penalty
    gamma_last: float = 8.0
    coding_tol: float = 1e-3  # violation of stationarity; codes are new in each step: more would be wasted

    # Redundant atoms. Replacement takes 96 % recovered to 99.8 % (n=1000 from 10,000 samples).
    check_every: int = 10  # samples for each atom between two looks
    check_from: float = 0.3  # of the search: before it, everything is redundant;
    check_until: float = 0.95  # after it, a new atom would not settle before the finish, which looks again
    most_replaced: float = 0.1  # of all atoms, at a time

    # The finish: rounds on one block of samples, nearly unbiased.
    alpha_finish: float = 0.2
    gamma_finish: float = 3.0
    finish_visits: int = 30  # samples for each atom,
    fewest_rounds: int = 4
    most_rounds: int = 30
    finish_sweeps: int = 3  # of the update of atoms
    # Every second round of the finish replaces redundant atoms, so that new ones settle in the rounds between; the last
    # share of its rounds does not, nor do its last two.
    replaced_every: int = 2
    replaced_until: float = 0.8
    settling_rounds: int = 2
    worthless: float = 0.01  # squared codes lost with an atom, as a share of a typical atom's, that it is not kept for

    # Samples that a stream keeps for its finish, and that a fit chooses for its own.
    kept_for_each_atom: int = 30  # or all there are; 2 to 10 do where there are no families
    kept_at_least: int = 10_000
    kept_bytes: int = 1 << 28  # at most, 256 MiB,
    kept_always: int = 64  # but so many samples of any size
    finished_again: int = 2  # times the length of a stream at its last finish, when it is finished once more
    uses_to_judge: int = 10  # of an atom, on average, from which one without any use is no accident: e^-10

    redundancy: Redundancy = Redundancy()
    opposites: Opposites = Opposites()
    families: Families = Families()
    growth: Growth = Growth()

    @classmethod
    def of_fit(
        cls, n_components: int, n_samples: int, max_epochs: int | None = None, *, begins: float = 0.0
    ) -> Schedule:
        """Return the schedule for samples that are seen again and again.

        Few samples take longer: it takes long until chance has put the last atoms right. At n=1000 from 2,000 samples
        25 % are found with half of the statistics left after n samples, 53 % with .3, 94 to 96 % with .1 and 97 % with
        .05. Hence at most .003 is left after a pass.
        """
        memory = min(cls.memory, _MEMORY_OF_PASS ** (n_components / n_samples))
        n_epochs = max_epochs
        if n_epochs is None and n_samples < n_components:
            n_epochs = _EPOCHS[0]  # fewer samples cannot tell the atoms apart, however often they are seen
        elif n_epochs is None:
            scarcity = _SCARCITY * (2 * n_components / n_samples) ** 4
            visits = min(_VISITS[0] * (1 + scarcity), _VISITS[1])
            fewest = min(_EPOCHS[0], _ENOUGH_VISITS * searched_atoms(n_components) / n_samples)
            n_epochs = round((1 - begins) * max(visits * searched_atoms(n_components) / n_samples, fewest))
            n_epochs = int(np.clip(n_epochs, 1, _EPOCHS[1]))
        n_visits = round(n_epochs * n_samples / (1 - begins))
        return cls(n_components=n_components, n_visits=n_visits, memory=memory, begins=begins)

    @classmethod
    def of_stream(cls, n_components: int) -> Schedule:
        """Return the schedule for samples that are seen once."""
        return cls(n_components=n_components, n_visits=searched_atoms(n_components) * _VISITS[0])

    @property
    def n_skipped(self) -> int:
        """Samples that the search counts as seen when it begins."""
        return round(self.begins * self.n_visits)

    def n_passes(self, n_samples: int) -> int:
        """Return how many passes over so many samples the search takes."""
        return (self.n_visits - self.n_skipped) // n_samples

    def search_penalty(self, progress: float) -> tuple[float, float]:
        """Return alpha and gamma when a share of the search is done."""
        alpha = _between(self.alpha_first, self.alpha_last, progress)
        return alpha, _between(self.gamma_first, self.gamma_last, progress)

    def finish_alpha(self, progress: float) -> float:
        """Return alpha when a share of the finish is done."""
        return _between(self.alpha_last, self.alpha_finish, progress)

    def is_checked(self, progress: float) -> bool:
        """Tell whether redundant atoms are looked for at this point of the search."""
        return self.check_from <= progress <= self.check_until

    def is_replacing(self, done: int, n_rounds: int) -> bool:
        """Tell whether redundant atoms are replaced in a round of the finish, after so many others."""
        last = min(self.replaced_until * n_rounds, n_rounds - self.settling_rounds)
        return done % self.replaced_every == self.replaced_every - 1 and done < last

    def n_rounds(self, n_samples: int) -> int:
        """Return how many rounds a finish on so many samples takes."""
        if n_samples < self.n_components:
            return self.fewest_rounds  # as for the search: there is nothing more to be told
        rounds = -(-self.finish_visits * self.n_components // n_samples)
        return int(np.clip(rounds, self.fewest_rounds, self.most_rounds))

    def most_kept(self, bytes_of_sample: int) -> int:
        """Return on how many samples of a size a finish is made, at most."""
        wanted = max(self.kept_for_each_atom * self.n_components, self.kept_at_least)
        return max(min(wanted, self.kept_bytes // bytes_of_sample), self.kept_always)


# Samples for each atom that a search takes, where there are many and at most: three times as many where there are two
# distinct ones for each atom. 60 recover 99.6 instead of 99.9 % at n=1000.
_VISITS = 80, 500
_SCARCITY = 2.0
_EPOCHS = 8, 500  # with few samples for each atom, 6 passes instead of 8 leave .7 % of 1,000 concepts (n=1500);
_ENOUGH_VISITS = 120  # with many, as many samples for each atom do (`make_concept_world`, S, n=1024)
# Few atoms take as many samples as 250: with 10 of 50 concepts active, a sample says less of each. 80 for each atom
# recovered 55 % of 50 atoms from 500 samples, 400 for each all; of 200 from 500, 1.25 times as many 98 instead of 91 %.
_FEWEST_ATOMS = 250
_MEMORY_OF_PASS = 3e-3
_SHARE_OF_BATCH, _SMALLEST_BATCH = 1 / 10, 64


def batch_size(n_samples: int, n_components: int) -> int:
    """Return how many samples a mini-batch has: as many as there are atoms, but at most a tenth of all."""
    return max(min(int(_SHARE_OF_BATCH * n_samples), n_components), _SMALLEST_BATCH)


def searched_atoms(n_components: int) -> int:
    """Return for how many atoms a search takes samples."""
    return max(n_components, _FEWEST_ATOMS)


def _between(first, last, share):
    """Return what lies a share of the way between two positive numbers, in their logarithms."""
    return first * (last / first) ** share
