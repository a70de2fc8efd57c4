"""How an actor's state is read from the store.

A recovery starts from a *base*: with `Full` the newest snapshot that can be read, older ones, then the initial state;
with `Light` the stored state, then the same. From there the log is read in pages and folded. A base that cannot be read
is reported, never silent, and the next one is tried; when none is left, the first reason is the error.

The page is read from the base's own sequence number on: that event is never removed, so if it is missing, the log
has lost its tail, and going on from an older base would hide the loss.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import aclosing
from typing import Any, NamedTuple

from perdure.abc import MAX_KEY, Entry
from perdure.errors import ApplyError, CorruptionError
from perdure.journal import RecordError
from perdure.persistence._entity import STATES, Apply, Entity, applied
from perdure.persistence._stores import Stores
from perdure.persistence._strategy import Light
from perdure.snapshots import SNAPSHOTS

_log = logging.getLogger("perdure.persistence")


class _Base(NamedTuple):
    state: Any
    number: int
    is_snapshot: bool = False


async def recover(entity: Entity, stores: Stores, initial: Callable[[], Any], apply: Apply) -> None:
    """Bring an entity to the end of its log, or leave it as it is.

    Raises `CorruptionError` naming the sequence number for a gap, a record that cannot be read, or an event that
    `apply` refuses; `StoreError` when the store cannot be read. At most so many recoveries run at a time as the
    system allows.
    """
    async with stores.recoveries:
        await entity.journal.settled(entity.persistence_id)
        try:
            await _recover(entity, stores, initial, apply)
        except CorruptionError:  # or another process has compacted what was being read: real damage is still there
            await _recover(entity, stores, initial, apply)


async def _recover(entity: Entity, stores: Stores, initial: Callable[[], Any], apply: Apply) -> None:
    problems: list[CorruptionError] = []
    async with aclosing(_bases(entity, stores, initial, problems)) as bases:
        async for base in bases:
            try:
                state, number = await _replay(entity, base, apply)
            except _NoStart as gap:
                problems.append(gap.error)
                continue
            if base.is_snapshot and entity.retention is not None:
                entity.retention.found(base.number)
            entity.become(state, number)
            return
    raise problems[0]


class _NoStart(Exception):
    """The log does not reach back to the base."""

    def __init__(self, error: CorruptionError) -> None:
        super().__init__(error)
        self.error = error


async def _bases(
    entity: Entity, stores: Stores, initial: Callable[[], Any], problems: list[CorruptionError]
) -> AsyncGenerator[_Base, None]:
    """Yield the states from which a recovery can start, the best first, and note those that cannot be read."""
    light = isinstance(entity.definition.strategy, Light)
    if light:
        async for base in _stored_state(entity, stores, problems):
            yield base
    async for base in _snapshots(entity, stores, problems):
        yield base
    yield _Base(initial(), 0)
    if not light:  # the actor may have been `Light` in an earlier life, and compacted
        async for base in _stored_state(entity, stores, problems):
            yield base


async def _stored_state(entity: Entity, stores: Stores, problems: list[CorruptionError]) -> AsyncIterator[_Base]:
    version, record = await stores.backend.read_state(STATES, entity.persistence_id)
    if record is not None:
        try:
            yield _Base(*entity.definition.states.decode(record))
        except RecordError as error:
            _report(problems, entity, 0, f"the stored state, version {version}, cannot be used: {error}")


async def _snapshots(entity: Entity, stores: Stores, problems: list[CorruptionError]) -> AsyncIterator[_Base]:
    stop, more = MAX_KEY + 1, True
    while more:
        entries, more = await stores.backend.page(
            SNAPSHOTS, entity.persistence_id, 1, stop, limit=1, max_bytes=1, reverse=True
        )
        for stop, record in entries:
            try:
                state, number = entity.definition.states.decode(record)
                if number != stop:
                    raise RecordError(f"it says that it covers {number}")
            except RecordError as error:
                _report(problems, entity, stop, f"the snapshot cannot be used: {error}")
            else:
                yield _Base(state, number, is_snapshot=True)


def _report(problems: list[CorruptionError], entity: Entity, number: int, reason: str) -> None:
    error = CorruptionError(entity.persistence_id, number, reason)
    problems.append(error)
    _log.warning("%s; recovering without it", error)


async def _replay(entity: Entity, base: _Base, apply: Apply) -> tuple[Any, int]:
    """Return the state at the end of the log and its sequence number."""
    identity = entity.persistence_id
    state, number = base.state, base.number
    first = True
    async with aclosing(entity.journal.pages(identity, max(1, number))) as pages:
        async for entries in pages:
            if first:
                entries = _after(base, entries, identity)
                first = False
            else:
                await asyncio.sleep(0)  # let others run between pages
            state, number = fold(entity, state, number, entries, apply)
    return state, number


def _after(base: _Base, entries: list[Entry], identity: str) -> list[Entry]:
    """Check that the log begins where the base ends, and return what follows it."""
    if base.number == 0:
        if entries and entries[0].key != 1:
            gap = f"the log begins at {entries[0].key}, and no snapshot or state below it can be used"
            raise _NoStart(CorruptionError(identity, 1, gap))
        return entries
    if not entries:
        raise CorruptionError(identity, base.number, "the log ends before the state that was saved at this number")
    if entries[0].key != base.number:  # another strategy went on from here, and compacted
        gap = f"the state that was saved at this number is older than the log, which begins at {entries[0].key}"
        raise _NoStart(CorruptionError(identity, base.number, gap))
    return entries[1:]


def fold(entity: Entity, state: Any, number: int, entries: Iterable[Entry], apply: Apply) -> tuple[Any, int]:
    """Return the state after some events and the number of the last. Raises `CorruptionError` naming the bad one."""
    identity = entity.persistence_id
    decode = entity.definition.events.decode
    for key, record in entries:
        number += 1
        if key != number:
            raise CorruptionError(identity, number, f"the event is missing; the next one is {key}")
        try:
            event = decode(record)
            state = applied(apply, state, event, identity)
        except (RecordError, ApplyError) as error:
            raise CorruptionError(identity, number, str(error)) from error
        except Exception as error:
            reason = f"apply failed: {type(error).__name__}: {error}"
            raise CorruptionError(identity, number, reason) from error
    return state, number
