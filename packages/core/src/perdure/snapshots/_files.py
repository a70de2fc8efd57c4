"""Objects in a folder of this machine, durable before a put returns.

A put writes a file beside its place, syncs it, gives it its name at once, and syncs the folder and every folder above
it up to the root, which another process may have made and not synced yet. `obstore` reads and lists; it syncs nothing,
so it does not write.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from perdure.errors import StoreUnavailable
from perdure.snapshots._bucket import Bucket, InThread, ObjectStore, translated

_PART = ".part"
_LEFT_OVER = 3_600.0
"""Seconds after which a file that never got its name is one whose writer is gone."""


class Files(Bucket):
    """The files under a prefix of a folder, which `store` shows to readers."""

    def __init__(self, store: ObjectStore, root: Path, prefix: str, in_thread: InThread) -> None:
        super().__init__(store, prefix, in_thread)
        self._root = root

    async def put(self, name: str, body: bytes) -> None:
        place = self.path(name)
        with translated("save", place):
            await self._in_thread(lambda: _replace(self._root, place, body))

    async def names(self, folder: str) -> list[str]:
        names = await super().names(folder)
        if not names and not await self._in_thread(self._root.is_dir):
            raise StoreUnavailable("list", f"the folder {self._root} is gone; is it mounted?")
        return names

    async def remove(self, folder: str, names: Sequence[str]) -> None:
        place = self.path(folder)
        with translated("delete", place):
            await self._in_thread(lambda: _remove(self._root / place, names))


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, durably."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in missing:
        _sync(each.parent)


def _replace(root: Path, place: str, body: bytes) -> None:
    path = root / place
    folders = list(_between(root, path.parent))
    for folder in folders[1:]:  # never the root itself: it may be a disk that is not mounted
        folder.mkdir(exist_ok=True)
    part = path.with_name(f"{path.name}.{uuid4().hex}{_PART}")
    try:
        with part.open("xb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
    for folder in reversed(folders):
        _sync(folder)


def _remove(folder: Path, names: Sequence[str]) -> None:
    for name in names:
        (folder / name).unlink(missing_ok=True)
    with suppress(FileNotFoundError):
        for part in folder.glob(f"*{_PART}"):
            if part.stat().st_mtime < time.time() - _LEFT_OVER:
                part.unlink(missing_ok=True)
    if names:
        _sync(folder)


def _between(root: Path, folder: Path) -> Iterator[Path]:
    """Yield the folders from the root down to one inside it."""
    yield root
    for part in folder.relative_to(root).parts:
        root = root / part
        yield root


def _sync(folder: Path) -> None:
    if os.name == "nt":  # folders cannot be opened there
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
