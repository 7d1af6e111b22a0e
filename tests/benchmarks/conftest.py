import importlib
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def job(request, monkeypatch):
    """Return the benchmark that the test module is named after, as if it had been started without arguments."""
    name = request.module.__name__.rsplit(".", 1)[-1].removeprefix("test_")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setattr(sys, "argv", [f"{name}.py"])
    yield importlib.import_module(name)
    for path in BENCHMARKS.glob("*.py"):
        sys.modules.pop(path.stem, None)
