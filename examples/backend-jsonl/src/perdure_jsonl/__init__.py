"""perdure in one file of JSON lines, for one process: the backend of the guide to writing one."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pluggy

from perdure.abc import Backend, Durability, MachineSpec
from perdure.errors import CreateStoreError
from perdure_jsonl._backend import JsonlBackend

__all__ = ["JsonlBackend"]

_hookimpl = pluggy.HookimplMarker("perdure")


@_hookimpl
async def perdure_open(url: str, durability: Durability, machine: MachineSpec | None) -> Backend:
    """Open `jsonl:///relative/path.jsonl` or `jsonl:////absolute/path.jsonl`; make the file if there is none."""
    return await JsonlBackend.open(_path(url), durability)


@_hookimpl
async def perdure_missing(url: str) -> str | None:
    """Return the file, if there is none."""
    path = _path(url)
    return None if path.exists() else str(path)


def _path(url: str) -> Path:
    parts = urlsplit(url)
    path = unquote(parts.path.removeprefix("/"))
    if parts.netloc or parts.query or parts.fragment or not path or "\0" in path:
        raise CreateStoreError("open", f"{url!r} names no file: write jsonl:///bank.jsonl, %23 for # and %3F for ?")
    return Path(path)
