"""Training beside torch: the same mini-batches, equal losses, bad arguments, and a tiny run."""

import json

import numpy as np
import pytest

from skcode.autoencoder.training import Training

TINY = ["--sizes", "small", "--n-components", "30", "--n-samples", "200", "--n-active", "3"]


def test_batches_are_those_of_the_estimator(job, monkeypatch):
    size = job.adjusted(job.SIZES["small"], job.parse(TINY))._replace(n_epochs=2)
    X, start = job.problem(size, 100)
    seen = []
    step = Training.step
    monkeypatch.setattr(Training, "step", lambda self, X: seen.append(X) or step(self, X))
    job.with_skcode("topk", size, X, start, 100, 1)
    expected = [batch for epoch in job.batches(size, X, 100) for batch in epoch]
    assert len(seen) == len(expected) == 8
    for one, other in zip(seen, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("activation", ["topk", "relu"])
def test_torch_trains_the_same_autoencoder(job, activation):
    pytest.importorskip("torch")
    size = job.adjusted(job.SIZES["small"], job.parse(TINY))._replace(n_epochs=4)
    X, start = job.problem(size, 100)
    ours, theirs = (
        train(activation, size, X, start, 100, 1) for train in (job.with_skcode, job.with_torch)
    )  # fmt: skip
    np.testing.assert_allclose(ours["loss"], theirs["loss"], rtol=1e-3)
    assert ours["mean_l0"] == pytest.approx(theirs["mean_l0"], rel=1e-2)


def test_ratios_are_of_the_same_round(job):
    size = job.SIZES["small"]
    runs = {
        name: [{"seconds": s, "loss": [loss], "mean_l0": 1, "dead": 0} for s in seconds]
        for name, seconds, loss in (("skcode", (1.0, 2.0, 4.0), 1.0), ("torch", (3.0, 8.0, 20.0), 2.0))
    }
    ours, theirs = job.summary("small", "topk", size, runs)
    assert (theirs["ratio_min"], theirs["ratio"], theirs["ratio_max"]) == (3.0, 4.0, 5.0)
    assert ours["ratio"] == 1
    assert theirs["loss_difference"] == -0.5
    assert ours["step_ms"] == pytest.approx(2000 / ours["n_steps"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--trainers", "jax"], "invalid choice: 'jax'"),
        (["--n-active", "500"], "--n-active 500: must be below the 93 features"),
        (["--repeats", "0"], "must be at least 1, got 0"),
    ],
)
def test_bad_arguments_are_named(job, capsys, arguments, message):
    with pytest.raises(SystemExit) as stop:
        job.main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.filterwarnings("default")  # what old versions of matplotlib call is not ours to mend
def test_tiny_run(job, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    job.main([*TINY, "--trainers", "skcode", "--repeats", "1", "--output", str(tmp_path)])
    rows = json.loads((tmp_path / "autoencoder_training.json").read_text())["rows"]
    assert [row["activation"] for row in rows] == ["topk", "relu"]
    assert all(row["loss"][-1] < row["loss"][0] for row in rows)
    assert (tmp_path / "autoencoder_training.png").stat().st_size > 10_000
    assert "ms a step" in capsys.readouterr().out
