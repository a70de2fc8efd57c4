"""The actors of the durable state tests: boards with numbers on them, and what the store has of them."""

from __future__ import annotations

from typing import Any, ClassVar

from perdure import Backoff, DurableStateActor, Message, Restart
from perdure.abc import Backend, DeleteRange, Put, WriteGroup
from perdure.actors import Supervision
from perdure.journal import RevisionCodec
from perdure.persistence._changes import DURABLE


class Save(Message[int]):
    """Save these numbers; the reply is the revision."""

    numbers: tuple[int, ...]
    expected: Any = None


class Erase(Message[int]):
    """Delete the board; the reply is the revision."""

    expected: Any = None


class Look(Message[tuple[int, list[int], bool]]):
    """The reply is the revision, the numbers, and whether they are stored."""


class SaveAndBreak(Message[int]):
    """Save these numbers, then make the handler raise."""

    numbers: tuple[int, ...]


class _Board:
    supervision: ClassVar[Supervision] = Restart(backoff=Backoff(initial=0.0))

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.type_name = "Board"  # type: ignore[attr-defined]  # the variants are one type with one set of states

    async def handle(self: Any, message: Message[Any], context: Any) -> Any:
        match message:
            case Save(numbers, expected):
                await self.save(self.with_numbers(numbers), expected_revision=expected)
                return self.revision
            case Erase(expected):
                await self.delete(expected_revision=expected)
                return self.revision
            case Look():
                return self.revision, list(self.state), self.exists
            case SaveAndBreak(numbers):
                await self.save(self.with_numbers(numbers))
                raise ValueError("broken")


class PureBoard(_Board, DurableStateActor[tuple[int, ...]]):
    initial_state = ()

    def with_numbers(self, numbers: tuple[int, ...]) -> tuple[int, ...]:
        return numbers


class MutatingBoard(_Board, DurableStateActor[list[int]]):
    """Changes its state in place before it saves it, as one should not."""

    initial_state: list[int] = []  # noqa: RUF012  # each actor begins with a copy

    def with_numbers(self, numbers: tuple[int, ...]) -> list[int]:
        self.state[:] = numbers
        return self.state


_codec: RevisionCodec[list[int]] = RevisionCodec("Board", list[int])


async def stored(store: Backend, persistence_id: str = "Board/a") -> list[tuple[int, list[int] | None]]:
    """Return all revisions that the store has, with their numbers, or None for a tombstone."""
    entries = store.collection(DURABLE, persistence_id).iterate()
    return [(entry.key, _codec.decode(entry.value, entry.key).state) async for entry in entries]


async def put(store: Backend, revision: int, *numbers: int, persistence_id: str = "Board/a") -> None:
    """Write a revision behind everybody's back."""
    record, _ = _codec.encode(list(numbers), revision, 0)
    await put_record(store, revision, record, persistence_id)


async def put_record(store: Backend, revision: int, record: bytes, persistence_id: str = "Board/a") -> None:
    """Write a record as a revision, whatever it is."""
    below = DeleteRange(DURABLE, persistence_id, 1, revision)
    await store.commit([WriteGroup((Put(DURABLE, persistence_id, revision, record), below))])
