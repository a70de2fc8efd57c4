"""What is done to a sealed store by somebody who can write it is refused by name, or changes nothing.

Each rule fills the store once. Then Hypothesis makes up what stands in the place of a record: its own bytes with some
of them changed, cut, exchanged for those of other records, or other records as they are: of other places, of another
store with another key, and never sealed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import permutations
from typing import Any, NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perdure import ActorSystem
from perdure.abc import Backend
from perdure.errors import CorruptionError, SealError
from perdure.memory import MemoryBackend
from perdure_testkit._contract._sealed import (
    LOGS,
    TEXTS,
    TYPES,
    Confidant,
    FridgeNote,
    Place,
    put,
    records,
    recovered,
    system_of,
    tell_all,
)
from perdure_testkit._contract._stores import overridden

OTHER_TEXTS = tuple(f"{text} of another" for text in TEXTS)
OTHER_KEY = bytes(range(2, 34))

FIELDS = ((0, 1), (1, 2), (2, 3), (3, 5), (5, 9), (9, 13), (13, 25), (13, 29), (13, 37), (13, 45), (-16, None))
"""Where the parts of a record begin and end: header, handle, link, nonce, tag."""

_made_up = settings(
    max_examples=100, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)


class Filled(NamedTuple):
    """A store, its records, and those that belong elsewhere."""

    backend: Backend
    records: dict[Place, bytes]
    strange: list[bytes]

    def places(self, *collections: str, of: str = "") -> list[Place]:
        """Return where records stand that somebody may change."""
        return [place for place in self.records if place.collection in collections and place.prefix.startswith(of)]


@st.composite
def changed(draw: st.DrawFn, filled: Filled, place: Place) -> bytes:
    """Make up what may stand in the place of a record, and is not it."""
    record = filled.records[place]
    near = [other for at, other in filled.records.items() if at.prefix == place.prefix]
    other = draw(st.one_of(st.sampled_from(near), st.sampled_from([*filled.records.values(), *filled.strange])))
    at = st.integers(0, len(record) - 1)
    match draw(st.sampled_from(["bits", "cut", "middle", "longer", "splice", "fields", "other", "rubbish"])):
        case "bits":
            body = bytearray(record)
            for bit in draw(st.lists(st.integers(0, 8 * len(record) - 1), min_size=1, max_size=3, unique=True)):
                body[bit // 8] ^= 1 << bit % 8
            made = bytes(body)
        case "cut":
            made = record[: draw(at)]
        case "middle":
            begin, end = sorted((draw(at), draw(at)))
            made = record[:begin] + record[end + 1 :]
        case "longer":
            made = record + draw(st.binary(min_size=1, max_size=40))
        case "splice":
            made = record[: draw(at)] + other[draw(st.integers(0, len(other))) :]
        case "fields":
            body = bytearray(record)
            for begin, stop in draw(st.lists(st.sampled_from(FIELDS), min_size=1, max_size=3, unique=True)):
                body[begin:stop] = other[begin:stop]
            made = bytes(body)
        case "other":
            made = other
        case _:
            made = draw(st.binary(max_size=200))
    return made if made != record else record[:-1]


class TamperingRules:
    @overridden
    async def filled(self, backend: Backend) -> Filled:
        """Return the store of this test with actors of every kind in it, and the like of other stores."""
        return await _filled(backend)

    @overridden
    async def chained(self, backend: Backend) -> Filled:
        """Return the same of a store that is chained, in the other suite, with hidden names."""
        return await _filled(backend, chain=True)

    @_made_up
    @given(data=st.data())
    async def test_no_changed_event_is_believed(self, filled: Filled, data: st.DataObject) -> None:
        """An event that is not what was sealed there ends the recovery by name (AVE-28, GAP-12, GAP-14, GAP-15)."""
        place = data.draw(st.sampled_from(filled.places("events", of="Confidant/a")))
        made = data.draw(changed(filled, place))

        error = await _after(filled, place, made, Confidant)

        assert isinstance(error, SealError), error
        assert place.prefix in str(error)

    async def test_no_event_is_believed_in_the_place_of_another(self, filled: Filled) -> None:
        """Not in that of any other event of the same actor either, whatever its header says (GAP-14)."""
        places = filled.places("events", of="Confidant/a")

        for place, moved in permutations(places, 2):
            record = filled.records[moved]
            for made in (record, record[:9] + filled.records[place][9:13] + record[13:]):
                error = await _after(filled, place, made, Confidant)

                assert isinstance(error, SealError), error

    @_made_up
    @given(data=st.data())
    async def test_no_changed_event_of_a_chain_is_believed(self, chained: Filled, data: st.DataObject) -> None:
        """Nor is one that carries the link of the one before (GAP-14)."""
        place = data.draw(st.sampled_from(chained.places("events", of="Confidant/a")))
        made = data.draw(changed(chained, place))

        error = await _after(chained, place, made, Confidant, chain=True)

        assert isinstance(error, SealError), error

    @_made_up
    @given(data=st.data())
    async def test_no_changed_durable_state_is_believed(self, filled: Filled, data: st.DataObject) -> None:
        """A durable state that is not what was sealed in its place is not given to anybody (GAP-14, GAP-15)."""
        place = data.draw(st.sampled_from(filled.places("durable", of="FridgeNote/a")))
        made = data.draw(changed(filled, place))

        error = await _after(filled, place, made, FridgeNote)

        assert isinstance(error, SealError), error

    @_made_up
    @given(data=st.data())
    async def test_a_changed_snapshot_is_left_aside(self, filled: Filled, data: st.DataObject) -> None:
        """A snapshot that is not what was sealed in its place is reported, and the state is right (GAP-13)."""
        place = max(filled.places("snapshots", of="PhotoAlbum/a"))
        made = data.draw(changed(filled, place))
        await put(filled.backend, place, made)
        try:
            state, notices = await recovered(filled.backend, LOGS[1])
        finally:
            await put(filled.backend, place, filled.records[place])

        assert state == TEXTS
        assert [notice.sequence_number for notice in notices] == [place.key]

    @_made_up
    @given(data=st.data())
    async def test_any_change_of_any_record_is_harmless(self, filled: Filled, data: st.DataObject) -> None:
        """Whatever stands in the place of a record, no actor has a wrong state, and no error is without a name."""
        place = data.draw(st.sampled_from(sorted(filled.records)))
        made = data.draw(changed(filled, place))

        for actor_type in TYPES:
            error = await _after(filled, place, made, actor_type)

            assert error is None or isinstance(error, CorruptionError), error

    @_made_up
    @given(data=st.data())
    async def test_no_changed_event_is_found(self, filled: Filled, data: st.DataObject) -> None:
        """A query gives what was stored, or ends by name."""
        place = data.draw(st.sampled_from(filled.places("events")))
        made = data.draw(changed(filled, place))
        await put(filled.backend, place, made)
        found = []
        error: CorruptionError | None = None
        try:
            async with system_of(filled.backend) as system:
                found += [(stored.event.text, stored.tags) async for stored in system.query(*LOGS).all_events()]
        except CorruptionError as caught:
            error = caught
        finally:
            await put(filled.backend, place, filled.records[place])

        assert isinstance(error, SealError)
        assert set(found) <= {(text, (f"tag-{text}",)) for text in (*TEXTS, *OTHER_TEXTS)}


async def _filled(backend: Backend, **options: Any) -> Filled:
    async with system_of(backend, **options) as system:
        await tell_all(system)
        await tell_all(system, "b", OTHER_TEXTS)
    return Filled(backend, await records(backend), [record async for record in _strange(**options)])


async def _strange(**options: Any) -> AsyncIterator[bytes]:
    """Yield the records of the same actors in stores that have another key, or none."""
    for system in (system_of(MemoryBackend(), key=OTHER_KEY, **options), ActorSystem(store=MemoryBackend())):
        async with system:
            await tell_all(system, texts=[f"{text}, forged" for text in TEXTS])
            for record in (await records(system.backend)).values():
                yield record


async def _after(
    filled: Filled, place: Place, made: bytes, actor_type: type[Any], **options: Any
) -> CorruptionError | None:
    """Return how an actor ends that meets what was made up, None if it knows what it was told."""
    await put(filled.backend, place, made)
    try:
        state, _ = await recovered(filled.backend, actor_type, **options)
    except CorruptionError as error:
        return error
    finally:
        await put(filled.backend, place, filled.records[place])
    assert state == TEXTS
    return None
