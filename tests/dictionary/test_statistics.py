import numpy as np
import pytest
import scipy.sparse as sp

from skcode.dictionary.statistics import Statistics, least_squares, updated


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_statistics_are_sums_that_fade(rng):
    codes = [sp.random_array((50, 12), density=0.2, rng=rng, format="csr") for _ in range(2)]
    X = [rng.standard_normal((50, 5)) for _ in range(2)]
    statistics = Statistics(12, 5, np.float64)
    statistics.absorb(codes[0], X[0])
    statistics.absorb(codes[1], X[1], memory=0.5)
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
    statistics.absorb(sp.csr_array(codes[:1]), np.ones((1, 2)))
    for _ in range(30):
        statistics.absorb(sp.csr_array(codes[1:]), np.ones((1, 2)), memory=0.5)
    assert statistics.A[0, 1] == 0
    assert statistics.A[0, 0] == pytest.approx(2, rel=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_update_lowers_the_quadratic_and_keeps_unused_atoms(rng, dtype):
    codes = rng.standard_normal((200, 30)) * (rng.random_sample((200, 30)) < 0.2)
    codes[:, 7] = 0
    X = rng.standard_normal((200, 10)).astype(dtype)
    atoms = unit(rng.standard_normal((30, 10))).astype(dtype)
    before = atoms
    statistics = Statistics(30, 10, dtype)
    statistics.absorb(sp.csr_array(codes.astype(dtype)), X)
    losses = [((X - codes @ atoms) ** 2).sum()]
    for _ in range(4):
        atoms = updated(atoms, statistics)
        losses.append(((X - codes @ atoms) ** 2).sum())
        np.testing.assert_allclose(np.linalg.norm(atoms, axis=1), 1, rtol=1e-5)
    assert (np.diff(losses) < 0).all()
    np.testing.assert_array_equal(atoms[7], before[7])


def test_update_finds_the_dictionary_of_true_codes(rng):
    codes = rng.random_sample((300, 20)) * (rng.random_sample((300, 20)) < 0.2)
    true = unit(rng.standard_normal((20, 9)))
    statistics = Statistics(20, 9, np.float64)
    statistics.absorb(sp.csr_array(codes), codes @ true)
    atoms = unit(rng.standard_normal((20, 9)))
    np.testing.assert_allclose(updated(atoms, statistics, 200), true, atol=1e-6)


def test_evidence_makes_atoms_as_firm_as_they_were(rng):
    """What is left in short has its minimum at the atoms, and a sample moves each by its share of the evidence."""
    codes = rng.random_sample((500, 12)) * (rng.random_sample((500, 12)) < 0.2)
    atoms = unit(rng.standard_normal((12, 8)))
    statistics = Statistics(12, 8, np.float64)
    statistics.absorb(sp.csr_array(codes), codes @ atoms)
    short = Statistics.around(atoms, statistics.evidence)
    assert short.n_samples == 500
    np.testing.assert_allclose(updated(atoms, short), atoms, atol=1e-12)
    one = np.zeros((1, 12))
    one[0, 3] = 2.0
    x = 2.0 * atoms[[3]] + 0.1 * unit(rng.standard_normal((1, 8)))
    moved = []
    for each in (statistics, short):
        each.absorb(sp.csr_array(one), x)
        moved.append(updated(atoms, each) - atoms)
    np.testing.assert_allclose(moved[0], moved[1], atol=2e-3)
    assert np.abs(moved[1][3]).max() > 1e-4
    np.testing.assert_allclose(np.delete(moved[1], 3, axis=0), 0, atol=1e-12)


def test_a_copy_goes_on_on_its_own(rng):
    statistics = Statistics(3, 2, np.float64)
    copied = statistics.copy()
    copied.absorb(sp.csr_array(np.ones((1, 3))), np.ones((1, 2)))
    assert not statistics.A.any()
    assert statistics.n_samples == 0 < copied.n_samples


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_least_squares_goes_all_the_way_where_atoms_always_come_together(rng, dtype):
    truth = rng.standard_normal((3, 12))
    truth /= np.linalg.norm(truth, axis=1, keepdims=True)
    codes = rng.uniform(4, 5, (500, 3)) * (rng.random((500, 3)) < [0.9, 0.4, 0.5])
    codes[:, 1] *= codes[:, 0] > 0  # never without the first
    leaning = truth + [[0.0], [0.6], [0.0]] * truth[0]
    X = (codes @ truth).astype(dtype)
    found, shift = least_squares(X, sp.csr_array(codes.astype(dtype)), leaning.astype(dtype), recentres=False)
    assert found.dtype == shift.dtype == dtype
    assert not shift.any()
    np.testing.assert_array_less(0.9999, np.einsum("ij,ij->i", found, truth))


def test_what_all_samples_share_is_an_atom_that_is_always_on(rng):
    truth = np.linalg.qr(rng.standard_normal((12, 4)))[0].T
    codes = rng.uniform(4, 5, (500, 3)) * (rng.random((500, 3)) < 0.4)
    X = codes @ truth[:3] + 7 * truth[3]
    found, shift = least_squares(X, sp.csr_array(codes), truth[:3], recentres=True)
    np.testing.assert_allclose(shift, 7 * truth[3], atol=0.05)
    np.testing.assert_allclose(found, truth[:3], atol=0.01)


def test_atoms_without_any_code_stay(rng):
    atoms = np.eye(3)
    found, _ = least_squares(np.ones((5, 3)), sp.csr_array((5, 3)), atoms, recentres=False)
    np.testing.assert_array_equal(found, atoms)
