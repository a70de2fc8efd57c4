"""Which log a store is, and how far its feed was seen to go."""

from __future__ import annotations

from secrets import token_hex

import msgspec

from perdure.abc import Backend, PutState, StateVersion, WriteGroup

_STATE, _PREFIX = "replicas", "log"


class Log(msgspec.Struct, frozen=True, array_like=True):
    """What a store says of itself: two nodes with the same log have the same store before them."""

    name: str
    end: str | None = None
    """An offset that was near the end of its feed, of which there is no asking: it is read from here to its end."""


async def log_of(backend: Backend) -> Log:
    """Return which log a store is; the first to ask gives it a name. Raises `StoreError`."""
    while True:
        version, found = await backend.read_state(_STATE, _PREFIX)
        if found is not None:
            return msgspec.msgpack.decode(found, type=Log)
        log = Log(token_hex(16))
        write = PutState(_STATE, _PREFIX, msgspec.msgpack.encode(log))
        expected = StateVersion(_STATE, _PREFIX, version)
        if await backend.commit([WriteGroup((write,), (expected,))]) == [None]:
            return log


async def note_end(backend: Backend, log: Log) -> None:
    """Store how far the feed goes, for the next life. Whoever is last is right enough. Raises `StoreError`."""
    await backend.commit([WriteGroup((PutState(_STATE, _PREFIX, msgspec.msgpack.encode(log)),))])
