"""The house has floors: a module imports from the floors below it only, and never from a sibling room."""

import ast
from importlib.resources import files
from pathlib import Path

import pytest

import skcode

PACKAGE = Path(str(files("skcode")))
FLOORS = {
    "_compiled": -1, "_parallel": -1, "_version": -1, "_warnings": -1,
    "penalties": 0, "_rows": 0, "_lasso": 0,
    "_validation": 0, "_callbacks": 0, "_norms": 0,
    "solvers": 1, "datasets": 1, "preprocessing": 1, "_training": 1,
    "metrics": 2,
    "base": 3,
    "coding": 4, "dictionary": 4, "autoencoder": 4,
    "model_selection": 5,
    "__init__": 6,
}  # fmt: skip
MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


def room_of(path):
    return path.parts[0].removesuffix(".py")


def imports_of(path):
    """Yield the dotted name of everything that a module imports, relative imports made absolute."""
    package = ["skcode", *path.parts[:-1]]
    for node in ast.walk(ast.parse((PACKAGE / path).read_text(encoding="utf8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_imports_go_down(path):
    room = room_of(path)
    for name in imports_of(path):
        if not name.startswith("skcode."):
            continue
        other = name.split(".")[1]
        if other == room and len(path.parts) > 1:
            continue  # within a room
        allowed = {below for below, floor in FLOORS.items() if floor < FLOORS[room]}
        assert other in allowed, f"{path} (floor {FLOORS[room]}) imports {name}"


@pytest.mark.parametrize("path", [path for path in MODULES if room_of(path) != "_validation"], ids=str)
def test_only_validation_touches_private_names_of_scikit_learn(path):
    private = [
        name
        for name in imports_of(path)
        if name.startswith("sklearn.") and any(part.startswith("_") for part in name.split("."))
    ]
    assert not private


def test_every_public_name_exists_and_is_documented():
    for module in (skcode, skcode.datasets, skcode.metrics, skcode.preprocessing, skcode.solvers):
        for name in module.__all__:
            if name.startswith("__") or name == "SOLVERS":
                continue
            assert getattr(module, name).__doc__, f"{module.__name__}.{name}"


def test_the_package_is_typed():
    assert (PACKAGE / "py.typed").exists()
