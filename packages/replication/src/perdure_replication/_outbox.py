"""What waits for one link: of each state the latest, so that a slow peer costs a bounded amount of memory.

A message takes the place of an older one of its kind and state. Deltas are joined while they follow each other; where
they do not, the newest alone is kept, and the peer, seeing the gap, pulls once. What answered a pull hands its token to
what takes its place, which is newer and so an answer as well. Letters alone wait one behind the other: whoever puts
them bounds them.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import msgspec

from perdure_replication._generation import Generation
from perdure_replication._messages import (
    MAX_DELTAS,
    Delta,
    Feed,
    Hello,
    Letter,
    Message,
    Pull,
    Snapshot,
    Unchanged,
    Withheld,
)

_Slot: TypeAlias = tuple[str, ...]


class Outgoing(NamedTuple):
    """A message, and what its frame says of it."""

    message: Message
    incarnation: int
    sent: int


class Outbox:
    """Messages in the order in which their slots were taken."""

    __slots__ = ("_slots", "replaced")

    def __init__(self) -> None:
        self._slots: dict[_Slot, list[Outgoing]] = {}
        self.replaced = 0
        """How many messages went out as part of another, or not at all."""

    def __bool__(self) -> bool:
        return bool(self._slots)

    def __len__(self) -> int:
        return sum(map(len, self._slots.values()))

    def put(self, outgoing: Outgoing) -> None:
        """Add a message, in place of what it makes needless."""
        slot = _slot_of(outgoing.message)
        waiting = self._slots.get(slot)
        if waiting is None:
            self._slots[slot] = [outgoing]
            return
        if isinstance(outgoing.message, Letter):
            waiting.append(outgoing)
            return
        self.replaced += 1
        self._slots[slot] = _joined(waiting, outgoing)

    def take(self) -> Outgoing:
        """Return the first message, which waits no longer. Of several letters of a line the rest waits its turn."""
        slot, waiting = next(iter(self._slots.items()))
        taken = waiting.pop(0)
        if not waiting:
            del self._slots[slot]
        elif isinstance(taken.message, Letter):
            self._slots[slot] = self._slots.pop(slot)
        return taken

    def letters(self, line: str) -> int:
        """Return how many letters of a line wait."""
        return len(self._slots.get(("Letter", line), ()))

    def clear(self) -> None:
        self._slots.clear()


def _slot_of(message: Message) -> _Slot:
    if isinstance(message, Snapshot | Delta):
        return ("value", message.state)
    if isinstance(message, Pull | Unchanged | Withheld):
        return (type(message).__name__, message.state)
    if isinstance(message, Letter):
        return ("Letter", message.line)
    return (type(message).__name__,)


def _joined(waiting: list[Outgoing], new: Outgoing) -> list[Outgoing]:
    """Return what is to wait in a slot instead of what did."""
    old, message = waiting[-1], new.message
    if isinstance(message, Feed) and isinstance(old.message, Feed):
        return [new._replace(message=Feed(old.message.changes | message.changes))]
    if isinstance(message, Hello) and isinstance(old.message, Hello):
        asks = message.answer or old.message.answer
        return [new._replace(message=msgspec.structs.replace(message, answer=asks))]
    if not isinstance(message, Snapshot | Delta):
        return [new]
    token = message.token or _token_of(waiting)
    if isinstance(message, Delta):
        if isinstance(old.message, Delta) and _follows(old.message, message):
            whole = msgspec.structs.replace(
                message, base=old.message.base, deltas=old.message.deltas + message.deltas, token=token
            )
            return [*waiting[:-1], new._replace(message=whole)]
        if isinstance(old.message, Snapshot) and _is_base(old.message.generation, message):
            return [old, new]
    return [new._replace(message=msgspec.structs.replace(message, token=token))]


def _token_of(waiting: list[Outgoing]) -> int:
    return max(each.message.token for each in waiting if isinstance(each.message, Snapshot | Delta))


def _follows(old: Delta, new: Delta) -> bool:
    """Tell whether two deltas are one: each has a part for each age, and the second begins where the first ends."""
    return (
        _is_base(old.generation, new)
        and old.version == new.version
        and len(old.deltas) == old.generation.age - old.base
        and len(new.deltas) == new.generation.age - new.base
        and len(old.deltas) + len(new.deltas) <= MAX_DELTAS
    )


def _is_base(generation: Generation, delta: Delta) -> bool:
    return generation.age == delta.base and generation.incarnation == delta.generation.incarnation
