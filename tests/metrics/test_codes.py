import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import RidgeCV

from skcode import FISTACoder
from skcode.metrics import mcc_score


def sparse_codes(rng, n_samples, n_components, density=0.2):
    return rng.random_sample((n_samples, n_components)) * (rng.random_sample((n_samples, n_components)) < density)


@settings(max_examples=25)
@given(seed=st.integers(0, 2**31 - 1), n_extra=st.integers(0, 5))
def test_perfect_codes_score_one_in_any_order_sign_scale_and_shift(seed, n_extra):
    rng = np.random.RandomState(seed)
    codes = sparse_codes(rng, 200, 12)
    scale = rng.choice([-1, 1], 12) * np.exp(rng.standard_normal(12))
    pred = np.hstack([codes * scale + rng.standard_normal(12), rng.standard_normal((200, n_extra))])
    pred = pred[:, rng.permutation(pred.shape[1])]
    assert mcc_score(codes, pred) == pytest.approx(1)
    assert mcc_score(codes, pred, adjusted=True) == pytest.approx(1)


def test_score_by_hand():
    true = np.array([[1.0, 0], [0, 1], [0, 0], [1, 1]])
    # Column 0 is right, column 1 is constant: half of the true columns are matched.
    assert mcc_score(true, np.column_stack([true[:, 0], np.ones(4)])) == pytest.approx(0.5)
    # One column for two: the unmatched one counts 0.
    assert mcc_score(true, true[:, :1]) == pytest.approx(0.5)


def test_matching_is_one_to_one(rng):
    true = rng.standard_normal((300, 2))
    both = true[:, 0] + true[:, 1]
    each = np.abs([np.corrcoef(true[:, j], both)[0, 1] for j in range(2)])
    assert mcc_score(true, both[:, None]) == pytest.approx(each.max() / 2)


def test_constant_true_columns_are_left_out(rng):
    codes = sparse_codes(rng, 100, 10)
    codes[:, 3] = 0
    codes[:, 4] = 0.7
    assert mcc_score(codes, codes) == pytest.approx(1)
    assert np.isnan(mcc_score(np.ones((5, 2)), codes[:5]))


@pytest.mark.parametrize("make", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("options", [{}, {"padding": "noise"}, {"selection": "variance"}, {"adjusted": True}])
def test_neither_scale_nor_a_common_part_matters(rng, make, options):
    codes = rng.random_sample((60, 5))
    other = codes + rng.random_sample((60, 5))
    expected = mcc_score(codes, other, **options)
    powers = np.array([1e-300, 1e-9, 1, 1e160, 1e300])
    for changed in (codes + 1e8, 1e160 * codes, 1e-300 * codes, 5e-324 * np.round(1e6 * codes), powers * codes):
        assert mcc_score(make(changed), other, **options) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("make", [np.asarray, sp.csr_array])
def test_predictions_may_have_any_scale_and_common_part(rng, make):
    codes, other = rng.random_sample((2, 60, 5))
    expected = mcc_score(codes, other)
    for changed in (other + 1e8, 1e160 * other, 1e-300 * other, np.array([1e-300, 1e-9, 1, 1e160, 1e300]) * other):
        assert mcc_score(codes, make(changed)) == pytest.approx(expected, abs=1e-6)


def test_columns_of_any_scale_are_selected_by_their_variance(rng):
    codes = sparse_codes(rng, 100, 2)
    pred = np.hstack([1e200 * codes, 1e-200 * codes[:, ::-1], 1e-300 * codes + 1])
    assert mcc_score(codes, pred, selection="variance") == pytest.approx(1)
    assert mcc_score(codes, pred[:, 2:], selection="variance") == pytest.approx(1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rounding_is_not_activity(rng, dtype):
    codes = np.column_stack([rng.random_sample(50), np.full(50, 0.1) * (1 + 1e-16 * rng.standard_normal(50))])
    assert mcc_score(codes.astype(dtype), codes[:, :1].astype(dtype)) == pytest.approx(1)


def test_no_room_for_all_pairs_is_said(rng, monkeypatch):
    def no_room(*args, **kwargs):
        raise MemoryError("Unable to allocate 117 MiB")

    monkeypatch.setattr("skcode.metrics._pairs.linear_sum_assignment", no_room)
    with pytest.raises(MemoryError, match="matching 3 with 4 components takes the similarity of each pair"):
        mcc_score(rng.standard_normal((9, 3)), rng.standard_normal((9, 4)))


@pytest.mark.parametrize("options", [{}, {"padding": "noise"}, {"selection": "variance"}, {"adjusted": True}])
def test_csr_gives_the_same_score(rng, options):
    true, pred = sparse_codes(rng, 300, 15), sparse_codes(rng, 300, 20)
    dense = mcc_score(true, pred, **options)
    for a, b in ((sp.csr_array(true), sp.csr_array(pred)), (sp.csr_matrix(true), pred), (true, sp.csr_array(pred))):
        assert mcc_score(a, b, **options) == pytest.approx(dense, abs=1e-12)


def test_noise_padding_halves_perfect_codes_beside_unused_columns(rng):
    codes = sparse_codes(rng, 4000, 10)
    doubled = np.hstack([codes, np.zeros((4000, 10))])
    assert mcc_score(codes, doubled, padding="noise") == pytest.approx(0.5)
    assert mcc_score(codes, doubled, padding="noise", selection="variance") == pytest.approx(1)
    assert mcc_score(codes, doubled) == pytest.approx(1)


@pytest.mark.parametrize("n_samples", [100, 5000])
def test_adjusted_score_of_unrelated_codes_is_zero(rng, n_samples):
    true, pred = sparse_codes(rng, n_samples, 500, 0.05), sparse_codes(rng, n_samples, 500, 0.05)
    plain, adjusted = mcc_score(true, pred), mcc_score(true, pred, adjusted=True)
    assert plain > (0.3 if n_samples == 100 else 0.04)  # what chance alone gives
    assert abs(adjusted) < 0.005


def test_adjusted_score_is_unbiased_on_small_samples(rng):
    scores = [mcc_score(sparse_codes(rng, 50, 20), sparse_codes(rng, 50, 30), adjusted=True) for _ in range(60)]
    assert abs(np.mean(scores)) < 4 * np.std(scores) / np.sqrt(60)


def test_two_samples_tell_nothing_but_perfection():
    true = np.array([[0.0, 1.0], [1.0, 0.0]])
    assert mcc_score(true, true, adjusted=True) == 1


def test_score_is_deterministic_by_default(rng):
    true, pred = sparse_codes(rng, 100, 20), sparse_codes(rng, 100, 20)
    assert mcc_score(true, pred, adjusted=True) == mcc_score(true, pred, adjusted=True)


# Values of the authors' metric functions on the data of `official`, stored data and codes in float64.
OFFICIAL = {"padding": "noise", "random_state": 42}


def test_official_values_of_the_linear_probe(official):
    probe = RidgeCV(alphas=(1e-6, 1e-4, 1e-2, 1.0, 10.0), fit_intercept=False)
    probe.fit(official.X_train, official.codes_train)
    pred_id, pred_ood = probe.predict(official.X_val), probe.predict(official.X_ood)
    assert mcc_score(official.codes_val, pred_id, **OFFICIAL) == pytest.approx(0.6708201171927457, abs=1e-6)
    score = mcc_score(official.codes_ood, pred_ood, selection="variance", **OFFICIAL)
    assert score == pytest.approx(0.4305621505607437, abs=1e-6)


def test_official_values_of_the_oracle(official):
    coder = FISTACoder(official.dictionary, alpha=0.1, solver="fista", max_iter=100, tol=0, restart=False)
    coder.fit(official.X_train.astype(np.float32))
    pred_id, pred_ood = (coder.transform(X.astype(np.float32)) for X in (official.X_val, official.X_ood))
    assert mcc_score(official.codes_val, pred_id, **OFFICIAL) == pytest.approx(0.9863179779001985, abs=1e-4)
    score = mcc_score(official.codes_ood, pred_ood, selection="variance", **OFFICIAL)
    assert score == pytest.approx(0.9856699362609374, abs=1e-4)


def test_bad_input_names_the_parameter(rng):
    codes = sparse_codes(rng, 10, 3)
    with pytest.raises(ValueError, match="codes_true and codes_pred have inconsistent numbers of samples: 10 and 5"):
        mcc_score(codes, codes[:5])
    with pytest.raises(ValueError, match="codes_pred contains NaN"):
        mcc_score(codes, np.full((10, 3), np.nan))
    with pytest.raises(ValueError, match="padding"):
        mcc_score(codes, codes, padding="zeros")
