"""Actors that remember what they are told, the keys of their store, and what stands in it."""

from __future__ import annotations

from typing import Any, ClassVar

from perdure import DurableStateActor, Event, Full, Light, Message, PersistentActor, every_n_events
from perdure.abc import MAX_KEY, Backend, WriteGroup

ONE, TWO = bytes(range(32)), bytes(range(1, 33))
SECRET = "the-password-of-the-vault"


class Say(Message[int]):
    text: str


class Read(Message[tuple[str, ...]]):
    pass


class Said(Event):
    text: str


class Diary(PersistentActor[tuple[str, ...], Said]):
    """Has a snapshot at every fourth entry, and a secret tag."""

    initial_state = ()
    strategy: ClassVar[Any] = Full(snapshot=every_n_events(4))

    async def handle(self, message: Any, context: Any) -> Any:
        if isinstance(message, Read):
            return self.state
        await self.persist(Said(message.text))
        return len(self.state)

    def apply(self, state: tuple[str, ...], event: Said) -> tuple[str, ...]:
        return (*state, event.text)

    def tags(self, event: Said) -> tuple[str, ...]:
        return (f"tag-{SECRET}",)


class Notebook(Diary):
    """Has no snapshots."""

    strategy = Full(snapshot=every_n_events(1000))


class Pocketbook(Diary):
    """Has its state stored with each entry."""

    strategy = Light()


class Note(DurableStateActor[str]):
    initial_state = ""

    async def handle(self, message: Any, context: Any) -> Any:
        await self.save(self.state + message.text)
        return self.revision


async def entries(store: Backend, collection: str, prefix: str) -> dict[int, bytes]:
    """Return what is stored, by key."""
    page = await store.page(collection, prefix, 1, MAX_KEY + 1, limit=1000, max_bytes=10**9)
    return dict(page.entries)


async def write(store: Backend, *writes: Any) -> None:
    """Write as whoever has the store may."""
    assert await store.commit([WriteGroup(writes)]) == [None]
