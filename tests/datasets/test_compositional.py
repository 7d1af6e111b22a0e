import math

import numpy as np
import pytest
import scipy.sparse as sp

from skcode.datasets import make_compositional_shift


@pytest.mark.parametrize(("n", "k"), [(50, 10), (100, 10), (1000, 10), (40, 4), (101, 7)])
def test_sizes_follow_compressed_sensing(n, k):
    data = make_compositional_shift(100, n, k, random_state=0)
    assert data.X_train.shape == (50, max(k + 1, math.ceil(2 * k * math.log(n / k))))
    assert data.X_val.shape == data.X_ood.shape == data.X_train.shape
    assert data.dictionary.shape == (n, data.X_train.shape[1])


def test_known_sizes_of_the_paper():
    sizes = {n: make_compositional_shift(2, n, 10, random_state=0).dictionary.shape[1] for n in (100, 1000, 5000)}
    assert sizes == {100: 47, 1000: 93, 5000: 125}


def test_samples_are_codes_times_unit_atoms():
    data = make_compositional_shift(400, 60, 5, random_state=1)
    np.testing.assert_allclose(np.linalg.norm(data.dictionary, axis=1), 1)
    for part in ("train", "val", "ood"):
        codes = data[f"codes_{part}"]
        np.testing.assert_allclose(data[f"X_{part}"], codes @ data.dictionary)
        assert np.all(np.count_nonzero(codes, axis=1) == 5)
        assert codes.min() >= 0
        assert codes.max() < 1
        np.testing.assert_array_equal(data[f"y_{part}"], codes[:, 0] > 0.5)


def test_company_of_component_0_is_what_shifts():
    n, k, n_ood = 21, 4, 10
    data = make_compositional_shift(20_000, n, k, random_state=2)
    active = np.vstack([data.codes_train, data.codes_val]) > 0
    anchored = active[:, 0]
    assert anchored.mean() == pytest.approx(0.5, abs=0.015)
    # With component 0: only 1 .. n - n_ood - 1, each equally often.
    company = active[anchored].mean(axis=0)
    np.testing.assert_allclose(company[1 : n - n_ood], (k - 1) / (n - n_ood - 1), atol=0.03)
    assert not company[n - n_ood :].any()
    # Without: all of 1 .. n - 1, the held-out half included.
    np.testing.assert_allclose(active[~anchored].mean(axis=0)[1:], k / (n - 1), atol=0.03)
    # Out of distribution: component 0 with the last n_ood only.
    shifted = data.codes_ood > 0
    assert shifted[:, 0].all()
    assert not shifted[:, 1 : n - n_ood].any()
    np.testing.assert_allclose(shifted[:, n - n_ood :].mean(axis=0), (k - 1) / n_ood, atol=0.03)


def test_active_values_are_uniform():
    data = make_compositional_shift(20_000, 30, 3, random_state=3)
    values = data.codes_train[data.codes_train > 0]
    np.testing.assert_allclose(np.quantile(values, [0.1, 0.25, 0.5, 0.9]), [0.1, 0.25, 0.5, 0.9], atol=0.02)


def test_sparse_codes_are_the_same_codes():
    dense = make_compositional_shift(300, 50, 5, random_state=4)
    sparse = make_compositional_shift(300, 50, 5, random_state=4, sparse_codes=True)
    for part in ("train", "val", "ood"):
        assert sp.issparse(sparse[f"codes_{part}"])
        assert sparse[f"codes_{part}"].has_sorted_indices
        np.testing.assert_array_equal(sparse[f"codes_{part}"].toarray(), dense[f"codes_{part}"])
        np.testing.assert_array_equal(sparse[f"X_{part}"], dense[f"X_{part}"])


def test_halves_odd_sizes_and_noise():
    data = make_compositional_shift(7, 20, 2, random_state=5)
    assert (len(data.X_train), len(data.X_val), len(data.X_ood)) == (3, 4, 3)
    noisy = make_compositional_shift(4000, 20, 2, noise=0.3, random_state=5)
    assert np.std(noisy.X_train - noisy.codes_train @ noisy.dictionary) == pytest.approx(0.3, rel=0.03)


def test_dtype_and_seed():
    single = make_compositional_shift(50, 20, 2, dtype=np.float32, random_state=6)
    assert {single[name].dtype for name in ("X_train", "codes_ood", "dictionary")} == {np.dtype(np.float32)}
    again = make_compositional_shift(50, 20, 2, dtype=np.float32, random_state=6)
    np.testing.assert_array_equal(single.X_ood, again.X_ood)
    other = make_compositional_shift(50, 20, 2, dtype=np.float32, random_state=7)
    assert not np.array_equal(single.X_ood, other.X_ood)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_components": 10, "n_active": 6}, "n_active=6 must be at most 5 with n_components=10"),
        ({"n_samples": 1}, "n_samples"),
        ({"noise": -1.0}, "noise"),
        ({"dtype": np.int64}, "dtype must be float32 or float64"),
        ({"dtype": "real"}, "dtype must be float32 or float64, got 'real'"),
    ],
)
def test_bad_input_names_the_parameter(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_compositional_shift(**arguments)
