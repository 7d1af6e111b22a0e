"""scikit-learn's own checks on every estimator, and its machinery around them."""

import pickle

import numpy as np
import pytest
from joblib import parallel_config
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from skcode import DictionaryLearner, FISTACoder, LISTACoder, MLPCoder, OracleCoder, SparseAutoencoder

ACTIVATIONS = ("topk", "batchtopk", "matryoshka", "relu", "jumprelu", "gated", "matching_pursuit")
ESTIMATORS = [
    FISTACoder(),
    FISTACoder(positive=False, sparse_output=True, offset="mean"),
    OracleCoder(),
    FISTACoder(penalty="mcp"),
    DictionaryLearner(max_epochs=3),
    DictionaryLearner(max_epochs=3, positive=False, penalty="mcp", offset="mean"),
    DictionaryLearner(method="alternating", max_epochs=12),
    DictionaryLearner(method="softplus", max_epochs=3),
    *(SparseAutoencoder(activation=activation, max_epochs=20) for activation in ACTIVATIONS),
    SparseAutoencoder(activation="gated", whiten=True, sparse_output=True, max_epochs=20),
    LISTACoder(n_layers=4, max_epochs=5),
    LISTACoder(n_layers=4, coupled=False, shared=False, positive=False, offset="mean", max_epochs=5),
    MLPCoder(n_hidden=16, max_epochs=5),
    MLPCoder(n_hidden=None, sparse_output=True, refine=FISTACoder(), max_epochs=5),
]

# Fits are too short here, and samples too few, for the mean L0 that autoencoders aim at.
pytestmark = pytest.mark.filterwarnings("ignore:codes ha(ve|d) a mean L0:sklearn.exceptions.ConvergenceWarning")


@pytest.mark.filterwarnings("ignore:the mean of X holds")  # of uniform numbers
@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def fitted(estimator, shift):
    small = {"max_epochs": 3, "random_state": 0}
    changes = {name: value for name, value in small.items() if name in estimator.get_params()}
    estimator = clone(estimator).set_params(**changes)
    return estimator.fit(shift.X_train, shift.codes_train)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
def test_pickle_keeps_the_bits(estimator, shift):
    estimator = fitted(estimator, shift)
    again = pickle.loads(pickle.dumps(estimator))
    assert (again.transform(shift.X_val) != estimator.transform(shift.X_val)).sum() == 0


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
def test_fit_transform_is_fit_then_transform(estimator, shift):
    once = fitted(estimator, shift)
    together = clone(once).fit_transform(shift.X_train, shift.codes_train)
    apart = once.transform(shift.X_train)
    difference = abs(together - apart).max()
    assert difference == 0


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
def test_reconstruction_score_and_names(estimator, shift):
    estimator = fitted(estimator, shift)
    codes = estimator.transform(shift.X_val)
    assert codes.shape == (len(shift.X_val), len(estimator.components_))
    dense = codes.toarray() if hasattr(codes, "toarray") else codes
    X_hat = estimator.inverse_transform(codes)
    np.testing.assert_allclose(X_hat, dense @ estimator.components_ + estimator.offset_, atol=1e-12)
    missed = np.sum((shift.X_val - X_hat) ** 2) / np.sum((shift.X_val - shift.X_train.mean(axis=0)) ** 2)
    assert estimator.score(shift.X_val) == pytest.approx(-missed)
    names = estimator.get_feature_names_out()
    assert names[0] == type(estimator).__name__.lower() + "0"
    assert len(names) == len(estimator.components_)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
def test_float32_in_float32_out(estimator, shift):
    estimator = fitted(estimator, shift)
    codes = estimator.transform(shift.X_val.astype(np.float32))
    assert codes.dtype == np.float32
    assert estimator.inverse_transform(codes).dtype == np.float32
    assert estimator.transform(shift.X_val).dtype == np.float64


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
def test_codes_of_the_wrong_width_are_rejected(estimator, shift):
    estimator = fitted(estimator, shift)
    with pytest.raises(ValueError, match="X must hold codes over n_components="):
        estimator.inverse_transform(np.ones((2, 3)))


LEARNERS = [
    FISTACoder(),
    OracleCoder(),
    DictionaryLearner(20, max_epochs=2, random_state=0),
    LISTACoder(n_components=40, n_layers=2, max_epochs=2, random_state=0),
    MLPCoder(n_components=40, n_hidden=4, max_epochs=2, random_state=0, refine=FISTACoder()),
    SparseAutoencoder(20, max_epochs=2, random_state=0),
    SparseAutoencoder(20, activation="relu", n_active=4, max_epochs=2, random_state=0, refine=FISTACoder()),
]


def fitted_attributes(estimator):
    """Return what a user sees of what was fitted, as bytes."""
    public = {name for name in vars(estimator) if name.endswith("_")} | {"components_", "refiner_"}
    return pickle.dumps({name: getattr(estimator, name, None) for name in sorted(public)})


def calls(estimator, X, y):
    """Return every public call of an estimator that takes samples or nothing, by name."""
    codes = estimator.transform(X)
    every = {
        "fit": lambda X: estimator.fit(X, y),
        "fit_transform": lambda X: estimator.fit_transform(X, y),
        "partial_fit": lambda X: estimator.partial_fit(X),
        "finalize": lambda X: estimator.finalize(),
        "transform": estimator.transform,
        "codes": lambda X: estimator.codes(X),
        "score": estimator.score,
        "inverse_transform": lambda X: estimator.inverse_transform(codes),
    }
    return {name: call for name, call in every.items() if hasattr(estimator, name)}


@pytest.mark.parametrize("estimator", LEARNERS, ids=str)
@pytest.mark.parametrize("stream", [False, True])
def test_a_call_that_fails_leaves_everything_as_it_was(estimator, stream, shift):
    estimator = clone(estimator)
    if stream and not hasattr(estimator, "partial_fit"):
        pytest.skip("learns in one call")
    if stream:
        estimator.partial_fit(shift.X_train)
    else:
        estimator.fit(shift.X_train, shift.codes_train)
    before = fitted_attributes(estimator)
    bad = {
        "features": shift.X_train[:, 1:],
        "numbers": np.full((600, 19), np.nan),
        "kind": "X.npy",
    }
    for name, call in calls(estimator, shift.X_train, shift.codes_train).items():
        for kind, X in bad.items():
            if name in ("finalize", "inverse_transform") or (name.startswith("fit") and kind == "features"):
                continue  # take no samples; fit takes any number of features
            with pytest.raises((TypeError, ValueError), match="X"):
                call(X)
            assert fitted_attributes(estimator) == before, (name, kind)


@pytest.mark.parametrize("estimator", LEARNERS, ids=str)
def test_a_call_that_is_interrupted_leaves_everything_as_it_was(estimator, shift, monkeypatch):
    estimator = clone(estimator)
    if hasattr(estimator, "partial_fit"):
        estimator.partial_fit(shift.X_train)
    else:
        estimator.fit(shift.X_train, shift.codes_train)
    every = calls(estimator, shift.X_train, shift.codes_train)
    estimator.set_params(verbose=2)
    before = fitted_attributes(estimator)

    def broken_pipe(*args, **kwargs):
        raise BrokenPipeError

    monkeypatch.setattr("builtins.print", broken_pipe)
    n_failed = 0
    for name, call in every.items():
        try:
            call(shift.X_train)
        except BrokenPipeError:
            n_failed += 1
            assert fitted_attributes(estimator) == before, name
    assert n_failed


@pytest.mark.parametrize("estimator", LEARNERS, ids=str)
def test_parameters_are_checked_by_every_call(estimator, shift):
    estimator = clone(estimator).fit(shift.X_train, shift.codes_train)
    every = calls(estimator, shift.X_train, shift.codes_train)
    before = fitted_attributes(estimator)
    bad = {
        "offset": "median",
        "n_jobs": 0,
        "solver": "lars",
        "penalty": "l2",
        "max_epochs": 0,
        "refine": 3,
        "verbose": -1,
    }
    for parameter, value in bad.items():
        if parameter not in estimator.get_params():
            continue
        good = estimator.get_params()[parameter]
        estimator.set_params(**{parameter: value})
        for name, call in every.items():
            with pytest.raises(ValueError, match=f"The '{parameter}' parameter of {type(estimator).__name__} must"):
                call(shift.X_train)
            assert fitted_attributes(estimator) == before, name
        estimator.set_params(**{parameter: good})
    every["transform"](shift.X_train)


@pytest.mark.parametrize(
    ("estimator", "bad"),
    [
        (SparseAutoencoder(20, max_epochs=2, random_state=0), {"learning_rate": 1e300}),
        (SparseAutoencoder(20, max_epochs=2, random_state=0), {"activation": "relu", "refine": DictionaryLearner()}),
        (MLPCoder(n_components=20, max_epochs=2, random_state=0), {"learning_rate": 1e300}),
        (DictionaryLearner(20, max_epochs=2, random_state=0), {"offset": np.zeros(3)}),
        (FISTACoder(), {"target_l0": 500}),
    ],
    ids=str,
)
def test_a_fit_that_fails_late_leaves_everything_as_it_was(estimator, bad, shift):
    estimator = clone(estimator).fit(shift.X_train)
    before = fitted_attributes(estimator)
    with pytest.raises(ValueError), np.errstate(all="ignore"):  # noqa: PT011 -- any will do
        estimator.set_params(**bad).fit(shift.X_val[:, :-1])
    assert fitted_attributes(estimator) == before


@pytest.mark.parametrize(
    "estimator",
    [
        SparseAutoencoder(20),
        SparseAutoencoder(20, whiten=True),
        LISTACoder(n_components=20),
        MLPCoder(n_components=20),
        DictionaryLearner(20),
    ],
    ids=str,
)
@pytest.mark.parametrize("scale", [1e-170, 1e200])
def test_a_scale_whose_squares_cannot_be_told_is_refused(estimator, scale, shift):
    with pytest.raises(ValueError, match=r"must have norms between .* in float64, got .*Scale X"):
        clone(estimator).fit(scale * shift.X_train)


def test_data_frames_in_and_out(shift):
    pandas = pytest.importorskip("pandas")
    X = pandas.DataFrame(shift.X_train).add_prefix("neuron")
    coder = FISTACoder(shift.dictionary).set_output(transform="pandas").fit(X)
    codes = coder.transform(X)
    assert list(codes.columns[:2]) == ["fistacoder0", "fistacoder1"]
    assert list(coder.feature_names_in_[:2]) == ["neuron0", "neuron1"]
    with pytest.raises(ValueError, match="sparse"):
        coder.set_params(sparse_output=True).transform(X)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_autoencoders_in_a_pipeline_with_data_frames(shift, activation):
    pandas = pytest.importorskip("pandas")
    X = pandas.DataFrame(shift.X_train).add_prefix("neuron")
    sae = SparseAutoencoder(40, activation=activation, n_active=4, max_epochs=3, random_state=0)
    pipeline = make_pipeline(sae, LogisticRegression(max_iter=1000)).set_output(transform="pandas")
    pipeline.fit(X, shift.y_train)
    codes = pipeline[0].transform(X)
    assert list(codes.columns[:2]) == ["sparseautoencoder0", "sparseautoencoder1"]
    np.testing.assert_array_equal(codes.to_numpy(), clone(sae).fit(shift.X_train).transform(shift.X_train))


@pytest.mark.parametrize("estimator", [FISTACoder(sparse_output=True), SparseAutoencoder(max_epochs=2)], ids=str)
def test_worker_processes_give_the_same_bits(estimator, shift):
    estimator = fitted(estimator, shift)
    X = np.tile(shift.X_val, (8, 1))  # several chunks
    here = estimator.transform(X)
    with parallel_config("loky", n_jobs=2):
        there = estimator.transform(X)
    assert (here != there).sum() == 0


@pytest.mark.parametrize("name", ["fistacoder", "sparseautoencoder"])
def test_grid_search_over_a_pipeline(shift, name):
    coder, grid = {
        "fistacoder": (FISTACoder(shift.dictionary), {"alpha": [0.05, 0.2], "positive": [True, False]}),
        "sparseautoencoder": (
            SparseAutoencoder(40, max_epochs=5, random_state=0),
            {"n_active": [2, 4], "activation": ACTIVATIONS},
        ),
    }[name]
    grid = {f"{name}__{parameter}": values for parameter, values in grid.items()}
    search = GridSearchCV(make_pipeline(coder, LogisticRegression(max_iter=1000)), grid, cv=2, error_score="raise")
    search.fit(shift.X_train, shift.y_train)
    assert len(search.cv_results_["params"]) == np.prod([len(values) for values in grid.values()])
    assert search.score(shift.X_val, shift.y_val) > 0.7


def test_grid_search_over_a_coder_alone(shift):
    search = GridSearchCV(FISTACoder(shift.dictionary), {"alpha": [0.01, 0.5]}, cv=2, error_score="raise")
    assert search.fit(shift.X_train).best_params_ == {"alpha": 0.01}
