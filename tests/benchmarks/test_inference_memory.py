"""Memory of codes of a memory map: the map, the watch, and a tiny run."""

import json
import sys
import time

import numpy as np
import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory can be watched on Linux only")


def test_map_repeats_its_block(job, tmp_path):
    block = np.arange(6.0).reshape(3, 2)
    X = job.write_map(tmp_path / "x.npy", block, 8)
    assert isinstance(X, np.memmap)
    np.testing.assert_array_equal(X, np.tile(block, (3, 1))[:8])


def test_watch_sees_what_is_held_for_a_while(job):
    with job.Watch() as watch:
        before = job.anonymous_memory()
        block = np.ones(30_000_000 // 8)
        time.sleep(0.1)
        del block
    assert watch.peak > before + 25


def test_tiny_run(job, tmp_path, capsys):
    job.main(["--n-samples", "300", "--n-components", "20", "--n-active", "2", "--output", str(tmp_path)])
    rows = json.loads((tmp_path / "inference_memory.json").read_text())["rows"]
    assert [row["offset"] for row in rows] == ["None", "mean"]
    assert all(row["mb_peak"] >= row["mb_before"] > 0 for row in rows)
    assert "300 samples of" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["inference_memory.csv", "inference_memory.json"]


def test_impossible_sizes_are_one_line(job, tmp_path, capsys):
    with pytest.raises(SystemExit):
        job.main(["--n-components", "10", "--n-active", "10", "--output", str(tmp_path)])
    assert "n_active=10 must be at most" in capsys.readouterr().err
