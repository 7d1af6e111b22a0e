import numpy as np
import pytest
import scipy.sparse as sp

from skcode import FISTACoder
from skcode.metrics import support_scores

TRUE = np.array([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 1.0]])
PRED = np.array([[0.5, 0.0, -0.5, 1e-9], [0.0, 0.0, 0.0, 1.0], [2.0, 0.0, 0.0, 2.0]])


@pytest.mark.parametrize("make", [np.asarray, sp.csr_array, sp.csr_matrix])
def test_scores_by_hand(make):
    scores = support_scores(make(TRUE), make(PRED))
    assert scores.precision == pytest.approx((0.5 + 0 + 1) / 3)
    assert scores.recall == pytest.approx((0.5 + 0 + 1) / 3)
    assert scores.f1 == pytest.approx((0.5 + 0 + 1) / 3)
    assert scores.true_l0 == pytest.approx(4 / 3)
    assert scores.pred_l0 == scores.pred_total_l0 == pytest.approx(5 / 3)


def test_pairs_choose_and_order_columns():
    scores = support_scores(TRUE, PRED[:, ::-1], pairs=[[0, 3], [3, 0]])
    assert scores.recall == pytest.approx((1 + 0 + 1) / 3)
    assert scores.pred_l0 == pytest.approx(4 / 3)
    assert scores.pred_total_l0 == pytest.approx(5 / 3)


def test_official_values_of_the_oracle(official):
    coder = FISTACoder(official.dictionary, alpha=0.1, solver="fista", max_iter=100, tol=0, restart=False)
    codes = coder.fit(official.X_train.astype(np.float32)).transform(official.X_val.astype(np.float32))
    scores = support_scores(official.codes_val, codes)
    assert scores.precision == pytest.approx(0.8707052922206793, abs=1e-3)
    assert scores.recall == pytest.approx(0.8732577777777777, abs=1e-3)
    assert scores.f1 == pytest.approx(0.8650535488284556, abs=1e-3)
    assert scores.true_l0 == pytest.approx(9.9992, abs=1e-3)
    assert scores.pred_l0 == pytest.approx(10.2192, abs=1e-2)


def test_widths_that_differ_need_pairs():
    with pytest.raises(ValueError, match="codes_true has 4 columns and codes_pred 3"):
        support_scores(TRUE, PRED[:, :3])
    for pairs in ([[0, 1, 2]], [[0.5, 1.0]]):
        with pytest.raises(ValueError, match=r"pairs must be integers of shape \(n_pairs, 2\)"):
            support_scores(TRUE, PRED, pairs=pairs)
    for pairs in ([[0, 4]], [[-1, 0]]):
        with pytest.raises(ValueError, match="pairs must index 4 true and 4 predicted columns"):
            support_scores(TRUE, PRED, pairs=pairs)
