"""The public door, and the floors of the house."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import perdure

PACKAGES = Path(__file__).parents[2]
CORE = Path(inspect.getfile(perdure)).parent

DOORS = [
    "perdure",
    "perdure.abc",
    "perdure.actors",
    "perdure.cli",
    "perdure.evolution",
    "perdure.inspector",
    "perdure.journal",
    "perdure.persistence",
    "perdure.query",
    "perdure.security",
    "perdure.snapshots",
    "perdure.telemetry",
    "perdure.transfer",
    "perdure.upkeep",
    "perdure_replication",
    "perdure_replication.keyed",
    "perdure_replication.replicas",
    "perdure_replication.runtime",
    "perdure_replication.testing",
    "perdure_replication.topics",
    "perdure_testkit",
]


def sources(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


def imports(path: Path) -> Iterator[str]:
    """Yield the full name of everything that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import(names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module, names, 0):
                yield from (f"{module}.{alias.name}" for alias in names)
            case ast.ImportFrom(_, _, level):
                raise AssertionError(f"{path} line {node.lineno} has a relative import of level {level}")


def inside(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def public_names(module: ModuleType) -> set[str]:
    """Return what a reader sees in a module: names without underscore that are no modules of its own inside."""
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and name != "annotations"
        and not (inspect.ismodule(value) and name not in module.__all__)
    }


@pytest.mark.parametrize("name", [door for door in DOORS if door != "perdure.abc"])
def test_all_is_what_is_public(name: str) -> None:
    """A package exports what it imports, and nothing else can be seen in it."""
    module = importlib.import_module(name)

    assert set(module.__all__) == public_names(module)


@pytest.mark.parametrize("name", [door for door in DOORS if door != "perdure.abc"])
def test_all_is_sorted(name: str) -> None:
    """Constants, classes, functions, each by the alphabet, as the linter sorts them."""
    exported = importlib.import_module(name).__all__

    constants = [name for name in exported if name.isupper()]
    classes = [name for name in exported if not name.isupper() and name[0].isupper()]
    functions = [name for name in exported if name[0].islower()]
    assert exported == sorted(constants) + sorted(classes) + sorted(functions)


def test_the_contract_exports_all_that_it_defines() -> None:
    """A backend author finds everything in `perdure.abc`."""
    module = importlib.import_module("perdure.abc")
    own = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == "perdure.abc"
    }

    assert own <= set(module.__all__) <= set(vars(module))


def test_all_errors_are_in_the_tree_of_their_module() -> None:
    """The docstring of `perdure.errors` shows every error."""
    module = importlib.import_module("perdure.errors")
    kinds = [name for name, value in vars(module).items() if inspect.isclass(value) and issubclass(value, Exception)]

    assert [name for name in kinds if name not in (module.__doc__ or "")] == []


@pytest.mark.parametrize(
    ("floor", "forbidden"),
    [
        (
            "actors",
            ["perdure.abc", "perdure.journal", "perdure.snapshots", "perdure.persistence", "perdure.memory"],
        ),
        (
            "evolution",
            ["perdure.actors", "perdure.abc", "perdure.journal", "perdure.persistence", "perdure.snapshots"],
        ),
        ("query", ["perdure.memory"]),
        ("telemetry", ["perdure.persistence", "perdure.journal", "perdure.snapshots", "perdure.memory"]),
        (
            "security",
            [
                "perdure.actors",
                "perdure.evolution",
                "perdure.journal",
                "perdure.memory",
                "perdure.persistence",
                "perdure.query",
                "perdure.snapshots",
            ],
        ),
        ("journal", ["perdure.actors", "perdure.persistence", "perdure.query", "perdure.snapshots", "perdure.memory"]),
        ("snapshots", ["perdure.actors", "perdure.persistence", "perdure.query", "perdure.memory"]),
        ("persistence", ["perdure.memory"]),
        ("abc.py", ["perdure.actors", "perdure.journal", "perdure.persistence", "perdure.snapshots", "perdure.memory"]),
        ("errors", ["msgspec", *(f"perdure.{path.stem}" for path in CORE.iterdir() if path.stem != "errors")]),
    ],
)
def test_a_floor_imports_only_floors_below_it(floor: str, forbidden: list[str]) -> None:
    """Actors know nothing of storage; the journal nothing of actors; the contract nothing of either."""
    place = CORE / floor

    found = [(path.name, name) for path in (sources(place) if place.is_dir() else [place]) for name in imports(path)]

    assert [(path, name) for path, name in found if inside(name, *forbidden)] == []


def test_nothing_stands_on_the_command_line() -> None:
    """Who has no use for it installs and imports nothing of it."""
    forbidden = ("perdure.cli", "typer", "rich")
    others = [path for path in sources(CORE) if "cli" not in path.relative_to(CORE).parts]

    found = [(path.name, name) for path in others for name in imports(path) if inside(name, *forbidden)]

    assert found == [("__main__.py", "perdure.cli.main"), ("_plugins.py", "typer")]  # which is for types alone


def test_the_memory_backend_has_no_privileges() -> None:
    """The reference backend stands on what every backend author has."""
    ours = [name for name in imports(CORE / "memory.py") if inside(name, "perdure")]

    assert [name for name in ours if not inside(name, "perdure.abc", "perdure.errors")] == []


@pytest.mark.parametrize("package", sorted(path.name for path in PACKAGES.glob("backend-*")))
def test_a_backend_imports_the_contract_and_the_errors_alone(package: str) -> None:
    """Nothing of ours that others could not use; `perdure_<itself>` is its own."""
    [own] = [path.name for path in (PACKAGES / package / "src").iterdir() if path.is_dir()]

    foreign = [
        (path.name, name)
        for path in sources(PACKAGES / package / "src")
        for name in imports(path)
        if name.partition(".")[0].startswith("perdure") and not inside(name, own, "perdure.abc", "perdure.errors")
    ]

    assert foreign == []


def test_replication_stands_on_the_public_door() -> None:
    """On what its users have, the contract, the errors, queries and keys: no floor knows it, and it knows no inside."""
    door = {"perdure", *(f"perdure.{name}" for name in perdure.__all__ if not inspect.ismodule(getattr(perdure, name)))}

    inner = [
        (path.name, name)
        for path in sources(PACKAGES / "replication" / "src")
        for name in imports(path)
        if inside(name, "perdure")
        and not inside(name, "perdure.abc", "perdure.errors", "perdure.query", "perdure.security")
        and name not in door
    ]

    assert inner == []


@pytest.mark.parametrize("package", sorted(path.name for path in PACKAGES.iterdir() if (path / "src").is_dir()))
def test_no_package_imports_a_sibling(package: str) -> None:
    """Only the core is shared."""
    own = [path.name for path in (PACKAGES / package / "src").iterdir() if path.is_dir()]

    siblings = [
        (path.name, name)
        for path in sources(PACKAGES / package / "src")
        for name in imports(path)
        if name.partition(".")[0].startswith("perdure_") and not inside(name, *own)
    ]

    assert siblings == []


@pytest.mark.parametrize("path", sources(CORE), ids=lambda path: str(path.relative_to(CORE)))
def test_every_module_says_in_its_first_line_what_it_is_for(path: Path) -> None:
    """A reader should be able to guess the file."""
    docstring = ast.get_docstring(ast.parse(path.read_text()))

    assert docstring, f"{path} has no docstring"
    assert docstring.splitlines()[0].rstrip().endswith((".", ":"))
