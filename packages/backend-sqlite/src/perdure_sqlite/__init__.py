"""perdure on SQLite: one file, one writer, a few readers, whatever the number of actors."""

from __future__ import annotations

import pluggy

from perdure.abc import Backend, Durability, MachineSpec
from perdure_sqlite._backend import SqliteBackend
from perdure_sqlite._settings import Settings

__all__ = ["SqliteBackend"]

_hookimpl = pluggy.HookimplMarker("perdure")


@_hookimpl
async def perdure_open(url: str, durability: Durability, machine: MachineSpec | None) -> Backend:
    """Open `sqlite:///relative.db` or `sqlite:////absolute.db`, with `?busy_timeout=SECONDS&readers=N` as options."""
    return await SqliteBackend.open(Settings.of_url(url, durability, machine))


@_hookimpl
async def perdure_missing(url: str) -> str | None:
    """Return the file, if there is none, or an empty one."""
    settings = Settings.of_url(url, "full", None)
    return str(settings.path) if settings.is_missing() else None
