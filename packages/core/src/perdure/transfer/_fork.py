"""Refusing a target that holds something else under a name of the source, before anything is written to it.

The last record of each log of the target is that of the source, or was compacted there since. Of the latter nobody can
tell, so it is believed only of a target that says that it was filled from this source: the state `transfer` of the
target holds the digest of the URL that was copied into it first.
"""

from __future__ import annotations

from contextlib import aclosing
from hashlib import sha256
from urllib.parse import urlsplit

from perdure.abc import Backend, PutState, StateVersion, WriteGroup
from perdure.errors import TargetDiffers
from perdure.journal import EVENTS
from perdure.persistence._changes import DURABLE
from perdure.persistence._claims import OWNERS
from perdure.security._names import PREFIX, STATE
from perdure.security._subjects import SUBJECT_KEYS
from perdure.transfer._damage import Inspection
from perdure.transfer._together import together, windows
from perdure.upkeep._names import stored_names

_TRANSFER, _SOURCE = "transfer", "source"
_WINDOW = 64


def name_of(store: str | Backend) -> str:
    """Return by what a target remembers its source: a digest of its URL without user; nothing for an open one."""
    if isinstance(store, Backend):
        return ""
    url = urlsplit(store)
    return sha256(url._replace(netloc=url.netloc.rpartition("@")[2]).geturl().encode()).hexdigest()


async def refuse_fork(source: Backend, target: Backend, name: str, inspection: Inspection) -> None:
    """Raise `TargetDiffers` unless each log of the target that the source has is a beginning of it.

    Where the inspection leaves damaged records out, the last one that is not is looked at.
    """
    _, first = await target.read_state(_TRANSFER, _SOURCE)
    check = _Check(source, target, inspection, first == name.encode())
    await check.names()
    for collection in (EVENTS, DURABLE, SUBJECT_KEYS):
        async with (
            aclosing(stored_names(target, collection)) as names,
            aclosing(windows(names, _WINDOW)) as some,
        ):
            async for window in some:
                await together(check.log(collection, name) for name in window)


async def note_source(target: Backend, name: str) -> None:
    """Have an unused target remember its source; one that remembers any, or is in use, stays as it is."""
    version, _ = await target.read_state(_TRANSFER, _SOURCE)
    if version or await target.prefixes(EVENTS, limit=1) or await target.prefixes(DURABLE, limit=1):
        return
    put = PutState(_TRANSFER, _SOURCE, name.encode())
    await target.commit([WriteGroup((put,), (StateVersion(_TRANSFER, _SOURCE, 0),))])


class _Check:
    def __init__(self, source: Backend, target: Backend, inspection: Inspection, trusts: bool) -> None:
        self._source = source
        self._target = target
        self._inspection = inspection
        self._trusts = trusts

    async def names(self) -> None:
        """Look at what says under which names, and whether sealed at all, a store keeps things."""
        _, ours = await self._target.read_state(STATE, PREFIX)
        version, theirs = await self._source.read_state(STATE, PREFIX)
        if ours is not None and ours != theirs:
            raise TargetDiffers(STATE, PREFIX, version, "it was sealed by itself, or the source was sealed anew since")

    async def log(self, collection: str, name: str) -> None:
        end = await self._target.last(collection, name)
        last = await self._source.last(collection, name)
        if not end or not last:
            return
        if end > last:
            raise TargetDiffers(collection, name, end, f"it goes on there, and the source ends at {last}")
        number, theirs = await self._last_sound(collection, name, end)
        if theirs is None and not self._trusts:
            reason = "the source has compacted what it could be compared with, and this is not known to be its copy"
            raise TargetDiffers(collection, name, end, reason)
        if theirs is not None and theirs != await _record(self._target, collection, name, number):
            raise TargetDiffers(collection, name, number, "it holds another record here")
        await self._owner(name)

    async def _last_sound(self, collection: str, name: str, number: int) -> tuple[int, bytes | None]:
        """Return the last record of the source, up to a number, that is not left out."""
        record = await _record(self._source, collection, name, number)
        while record is not None and self._inspection.leaves_out(record):
            number -= 1
            record = await _record(self._source, collection, name, number)
        return number, record

    async def _owner(self, name: str) -> None:
        version, value = await self._target.read_state(OWNERS, name)
        theirs, known = await self._source.read_state(OWNERS, name)
        if version > theirs or (version == theirs and value != known):
            raise TargetDiffers(OWNERS, name, version, f"it was claimed there, and by epoch {theirs} in the source")


async def _record(store: Backend, collection: str, name: str, number: int) -> bytes | None:
    """Return what a store has at a number; None if it has nothing."""
    page = await store.page(collection, name, number, number + 1, limit=1, max_bytes=1)
    return page.entries[0].value if page.entries else None
