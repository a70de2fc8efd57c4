"""What a query gives of what is stored: by id, by tag, all of it, and the ids."""

from __future__ import annotations

from collections.abc import AsyncIterable
from datetime import UTC, datetime
from typing import Any, TypeVar

import pytest

from perdure import ActorSystem, Event, Evolution, PersistentActor
from perdure.abc import Delete, DeleteRange, Put, WriteGroup
from perdure.actors import Actor
from perdure.errors import (
    CorruptionError,
    EntryNotFound,
    EventsRemoved,
    InvalidIdentifier,
    StoreClosed,
    StoreUnavailable,
)
from perdure.evolution import Document
from perdure.journal import EVENTS, EventCodec, metadata_of
from perdure.memory import MemoryBackend
from perdure.query import FeedEvent, Query, StoredEvent, Tags
from perdure.query._feed import FeedStream
from perdure.query._ids import IdStream
from perdure.query._log import LogStream
from perdure_testkit import FaultyBackend, VirtualClock

from .tapes import PureTape, Write, Written, append

T = TypeVar("T")


class Sold(Event, version=3):
    price: int


class Shop(PersistentActor[int, Sold]):
    initial_state = 0


class Numbers(PureTape):
    """A tape that tags even numbers and multiples of three."""

    def tags(self, event: Written) -> list[str]:
        return [tag for tag, divisor in (("even", 2), ("three", 3)) if event.value % divisor == 0]


async def all_of(stream: AsyncIterable[T]) -> list[T]:
    return [item async for item in stream]


async def values_of(stream: AsyncIterable[StoredEvent]) -> list[int]:
    return [stored.event.value async for stored in stream]


async def put(store: FaultyBackend, persistence_id: str, number: int, record: bytes) -> None:
    await store.commit([WriteGroup((Put(EVENTS, persistence_id, number, record),))])


@pytest.fixture(params=[2, 512])
def page(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Have streams read pages of this size."""
    size: int = request.param
    for kind in (FeedStream, LogStream, IdStream):
        monkeypatch.setattr(kind, "_PAGE", size)
    return size


class TestTheEnd:
    async def test_is_an_offset_behind_all_that_is_stored(self, store: FaultyBackend) -> None:
        await append(store, *range(1, 1503))
        passed: list[int] = []

        end = await Query(store).end(progress=passed.append)
        await append(store, 1503, 1504, after=1502)

        assert await values_of(Query(store, [PureTape]).all_events(after=end)) == [1503, 1504]
        assert passed == [1000, 1502]

    async def test_of_an_empty_store_is_its_beginning(self, store: FaultyBackend) -> None:
        end = await Query(store).end()
        await append(store, 1)

        assert await values_of(Query(store, [PureTape]).all_events(after=end)) == [1]


class TestEventsOfAnId:
    async def test_come_in_order_with_what_was_stored(self, store: FaultyBackend, page: int) -> None:
        """Each with its number, time, tags, and the name and version of its type (ATS-01)."""
        clock = VirtualClock(1_700_000_000.25)
        async with ActorSystem(store=store, clock=clock) as system:
            await system.ref(Numbers, "a").ask(Write((6, 7, 8)))

            found = await all_of(system.query(Numbers).events_of("Tape/a"))

        time = datetime(2023, 11, 14, 22, 13, 20, 250_000, UTC)
        assert found == [
            StoredEvent("Tape/a", 1, time, ("even", "three"), "Written", 1, 0, Written(6)),
            StoredEvent("Tape/a", 2, time, (), "Written", 1, 0, Written(7)),
            StoredEvent("Tape/a", 3, time, ("even",), "Written", 1, 0, Written(8)),
        ]

    @pytest.mark.parametrize("after", [0, 1, 4, 5, 6, 2**63 - 1])
    async def test_begin_behind_a_number(self, store: FaultyBackend, page: int, after: int) -> None:
        """At or beyond the end there is nothing, and that is no error (ATS-03)."""
        await append(store, 1, 2, 3, 4, 5)

        assert await values_of(Query(store, [PureTape]).events_of("Tape/a", after=after)) == [1, 2, 3, 4, 5][after:]

    async def test_are_none_for_an_unknown_id(self, store: FaultyBackend) -> None:
        assert await all_of(Query(store).events_of("Tape/nobody")) == []

    @pytest.mark.parametrize("after", [-1, 2**63])
    async def test_have_numbers_from_1_on(self, store: FaultyBackend, after: int) -> None:
        with pytest.raises(ValueError, match=f"Tape/a: after is a sequence number, 0 for all events, not {after}"):
            Query(store).events_of("Tape/a", after=after)

    async def test_have_an_id_that_can_be(self, store: FaultyBackend) -> None:
        with pytest.raises(InvalidIdentifier):
            Query(store).events_of("")

    async def test_may_begin_with_the_first_that_is_left(self, store: FaultyBackend, page: int) -> None:
        """So a log is read that was compacted, and one that is removed meanwhile is an error as ever."""
        await append(store, 1, 2, 3, 4, 5, 6, 7)
        await store.commit([WriteGroup((DeleteRange(EVENTS, "Tape/a", 1, 3),))])

        assert await values_of(Query(store, [PureTape]).events_of("Tape/a", after=None)) == [3, 4, 5, 6, 7]
        assert await values_of(Query(store, [PureTape]).events_of("Tape/b", after=None)) == []

    async def test_have_a_last_one(self, store: FaultyBackend) -> None:
        await append(store, 1, 2, 3)

        assert await Query(store).last_of("Tape/a") == 3
        with pytest.raises(EntryNotFound, match="events/Tape/b"):
            await Query(store).last_of("Tape/b")

    async def test_that_were_removed_are_not_passed_over(self, store: FaultyBackend, page: int) -> None:
        """The error says where the log begins now, and so does the next attempt (ATS-60)."""
        await append(store, 1, 2, 3, 4, 5)
        await store.commit([WriteGroup((DeleteRange(EVENTS, "Tape/a", 1, 4),))])
        stream = Query(store, [PureTape]).events_of("Tape/a")

        for _ in range(2):
            with pytest.raises(EventsRemoved, match=r"event 1 is not in the log, which begins at 4: .* begin after 3"):
                await anext(stream)
        assert await values_of(Query(store, [PureTape]).events_of("Tape/a", after=3)) == [4, 5]

    async def test_that_are_removed_while_one_reads_are_named(
        self, store: FaultyBackend, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What was read before is given, and then the error."""
        monkeypatch.setattr(LogStream, "_PAGE", 2)
        await append(store, 1, 2, 3, 4, 5)
        stream = Query(store, [PureTape]).events_of("Tape/a")
        first = await anext(stream)
        await store.commit([WriteGroup((DeleteRange(EVENTS, "Tape/a", 1, 5),))])

        second = await anext(stream)
        with pytest.raises(EventsRemoved) as raised:
            await anext(stream)

        assert ([first.event.value, second.event.value], raised.value.asked, raised.value.first) == ([1, 2], 3, 5)

    async def test_with_a_hole_are_damaged(self, store: FaultyBackend) -> None:
        """Compaction removes from the front: a gap inside is no work of its."""
        await append(store, 1, 2, 3)
        await store.commit([WriteGroup((Delete(EVENTS, "Tape/a", 2),))])
        stream = Query(store, [PureTape]).events_of("Tape/a")
        await anext(stream)

        with pytest.raises(CorruptionError, match="Tape/a, sequence number 2: the event is missing; the next one is 3"):
            await anext(stream)

    async def test_that_cannot_be_read_are_named_each_time(self, store: FaultyBackend, page: int) -> None:
        """Nothing is skipped, however often one asks."""
        await append(store, 1, 2, 3)
        await put(store, "Tape/a", 2, b"rubbish")
        stream = Query(store, [PureTape]).events_of("Tape/a")
        await anext(stream)

        for _ in range(2):
            with pytest.raises(CorruptionError, match="Tape/a, sequence number 2: "):
                await anext(stream)


class TestAllEvents:
    async def test_come_in_the_order_of_their_commits(self, store: FaultyBackend, page: int) -> None:
        """Over all ids, whatever their names and clocks (ATS-125, #957)."""
        codec = EventCodec("Tape", [Written])
        for number, (name, time) in enumerate([("b", 5), ("a", 9), ("c", 1)]):
            await put(store, f"Tape/{name}", 1, codec.encode(Written(number), time))
        await append(store, 3, persistence_id="Tape/b", after=1)

        found = await all_of(Query(store, [PureTape]).all_events())

        assert [(stored.persistence_id, stored.sequence_number, stored.event.value) for stored in found] == [
            ("Tape/b", 1, 0),
            ("Tape/a", 1, 1),
            ("Tape/c", 1, 2),
            ("Tape/b", 2, 3),
        ]

    async def test_of_an_empty_store_are_none(self, store: FaultyBackend) -> None:
        assert await all_of(Query(store).all_events()) == []

    async def test_that_were_removed_do_not_come(self, store: FaultyBackend, page: int) -> None:
        """The survivors do, with their tags (ATS-14)."""
        async with ActorSystem(store=store) as system:
            for key in "ab":
                await system.ref(Numbers, key).ask(Write((2, 4, 6)))
            await store.commit([WriteGroup((DeleteRange(EVENTS, "Tape/a", 1, 3),))])
            query = system.query(Numbers)

            found = await all_of(query.all_events())
            tagged = await all_of(query.tagged("even"))

        assert [(s.persistence_id, s.event.value, s.tags) for s in found] == [
            ("Tape/a", 6, ("even", "three")),
            ("Tape/b", 2, ("even",)),
            ("Tape/b", 4, ("even",)),
            ("Tape/b", 6, ("even", "three")),
        ]
        assert [stored.event for stored in tagged] == [stored.event for stored in found]

    @pytest.mark.parametrize("offset", ["", "7", "{}x", '{"given": 3}', '{"before": ""}', "[]"])
    async def test_begin_at_offsets_alone(self, store: FaultyBackend, offset: str) -> None:
        with pytest.raises(ValueError, match="is no offset: use that of an event"):
            Query(store).all_events(after=offset)

    @pytest.mark.parametrize("method", ["all_events", "tagged"])
    async def test_that_are_damaged_are_named(self, store: FaultyBackend, method: str) -> None:
        """Also when one looks for a tag that the damage may have hidden."""
        record = bytearray(EventCodec("Tape", [Written]).encode(Written(1), 0, metadata_of(["even"])))
        record[record.index(b"even")] ^= 1
        await append(store, 1)
        await put(store, "Tape/a", 2, bytes(record))
        query = Query(store, [PureTape])
        stream = query.all_events() if method == "all_events" else query.tagged("even")
        if method == "all_events":
            await anext(stream)

        for _ in range(2):
            with pytest.raises(CorruptionError, match="Tape/a, sequence number 2: the checksum does not match"):
                await anext(stream)


class TestTags:
    @pytest.mark.parametrize("write", ["msgpack", "json"])
    @pytest.mark.parametrize(
        ("tags", "expected"),
        [
            ("even", [0, 2, 4, 6]),
            ("eve", []),
            ("Written", []),
            (Tags(), [0, 1, 2, 3, 4, 5, 6]),
            (Tags(all_of=("even",)), [0, 2, 4, 6]),
            (Tags(all_of=("even", "three")), [0, 6]),
            (Tags(any_of=("even", "three")), [0, 2, 3, 4, 6]),
            (Tags(any_of=()), []),
            (Tags(any_of=(), none_of=("even",)), []),
            (Tags(none_of=("even",)), [1, 3, 5]),
            (Tags(none_of=("even", "three")), [1, 5]),
            (Tags(none_of=()), [0, 1, 2, 3, 4, 5, 6]),
            (Tags(all_of=("even",), none_of=("three",)), [2, 4]),
            (Tags(all_of=("three",), any_of=("even", "odd")), [0, 6]),
            (Tags(all_of=["even"], any_of={"three"}, none_of=frozenset({"x"})), [0, 6]),
        ],
        ids=str,
    )
    async def test_are_combined(
        self, store: FaultyBackend, page: int, write: Any, tags: str | Tags, expected: list[int]
    ) -> None:
        """All of some, any of others, none of a third kind; each event once (ATS-126)."""
        async with ActorSystem(store=store, write=write) as system:
            await system.ref(Numbers, "a").ask(Write(tuple(range(7))))

            assert await values_of(system.query(Numbers).tagged(tags)) == expected

    @pytest.mark.parametrize("write", ["msgpack", "json"])
    @pytest.mark.parametrize("tag", ["a,b", 'a"b', "a\\b", "größe", "\U0001f600", " ", "x" * 255])
    async def test_are_texts_of_any_letters(self, store: FaultyBackend, write: Any, tag: str) -> None:
        """A tag is found by itself, and not by what it looks like in bytes."""

        class Odd(PureTape):
            def tags(self, event: Written) -> list[str]:
                return [tag]

        async with ActorSystem(store=store, write=write) as system:
            await system.ref(Odd, "a").ask(Write((1,)))
            query = system.query(Odd)

            assert await values_of(query.tagged(tag)) == [1]
            assert await values_of(query.tagged(tag[:-1] or "y")) == []

    async def test_in_the_event_itself_are_none(self, store: FaultyBackend) -> None:
        """A text in a field is no tag, and neither is the name of a tagged event's type."""

        class Said(Event):
            text: str

        class Speaker(PersistentActor[int, Said]):
            initial_state = 0

        await put(store, "Speaker/a", 1, EventCodec("Speaker", [Said]).encode(Said("vip"), 0, metadata_of(["x"])))

        assert await all_of(Query(store, [Speaker]).tagged("vip")) == []

    @pytest.mark.parametrize("tags", [{"all_of": "even"}, {"any_of": "even"}, {"none_of": "even"}])
    def test_are_given_as_a_tuple(self, tags: Any) -> None:
        """A bare text would be taken for its letters."""
        with pytest.raises(TypeError, match=r"give a tuple of tags, \('even',\), not the text 'even'"):
            Tags(**tags)

    @pytest.mark.parametrize(("tag", "reason"), [("", "0 characters"), (3, "of type int"), ("a\n", "control")])
    def test_that_cannot_be_are_refused(self, store: FaultyBackend, tag: Any, reason: str) -> None:
        """No event has them."""
        with pytest.raises(ValueError, match=reason):
            Tags(any_of=(tag,))


class TestTypes:
    async def test_choose_the_codec_by_the_id(self, store: FaultyBackend) -> None:
        """Two actor types may each have an event of one name."""

        class Written(Event):
            text: str

        class Book(PersistentActor[int, Written]):
            initial_state = 0

        await append(store, 1)
        await put(store, "Book/a", 1, EventCodec("Book", [Written]).encode(Written("x"), 0))

        found = await all_of(Query(store, [Book, PureTape]).all_events())

        assert [stored.event for stored in found] == [globals()["Written"](1), Written("x")]

    @pytest.mark.parametrize("persistence_id", ["/user/a", "mine", "Other/a", "Shop/a"])
    async def test_else_choose_it_by_the_event(self, store: FaultyBackend, persistence_id: str) -> None:
        """An actor may have an id of its own."""
        await append(store, 1, persistence_id=persistence_id)

        assert await values_of(Query(store, [Shop, PureTape]).events_of(persistence_id)) == [1]

    async def test_that_cannot_be_told_apart_are_not_guessed(self, store: FaultyBackend) -> None:
        """With two candidates the event is the stored document."""
        namesake: Any = type("Namesake", (PersistentActor,), {"__orig_bases__": (PersistentActor[int, Written],)})
        await append(store, 1, persistence_id="mine")

        [stored] = await all_of(Query(store, [namesake, PureTape]).all_events())

        assert stored.event == {"value": 1}

    @pytest.mark.parametrize("write", ["msgpack", "json"])
    async def test_that_are_unknown_leave_the_document(self, store: FaultyBackend, write: Any) -> None:
        """A read model may read what only other programs can decode."""
        record = EventCodec("Shop", [Sold], write).encode(Sold(5), 7, metadata_of(["vip"]))
        await put(store, "Shop/a", 1, record)

        [stored] = await all_of(Query(store, [PureTape]).tagged("vip"))

        assert (stored.event, stored.manifest, stored.version, stored.tags) == ({"price": 5}, "Sold", 3, ("vip",))

    async def test_that_are_known_know_their_events(self, store: FaultyBackend) -> None:
        """An event which its own type does not declare is no document: this program is too old, or too new."""
        await put(store, "Tape/a", 1, EventCodec("Shop", [Sold]).encode(Sold(5), 0))

        with pytest.raises(CorruptionError, match=r"Tape/a.*unknown type 'Sold', version 3; Tape declares Written"):
            await all_of(Query(store, [PureTape]).all_events())

    @pytest.mark.parametrize("kind", [Actor, int, "Tape"])
    def test_are_those_of_persistent_actors(self, kind: Any) -> None:
        with pytest.raises(TypeError, match="a query reads the events of PersistentActor classes, not of"):
            Query(MemoryBackend(), [kind])

    def test_have_names_of_their_own(self) -> None:
        with pytest.raises(ValueError, match="two actor types are named 'Tape'"):
            Query(MemoryBackend(), [PureTape, Numbers])


class Doubled(Event):
    value: int


def halves() -> Evolution:
    """Say that a value was stored as its double, once, and that zeros mean nothing."""
    history = Evolution()

    @history.replace("Doubled", 1)
    def halve(document: dict[str, Any]) -> list[Document]:
        return [Document("Written", 1, {"value": document["value"] // 2})] * 2 if document["value"] else []

    return history


class Halving(PureTape):
    evolution = halves()


class TestOlderEvents:
    async def test_are_what_they_have_become(self, store: FaultyBackend, page: int) -> None:
        """A record that holds several events gives each of them, and one that holds none is passed over."""
        codec = EventCodec("Tape", [Doubled])
        for number, value in enumerate([4, 0, 6], 1):
            await put(store, "Tape/a", number, codec.encode(Doubled(value), 0, metadata_of(["old"])))
        query = Query(store, [Halving])

        found = [await all_of(query.events_of("Tape/a")), await all_of(query.tagged("old"))]

        for events in found:
            told = [(stored.sequence_number, stored.manifest, stored.event) for stored in events]
            assert told == [(number, "Doubled", Written(value)) for number, value in ((1, 2), (1, 2), (3, 3), (3, 3))]

    async def test_have_an_offset_each(self, store: FaultyBackend, page: int) -> None:
        """The stream goes on inside of a record."""
        codec = EventCodec("Tape", [Doubled])
        for number in range(1, 4):
            await put(store, "Tape/a", number, codec.encode(Doubled(2 * number), 0))
        query = Query(store, [Halving])

        rests = [await values_of(query.all_events(after=stored.offset)) async for stored in query.all_events()]

        assert rests == [[1, 2, 2, 3, 3], [2, 2, 3, 3], [2, 3, 3], [3, 3], [3], []]


class TestIds:
    async def test_come_once_each_and_sorted(self, store: FaultyBackend, page: int) -> None:
        """However many events they have (ATS-17, ATS-129)."""
        names = ["Tape/b", "Shop/a", "Tape/ä", "Tape", "/user/x", "Tape/a"]
        for name in names:
            await append(store, 1, 2, 3, persistence_id=name)

        assert await all_of(Query(store).ids()) == sorted(names)

    async def test_of_a_type_are_those_that_begin_with_its_name(self, store: FaultyBackend, page: int) -> None:
        """Neither a longer name nor a shorter one is the type's."""
        for name in ["Tap/a", "Tape", "Tape-x", "Tape/a", "Tape/b", "Tape/c", "Tape0", "Taper/a"]:
            await append(store, 1, persistence_id=name)

        assert await all_of(Query(store).ids(PureTape)) == ["Tape/a", "Tape/b", "Tape/c"]

    @pytest.mark.parametrize("after", ["", "Tape/a", "Tape/aa", "Tape/z", "A", "Z"])
    async def test_begin_behind_one(self, store: FaultyBackend, page: int, after: str) -> None:
        """The cursor is exclusive, and need not be an id (ATS-129)."""
        names = ["Tape/a", "Tape/b", "Tape/c"]
        for name in names:
            await append(store, 1, persistence_id=name)

        expected = [name for name in names if name > after]
        assert await all_of(Query(store).ids(after=after)) == expected
        assert await all_of(Query(store).ids(PureTape, after=after)) == expected

    async def test_of_compacted_logs_come_too(self, store: FaultyBackend) -> None:
        """Their last event is left."""
        await append(store, 1, 2, 3)
        await store.commit([WriteGroup((DeleteRange(EVENTS, "Tape/a", 1, 3),))])

        assert await all_of(Query(store).ids()) == ["Tape/a"]


class TestStreams:
    async def test_that_are_over_stay_over(self, store: FaultyBackend) -> None:
        """An iterator that has ended gives nothing more, whatever is written later."""
        query = Query(store, [PureTape])
        for stream in (query.all_events(), query.events_of("Tape/a"), query.ids()):
            assert await all_of(stream) == []  # type: ignore[arg-type]
        await append(store, 1)

        with pytest.raises(StopAsyncIteration):
            await anext(stream)

    async def test_that_are_not_live_do_not_wait_for_a_store(self, store: FaultyBackend) -> None:
        """The error is the reader's, who may ask again."""
        await append(store, 1)
        store.reject("feed", StoreUnavailable("feed", "down"))
        stream = Query(store, [PureTape]).all_events()

        with pytest.raises(StoreUnavailable, match="down"):
            await anext(stream)

        assert await values_of(stream) == [1]

    async def test_of_a_closed_store_say_so(self) -> None:
        store = MemoryBackend()
        await store.close()

        with pytest.raises(StoreClosed):
            await all_of(Query(store).all_events(live=True))

    async def test_need_an_open_system(self, store: FaultyBackend) -> None:
        with pytest.raises(RuntimeError, match="the system has no open store: enter it first"):
            ActorSystem(store=store).query(PureTape)

    @pytest.mark.parametrize("poll", [0, -1, float("nan")])
    def test_look_after_a_time(self, poll: float) -> None:
        with pytest.raises(ValueError, match="poll is a number of seconds above 0"):
            Query(MemoryBackend(), poll=poll)

    async def test_give_events_that_are_values(self, store: FaultyBackend) -> None:
        """What two streams give is equal, and so are its hash and its text."""
        await append(store, 1)
        [one] = await all_of(Query(store, [PureTape]).all_events())
        [other] = await all_of(Query(store, [PureTape]).all_events())

        assert (one, hash(one), repr(one)) == (other, hash(other), repr(other))
        assert isinstance(one, FeedEvent)
