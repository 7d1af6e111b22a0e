import copy
import pickle
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from skcode import FISTACoder, OracleCoder
from skcode.metrics import duality_gap, match_dictionaries
from skcode.solvers import fista, mcp, refit


@pytest.mark.parametrize("solver", ["working_set", "fista", "ista"])
@pytest.mark.parametrize("positive", [True, False])
def test_every_sample_is_certified(shift, solver, positive):
    coder = FISTACoder(shift.dictionary, solver=solver, positive=positive, tol=1e-6).fit(shift.X_train)
    result = coder.codes(shift.X_val)
    by_hand = duality_gap(shift.X_val, result.codes, shift.dictionary, 0.1, positive=positive)
    np.testing.assert_allclose(result.dual_gap, by_hand, atol=1e-14)
    assert result.dual_gap.max() <= 1e-6
    np.testing.assert_array_equal(coder.transform(shift.X_val), result.codes)
    assert coder.n_iter_ == coder.codes(shift.X_train[:32]).n_iter.max()


def test_offset_is_taken_out_and_put_back(shift):
    offset = np.linspace(-1, 1, shift.X_train.shape[1])
    plain = FISTACoder(shift.dictionary).fit(shift.X_train)
    moved = FISTACoder(shift.dictionary, offset=offset).fit(shift.X_train + offset)
    np.testing.assert_allclose(moved.transform(shift.X_val + offset), plain.transform(shift.X_val), atol=1e-9)
    X_hat = moved.inverse_transform(plain.transform(shift.X_val))
    np.testing.assert_allclose(X_hat, plain.inverse_transform(plain.transform(shift.X_val)) + offset)
    mean = FISTACoder(shift.dictionary, offset="mean").fit(shift.X_train)
    np.testing.assert_allclose(mean.offset_, shift.X_train.mean(axis=0))


def test_exemplar_dictionary_is_the_training_samples(shift):
    coder = FISTACoder().fit(shift.X_train[:30])
    lengths = np.linalg.norm(shift.X_train[:30], axis=1, keepdims=True)
    np.testing.assert_allclose(coder.components_, shift.X_train[:30] / lengths)
    codes = coder.set_params(alpha=1e-3).fit(shift.X_train[:30]).transform(shift.X_train[:1])
    assert np.argmax(codes) == 0


def test_dictionary_is_copied(shift):
    dictionary = shift.dictionary.copy()
    coder = FISTACoder(dictionary).fit(shift.X_train)
    dictionary[:] = 0
    assert coder.components_.any()
    assert coder.dictionary is dictionary  # the parameter itself is untouched


def test_one_warning_tells_how_many_missed_and_the_worst_gap(shift):
    coder = FISTACoder(shift.dictionary, solver="fista", max_iter=3, tol=1e-8).fit(shift.X_train)
    with pytest.warns(
        ConvergenceWarning,
        match=r"300 of 300 samples missed .* 1e-08; the worst .* 300 had 3 iterations: raise max_iter or tol",
    ) as seen:
        coder.transform(shift.X_val)
    assert len(seen) == 1
    assert seen[0].filename == __file__  # it points at the caller, not into a library
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        coder.set_params(tol=0).transform(shift.X_val)


def test_verbose_prints_one_line(shift, capsys):
    FISTACoder(shift.dictionary, verbose=1).fit(shift.X_train).transform(shift.X_val)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("[FISTACoder] 300 samples, mean L0")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"dictionary": np.ones((4, 3))}, r"dictionary has shape \(4, 3\).*X has 19 features"),
        ({"dictionary": np.full((4, 19), np.nan)}, "dictionary contains NaN"),
        ({"offset": np.ones(3)}, r"offset must be a vector of n_features=19 values, got shape \(3,\)"),
        ({"alpha": 0.0}, "'alpha' parameter of FISTACoder must be a float in the range"),
        ({"tol": -1.0}, "'tol' parameter of FISTACoder"),
        ({"solver": "lars"}, "'solver' parameter of FISTACoder must be a str among"),
    ],
)
def test_bad_parameters_are_named(shift, parameters, message):
    with pytest.raises(ValueError, match=message):
        FISTACoder(**{"dictionary": shift.dictionary, **parameters}).fit(shift.X_train)


def test_unfitted_and_other_features_are_rejected(shift):
    with pytest.raises(NotFittedError):
        FISTACoder(shift.dictionary).transform(shift.X_val)
    with pytest.raises(ValueError, match="features"):
        FISTACoder(shift.dictionary).fit(shift.X_train).transform(shift.X_val[:, 1:])


def test_oracle_with_a_dictionary_is_the_coder(shift):
    oracle, coder = (cls(shift.dictionary).fit(shift.X_train) for cls in (OracleCoder, FISTACoder))
    np.testing.assert_array_equal(oracle.transform(shift.X_val), coder.transform(shift.X_val))


@pytest.mark.parametrize("make", [np.asarray, sp.csr_array, sp.csr_matrix])
def test_oracle_finds_the_dictionary_behind_true_codes(shift, make):
    oracle = OracleCoder().fit(shift.X_train, make(shift.codes_train))
    np.testing.assert_allclose(oracle.components_, shift.dictionary, atol=1e-8)
    with_offset = OracleCoder(offset=np.ones(shift.X_train.shape[1])).fit(shift.X_train + 1, make(shift.codes_train))
    np.testing.assert_allclose(with_offset.components_, shift.dictionary, atol=1e-8)


@pytest.mark.parametrize("make", [np.asarray, sp.csr_array])
def test_oracle_takes_the_least_norm_dictionary_of_too_few_codes(shift, make):
    X, codes = shift.X_train[:25], shift.codes_train[:25]
    expected = np.linalg.pinv(codes) @ X
    np.testing.assert_allclose(OracleCoder().fit(X, make(codes)).components_, expected, atol=1e-8)


def test_oracle_takes_one_component_from_a_vector(shift):
    oracle = OracleCoder().fit(shift.X_train, shift.codes_train[:, 0])
    assert oracle.components_.shape == (1, shift.X_train.shape[1])
    match = match_dictionaries(shift.dictionary[:1], oracle.components_, n_draws=0)
    assert match.mean_cosine > 0.7


def test_oracle_says_what_it_lacks(shift):
    with pytest.raises(ValueError, match="requires y to be passed, but the target y is None"):
        OracleCoder().fit(shift.X_train)
    with pytest.raises(ValueError, match="y must hold one row of codes per sample: X has 300 samples, y has 10"):
        OracleCoder().fit(shift.X_train, shift.codes_train[:10])


def test_coder_is_the_solver(shift):
    codes = FISTACoder(shift.dictionary, alpha=0.2, solver="fista", max_iter=100, tol=0, restart=False).fit(
        shift.X_train
    )
    expected = fista(shift.X_val, shift.dictionary, 0.2, max_iter=100, tol=0, restart=False).codes
    np.testing.assert_array_equal(codes.transform(shift.X_val), expected)


@pytest.mark.parametrize("positive", [True, False])
def test_target_l0_calibrates_alpha(shift, positive):
    coder = FISTACoder(shift.dictionary, target_l0=6, positive=positive, offset="mean").fit(shift.X_train)
    l0 = np.count_nonzero(coder.transform(shift.X_train)) / len(shift.X_train)
    assert l0 == pytest.approx(6, rel=0.02)
    with pytest.raises(ValueError, match="target_l0=99 cannot be reached"):
        FISTACoder(shift.dictionary, target_l0=99).fit(shift.X_train)


def test_target_l0_is_calibrated_on_a_random_choice_of_many_samples(shift, monkeypatch):
    monkeypatch.setattr("skcode.coding.fista_coder._CALIBRATION_SAMPLES", 200)
    X = shift.X_train[np.argsort(shift.X_train[:, 0])]
    X[::2] *= 0.01  # every other sample is hardly there
    coder = FISTACoder(shift.dictionary, target_l0=3, tol=0).fit(X)
    assert np.count_nonzero(coder.set_params(tol=1e-4).transform(X)) / len(X) == pytest.approx(3, rel=0.1)


def test_memory_map_gives_the_same_codes(shift, tmp_path):
    np.save(tmp_path / "X.npy", shift.X_train)
    X = np.load(tmp_path / "X.npy", mmap_mode="r")
    coder = FISTACoder(shift.dictionary, offset="mean", sparse_output=True).fit(X)
    expected = FISTACoder(shift.dictionary, offset="mean").fit(shift.X_train).transform(shift.X_train)
    np.testing.assert_array_equal(coder.transform(X).toarray(), expected)


def test_copies_leave_the_arrays_of_the_caller_writeable(shift):
    coder, mine = FISTACoder(shift.dictionary).fit(shift.X_train), shift.dictionary.copy()
    coder.components_ = mine
    copy.copy(coder)
    assert mine.flags.writeable


def test_debias_refits_and_keeps_the_certificate(shift):
    plain = FISTACoder(shift.dictionary).fit(shift.X_train).codes(shift.X_val)
    debiased = FISTACoder(shift.dictionary, debias=True, sparse_output=True).fit(shift.X_train).codes(shift.X_val)
    np.testing.assert_array_equal(debiased.dual_gap, plain.dual_gap)
    np.testing.assert_allclose(
        debiased.codes.toarray(), refit(shift.X_val, plain.codes, shift.dictionary), rtol=1e-6, atol=1e-12
    )
    assert np.abs(debiased.codes - shift.codes_val).mean() < 0.5 * np.abs(plain.codes - shift.codes_val).mean()


def test_derived_arrays_stay_out_of_pickles(shift):
    coder = FISTACoder(shift.dictionary).fit(shift.X_train)
    small = len(pickle.dumps(coder))
    expected = coder.transform(shift.X_train)
    assert len(pickle.dumps(coder)) == small < 3 * shift.dictionary.nbytes
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(coder)).transform(shift.X_train), expected)


def test_replaced_components_are_used(shift):
    coder = FISTACoder(shift.dictionary).fit(shift.X_train)
    with pytest.raises(ValueError, match="read-only"):
        coder.components_[0] = 0
    coder.components_ = shift.dictionary[::-1].copy()
    np.testing.assert_allclose(
        coder.transform(shift.X_val)[:, ::-1],
        FISTACoder(shift.dictionary).fit(shift.X_train).transform(shift.X_val),
        atol=1e-3,
    )


def test_a_miss_at_rest_is_told_from_one_for_want_of_iterations(shift):
    X = shift.X_val.astype(np.float32)
    coder = FISTACoder(shift.dictionary, tol=1e-12).fit(X)
    with pytest.warns(ConvergenceWarning, match="float32 gets no closer: raise tol or alpha, or use float64"):
        coder.transform(X)
    with pytest.warns(ConvergenceWarning, match="raise max_iter or tol"):
        coder.set_params(max_iter=1).transform(X)


@pytest.mark.parametrize("options", [{}, {"positive": False}, {"offset": "mean", "sparse_output": True}])
def test_mcp_codes_are_those_of_its_solver_and_less_shrunk(shift, options):
    coder = FISTACoder(shift.dictionary, penalty="mcp", **options).fit(shift.X_train)
    result = coder.codes(shift.X_val)
    expected = mcp(
        shift.X_val, shift.dictionary, 0.1, positive=options.get("positive", True), offset=coder.offset_
    ).codes  # fmt: skip
    codes = result.codes.toarray() if sp.issparse(result.codes) else result.codes
    np.testing.assert_allclose(codes, expected, atol=1e-12)
    assert result.violation.max() <= 1e-4
    l1 = FISTACoder(shift.dictionary, **options | {"sparse_output": False}).fit(shift.X_train).transform(shift.X_val)
    if not options:
        assert np.abs(codes - shift.codes_val).mean() < 0.6 * np.abs(l1 - shift.codes_val).mean()


def test_target_l0_counts_the_codes_of_the_penalty(shift):
    coder = FISTACoder(shift.dictionary, target_l0=4, penalty="mcp").fit(shift.X_train)
    assert np.count_nonzero(coder.transform(shift.X_train)) / len(shift.X_train) == pytest.approx(4, rel=0.02)
    assert coder.alpha_ != pytest.approx(FISTACoder(shift.dictionary, target_l0=4).fit(shift.X_train).alpha_, rel=0.1)


def test_mcp_has_a_solver_and_a_certificate_of_its_own(shift):
    with pytest.raises(ValueError, match=r"penalty='mcp' needs solver='working_set', got 'fista'"):
        FISTACoder(shift.dictionary, penalty="mcp", solver="fista").fit(shift.X_train)
    with pytest.raises(ValueError, match="penalty='mcp' needs solver='working_set', got 'ista'"):
        FISTACoder(shift.dictionary).fit(shift.X_train).set_params(penalty="mcp", solver="ista").transform(shift.X_val)
    coder = FISTACoder(shift.dictionary, penalty="mcp", tol=1e-12, max_iter=1).fit(shift.X_train)
    with pytest.warns(ConvergenceWarning, match="samples missed the violation of stationarity 1e-12"):
        coder.transform(shift.X_val)


def test_a_penalty_that_a_target_overrides_is_told(shift):
    coder = FISTACoder(shift.dictionary, target_l0=4)
    expected = coder.fit(shift.X_train).alpha_  # silent by default
    assert clone(coder).fit(shift.X_train).alpha_ == expected
    with pytest.warns(UserWarning, match=r"alpha=0\.3 has no effect beside target_l0=4, which sets alpha_"):
        assert coder.set_params(alpha=0.3).fit(shift.X_train).alpha_ == expected


def test_a_dictionary_of_zeros_is_told(shift):
    with pytest.warns(UserWarning, match="all atoms of dictionary are zero, so all codes will be"):
        FISTACoder(np.zeros((5, 19))).fit(shift.X_train)
    some = shift.dictionary * (np.arange(40) % 2)[:, None]
    assert not FISTACoder(some).fit(shift.X_train).transform(shift.X_val)[:, ::2].any()


@pytest.mark.parametrize("make", [np.asarray, sp.csr_array, sp.csr_matrix])
@pytest.mark.parametrize("scale", [2.0**-700, 2.0**700])
def test_the_dictionary_behind_true_codes_does_not_depend_on_their_scale(shift, make, scale):
    X = min(scale, 1.0) * shift.X_train
    expected = max(scale, 1.0) ** -1 * OracleCoder().fit(shift.X_train, make(shift.codes_train)).components_
    oracle = OracleCoder(alpha=1e-300 if scale > 1 else 0.1).fit(X, make(scale * shift.codes_train))
    np.testing.assert_allclose(oracle.components_ / expected.max(), expected / expected.max(), atol=1e-12)


@pytest.mark.parametrize("make", [np.asarray, sp.csr_array])
def test_true_codes_too_small_for_their_atoms_are_named(shift, make):
    with pytest.raises(ValueError, match=r"y is too small beside X: its largest code is 1e-200.*in float64\. Scale y"):
        OracleCoder().fit(shift.X_train, make(1e-200 * shift.codes_train))
