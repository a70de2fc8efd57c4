"""Tags: each event has its own, and the rules hold before anything is stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from perdure import ActorSystem, Event
from perdure.errors import InvalidTag
from perdure.journal import EVENTS, EventCodec, tags_of
from perdure.journal._record import decode
from perdure_testkit import FaultyBackend

from .tapes import PureTape, Write, Written, values


def tagging(tags: Callable[[Written], Any]) -> type[PureTape]:
    """Return a tape whose events have these tags."""

    class Tagged(PureTape):
        def tags(self, event: Written) -> Any:
            return tags(event)

    return Tagged


async def stored_tags(store: FaultyBackend) -> list[tuple[str, ...]]:
    return [tags_of(decode(entry.value)[0].metadata) async for entry in store.collection(EVENTS, "Tape/a").iterate()]


async def test_each_event_of_a_batch_has_its_own_tags(store: FaultyBackend) -> None:
    """None inherits a sibling's, and one without tags has none (ATS-09)."""
    kind = tagging(lambda event: {1: ("red", "large"), 2: (), 3: ["red"]}[event.value])

    async with ActorSystem(store=store) as system:
        await system.ref(kind, "a").ask(Write((1, 2, 3)))

    assert await stored_tags(store) == [("red", "large"), (), ("red",)]


@pytest.mark.parametrize("write", ["msgpack", "json"])
async def test_tags_come_back_in_either_format(store: FaultyBackend, write: Any) -> None:
    """What an actor says is what is read, whatever the letters (ATS-10)."""
    said = ('quote " and \\', "a, b", "größe", "\U0001f600", " ")

    async with ActorSystem(store=store, write=write) as system:
        await system.ref(tagging(lambda _: said), "a").ask(Write((1,)))

    assert await stored_tags(store) == [said]


async def test_an_actor_is_asked_once_an_event(store: FaultyBackend) -> None:
    """In order, with the event itself, and never at a recovery (ATS-38)."""
    asked: list[Event] = []
    kind = tagging(lambda event: asked.append(event) or ())

    async with ActorSystem(store=store) as system:
        await system.ref(kind, "a").ask(Write((1, 2)))
    async with ActorSystem(store=store) as system:
        await system.ref(kind, "a").ask(Write((3,)))

    assert asked == [Written(1), Written(2), Written(3)]


async def test_a_tag_said_twice_is_one(store: FaultyBackend) -> None:
    """Duplicates count neither in the record nor towards the limit."""
    async with ActorSystem(store=store) as system:
        await system.ref(tagging(lambda _: ["a", "b", "a"] * 40), "a").ask(Write((1,)))

    assert await stored_tags(store) == [("a", "b")]


async def test_the_limit_is_of_an_event_and_not_of_a_batch(store: FaultyBackend) -> None:
    """Three events may have 64 tags each (ATS-20)."""
    kind = tagging(lambda event: [f"{event.value}-{n}" for n in range(64)])

    async with ActorSystem(store=store) as system:
        await system.ref(kind, "a").ask(Write((1, 2, 3)))

    assert [len(tags) for tags in await stored_tags(store)] == [64, 64, 64]


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ("vip", "tags returned an object of type str: return a tuple"),
        (None, r"tags returned an object of type NoneType: return a tuple of texts, \(\) for none"),
        ((7,), "a tag is no text, but of type int"),
        (("",), "a tag of 0 characters: they have 1 to 255"),
        (("x" * 256,), "a tag of 256 characters"),
        (("a\nb",), r"a tag has a control character .*: its character 2 of 3 is '\\n'"),
        (("\x7f",), "control character"),
        (("\x85",), "control character"),
        (("\ud800",), r"half of a surrogate pair: its character 1 of 1 is '\\ud800'"),
        (tuple(map(str, range(65))), "65 tags are over the 64 of an event"),
    ],
)
async def test_a_breach_is_named_and_nothing_is_stored(store: FaultyBackend, tags: Any, reason: str) -> None:
    """The events before it in the batch are not stored either, and the actor goes on (ATS-20, ATS-23)."""
    kind = tagging(lambda event: tags if event.value == 2 else ())

    async with ActorSystem(store=store) as system:
        ref = system.ref(kind, "a")
        with pytest.raises(InvalidTag, match=f"Tape/a: the tags of Written cannot be stored: .*{reason}"):
            await ref.ask(Write((1, 2)))
        await ref.ask(Write((3,)))

    assert await values(store) == [3]


async def test_an_actor_may_refuse_an_event_here(store: FaultyBackend) -> None:
    """What the method raises comes out of `persist`."""
    kind = tagging(lambda _: 1 // 0)

    async with ActorSystem(store=store) as system:
        with pytest.raises(ZeroDivisionError):
            await system.ref(kind, "a").ask(Write((1,)))

    assert await values(store) == []


async def test_without_tags_a_record_is_what_it_was(store: FaultyBackend) -> None:
    """A class that does not override the method stores no metadata."""
    async with ActorSystem(store=store) as system:
        await system.ref(PureTape, "a").ask(Write((1,)))

    [stored] = [entry.value async for entry in store.collection(EVENTS, "Tape/a").iterate()]
    record, _ = decode(stored)
    assert stored == EventCodec("Tape", [Written]).encode(Written(1), record.timestamp)
