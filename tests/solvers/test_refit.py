import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import nnls

from skcode._lasso import residual
from skcode.solvers import refit, working_set
from skcode.solvers._direct import direct_room, solve_directly


@pytest.mark.parametrize("positive", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_is_least_squares_on_the_support(shift, positive, dtype):
    X, dictionary = shift.X_train[:60].astype(dtype), shift.dictionary.astype(dtype)
    codes = working_set(X, dictionary, 0.1, positive=positive).codes
    refitted = refit(X, codes, dictionary, positive=positive)
    assert refitted.dtype == dtype
    for x, before, after in zip(X.astype(np.float64), codes, refitted, strict=True):
        support = np.flatnonzero(before)
        atoms = shift.dictionary[support].T
        expected = nnls(atoms, x)[0] if positive else np.linalg.lstsq(atoms, x)[0]
        np.testing.assert_allclose(after[support], expected, atol=2e-5 if dtype == np.float32 else 1e-10)
        assert not np.delete(after, support).any()


def test_removes_shrinkage_and_never_fits_worse(shift):
    codes = working_set(shift.X_train, shift.dictionary, 0.1).codes
    refitted = refit(shift.X_train, codes, shift.dictionary)
    true = shift.codes_train
    assert np.abs(refitted - true).mean() < 0.5 * np.abs(codes - true).mean()
    error = [np.linalg.norm(residual(shift.X_train, z, shift.dictionary), axis=1) for z in (codes, refitted)]
    assert (error[1] <= error[0] + 1e-12).all()


def test_sparse_stays_sparse_and_offset_is_subtracted(shift):
    codes = working_set(shift.X_train, shift.dictionary, 0.1, sparse_output=True).codes
    expected = refit(shift.X_train, codes.toarray(), shift.dictionary)
    moved = refit(shift.X_train + 1, codes, shift.dictionary, offset=np.ones(shift.X_train.shape[1]), n_jobs=2)
    assert sp.issparse(moved)
    np.testing.assert_allclose(moved.toarray(), expected, atol=1e-9)


def test_dependent_atoms_and_empty_supports_are_no_obstacle():
    dictionary = np.array([[1.0, 0], [1, 0], [0, 1], [0, 0]])
    X = np.array([[2.0, 3], [0, 0]])
    refitted = refit(X, np.array([[0.5, 0.5, 1, 0.3], [0, 0, 0, 0]]), dictionary)
    np.testing.assert_allclose(refitted @ dictionary, X, atol=1e-12)


def test_a_code_that_would_turn_negative_becomes_zero():
    dictionary = np.array([[1.0, 0], [0.8, 0.6]])
    np.testing.assert_allclose(refit(np.array([[1.0, -0.5]]), np.array([[0.5, 0.1]]), dictionary), [[1, 0]])
    signed = refit(np.array([[1.0, -0.5]]), np.array([[0.5, 0.1]]), dictionary, positive=False)
    np.testing.assert_allclose(signed @ dictionary, [[1, -0.5]], atol=1e-12)


@pytest.mark.parametrize("positive", [True, False])
@pytest.mark.parametrize("apart", [0.0, 1e-5, 1e-3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dependent_atoms_never_make_it_worse(positive, apart, dtype):
    rng = np.random.RandomState(0)
    atoms = np.repeat(rng.standard_normal((30, 12)), 2, axis=0)
    atoms[::2] += apart * rng.standard_normal((30, 12))
    atoms = (atoms / np.linalg.norm(atoms, axis=1, keepdims=True)).astype(dtype)
    X = rng.standard_normal((60, 12)).astype(dtype)
    codes = working_set(X, atoms, 0.02, positive=positive).codes
    refitted = refit(X, codes, atoms, positive=positive)
    error = [np.linalg.norm(residual(X, z, atoms), axis=1) for z in (codes, refitted)]
    assert (error[1] <= error[0] * (1 + 1e-6)).all()
    assert np.abs(refitted).max() < 1e6


def test_leaves_its_input_alone():
    codes = sp.csr_array([[0.5, 0.1, 0], [0, 0.2, 0.3]])
    expected = codes.toarray()
    refit(np.array([[1, -0.5], [1, 1]]), codes, np.array([[1, 0], [0.8, 0.6], [0, 1]]))
    np.testing.assert_array_equal(codes.toarray(), expected)


@pytest.mark.parametrize("positive", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_only_the_support_of_given_codes_counts_however_large_they_are(shift, positive, dtype):
    X, dictionary = shift.X_train[:20].astype(dtype), shift.dictionary.astype(dtype)
    codes = working_set(X, dictionary, 0.1).codes
    expected = refit(X, codes, dictionary, positive=positive)
    for size in 1e-12, 1e12:
        again = refit(X, (size * codes).astype(dtype), dictionary, positive=positive)
        np.testing.assert_allclose(again, expected, atol=1e-6 if dtype == np.float32 else 1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_huge_codes_of_atoms_that_explain_nothing_do_not_come_back(rng, dtype):
    for _ in range(30):
        dictionary = rng.standard_normal((6, 12))
        basis, _ = np.linalg.qr(dictionary.T)
        x = rng.standard_normal(12)
        for _ in range(2):
            x -= basis @ (basis.T @ x)
        refitted = refit(x[None].astype(dtype), np.full((1, 6), 1e8, dtype), dictionary.astype(dtype), positive=False)
        assert np.abs(refitted).max() < 1e-5


@pytest.mark.parametrize(("positive", "alpha"), [(True, 0.0), (True, 0.5), (False, 0.5)])
def test_no_member_is_listed_twice(positive, alpha):
    """A step of full length may take an active code to zero exactly. There is no room to take it in again."""
    room = direct_room(8, 4)
    room.gram[0, 0], room.codes[0], room.slope[0], room.active[:] = 1.0, 1.0, alpha - 1.0, 99
    solve_directly(1, room, 1e-6, -1.0, alpha, positive)  # correlations above -1 are no rounding here
    assert room.codes[0] == 0
    assert (room.active[1:] == 99).all()
