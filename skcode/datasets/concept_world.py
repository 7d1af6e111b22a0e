"""Worlds of concepts that depend on each other, as those of language models do."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.special import ndtr, ndtri
from sklearn.utils import Bunch

from .._norms import unit_rows
from .._parallel import map_chunks, single_threaded_blas
from .._validation import (
    N_JOBS,
    check_random_state,
    integers_from,
    open_unit_interval,
    real_from,
    unit_interval,
    validate_params,
)
from ._dtype import check_float_dtype

# Of the published world (arXiv:2602.14687).
_N_FACTORS = 25
_LARGEST_MEAN, _SMALLEST_MEAN = 5.0, 4.0  # of magnitudes, of the most and the least frequent concept
_SPREAD = 0.5  # mean and standard deviation of the normal that their standard deviations are absolute values of

_ROWS_AT_ONCE = 4096  # samples that are drawn from one source of randomness
_MOST_TOGETHER = 0.99  # share of its firings in which a parent has one of the children that exclude each other
_MOST_COMMON = 0.95  # norm of a concept's loadings: something of its own is left
_FIXED_POINT_STEPS = 200  # with 8 trees of 4 children, frequencies are within 1e-9 of those after 5,000


class ConceptWorld:
    """A world of concepts in families, of Zipfian frequencies, that fire together more or less often than by chance.

    Activations of language models are thought to be like that; the world follows SynthSAEBench [1]_. The first
    ``n_trees`` concepts, which are the most frequent, are roots. Their children follow, then the children of these,
    down to ``depth``. All others have no family. A child fires only if its parent does, and of siblings at most one
    fires. Each concept fires as often as the power law wants, or as its parent has room for. Beyond that, firing
    depends on 25 common factors, by a Gaussian copula. Magnitudes are normal and clipped at 0. Their means fall from 5
    for the most frequent concept to 4 for the least; their standard deviations are drawn for each concept, as absolute
    values of a normal of mean and standard deviation 0.5.

    Parameters
    ----------
    n_components : int, default=1024
        Number of concepts.
    n_features : int, default=160
        Dimension of the samples.
    n_trees, n_children, depth : int, default=8, 4, 3
        Number of families; children of each parent; generations below a root.
    exclusive : bool, default=True
        Whether siblings exclude each other.
    scaled_by_parent : bool, default=False
        Whether the magnitude of a child is multiplied by that of its parent, in units of the parent's mean.
    exponent : float, default=0.5
        Of the power law of frequencies.
    most_frequent, least_frequent : float, default=0.4, 5e-4
        Frequencies of the first and the last concept.
    correlation : float, default=0.1
        Standard deviation of the loadings on each common factor; 0 for independent families.
    noise : float, default=0.0
        Standard deviation of Gaussian noise added to every feature.
    mean_norm : float, default=0.0
        Norm of a vector that is added to all samples.
    dtype : float32 or float64, default=float32
        Type of samples, codes and dictionary.
    random_state : int, RandomState instance or None, default=None
        Source of the world. Samples have a source of their own.

    Attributes
    ----------
    dictionary : ndarray of shape (n_components, n_features)
        Unit-norm directions of the concepts, a little more orthogonal than random ones.
    parents : ndarray of shape (n_components,), dtype int64
        Parent of each concept, -1 for none.
    frequencies : ndarray of shape (n_components,)
        Probability of each concept to have a code.
    mean : ndarray of shape (n_features,)
        What is added to all samples.

    References
    ----------
    .. [1] Chanin and Garriga-Alonso, "SynthSAEBench", arXiv:2602.14687, 2026. There, a compensation for parents and
       siblings holds frequencies approximately; here they are exact.

    Examples
    --------
    >>> from skcode.datasets import ConceptWorld
    >>> world = ConceptWorld(100, 30, n_trees=2, depth=2, random_state=0)
    >>> data = world.sample(1000, random_state=1)
    >>> data.X.shape, data.codes.shape
    ((1000, 30), (1000, 100))
    >>> world.parents[[0, 2, 6, 40]].tolist()
    [-1, 0, 1, 9]
    """

    @validate_params(
        {
            "self": "no_validation",
            "n_components": [integers_from(1)],
            "n_features": [integers_from(1)],
            "n_trees": [integers_from(0)],
            "n_children": [integers_from(1)],
            "depth": [integers_from(0)],
            "exclusive": ["boolean"],
            "scaled_by_parent": ["boolean"],
            "exponent": [real_from(0)],
            "most_frequent": [open_unit_interval()],
            "least_frequent": [open_unit_interval()],
            "correlation": [unit_interval()],
            "noise": [real_from(0)],
            "mean_norm": [real_from(0)],
            "dtype": "no_validation",
            "random_state": ["random_state"],
        },
        prefer_skip_nested_validation=True,
    )
    def __init__(
        self,
        n_components: int = 1024,
        n_features: int = 160,
        *,
        n_trees: int = 8,
        n_children: int = 4,
        depth: int = 3,
        exclusive: bool = True,
        scaled_by_parent: bool = False,
        exponent: float = 0.5,
        most_frequent: float = 0.4,
        least_frequent: float = 5e-4,
        correlation: float = 0.1,
        noise: float = 0.0,
        mean_norm: float = 0.0,
        dtype=np.float32,
        random_state=None,
    ):
        self.dtype = check_float_dtype(dtype)
        if least_frequent > most_frequent:
            raise ValueError(f"least_frequent={least_frequent} must be at most most_frequent={most_frequent}.")
        self.exclusive, self.scaled_by_parent, self.noise = exclusive, scaled_by_parent, noise
        rng = check_random_state(random_state)
        self.parents = _families(n_components, n_trees, n_children, depth)
        wanted = _zipfian(n_components, exponent, most_frequent, least_frequent)
        self._candidates, firing = _candidates(self.parents, wanted, exclusive)
        self._loadings = _loadings(self.parents, correlation, rng)
        self._means = np.linspace(_LARGEST_MEAN, _SMALLEST_MEAN, n_components)
        self._spreads = np.abs(_SPREAD + _SPREAD * rng.standard_normal(n_components))
        self.frequencies = firing * self._chance_of_a_code()
        with single_threaded_blas():
            self.dictionary = _atoms(n_components, n_features, rng).astype(self.dtype)
        self.mean = (mean_norm * unit_rows(rng.standard_normal((1, n_features)))[0]).astype(self.dtype)

    def _chance_of_a_code(self):
        """Return how likely the magnitudes of a concept that comes up, and of its ancestors, are all above 0."""
        chance = ndtr(self._means / self._spreads)
        for level in _levels(self.parents):
            chance[level] *= chance[self.parents[level]]
        return chance

    @validate_params(
        {"self": "no_validation", "n_samples": [integers_from(0)], "random_state": ["random_state"], "n_jobs": N_JOBS},
        prefer_skip_nested_validation=True,
    )
    def sample(self, n_samples: int, random_state=None, n_jobs: int | None = None) -> Bunch:
        """Return samples and their codes.

        Parameters
        ----------
        n_samples : int
            How many.
        random_state : int, RandomState instance or None, default=None
            Source of randomness; with another one, other samples of the same world.
        n_jobs : int, optional
            Threads; samples do not depend on it.

        Returns
        -------
        data : Bunch
            ``X`` of shape ``(n_samples, n_features)``, and ``codes``, CSR of shape ``(n_samples, n_components)``.
        """
        rng = check_random_state(random_state)
        seeds = rng.randint(2**31 - 1, size=max(-(-n_samples // _ROWS_AT_ONCE), 1))
        blocks = map_chunks(lambda part: self._draw(part, seeds), n_samples, _ROWS_AT_ONCE, n_jobs)
        X, codes = zip(*blocks, strict=True)
        return Bunch(X=np.concatenate(X), codes=sp.vstack(codes, format="csr"))

    def _draw(self, part, seeds):
        rng = np.random.default_rng(seeds[part.start // _ROWS_AT_ONCE])
        n_samples = part.stop - part.start
        codes = self._codes(n_samples, rng)
        X = codes @ self.dictionary + self.mean
        if self.noise > 0:
            X += (self.noise * rng.standard_normal(X.shape)).astype(self.dtype)
        return X, codes

    def _codes(self, n_samples, rng):
        bars = ndtri(1 - self._candidates).astype(np.float32)
        own = np.sqrt(1 - np.square(self._loadings).sum(axis=1)).astype(np.float32)
        loadings = self._loadings.astype(np.float32)
        first, counts = _children(self.parents)
        common = rng.standard_normal((n_samples, _N_FACTORS), dtype=np.float32)

        def come_up(drive, concepts):
            drive += own[concepts] * rng.standard_normal(drive.shape, dtype=np.float32)
            return drive > bars[concepts]

        def magnitudes(concepts, scale):
            drawn = self._means[concepts] + self._spreads[concepts] * rng.standard_normal(len(concepts))
            return np.maximum(drawn, 0) * scale

        without_parent = np.flatnonzero(self.parents < 0)
        rows, chosen = np.nonzero(come_up(common @ loadings[without_parent].T, without_parent))
        concepts = without_parent[chosen]
        found = [(rows, concepts, magnitudes(concepts, 1.0))]
        while True:
            rows, concepts, values = found[-1]
            places = np.flatnonzero((counts[concepts] > 0) & (values > 0))
            if not len(places):
                break
            rows, parents, values = rows[places], concepts[places], values[places]
            number = np.arange(counts[parents].max())
            is_child = number < counts[parents, None]
            children = np.where(is_child, first[parents, None] + number, 0)
            up = come_up(np.einsum("ik,ijk->ij", common[rows], loadings[children]), children) & is_child
            if self.exclusive:
                up &= number == np.where(up, rng.random(up.shape), -1.0).argmax(axis=1)[:, None]
            parent, child = np.nonzero(up)
            scale = values[parent] / self._means[parents[parent]] if self.scaled_by_parent else 1.0
            concepts = children[parent, child]
            found.append((rows[parent], concepts, magnitudes(concepts, scale)))
        rows, concepts, values = (np.concatenate(each) for each in zip(*found, strict=True))
        on = values > 0
        shape = n_samples, len(self.parents)
        return sp.csr_array((values[on].astype(self.dtype), (rows[on], concepts[on])), shape=shape)


def make_concept_world(n_samples: int = 60_000, n_test: int = 10_000, *, random_state=None, **options) -> Bunch:
    """Draw a `ConceptWorld`, and samples of it to learn from and to test on.

    Parameters
    ----------
    n_samples, n_test : int, default=60_000, 10_000
        Samples to learn from, and others.
    random_state : int, RandomState instance or None, default=None
        Source of the world and of its samples.
    **options
        Other parameters of `ConceptWorld`.

    Returns
    -------
    data : Bunch
        ``X_train``, ``X_test`` of shape ``(·, n_features)``; ``codes_train``, ``codes_test``, CSR of shape
        ``(·, n_components)``; and ``dictionary``, ``parents``, ``frequencies`` and ``mean`` of the world.

    Examples
    --------
    >>> from skcode.datasets import make_concept_world
    >>> data = make_concept_world(1000, 100, n_components=100, n_features=30, random_state=0)
    >>> data.X_train.shape, data.codes_test.shape
    ((1000, 30), (100, 100))
    """
    rng = check_random_state(random_state)
    world = ConceptWorld(**options, random_state=rng)
    train, test = (world.sample(size, random_state=rng) for size in (n_samples, n_test))
    return Bunch(
        X_train=train.X, codes_train=train.codes, X_test=test.X, codes_test=test.codes, dictionary=world.dictionary,
        parents=world.parents, frequencies=world.frequencies, mean=world.mean,
    )  # fmt: skip


def _families(n_components, n_trees, n_children, depth):
    """Return the parent of each concept, or -1: first all roots, then their children, tree by tree, and so on."""
    parents = np.full(n_components, -1)
    first, last = 0, min(n_trees, n_components)
    for _ in range(depth):
        stop = min(last + n_children * (last - first), n_components)
        parents[last:stop] = first + np.arange(stop - last) // n_children
        first, last = last, stop
    return parents


def _zipfian(n_components, exponent, most, least):
    """Return frequencies that fall like a power of the rank, from the most to the least."""
    shares = np.arange(1, n_components + 1) ** -exponent
    span = shares[0] - shares[-1]
    return least + (most - least) * (shares - shares[-1]) / span if span > 0 else np.full(n_components, most)


def _candidates(parents, wanted, exclusive):
    """Return how likely each concept is to come up where its parent fires, and how often it fires in the end.

    Of siblings that exclude each other and come up together, one is chosen at random. Each then fires in the share
    ``c_j E[1 / (1 + K_j)]`` of the firings of its parent, where ``K_j`` is the number of others that come up. The mean
    is the integral of ``prod_l (1 - c_l + c_l x)`` over the others ``l``, for ``x`` from 0 to 1.
    """
    candidates, frequencies = wanted.copy(), wanted.copy()
    for level in _levels(parents):
        members = level[np.lexsort((level, parents[level]))]
        starts = np.flatnonzero(np.diff(parents[members], prepend=-1))
        group = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(members)))
        place = np.arange(len(members)) - starts[group]
        share = np.zeros((len(starts), place.max() + 1))
        share[group, place] = np.minimum(wanted[members] / frequencies[parents[members]], 1.0)
        coming = share
        if exclusive:
            share *= np.minimum(1.0, _MOST_TOGETHER / share.sum(axis=1, keepdims=True))
            coming = share.copy()
            for _ in range(_FIXED_POINT_STEPS):
                coming = np.minimum(share / _chance_to_be_chosen(coming), 1.0)
            share = coming * _chance_to_be_chosen(coming)
        candidates[members] = coming[group, place]
        frequencies[members] = frequencies[parents[members]] * share[group, place]
    return candidates, frequencies


def _chance_to_be_chosen(candidates):
    """Return ``E[1 / (1 + K_j)]`` for each of the siblings in each row, exactly: a quadrature of a polynomial."""
    points, weights = np.polynomial.legendre.leggauss(candidates.shape[1] // 2 + 1)
    factors = 1 - candidates[:, :, None] * (1 - points) / 2
    return (factors.prod(axis=1, keepdims=True) / factors) @ weights / 2


def _children(parents):
    """Return the first child of each concept, and how many there are; they follow each other."""
    first, counts = np.zeros(len(parents), dtype=np.int64), np.zeros(len(parents), dtype=np.int64)
    children = np.flatnonzero(parents >= 0)
    first[parents[children[::-1]]] = children[::-1]
    np.add.at(counts, parents[children], 1)
    return first, counts


def _levels(parents):
    """Yield the concepts at depth 1, 2, and so on."""
    level = np.flatnonzero(np.isin(parents, np.flatnonzero(parents < 0)))
    while len(level):
        yield level
        level = np.flatnonzero(np.isin(parents, level))


def _loadings(parents, scale, rng):
    """Return how each concept depends on common factors, rows of norm below 1.

    Rows of a concept and of its ancestors and siblings are orthogonal, so that how often it fires where its parent does
    is known exactly.
    """
    loadings, first = scale * rng.standard_normal((len(parents), _N_FACTORS)), _children(parents)[0]
    for level in _levels(parents):
        elders = parents[level]
        while (elders >= 0).all():
            _take_off(loadings, level, elders)
            elders = parents[elders]
        place = level - first[parents[level]]
        for younger in range(1, place.max() + 1):
            for elder in range(younger):
                rows = level[place == younger]
                _take_off(loadings, rows, rows - (younger - elder))
    norms = np.linalg.norm(loadings, axis=1, keepdims=True)
    return loadings * np.minimum(1.0, _MOST_COMMON / np.maximum(norms, 1e-12))


def _take_off(loadings, rows, others):
    """Make some rows orthogonal to others."""
    inner = np.einsum("ij,ij->i", loadings[rows], loadings[others])
    squares = np.einsum("ij,ij->i", loadings[others], loadings[others])
    loadings[rows] -= np.divide(inner, squares, where=squares > 0, out=np.zeros_like(inner))[:, None] * loadings[others]


def _atoms(n_components, n_features, rng):
    """Return random unit atoms, made a little more orthogonal if there are more of them than features.

    The nearest tight frame, scaled to norm 1: its sum of squared cosines is within .03 % of the least there can be
    (1,024 atoms in 160 dimensions, 2,048 in 256; random atoms are 13 to 15 % above).
    """
    atoms = unit_rows(rng.standard_normal((n_components, n_features)))
    if n_components <= n_features:
        return atoms
    values, vectors = np.linalg.eigh(atoms.T @ atoms)
    return unit_rows(atoms @ (vectors / np.sqrt(values)) @ vectors.T)
