"""Whether atoms stand for concepts: which one each is about, whether its code tells when that fires, absorption."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from sklearn.utils import Bunch

from .._norms import unit_rows
from .._validation import ArrayLike, MatrixLike, check_array, check_codes, check_dictionary, validate_params
from ._inputs import check_same_length
from ._ratios import mean, ratio
from .dictionary import match_dictionaries

_FOUR = {
    "components_true": ["array-like"],
    "components_learned": ["array-like"],
    "codes_true": ["array-like", "sparse matrix"],
    "codes_pred": ["array-like", "sparse matrix"],
}


@validate_params(_FOUR, prefer_skip_nested_validation=True)
def concept_scores(
    components_true: ArrayLike, components_learned: ArrayLike, codes_true: MatrixLike, codes_pred: MatrixLike
) -> Bunch:
    """How well each learned atom tells when its best concept fires.

    The best concept of an atom is the one whose direction has the largest absolute cosine with it; several atoms may
    have the same. A code that is not zero claims that the concept fires. These are the scores of SynthSAEBench [1]_.

    Parameters
    ----------
    components_true : array-like of shape (n_concepts, n_features)
        Directions of the concepts in rows.
    components_learned : array-like of shape (n_components, n_features)
        Learned atoms in rows. Atoms of zeros are left out.
    codes_true : {array-like, CSR} of shape (n_samples, n_concepts)
        True codes; a concept fires where its code is not zero.
    codes_pred : {array-like, CSR} of shape (n_samples, n_components)
        Codes over the learned atoms.

    Returns
    -------
    scores : Bunch
        Means over the atoms that are not zero:

        - ``precision``, ``recall``, ``f1``: share of the samples with a code of the atom in which its concept fires,
          share of the samples in which the concept fires that have a code of the atom, and their harmonic mean; 0
          where a denominator is
        - ``chance_precision``, ``chance_recall``, ``chance_f1``: the same for codes that are shuffled among samples
        - ``uniqueness``: number of different best concepts over the number of atoms
        - ``matched_cosine``: mean absolute cosine of atoms and concepts that are matched one to one
        - ``chance_cosine``: that of a random dictionary

        and of each atom: ``concepts``, ndarray of shape (n_components,), its best concept, -1 for an atom of zeros;
        ``f1_per_atom``, ndarray of the same shape, NaN there.

    See Also
    --------
    absorption_scores : How much of their parents' part children take over.
    match_dictionaries : The directions alone.

    References
    ----------
    .. [1] Chanin and Garriga-Alonso, "SynthSAEBench", arXiv:2602.14687, 2026. Its "MCC" is ``matched_cosine``.

    Examples
    --------
    >>> import numpy as np
    >>> from skcode.metrics import concept_scores
    >>> codes = np.array([[1.0, 0.0], [2.0, 1.0], [0.0, 3.0], [0.0, 0.0]])
    >>> scores = concept_scores(np.eye(2), [[0.0, 1.0], [0.9, 0.1]], codes, codes[:, ::-1])
    >>> scores.concepts.tolist(), scores.f1, scores.chance_f1, scores.uniqueness
    ([1, 0], 1.0, 0.5, 1.0)
    """
    true, learned, fires, claims = _checked(components_true, components_learned, codes_true, codes_pred)
    used = learned.any(axis=1)
    concepts = np.full(len(learned), -1)
    concepts[used] = _best_concepts(true, learned[used])
    both, claimed, actual = _counts(fires[:, concepts[used]], claims[:, used])
    precision, recall = ratio(both, claimed), ratio(both, actual)
    by_chance = claimed / fires.shape[0], actual / fires.shape[0]
    f1_per_atom = np.full(len(learned), np.nan)
    f1_per_atom[used] = _harmonic_mean(precision, recall)
    match = match_dictionaries(true, learned)
    return Bunch(
        precision=mean(precision),
        recall=mean(recall),
        f1=mean(f1_per_atom[used]),
        chance_precision=mean(by_chance[1]),
        chance_recall=mean(by_chance[0]),
        chance_f1=mean(_harmonic_mean(*by_chance)),
        uniqueness=float(len(np.unique(concepts[used])) / used.sum()) if used.any() else float("nan"),
        matched_cosine=match.mean_cosine,
        chance_cosine=match.chance_cosine,
        concepts=concepts,
        f1_per_atom=f1_per_atom,
    )


@validate_params(_FOUR | {"parents": ["array-like"]}, prefer_skip_nested_validation=True)
def absorption_scores(
    components_true: ArrayLike,
    components_learned: ArrayLike,
    codes_true: MatrixLike,
    codes_pred: MatrixLike,
    parents: ArrayLike,
) -> Bunch:
    """How far atoms of children take over the part of their parents, where families are known.

    A concept that fires only with its parent can be coded by one atom for both, at the price of one code instead of
    two. The parent's own atom is then silent where it should not be.

    Parameters
    ----------
    components_true, components_learned, codes_true, codes_pred
        As for `concept_scores`.
    parents : array-like of shape (n_concepts,), dtype int
        The parent of each concept, -1 for none, as in `skcode.datasets.ConceptWorld`.

    Returns
    -------
    scores : Bunch
        - ``absorbed``: share of the samples in which a child and its parent fire that have no code of the parent's
          atom, mean over pairs of a child and a parent that have an atom each. An atom of a concept is the one of
          largest absolute cosine among those whose best concept it is
        - ``ancestor_weight``: the best combination of the directions of an atom's best concept and of its ancestors has
          this share of its squared coefficients on the ancestors, mean over atoms whose best concept has any
        - ``n_pairs``, ``n_atoms``: how many pairs and atoms that is; the means are NaN if there are none

    See Also
    --------
    concept_scores : How well atoms tell when concepts fire.

    References
    ----------
    .. [1] Chanin et al., "A is for Absorption", arXiv:2409.14507, 2024. Its effect, measured on known families.

    Examples
    --------
    >>> import numpy as np
    >>> from skcode.metrics import absorption_scores
    >>> codes = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 1.0]])  # the second fires with the first only
    >>> family = [[1.0, 0.0], [0.6, 0.8]]  # the second atom holds some of the first
    >>> scores = absorption_scores(np.eye(2), family, codes, [[1, 0], [0, 1], [0.4, 1]], [-1, 0])
    >>> scores.absorbed, round(scores.ancestor_weight, 2)
    (0.5, 0.36)
    """
    true, learned, fires, claims = _checked(components_true, components_learned, codes_true, codes_pred)
    parents = _check_parents(parents, len(true))
    used = np.flatnonzero(learned.any(axis=1))
    concepts = _best_concepts(true, learned[used])
    atoms = unit_rows(learned[used])
    cosines = np.abs(np.einsum("ij,ij->i", atoms, true[concepts]))
    of_concept = np.full(len(true), -1)  # the atom of each concept: the last one assigned has the largest cosine
    order = np.argsort(cosines, kind="stable")
    of_concept[concepts[order]] = used[order]
    children = np.flatnonzero((parents >= 0) & (of_concept >= 0))
    children = children[of_concept[parents[children]] >= 0]
    elders = parents[children]
    together = fires[:, children].multiply(fires[:, elders])
    heard = together.multiply(claims[:, of_concept[elders]])
    n_together, n_heard = (np.asarray(each.sum(axis=0)).ravel() for each in (together, heard))
    some = n_together > 0
    weights = [
        _ancestor_weight(atom, true, concept, parents)
        for atom, concept in zip(atoms, concepts, strict=True)
        if parents[concept] >= 0
    ]
    return Bunch(
        absorbed=mean(1 - n_heard[some] / n_together[some]),
        ancestor_weight=mean(weights),
        n_pairs=int(some.sum()),
        n_atoms=len(weights),
    )


def _checked(components_true, components_learned, codes_true, codes_pred):
    """Return unit directions, learned atoms, and where concepts fire and codes claim so, as CSR of zeros and ones."""
    true = unit_rows(check_dictionary(components_true, name="components_true").astype(np.float64))
    learned = check_dictionary(components_learned, true.shape[1], name="components_learned").astype(np.float64)
    codes_true, codes_pred = check_codes(codes_true, "codes_true"), check_codes(codes_pred, "codes_pred")
    check_same_length(codes_true=codes_true, codes_pred=codes_pred)
    for name, codes, kind, atoms in (
        ("codes_true", codes_true, "components_true", true),
        ("codes_pred", codes_pred, "components_learned", learned),
    ):
        if codes.shape[1] != len(atoms):
            raise ValueError(f"{name} must hold codes over the {len(atoms)} of {kind}, got {codes.shape[1]} columns.")
    return true, learned, *(sp.csr_array(codes != 0).astype(np.int64) for codes in (codes_true, codes_pred))


def _check_parents(parents, n_concepts):
    parents = check_array(parents, dtype=None, ensure_2d=False, input_name="parents")
    if parents.shape != (n_concepts,) or parents.dtype.kind not in "iu":
        raise ValueError(f"parents must be {n_concepts} integers, got {parents.dtype} of shape {parents.shape}.")
    if parents.max() >= n_concepts or parents.min() < -1:
        raise ValueError(f"parents must be concepts from 0 to {n_concepts - 1}, or -1 for none.")
    above = parents
    for _ in range(n_concepts):
        above = np.where(above >= 0, parents[above], -1)
        if (above < 0).all():
            return parents
    raise ValueError("parents must not lead in a circle.")


def _best_concepts(true, learned):
    return np.abs(unit_rows(learned) @ true.T).argmax(axis=1)


def _ancestor_weight(atom, true, concept, parents):
    family = [concept]
    while parents[family[-1]] >= 0:
        family.append(parents[family[-1]])
    squares = np.square(np.linalg.lstsq(true[family].T, atom)[0])
    return float(squares[1:].sum() / squares.sum())


def _counts(fires, claims):
    return tuple(np.asarray(each.sum(axis=0)).ravel() for each in (fires.multiply(claims), claims, fires))


def _harmonic_mean(first, second):
    return ratio(2 * first * second, first + second)
