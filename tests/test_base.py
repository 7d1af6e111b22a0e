from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skcode import DictionaryLearner, FISTACoder
from skcode._validation import check_dictionary, fit_context
from skcode.base import AmortisedCoder
from skcode.solvers import fista

STEPS = {"solver": "fista", "tol": 0}


class Projection(AmortisedCoder):
    """Reads codes off by the atoms themselves."""

    _parameter_constraints = {**AmortisedCoder._amortised_constraints, "dictionary": ["array-like"]}

    def __init__(self, dictionary, *, refine=None, sparse_output=False, n_jobs=None, verbose=0):
        self.dictionary = dictionary
        self.refine = refine
        self.sparse_output = sparse_output
        self.n_jobs = n_jobs
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        X = self._check_training_samples(X)
        self.components_ = check_dictionary(self.dictionary, X.shape[1])
        self.mean_ = self.offset_ = X.mean(axis=0)
        self._fit_refiner(X)
        return self

    def _reader(self, dtype):
        return partial(_project, offset=self.offset_.astype(dtype), atoms=self.components_.T.astype(dtype))


def _project(X, output, *, offset, atoms):
    codes = (X - offset) @ atoms
    return sp.csr_array(codes) if output == "csr" else codes


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
        (np.ones(40), "Expected 2D array, got 1D array"),
        (np.full((300, 40), np.nan), "codes_init contains NaN"),
        (sp.csr_array(np.full((300, 40), np.inf)), "codes_init contains infinity"),
        (np.full((300, 40), 1j), "Complex data not supported"),
    ],
)
def test_bad_start_codes_are_named(shift, codes_init, message):
    coder = FISTACoder(shift.dictionary).fit(shift.X_train)
    with pytest.raises(ValueError, match=message):
        coder.codes(shift.X_val, codes_init=codes_init)


@pytest.mark.parametrize("sparse_output", [False, True])
def test_refinement_goes_on_from_the_amortised_codes(shift, sparse_output):
    refine = FISTACoder(alpha=0.05, max_iter=5, sparse_output=not sparse_output, **STEPS)
    plain = Projection(shift.dictionary).fit(shift.X_train)
    refined = Projection(shift.dictionary, refine=refine, sparse_output=sparse_output).fit(shift.X_train)
    start = np.maximum(plain.transform(shift.X_val), 0)
    expected = fista(
        shift.X_val, shift.dictionary, 0.05, max_iter=5, tol=0, codes_init=start, offset=plain.offset_
    ).codes  # fmt: skip
    codes = refined.transform(shift.X_val)
    assert sp.issparse(codes) == sparse_output
    np.testing.assert_array_equal(codes.toarray() if sparse_output else codes, expected)
    assert refined.transform(shift.X_val.astype(np.float32)).dtype == np.float32
    assert plain.refiner_ is None
    assert not hasattr(refine, "components_")  # the parameter itself is untouched
    assert refine.dictionary is None


def test_refining_to_the_end_gives_the_optimum_on_the_dictionary_of_the_encoder(shift):
    refined = Projection(shift.dictionary, refine=FISTACoder(tol=1e-8)).fit(shift.X_train)
    exact = FISTACoder(shift.dictionary, offset="mean", tol=1e-8).fit(shift.X_train)
    np.testing.assert_allclose(refined.transform(shift.X_val), exact.transform(shift.X_val), atol=1e-3)


def test_settings_of_the_refinement_can_be_searched(shift):
    encoder = Projection(shift.dictionary, refine=FISTACoder(max_iter=3, **STEPS))
    grid = {"projection__refine": [None, encoder.refine], "projection__sparse_output": [False, True]}
    search = GridSearchCV(make_pipeline(encoder, LogisticRegression()), grid, cv=2, error_score="raise")
    search.fit(shift.X_train, shift.y_train)
    search = GridSearchCV(encoder, {"refine__alpha": [0.01, 1.0]}, cv=2, error_score="raise").fit(shift.X_train)
    assert search.best_params_ == {"refine__alpha": 0.01}
    assert clone(search.best_estimator_).refine.alpha == 0.01


def test_what_cannot_refine_is_named(shift):
    with pytest.raises(ValueError, match=r"refine must be a coder on a given dictionary.*got DictionaryLearner"):
        Projection(shift.dictionary, refine=DictionaryLearner()).fit(shift.X_train)
    with pytest.raises(ValueError, match="'refine' parameter of Projection"):
        Projection(shift.dictionary, refine=LogisticRegression()).fit(shift.X_train)
