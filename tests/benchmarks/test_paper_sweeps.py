"""The paper's sweeps: what is finished stays, published values are found, decompositions are what they say."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest

from skcode import DictionaryLearner

TINY = ["--n-components", "20", "--n-active", "3", "--n-samples", "120", "--max-epochs", "2", "--max-rounds", "2",
        "--n-jobs", "1"]  # fmt: skip


@pytest.fixture
def decompositions(job):
    import _decompositions

    return _decompositions


def test_a_second_call_goes_on(job, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    call = [*TINY, "--output", str(tmp_path), "--parts"]
    job.main([*call, "oracle", "linear_probe"])
    kept = tmp_path / "paper_sweeps.jsonl"
    first = kept.read_text()
    capsys.readouterr()
    job.main([*call, "oracle", "sae_topk", "dl_fista"])
    assert kept.read_text().startswith(first)
    parts = [json.loads(line)["task"]["part"] for line in kept.read_text().splitlines()]
    assert parts == ["oracle", "linear_probe", "sae_topk", "dl_fista"]  # the cheap first, none twice
    assert "[ 2/2]" in capsys.readouterr().err
    table = tmp_path / "paper_sweeps_latents_active_3_samples_120.csv"
    rows = {line[0] for line in csv.reader(table.read_text().splitlines())}
    assert {"linear probe", "SAE, TopK", "DL-FISTA", "oracle"} <= rows
    tables = {path.name for path in tmp_path.glob("*.csv")}
    for name in ("decompositions", "atoms", "supports", "penalties", "steps", "rounds"):
        assert f"paper_sweeps_{name}_active_3_samples_120.csv" in tables


def test_phases(job, tmp_path):
    pytest.importorskip("matplotlib")
    job.main(["--sweep", "phase", *TINY, "--parts", "oracle", "linear_probe", "--output", str(tmp_path)])
    rows = job.Store(tmp_path / "paper_sweeps.jsonl").rows
    assert len(rows) == 2 * len(job.PHASE_RATIOS)  # decompositions belong to another sweep
    oracle = {row["ratio"]: row["adjusted_mcc_ood"] for row in rows if row["method"] == "oracle"}
    assert oracle[0.5] < 0.8 < 0.9 < oracle[6.0]
    assert (tmp_path / "paper_sweeps_phase.png").exists()


def test_a_broken_line_is_named(job, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    (tmp_path / "paper_sweeps.jsonl").write_text('{"task": {}}\n')
    with pytest.raises(SystemExit):
        job.main([*TINY, "--output", str(tmp_path), "--parts", "oracle"])
    assert "line 1 is not a finished part" in capsys.readouterr().err


def test_a_point_run_anew_counts_once(job, tmp_path):
    store = job.Store(tmp_path / "some.jsonl")
    task = job.Task("latents", "dl_fista", 50, 10, 5000, None, 0, 500, 2)
    row = {"experiment": "vary_latents", "method": "dl_fista", "setting": None}
    store.add(task, [row | {"mcc_ood": 0.1}], 1.0)
    store.add(task._replace(max_rounds=1000), [row | {"mcc_ood": 0.9}], 1.0)
    store.add(task._replace(max_epochs=3), [row | {"mcc_ood": 0.2}], 1.0)  # shorter, and later
    for rows in (store.rows, job.Store(tmp_path / "some.jsonl").rows):
        assert [found["mcc_ood"] for found in rows] == [0.9]


def test_a_line_cut_off_is_run_again(job, tmp_path, capsys):
    path = tmp_path / "some.jsonl"
    task = job.Task("latents", "oracle", 50, 10, 5000, None, 0, 500, 2)
    job.Store(path).add(task, [], 1.0)
    job.Store(path).add(task._replace(seed=1), [], 1.0)
    path.write_text(path.read_text()[:-20])
    assert job.Store(path).finished == {task}
    assert "its last line was cut off" in capsys.readouterr().err
    assert job.Store(path).finished == {task}


def test_many_atoms_are_matched_in_new_combinations_only(job, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    import _contestants
    import _decompositions

    for module in (_contestants, _decompositions):
        monkeypatch.setattr(module, "MANY", 10)
    job.main([*TINY, "--parts", "oracle", "sae_topk", "dl_fista", "--output", str(tmp_path)])
    rows = {
        (row["experiment"], row["method"], row.get("setting")): row
        for row in job.Store(tmp_path / "paper_sweeps.jsonl").rows
    }
    assert not any(name == "mcc_id" or name.endswith("precision_id") for row in rows.values() for name in row)
    assert "adjusted_mcc_ood" in rows["vary_latents", "sae_topk", None]
    assert rows["support", "sae_topk", None]["f1_ood"] >= 0
    penalties = {setting for experiment, _, setting in rows if experiment == "lambda_sensitivity"}
    assert penalties == set(_decompositions.FEWER["alphas"])
    assert ("dictionary_quality", "unit_norms+topk", None) in rows
    assert ("dictionary_quality", "true_norms+topk", None) not in rows


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sweep", "seeds"], "invalid choice: 'seeds'"),
        (["--n-active", "50"], "--n-active 50: must be at most half of the 50 concepts"),
        (["--tables-only"], "nothing has been finished there yet"),
    ],
)
def test_bad_arguments_are_named(job, tmp_path, capsys, arguments, message):
    pytest.importorskip("matplotlib")
    with pytest.raises(SystemExit) as stop:
        job.main([*arguments, "--output", str(tmp_path)])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_published_values(job):
    point = job._published.Point("vary_latents", "oracle", 1000, 10, 5000)
    assert job._published.at(point)["mcc_ood"][0] == 0.9929
    warm = job._published.Point("warmstart_decoder", "warm_dl_fista+topk", 100, 10, 5000, 1000.0)
    assert job._published.at(warm)["mcc_ood"][0] == 0.9694
    assert job._published.at(point._replace(n_samples=7)) == {}
    main = job._published.results(100, 10, 5000)
    assert main["fista+topk", "mcc_ood"][0] == 0.8654
    assert main["sae_topk", "mcc_ood"][0] == 0.7047


def test_what_differs_is_marked(job):
    import _sweep_tables

    cell = _sweep_tables._text
    assert cell([[0.7, 0.8], (0.72, 0.001)], 3) == "0.750 (0.720)"
    assert cell([[0.7], (0.6, 0.001)], 3) == "0.700 (0.600)*"
    assert cell([[0.7], (0.6, 0.04)], 3) == "0.700 (0.600)"
    assert cell([[0.7], None], 3) == "0.700"


def test_refit_is_least_squares_on_the_support(decompositions):
    rng = np.random.default_rng(0)
    components, X = rng.standard_normal((6, 4)), rng.standard_normal((3, 4))
    codes = np.array([[1.0, 0, 2, 0, 0, 0], [0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1]])
    found = decompositions.refit(X, codes, components)
    assert ((found != 0) == (codes != 0)).all()
    residual = X[0] - found[0] @ components
    np.testing.assert_allclose(residual @ components[[0, 2]].T, 0, atol=1e-12)
    np.testing.assert_allclose(found[2], X[2] @ np.linalg.pinv(components), atol=1e-12)  # the shortest


def test_true_norms_are_those_of_the_matched_atoms(decompositions):
    dictionary = np.diag([1.0, 2.0, 3.0])
    learned = np.array([[0, 0, 0.5], [-7.0, 0, 0], [0, 0.1, 0]])
    np.testing.assert_allclose(decompositions.with_true_norms(learned, dictionary), [[0, 0, 3], [-1, 0, 0], [0, 2, 0]])


def test_alternation_reports_where_a_round_starts(decompositions, shift):
    problem = SimpleNamespace(
        n_components=len(shift.dictionary), alpha=0.1, X_train=shift.X_train, X_id=shift.X_val, X_ood=shift.X_ood,
        codes_ood=shift.codes_ood, dictionary=shift.dictionary,
    )  # fmt: skip
    start = np.random.default_rng(0).standard_normal(shift.dictionary.shape)
    *reports, (components, seconds) = decompositions.alternation("dl_fista", start, problem, 7)
    assert [setting for _, _, setting, _ in reports] == [1, 2, 5]
    assert seconds > 0
    *again, _ = decompositions.alternation("dl_fista", start, problem, 1)
    assert again[0][3] == reports[0][3]  # the start itself, whatever comes after
    assert reports[0][3] != reports[1][3]
    learner = DictionaryLearner(method="alternating", alpha=0.1, dictionary_init=start, max_epochs=7)
    np.testing.assert_allclose(components, learner.fit(shift.X_val).components_, atol=1e-6)  # all seven rounds
