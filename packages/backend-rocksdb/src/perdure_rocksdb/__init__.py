"""perdure on RocksDB: one folder, one writing process, any number that read."""

from __future__ import annotations

import pluggy

from perdure.abc import Backend, Durability, MachineSpec
from perdure_rocksdb._backend import RocksdbBackend
from perdure_rocksdb._settings import Settings

__all__ = ["RocksdbBackend"]

_hookimpl = pluggy.HookimplMarker("perdure")


@_hookimpl
async def perdure_open(url: str, durability: Durability, machine: MachineSpec | None) -> Backend:
    """Open `rocksdb:///relative/folder` or `rocksdb:////absolute/folder`, with `?mode=ro&wal=cut` as options."""
    return await RocksdbBackend.open(Settings.of_url(url, durability, machine))


@_hookimpl
async def perdure_missing(url: str) -> str | None:
    """Return the folder, if no store is in it."""
    settings = Settings.of_url(url, "full", None)
    return str(settings.path) if settings.is_missing() else None
