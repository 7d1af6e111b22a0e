"""Bad input to the main job ends with one clear line and exit status 2."""

import json

import numpy as np
import pytest


def save(path, array):
    np.save(path, array)
    return str(path)


def with_nan():
    array = np.ones((30, 4))
    array[17, 2] = np.nan
    return array


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (with_nan(), "NaN or infinity (in float32) in row 17"),
        (np.full((30, 4), 1e300), "NaN or infinity (in float32) in row 0"),
        (np.ones((30, 9)), "samples lie at a distance of 0 from their mean"),
        (np.ones(30), r"wanted shape (n_samples, n_features) with at least 20 samples, got (30,)"),
        (np.ones((3, 4)), "with at least 20 samples, got (3, 4)"),
        (np.ones((30, 4), dtype=complex), "wanted real numbers, got dtype complex128"),
        (np.full((30, 4), None), "not a readable .npy array"),
    ],
)
def test_bad_files_are_described(job, tmp_path, capsys, array, message):
    path = save(tmp_path / "activations.npy", array)
    with pytest.raises(SystemExit) as stop:
        job.main(["--data", path, "--output", str(tmp_path)])
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert message in error
    assert path in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "nowhere.npy"], "--data nowhere.npy: no such file"),
        (["--methods", "magic"], "unknown method 'magic'; choose from linear_probe, sae_relu"),
        (["--n-samples", "3"], "must be at least 40, got 3"),
        (["--n-samples", "many"], "invalid integer value: 'many'"),
        (["--n-jobs", "0"], "--n-jobs: 0 jobs"),
        (["--data", "synthetic", "--n-components", "10"], "n_active=10 must be at most 5 with n_components=10"),
        (["--data", "digits", "--n-active", "65"], "--n-active 65: must be at most the 64 components"),
        (["--data", "digits", "--methods", "oracle"], "none of them applies to --data digits"),
    ],
)
def test_bad_arguments_are_named(job, monkeypatch, tmp_path, capsys, arguments, message):
    monkeypatch.setattr(job.importlib.util, "find_spec", lambda name: object())  # drawing is not reached
    with pytest.raises(SystemExit) as stop:
        job.main([*arguments, "--output", str(tmp_path)])
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert message in error
    assert error.count("\n") == 1


def test_published_values_are_read_for_the_published_point_only(job):
    problem = job.synthetic(0, 100, 10, 5000)
    published = job.published_for(problem)
    # Mean MCC-OOD of FISTA with the true dictionary, n=100, over three seeds (arXiv:2603.28744, result files).
    assert published["oracle", "mcc_ood"][0] == pytest.approx(0.9856)
    ours = {"sae_default", "dl_fista_train", "softplus_adam_train", "learner"}
    assert {method for method, _ in published} == set(job.METHODS) - ours
    assert not job.published_for(job.synthetic(0, 100, 10, 4000))


@pytest.mark.filterwarnings("default")  # what old versions of matplotlib call is not ours to mend
def test_a_tiny_run_writes_its_rows(job, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    methods = ["linear_probe", "sae_topk", "fista+topk", "softplus_adam", "oracle"]
    arguments = ["--n-components", "20", "--n-active", "2", "--n-samples", "80", "--n-jobs", "1", "--methods", *methods]
    job.main([*arguments, "--data", "synthetic", "--seeds", "100", "101", "--output", str(tmp_path)])
    report = json.loads((tmp_path / "amortisation_gap.json").read_text())
    assert [row["method"] for row in report["rows"]] == 2 * methods
    assert (tmp_path / "amortisation_gap.csv").read_text().count("\n") == 11
    assert (tmp_path / "amortisation_gap.png").stat().st_size > 10_000
    assert "FISTA, true dictionary" in capsys.readouterr().out
