from __future__ import annotations

import asyncio
import gc
import math
import weakref
from collections.abc import Coroutine, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID
from zlib import crc32

import msgspec
import pytest

from perdure import Event
from perdure.abc import Backend, Conflict, Put, WriteGroup
from perdure.errors import (
    ConflictError,
    EntryNotFound,
    EventTypeError,
    OutcomeUnknown,
    StoreClosed,
    StoreError,
    StoreUnavailable,
)
from perdure.evolution import Evolution
from perdure.journal import EVENTS, EventCodec, Journal, RecordError, StateCodec
from perdure.memory import MemoryBackend
from perdure_testkit import FaultyBackend

from .tapes import append

FORMATS = pytest.mark.parametrize("write", ["msgpack", "json"])


class Fact(Event):
    pass


class Moved(Fact):
    to: str
    distance: float = 0.0


class Stopped(Fact):
    pass


class Unit(Enum):
    METRE = "m"


class Measured(Event):
    at: datetime
    day: date
    lasted: timedelta
    price: Decimal
    by: UUID
    ids: set[int]
    names: frozenset[str]
    pair: tuple[int, str]
    raw: dict[int, bytes]
    moves: list[list[Moved]]
    unit: Unit
    large: int


class TestRecords:
    @FORMATS
    @pytest.mark.parametrize("event", [Stopped(), Moved("here"), Moved("", -1.5), Moved("π\u2028\U0001f600\0" * 9)])
    def test_an_event_comes_back_as_it_was(self, write: Any, event: Event) -> None:
        """What is encoded decodes to an equal event, whatever system wrote it (AVE-125, AVE-138)."""
        record = EventCodec("Robot", [Fact], write).encode(event, 1)

        assert EventCodec("Robot", [Fact]).decode(record) == event

    @FORMATS
    def test_values_come_back_with_their_types(self, write: Any) -> None:
        """A date is no text, a set no list, and bytes are bytes, also inside of others (ATS-08)."""
        measured = Measured(
            at=datetime(2026, 5, 4, 3, 2, 1, 999_999, tzinfo=UTC),
            day=date(1, 1, 1),
            lasted=timedelta(days=-1, microseconds=1),
            price=Decimal("1E-30"),
            by=UUID(int=7),
            ids={1, 2},
            names=frozenset({"a"}),
            pair=(1, "x"),
            raw={1: b"\0\xff"},
            moves=[[Moved("x", 1.5)]],
            unit=Unit.METRE,
            large=2**63 - 1,
        )
        codec = EventCodec("Robot", [Measured], write)

        back = codec.decode(codec.encode(measured, 1))

        assert back == measured
        assert [type(value) for value in msgspec.structs.astuple(back)] == [
            type(value) for value in msgspec.structs.astuple(measured)
        ]

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.0])
    def test_numbers_that_are_none_come_back(self, value: float) -> None:
        """MessagePack has them all; JSON has not, and refuses them (ATS-08)."""
        codec = EventCodec("Robot", [Fact])

        back = codec.decode(codec.encode(Moved("x", value), 1))

        assert (str(back.distance), type(back)) == (str(value), Moved)  # type: ignore[attr-defined]

    def test_the_manifest_is_the_name_and_never_the_module(self) -> None:
        """An event type can move to another module, and keep its records."""
        record = EventCodec("Robot", [Fact]).encode(Stopped(), 1)

        assert (b"Stopped" in record, __name__.encode() in record) == (True, False)

    def test_a_manifest_of_its_own_outlives_a_renaming(self) -> None:
        """The author gives the name under which an event is stored."""

        class Old(Event, manifest="went"):
            to: str

        class New(Event, manifest="went"):
            to: str

        assert EventCodec("Robot", [New]).decode(EventCodec("Robot", [Old]).encode(Old("x"), 1)) == New("x")

    def test_a_json_record_can_be_read_by_a_person(self) -> None:
        """It is one JSON object with the fields by name."""
        record = msgspec.json.decode(EventCodec("Robot", [Fact], "json").encode(Moved("x", 2.5), 7))

        assert (record["manifest"], record["timestamp"], record["payload"]) == (
            "Moved",
            7,
            {"to": "x", "distance": 2.5},
        )

    @FORMATS
    def test_any_single_damaged_byte_is_noticed(self, write: Any) -> None:
        """No record with a flipped bit is ever taken for an event (AVE-28, W-26, ATS-70)."""
        codec = EventCodec("Robot", [Fact], write)
        record = codec.encode(Moved("somewhere", 2.5), 1)

        for place in range(len(record)):
            for bit in range(8):
                damaged = bytearray(record)
                damaged[place] ^= 1 << bit
                with pytest.raises(RecordError):
                    codec.decode(bytes(damaged))

    @FORMATS
    def test_any_truncation_is_noticed(self, write: Any) -> None:
        """No part of a record is taken for an event (AVE-28)."""
        codec = EventCodec("Robot", [Fact], write)
        record = codec.encode(Moved("somewhere", 2.5), 1)

        for length in range(len(record)):
            with pytest.raises(RecordError):
                codec.decode(record[:length])

    def test_a_record_of_a_later_format_is_refused(self) -> None:
        """The error says that this version does not know it."""
        record = EventCodec("Robot", [Fact]).encode(Stopped(), 1)

        with pytest.raises(RecordError, match="format version 2, unknown to this version of perdure"):
            EventCodec("Robot", [Fact]).decode(b"\x02" + record[1:])

    @pytest.mark.parametrize(
        ("flags", "reason"), [(1, "is no perdure record"), (2, "is sealed"), (3, "is sealed"), (4, "flags 0x04")]
    )
    def test_a_plain_record_with_other_flags_is_refused(self, flags: int, reason: str) -> None:
        """A compressed or sealed record is never taken for a plain one, nor a plain one for such."""
        record = EventCodec("Robot", [Fact]).encode(Stopped(), 1)

        with pytest.raises(RecordError, match=reason):
            EventCodec("Robot", [Fact]).decode(record[:1] + bytes([flags]) + record[2:])

    def test_an_event_of_a_later_schema_is_refused(self) -> None:
        """An old program does not guess at what a new one wrote."""

        class Sent(Event, version=1):
            pass

        class SentLater(Event, version=2, manifest="Sent"):
            pass

        record = EventCodec("Post", [SentLater]).encode(SentLater(), 1)

        with pytest.raises(RecordError, match=r"an event Sent of version 2 cannot be read: .* knows versions up to 1"):
            EventCodec("Post", [Sent]).decode(record)

    def test_a_new_field_with_a_default_reads_old_events(self) -> None:
        """Adding such a field needs no migration."""

        class V1(Event, manifest="Sent"):
            to: str

        class V2(Event, manifest="Sent"):
            to: str
            urgent: bool = False

        assert EventCodec("Post", [V2]).decode(EventCodec("Post", [V1]).encode(V1("x"), 1)) == V2("x", False)

    @FORMATS
    def test_a_state_says_which_number_it_covers(self, write: Any) -> None:
        """State and number come back together (AVE-02)."""
        codec = StateCodec("Robot", dict[str, int], write)

        assert codec.decode(codec.encode({"x": 1}, 7, 0)) == ({"x": 1}, 7)

    def test_an_event_is_not_a_state(self) -> None:
        """A record of another kind is not used in its place (W-26)."""
        record = EventCodec("Robot", [Fact]).encode(Stopped(), 1)

        with pytest.raises(RecordError, match="a state without its sequence number"):
            StateCodec("Robot", dict[str, int]).decode(record)


class TestRecordsReadTogether:
    def test_are_the_same_events_in_their_order(self) -> None:
        """However their types alternate, once each type was read; until then they are read one by one."""
        codec = EventCodec("Robot", [Fact])
        events = [Stopped(), Moved("x", 1.5), Moved("y"), Stopped(), Stopped(), Moved("z")]
        entries = [(key, codec.encode(event, key)) for key, event in enumerate(events, 1)]
        assert codec.decode_together(entries) is None
        assert [codec.decode(record) for _, record in entries] == events

        assert codec.decode_together(entries) == events
        assert codec.decode_together(entries[1:3]) == events[1:3]
        assert codec.decode_together([]) == []

    @pytest.mark.parametrize("place", [0, 2, 5])
    def test_are_none_where_any_goes_the_long_way(self, place: int) -> None:
        """Such as one that is damaged, cut, compressed, sealed, of an older version or JSON."""

        class Older(Event, manifest="Moved", version=1):
            to: str

        class Newer(Event, manifest="Moved", version=2):
            to: str

        history = Evolution()
        history.upcast("Moved", 1)(lambda document: {"to": f"{document['to']}!"})
        codec = EventCodec("Robot", [Newer], "msgpack", history)
        good = codec.encode(Newer("x"), 1)
        others = [
            EventCodec("Robot", [Older]).encode(Older("x"), 1),
            EventCodec("Robot", [Newer], "json").encode(Newer("x"), 1),
            good.replace(b"\xa1x", b"\xa1y"),
            good[:7],
            good[:6],
            b"",
            *(good[:1] + bytes([flags]) + good[2:] for flags in (1, 2)),
        ]
        entries = [(key, good) for key in range(1, 7)]
        codec.decode(good)
        assert codec.decode_together(entries) == [Newer("x")] * 6

        for other in others:
            entries[place] = (place + 1, other)
            assert codec.decode_together(entries) is None

    def test_are_none_where_a_type_refuses_one(self) -> None:
        """Its error is raised when the record is read by itself, which tells its number."""

        class Even(Event):
            number: int

            def __post_init__(self) -> None:
                if self.number % 2:
                    raise ZeroDivisionError("odd")

        codec = EventCodec("Robot", [Even])
        good = codec.encode(Even(8), 1)
        body = good[6:].replace(b"\x08", b"\x07")
        odd = good[:2] + crc32(body).to_bytes(4, "big") + body
        codec.decode(good)

        assert codec.decode_together([(1, good), (2, odd)]) is None


class TestDeclaredEvents:
    def test_subclasses_of_a_declared_type_are_declared(self) -> None:
        """Also those that are defined after the actor."""
        codec = EventCodec("Robot", [Fact])

        class Turned(Fact):
            pass

        assert codec.decode(codec.encode(Turned(), 1)) == Turned()

    def test_a_type_that_is_not_declared_is_refused(self) -> None:
        """The error names it, and what is declared."""

        class Foreign(Event):
            pass

        with pytest.raises(EventTypeError, match="Robot does not declare Foreign; it declares Stopped"):
            EventCodec("Robot", [Stopped]).encode(Foreign(), 1)

    @pytest.mark.parametrize("thing", [None, 1, "Stopped", {"a": 1}, object()])
    def test_what_is_no_event_is_refused(self, thing: Any) -> None:
        """Only events are stored."""
        with pytest.raises(EventTypeError, match="Robot persists events"):
            EventCodec("Robot", [Stopped]).encode(thing, 1)

    def test_two_types_with_one_name_are_refused(self) -> None:
        """The error asks for another manifest."""

        class A(Event, manifest="same"):
            pass

        class B(Event, manifest="same"):
            pass

        with pytest.raises(EventTypeError, match="two event types named"):
            EventCodec("Robot", [A, B])

    @pytest.mark.parametrize("write", ["msgpack", "json"])
    @pytest.mark.parametrize(
        "value",
        [object(), 2**64, "\ud800", {1, object()}, [[object()]], lambda: 0],
        ids=lambda value: type(value).__name__,
    )
    def test_a_value_that_cannot_be_encoded_is_refused(self, write: Any, value: Any) -> None:
        """The error names the event type; nothing is half encoded."""

        class Holding(Event):
            thing: Any

        if write == "json" and value == 2**64:
            pytest.skip("JSON has integers of any size")

        with pytest.raises(EventTypeError, match="Robot: an event Holding cannot be"):
            EventCodec("Robot", [Holding], write).encode(Holding(value), 1)

    def test_a_value_that_holds_itself_is_refused(self) -> None:
        """A cycle is no endless loop."""

        class Holding(Event):
            thing: Any

        cycle: list[Any] = []
        cycle.append(cycle)

        with pytest.raises(EventTypeError, match="Robot: an event Holding cannot be encoded"):
            EventCodec("Robot", [Holding]).encode(Holding(cycle), 1)

    @FORMATS
    @pytest.mark.parametrize("value", ["ten", 10.5, None, [1]])
    def test_a_value_of_another_type_than_declared_is_refused(self, write: Any, value: Any) -> None:
        """What could not be read back is never acknowledged."""

        class Paid(Event):
            amount: int

        with pytest.raises(EventTypeError, match="Robot: an event Paid could not be read back"):
            EventCodec("Robot", [Paid], write).encode(Paid(value), 1)

    def test_a_number_that_json_does_not_have_is_refused(self) -> None:
        """JSON has no NaN, and an event must not come back as another."""
        with pytest.raises(EventTypeError, match="Robot: an event Moved could not be read back"):
            EventCodec("Robot", [Fact], "json").encode(Moved("x", math.nan), 1)

    def test_schema_versions_begin_at_one(self) -> None:
        """A version below is a mistake in the class statement."""
        with pytest.raises(ValueError, match="Bad: schema versions begin at 1, not 0"):

            class Bad(Event, version=0):
                pass


class Recording(MemoryBackend):
    """Notes its batches."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    async def commit(self, groups: Sequence[WriteGroup]) -> list[Conflict | None]:
        self.batches.append(len(groups))
        return await super().commit(groups)


class TestGroupCommit:
    async def test_what_arrives_in_one_turn_is_one_batch(self) -> None:
        """An idle queue commits at once what is ready (W-34)."""
        backend = Recording()
        journal = Journal(backend)

        await asyncio.gather(*(journal.append(str(n), 0, [b"x"]) for n in range(10)))

        assert backend.batches == [10]

    async def test_what_arrives_during_a_commit_is_the_next_batch(self) -> None:
        """While one is under way the next gathers (W-34)."""
        inner = Recording()
        backend = FaultyBackend(inner)
        journal = Journal(backend)
        held = backend.hold("commit")
        first = asyncio.ensure_future(journal.append("a", 0, [b"x"]))
        await asyncio.sleep(0)
        others = [asyncio.ensure_future(journal.append(str(n), 0, [b"x"])) for n in range(9)]
        await asyncio.sleep(0)
        held.set()

        await asyncio.gather(first, *others)

        assert inner.batches == [1, 9]

    @pytest.mark.parametrize(("writers", "long", "first"), [(1_000, 60.0, 32), (100, 60.0, 100), (100, -1.0, 32)])
    async def test_the_loop_has_turns_while_writers_are_woken(
        self, monkeypatch: pytest.MonkeyPatch, writers: int, long: float, first: int
    ) -> None:
        """Of many some go on in a turn, of few all, unless they take long; and all in their order (W-35)."""
        monkeypatch.setattr("perdure.journal._commit.LONG", long)
        journal = Journal(MemoryBackend())
        turns = 0
        woken: list[tuple[int, int]] = []

        async def write(number: int) -> None:
            await journal.append(str(number), 0, [b"x"])
            woken.append((turns, number))

        all_writers = asyncio.gather(*map(write, range(writers)))
        while not all_writers.done():
            turns += 1
            await asyncio.sleep(0)

        at_once = [turn for turn, _ in woken]
        assert [number for _, number in woken] == list(range(writers))
        assert at_once.count(at_once[0]) == first

    async def test_a_whole_batch_that_waits_is_committed_before_writers_go_on(self) -> None:
        """So the store works while they do; for less than a batch it waits for what they bring."""
        woken: list[int] = []
        seen: list[tuple[int, int]] = []

        class Watching(MemoryBackend):
            def commit(self, groups: Sequence[WriteGroup]) -> Coroutine[Any, Any, list[Conflict | None]]:
                seen.append((len(groups), len(woken)))
                return super().commit(groups)

        journal = Journal(Watching())

        async def write(number: int) -> None:
            await journal.append(str(number), 0, [b"x"])
            woken.append(number)

        await asyncio.gather(*map(write, range(600)))

        assert seen == [(256, 0), (256, 0), (88, 512)]
        assert woken == list(range(600))

    async def test_closing_waits_until_every_writer_was_told(self) -> None:
        """Who submitted before has the outcome when the close is over."""
        journal = Journal(MemoryBackend())
        appends = [asyncio.ensure_future(journal.append(str(number), 0, [b"x"])) for number in range(200)]
        await asyncio.sleep(0)

        await journal.close()

        assert all(append.done() for append in appends)

    async def test_a_lone_writer_waits_for_no_timer(self) -> None:
        """Every commit of one writer begins as soon as it is asked for."""
        backend = Recording()
        journal = Journal(backend)

        for number in range(5):
            await journal.append("a", number, [b"x"])

        assert backend.batches == [1] * 5

    async def test_a_conflict_is_that_writers_alone(self) -> None:
        """The others of the batch are stored (W-22)."""
        backend = Recording()
        journal = Journal(backend)

        results = await asyncio.gather(
            journal.append("a", 0, [b"1"]), journal.append("a", 0, [b"2"]), journal.append("b", 0, [b"3"])
        )

        assert [result and result.actual for result in results] == [None, 1, None]

    async def test_each_writer_has_an_error_of_its_own(self, store: FaultyBackend) -> None:
        """Tracebacks of one writer never appear at another."""
        journal = Journal(store)
        store.reject("commit", StoreUnavailable("commit", "down"))

        first, second = await asyncio.gather(
            journal.append("a", 0, [b"x"]), journal.append("b", 0, [b"x"]), return_exceptions=True
        )

        assert (str(first), str(second), first is second) == ("commit: down", "commit: down", False)

    async def test_a_failure_leaves_nothing_behind(self, store: FaultyBackend) -> None:
        """While a store is away, errors do not pile up in memory."""
        journal = Journal(store)
        store.reject("commit", StoreUnavailable("commit", "down"))
        with pytest.raises(StoreUnavailable) as caught:
            await journal.append("a", 0, [b"x"])
        error = weakref.ref(caught.value)
        del caught
        await asyncio.sleep(0)  # the queue is still telling

        gc.collect()

        assert error() is None

    async def test_a_backends_own_error_class_arrives_whole(self, store: FaultyBackend) -> None:
        """A plug-in's errors may have any constructor; class, text and fields are kept."""

        class Unplugged(StoreUnavailable):
            def __init__(self, *, host: str) -> None:
                super().__init__("commit", f"{host} is unplugged")
                self.host = host

        journal = Journal(store)
        store.reject("commit", Unplugged(host="db1"))

        with pytest.raises(Unplugged, match="commit: db1 is unplugged") as error:
            await journal.append("a", 0, [b"x"])

        assert error.value.host == "db1"

    @pytest.mark.parametrize("error", [RuntimeError("bug"), KeyError("k"), OSError(5, "io")])
    async def test_what_a_backend_must_not_raise_is_an_unknown_outcome(
        self, store: FaultyBackend, error: Exception
    ) -> None:
        """Nobody can say what was written then (W-21)."""
        journal = Journal(store)
        store.reject("commit", error)

        with pytest.raises(OutcomeUnknown, match=type(error).__name__) as unknown:
            await journal.append("a", 0, [b"x"])

        assert unknown.value.__cause__ is error

    async def test_a_backend_that_fails_before_it_returns_an_awaitable_is_the_same(self) -> None:
        """A commit may raise at once; the queue goes on."""

        class Abrupt(MemoryBackend):
            broken = True

            def commit(self, groups: Sequence[WriteGroup]) -> Coroutine[Any, Any, list[Conflict | None]]:
                if self.broken:
                    raise StoreUnavailable("commit", "at once")
                return super().commit(groups)

        backend = Abrupt()
        journal = Journal(backend)
        with pytest.raises(StoreUnavailable, match="at once"):
            await journal.append("a", 0, [b"x"])
        backend.broken = False

        assert await journal.append("a", 0, [b"x"]) is None

    async def test_a_backend_with_too_few_outcomes_leaves_nobody_waiting(self) -> None:
        """All get an unknown outcome, and the queue goes on (W-21)."""

        class Terse(MemoryBackend):
            async def commit(self, groups: Sequence[WriteGroup]) -> list[Conflict | None]:
                return (await super().commit(groups))[:-1]

        journal = Journal(Terse())

        results = await asyncio.gather(
            journal.append("a", 0, [b"x"]), journal.append("b", 0, [b"x"]), return_exceptions=True
        )

        assert [type(result) for result in results] == [OutcomeUnknown, OutcomeUnknown]

    async def test_a_cancelled_writer_does_not_cancel_its_write(self, store: FaultyBackend) -> None:
        """Cancelling a writer cancels its waiting (W-21)."""
        journal = Journal(store)
        held = store.hold("commit")
        writer = asyncio.ensure_future(journal.append("a", 0, [b"x"]))
        other = asyncio.ensure_future(journal.append("b", 0, [b"x"]))
        await asyncio.sleep(0)
        writer.cancel()
        held.set()

        await other

        assert await store.last(EVENTS, "a") == 1

    async def test_after_close_nothing_is_taken(self, store: FaultyBackend) -> None:
        """A closed journal says so."""
        journal = Journal(store)
        await journal.close()

        with pytest.raises(StoreClosed):
            await journal.append("a", 0, [b"x"])

    async def test_close_waits_for_what_was_submitted(self, store: FaultyBackend) -> None:
        """Everything that was taken is settled (W-25)."""
        journal = Journal(store)
        held = store.hold("commit")
        append = asyncio.ensure_future(journal.append("a", 0, [b"x"]))
        await asyncio.sleep(0)
        close = asyncio.ensure_future(journal.close())
        await asyncio.sleep(0)
        assert not close.done()
        held.set()

        await close

        assert (append.done(), await store.last(EVENTS, "a")) == (True, 1)


MIB = 1024 * 1024


class TestBackPressure:
    """The queue holds 64 MiB; these records are as large, so that two do not fit."""

    async def test_who_finds_the_queue_full_waits_and_is_stored(self, store: FaultyBackend) -> None:
        """A full queue loses nothing and refuses nothing."""
        journal = Journal(store)
        large = bytes(30 * MIB)

        await asyncio.gather(*(journal.append(str(n), 0, [large]) for n in range(5)))

        assert [await store.last(EVENTS, str(n)) for n in range(5)] == [1] * 5

    async def test_a_large_group_is_not_overtaken_for_ever(self, store: FaultyBackend) -> None:
        """Beside small writers that never rest, a group as large as the queue has its turn."""
        journal = Journal(store)
        done = False

        async def busy(name: str) -> int:
            number = 0
            while not done:
                await journal.append(name, number, [b"x"])
                number += 1
                if number > 1000:
                    break
            return number

        writers = [asyncio.ensure_future(busy(name)) for name in "abc"]
        await asyncio.sleep(0)

        await journal.append("large", 0, [bytes(65 * MIB)])
        done = True

        assert max(await asyncio.gather(*writers)) < 1000

    async def test_a_writer_that_gives_up_before_there_is_room_writes_nothing(self, store: FaultyBackend) -> None:
        """It was never submitted; those behind it go on."""
        journal = Journal(store)
        held = store.hold("commit")
        first = asyncio.ensure_future(journal.append("first", 0, [b"x"]))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        waiting = [asyncio.ensure_future(journal.append(str(n), 0, [bytes(40 * MIB)])) for n in range(3)]
        await asyncio.sleep(0)
        waiting[1].cancel()
        held.set()

        await asyncio.gather(first, *waiting, return_exceptions=True)

        assert [await store.last(EVENTS, str(n)) for n in range(3)] == [1, 0, 1]


class TestErrors:
    async def test_a_missing_key_is_named_as_asked_for(self) -> None:
        """The error carries the key that was requested, with its collection and prefix (AVE-24, AVE-47)."""
        store = MemoryBackend()
        await append(store, 1, 2)

        with pytest.raises(EntryNotFound, match="events/Tape/a/3"):
            await store.collection(EVENTS, "Tape/a").get(3)

    async def test_an_iteration_that_fails_raises(self, store: FaultyBackend) -> None:
        """A failed read is never an empty one (AVE-25, AVE-48)."""
        store.reject("page", StoreError("page", "broken"))

        with pytest.raises(StoreError, match="broken"):
            [entry async for entry in store.collection(EVENTS, "Tape/a").iterate()]

    def test_a_conflict_names_all_three(self) -> None:
        """Who, what was expected, what is there (W-22)."""
        assert str(ConflictError("Tape/a", 3, 5)) == (
            "Tape/a: expected the log to end at sequence number 3, but it ends at 5: another writer was first"
        )


async def test_an_append_expects_the_head_that_its_writer_saw(store: FaultyBackend) -> None:
    """Of two writers at one number the second is refused, and its records are nowhere (AVE-41, W-22, ATS-04)."""
    journal = Journal(store)
    await journal.append("a", 0, [b"first"])

    conflict = await journal.append("a", 0, [b"second", b"third"])

    assert (conflict and conflict.actual, [entry async for entry in store.collection(EVENTS, "a").iterate()]) == (
        1,
        [(1, b"first")],
    )


async def test_a_group_is_atomic(store: FaultyBackend) -> None:
    """What goes along with an append is stored or refused with it (W-20)."""
    journal = Journal(store)
    await journal.append("a", 0, [b"first"])

    await journal.append("a", 0, [b"second"], [Put("other", "a", 1, b"along")])

    assert await store.last("other", "a") == 0


def test_every_backend_method_of_the_contract_is_abstract() -> None:
    """A backend that leaves one out cannot be made."""
    assert Backend.__abstractmethods__ == {"commit", "page", "last", "read_state", "prefixes", "feed", "close"}
