"""Concepts found with either sign: what is taken for one, and what becomes of it."""

import numpy as np
import pytest
import scipy.sparse as sp

from skcode import DictionaryLearner
from skcode.datasets import make_compositional_shift
from skcode.dictionary import opposites as room
from skcode.dictionary.opposites import most_common, opposites, without_lean
from skcode.dictionary.schedule import Opposites
from skcode.metrics import match_dictionaries

RULE = Opposites()


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
    np.testing.assert_array_equal(opposites(atoms, RULE), [[2, 7]])
    assert opposites(atoms[:7], RULE).shape == (0, 2)


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
    told = sp.csr_array(told.astype(dtype))
    assert most_common(np.array([[0, 39]]), told, RULE) == (0, 39)
    upright = without_lean(leaning.astype(dtype), 0, 39, told, RULE)
    assert upright.dtype == dtype
    assert not upright[39].any()
    cosines = np.einsum("jk,jk->j", upright[:39], truth[:39])
    assert np.einsum("jk,jk->j", leaning[:39], truth[:39]).min() < 0.98 < 0.9999 < cosines.min()


def test_the_most_common_pair_is_one_that_more_samples_use_than_a_typical_atom(rng):
    codes = sparse_codes(rng, 500, 20, 0.1)
    pairs = np.array([[0, 1], [2, 3], [4, 5]])
    assert most_common(pairs, sp.csr_array(codes), RULE) is None
    codes[:, 2], codes[:, 3] = sparse_codes(rng, 500, 2, [0.2, 0.4]).T
    codes[:, 4], codes[:, 5] = sparse_codes(rng, 500, 2, [0.2, 0.3]).T
    assert most_common(pairs, sp.csr_array(codes), RULE) == (3, 2)


def test_a_common_concept_is_found_once():
    data = make_compositional_shift(5000, 100, 10, dtype=np.float32, random_state=101)
    learner = DictionaryLearner(100, random_state=10_101).fit(data.X_train)
    assert match_dictionaries(data.dictionary, learner.components_, n_draws=0).frac_recovered == 1
    assert len(opposites(learner.components_, RULE)) == 0


def test_concepts_that_are_opposites_are_both_found(rng, monkeypatch):
    truth = unit(rng.standard_normal((60, 30)))
    truth[1] = -truth[0]
    codes = sparse_codes(rng, 2000, 60, 0.05)
    positive = rng.random(2000) < 0.5
    common = sparse_codes(rng, 2000, 1, 0.6)[:, 0]  # far more than the others
    codes[:, 0], codes[:, 1] = common * positive, common * ~positive
    tried = []
    monkeypatch.setattr(room, "without_lean", lambda *given: tried.append(given[1:3]) or without_lean(*given))
    learner = DictionaryLearner(60, random_state=0).fit(codes @ truth)
    match = match_dictionaries(truth, learner.components_, n_draws=0)
    assert match.cosines.min() > 0.99
    assert [sorted(match.pairs[:2, 1])] == [sorted(pair) for pair in tried]  # once, and put back
