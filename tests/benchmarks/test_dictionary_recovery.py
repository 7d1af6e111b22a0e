"""The race for the dictionary: its ceilings, samplers and watch, bad arguments, and a tiny run."""

import csv
import json
import sys

import numpy as np
import pytest
import scipy.sparse as sp

from skcode import DictionaryLearner


@pytest.fixture
def parts(job):
    return sys.modules["_dictionary"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--problems", "magic"], "invalid choice: 'magic'"),
        (["--contestants", "magic"], "invalid choice: 'magic'"),
        (["--budget", "0"], "--budget: must be above 0 seconds, got 0"),
        (["--n-samples", "3"], "must be at least 20, got 3"),
        (["--n-components", "50", "8", "--n-active", "9"], "--n-active 9: must be at most the 8 components"),
    ],
)
def test_bad_arguments_are_named(job, tmp_path, capsys, arguments, message):
    with pytest.raises(SystemExit) as stop:
        job.main([*arguments, "--output", str(tmp_path)])
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert message in error
    assert error.count("\n") == 1


def test_what_is_not_installed_is_left_out(job, monkeypatch, capsys):
    monkeypatch.setitem(job.NEEDS, "spams", "no_such_package")
    assert "spams" not in job.parse([]).contestants
    assert "spams is left out: no_such_package is not installed" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        job.parse(["--contestants", "spams"])
    assert "--contestants: none of them is installed" in capsys.readouterr().err


def test_fewest_samples_are_those_of_the_notes(parts):
    # n=500, 1000, 5000 and 10,000 on the paper's protocol, rounded up: 565, 1108.4, 5391 and 10,698 in the notes
    sizes = [(500, 79), (1000, 93), (5000, 125), (10_000, 139)]
    assert [parts.fewest_samples(n, m, 10) for n, m in sizes] == [566, 1109, 5392, 10_698]


def test_ceiling_is_that_of_least_squares_from_true_codes(parts):
    rng = np.random.RandomState(0)
    codes = sp.csr_array(rng.random_sample((30, 50)) * (rng.random_sample((30, 50)) < 0.2))
    cosines = []
    for _ in range(200):
        true = rng.standard_normal((50, 40))
        found = np.linalg.pinv(codes.toarray()) @ codes @ true
        cosines.append((true * found).sum(axis=1) / np.linalg.norm(true, axis=1) / np.linalg.norm(found, axis=1))
    cosine, share = parts.ceiling(codes)
    assert cosine == pytest.approx(np.mean(cosines), abs=0.01)
    assert share == pytest.approx(np.mean(np.mean(cosines, axis=0) > 0.9), abs=0.05)
    assert parts.ceiling(sp.csr_array(np.tile(np.eye(5), (3, 1)))) == (1.0, 1.0)
    assert parts.ceiling(sp.csr_array(np.tile(np.diag([1.0, 1, 1, 1, 0]), (3, 1)))) == (0.8, 0.8)


def test_independent_concepts_are_as_asked_for(parts):
    zipf = parts.independent(0, 100, 5, 20_000, spread=50)
    uses = np.bincount(zipf.codes.indices, minlength=100)
    assert uses[0] / uses[-10:].mean() == pytest.approx(48, rel=0.3)
    assert uses[0] / uses[9] == pytest.approx(10**0.85, rel=0.3)
    np.testing.assert_allclose(zipf.X, zipf.codes @ zipf.dictionary, atol=1e-5)
    sizes = np.diff(parts.independent(0, 100, 5, 1000, fewest=3, most=8).codes.indptr)
    assert (sizes.min(), sizes.max()) == (3, 8)
    signed = parts.independent(0, 100, 5, 1000, signed=True)
    assert not signed.positive
    assert 0.4 < (signed.codes.data > 0).mean() < 0.6


def test_noise_is_as_loud_as_asked_for_and_in_the_training_samples_only(parts):
    clean, noisy = (parts.paper(0, 50, 3, 500, noise_db=level) for level in (None, 20))
    power = ((noisy.X - clean.X) ** 2).mean() / (clean.X**2).mean()
    assert power == pytest.approx(0.01, rel=0.05)
    np.testing.assert_array_equal(noisy.X_test, clean.X_test)


def test_few_samples_are_judged_by_as_many_as_published(parts):
    few, many = (parts.paper(0, 50, 3, n) for n in (100, 4000))
    assert len(few.X) == 100
    assert len(few.X_test) == len(few.X_ood) == len(many.X_test) == len(many.X_ood) == 2500


@pytest.mark.skipif(not hasattr(DictionaryLearner, "set_callbacks"), reason="scikit-learn has no callbacks before 1.9")
def test_watch_ends_a_fit_and_keeps_its_way(parts):
    problem = parts.paper(0, 30, 3, 300)
    watch = parts.Watch(0.0)
    learner = DictionaryLearner(30, random_state=0).set_callbacks(watch).fit(problem.X)
    assert learner.n_iter_ == 1
    watch = parts.Watch(60.0)
    learner.set_callbacks(watch).fit(problem.X)
    kept = watch.end(learner.components_)
    times = [seconds for seconds, _ in kept]
    assert times == sorted(times)
    assert not np.array_equal(kept[0][1], learner.components_)
    np.testing.assert_array_equal(kept[-1][1], learner.components_)


def test_tiny_run(job, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    sizes = ["--n-components", "20", "--n-samples", "200", "--n-active", "3"]
    others = ["--problems", "paper", "--seeds", "100", "101", "--budget", "0.1"]
    names = ["--contestants", "skcode", "stream", "alternating", "sklearn", "sae", "oracle"]
    job.main([*sizes, *others, *names, "--output", str(tmp_path)])
    printed = capsys.readouterr().out
    assert "20 atoms in 12 dimensions from 200 samples, mean ± std of 2 seeds" in printed
    assert "Equations for all unknowns from" in printed
    rows = json.loads((tmp_path / "dictionary_recovery.json").read_text())["rows"]
    assert len(rows) == 2 * 6
    for row in rows:
        assert 0 <= row["recovered"] <= 1
        if row["contestant"] == "oracle":
            assert row["recovered"] == row["ceiling_recovered"] == 1
        else:
            assert row["epochs"] == pytest.approx(row["seconds"] / row["epoch_seconds"])
            assert row["trajectory"][-1][0] == pytest.approx(row["seconds"])
    with (tmp_path / "dictionary_recovery.csv").open(newline="") as file:
        assert len(list(csv.reader(file))) == len(rows) + 1
    assert (tmp_path / "dictionary_recovery.png").stat().st_size > 10_000
