import numpy as np
import pytest
import scipy.sparse as sp

from skcode.dictionary.atoms import (
    Statistics,
    directions_of,
    explained_by_others,
    redundancy_threshold,
    redundant_atoms,
    update_atoms,
)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_statistics_are_sums_that_fade(rng):
    codes = [sp.random_array((50, 12), density=0.2, rng=rng, format="csr") for _ in range(2)]
    X = [rng.standard_normal((50, 5)) for _ in range(2)]
    statistics = Statistics(12, 5, np.float64)
    statistics.add(codes[0], X[0])
    statistics.fade(0.5)
    statistics.add(codes[1], X[1])
    one, two = (each.toarray() for each in codes)
    np.testing.assert_allclose(statistics.A, 0.5 * one.T @ one + two.T @ two, atol=1e-12)
    np.testing.assert_allclose(statistics.B, 0.5 * one.T @ X[0] + two.T @ X[1], atol=1e-12)
    statistics.forget(np.array([3]))
    for cleared in (statistics.A[3], statistics.A[:, 3], statistics.B[3]):
        assert not cleared.any()
    assert statistics.A[4, 4] > 0


def test_what_has_faded_is_dropped(rng):
    codes = np.zeros((2, 3))
    codes[0, :2], codes[1, 0] = 1.0, 1.0
    statistics = Statistics(3, 2, np.float64)
    statistics.add(sp.csr_array(codes[:1]), np.ones((1, 2)))
    for _ in range(30):
        statistics.fade(0.5)
        statistics.add(sp.csr_array(codes[1:]), np.ones((1, 2)))
    assert statistics.A[0, 1] == 0
    assert statistics.A[0, 0] == pytest.approx(2, rel=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_update_lowers_the_quadratic_and_keeps_unused_atoms(rng, dtype):
    codes = rng.standard_normal((200, 30)) * (rng.random_sample((200, 30)) < 0.2)
    codes[:, 7] = 0
    X = rng.standard_normal((200, 10)).astype(dtype)
    atoms = unit(rng.standard_normal((30, 10))).astype(dtype)
    before = atoms.copy()
    statistics = Statistics(30, 10, dtype)
    statistics.add(sp.csr_array(codes.astype(dtype)), X)
    losses = [((X - codes @ atoms) ** 2).sum()]
    for _ in range(4):
        update_atoms(atoms, statistics)
        losses.append(((X - codes @ atoms) ** 2).sum())
        np.testing.assert_allclose(np.linalg.norm(atoms, axis=1), 1, rtol=1e-5)
    assert (np.diff(losses) < 0).all()
    np.testing.assert_array_equal(atoms[7], before[7])


def test_update_finds_the_dictionary_of_true_codes(rng):
    codes = rng.random_sample((300, 20)) * (rng.random_sample((300, 20)) < 0.2)
    true = unit(rng.standard_normal((20, 9)))
    statistics = Statistics(20, 9, np.float64)
    statistics.add(sp.csr_array(codes), codes @ true)
    atoms = unit(rng.standard_normal((20, 9)))
    update_atoms(atoms, statistics, 200)
    np.testing.assert_allclose(atoms, true, atol=1e-6)


@pytest.mark.parametrize("positive", [True, False])
def test_duplicates_mixtures_and_unused_atoms_are_redundant_and_no_others(rng, positive):
    atoms = unit(rng.standard_normal((60, 40)))
    usage = rng.uniform(50, 100, 60)
    atoms[3] = unit((atoms[10] + 0.2 * atoms[11])[None])[0]
    usage[3] = 40  # of the two, the one used less
    atoms[4] = unit((atoms[20] + atoms[21])[None])[0]
    usage[4] = 500  # a mixture goes, however much it is used
    usage[5] = 0
    threshold = redundancy_threshold(60, 40, positive=positive)
    gone, share = redundant_atoms(atoms, usage, threshold, positive=positive)
    np.testing.assert_array_equal(gone, [3, 4, 5])
    np.testing.assert_allclose(share, 1, atol=1e-6)
    worth_more = np.full(60, threshold)
    worth_more[[3, 10, 11]] = 1.01
    np.testing.assert_array_equal(redundant_atoms(atoms, usage, worth_more, positive=positive)[0], [4, 5])


def test_opposite_atoms_are_redundant_for_signed_codes_only(rng):
    atoms = unit(rng.standard_normal((20, 30)))
    atoms[1] = -atoms[0]
    usage = np.arange(1, 21)
    for positive, expected in ((True, []), (False, [0])):
        np.testing.assert_array_equal(redundant_atoms(atoms, usage, 0.9, positive=positive)[0], expected)


def test_share_explained_is_that_of_least_squares(rng):
    atoms = unit(rng.standard_normal((30, 12)))
    share, explainers = explained_by_others(atoms, np.ones(30, bool), positive=False)
    for j in range(30):
        basis = atoms[explainers[j][explainers[j] >= 0]]
        assert j not in explainers[j]
        fit = np.linalg.lstsq(basis.T, atoms[j], rcond=None)[0] @ basis
        assert share[j] == pytest.approx(fit @ atoms[j], abs=1e-6)


def test_threshold_stays_above_chance():
    thresholds = [redundancy_threshold(100, m, positive=True) for m in (4, 10, 200)]
    assert 1 > thresholds[0] > thresholds[1] > thresholds[2] == 0.55


@pytest.mark.parametrize("positive", [True, False])
def test_directions_are_those_that_residuals_share(rng, positive):
    true = unit(rng.standard_normal((3, 30)))
    strength = (rng.random_sample((400, 3)) < 0.1) * [2.0, 1.5, 1.0]
    if not positive:
        strength *= rng.choice([-1, 1], strength.shape)
    residuals = strength @ true + 0.02 * rng.standard_normal((400, 30))
    found, explained = directions_of(residuals, 3, positive=positive)
    assert (np.abs(found @ true.T).max(axis=0) > 0.95).all()
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1)
    order = np.abs(found @ true.T).argmax(axis=1)
    np.testing.assert_allclose(explained, (strength**2).sum(axis=0)[order], rtol=0.25)
    assert directions_of(np.zeros((5, 4)), 2, positive=positive)[0].shape == (0, 4)
    tiny, _ = directions_of((1e-12 * residuals).astype(np.float32), 3, positive=positive)
    np.testing.assert_allclose(tiny, found, atol=1e-5)
