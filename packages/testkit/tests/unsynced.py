"""A backend that keeps a log of its commits in one file, and lets them wait in a buffer until it is closed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pluggy

from perdure.abc import (
    Backend,
    Conflict,
    Delete,
    DeleteRange,
    DeleteState,
    Durability,
    MachineSpec,
    Purge,
    PurgeState,
    Put,
    PutState,
    Replace,
    Write,
    WriteGroup,
)
from perdure.memory import MemoryBackend

KINDS: dict[str, type[Write]] = {
    kind.__name__: kind for kind in (Put, Replace, Delete, DeleteRange, Purge, PutState, DeleteState, PurgeState)
}


class UnsyncedBackend(MemoryBackend):
    def __init__(self, path: Path) -> None:
        super().__init__()
        for line in path.read_bytes().splitlines() if path.exists() else ():
            for kind, fields in msgspec.json.decode(line):
                self._store.apply(msgspec.convert(fields, KINDS[kind]))
        self._file = path.open("ab", buffering=1 << 20)

    async def commit(self, groups: Sequence[WriteGroup]) -> list[Conflict | None]:
        outcomes = await super().commit(groups)
        for group, refused in zip(groups, outcomes, strict=True):
            if refused is None:
                self._file.write(msgspec.json.encode([(type(write).__name__, write) for write in group.writes]) + b"\n")
        return outcomes

    async def close(self) -> None:
        await super().close()
        self._file.close()


@pluggy.HookimplMarker("perdure")
async def perdure_open(url: str, durability: Durability, machine: MachineSpec | None) -> Backend:
    return UnsyncedBackend(Path(url.partition("://")[2]))
