import numpy as np
import pytest

from skcode.dictionary.redundancy import directions_of, explained_by_others, redundancy_threshold, redundant_atoms
from skcode.dictionary.schedule import Redundancy

RULE = Redundancy()


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("positive", [True, False])
def test_duplicates_mixtures_and_unused_atoms_are_redundant_and_no_others(rng, positive):
    atoms = unit(rng.standard_normal((60, 40)))
    usage = rng.uniform(50, 100, 60)
    atoms[3] = unit((atoms[10] + 0.2 * atoms[11])[None])[0]
    usage[3] = 40  # of the two, the one used less
    atoms[4] = unit((atoms[20] + atoms[21])[None])[0]
    usage[4] = 500  # a mixture goes, however much it is used
    usage[5] = 0
    threshold = redundancy_threshold(60, 40, RULE, positive=positive)
    gone, share = redundant_atoms(atoms, usage, threshold, RULE, positive=positive)
    np.testing.assert_array_equal(gone, [3, 4, 5])
    np.testing.assert_allclose(share[:2], 1, atol=1e-6)
    assert share[2] == 0  # unused, but nothing like the others
    worth_more = np.full(60, threshold)
    worth_more[[3, 10, 11]] = 1.01
    np.testing.assert_array_equal(redundant_atoms(atoms, usage, worth_more, RULE, positive=positive)[0], [4, 5])


def test_opposite_atoms_are_redundant_for_signed_codes_only(rng):
    atoms = unit(rng.standard_normal((20, 30)))
    atoms[1] = -atoms[0]
    usage = np.arange(1, 21)
    for positive, expected in ((True, []), (False, [0])):
        np.testing.assert_array_equal(redundant_atoms(atoms, usage, 0.9, RULE, positive=positive)[0], expected)


def test_share_explained_is_that_of_least_squares(rng):
    atoms = unit(rng.standard_normal((30, 12)))
    share, explainers = explained_by_others(atoms, RULE, positive=False)
    for j in range(30):
        basis = atoms[explainers[j][explainers[j] >= 0]]
        assert j not in explainers[j]
        fit = np.linalg.lstsq(basis.T, atoms[j], rcond=None)[0] @ basis
        assert share[j] == pytest.approx(fit @ atoms[j], abs=1e-6)


def test_threshold_stays_above_chance():
    thresholds = [redundancy_threshold(100, m, RULE, positive=True) for m in (4, 10, 200)]
    assert 1 > thresholds[0] > thresholds[1] > thresholds[2] == 0.55


@pytest.mark.parametrize("positive", [True, False])
def test_directions_are_those_that_residuals_share(rng, positive):
    true = unit(rng.standard_normal((3, 30)))
    strength = (rng.random_sample((400, 3)) < 0.1) * [2.0, 1.5, 1.0]
    if not positive:
        strength *= rng.choice([-1, 1], strength.shape)
    residuals = strength @ true + 0.02 * rng.standard_normal((400, 30))
    found, explained = directions_of(residuals, 3, RULE, positive=positive)
    assert (np.abs(found @ true.T).max(axis=0) > 0.95).all()
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1)
    order = np.abs(found @ true.T).argmax(axis=1)
    np.testing.assert_allclose(explained, (strength**2).sum(axis=0)[order], rtol=0.25)
    assert directions_of(np.zeros((5, 4)), 2, RULE, positive=positive)[0].shape == (0, 4)
    tiny, _ = directions_of((1e-12 * residuals).astype(np.float32), 3, RULE, positive=positive)
    np.testing.assert_allclose(tiny, found, atol=1e-5)
