import importlib
import pickle
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from joblib import parallel_config
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Lasso

from skcode import FISTACoder
from skcode._lasso import alpha_max, duality_gap, objective
from skcode.solvers import PreparedDictionary, Status, fista, working_set
from skcode.solvers import _prepared as prepared_module
from skcode.solvers._round import finish_on_gram, make_round
from skcode.solvers.fista import solve_chunk

module = importlib.import_module("skcode.solvers.working_set")  # the package has the function under that name


@st.composite
def problems(draw):
    """Draw samples and a dictionary with zero, duplicate, scaled and coherent atoms."""
    rng = np.random.RandomState(draw(st.integers(0, 2**31 - 1)))
    n_features, n_components = draw(st.integers(1, 40)), draw(st.integers(1, 120))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    atoms = rng.standard_normal((n_components, n_features))
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    family = rng.randint(0, n_components, n_components)
    mixing = draw(st.sampled_from([0.0, 0.5, 0.95, 1.0]))  # 1 makes duplicates
    atoms = mixing * atoms[family] + (1 - mixing) * atoms
    atoms *= 10.0 ** rng.uniform(-1, 1, (n_components, 1)) if draw(st.booleans()) else 1
    atoms[rng.random_sample(n_components) < 0.1] = 0
    codes = rng.standard_normal((12, n_components)) * (rng.random_sample((12, n_components)) < 0.1)
    X = codes @ atoms + 0.05 * rng.standard_normal((12, n_features))
    X[0] = 0
    positive = draw(st.booleans())
    share = draw(st.sampled_from([1e-3, 0.03, 0.3, 0.99, 1.5]))
    alpha = share * max(float(np.median(alpha_max(X, atoms, positive))), 1e-3)
    return X.astype(dtype), atoms.astype(dtype), alpha, positive


@given(problems())
def test_gap_recomputed_in_float64_is_at_most_tol_and_what_was_reported(problem):
    X, dictionary, alpha, positive = problem
    tol = 1e-4 if X.dtype == np.float32 else 1e-8
    result = working_set(X, dictionary, alpha, positive=positive, tol=tol)
    gap = duality_gap(X, result.codes, dictionary, alpha, positive)
    assert gap.max() <= tol
    np.testing.assert_allclose(result.dual_gap, gap, rtol=1e-3, atol=1e-13)
    assert result.codes.dtype == X.dtype
    assert not positive or (result.codes >= 0).all()
    assert not result.codes[:, (dictionary == 0).all(axis=1)].any()


@given(problems(), st.sampled_from([1, 2, 1000]))
def test_every_miss_is_warned_of_whatever_the_threads_and_the_format(problem, max_iter):
    X, dictionary, alpha, positive = problem
    X = np.tile(X, (12, 1))  # more than one block
    results = []
    for n_jobs, sparse_output in [(1, False), (2, True)]:
        coder = FISTACoder(
            dictionary, alpha=alpha, positive=positive, max_iter=max_iter, n_jobs=n_jobs, sparse_output=sparse_output
        )
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("ignore", UserWarning)  # of dictionaries of zeros
            warnings.simplefilter("always", ConvergenceWarning)
            coder.fit(X)
            caught.clear()
            results.append(coder.codes(X))
        missed = (duality_gap(X, sp.csr_array(results[-1].codes).toarray(), dictionary, alpha, positive) > 1e-4).sum()
        assert [str(w.message).split(" samples missed")[0] for w in caught] == ([f"{missed} of 144"] if missed else [])
    dense, csr = results
    np.testing.assert_array_equal(csr.codes.toarray(), dense.codes)
    np.testing.assert_array_equal(csr.dual_gap, dense.dual_gap)
    np.testing.assert_array_equal(csr.n_iter, dense.n_iter)


@given(problems(), st.integers(0, 2**31 - 1))
def test_equivariant_under_permutation_and_scaling(problem, seed):
    X, dictionary, alpha, positive = problem
    order = np.random.RandomState(seed).permutation(len(dictionary))
    options = {"positive": positive, "tol": 1e-6}
    X, dictionary = X.astype(np.float64), dictionary.astype(np.float64)

    def value(result, X, dictionary, alpha):
        return objective(X, result.codes, dictionary, alpha, positive)

    plain = value(working_set(X, dictionary, alpha, **options), X, dictionary, alpha)
    energy = 0.5 * (X**2).sum(axis=1)
    permuted = value(working_set(X, dictionary[order], alpha, **options), X, dictionary[order], alpha)
    assert (np.abs(permuted - plain) <= 1e-6 * energy).all()
    scaled = value(working_set(4 * X, dictionary, 4 * alpha, **options), 4 * X, dictionary, 4 * alpha)
    assert (np.abs(scaled / 16 - plain) <= 1e-6 * energy).all()
    longer = value(working_set(X, 2 * dictionary, 2 * alpha, **options), X, 2 * dictionary, 2 * alpha)
    assert (np.abs(longer - plain) <= 1e-6 * energy).all()


@given(problems())
def test_agrees_with_fista(problem):
    X, dictionary, alpha, positive = problem
    if alpha < 0.02 * alpha_max(X, dictionary, positive).max():
        alpha *= 30  # FISTA takes too long for a test
    tol = 1e-4
    ours, textbook = (
        objective(
            X, solve(X, dictionary, alpha, positive=positive, tol=tol, max_iter=3000).codes, dictionary, alpha, positive
        )
        for solve in (working_set, fista)
    )
    assert (ours <= textbook + tol * 0.5 * (X.astype(np.float64) ** 2).sum(axis=1)).all()


@pytest.mark.parametrize("positive", [True, False])
@pytest.mark.parametrize("with_gram", [True, False])
def test_agrees_with_lasso(shift, positive, with_gram, monkeypatch):
    if not with_gram:
        monkeypatch.setattr(prepared_module, "_CACHED_GRAM_BYTES", 0)
    result = working_set(shift.X_train, shift.dictionary, 0.1, positive=positive, tol=1e-12)
    n_features = shift.X_train.shape[1]
    for x, z in zip(shift.X_train[:20], result.codes, strict=False):
        lasso = Lasso(0.1 / n_features, fit_intercept=False, positive=positive, tol=1e-14, max_iter=100_000)
        np.testing.assert_allclose(z, lasso.fit(shift.dictionary.T, x).coef_, atol=1e-6)
    assert result.n_iter.max() <= 8


def test_largest_alpha_gives_zero_codes_without_a_round(shift):
    X = shift.X_train[:50]
    alpha = float(alpha_max(X, shift.dictionary, True).max())
    result = working_set(X, shift.dictionary, alpha * (1 + 1e-12), sparse_output=True)
    assert result.codes.nnz == 0
    assert result.n_iter.max() == 0
    assert result.dual_gap.max() < 1e-12


@pytest.mark.parametrize("n_samples", [1, 3, 700])
def test_bits_do_not_depend_on_n_jobs_and_csr_equals_dense(n_samples):
    rng = np.random.RandomState(0)
    dictionary = rng.standard_normal((300, 40)).astype(np.float32)
    X = (rng.random_sample((n_samples, 5)) @ dictionary[rng.randint(0, 300, 5)]).astype(np.float32)
    one = working_set(X, dictionary, 1.0, n_jobs=1)
    for other in (
        working_set(X, dictionary, 1.0, n_jobs=2),
        working_set(X, PreparedDictionary(dictionary), 1.0, n_jobs=3),
        working_set(X, dictionary, 1.0, sparse_output=True),
    ):
        codes = other.codes.toarray() if sp.issparse(other.codes) else other.codes
        np.testing.assert_array_equal(codes, one.codes)
        np.testing.assert_array_equal(other.dual_gap, one.dual_gap)
        np.testing.assert_array_equal(other.n_iter, one.n_iter)
    csr = working_set(X, dictionary, 1.0, sparse_output=True).codes
    assert csr.has_canonical_format
    assert (csr.data != 0).all()


def test_other_backends_give_the_same_bits(shift):
    expected = working_set(shift.X_train, shift.dictionary, 0.1)
    with parallel_config("loky", n_jobs=2):
        result = working_set(shift.X_train, shift.dictionary, 0.1)
    np.testing.assert_array_equal(result.codes, expected.codes)


def test_offset_is_subtracted(shift):
    offset = np.linspace(-1, 1, shift.X_train.shape[1])
    expected = working_set(shift.X_train, shift.dictionary, 0.1, tol=1e-10)
    moved = working_set(shift.X_train + offset, shift.dictionary, 0.1, tol=1e-10, offset=offset)
    np.testing.assert_allclose(moved.codes, expected.codes, atol=1e-8)


def test_warm_start_from_the_solution_needs_no_round(shift):
    for make in (np.asarray, sp.csr_array):
        solution = working_set(shift.X_train, shift.dictionary, 0.1, tol=1e-8)
        again = working_set(shift.X_train, shift.dictionary, 0.1, tol=1e-7, codes_init=make(solution.codes))
        assert again.n_iter.max() == 0
        np.testing.assert_array_equal(again.codes, solution.codes)
    elsewhere = working_set(shift.X_train, shift.dictionary, 0.1, tol=1e-10, codes_init=-np.ones_like(solution.codes))
    np.testing.assert_allclose(elsewhere.codes, solution.codes, atol=1e-3)


def test_rounds_are_bounded_and_the_gap_is_that_of_the_codes_returned(shift):
    result = working_set(shift.X_train, shift.dictionary, 0.1, max_iter=1, tol=1e-10)
    gap = duality_gap(shift.X_train, result.codes, shift.dictionary, 0.1, True)
    assert result.n_iter.max() == 1
    assert gap.max() > 1e-3
    np.testing.assert_allclose(result.dual_gap, gap, rtol=1e-10, atol=1e-15)


def test_without_tolerance_it_stops_at_rest(shift):
    result = working_set(shift.X_train.astype(np.float32), shift.dictionary, 0.1, tol=0.0)
    assert result.dual_gap.max() < 1e-6
    assert result.n_iter.max() < 200


def test_codes_of_too_many_atoms_are_left_to_fista():
    rng = np.random.RandomState(0)
    n = module._LARGEST_SET + 100
    dictionary = np.eye(n, n + 50)
    X = 1 + rng.random_sample((3, n + 50))
    X[0, 5:] = 0
    result = working_set(X, dictionary, 0.5, sparse_output=True)
    np.testing.assert_allclose(result.codes.toarray(), np.maximum(X[:, :n] - 0.5, 0), atol=1e-4)
    assert duality_gap(X, result.codes, dictionary, 0.5, True).max() <= 1e-4
    stopped = working_set(X, dictionary, 0.5, max_iter=7, tol=1e-9)
    assert stopped.n_iter.max() <= 7
    np.testing.assert_allclose(stopped.dual_gap, duality_gap(X, stopped.codes, dictionary, 0.5, True), atol=1e-12)


@pytest.mark.parametrize("turn", [3, 800])
def test_codes_of_too_much_work_take_turns_with_fista(shift, turn, monkeypatch):
    expected = working_set(shift.X_train, shift.dictionary, 0.01, tol=1e-8)
    monkeypatch.setattr(module, "_WORK", 0.5)
    monkeypatch.setattr(module, "_LEAST_WORK", 0)
    monkeypatch.setattr(module, "_TURN", turn)
    result = working_set(shift.X_train, shift.dictionary, 0.01, tol=1e-8)
    again = working_set(shift.X_train, shift.dictionary, 0.01, tol=1e-8, n_jobs=2, sparse_output=True)
    np.testing.assert_array_equal(again.codes.toarray(), result.codes)
    assert result.dual_gap.max() <= 1e-8
    np.testing.assert_allclose(result.codes, expected.codes, atol=1e-2)
    gap = duality_gap(shift.X_train, result.codes, shift.dictionary, 0.01, True)
    np.testing.assert_allclose(result.dual_gap, gap, rtol=1e-3, atol=1e-13)
    assert (result.n_iter > expected.n_iter.max()).mean() > 0.1
    assert result.n_iter.max() <= 1000


def test_a_turn_that_raises_the_objective_is_gone_on_from_and_not_repeated(monkeypatch):
    rng = np.random.RandomState(0)
    dictionary, X = np.eye(module._LARGEST_SET + 100), 1 + rng.random_sample((2, module._LARGEST_SET + 100))
    starts = []

    def first_is_in_vain(X, codes, problem):
        starts.append(codes.copy())
        turn = solve_chunk(X, codes, problem)
        if len(starts) > 1:
            return turn
        return turn._replace(codes=-3 * turn.codes, status=np.full_like(turn.status, Status.OUT_OF_ITERATIONS))

    monkeypatch.setattr(module, "solve_chunk", first_is_in_vain)
    stopped = working_set(X, dictionary, 0.5, positive=False, max_iter=module._TURN)
    assert (stopped.codes >= 0).all()
    np.testing.assert_allclose(stopped.dual_gap, duality_gap(X, stopped.codes, dictionary, 0.5, False))
    starts.clear()
    assert (working_set(X, dictionary, 0.5, positive=False, max_iter=3000).status == Status.CERTIFIED).all()
    np.testing.assert_allclose(starts[1], -3 * (X - 0.5), atol=1e-3)


def test_many_equal_violators_fit_into_the_working_set():
    dictionary = np.tile(np.eye(4), (300, 1))
    X = np.arange(8.0).reshape(2, 4)
    result = working_set(X, dictionary, 0.5)
    np.testing.assert_allclose(result.codes @ dictionary, np.maximum(X - 0.5, 0), atol=1e-8)


def test_nan_is_a_miss():
    for number in (np.nan, np.inf):
        with np.errstate(invalid="ignore"):
            result = working_set(np.full((2, 3), number), np.eye(3), 1.0, max_iter=5)
        assert not (result.dual_gap <= 1e-4).any()
        assert not (result.status == Status.CERTIFIED).any()


@pytest.mark.parametrize("max_iter", [0, 1, 30])
def test_a_start_of_more_atoms_than_a_working_set_holds_is_gone_on_from(rng, max_iter):
    dictionary = rng.standard_normal((1500, 800))
    dictionary /= np.linalg.norm(dictionary, axis=1, keepdims=True)
    X = rng.standard_normal((4, 800))
    start = fista(X, dictionary, 1e-3, positive=False, max_iter=60).codes
    start[2] = 0
    assert np.all(np.count_nonzero(start[[0, 1, 3]], axis=1) > 1024)
    result = working_set(X, dictionary, 1e-3, positive=False, max_iter=max_iter, codes_init=start)
    before, after = (objective(X, codes, dictionary, 1e-3, positive=False) for codes in (start, result.codes))
    assert np.all(after <= before)
    np.testing.assert_allclose(result.dual_gap, duality_gap(X, result.codes, dictionary, 1e-3, positive=False))
    if max_iter == 0:
        np.testing.assert_array_equal(result.codes, start)


@pytest.mark.parametrize("size", [1e-300, 1e-170, 1e-40, 1e40, 1e200, 1e300])
@pytest.mark.parametrize("positive", [True, False])
def test_samples_that_cannot_be_squared_get_their_codes(shift, size, positive):
    scale = 2.0 ** np.round(np.log2(size))
    X = shift.X_train[:20]
    expected = working_set(X, shift.dictionary, 0.1, positive=positive)
    result = working_set(scale * X, shift.dictionary, 0.1 * scale, positive=positive)
    np.testing.assert_array_equal(result.codes, scale * expected.codes)
    np.testing.assert_array_equal(result.dual_gap, expected.dual_gap)
    warm = working_set(scale * X, shift.dictionary, 0.1 * scale, positive=positive, codes_init=result.codes)
    assert warm.n_iter.max() == 0
    mixed = working_set(np.vstack([scale * X, X]), shift.dictionary, 0.1 * scale, positive=positive)
    same = working_set(np.vstack([X, X / scale]), shift.dictionary, 0.1, positive=positive)
    np.testing.assert_array_equal(mixed.codes, scale * same.codes)
    np.testing.assert_allclose(same.codes[:20], expected.codes, rtol=1e-12)  # products of other shapes round otherwise


def test_float32_codes_are_certified_against_the_dictionary_as_given(shift):
    """The dictionary in float32 is another one, whose gap may be on the other side of tol."""
    X, dictionary = shift.X_train.astype(np.float32), shift.dictionary
    result = working_set(X, dictionary, 0.1, tol=1e-7)
    gap = duality_gap(X, result.codes, dictionary, 0.1, True)
    np.testing.assert_allclose(result.dual_gap, gap, rtol=1e-6, atol=1e-14)
    assert ((result.status == Status.CERTIFIED) == (gap <= 1e-7)).all()


def unit(atoms):
    return atoms / np.linalg.norm(atoms, axis=1, keepdims=True)


@pytest.mark.parametrize("n_samples", [2, 30])  # without and with a Gram matrix of all atoms
@pytest.mark.parametrize("positive", [True, False])
@pytest.mark.parametrize("apart", [0, 1e-6, 1e-4, 1e-2])
@pytest.mark.parametrize("sign", [-1, 1])
def test_nearly_equal_and_nearly_opposite_atoms_take_few_rounds(sign, apart, positive, n_samples):
    rng = np.random.RandomState(0)
    last = unit(rng.standard_normal((20, 50)))
    dictionary = unit(np.vstack([sign * last + apart * rng.standard_normal((20, 50)), last]))
    X = rng.standard_normal((n_samples, 50))
    alpha = 1e-4 * float(alpha_max(X, dictionary, positive).max())
    result = working_set(X, dictionary, alpha, positive=positive, tol=1e-8)
    assert duality_gap(X, result.codes, dictionary, alpha, positive).max() <= 1e-8
    assert result.n_iter.max() <= 20
    assert (result.status == Status.CERTIFIED).all()


@pytest.mark.parametrize("share", [1e-3, 1e-5, 1e-8])
@pytest.mark.parametrize("positive", [True, False])
@pytest.mark.parametrize("apart", [0, 1e-4])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_codes_are_never_worse_than_the_start(dtype, apart, positive, share):
    """In float32, products of nearly equal atoms are those of no atoms at all: descent along them has no end."""
    rng = np.random.RandomState(0)
    last = unit(rng.standard_normal((10, 50)))
    dictionary = unit(np.vstack([last + apart * rng.standard_normal((10, 50)), last])).astype(dtype)
    X = rng.standard_normal((60, 50)).astype(dtype)
    alpha = share * float(alpha_max(X, dictionary, positive).max())
    start = None
    lowest = objective(X, np.zeros((60, 20), dtype), dictionary, alpha, positive)
    for max_iter in (1, 1000, 1000):
        result = working_set(X, dictionary, alpha, positive=positive, max_iter=max_iter, codes_init=start)
        value = objective(X, result.codes, dictionary, alpha, positive)
        assert (value <= lowest * (1 + 1e-14)).all()
        start, lowest = result.codes, value
    assert result.status.max() <= Status.AT_REST


@pytest.mark.parametrize(("n_atoms", "share"), [(20, 1e-5), (100, 1e-8)])
def test_codes_in_float32_do_not_explode(n_atoms, share):
    """Ten pairs of atoms are 1e-4 apart, or 100 random ones depend on each other in 50 dimensions."""
    rng = np.random.RandomState(0)
    dictionary = unit(rng.standard_normal((n_atoms, 50)))
    if n_atoms == 20:
        dictionary[:10] = unit(dictionary[10:] + 1e-4 / np.sqrt(50) * rng.standard_normal((10, 50)))
    dictionary, X = dictionary.astype(np.float32), rng.standard_normal((60, 50)).astype(np.float32)
    alpha = share * float(alpha_max(X, dictionary, False).max())
    codes = working_set(X, dictionary, alpha, positive=False).codes
    energy = 0.5 * np.square(X, dtype=np.float64).sum(axis=1)
    assert (objective(X, codes, dictionary, alpha, False) <= energy).all()
    assert np.abs(codes).max() < 1e6


def test_a_turn_of_fista_that_raises_the_objective_is_dropped(shift, monkeypatch):
    turns = []

    def astray(X, codes, problem):
        result = solve_chunk(X, codes, problem)
        result.codes[::2], result.status[::2] = 10.0, Status.AT_REST
        turns.append(len(X))
        return result

    monkeypatch.setattr(module, "_LEAST_WORK", 0)
    monkeypatch.setattr(module, "_WORK", 0)
    monkeypatch.setattr(module, "solve_chunk", astray)
    X, dictionary = shift.X_train, shift.dictionary
    result = working_set(X, dictionary, 0.001, max_iter=3000)
    assert turns
    start = objective(X, np.zeros_like(result.codes), dictionary, 0.001)
    assert (objective(X, result.codes, dictionary, 0.001) <= start).all()
    np.testing.assert_allclose(result.dual_gap, duality_gap(X, result.codes, dictionary, 0.001), rtol=1e-6, atol=1e-12)


def test_the_status_says_how_the_work_on_a_sample_ended(shift):
    X = shift.X_train.astype(np.float32)
    status = working_set(X, shift.dictionary, 0.1).status
    assert status.dtype == np.int8
    assert (status == Status.CERTIFIED).all()
    assert (working_set(X, shift.dictionary, 0.1, max_iter=1, tol=0).status == Status.OUT_OF_ITERATIONS).all()
    rested = working_set(X, shift.dictionary, 0.1, tol=0)
    assert (rested.status == np.where(rested.dual_gap == 0, Status.CERTIFIED, Status.AT_REST)).all()


@pytest.mark.parametrize("scale", [1e-2, 1e-6])
def test_a_start_worse_than_zero_is_dropped(shift, scale):
    X, dictionary = (scale * shift.X_train).astype(np.float32), shift.dictionary.astype(np.float32)
    start = 1e3 * np.abs(np.random.RandomState(0).standard_normal((len(X), len(dictionary))))
    from_afar = working_set(X, dictionary, 0.1 * scale, codes_init=start)
    np.testing.assert_array_equal(from_afar.codes, working_set(X, dictionary, 0.1 * scale).codes)


@pytest.mark.parametrize("solve", [working_set, fista])
def test_what_does_not_fit_is_refused(solve):
    with pytest.raises(TypeError, match="X must be an array of float32 or float64, got int64"):
        solve(np.ones((2, 2), dtype=np.int64), np.eye(2), 0.1)
    with pytest.raises(ValueError, match=r"X must have shape \(n_samples, 2\), as the dictionary has, got \(2, 3\)"):
        solve(np.ones((2, 3)), np.eye(2), 0.1)
    with pytest.raises(ValueError, match=r"codes_init must have shape \(3, 2\), got \(1, 2\)"):
        solve(np.ones((3, 2)), np.eye(2), 0.1, codes_init=np.ones((1, 2)))
    with pytest.raises(TypeError, match="X must be an array of float32 or float64, got list"):
        solve([[1.0, 2.0]], np.eye(2), 0.1)
    with pytest.raises(ValueError, match="dictionary must be finite"):
        solve(np.ones((3, 2)), np.array([[1, np.nan]]), 0.1)
    for alpha in (0, -1, np.nan, np.inf):
        with pytest.raises(ValueError, match="alpha must be a number, positive and finite, got"):
            solve(np.ones((3, 2)), np.eye(2), alpha)
    with pytest.raises(ValueError, match="tol must be a number, at least 0, got -1"):
        solve(np.ones((3, 2)), np.eye(2), 0.1, tol=-1)


@pytest.mark.parametrize("solve", [working_set, fista])
@pytest.mark.parametrize("sparse_output", [True, False])
def test_no_samples_have_no_codes(solve, sparse_output):
    result = solve(np.ones((0, 3)), np.eye(3), 0.1, sparse_output=sparse_output)
    assert result.codes.shape == (0, 3)
    assert result.dual_gap.shape == (0,)


@pytest.mark.parametrize("solve", [working_set, fista])
def test_certificate_is_that_of_the_very_offset(shift, solve):
    """A float64 offset is not rounded to the float32 of the samples before it is subtracted."""
    offset = np.full(shift.X_train.shape[1], 100.1234567)
    X = (shift.X_train + offset).astype(np.float32)
    result = solve(X, shift.dictionary, 0.1, offset=offset)
    gap = duality_gap(X - offset, result.codes, shift.dictionary, 0.1, True)
    np.testing.assert_allclose(result.dual_gap, gap, rtol=1e-2, atol=1e-6)


def test_one_compilation_per_dtype_serves_turns_read_only_samples_and_warm_starts(shift, monkeypatch):
    def solve(X, **options):
        return working_set(X, shift.dictionary.astype(X.dtype), 0.01, **options)

    for dtype in (np.float32, np.float64):
        solve(shift.X_train.astype(dtype))
    n_compiled = len(finish_on_gram.signatures), len(make_round.signatures)
    read_only = shift.X_train.astype(np.float32)
    read_only.flags.writeable = False
    codes = solve(read_only).codes
    solve(read_only, codes_init=codes, offset=np.ones(read_only.shape[1]))
    monkeypatch.setattr(module, "_WORK", 0.5)
    monkeypatch.setattr(module, "_LEAST_WORK", 0)
    assert solve(read_only).n_iter.max() > 100  # FISTA had its turn
    assert (len(finish_on_gram.signatures), len(make_round.signatures)) == n_compiled


def test_prepared_dictionary_computes_once_and_pickles_small(shift):
    prepared = PreparedDictionary(shift.dictionary)
    n_atoms = len(shift.dictionary)
    assert prepared.gram(np.float32, 1) is None
    gram = prepared.gram(np.float32, 1000)
    assert gram is prepared.gram(np.float32, 2000)
    np.testing.assert_allclose(gram[:n_atoms, :n_atoms], shift.dictionary @ shift.dictionary.T, atol=1e-5)
    assert not gram[n_atoms:].any()
    assert prepared.step() == pytest.approx(1 / np.linalg.norm(shift.dictionary, 2) ** 2)
    restored = pickle.loads(pickle.dumps(prepared))
    np.testing.assert_array_equal(restored.components, shift.dictionary)
    assert len(pickle.dumps(prepared)) < 1.1 * len(pickle.dumps(shift.dictionary))
