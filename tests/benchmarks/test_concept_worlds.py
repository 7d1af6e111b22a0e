"""Worlds of concepts that depend on each other: bad arguments, what is measured, and a tiny run."""

import json

import numpy as np
import pytest

from skcode.datasets import make_concept_world

SMALL = ["--n-components", "30", "--n-features", "20", "--n-samples", "300", "--n-test", "60"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--widths", "1"], "must be at least 2, got 1"),
        (["--worlds", "flatland"], "invalid choice: 'flatland'"),
        (["--contestants", "nobody"], "invalid choice: 'nobody'"),
        (["--output", "{here}/file/below"], "cannot make that directory"),
    ],
)
def test_bad_arguments_are_named(job, tmp_path, capsys, arguments, message):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as stop:
        job.main([argument.format(here=tmp_path) for argument in arguments])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


@pytest.fixture
def data():
    world = make_concept_world(3000, 500, n_components=40, n_features=60, n_trees=2, depth=2, random_state=0)
    world.firings = np.bincount(world.codes_train.indices, minlength=40)
    world.offset = None
    return world


def test_the_true_directions_are_all_found_and_consist_of_themselves(job, data):
    row = job.directions(data, np.vstack([data.dictionary, np.zeros((2, 60))]))
    assert row["used"] == 40
    assert row["found_often"] == 1
    assert row["found_by_frequency"] == [1] * job.BINS
    np.testing.assert_allclose(row["composition"], [1, 0, 0, 0, 0], atol=1e-5)
    child = np.flatnonzero(data.parents >= 0)[-1]
    family = data.dictionary[[child]] + 0.5 * data.dictionary[[data.parents[child]]]
    own, elders, *_ = job.composition(data, job._unit(family))
    assert own > elders > 0.05


def test_the_ceiling_is_the_least_squares_of_true_codes(job, data):
    found = job.ceiling(data, 40, 5, 0, 1)
    cosines = np.einsum("ij,ij->i", found.components, data.dictionary)
    assert cosines[data.firings > 20].min() > 0.99
    few = job.ceiling(data, 10, 5, 0, 1)
    assert len(few.components) == 10


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::sklearn.exceptions.ConvergenceWarning")
def test_tiny_run(job, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(job, "PROBED", 2)
    contestants = ["learner", "batchtopk", "random", "ceiling", "probes"]
    job.main([*SMALL, "--widths", "10", "30", "--contestants", *contestants, "--output", str(tmp_path)])
    rows = json.loads((tmp_path / "concept_worlds.json").read_text())["rows"]
    assert len(rows) == 1 + 2 * 5
    assert {row["codes"] for row in rows} == {"labels", "exact", "own"}
    for row in rows[1:]:
        assert 0 <= row["f1"] <= 1
        assert row["used"] <= row["width"]
    out = capsys.readouterr().out
    assert "World S: 30 concepts in 20 dimensions, 300 samples; 10 atoms, seed 0" in out
    assert "skcode DictionaryLearner" in out


def test_probes_alone_need_no_figure(job, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(job, "OFTEN", 5)
    job.main(["--contestants", "probes", *SMALL, "--output", str(tmp_path)])
    assert "logistic probes" in capsys.readouterr().out
    assert not (tmp_path / "concept_worlds.png").exists()
