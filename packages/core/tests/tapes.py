"""The actors of these tests: their state is the list of all values that were ever written, so nothing can hide."""

from __future__ import annotations

from typing import Any, ClassVar

from perdure import ActorSystem, Backoff, Event, Full, Light, Message, PersistentActor, Restart
from perdure.abc import Backend, Put, WriteGroup
from perdure.actors import Supervision
from perdure.journal import EVENTS, EventCodec


class Write(Message[int]):
    """Write values as one; the reply is the sequence number."""

    values: tuple[int, ...]


class Read(Message[list[int]]):
    """The reply is every value."""


class Number(Message[int]):
    """The reply is the sequence number."""


class Break(Message[int]):
    """Make the handler raise after writing the values."""

    values: tuple[int, ...] = ()


class Written(Event):
    value: int


class _Tape:
    supervision: ClassVar[Supervision] = Restart(backoff=Backoff(initial=0.0))

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.type_name = "Tape"  # type: ignore[attr-defined]  # the variants are one type with one set of logs

    async def handle(self: Any, message: Message[Any], context: Any) -> Any:
        match message:
            case Write(values):
                await self.persist(*map(Written, values))
                return self.sequence_number
            case Read():
                return list(self.state)
            case Number():
                return self.sequence_number
            case Break(values):
                await self.persist(*map(Written, values))
                raise ValueError("broken")


class PureTape(_Tape, PersistentActor[tuple[int, ...], Written]):
    initial_state = ()

    def apply(self, state: tuple[int, ...], event: Written) -> tuple[int, ...]:
        return (*state, event.value)


class MutatingTape(_Tape, PersistentActor[list[int], Written]):
    initial_state: list[int] = []  # noqa: RUF012  # each actor begins with a copy

    def apply(self, state: list[int], event: Written) -> None:
        state.append(event.value)


def stored_as(kind: type[PersistentActor[Any, Any]], strategy: Full | Light) -> Any:
    """Return the actor type with another strategy and the same logs."""
    return type(kind.__name__, (kind,), {"strategy": strategy})


def light(kind: type[PersistentActor[Any, Any]], **options: Any) -> Any:
    return stored_as(kind, Light(**options))


_codec = EventCodec("Tape", [Written])


async def background(system: ActorSystem) -> None:
    """Return when nothing is being written in the background, such as a snapshot."""
    if system._stores is not None:
        await system._stores.settle()


async def values(store: Backend, persistence_id: str = "Tape/a") -> list[int]:
    """Return the values in a log."""
    return [_codec.decode(entry.value).value async for entry in store.collection(EVENTS, persistence_id).iterate()]  # type: ignore[attr-defined]


async def keys(store: Backend, collection: str = EVENTS, persistence_id: str = "Tape/a") -> list[int]:
    """Return the keys of a collection."""
    return [entry.key async for entry in store.collection(collection, persistence_id).iterate()]


async def append(store: Backend, *written: int, persistence_id: str = "Tape/a", after: int = 0) -> None:
    """Write values to a log behind everybody's back."""
    puts = [
        Put(EVENTS, persistence_id, number, _codec.encode(Written(value), 0))
        for number, value in enumerate(written, after + 1)
    ]
    await store.commit([WriteGroup(tuple(puts))])
