"""The race for the fastest exact inference: its plans, certificates and labels, bad arguments, and a tiny run."""

import itertools
import json
import sys

import numpy as np
import pytest
import scipy.sparse as sp


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--problems", "magic"], "invalid choice: 'magic'"),
        (["--contestants", "magic"], "invalid choice: 'magic'"),
        (["--n-samples", "3"], "must be at least 20, got 3"),
        (["--n-jobs", "0"], "must be at least 1, got 0"),
        (["--repeats", "many"], "invalid integer value: 'many'"),
        (["--problems", "n1000", "--n-components", "10"], "n_active=10 must be at most 5 with n_components=10"),
        (["--problems", "coherent", "--n-active", "2000"], "--n-active 2000: must be at most the 1024 components"),
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


@pytest.mark.parametrize(
    ("seconds_per_sample", "fewest", "expected"),
    [
        (0.001, 4, (10_000, 5)),  # 10 s for all
        (0.01, 4, (400, 5)),  # 100 s for all: 4 s a round
        (1.0, 4, (4, 5)),
        (1.0, 10, (10, 2)),  # no fewer than 10, so fewer rounds
        (1.0, 100, (100, 1)),
        (1.0, 100_000, (10_000, 1)),
    ],
)
def test_slow_contestants_get_fewer_samples_then_fewer_rounds(job, seconds_per_sample, fewest, expected):
    assert job.SLOW == 20
    assert job.plan(seconds_per_sample, fewest, n_samples=10_000, repeats=5) == expected


@pytest.mark.parametrize("container", [np.asarray, sp.csr_array, sp.csc_matrix])
def test_certificates_are_those_of_the_first_samples(job, monkeypatch, container):
    # Orthonormal atoms: the optimum is x - alpha, and a code of x itself has the gap 2 alpha |x|_1 / |x|^2.
    X = np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0], [3.0, 0.0]], dtype=np.float32)
    problem = job.Problem("by hand", X, np.eye(2, dtype=np.float32), 1, 0.25)
    codes = np.array([[0.75, 0.0], [0.0, 2.0], [0.75, 0.75]])
    found = job.certify(problem, container(codes))
    assert found["gap_worst"] == pytest.approx(0.25)
    assert found["gap_median"] == pytest.approx(0, abs=1e-12)
    assert found["mean_l0"] == pytest.approx(4 / 3)
    assert found["certified"] == 3
    monkeypatch.setattr(job, "MOST_CERTIFIED", 4)  # two samples of two codes: the first and the last
    assert job.certify(problem, container(codes))["gap_worst"] == pytest.approx(0, abs=1e-12)
    assert job.certify(problem, None) == {}


def test_coherence_by_hand(job, monkeypatch):
    # Angles of 0, 60 and 90 degrees: cosines 1/2, cos 30 and 0.
    angles = np.deg2rad([0, 60, 90])
    monkeypatch.setattr(job, "BLOCK", 2)
    largest, mean = job.coherence(np.column_stack([np.cos(angles), np.sin(angles)]))
    assert largest == pytest.approx(np.sqrt(3) / 2)
    assert mean == pytest.approx((0.5 + np.sqrt(3)) / 3)


def test_labels_cover_neither_points_nor_labels(job):
    spots, widths, height, room = [(10, 50), (12, 52), (14, 48), (290, 50), (288, 55)], [60] * 5, 11, 300
    offsets = job.place(spots, widths, height, room)
    boxes = [
        (x + dx - (60 if dx < 0 else 0), x + dx + (0 if dx < 0 else 60), y + dy - 5.5, y + dy + 5.5)
        for (x, y), (dx, dy) in zip(spots, offsets, strict=True)
    ]
    assert all(left >= 0 and right <= room for left, right, _, _ in boxes)
    for one, other in itertools.combinations(boxes, 2):
        assert one[1] <= other[0] or other[1] <= one[0] or one[3] <= other[2] or other[3] <= one[2]
    for (left, right, low, high), (x, y) in itertools.product(boxes, spots):
        assert not (left < x < right and low < y < high)


def test_the_same_problem_in_the_peers_own_terms(job):
    """scikit-learn divides by the features, and comes close to the optimum if what it is given is right."""
    options = job.parse(["--n-samples", "30", "--n-components", "40", "--n-active", "3"])
    problem = job.load("n1000", options)
    for name in ("sklearn_cd", "sklearn_lars"):
        codes = job.CONTESTANTS[name].prepare(problem, 1)(30)
        assert job.certify(problem, codes)["gap_worst"] < 1e-4


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("celer", "celer"),
        ("skglm", "skglm"),
        ("torch", "fista_1000"),
        ("torch", "fista_gram_100"),
        ("spams", "spams_float32"),
    ],
)
@pytest.mark.filterwarnings("default")  # the peers' own
def test_peers_solve_the_same_problem(job, package, name):
    pytest.importorskip(package)
    problem = job.load("n1000", job.parse(["--n-samples", "20", "--n-components", "40", "--n-active", "3"]))
    assert job.certify(problem, job.CONTESTANTS[name].prepare(problem, 1)(20))["gap_worst"] < 1e-3


@pytest.mark.filterwarnings("default")  # what old versions of matplotlib call is not ours to mend
def test_a_tiny_run_leaves_out_what_is_not_installed(job, monkeypatch, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    monkeypatch.setitem(sys.modules, "spams", None)
    arguments = ["--n-components", "20", "--n-active", "2", "--n-samples", "40", "--n-jobs", "1", "--repeats", "2"]
    contestants = ["product", "skcode", "spams_float32"]
    job.main([*arguments, "--problems", "n1000", "coherent", "--contestants", *contestants, "--output", str(tmp_path)])
    printed = capsys.readouterr()
    assert "spams_float32 is left out: spams is not installed" in printed.err
    assert "one encoder pass" in printed.out
    rows = json.loads((tmp_path / "inference_speed.json").read_text())["rows"]
    assert [(row["problem"], row["contestant"]) for row in rows] == [
        (problem, name) for problem in ("n1000", "coherent") for name in ("unit", "product", "skcode")
    ]
    assert all(row["us_min"] <= row["us"] <= row["us_max"] for row in rows)
    assert max(row["gap_worst"] for row in rows if row["contestant"] == "skcode") <= 1.01e-4
    assert (tmp_path / "inference_speed.csv").read_text().count("\n") == 7
    assert (tmp_path / "inference_speed.png").stat().st_size > 10_000
