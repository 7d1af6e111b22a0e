"""What comes into a solver is looked at once, and named where it is not what it is to be."""

import numpy as np
import pytest
import scipy.sparse as sp

from skcode import FISTACoder
from skcode.metrics import duality_gap
from skcode.penalties import MCP, PENALTIES
from skcode.solvers import SOLVERS, PreparedDictionary, coordinate_descent, fista, ista, mcp, refit, working_set

X = np.random.RandomState(0).standard_normal((4, 3))
D = np.eye(3)
ALL = pytest.mark.parametrize("solve", [working_set, fista, ista, mcp])


@ALL
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"X": [[1.0, 2.0, 3.0]]}, TypeError, "X must be an array of float32 or float64, got list"),
        ({"X": X.astype(np.float16)}, TypeError, "X must be an array of float32 or float64, got float16"),
        ({"X": sp.csr_array(X)}, TypeError, "X must be an array of float32 or float64, got csr_array"),
        ({"X": X[0]}, ValueError, r"X must have shape \(n_samples, 3\), .* got \(3,\)"),
        ({"X": X[None]}, ValueError, r"X must have shape \(n_samples, 3\), .* got \(1, 4, 3\)"),
        ({"dictionary": D.tolist()}, TypeError, "dictionary must be an array of real numbers, got list"),
        ({"dictionary": D.astype(complex)}, TypeError, "dictionary must be an array of real numbers, got complex128"),
        ({"dictionary": D[0]}, ValueError, r"dictionary must have shape \(n_components, n_features\).* got \(3,\)"),
        ({"dictionary": D[:0]}, ValueError, r"dictionary must have shape .* got \(0, 3\)"),
        ({"dictionary": 1e200 * D}, ValueError, "dictionary must be finite, also in its squares"),
        ({"alpha": "0.1"}, TypeError, "alpha must be a number, positive and finite, got str '0.1'"),
        ({"alpha": None}, TypeError, "alpha must be a number, positive and finite, got NoneType"),
        ({"alpha": np.ones(2)}, TypeError, "alpha must be a number, positive and finite, got float64"),
        ({"alpha": True}, TypeError, "alpha must be a number, positive and finite, got bool"),
        ({"alpha": -1.0}, ValueError, "alpha must be a number, positive and finite, got -1"),
        ({"tol": np.nan}, ValueError, "tol must be a number, at least 0, got nan"),
        ({"tol": None}, TypeError, "tol must be a number, at least 0, got NoneType"),
        ({"max_iter": -1}, ValueError, r"max_iter must be an integer from 0 to 2\*\*63-1, got -1"),
        ({"max_iter": 2**63}, ValueError, r"max_iter must be an integer from 0 to 2\*\*63-1, got 9223372036854775808"),
        (
            {"alpha": 10**400},
            ValueError,
            "alpha must be a number, positive and finite, got one too large",
        ),
        ({"tol": 10**400}, ValueError, "tol must be a number, at least 0, got one too large"),
        ({"max_iter": 10.0}, TypeError, r"max_iter must be an integer from 0 to 2\*\*63-1, got float 10.0"),
        ({"n_jobs": 0}, ValueError, "n_jobs must be None or an integer other than 0, got 0"),
        ({"n_jobs": "2"}, TypeError, "n_jobs must be None or an integer other than 0, got str"),
        ({"positive": "no"}, TypeError, "positive must be True or False, got 'no'"),
        ({"sparse_output": 1}, TypeError, "sparse_output must be True or False, got 1"),
        ({"offset": np.ones(2)}, ValueError, r"offset must have shape \(3,\), one value a feature, got \(2,\)"),
        ({"offset": np.ones((4, 3))}, ValueError, r"offset must have shape \(3,\).* got \(4, 3\)"),
        ({"offset": np.array([0, np.nan, 0])}, ValueError, "offset must be an array of finite numbers"),
        ({"offset": "mean"}, ValueError, "offset must be an array of finite numbers, got str"),
        ({"codes_init": np.ones((4, 2))}, ValueError, r"codes_init must have shape \(4, 3\), got \(4, 2\)"),
        ({"codes_init": np.ones((4, 3)).tolist()}, TypeError, "codes_init must be an array or a CSR array .* got list"),
        ({"codes_init": sp.coo_array(np.ones((4, 3)))}, TypeError, "codes_init must be .* got coo_array"),
        ({"codes_init": np.full((4, 3), np.inf)}, ValueError, "codes_init must be finite"),
    ],
)
def test_what_is_wrong_is_named(solve, options, error, message):
    options = {"X": X, "dictionary": D, "alpha": 0.1, **options}
    with pytest.raises(error, match=message):
        solve(options.pop("X"), options.pop("dictionary"), options.pop("alpha"), **options)


def test_what_is_no_penalty_is_named():
    with pytest.raises(TypeError, match=r"penalty must be one of skcode.penalties \(L1, .*\), got float"):
        coordinate_descent(X, D, 0.1)
    with pytest.raises(ValueError, match="gamma must be a number above 1, got nan"):
        coordinate_descent(X, D, MCP(0.1, np.nan))


def malformed():
    """Return CSR arrays of shape (4, 3) whose indices lead outside of it."""
    for indices, indptr in [
        ([0, 7, 1], [0, 1, 2, 3, 3]), ([0, -1, 1], [0, 1, 2, 3, 3]), ([0, 10**9, 1], [0, 1, 2, 3, 3]),
        ([0, 1, 2], [0, 1, 2, 3, 900]), ([0, 1, 2], [0, 2, 1, 3, 3]), ([0, 1, 2], [1, 1, 2, 3, 3]),
        ([0, 1, 2], [0, 3]),
    ]:  # fmt: skip
        codes = sp.csr_array((4, 3))
        codes.data, codes.indices, codes.indptr = np.ones(3), np.array(indices, np.int32), np.array(indptr, np.int32)
        yield codes


@pytest.mark.parametrize("codes", list(malformed()))
def test_malformed_sparse_codes_are_refused_and_not_followed(codes):
    coder = FISTACoder(D).fit(X)
    calls = [
        *(lambda solve=solve: solve(X, D, 0.1, codes_init=codes) for solve in (working_set, fista, ista, mcp)),
        lambda: refit(X, codes, D),
        lambda: coder.codes(X, codes_init=codes),
        lambda: coder.inverse_transform(codes),
        lambda: duality_gap(X, codes, D, 0.1),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"(codes|codes_init|X) is a malformed sparse array"):
            call()


@ALL
def test_doubled_entries_of_sparse_codes_are_one_code(solve):
    doubled = sp.csr_array((np.full(4, 0.25), [0, 0, 1, 1], [0, 2, 4, 4, 4]), shape=(4, 3))
    assert doubled.nnz == 4
    found = solve(X, D, 0.1, codes_init=doubled).codes
    np.testing.assert_allclose(found, solve(X, D, 0.1, codes_init=doubled.toarray()).codes, atol=1e-12)
    assert doubled.nnz == 4  # and what came in is left alone


@ALL
def test_a_dictionary_of_any_numbers_will_do(solve):
    expected = solve(X, D, 0.1).codes
    for dictionary in (D.astype(int), D.astype(np.float16), D.astype(bool), np.asfortranarray(D)):
        np.testing.assert_array_equal(solve(X, dictionary, np.float32(0.1), max_iter=np.int64(100)).codes.round(6),
                                      expected.round(6))  # fmt: skip
    assert not solve(X, np.zeros((5, 3)), 0.1).codes.any()


@pytest.mark.parametrize(("penalty", "solver"), [(name, solver) for name in SOLVERS for solver in SOLVERS[name]])
def test_the_table_has_a_solver_for_every_penalty(shift, penalty, solver):
    assert SOLVERS.keys() == PENALTIES.keys()
    result = SOLVERS[penalty][solver](shift.X_val[:20], PreparedDictionary(shift.dictionary), 0.1, max_iter=500)
    assert result.certificate.max() <= 1e-4
    assert (result.dual_gap is None) == (PENALTIES[penalty].certificate == "violation of stationarity")


@pytest.mark.parametrize("solve", [ista, mcp])
def test_what_has_nothing_to_restart_takes_no_restart(solve):
    with pytest.raises(TypeError, match="unexpected keyword argument 'restart'"):
        solve(X, D, 0.1, restart=True)


def test_codes_in_another_byte_order(shift):
    X, dictionary, codes = shift.X_val, shift.dictionary, shift.codes_val
    foreign = codes.astype(codes.dtype.newbyteorder())
    for solve in (working_set, mcp, fista):
        here, there = (solve(X, dictionary, 0.1, codes_init=start) for start in (codes, foreign))
        np.testing.assert_array_equal(here.codes, there.codes)
    np.testing.assert_array_equal(refit(X, foreign, dictionary), refit(X, codes, dictionary))
    rows = sp.csr_array(codes)
    rows.data = rows.data.astype(foreign.dtype)
    for call in (lambda: working_set(X, dictionary, 0.1, codes_init=rows), lambda: refit(X, rows, dictionary)):
        with pytest.raises(TypeError, match="must hold numbers in the byte order of this machine, got CSR data of >f"):
            call()
