import tracemalloc

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from skcode import FISTACoder
from skcode.metrics import unexplained_variance


@pytest.mark.parametrize("options", [{}, {"debias": True}, {"sparse_output": True, "offset": "mean"}])
def test_scores_in_blocks_are_those_of_the_codes(shift, options, monkeypatch):
    coder = FISTACoder(shift.dictionary, tol=1e-8, **options).fit(shift.X_train)
    whole = coder.score(shift.X_val)
    X_hat = coder.inverse_transform(coder.transform(shift.X_val))
    assert whole == pytest.approx(-unexplained_variance(shift.X_val, X_hat, mean=coder.mean_))
    monkeypatch.setattr("skcode.base.base_coder._ROWS_AT_ONCE", 70)
    assert coder.score(shift.X_val) == pytest.approx(whole, rel=1e-5)


def test_a_score_warns_once_whatever_the_number_of_blocks(shift, monkeypatch):
    monkeypatch.setattr("skcode.base.base_coder._ROWS_AT_ONCE", 70)
    coder = FISTACoder(shift.dictionary, solver="fista", max_iter=2).fit(shift.X_train)
    with pytest.warns(ConvergenceWarning, match="300 of 300 samples missed") as seen:
        coder.score(shift.X_val)
    assert len(seen) == 1


def test_a_score_does_not_hold_dense_codes(rng, random_dictionary):
    dictionary = random_dictionary(400, 8).astype(np.float32)
    X = dictionary[rng.randint(400, size=30_000)]
    coder = FISTACoder(dictionary).fit(X[:100])
    coder.score(X[:100])  # compiles
    tracemalloc.start()
    coder.score(X)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 0.5 * X.shape[0] * 400 * 4


def test_samples_in_fortran_order_are_not_copied_whole(rng, random_dictionary):
    dictionary = random_dictionary(64, 32).astype(np.float32)
    X = np.asfortranarray(dictionary[rng.randint(64, size=60_000)])
    coder = FISTACoder(dictionary, sparse_output=True).fit(X[:100])
    coder.transform(X[:5000])
    tracemalloc.start()
    coder.transform(X)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    codes = 60_000 * 3 * 8
    assert peak < 0.7 * X.nbytes + codes


def test_what_fills_memory_is_told(shift, monkeypatch):
    def full(*args, **options):
        raise MemoryError("Unable to allocate 12 bytes")

    coder = FISTACoder(shift.dictionary).fit(shift.X_train)
    monkeypatch.setattr(type(coder), "_encode", full)
    with pytest.raises(MemoryError) as seen:
        coder.transform(shift.X_val)
    (note,) = seen.value.__notes__
    assert note.startswith("Dense codes of 300 samples over 40 components alone take 9.6e-05 GB. sparse_output=True")
    with pytest.raises(MemoryError) as seen:
        coder.set_params(sparse_output=True).transform(shift.X_val)
    assert not hasattr(seen.value, "__notes__")
