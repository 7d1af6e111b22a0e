"""Autoencoders trained well: the search for equal L0, bad arguments, and a tiny run."""

import json

import numpy as np
import pytest


def test_equal_l0_is_found_where_held_out_codes_are_denser(job):
    asked = []

    def row(settings, target_l0):
        asked.append(target_l0)
        return {"settings": settings, "mean_l0": 3.0 * target_l0**0.7}

    found = job.at_equal_l0(row, 20.0, 100)
    assert found["mean_l0"] == pytest.approx(20, rel=0.02)
    assert asked[0] == 20
    assert len(asked) <= job._TRIES


def test_the_closest_is_kept_where_none_is_equal(job):
    steps = iter([30.0, 24.0, 40.0, 24.5, 50.0])
    assert job.at_equal_l0(lambda settings, target_l0: {"mean_l0": next(steps)}, 20.0, 100)["mean_l0"] == 24


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--activations", "tanh"], "invalid choice: 'tanh'"),
        (["--n-components", "50", "8", "--n-active", "9"], "--n-active 9: must be below the 8 components"),
        (["--max-epochs", "0"], "must be at least 1, got 0"),
    ],
)
def test_bad_arguments_are_named(job, capsys, arguments, message):
    with pytest.raises(SystemExit) as stop:
        job.main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:codes ha(ve|d) a mean L0:sklearn.exceptions.ConvergenceWarning")
def test_tiny_run(job, tmp_path, capsys):
    sizes = ["--n-components", "20", "--n-active", "3", "--n-samples", "200", "--max-epochs", "2", "--n-jobs", "1"]
    job.main([*sizes, "--activations", "topk", "relu", "gated", "--output", str(tmp_path)])
    rows = json.loads((tmp_path / "autoencoder_baseline.json").read_text())["rows"]
    settings = {(row["activation"], row["settings"]) for row in rows}
    assert settings == {("gated", "true"), *((name, how) for name in ("topk", "relu") for how in job.SETTINGS)}
    assert all(0 <= row["mcc_ood"] <= 1 and row["mean_l0"] >= 0 for row in rows)
    by_settings = {row["settings"]: row for row in rows if row["activation"] == "topk"}
    assert by_settings["equal"]["mcc_ood"] == by_settings["true"]["mcc_ood"]  # told k, TopK has no other L0
    assert np.isfinite([row["unexplained"] for row in rows]).all()
    assert "MCC=" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:codes ha(ve|d) a mean L0:sklearn.exceptions.ConvergenceWarning")
def test_tiny_run_on_digits(job, tmp_path, capsys):
    sizes = ["--n-components", "20", "--n-active", "3", "--n-samples", "200", "--max-epochs", "2", "--n-jobs", "1"]
    job.main(["--data", "digits", *sizes, "--activations", "topk", "batchtopk", "--output", str(tmp_path)])
    rows = json.loads((tmp_path / "autoencoder_baseline.json").read_text())["rows"]
    assert {(row["activation"], row["settings"]) for row in rows} == {
        (name, how) for name in ("topk", "batchtopk") for how in ("published", "true")
    }
    assert all(row["train_l0"] == pytest.approx(3, rel=0.02) and 0 <= row["dead"] <= 1 for row in rows)
    assert "held out=" in capsys.readouterr().out
