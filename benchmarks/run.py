"""Where a run keeps its files, and how thorough it is."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


class Run:
    """A folder for the files of one section, and the choice between full and quick sizes."""

    def __init__(self, folder: Path, quick: bool) -> None:
        self.folder = folder
        self.quick = quick
        self._files = count(1)

    def pick(self, full: T, quick: T) -> T:
        return quick if self.quick else full

    def file(self, name: str) -> Path:
        """Return the path of a file that is not there yet."""
        path = self.folder / f"{name}.db"
        while path.exists():
            path = self.folder / f"{name}-{next(self._files)}.db"
        return path

    def url(self, name: str, scheme: str = "sqlite") -> str:
        """Return the URL of a new store in a file or folder."""
        return f"{scheme}:///{self.file(name)}"
