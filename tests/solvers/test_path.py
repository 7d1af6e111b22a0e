import numpy as np
import pytest

from skcode._lasso import duality_gap
from skcode.solvers import SOLVERS, alpha_for_l0, coding_path, largest_alpha, working_set


def test_each_point_is_optimal_and_warm_starts_save_rounds(shift):
    alphas = [0.4, 0.2, 0.1, 0.09]
    n_iter = []
    for alpha, result in zip(alphas, coding_path(shift.X_train, shift.dictionary, alphas), strict=True):
        assert duality_gap(shift.X_train, result.codes, shift.dictionary, alpha, True).max() <= 1e-4
        n_iter.append(result.n_iter.mean())
    assert n_iter[-1] < working_set(shift.X_train, shift.dictionary, alphas[-1]).n_iter.mean()


def test_largest_alpha_is_the_border_of_zero_codes(shift):
    offset = np.full(shift.X_train.shape[1], 0.1)
    for positive in (True, False):
        options = {"positive": positive, "offset": offset}
        largest = largest_alpha(shift.X_train, shift.dictionary, **options)
        codes = [
            working_set(
                shift.X_train, shift.dictionary, share * largest, **options, tol=1e-12, sparse_output=True
            ).codes
            for share in (1 + 1e-9, 0.99)
        ]
        assert (codes[0].nnz, codes[1].nnz > 0) == (0, True)


@pytest.mark.parametrize("target_l0", [0.5, 2, 4.5])
def test_alpha_meets_the_target_to_two_percent(shift, target_l0):
    alpha = alpha_for_l0(shift.X_train, shift.dictionary, target_l0)
    codes = working_set(shift.X_train, shift.dictionary, alpha, sparse_output=True).codes
    assert codes.nnz / len(shift.X_train) == pytest.approx(target_l0, rel=0.02)


def test_a_target_out_of_reach_gives_the_range(shift):
    with pytest.raises(
        ValueError, match=r"target_l0=50 cannot be reached: .* between 0 \(alpha=.* and [\d.]+ \(alpha="
    ):
        alpha_for_l0(shift.X_train, shift.dictionary, 50)
    with pytest.raises(ValueError, match=r"of 4 samples jumps from 0 to 1 at alpha=0\.99"):
        alpha_for_l0(np.ones((4, 1)), np.ones((1, 1)), 0.5)
    with pytest.raises(ValueError, match="no sample correlates with any atom"):
        alpha_for_l0(-np.ones((4, 1)), np.ones((1, 1)), 0.5)


def test_a_target_that_is_no_number_of_atoms_is_refused(shift):
    for target in (-3, 0, np.nan):
        with pytest.raises(ValueError, match="target_l0 must be a number, positive and finite, got"):
            alpha_for_l0(shift.X_train, shift.dictionary, target)


def test_the_search_does_not_visit_penalties_much_below_the_answer(shift, monkeypatch):
    visited = []

    def watched(X, dictionary, alpha, **options):
        visited.append(alpha)
        return working_set(X, dictionary, alpha, **options)

    monkeypatch.setitem(SOLVERS["l1"], "working_set", watched)
    alpha = alpha_for_l0(shift.X_train, shift.dictionary, 3)
    assert min(visited) > alpha / 4
    assert len(visited) <= 10


def test_an_outlier_does_not_hide_the_target(shift):
    X = shift.X_train.copy()
    X[0] *= 1e5
    alpha = alpha_for_l0(X, shift.dictionary, 2.0)
    codes = working_set(X, shift.dictionary, alpha, sparse_output=True).codes
    assert codes.nnz / len(X) == pytest.approx(2.0, rel=0.02)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_where_samples_tie_a_target_is_met_for_all_or_the_jump_is_told(rng, dtype):
    """Counts of 1 to 4 concepts, rotated: all codes pass their threshold at one penalty, up to rounding."""
    rotation = np.linalg.qr(rng.standard_normal((20, 20)))[0].astype(dtype)
    counts = np.stack([np.isin(np.arange(20), rng.choice(20, 1 + i % 4, replace=False)) for i in range(300)])
    with pytest.raises(ValueError, match=r"target_l0=2 cannot be reached .* jumps from 0 to 2\.5 at alpha=0\.99"):
        alpha_for_l0(counts.astype(dtype) @ rotation, rotation, 2)
    X = counts.astype(dtype) * np.where(np.arange(20) < 10, 1, 2).astype(dtype) @ rotation  # 2.5, of which half
    target = np.count_nonzero(counts[:, 10:]) / len(X)
    alpha = alpha_for_l0(X, rotation, 1.01 * target)
    for rows in (slice(0, 300), slice(0, 100), slice(7, 250)):
        n_nonzero = working_set(X[rows], rotation, alpha, sparse_output=True).codes.nnz
        assert n_nonzero == np.count_nonzero(counts[rows, 10:])


def test_samples_and_penalties_that_cannot_be_are_refused(shift):
    X = shift.X_train[:5].copy()
    X[2, 3] = np.nan
    for call in (alpha_for_l0, lambda X, dictionary, _: largest_alpha(X, dictionary)):
        with pytest.raises(ValueError, match="X must be finite"):
            call(X, shift.dictionary, 2)
        with pytest.raises(ValueError, match="X must hold at least one sample, got 0"):
            call(X[:0], shift.dictionary, 2)
    with pytest.raises(ValueError, match=r"penalty must be one of 'l1', .*, got 'l2'"):
        alpha_for_l0(shift.X_train, shift.dictionary, 2, penalty="l2")


def test_what_is_no_sequence_of_penalties_is_said_at_once():
    with pytest.raises(TypeError, match=r"alphas must be a sequence of penalties, got 0\.3"):
        coding_path(np.ones((2, 3)), np.eye(3), 0.3)
    with pytest.raises(ValueError, match="penalty must be one of 'l1', 'mcp', got"):
        alpha_for_l0(np.ones((2, 3)), np.eye(3), 1, penalty=["l1"])
