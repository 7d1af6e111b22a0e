import importlib

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Lasso

from skcode.solvers import Status, alpha_max, duality_gap, fista, ista, lipschitz, objective

MODULE = importlib.import_module("skcode.solvers.fista")


@pytest.fixture(params=["gram", "products"])
def route(request, monkeypatch):
    """Force one of the two ways of making an iteration."""
    if request.param == "gram":
        monkeypatch.setattr(MODULE, "_SPARSE_BELOW", np.inf)
    else:
        monkeypatch.setattr(MODULE, "_GRAM_BYTES_OF_A_CORE", 0)
    return request.param


def lasso(X, dictionary, alpha, positive):
    reference = Lasso(alpha / X.shape[1], positive=positive, fit_intercept=False, tol=1e-14, max_iter=1_000_000)
    return reference.fit(dictionary.T, X.T).coef_


def coherent(random_dictionary):
    """Return 40 atoms in 30 dimensions with a cosine of about 0.97 between any two."""
    dictionary = random_dictionary(1, 30) + 0.175 * random_dictionary(40, 30)
    return dictionary / np.linalg.norm(dictionary, axis=1, keepdims=True)


@pytest.mark.parametrize("positive", [True, False])
def test_agrees_with_lasso_on_random_dictionaries(rng, random_dictionary, positive, route):
    dictionary = random_dictionary(60, 25)
    X = (rng.random_sample((30, 60)) * (rng.random_sample((30, 60)) < 0.1)) @ dictionary
    result = fista(X, dictionary, 0.1, positive=positive, tol=1e-12, max_iter=100_000)
    assert result.dual_gap.max() <= 1e-12
    np.testing.assert_allclose(result.codes, lasso(X, dictionary, 0.1, positive), atol=1e-6)


@pytest.mark.parametrize("positive", [True, False])
def test_agrees_with_lasso_on_coherent_dictionaries(rng, random_dictionary, positive, route):
    dictionary = coherent(random_dictionary)
    assert np.median(dictionary @ dictionary.T) == pytest.approx(0.97, abs=0.01)
    X = (rng.random_sample((20, 40)) * (rng.random_sample((20, 40)) < 0.1)) @ dictionary
    result = fista(X, dictionary, 0.01, positive=positive, tol=1e-12, max_iter=100_000)
    reference = lasso(X, dictionary, 0.01, positive)
    best = objective(X, reference, dictionary, 0.01, positive)
    np.testing.assert_allclose(objective(X, result.codes, dictionary, 0.01, positive), best, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(result.codes, reference, atol=1e-5)


def published_fista(X, dictionary, alpha, n_steps, positive):
    """Return the codes of the paper's loop, written out: constant step, no restart, zero start."""
    curvature = np.linalg.norm(dictionary, 2) ** 2
    codes = point = np.zeros((len(X), len(dictionary)))
    pace = 1.0
    for _ in range(n_steps):
        step = point + (X - point @ dictionary) @ dictionary.T / curvature
        if positive:
            new = np.maximum(step - alpha / curvature, 0)
        else:
            new = np.sign(step) * np.maximum(np.abs(step) - alpha / curvature, 0)
        faster = (1 + np.sqrt(1 + 4 * pace**2)) / 2
        point, codes, pace = new + (pace - 1) / faster * (new - codes), new, faster
    return codes


@pytest.mark.parametrize("positive", [True, False])
@pytest.mark.parametrize("n_steps", [1, 7, 100])
def test_without_restart_it_is_the_published_loop(shift, positive, n_steps, route):
    X = shift.X_val[:50]
    result = fista(X, shift.dictionary, 0.1, positive=positive, max_iter=n_steps, tol=0, restart=False)
    expected = published_fista(X, shift.dictionary, 0.1, n_steps, positive)
    np.testing.assert_allclose(result.codes, expected, atol=1e-10)
    assert np.all(result.n_iter == n_steps)


def test_published_objective_after_100_float32_steps(official):
    # 0.44219350672175717: reference value of the authors' code on this data set, in float32.
    X, dictionary = official.X_val.astype(np.float32), official.dictionary.astype(np.float32)
    result = fista(X, dictionary, 0.1, max_iter=100, tol=0, restart=False)
    assert result.codes.dtype == np.float32
    assert objective(X, result.codes, dictionary, 0.1).mean() == pytest.approx(0.44219350672175717, abs=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("solver", [fista, ista])
def test_solvers_agree_within_their_certificates(shift, solver, dtype, route):
    X, dictionary = shift.X_val[:100].astype(dtype), shift.dictionary
    exact = fista(shift.X_val[:100], dictionary, 0.1, tol=1e-13, max_iter=100_000)
    result = solver(X, dictionary, 0.1, tol=1e-5, max_iter=100_000)
    assert result.codes.dtype == dtype
    energy = 0.5 * np.sum(shift.X_val[:100] ** 2, axis=1)
    excess = objective(X, result.codes, dictionary, 0.1) - objective(shift.X_val[:100], exact.codes, dictionary, 0.1)
    assert np.all(excess <= (1e-5 + 1e-6) * energy)


def test_objective_of_ista_never_rises(shift):
    X = shift.X_val[:50]
    values = [
        objective(X, ista(X, shift.dictionary, 0.05, max_iter=n, tol=0).codes, shift.dictionary, 0.05)
        for n in range(1, 40)
    ]
    assert np.all(np.diff(values, axis=0) <= 1e-12)


def test_restart_beats_plain_momentum_on_a_coherent_dictionary(rng, random_dictionary):
    dictionary = coherent(random_dictionary)
    X = (rng.random_sample((20, 40)) * (rng.random_sample((20, 40)) < 0.1)) @ dictionary
    steps = [
        fista(X, dictionary, 0.01, tol=1e-8, max_iter=100_000, restart=restart).n_iter.mean()
        for restart in (True, False)
    ]
    assert steps[0] < steps[1] / 3


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**31 - 1),
    n_components=st.integers(1, 40),
    n_features=st.integers(1, 15),
    n_samples=st.integers(1, 30),
    alpha=st.floats(1e-3, 3.0),
    positive=st.booleans(),
    double=st.booleans(),
    coherence=st.sampled_from([0.0, 0.9]),
)
def test_certificate_holds_when_recomputed_by_hand(
    seed, n_components, n_features, n_samples, alpha, positive, double, coherence
):
    rng = np.random.RandomState(seed)
    dictionary = rng.standard_normal((n_components, n_features)) + coherence * 5
    dictionary[rng.random_sample(n_components) < 0.1] = 0  # zero atoms
    dictionary[rng.random_sample(n_components) < 0.2] *= 3  # long ones
    dictionary[0] = dictionary[-1]  # duplicates
    X = rng.standard_normal((n_samples, n_features))
    X[rng.random_sample(n_samples) < 0.1] = 0
    if not double:
        X, dictionary = X.astype(np.float32), dictionary.astype(np.float32)
    result = fista(X, dictionary, alpha, positive=positive, tol=1e-4, max_iter=5000)
    X, D, z = X.astype(np.float64), dictionary.astype(np.float64), result.codes.astype(np.float64)
    r = X - z @ D
    c = (r @ D.T if positive else np.abs(r @ D.T)).max(axis=1)
    theta = r * np.where(c > alpha, alpha / np.maximum(c, 1e-300), 1.0)[:, None]
    gap = 0.5 * (r**2).sum(1) + alpha * np.abs(z).sum(1) - 0.5 * (X**2).sum(1) + 0.5 * ((X - theta) ** 2).sum(1)
    relative = np.maximum(gap, 0) / np.where((X**2).sum(1) > 0, 0.5 * (X**2).sum(1), 1)
    np.testing.assert_allclose(result.dual_gap, relative, atol=1e-12)
    stopped = result.n_iter < 5000
    if double:
        assert np.all(relative[stopped] <= 1e-4)
    else:  # long coherent atoms can bring float32 to rest a little above the tolerance, and the certificate says so
        assert np.all(relative[stopped] <= 1e-3)
    if positive:
        assert z.min() >= 0


@settings(max_examples=25)
@given(seed=st.integers(0, 2**31 - 1), scale=st.floats(0.1, 10), positive=st.booleans())
def test_equivariance_under_permutation_and_scaling(seed, scale, positive):
    rng = np.random.RandomState(seed)
    dictionary, X = rng.standard_normal((20, 8)), rng.standard_normal((5, 8))
    order = rng.permutation(20)
    options = {"positive": positive, "tol": 1e-13, "max_iter": 50_000}
    codes = fista(X, dictionary, 0.5, **options).codes
    np.testing.assert_allclose(fista(X, dictionary[order], 0.5, **options).codes, codes[:, order], atol=1e-6)
    # Samples and penalty scaled alike scale the codes.
    np.testing.assert_allclose(fista(scale * X, dictionary, 0.5 * scale, **options).codes, scale * codes, atol=1e-5)


def test_zero_code_at_alpha_max_takes_no_iteration(shift):
    X = shift.X_val[:20]
    alpha = alpha_max(X, shift.dictionary).max() * (1 + 1e-9)
    result = fista(X, shift.dictionary, alpha)
    assert not result.codes.any()
    assert np.all(result.n_iter == 0)


def test_started_at_the_optimum_it_stays(shift, route):
    X = shift.X_val[:20]
    best = fista(X, shift.dictionary, 0.1, tol=1e-12, max_iter=50_000)
    again = fista(X, shift.dictionary, 0.1, tol=1e-10, codes_init=best.codes)
    np.testing.assert_array_equal(again.codes, best.codes)
    assert np.all(again.n_iter == 0)


def test_codes_init_is_not_changed(shift):
    start = np.full((20, 40), 0.1)
    fista(shift.X_val[:20], shift.dictionary, 0.1, codes_init=start)
    assert np.all(start == 0.1)


@pytest.mark.parametrize("sparse_output", [False, True])
def test_same_bits_for_any_n_jobs(rng, random_dictionary, sparse_output):
    dictionary, X = random_dictionary(100, 30), rng.standard_normal((3000, 30))
    one, two = (fista(X, dictionary, 0.3, n_jobs=n, sparse_output=sparse_output) for n in (1, 2))
    assert (one.codes != two.codes).sum() == 0
    np.testing.assert_array_equal(one.dual_gap, two.dual_gap)
    np.testing.assert_array_equal(one.n_iter, two.n_iter)


def test_sparse_output_equals_dense(rng, random_dictionary):
    dictionary, X = random_dictionary(100, 30), rng.standard_normal((2000, 30))
    dense, sparse = (fista(X, dictionary, 0.3, sparse_output=flag).codes for flag in (False, True))
    assert sp.issparse(sparse)
    assert sparse.format == "csr"
    np.testing.assert_array_equal(sparse.toarray(), dense)


def test_samples_that_miss_the_tolerance_carry_their_own_gap(shift):
    X = shift.X_val[:20]
    result = fista(X, shift.dictionary, 0.01, tol=1e-10, max_iter=5)
    assert np.all(result.n_iter == 5)
    np.testing.assert_allclose(result.dual_gap, duality_gap(X, result.codes, shift.dictionary, 0.01))


def test_integers_are_refused():
    with pytest.raises(TypeError, match="X must be an array of float32 or float64, got int64"):
        fista(np.ones((3, 4), dtype=np.int64), np.eye(4), 0.1)


def test_a_sample_at_rest_is_returned_with_the_gap_it_has(shift, route):
    X = shift.X_val[:50].astype(np.float32)
    result = fista(X, shift.dictionary, 0.1, tol=1e-15, max_iter=100_000)
    missed = result.dual_gap > 1e-15
    assert missed.any()
    assert np.median(result.n_iter[missed]) < 5000
    assert result.dual_gap.max() < 1e-5


def test_an_all_zero_dictionary_gives_zero_codes():
    result = fista(np.ones((3, 4)), np.zeros((5, 4)), 0.1)
    assert not result.codes.any()
    assert not result.dual_gap.any()
    assert lipschitz(np.zeros((5, 4))) == 0


@pytest.mark.parametrize("solver", [fista, ista])
def test_every_sample_says_how_its_work_ended(shift, solver):
    X = shift.X_val[:20].astype(np.float32)
    certified = solver(X, shift.dictionary, 0.1, max_iter=10_000)
    assert (certified.status == Status.CERTIFIED).all()
    cut_short = solver(X, shift.dictionary, 0.01, max_iter=3)
    assert (cut_short.status == Status.OUT_OF_ITERATIONS).all()
    result = solver(X, shift.dictionary, 0.1, tol=1e-15, max_iter=5000)
    missed, early = result.dual_gap > 1e-15, result.n_iter < 5000
    assert (missed & early).any()
    assert (result.status[missed & early] == Status.AT_REST).all()
    assert (result.status[~missed] == Status.CERTIFIED).all()
    without_tol = solver(X, shift.dictionary, 0.1, tol=0, max_iter=5000)
    assert (without_tol.n_iter == 5000).all()
    assert (without_tol.status[missed & early] == Status.AT_REST).all()
    assert (solver(X, shift.dictionary, 0.01, tol=0, max_iter=3).status == Status.OUT_OF_ITERATIONS).all()


@pytest.mark.parametrize(("X", "alpha"), [([[3e-170, 1e-170]], 1e-171), ([[1e200, 1.0]], 1.0), ([[np.nan, 1.0]], 1.0)])
def test_what_has_no_norm_in_float64_is_not_certified(X, alpha):
    result = fista(np.array(X), np.eye(2), alpha)
    assert np.isnan(result.dual_gap).all()
    assert (result.status == Status.AT_REST).all()
    with np.errstate(over="ignore", invalid="ignore"):
        assert np.isnan(duality_gap(np.array(X), np.zeros((1, 2)), np.eye(2), alpha)).all()
