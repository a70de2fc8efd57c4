"""What tests of several kinds stand on."""

from __future__ import annotations

import importlib
import tomllib
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


@pytest.fixture
def entry_points(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Install the entry points of this source tree, whatever is installed."""
    project = tomllib.loads(PROJECT.read_text())["project"]
    folder = tmp_path_factory.mktemp("installed")
    info = folder / "perdure_replication.dist-info"
    info.mkdir()
    groups = [
        "\n".join([f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())])
        for group, entries in project["entry-points"].items()
    ]
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    (info / "entry_points.txt").write_text("\n".join(groups))
    monkeypatch.syspath_prepend(folder)
    importlib.invalidate_caches()
