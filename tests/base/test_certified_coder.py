import copy
import pickle
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning

from skcode import FISTACoder
from skcode.solvers import CodingResult, Status, fista

STEPS = {"solver": "fista", "tol": 0}


@pytest.mark.parametrize("make", [np.asarray, sp.csr_array, sp.csr_matrix])
@pytest.mark.parametrize("solver", ["working_set", "fista", "ista"])
def test_the_optimum_is_left_where_it_is(shift, solver, make):
    coder = FISTACoder(shift.dictionary, solver=solver, tol=1e-8).fit(shift.X_train)
    optimum = coder.codes(shift.X_val).codes
    again = coder.set_params(tol=1e-6).codes(shift.X_val, codes_init=make(optimum))
    assert again.n_iter.max() <= 1
    np.testing.assert_allclose(again.codes, optimum, atol=1e-6)


def test_start_codes_reach_the_solver(shift):
    coder = FISTACoder(shift.dictionary, max_iter=7, **STEPS).fit(shift.X_train)
    expected = fista(shift.X_val, shift.dictionary, 0.1, max_iter=7, tol=0, codes_init=shift.codes_val).codes
    np.testing.assert_array_equal(coder.codes(shift.X_val, codes_init=shift.codes_val).codes, expected)
    single = coder.codes(shift.X_val.astype(np.float32), codes_init=shift.codes_val)
    assert single.codes.dtype == np.float32
    mcp = FISTACoder(shift.dictionary, penalty="mcp").fit(shift.X_train)
    assert mcp.codes(shift.X_val, codes_init=shift.codes_val).violation.max() <= 1e-4


@pytest.mark.parametrize("make", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("penalty", ["l1", "mcp"])
def test_negative_start_codes_start_at_zero_where_codes_are_positive(shift, rng, make, penalty):
    signed = shift.codes_val * rng.choice([-1.0, 1.0], shift.codes_val.shape)
    kept = signed.copy()
    coder = FISTACoder(shift.dictionary, penalty=penalty, max_iter=1, tol=0).fit(shift.X_train)
    codes = coder.codes(shift.X_val, codes_init=make(signed)).codes
    np.testing.assert_array_equal(codes, coder.codes(shift.X_val, codes_init=np.maximum(signed, 0)).codes)
    assert codes.min() >= 0
    np.testing.assert_array_equal(signed, kept)
    free = FISTACoder(shift.dictionary, positive=False, max_iter=1, **STEPS).fit(shift.X_train)
    assert free.codes(shift.X_val, codes_init=make(signed)).codes.min() < -0.1


@pytest.mark.parametrize(
    ("codes_init", "message"),
    [
        (np.ones((300, 3)), r"codes_init must have shape \(n_samples, n_components\)=\(300, 40\), got \(300, 3\)"),
        (np.ones((5, 40)), r"=\(300, 40\), got \(5, 40\)"),
        (np.ones(40), r"codes_init must have 2 dimensions, got shape \(40,\)"),
        (np.full((300, 40), np.nan), "codes_init contains NaN"),
        (sp.csr_array(np.full((300, 40), np.inf)), "codes_init contains infinity"),
        (np.full((300, 40), 1j), "codes_init: Complex data not supported"),
    ],
)
def test_bad_start_codes_are_named(shift, codes_init, message):
    coder = FISTACoder(shift.dictionary).fit(shift.X_train)
    with pytest.raises(ValueError, match=message):
        coder.codes(shift.X_val, codes_init=codes_init)


def test_components_belong_to_the_coder_however_they_are_set(shift):
    coder = FISTACoder(shift.dictionary).fit(shift.X_train)
    expected = coder.transform(shift.X_val)
    mine = 2 * shift.dictionary
    coder.components_ = mine
    doubled = coder.transform(shift.X_val)
    assert np.abs(doubled - expected).max() > 0.01
    mine[:] = 0  # the caller's own array
    with pytest.raises(ValueError, match="read-only"):
        coder.components_[0] = 0
    for same in (coder, copy.copy(coder), copy.deepcopy(coder), pickle.loads(pickle.dumps(coder))):
        np.testing.assert_array_equal(same.transform(shift.X_val), doubled)
        assert not same.components_.flags.writeable
    assert not hasattr(FISTACoder(), "components_")


def test_a_copy_does_not_share_what_is_assigned(shift):
    coder = FISTACoder(shift.dictionary).fit(shift.X_train)
    expected, other = coder.transform(shift.X_val), copy.copy(coder)
    other.components_ = shift.dictionary[::-1]
    other.transform(shift.X_val)
    np.testing.assert_array_equal(coder.transform(shift.X_val), expected)


def test_the_warning_tells_how_samples_ended_and_what_helps(shift):
    coder = FISTACoder(shift.dictionary, tol=1e-6, max_iter=9).fit(shift.X_train)
    status = np.repeat(np.array(list(Status), np.int8), [5, 4, 3, 2])
    result = CodingResult(np.zeros((14, 40)), np.ones(14), np.linspace(0, 0.5, 14), status)
    with pytest.warns(ConvergenceWarning) as seen:
        coder._warn_of_misses(result, np.dtype(np.float64))
    (message,) = (str(warning.message) for warning in seen)
    assert message.startswith("9 of 14 samples missed the relative duality gap 1e-06; the worst is 0.5.")
    assert "4 came to rest, as float64 gets no closer: raise tol or alpha;" in message
    assert "3 had 9 iterations: raise max_iter or tol;" in message
    assert "2 have too many non-zeros for this solver: raise alpha." in message
    result.dual_gap[-1] = np.nan
    with pytest.warns(
        ConvergenceWarning, match=r"1 are beyond what can be squared in float32: scale X; 4 came to rest"
    ):
        coder._warn_of_misses(result, np.dtype(np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        coder._warn_of_misses(result._replace(status=np.zeros(14, np.int8)), np.dtype(np.float64))
        coder.set_params(tol=0)._warn_of_misses(result, np.dtype(np.float64))


@pytest.mark.parametrize("penalty", ["l1", "mcp"])
@pytest.mark.parametrize("method", ["transform", "codes"])
def test_silence_is_told_with_the_penalty_that_would_end_it(shift, penalty, method):
    coder = FISTACoder(shift.dictionary, penalty=penalty).fit(shift.X_train)
    X = 1e-3 * shift.X_val
    with pytest.warns(
        UserWarning, match=r"all codes of 300 samples .* with alpha=0\.1: above .* there are none"
    ) as seen:
        getattr(coder, method)(X)
    assert len(seen) == 1
    assert seen[0].filename == __file__
    largest = float(str(seen[0].message).split("above ")[1].split()[0])
    assert FISTACoder(shift.dictionary, alpha=0.9 * largest).fit(X).transform(X).any()
    with pytest.warns(UserWarning, match="are zero"):
        assert not FISTACoder(shift.dictionary, alpha=1.01 * largest).fit(X).transform(X).any()


def test_silence_is_as_it_should_be_where_samples_are_few_or_zero(shift):
    coder = FISTACoder(shift.dictionary).fit(shift.X_train)
    assert not coder.transform(1e-3 * shift.X_val[:9]).any()
    assert not coder.transform(np.zeros((50, 19))).any()
    mixed = np.vstack([np.zeros((50, 19)), shift.X_val[:1]])
    assert coder.transform(mixed)[-1].any()
    offset = np.linspace(1, 2, 19)
    centred = FISTACoder(shift.dictionary, offset=offset).fit(shift.X_train)
    assert not centred.transform(np.tile(offset, (50, 1)) * (1 + 1e-16)).any()


@pytest.mark.parametrize("scale", [2.0**-560, 2.0**540])
def test_samples_that_float64_cannot_square(shift, scale):
    expected = FISTACoder(shift.dictionary, alpha=0.1).fit(shift.X_train).transform(shift.X_val)
    X, alpha = scale * shift.X_val, scale * 0.1
    np.testing.assert_array_equal(FISTACoder(shift.dictionary, alpha=alpha).fit(X).transform(X), scale * expected)
    coder = FISTACoder(shift.dictionary, alpha=alpha, penalty="mcp").fit(X)
    with pytest.warns() as caught:  # nothing can be told of them under a penalty that is not convex, and that is said
        certified = coder.codes(X)
    assert np.all(np.isnan(certified.violation) & (certified.status == Status.AT_REST))
    assert len(caught) == 1
    with pytest.warns() as caught:
        coder.transform(X)
    assert len(caught) == 1
    assert "missed the violation of stationarity 0.0001; the worst is nan" in str(caught[0].message)


def test_samples_that_no_atom_is_like_are_told(shift):
    coder = FISTACoder(-np.abs(shift.dictionary)).fit(np.abs(shift.X_train))
    with pytest.warns(UserWarning, match="are zero: none of them correlates with any atom"):
        coder.transform(np.abs(shift.X_val))


def test_a_dictionary_that_cannot_be_assigned_is_not(shift):
    coder = FISTACoder(shift.dictionary).fit(shift.X_train)
    codes = coder.transform(shift.X_val)
    for wrong in (shift.dictionary[0], "abc", shift.dictionary[:, :5], np.full_like(shift.dictionary, np.nan)):
        with pytest.raises((TypeError, ValueError), match="components_"):
            coder.components_ = wrong
        np.testing.assert_array_equal(coder.components_, shift.dictionary)
        np.testing.assert_array_equal(coder.transform(shift.X_val), codes)
