from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skcode import DictionaryLearner, FISTACoder, LISTACoder, MLPCoder, SparseAutoencoder
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


def _project(X, sparse, *, offset, atoms):
    codes = (X - offset) @ atoms
    return sp.csr_array(codes) if sparse else codes


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


def test_a_refinement_must_have_the_sign_of_the_encoder(shift):
    encoder = LISTACoder(shift.dictionary, positive=False, n_layers=4, max_epochs=2, refine=FISTACoder())
    with pytest.raises(
        ValueError, match=r"must not drop the negative codes of positive=False.*positive=False to FISTA"
    ):
        encoder.fit(shift.X_train)
    signs = np.random.RandomState(0).choice([-1.0, 1.0], shift.codes_train.shape)
    X = (signs * shift.codes_train) @ shift.dictionary
    encoder.set_params(refine__positive=False).fit(X)
    exact = FISTACoder(shift.dictionary, positive=False).fit(X)
    assert encoder.score(X) == pytest.approx(exact.score(X), abs=1e-3)
    assert encoder.transform(X).min() < -0.1
    with pytest.raises(ValueError, match="must not drop"):
        encoder.set_params(refine=FISTACoder()).transform(X)


def test_the_refinement_follows_the_dictionary_and_the_offset(shift):
    encoder = Projection(shift.dictionary, refine=FISTACoder(tol=1e-8)).fit(shift.X_train)
    encoder.transform(shift.X_val)
    encoder.components_ = shift.dictionary[::-1].copy()
    encoder.offset_ = np.full(19, 0.01)
    exact = FISTACoder(shift.dictionary[::-1], offset=np.full(19, 0.01), tol=1e-8).fit(shift.X_train)
    np.testing.assert_allclose(encoder.transform(shift.X_val), exact.transform(shift.X_val), atol=1e-3)
    np.testing.assert_array_equal(encoder.refiner_.components_, encoder.components_)
    encoder.components_ *= 2  # in place
    exact.components_ = encoder.components_
    np.testing.assert_allclose(encoder.transform(shift.X_val), exact.transform(shift.X_val), atol=1e-3)


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        (MLPCoder(n_hidden=8, max_epochs=2), r"their largest feature, less the offset, is 0\.00"),
        (LISTACoder(n_layers=2, max_epochs=2), r"their largest feature, less the offset, is 0\.00"),
        (SparseAutoencoder(activation="relu", alpha=0.1, max_epochs=20), "their largest feature"),
        (Projection(None, refine=FISTACoder()), r"with alpha=0\.1: above .* Lower alpha"),
    ],
    ids=["perceptron", "lista", "autoencoder", "refined"],
)
def test_silence_is_told_once(shift, encoder, message):
    encoder = clone(encoder)
    if "dictionary" in encoder.get_params():
        encoder.set_params(dictionary=shift.dictionary)
    if "random_state" in encoder.get_params():
        encoder.set_params(random_state=0)
    encoder.fit(shift.X_train)
    if isinstance(encoder, MLPCoder):
        encoder.weights_["output_bias"] -= 0.05  # from where codes of small samples are zero
    if isinstance(encoder, SparseAutoencoder):
        encoder.encoder_bias_ = encoder.encoder_bias_ - 0.5
    with pytest.warns(UserWarning, match=message) as seen:
        encoder.transform(encoder.offset_ + 1e-3 * (shift.X_val - encoder.offset_))
    assert len(seen) == 1


@pytest.mark.parametrize("refine", [None, FISTACoder(tol=1e-8)])
def test_scores_in_blocks_are_those_of_the_codes(shift, refine, monkeypatch):
    encoder = Projection(shift.dictionary, refine=refine).fit(shift.X_train)
    whole = encoder.score(shift.X_val)
    reconstruction = encoder.inverse_transform(encoder.transform(shift.X_val))
    missed, total = (np.sum((shift.X_val - other) ** 2) for other in (reconstruction, encoder.mean_))
    assert whole == pytest.approx(-missed / total)
    monkeypatch.setattr("skcode.base.base_coder._ROWS_AT_ONCE", 70)
    assert encoder.score(shift.X_val) == pytest.approx(whole, rel=1e-6)
