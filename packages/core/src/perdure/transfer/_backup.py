"""Keeping a store as one file."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from perdure.abc import Backend
from perdure.transfer._copy import Copied, copy
from perdure.transfer._damage import Inspection
from perdure.transfer._export import Exported, export
from perdure.transfer._files import part_of, put_in_place
from perdure.transfer._import import Reader

_EXPORTS = (".jsonl", ".jsonl.gz", ".jsonl.zst")


async def backup(
    store: str | Backend,
    file: str | os.PathLike[str],
    *,
    skip_damaged: bool = False,
    progress: Callable[[Copied | Exported], object] | None = None,
) -> Copied | Exported:
    """Copy a store, while it is written, into a new file; when this returns, it is durable, compared, and in its place.

    A name that ends with `.jsonl`, `.jsonl.gz` or `.jsonl.zst` has it exported, for `import_`; any other is a store of
    SQLite, for which perdure-sqlite is needed: open it, or `copy` it to where it is to be. Until it is whole the file
    has a name that ends with `.part`; a copy that was killed goes on there.

    Raises `FileExistsError` rather than put a backup in the place of another, and what `copy` and `export` raise.
    """
    place = _new_place(file)
    if place.name.endswith(_EXPORTS):
        exported = await export(store, place, skip_damaged=skip_damaged, progress=progress)
        await Reader(place, Inspection(exported, skip=False)).look()
        return exported
    part = part_of(place)
    copied = await copy(store, f"sqlite:///{quote(str(part))}", skip_damaged=skip_damaged, progress=progress)
    put_in_place(part, place)
    return copied


def _new_place(file: str | os.PathLike[str]) -> Path:
    place = Path(file).absolute()
    if place.exists():
        raise FileExistsError(errno.EEXIST, "a backup takes no other's place: choose a new name", str(place))
    return place
