"""What LISTACoder and MLPCoder share: what is minimised, training, and reading codes off."""

import numpy as np
import pytest
import scipy.sparse as sp
from joblib import parallel_config
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags
from threadpoolctl import threadpool_limits

from skcode import DictionaryLearner, FISTACoder, LISTACoder, MLPCoder, OracleCoder
from skcode.coding._amortised import Aim, loss_and_gradients
from skcode.coding.lista_coder import UnrolledISTA
from skcode.coding.mlp_coder import Perceptron
from skcode.datasets import make_compositional_shift
from skcode.metrics import amortisation_gap, mcc_score, unexplained_variance
from skcode.solvers import objective

NETWORKS = {
    "perceptron": Perceptron(7),
    "linear": Perceptron(None),
    "without_bias": Perceptron(7, "random", bias=False),
    **{
        f"lista{coupled:d}{shared:d}{positive:d}": UnrolledISTA(3, coupled, shared, positive)
        for coupled in (True, False) for shared in (True, False) for positive in (True, False)
    },
}  # fmt: skip
ENCODERS = [
    MLPCoder(n_hidden=16, max_epochs=5, random_state=0),
    MLPCoder(n_hidden=None, max_epochs=5, random_state=0),
    LISTACoder(n_layers=3, max_epochs=5, random_state=0),
    LISTACoder(n_layers=3, coupled=False, shared=True, positive=False, max_epochs=5, random_state=0),
]


@pytest.fixture(params=ENCODERS, ids=str)
def encoder(request):
    return clone(request.param)


@pytest.mark.parametrize("supervised", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_are_those_of_finite_differences(rng, random_dictionary, name, supervised):
    network, X, dictionary = NETWORKS[name], rng.standard_normal((11, 4)), random_dictionary(6, 4)
    alpha, weight = rng.uniform(0.05, 0.2, 6), rng.uniform(0.5, 2, 6)
    aim = Aim(alpha, rng.standard_normal((11, 6)), weight) if supervised else Aim(alpha)
    parameters = {**network.initialise(dictionary, 0.1, rng), "dictionary": dictionary}
    for value in parameters.values():  # off the start, where matrices of all layers are equal
        value += 0.1 * np.abs(rng.standard_normal(value.shape))
    _, _, gradients = loss_and_gradients(network, parameters, X, aim)
    for key, gradient in gradients.items():
        for _ in range(4):
            direction, step = rng.standard_normal(gradient.shape), 1e-6
            losses = []
            for sign in (1, -1):
                moved = parameters | {key: parameters[key] + sign * step * direction}
                losses.append(loss_and_gradients(network, moved, X, aim)[0])
            slope = (losses[0] - losses[1]) / (2 * step)
            assert slope == pytest.approx(np.vdot(gradient, direction), rel=1e-5, abs=1e-8), key


def test_what_is_minimised(shift, rng):
    X, dictionary, true = shift.X_train[:20], shift.dictionary, shift.codes_train[:20]
    network = Perceptron(None)
    parameters = {**network.initialise(dictionary, 0.1, rng), "dictionary": dictionary}
    loss, codes, _ = loss_and_gradients(network, parameters, X, Aim(np.full(40, 0.3)))
    assert loss == pytest.approx(objective(X, codes, dictionary, 0.3).mean())
    for y in (true, sp.csr_array(true)):
        loss, codes, gradients = loss_and_gradients(network, parameters, X, Aim(np.full(40, 0.3), y))
        assert loss == pytest.approx(np.mean((codes - true) ** 2))
        assert "dictionary" not in gradients


@pytest.mark.parametrize("encoder", [MLPCoder(n_hidden=64), LISTACoder(n_layers=3)], indirect=True, ids=str)
def test_training_closes_most_of_the_gap(shift, encoder):
    gaps = []
    for n_epochs in (1, 100):
        encoder.set_params(dictionary=shift.dictionary, max_epochs=n_epochs, random_state=0).fit(shift.X_train)
        gaps.append(amortisation_gap(encoder, shift.X_val, alpha=0.1).mean_gap)
    assert gaps[1] < 0.5 * gaps[0]
    losses = encoder.history_["loss"]
    assert len(losses) == len(encoder.history_["mean_l0"]) == encoder.n_iter_ == 100
    assert losses[-1] < 0.9 * losses[0]
    np.testing.assert_array_equal(encoder.components_, shift.dictionary)


@pytest.mark.parametrize("make", [np.asarray, sp.csr_array, sp.csr_matrix])
def test_true_codes_are_learned_and_their_dictionary_is_that_of_least_squares(shift, encoder, make):
    encoder.set_params(dictionary=None, max_epochs=50).fit(shift.X_train, make(shift.codes_train))
    np.testing.assert_allclose(encoder.components_, OracleCoder().fit(shift.X_train, shift.codes_train).components_)
    assert mcc_score(shift.codes_train, encoder.transform(shift.X_train)) > 0.6
    codes = encoder.transform(shift.X_val)
    dense = encoder.fit(shift.X_train, shift.codes_train).transform(shift.X_val)
    np.testing.assert_allclose(codes, dense, atol=1e-9)


def test_dictionary_and_codes_together(shift):
    encoder = LISTACoder(dictionary=shift.dictionary, n_layers=5, max_epochs=20, random_state=0)
    encoder.fit(shift.X_train, shift.codes_train)
    np.testing.assert_array_equal(encoder.components_, shift.dictionary)
    error = np.mean((encoder.transform(shift.X_train) - shift.codes_train) ** 2)
    unsupervised = encoder.set_params(loss="objective").fit(shift.X_train, shift.codes_train).transform(shift.X_train)
    assert error < 0.9 * np.mean((unsupervised - shift.codes_train) ** 2)
    np.testing.assert_array_equal(encoder.fit(shift.X_train).transform(shift.X_train), unsupervised)


def test_the_dictionary_is_learned_with_the_network(shift, encoder):
    encoder.set_params(n_components=40, max_epochs=60).fit(shift.X_train)
    assert encoder.components_.shape == (40, shift.X_train.shape[1])
    np.testing.assert_allclose(np.linalg.norm(encoder.components_, axis=1), 1)
    assert encoder.history_["loss"][-1] < 0.7 * encoder.history_["loss"][0]
    start = encoder.set_params(learning_rate=1e-300, max_epochs=1).fit(shift.X_train).components_
    again = encoder.set_params(learning_rate=1e-3, max_epochs=20).fit(shift.X_train).components_
    assert np.abs(start - again).max() > 0.01
    encoder.set_params(n_components=None, max_epochs=1).fit(shift.X_train)
    assert len(encoder.components_) == 2 * shift.X_train.shape[1]


def test_units_of_the_data_do_not_matter(shift, encoder):
    encoder.set_params(dictionary=shift.dictionary, max_epochs=3)
    codes = encoder.fit(shift.X_train).transform(shift.X_val)
    scaled = encoder.set_params(alpha=1024 * encoder.alpha).fit(1024 * shift.X_train)
    np.testing.assert_array_equal(scaled.transform(1024 * shift.X_val), 1024 * codes)
    encoder.set_params(dictionary=None, n_components=40, alpha=0.1)
    components = encoder.fit(shift.X_train).components_
    encoder.set_params(alpha=102.4)
    np.testing.assert_array_equal(encoder.fit(1024 * shift.X_train).components_, components)


@pytest.mark.parametrize("supervised", [False, True])
def test_the_norm_of_atoms_does_not_matter(shift, encoder, supervised):
    encoder.set_params(dictionary=shift.dictionary, max_epochs=3, learning_rate=1e-2)
    y = shift.codes_train if supervised else None
    codes = encoder.fit(shift.X_train, y).transform(shift.X_val)
    for norm, X in ((2.0**7, shift.X_train), (2.0**600, shift.X_train), (2.0**-500, shift.X_train)):
        encoder.set_params(dictionary=norm * shift.dictionary, alpha=norm * 0.1)
        scaled = encoder.fit(X, y if y is None else y / norm)
        np.testing.assert_array_equal(norm * scaled.transform(shift.X_val), codes)
        np.testing.assert_array_equal(scaled.components_, norm * shift.dictionary)
    encoder.set_params(dictionary=30 * shift.dictionary, alpha=3.0).fit(shift.X_train, y if y is None else y / 30)
    np.testing.assert_allclose(30 * encoder.transform(shift.X_val), codes, atol=0.1)
    assert np.corrcoef(encoder.transform(shift.X_val).ravel(), codes.ravel())[0, 1] > 0.98


def test_atoms_of_many_norms_have_the_penalty_that_is_asked_for(shift, encoder):
    norms = 10.0 ** np.linspace(-2, 2, 40)
    norms[:2] = 0
    dictionary = norms[:, None] * shift.dictionary
    X = shift.codes_train[:, 2:] @ shift.dictionary[2:]
    encoder.set_params(dictionary=dictionary, max_epochs=100, alpha=1e-3).fit(X)
    codes = encoder.transform(X)
    assert not codes[:, :2].any()
    by_hand = objective(X, codes, dictionary, 1e-3, positive=getattr(encoder, "positive", True)).mean()
    assert encoder.history_["loss"][-1] == pytest.approx(by_hand, rel=0.05)
    assert by_hand < 0.5 * objective(X, np.zeros_like(codes), dictionary, 1e-3).mean()


@pytest.mark.parametrize("make", [np.asarray, sp.csr_array])
def test_errors_of_codes_count_in_the_units_of_the_user(shift, encoder, make):
    norms = 10.0 ** np.linspace(-1, 1, 40)
    y = shift.codes_train / norms
    encoder.set_params(dictionary=norms[:, None] * shift.dictionary, max_epochs=60).fit(shift.X_train, make(y))
    error = np.mean((encoder.transform(shift.X_train) - y) ** 2)
    assert encoder.history_["loss"][-1] == pytest.approx(error, rel=0.1)
    assert error < 0.9 * np.mean(y**2)


def test_a_huge_dictionary_is_no_worse_than_a_small_one(shift, encoder):
    encoder.set_params(dictionary=1e200 * shift.dictionary, alpha=1e199, max_epochs=2).fit(shift.X_train)
    assert encoder.transform(shift.X_val).any()


def test_the_first_argument_is_the_dictionary(shift, encoder):
    by_position = type(encoder)(shift.dictionary, max_epochs=1).fit(shift.X_train)
    np.testing.assert_array_equal(by_position.components_, shift.dictionary)
    with pytest.raises(
        ValueError, match=r"'dictionary' parameter of .* Got 20 .* The number of components is n_components=20"
    ):
        type(encoder)(20).fit(shift.X_train)


def test_offset_is_taken_out(shift, encoder):
    offset = np.linspace(-2, 2, shift.X_train.shape[1])
    encoder.set_params(dictionary=shift.dictionary, max_epochs=2)
    plain = encoder.fit(shift.X_train).transform(shift.X_val)
    moved = encoder.set_params(offset=offset).fit(shift.X_train + offset)
    np.testing.assert_allclose(moved.transform(shift.X_val + offset), plain, atol=1e-6)
    mean = encoder.set_params(offset="mean").fit(shift.X_train)
    np.testing.assert_allclose(mean.offset_, shift.X_train.mean(axis=0))


def test_refined_codes_are_certified_on_the_dictionary_of_the_encoder(shift, encoder):
    refine = FISTACoder(tol=1e-6, positive=getattr(encoder, "positive", True))
    encoder.set_params(dictionary=None, n_components=40, max_epochs=2, refine=refine).fit(shift.X_train)
    exact = clone(refine).set_params(dictionary=encoder.components_, offset=encoder.offset_).fit(shift.X_train)
    np.testing.assert_allclose(encoder.transform(shift.X_val), exact.transform(shift.X_val), atol=1e-2)
    assert encoder.refiner_.codes(shift.X_val).dual_gap.max() <= 1e-6


def test_neither_threads_nor_chunks_nor_the_format_matter(shift, encoder):
    encoder.set_params(dictionary=shift.dictionary, max_epochs=2).fit(shift.X_train)
    X = np.tile(shift.X_val, (8, 1))  # several chunks
    codes = encoder.transform(X)
    assert (encoder.set_params(n_jobs=2).transform(X) != codes).sum() == 0
    sparse = encoder.set_params(sparse_output=True).transform(X)
    assert sp.issparse(sparse)
    assert (sparse != codes).sum() == 0
    with parallel_config("loky", n_jobs=2):
        assert (encoder.set_params(n_jobs=None).transform(X) != codes).sum() == 0


@pytest.mark.parametrize(
    ("encoder", "changes"),
    [
        (MLPCoder(n_hidden=16, max_epochs=2), {"n_hidden": None}),
        (LISTACoder(n_layers=3, max_epochs=2), {"n_layers": 5, "coupled": False, "positive": False}),
    ],
    ids=str,
)
def test_a_changed_parameter_does_not_change_what_was_fitted(shift, encoder, changes):
    encoder = clone(encoder).fit(shift.X_train)
    codes = encoder.transform(shift.X_val)
    np.testing.assert_array_equal(encoder.set_params(**changes).transform(shift.X_val), codes)


def test_same_seed_same_bits(shift):
    one, two, other = (
        MLPCoder(n_components=40, n_hidden=8, max_epochs=2, random_state=seed).fit(shift.X_train).components_
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)


def test_float32_is_trained_in_float32(shift):
    coder = LISTACoder(dictionary=shift.dictionary, n_layers=2, max_epochs=1).fit(shift.X_train.astype(np.float32))
    assert {value.dtype for value in coder.weights_.values()} == {np.dtype(np.float32)}
    assert coder.components_.dtype == np.float64  # as given


def test_labels_in_a_pipeline(shift):
    coder = MLPCoder(dictionary=shift.dictionary, n_hidden=32, max_epochs=60, random_state=0)
    unsupervised = clone(coder).set_params(max_epochs=2).fit(shift.X_train).transform(shift.X_val)
    for labels in (shift.y_train, shift.y_train.tolist(), np.where(shift.y_train, "yes", "no")):
        ignored = clone(coder).set_params(max_epochs=2).fit(shift.X_train, labels).transform(shift.X_val)
        np.testing.assert_array_equal(ignored, unsupervised)
    pipeline = make_pipeline(coder, LogisticRegression(max_iter=1000))
    grid = {"mlpcoder__n_hidden": [None, 32], "mlpcoder__refine": [None, FISTACoder(max_iter=2, tol=0)]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(shift.X_train, shift.y_train)
    assert search.score(shift.X_val, shift.y_val) > 0.8


def test_codes_are_required_where_they_are_the_loss():
    assert get_tags(MLPCoder(loss="codes")).target_tags.required
    assert not get_tags(MLPCoder()).target_tags.required


def test_threads_of_linear_algebra_do_not_matter():
    data = make_compositional_shift(1000, 300, 10, random_state=100)
    y = data.codes_train
    for coder, codes in [
        (MLPCoder(dictionary=data.dictionary, max_epochs=1, random_state=0), None),
        (MLPCoder(n_hidden=8, max_epochs=1, random_state=0), y),
        (OracleCoder(), y),
        (OracleCoder(), sp.csr_array(y)),
    ]:
        found = []
        for n_threads in (1, 2):
            with threadpool_limits(n_threads, user_api="blas"):
                found.append(clone(coder).fit(data.X_train, codes))
        one, two = found
        np.testing.assert_array_equal(one.components_, two.components_)
        for name, weights in getattr(one, "weights_", {}).items():
            np.testing.assert_array_equal(weights, two.weights_[name])


@pytest.mark.parametrize("coder", [MLPCoder, LISTACoder])
def test_a_loud_sample_is_told_of_and_does_not_take_all(shift, coder):
    loud = shift.X_train.copy()
    loud[7] *= 1000
    coder = coder(dictionary=shift.dictionary, max_epochs=100, random_state=0)
    error = -clone(coder).fit(shift.X_train).score(shift.X_val)
    with pytest.warns(UserWarning, match="1 of 300 samples"):
        coder.fit(loud)
    reconstruction = coder.inverse_transform(coder.transform(shift.X_val))
    assert unexplained_variance(shift.X_val, reconstruction, mean=shift.X_train.mean(axis=0)) < 1.4 * error


@pytest.mark.parametrize("coder", [MLPCoder, LISTACoder])
def test_a_mean_that_nothing_subtracts_is_told_of_where_a_dictionary_is_learned(shift, coder):
    X = shift.X_train + 4 / np.sqrt(19)
    with pytest.warns(UserWarning, match="the mean of X holds"):
        coder(n_components=40, max_epochs=1, random_state=0).fit(X)
    coder(n_components=40, offset="mean", max_epochs=1, random_state=0).fit(X)
    coder(dictionary=shift.dictionary, max_epochs=1, random_state=0).fit(X)


def test_verbose_prints_each_epoch(shift, capsys):
    MLPCoder(n_hidden=2, max_epochs=2, verbose=2, random_state=0).fit(shift.X_train)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [f"[MLPCoder] epoch {i} of 2" for i in (1, 2)]


@pytest.mark.parametrize(
    ("parameters", "y", "message"),
    [
        ({"dictionary": np.ones((40, 3))}, None, r"dictionary has shape \(40, 3\).*X has 19 features"),
        ({"n_components": 9}, "codes", "n_components=9 but y holds codes over 40 components"),
        ({"n_components": 9, "dictionary": np.ones((4, 19))}, None, "n_components=9 but dictionary has 4 components"),
        ({"dictionary": np.ones((4, 19))}, "codes", r"y must hold codes over the 4 components.*got 40; loss='obj"),
        (
            {"dictionary": np.ones((4, 19)), "loss": "codes"},
            "labels",
            "y must hold codes over the 4 components of the dictionary, got 1",
        ),
        ({"loss": "codes"}, None, "requires y to be passed, but the target y is None"),
        ({"loss": "mse"}, None, "'loss' parameter of MLPCoder must be a str among"),
        ({"learning_rate": 1e300, "max_epochs": 9}, None, r"diverged in epoch .*: learning_rate=1e"),
        ({"refine": 3}, None, "'refine' parameter of MLPCoder"),
        ({"refine": DictionaryLearner()}, None, "refine must be a coder on a given dictionary.*got DictionaryLearner"),
        ({"init": "zeros"}, None, "'init' parameter of MLPCoder must be a str among"),
        ({"bias": 1}, None, "'bias' parameter of MLPCoder"),
    ],
)
def test_bad_parameters_are_named(shift, parameters, y, message):
    y = {"codes": shift.codes_train, "labels": shift.y_train, None: None}[y]
    with pytest.raises(ValueError, match=message):
        MLPCoder(**parameters).fit(shift.X_train, y)
