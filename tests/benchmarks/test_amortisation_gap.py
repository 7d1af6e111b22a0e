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
        (
            ["--data", "synthetic", "--n-components", "10", "--n-active", "10"],
            "n_active=10 must be at most 5 with n_components=10",
        ),
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


def test_what_is_no_npy_file_is_not_said_to_be_loadable_unsafely(job, tmp_path, capsys):
    path = tmp_path / "activations.csv"
    path.write_text("1,2\n3,4\n")
    with pytest.raises(SystemExit):
        job.main(["--data", str(path), "--output", str(tmp_path)])
    error = capsys.readouterr().err
    assert "not a .npy file of numbers" in error
    assert "allow_pickle" not in error


@pytest.mark.filterwarnings("default")  # what old versions of matplotlib call is not ours to mend
def test_a_file_is_judged_at_one_sparsity(job, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    rng = np.random.default_rng(0)
    codes = rng.random((400, 12)) * (rng.random((400, 12)) < 0.2)
    path = save(tmp_path / "mine.npy", codes @ rng.standard_normal((12, 10)))
    methods = ["linear_probe", "sae_topk", "fista+topk", "sae_matching_pursuit", "fista+matching_pursuit", "learner"]
    arguments = ["--n-components", "12", "--n-samples", "300", "--n-active", "3", "--n-jobs", "1"]
    job.main([*arguments, "--data", path, "--methods", *methods, "--output", str(tmp_path)])
    shown = capsys.readouterr()
    assert "mine.npy: left out, for want of labels or true codes: linear_probe\n" in shown.err
    assert "mine.npy, 300 of its 400 rows: 150 samples to learn from" in shown.out
    assert "DL-FISTA makes" not in shown.out
    rows = {row["method"]: row for row in json.loads((tmp_path / "amortisation_gap.json").read_text())["rows"]}
    assert list(rows) == methods[1:]
    for sae in ("topk", "matching_pursuit"):
        assert "amortisation_gap_id" in rows[f"sae_{sae}"]
        assert "amortisation_gap_id" not in rows[f"fista+{sae}"]
    assert rows["learner"]["unexplained_variance"] < rows["fista+topk"]["unexplained_variance"]


def test_codes_are_as_sparse_as_asked_or_as_dense_as_can_be(job, tmp_path):
    import _contestants

    rng = np.random.default_rng(0)
    problem = job.from_file(save(tmp_path / "mine.npy", rng.standard_normal((200, 10))), 0, 12, 3, 200)
    components = rng.standard_normal((12, 10))
    components /= np.linalg.norm(components, axis=1, keepdims=True)

    def mean_l0(wanted):
        coder = _contestants.equally_sparse(problem, wanted, components)
        return np.count_nonzero(coder.transform(problem.X_train)) / len(problem.X_train)

    for wanted in (2.0, 4.0):
        assert mean_l0(wanted) == pytest.approx(wanted, rel=0.02)
    most = mean_l0(11.9)
    assert 4 < most < 11.9
    assert mean_l0(most) == pytest.approx(most, rel=0.02)  # which is in reach


def test_the_unit_of_a_file_does_not_matter(job, tmp_path):
    array = np.random.default_rng(0).random((40, 3))
    one, other = (job.from_file(save(tmp_path / "mine.npy", unit * array), 0, None, 1, 40) for unit in (1, 2.0**20))
    assert one.alpha == other.alpha == 0.1
    np.testing.assert_allclose(one.X_id, other.X_id, rtol=1e-6)
    assert np.sqrt(np.mean(np.sum(one.X_train**2, axis=1))) == pytest.approx(0.1 / 0.055)


def test_k_follows_the_width_of_a_narrow_file(job, tmp_path):
    path = save(tmp_path / "narrow.npy", np.random.default_rng(0).random((40, 3)))
    assert job.parse(["--data", path]).n_active == 3
    assert job.parse(["--data", path, "--n-components", "30"]).n_active == 10
    assert job.parse([]).n_active == 10


def test_a_file_named_like_a_data_set_is_refused(job, tmp_path, capsys):
    path = tmp_path / "digits"
    np.save(tmp_path / "mine.npy", np.ones((40, 3)))
    (tmp_path / "mine.npy").rename(path)
    with pytest.raises(SystemExit):
        job.loaders(job.parse(["--data", str(path)]))
    assert "call it digits.npy" in capsys.readouterr().err


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
