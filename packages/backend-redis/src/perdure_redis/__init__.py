"""perdure on Redis or Valkey: one server, a master that Sentinel names, or a cluster."""

from __future__ import annotations

import pluggy

from perdure.abc import Backend, Durability, MachineSpec
from perdure_redis._backend import RedisBackend
from perdure_redis._guarantee import DurabilityWarning, Guarantee

__all__ = ["DurabilityWarning", "Guarantee", "RedisBackend"]

_hookimpl = pluggy.HookimplMarker("perdure")


@_hookimpl
async def perdure_open(url: str, durability: Durability, machine: MachineSpec | None) -> Backend:
    """Open `redis://host:6379/0`, `redis+sentinel://…/service` or `redis+cluster://…`, over TLS with `rediss`."""
    return await RedisBackend.open(url, durability)


@_hookimpl
async def perdure_missing(url: str) -> str | None:
    """Return the server and the namespace, if no store is in it."""
    return await RedisBackend.missing(url)
