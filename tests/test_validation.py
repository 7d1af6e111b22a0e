"""What comes in: the dtypes that stay, the messages about what cannot be used, and calls that change nothing."""

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import BaseEstimator

from skcode import DictionaryLearner, FISTACoder, LISTACoder, OracleCoder
from skcode._validation import FLOATS, CheckedParameters, check_array, check_dictionary, check_offset, fit_context

SPARSE = [sp.csr_array, sp.csc_array, sp.coo_array, sp.csr_matrix, sp.bsr_array]


class Tensor:
    """Stands in for a tensor of torch, which has numpy's protocol but not its dtypes."""

    def __init__(self, array, dtype=None, requires_grad=False):
        self.array, self.dtype, self.requires_grad = array, dtype or f"torch.{array.dtype}", requires_grad
        self.shape = array.shape

    def __len__(self):
        return len(self.array)

    def __array__(self, dtype=None, copy=None):
        if self.requires_grad:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad.")
        if self.dtype == "torch.bfloat16":
            raise TypeError("Got unsupported ScalarType BFloat16")
        return self.array if dtype is None else self.array.astype(dtype)


class Exchanged:
    """Has the protocol of array exchange only."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "make",
    [
        np.asarray,
        np.asfortranarray,
        lambda X: X.astype(X.dtype.newbyteorder()),
        lambda X: np.repeat(X, 2, axis=1)[:, ::2],
        Tensor,
        Exchanged,
    ],
    ids=["plain", "fortran", "other_byte_order", "strided", "tensor", "exchanged"],
)
def test_floats_stay_what_they_are(shift, dtype, make):
    X, D = shift.X_val.astype(dtype), shift.dictionary.astype(dtype)
    expected = FISTACoder(D).fit(X).transform(X)
    coder = FISTACoder(D if make is Exchanged else make(D)).fit(make(X))
    assert coder.components_.dtype == dtype
    codes = coder.transform(make(X))
    assert codes.dtype == dtype
    np.testing.assert_array_equal(codes, expected)
    assert coder.codes(make(X), codes_init=make(expected)).codes.dtype == dtype
    assert coder.inverse_transform(make(expected)).dtype == dtype


@pytest.mark.parametrize("dtype", ["int32", "int8", "float16", "longdouble", "bool"])
def test_all_else_becomes_float64(dtype):
    assert check_array(np.ones((2, 3), dtype), dtype=FLOATS, input_name="X").dtype == np.float64


def test_a_network_reads_codes_off_samples_in_any_order(shift):
    coder = LISTACoder(shift.dictionary, n_layers=2, max_epochs=1).fit(shift.X_train)
    X = np.tile(shift.X_val, (8, 1))  # several chunks
    np.testing.assert_array_equal(coder.transform(np.asfortranarray(X)), coder.transform(X))


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.ones((2, 3, 19)), r"X must have 2 dimensions, got shape \(2, 3, 19\)\. X\.reshape\(-1, 19\) has a row for"),
        (np.ones(19), r"X must have 2 dimensions, got shape \(19,\)\. Reshape your data: X\.reshape\(1, -1\)"),
        (3.0, "X must have 2 dimensions, got a single float"),
        (np.ones((0, 19)), r"X: Found array with 0 sample\(s\)"),
        ("activations.npy", "X must be an array, got 'activations.npy'. A file must be loaded first, as by np.load"),
        (Path("x.npy"), "X must be an array, got .*A file must be loaded first"),
        ((np.ones((2, 19)) for _ in range(2)), "X must be an array, got 'generator'. Give its blocks to transform"),
        ([[1.0], [1.0, 2.0]], "X: setting an array element with a sequence"),
        ([["a"] * 19], "X: could not convert string to float"),
        (object(), "X must have 2 dimensions, got a single object"),
        (np.full((2, 19), 1j), "X: Complex data not supported"),
        (sp.csr_array(np.ones((2, 19))), "Sparse data was passed for X"),
        (np.full((2, 19), np.nan), "Input X contains NaN"),
        (Tensor(np.ones((2, 19)), requires_grad=True), r"X requires a gradient.*give X\.detach\(\)"),
        (
            Tensor(np.ones((2, 19)), "torch.bfloat16"),
            r"X is of torch\.bfloat16, which numpy does not have: give X\.float",
        ),
    ],
)
def test_what_cannot_be_samples_is_told(shift, X, message):
    coder = FISTACoder(shift.dictionary).fit(shift.X_train)
    with pytest.raises((TypeError, ValueError), match=message):
        coder.transform(X)


def test_a_generator_belongs_into_partial_fit(shift):
    with pytest.raises(TypeError, match=r"got 'generator'\. Give its blocks to partial_fit, one at a time"):
        DictionaryLearner(20).fit(X for X in [shift.X_train])


@pytest.mark.parametrize("name", ["dictionary", "dictionary_init"])
@pytest.mark.parametrize(
    ("dictionary", "message"),
    [
        (np.ones(19), r" must have 2 dimensions, got shape \(19,\)"),
        (np.ones((2, 3, 19)), r" must have 2 dimensions, got shape \(2, 3, 19\)"),
        (np.ones((0, 19)), r": Found array with 0 sample\(s\)"),
        ([["a"]], ": could not convert string"),
        (np.ones((19, 4)), r" has shape \(19, 4\).*X has 19 features\. Its transpose would fit: give .*\.T"),
        (np.ones((5, 4)), r" has shape \(5, 4\).*X has 19 features\.$"),
    ],
)
def test_a_bad_dictionary_is_named(name, dictionary, message):
    with pytest.raises(ValueError, match=f"^{name}{message}"):
        check_dictionary(dictionary, 19, name)


@pytest.mark.parametrize(
    ("offset", "message"),
    [
        (np.ones((1, 19)), r"offset must be a vector of n_features=19 values, got shape \(1, 19\)"),
        (np.ones((2, 2, 2)), "offset"),
        ([], "offset"),
        (3.0, "^offset: .* got scalar"),
        (["a"], "offset: could not convert string"),
    ],
)
def test_a_bad_offset_is_named(shift, offset, message):
    with pytest.raises((TypeError, ValueError), match=message):
        check_offset(offset, shift.X_train)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"dictionary": DictionaryLearner()},
            r"give dictionary=dictionarylearner\.components_, and offset=its offset_",
        ),
        ({"dictionary": "atoms.npy"}, "A file must be loaded first, with np.load"),
        ({"offset": "median"}, "'offset' parameter of FISTACoder must be .*Got 'median'"),
        ({"n_jobs": 0}, r"'n_jobs' parameter of FISTACoder must be None, an int in the range \(-inf, -1\] or.*Got 0"),
        ({"solver": "omp"}, "'solver' parameter of FISTACoder must be a str among .*Got 'omp' .*target_l0"),
    ],
)
def test_bad_parameters_are_explained(shift, parameters, message):
    with pytest.raises(ValueError, match=message):
        FISTACoder(**{"dictionary": shift.dictionary} | parameters).fit(shift.X_train)


@pytest.mark.parametrize("kind", SPARSE)
def test_malformed_sparse_codes_are_told(shift, kind):
    coder = FISTACoder(shift.dictionary).fit(shift.X_train)
    for index in (40, 10**9, -1):
        codes = kind(shift.codes_val)
        indices = codes.col if codes.format == "coo" else codes.indices
        indices[-1] = index if codes.format != "csc" or index < 0 else max(index, 300)
        for call, name in (
            (coder.inverse_transform, "X"),
            (lambda codes: coder.codes(shift.X_val, codes_init=codes), "codes_init"),
            (lambda codes: OracleCoder().fit(shift.X_val, codes), "y"),
        ):
            with pytest.raises(ValueError, match=rf"^{name} is a malformed sparse array of shape"):
                call(codes)
    codes = sp.csr_array(shift.codes_val)
    codes.indptr[5] = 10**6
    with pytest.raises(ValueError, match="X is a malformed sparse array: indptr must rise from 0"):
        coder.inverse_transform(codes)


class Stepwise(CheckedParameters, BaseEstimator):
    """Learns in steps, until it fails."""

    _parameter_constraints = {"limits": ["array-like"]}

    def __init__(self, limits=()):
        self.limits = limits

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, fails=False):
        if not hasattr(self, "history_"):
            self.history_, self.nested_ = {}, [{"sums": []}]
        self.history_.setdefault("sum", []).append(X.sum())
        self.nested_[0]["sums"].append(X.sum())
        self.mean_ = X.mean()
        if fails:
            raise KeyboardInterrupt
        return self


def test_lists_and_dictionaries_are_put_back_as_well():
    limits = [1, 2]
    estimator = Stepwise(limits).partial_fit(np.ones(3))
    with pytest.raises(KeyboardInterrupt):
        estimator.partial_fit(np.ones(5), fails=True)
    assert estimator.history_ == {"sum": [3.0]}
    assert estimator.nested_ == [{"sums": [3.0]}]
    assert estimator.mean_ == 1
    assert estimator.limits is limits
    with pytest.raises(KeyboardInterrupt):
        Stepwise().partial_fit(np.ones(5), fails=True)


def test_parameters_are_checked_between_blocks_too():
    estimator = Stepwise().partial_fit(np.ones(3))
    with pytest.raises(ValueError, match="'limits' parameter of Stepwise"):
        estimator.set_params(limits=3).partial_fit(np.ones(3))


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (FISTACoder(np.eye(3), alpha=10**400), r"'alpha' .* a float in the range \(0.0, inf\)"),
        (
            FISTACoder(np.eye(3), max_iter=2**63),
            r"'max_iter' .* an int in the range \[1, 2\*\*63\). Got 9223372036854775808",
        ),
        (DictionaryLearner(2**70), r"'n_components' .* an int in the range \[1, 2\*\*63\)"),
        (FISTACoder([[10**400, 0, 0]]), "dictionary must hold numbers that a float can hold"),
    ],
)
def test_integers_beyond_floats_and_indices_are_named(estimator, message):
    with pytest.raises(ValueError, match=message):
        estimator.fit(np.ones((4, 3)))


def test_samples_beyond_floats_are_named():
    with pytest.raises(ValueError, match="X must hold numbers that a float can hold"):
        FISTACoder(np.eye(3)).fit([[10**400, 0, 0]])


@pytest.mark.parametrize("alpha", [np.float32(0.1), np.float16(0.1), np.int64(1), 1, 0.1])
def test_numbers_of_numpy_are_numbers(alpha):
    codes = FISTACoder(np.eye(3), alpha=alpha).fit_transform(np.full((4, 3), 2.0))
    np.testing.assert_allclose(codes, 2 - float(alpha), rtol=1e-6)
