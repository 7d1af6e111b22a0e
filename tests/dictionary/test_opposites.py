"""Concepts found with either sign: what is taken for one, and what becomes of it."""

import numpy as np
import pytest
import scipy.sparse as sp

from skcode import DictionaryLearner
from skcode.datasets import make_compositional_shift
from skcode.dictionary import opposites as room
from skcode.dictionary.opposites import opposites, set_upright
from skcode.metrics import match_dictionaries


def unit(atoms):
    return atoms / np.linalg.norm(atoms, axis=1, keepdims=True)


def sparse_codes(rng, n_samples, n_components, share):
    return rng.uniform(0.3, 1, (n_samples, n_components)) * (rng.random((n_samples, n_components)) < share)


@pytest.mark.parametrize("at_once", [3, 1024])
def test_opposites_are_mutual_and_nearly_exact(rng, monkeypatch, at_once):
    monkeypatch.setattr(room, "_ROWS_AT_ONCE", at_once)
    atoms = unit(rng.standard_normal((10, 40)))
    atoms[7] = unit(-atoms[[2]] + 0.05 * rng.standard_normal((1, 40)))[0]
    atoms[8] = unit(-atoms[[2]] + 0.06 * rng.standard_normal((1, 40)))[0]  # not the nearest of 2
    atoms[9] = unit(-atoms[[1]] + 0.2 * rng.standard_normal((1, 40)))[0]
    assert atoms[9] @ atoms[1] > -0.9 > atoms[8] @ atoms[2] > atoms[7] @ atoms[2]
    np.testing.assert_array_equal(opposites(atoms), [[2, 7]])
    assert opposites(atoms[:7]).shape == (0, 2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_lean_towards_a_common_concept_is_taken_out(rng, dtype):
    truth = unit(rng.standard_normal((40, 30)))
    codes = sparse_codes(rng, 2000, 40, 0.1)
    codes[:, 0] = sparse_codes(rng, 2000, 1, 0.5)[:, 0]
    codes[:, 39] = 0  # the concept that goes without an atom
    lean = np.r_[0, rng.uniform(0, 0.3, 20), np.zeros(19)]
    leaning = truth + np.outer(lean, truth[0])
    lengths = np.linalg.norm(leaning, axis=1)
    leaning /= lengths[:, None]
    signed = codes[:, 0] - codes @ lean
    leaning[39] = -truth[0]
    # The same samples in other words: codes of the leaning atoms, the first with its sign.
    told = codes * lengths
    told[:, 0], told[:, 39] = np.maximum(signed, 0), np.maximum(-signed, 0)
    np.testing.assert_allclose(told @ leaning, codes @ truth, atol=1e-12)
    upright, gone = set_upright(leaning.astype(dtype), np.array([[0, 39]]), sp.csr_array(told.astype(dtype)))
    assert upright.dtype == dtype
    np.testing.assert_array_equal(gone, [39])
    assert not upright[39].any()
    cosines = np.einsum("jk,jk->j", upright[:39], truth[:39])
    assert np.einsum("jk,jk->j", leaning[:39], truth[:39]).min() < 0.98 < 0.9999 < cosines.min()


def test_opposites_that_are_no_more_common_than_others_stay(rng):
    atoms = unit(rng.standard_normal((20, 30)))
    atoms[1] = -atoms[0]
    upright, gone = set_upright(atoms, np.array([[0, 1]]), sp.csr_array(sparse_codes(rng, 500, 20, 0.1)))
    assert len(gone) == 0
    np.testing.assert_allclose(upright, atoms, rtol=1e-14)


def test_a_common_concept_is_found_once():
    data = make_compositional_shift(5000, 100, 10, dtype=np.float32, random_state=101)
    learner = DictionaryLearner(100, random_state=10_101).fit(data.X_train)
    assert match_dictionaries(data.dictionary, learner.components_, n_draws=0).frac_recovered == 1
    assert len(opposites(learner.components_)) == 0


def test_concepts_that_are_opposites_are_both_found(rng):
    truth = unit(rng.standard_normal((60, 30)))
    truth[1] = -truth[0]
    codes = sparse_codes(rng, 2000, 60, 0.05)
    first = rng.random(2000) < 0.5  # far more common than the others, and never together
    codes[:, 0], codes[:, 1] = (
        first * sparse_codes(rng, 2000, 1, 0.6)[:, 0],
        ~first * sparse_codes(rng, 2000, 1, 0.6)[:, 0],
    )
    learner = DictionaryLearner(60, random_state=0).fit(codes @ truth)
    _, gone = set_upright(truth, opposites(truth), sp.csr_array(codes))
    assert len(gone) == 1  # so that this was tried,
    assert match_dictionaries(truth, learner.components_, n_draws=0).cosines.min() > 0.99  # and put back
