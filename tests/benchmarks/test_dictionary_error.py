"""Held-out error at equal sparsity: equal L0 after the refit, bad arguments, and a tiny run on a file."""

import json

import numpy as np
import pytest


@pytest.mark.parametrize("penalty", ["l1", "mcp"])
def test_codes_have_the_wanted_sparsity_after_the_refit(job, shift, penalty):
    codes = job.exact_codes(shift.dictionary, shift.X_val, 3, penalty)
    assert np.count_nonzero(codes) / len(codes) == pytest.approx(3, rel=0.02)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "nowhere.npy"], "--data nowhere.npy: no such file"),
        (["--l0", "0"], "must be at least 1, got 0"),
        (["--l0", "40"], "--l0 40: must be at most the 32 features"),
        (["--l0", "30", "--n-components", "20"], "--l0 30: must be at most the 20 components"),
    ],
)
def test_bad_arguments_are_named(job, tmp_path, capsys, arguments, message):
    with pytest.raises(SystemExit) as stop:
        job.main([*arguments, "--n-samples", "40", "--output", str(tmp_path)])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_tiny_run(job, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(job, "LEARNING_RATES", (1e-3, 5e-3))
    monkeypatch.setattr(job, "EPOCHS", (3,))
    monkeypatch.setattr(job, "SWEEPS", 3)
    np.save(tmp_path / "mine.npy", np.random.RandomState(0).standard_normal((200, 12)))
    arguments = ["--data", str(tmp_path / "mine.npy"), "--l0", "3", "--seeds", "0", "1", "--output", str(tmp_path)]
    job.main(arguments)
    rows = json.loads((tmp_path / "dictionary_error.json").read_text())["rows"]
    assert len(rows) == 2 * (3 * 2 + 4)
    for row in rows:
        assert 0 < row["unexplained"] < 2
        if row["method"].endswith(("_l1", "_mcp")):
            assert row["mean_l0"] == pytest.approx(3, rel=0.03)
        if row["method"] == "sae":
            assert row["times_sae"] == 1
    assert (
        "mean L0 of 3: 100 samples to learn from, 100 held out, 12 features, 24 components" in capsys.readouterr().out
    )
