"""The budget of inference: the toy problem, counted operations, bad arguments, and a tiny run."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from skcode import FISTACoder, LISTACoder, MLPCoder
from skcode.metrics import match_dictionaries, mcc_score


def test_the_toy_problem_is_the_published_one(job):
    data = job.toy(job.parse(["--n-samples", "4000"]), 100)
    codes = np.concatenate([data["codes"], data["codes_test"]])
    assert (np.count_nonzero(codes, axis=1) == 3).all()
    active = codes[codes > 0].astype(np.float64)
    assert active.mean() == pytest.approx(np.sqrt(2 / np.pi), rel=0.02)  # of |N(0, 1)|
    assert np.mean(active**2) == pytest.approx(1, rel=0.03)
    np.testing.assert_allclose((codes > 0).mean(axis=0), 3 / 16, atol=0.03)
    np.testing.assert_allclose(np.linalg.norm(data["dictionary"], axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(data["X_test"], data["codes_test"] @ data["dictionary"], rtol=1e-5, atol=1e-6)  # float32


def test_operations_are_counted_as_published(job):
    # M=8, N=16; formulas of arXiv:2411.13117.
    assert job.flops("sae", 8, 16) == 4 * 8 * 16 + 16
    assert job.flops("mlp256_atoms", 8, 16) == job.flops("mlp256", 8, 16)
    assert job.flops("mlp256", 8, 16) == 2 * 8 * 256 + 256 + 2 * 256 * 16 + 16 + 2 * 16 * 8
    assert job.flops("fista10", 8, 16, 10) == 2 * 8 * 16 + 10 * (4 * 8 * 16 + 8 + 7 * 16)
    assert job.flops("sae_atoms+10", 8, 16, 10) == job.flops("sae", 8, 16) + 10 * (4 * 8 * 16 + 8 + 7 * 16)
    assert job.flops("lista", 8, 16) < job.flops("fista16", 8, 16, 16)  # as many steps, without momentum


def test_the_penalty_is_the_published_loss(job, shift):
    M, N = shift.X_train.shape[1], 40
    codes, error = shift.codes_train + 0.1, 0.1 * shift.dictionary.sum(axis=0)
    loss = np.mean(np.broadcast_to(error, shift.X_train.shape) ** 2) + job.WEIGHT * np.abs(codes).mean()
    alpha = job.WEIGHT * M / (2 * N)
    ours = 0.5 * error @ error + alpha * codes.sum(axis=1).mean()
    assert ours == pytest.approx(M / 2 * loss)


def test_refined_rows_are_those_of_refine(job):
    options = SimpleNamespace(n_components=16, n_features=8, n_active=3, n_samples=80, steps=10)
    data = job.toy(options, 100)
    coder = job.train("dictionary", "sae_atoms", 0, 0, data, 0.0025, options)
    rows = {row["method"]: row for row in job.judge("dictionary", "sae_atoms", coder, data, 0.0025)}
    refine = FISTACoder(alpha=0.0025, solver="fista", max_iter=10, tol=0)
    refined = coder.set_params(refine=refine).fit(data["X"]).transform(data["X_test"])
    assert rows["sae_atoms+10"]["mcc"] == pytest.approx(mcc_score(data["codes_test"], refined))
    assert rows["sae_atoms+10"]["flops"] == rows["sae_atoms"]["flops"] + 10 * (4 * 8 * 16 + 8 + 7 * 16)
    assert isinstance(job.train("codes", "lista", 0, 0, data, 0.0025, options), LISTACoder)
    assert isinstance(coder, MLPCoder)


@pytest.mark.parametrize("task", ["codes", "dictionary", "neither"])
def test_perceptrons_start_as_published_or_from_the_atoms(job, task):
    options = SimpleNamespace(n_components=16, n_features=8, n_active=3, n_samples=80, steps=10)
    data = job.toy(options, 100)
    published, ours = (job.train(task, fit, 0, 0, data, 0.0025, options) for fit in ("mlp32", "mlp32_atoms"))
    assert (ours.n_hidden, ours.init, ours.bias) == (32, "atoms", True)
    assert published.parameters["weights_0"].shape == (8, 32)
    assert published.parameters["bias_1"].any() == (task == "codes")
    np.testing.assert_allclose(np.linalg.norm(published.parameters["dictionary"], axis=1), 1, rtol=1e-6)
    assert (published.parameters["dictionary"] == data["dictionary"]).all() == (task != "neither")


@pytest.mark.parametrize("task", ["codes", "dictionary", "neither"])
def test_perceptrons_learn_as_published(job, task):
    data = job.toy(job.parse(["--n-samples", "400"]), 100)
    few, many = (job.PublishedPerceptron(32, 0.0025, 10_100).fit(task, data, n_steps) for n_steps in (1, 3000))
    scores = [mcc_score(data["codes_test"], each.transform(data["X_test"])) for each in (few, many)]
    assert scores[0] + 0.1 < scores[1]


def test_starts_differ_and_their_mean_counts(job):
    options = job.parse(["--n-samples", "80", "--steps", "2"])
    data = job.toy(options, 100)
    first, again, other = (job.train("codes", "mlp32", 100, n, data, 0.0025, options).parameters for n in (0, 0, 1))
    np.testing.assert_array_equal(first["weights_0"], again["weights_0"])
    assert not np.isclose(first["weights_0"], other["weights_0"]).any()
    rows = [
        {"task": "codes", "method": "sae", "seed": seed, "mcc": mcc} for seed, mcc in ((0, 0.2), (0, 0.4), (1, 0.9))
    ]
    np.testing.assert_allclose(job.collect(rows, "codes", "sae"), [0.3, 0.9])


def test_slope_of_cosines(job):
    slope_of_cosines = sys.modules["_published_encoders"].slope_of_cosines
    rng = np.random.RandomState(100)
    codes, true = rng.random_sample((2, 20, 3))

    def mean_cosine(codes):
        return np.mean([u @ v / np.linalg.norm(u) / np.linalg.norm(v) for u, v in zip(codes.T, true.T, strict=True)])

    step = 1e-6 * rng.standard_normal(codes.shape)
    change = mean_cosine(codes + step) - mean_cosine(codes - step)
    assert np.sum(slope_of_cosines(codes, true) * step) == pytest.approx(change / 2, rel=1e-5)


def test_free_codes_learn_a_dictionary(job):
    data = job.toy(job.parse(["--n-components", "6", "--n-active", "1", "--n-samples", "400"]), 100)
    few, many = (job.free_codes(data["X"], 6, job.WEIGHT, n_steps, 0) for n_steps in (1, 12_000))
    np.testing.assert_allclose(np.linalg.norm(many, axis=1), 1, rtol=1e-6)
    cosines = [match_dictionaries(data["dictionary"], each).mean_cosine for each in (few, many)]
    assert cosines[0] < 0.8 < 0.95 < cosines[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--n-active", "17"], "--n-active 17: must be at most the 16 components"),
        (["--steps", "0"], "must be at least 1, got 0"),
        (["--tasks", "everything"], "invalid choice: 'everything'"),
        (["--n-jobs", "0"], "must be at least 1, got 0"),
        (["--starts", "0"], "must be at least 1, got 0"),
    ],
)
def test_bad_arguments_are_named(job, tmp_path, capsys, arguments, message):
    with pytest.raises(SystemExit) as stop:
        job.main([*arguments, "--output", str(tmp_path)])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.filterwarnings("default")  # what old versions of matplotlib call is not ours to mend
def test_tiny_run(job, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    sizes = ["--n-components", "12", "--n-features", "6", "--n-active", "2", "--n-samples", "80"]
    job.main([*sizes, "--seeds", "100", "101", "--steps", "20", "--starts", "2", "--n-jobs", "1",
              "--output", str(tmp_path)])  # fmt: skip
    rows = json.loads((tmp_path / "encoder_budget.json").read_text())["rows"]
    fits = {(task, 10 if task != "neither" else 13) for task in job.TASKS}
    for task, n_fits in fits:
        part = [row for row in rows if row["task"] == task and row["seed"] == 101]
        curves = (1 if task == "neither" else 2) * len(job.CURVE) + (task != "neither")
        assert len(part) == n_fits + curves
        assert all(0 <= row["mcc"] <= 1 and row["flops"] > 0 for row in part)
    assert (tmp_path / "encoder_budget.csv").read_text().count("\n") == len(rows) + 1
    assert (tmp_path / "encoder_budget.png").stat().st_size > 10_000
    out = capsys.readouterr().out
    assert "LISTA, 16 layers" in out
    assert "In brackets" not in out
