import importlib.util
import os
import pickle
import subprocess
import sys
import warnings

import numba
import pytest

from skcode import _compiled
from skcode._compiled import compiled

KERNEL = """
from skcode._compiled import compiled

@compiled()
def double(x):
    return 2 * x
"""


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Return a function that defines a small kernel as a new process would, with a cache of its own."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(_compiled, "_said", False)
    source = tmp_path / "kernels.py"
    source.write_text(KERNEL)

    def load():
        spec = importlib.util.spec_from_file_location("kernels", source)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.double

    load.files = lambda suffix: sorted((tmp_path / "cache").rglob(f"*.{suffix}"))
    return load


def is_read_from_the_cache(kernel):
    return bool(kernel.stats.cache_hits)


def test_machine_code_is_kept(load):
    first = load()
    assert first(2) == 4
    assert not is_read_from_the_cache(first)
    second = load()
    assert second(2) == 4
    assert is_read_from_the_cache(second)


DAMAGE = {
    "truncated index": ("nbi", lambda content: content[: len(content) // 2]),
    "index of garbage": ("nbi", lambda content: b"\x93garbage" * 20),
    "empty index": ("nbi", lambda content: b""),
    "index of another type": ("nbi", lambda content: pickle.dumps(numba.__version__) + pickle.dumps([1, 2, 3])),
    "truncated code": ("nbc", lambda content: content[: len(content) // 2]),
    "code of garbage": ("nbc", lambda content: b"\x93garbage" * 20),
    "empty code": ("nbc", lambda content: b""),
    "code of another type": ("nbc", lambda content: pickle.dumps({"code": 1})),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_cache_is_replaced(load, damage):
    assert load()(2) == 4
    suffix, spoil = DAMAGE[damage]
    (file,) = load.files(suffix)
    file.write_bytes(spoil(file.read_bytes()))
    kernel = load()
    assert kernel(2) == 4
    assert not is_read_from_the_cache(kernel)
    kernel = load()
    assert kernel(2) == 4
    assert is_read_from_the_cache(kernel)


def test_a_full_disk_is_said_once_and_nothing_fails(load, monkeypatch):
    kernel = load()

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.warns(UserWarning, match="cannot keep its compiled code on disk.*No space left on device"):
            assert kernel(2) == 4
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert kernel(2.0) == 4.0
            assert load()(2) == 4
    assert not load.files("nbc")


def test_a_full_disk_leaves_what_was_kept(load, monkeypatch):
    assert load()(2) == 4
    kernel = load()
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *args: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.warns(UserWarning, match="No space left on device"):
            assert kernel(2.0) == 4.0
    kernel = load()
    assert kernel(2) == 4
    assert is_read_from_the_cache(kernel)


def test_without_a_place_for_a_cache_kernels_are_compiled():
    # A function without a source file has no place in numba's eyes; a folder that cannot be written to is the same.
    namespace = {"compiled": compiled}
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing is said, or fails, before something is compiled
        exec("@compiled()\ndef double(x):\n    return 2 * x", namespace)
    _compiled._said = False
    with pytest.warns(UserWarning, match="Set the environment variable NUMBA_CACHE_DIR"):
        assert namespace["double"](2) == 4
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert namespace["double"](2.0) == 4.0


def test_a_warning_made_an_error_fails_one_call_only():
    namespace = {"compiled": compiled}
    exec("@compiled()\ndef double(x):\n    return 2 * x", namespace)
    _compiled._said = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="cannot keep its compiled code"):
            namespace["double"](2)
        assert namespace["double"](2) == 4


NOTHING_CAN_BE_WRITTEN = """
import tempfile, warnings
def refuse(*args, **kwargs):
    raise OSError(30, "Read-only file system")
tempfile.TemporaryFile = refuse  # with which numba tries whether a folder can be written to
import numpy as np
warnings.simplefilter("error")
import skcode
from skcode._compiled import compiled
double = compiled()(lambda x: 2 * x)
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    results = [double(2), double(2.0)]
print(results == [4, 4], len(said), "Read-only" in str(said[0].message) or "no locator" in str(said[0].message))
"""


def test_the_package_can_be_imported_where_nothing_can_be_written():
    done = subprocess.run([sys.executable, "-c", NOTHING_CAN_BE_WRITTEN], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["True", "1", "True"], done.stderr


def test_a_wrong_option_is_not_taken_for_a_missing_cache():
    with pytest.raises((TypeError, KeyError, numba.core.errors.NumbaError), match="no_such_option"):
        compiled(no_such_option=True)(lambda x: x)(1)
