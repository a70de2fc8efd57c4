"""How an actor's state is read from the store.

A recovery starts from a *base*: with `Full` the newest snapshot that can be read, older ones, then the initial state;
with `Light` the stored state, then the same. From there the log is read in pages and folded; where it was moved to an
archive, that is read before it. A base that cannot be read is reported, never silent, and the next one is tried; when
none is left, the first reason is the error.

Before all of them comes a *warm* state, if somebody has one in memory. Nobody stored it, so nothing is lost with it,
and what does not fit (a number that the log does not have, an event behind it that cannot be folded) is no damage: it
is left aside, and what is really wrong is found on the usual way.

The page is read from the base's own sequence number on: that event is never removed, so if it is missing, the log
has lost its tail, and going on from an older base would hide the loss.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from itertools import takewhile
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from perdure._fields import fields
from perdure.abc import MAX_KEY, Entry
from perdure.errors import ApplyError, CorruptionError, EventTypeError, SealError, SubjectKeyMissing
from perdure.journal import EVENTS, EventCodec, RecordError, Several, timestamp_of
from perdure.persistence._custody import Custody
from perdure.persistence._definition import Definition
from perdure.persistence._entity import STATES, Apply, Entity, applied, changed_in_place
from perdure.persistence._notices import RecoveryFellBack
from perdure.persistence._stores import Stores
from perdure.persistence._strategy import Light
from perdure.security import ORIGIN
from perdure.snapshots import SNAPSHOTS

if TYPE_CHECKING:
    from perdure.persistence._actor import PersistentActor

_AT_ONCE = 512  # events that are folded in one turn of the loop

_log = logging.getLogger("perdure.persistence")


class Recovery(msgspec.Struct, frozen=True, kw_only=True):
    """How an actor type is recovered.

    With `snapshots=False` from its events alone, as after a change of `apply` that old snapshots do not know of; with
    `snapshots_to` from no snapshot of a later sequence number. What `Light` stores with each event is then left aside
    as well. Events that compaction has removed are not there to be read.
    """

    snapshots: bool = True
    snapshots_to: int = MAX_KEY

    def __post_init__(self) -> None:
        if self.snapshots_to < 1:
            raise ValueError(f"snapshots_to is a sequence number, 1 or more, not {self.snapshots_to}")

    def admits(self, sequence_number: int) -> bool:
        """Tell whether a state with so many events in it may be a base."""
        return self.snapshots and sequence_number <= self.snapshots_to


class Base(NamedTuple):
    """A state from which events are folded on, and the number of the last event in it."""

    state: Any
    number: int
    is_snapshot: bool = False


class Reading:
    """One actor's state as its store has it, up to an event or a time."""

    def __init__(
        self,
        persistence_id: str,
        definition: Definition,
        stores: Stores,
        initial: Callable[[], Any],
        apply: Apply,
        recovery: Recovery,
        custody: Custody | None,
        *,
        to: int = MAX_KEY,
        before: int | None = None,
        warm: tuple[Any, int] | None = None,
    ) -> None:
        """Read the events up to the number `to`, and of those the ones until the first that is later than `before`.

        With a `warm` state, read what is behind its number alone, if the log has that.
        """
        self.persistence_id = persistence_id
        self.base = Base(None, 0)
        self.state: Any = None
        self.number = 0
        self.last_record: bytes | None = None
        self._definition = definition
        self._stores = stores
        self._initial = initial
        self._apply = apply
        self._recovery = recovery
        self._custody = custody
        self._to = to
        self._before = before
        self._warm = warm
        self._last: Entry | None = None
        self._problems: list[CorruptionError] = []

    async def read(self) -> None:
        """Set `state` and `number`, the `base` that they were reached from, and the last record that was folded.

        Raises `SealError`, `ChainBroken` for a record or a log that is not what was sealed; `CorruptionError` naming
        the sequence number for a gap, a record that cannot be read, or an event that `apply` refuses; `StoreError` when
        the store cannot be read.
        """
        if self._warm is not None and await self._goes_on_from(*self._warm):
            return
        async with aclosing(self._bases()) as bases:
            async for base in bases:
                try:
                    await self._replay(base)
                except _NoStart as gap:
                    self._problems.append(gap.error)
                else:
                    return
        raise self._problems[0]

    async def _goes_on_from(self, state: Any, number: int) -> bool:
        """Fold on from a copy of a warm state; tell whether it fits the log."""
        states = self._definition.states
        try:
            base = Base(*states.decode(states.encode(state, number, 0)))
            if not self._recovery.admits(base.number):
                return False
            await self._replay(base)
        except (_NoStart, CorruptionError, EventTypeError, RecordError) as error:
            about = fields(persistence_id=self.persistence_id, sequence_number=number, error=error)
            _log.debug("%s: its warm state at %s is not used: %s", self.persistence_id, number, error, extra=about)
            return False
        return True

    async def _bases(self) -> AsyncGenerator[Base, None]:
        """Yield the states from which to fold on, the best first, and note those that cannot be read."""
        light = isinstance(self._definition.strategy, Light)
        if light and (stored := await self._stored_state()) is not None:
            yield stored
        async with aclosing(self._snapshots()) as snapshots:  # left open, it costs the loop a task to close it
            async for base in snapshots:
                yield base
        yield Base(self._initial(), 0)
        # The actor may have been `Light` in an earlier life, and compacted.
        if not light and (stored := await self._stored_state()) is not None:
            yield stored

    async def _stored_state(self) -> Base | None:
        version, record = await self._stores.backend.read_state(STATES, self.persistence_id)
        if record is None:
            return None
        try:
            if self._custody is not None:
                await self._custody.look_up(record)
                record = self._custody.seal.elsewhere(STATES).open(0, record)
            state, number = self._definition.states.decode(record)
        except SealError as error:
            self._report(0, f"the stored state, version {version}, cannot be used: {error.reason}", error)
            return None
        except RecordError as error:
            self._report(0, f"the stored state, version {version}, cannot be used: {error}")
            return None
        is_base = number <= self._to and self._recovery.admits(number) and not self._is_too_late(record)
        return Base(state, number) if is_base else None

    async def _snapshots(self) -> AsyncGenerator[Base, None]:
        at_most = min(self._to, self._recovery.snapshots_to)
        while self._recovery.snapshots and at_most > 0:
            try:
                snapshot = await self._stores.snapshots.newest(self.persistence_id, at_most)
                if snapshot is None:
                    return
                at_most, record = snapshot
                if self._custody is not None:
                    await self._custody.look_up(record)
                    record = self._custody.seal.elsewhere(SNAPSHOTS).open(at_most, record)
                state, number = self._definition.states.decode(record)
                if number != at_most:
                    raise RecordError(f"it says that it covers {number}")
            except CorruptionError as error:  # the store itself has noticed
                at_most = error.sequence_number
                self._report(at_most, f"the snapshot cannot be used: {error.reason}", error)
            except RecordError as error:
                self._report(at_most, f"the snapshot cannot be used: {error}")
            else:
                if not self._is_too_late(record):
                    yield Base(state, number, is_snapshot=True)
            at_most -= 1

    def _is_too_late(self, record: bytes) -> bool:
        return self._before is not None and timestamp_of(record) > self._before

    def _report(self, number: int, reason: str, sealed: CorruptionError | None = None) -> None:
        """Tell of a base that cannot be used; of one that cannot be opened, the error itself may be needed."""
        error = CorruptionError(self.persistence_id, number, reason)
        self._problems.append(sealed if isinstance(sealed, SealError) else error)
        self._stores.publish(RecoveryFellBack(self.persistence_id, number, reason))
        about = fields(persistence_id=self.persistence_id, sequence_number=number, error=error)
        _log.warning("%s; recovering without it", error, extra=about)

    async def _replay(self, base: Base) -> None:
        """Fold the events after a base."""
        state, number = base.state, base.number
        last: bytes | None = None
        ended = False
        first = True
        async with aclosing(self._log(max(1, number))) as pages:
            async for entries in pages:
                if first:
                    last = entries[0].value if entries and base.number else None
                    entries = self._after(base, entries)
                    first = False
                else:
                    await asyncio.sleep(0)  # let others run between pages, which large events make short
                if self._before is not None:
                    early = list(takewhile(lambda entry: not self._is_too_late(entry.value), entries))
                    ended = len(early) < len(entries)
                    entries = early
                for begin in range(0, len(entries), _AT_ONCE):
                    if begin:
                        await asyncio.sleep(0)  # and within long ones
                    some = entries[begin : begin + _AT_ONCE]
                    state, number = fold(self._definition, self.persistence_id, state, number, some, self._apply)
                if entries:
                    last = entries[-1].value
                if ended:
                    break
        if number < self._to < MAX_KEY:
            await self._check_end(number)
        if self._custody is not None and self._to == MAX_KEY and self._before is None:
            self._custody.check_end(number)
        self.base, self.state, self.number, self.last_record = base, state, number, last

    async def _check_end(self, number: int) -> None:
        """Check that the log ends at a number, where more of it was asked for."""
        page = await self._stores.backend.page(
            EVENTS, self.persistence_id, number + 1, MAX_KEY + 1, limit=1, max_bytes=1
        )
        if page.entries:
            gap = f"the event is not in the log any more; the next one is {page.entries[0].key}"
            raise _NoStart(CorruptionError(self.persistence_id, number + 1, gap))

    async def _log(self, start: int) -> AsyncGenerator[list[Entry], None]:
        """Yield the log from a number on, in pages, with what stands in the archive before it."""
        stop = self._to + 1
        first = True
        async with aclosing(self._stores.journal.pages(self.persistence_id, start, stop)) as pages:
            async for entries in pages:
                if first:
                    first = False
                    begin = entries[0].key if entries else start if self._to == MAX_KEY else stop
                    async with aclosing(self._archived(start, begin)) as archived:
                        async for older in archived:
                            yield await self._opened(older)
                yield await self._opened(entries)

    async def _opened(self, entries: list[Entry]) -> list[Entry]:
        if self._custody is None or not entries:
            return entries
        self._last = entries[-1]
        try:
            return self._custody.opened(entries)
        except SubjectKeyMissing:  # it may be that of another subject, which the type had in the past
            await self._custody.look_up(*(entry.value for entry in entries))
            return self._custody.opened(entries)

    def link(self) -> bytes:
        """Return the link of the last event."""
        last = self._last
        return ORIGIN if self._custody is None or last is None else self._custody.seal.link(*last)

    async def _archived(self, start: int, stop: int) -> AsyncGenerator[list[Entry], None]:
        """Yield what the archive has of the events before the log. Raise `_NoStart` if that does not reach the log."""
        if start >= stop:
            return
        last = stop - 1
        async with aclosing(self._stores.archive.pages(self.persistence_id, start, stop)) as pages:
            async for entries in pages:
                if entries:
                    last = entries[-1].key
                    yield entries
        if last != stop - 1:  # another strategy has compacted without archiving
            gap = f"the events from here to {stop - 1} are neither in the archive nor in the log"
            raise _NoStart(CorruptionError(self.persistence_id, last + 1, gap))

    def _after(self, base: Base, entries: list[Entry]) -> list[Entry]:
        """Check that the log begins where the base ends, and return what follows it."""
        identity = self.persistence_id
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


class _NoStart(Exception):
    """The log does not reach back to the base."""

    def __init__(self, error: CorruptionError) -> None:
        super().__init__(error)
        self.error = error


async def recover(
    entity: Entity,
    actor_type: type[PersistentActor[Any, Any]],
    initial: Callable[[], Any],
    apply: Apply,
    recovery: Recovery,
) -> None:
    """Bring an entity to the end of its log, or leave it as it is. Raises what `Reading.read` raises.

    Raises `SubjectForgotten` when nobody can read it any more.

    At most so many recoveries run at a time as the system allows.
    """
    stores = entity.stores
    async with stores.recoveries:
        await entity.unlock()
        await entity.journal.settled(entity.persistence_id)
        await entity.claim()
        identity, custody = entity.persistence_id, entity.custody
        warm = stores.warm_state(actor_type, entity.identity)
        reading = Reading(identity, entity.definition, stores, initial, apply, recovery, custody, warm=warm)
        try:
            await reading.read()
        except CorruptionError:  # or another process has compacted what was being read: real damage is still there
            stores.snapshots.forget(identity)
            reading = Reading(identity, entity.definition, stores, initial, apply, recovery, custody)
            await reading.read()
        if reading.base.is_snapshot and entity.snapshots is not None:
            entity.snapshots.found(reading.base.number)
        if custody is not None and custody.seal.is_chained:
            custody.link = reading.link()
        entity.become(reading.state, reading.number)


def fold(
    definition: Definition, identity: str, state: Any, number: int, entries: Sequence[Entry], apply: Apply
) -> tuple[Any, int]:
    """Return the state after some events and the number of the last. Raises `CorruptionError` naming the bad one."""
    for event in _events(definition.events, identity, number, entries):
        number += 1
        try:
            if type(event) is Several:
                for part in event:
                    state = applied(apply, state, part, identity)
            else:
                after = apply(state, event)  # as `applied` does, without a call more for each of a long log
                state = changed_in_place(state, event, identity) if after is None else after
        except ApplyError as error:
            raise CorruptionError(identity, number, str(error)) from error
        except Exception as error:
            reason = f"apply failed: {type(error).__name__}: {error}"
            raise CorruptionError(identity, number, reason) from error
    return state, number


def _events(codec: EventCodec, identity: str, number: int, entries: Sequence[Entry]) -> Iterable[Any]:
    """Return the events behind a sequence number, each of which may be `Several`. Raises `CorruptionError`."""
    if [key for key, _ in entries] == list(range(number + 1, number + 1 + len(entries))):
        events = codec.decode_together(entries)
        if events is not None:
            return events
    return _one_by_one(codec, identity, number, entries)


def _one_by_one(codec: EventCodec, identity: str, number: int, entries: Sequence[Entry]) -> Iterator[Any]:
    for key, record in entries:
        number += 1
        if key != number:
            raise CorruptionError(identity, number, f"the event is missing; the next one is {key}")
        try:
            yield codec.decode(record)
        except RecordError as error:
            raise CorruptionError(identity, number, str(error)) from error
