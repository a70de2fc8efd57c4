"""Where snapshots live: a port of its own, so that they may be kept elsewhere than the events.

A snapshot is the record of a state under the persistence id whose state it is and the sequence number that it covers.
It is a fact: whoever saves one for a number saves the fold of the same events. A store knows nothing of what is in it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from perdure.abc import MAX_KEY


class Snapshot(NamedTuple):
    """The record of a state, and the number of the last event in it."""

    sequence_number: int
    record: bytes


class SnapshotStore(ABC):
    """Keeps snapshots durably. Give one, or its URL, to `ActorSystem(snapshots=…)`.

    Every method may be called at any time from the event loop in which the store was opened, never blocks that loop,
    and may be cancelled without harm to other calls. What one persistence id has is never looked through to find what
    another has. Sequence numbers are from 1 to `MAX_KEY`.

    Raises `StoreClosed` after `close`, `StoreUnavailable` when the store cannot be reached, another `StoreError` when a
    call fails. Nothing is ever reported as absent because reading it failed.

    A store that sees by itself that a snapshot is not what was saved (half of it, or another actor's) raises
    `DamagedSnapshot` with its number from `newest` and `oldest`, and never passes over it in silence. Who asked goes on
    with `newest(persistence_id, error.sequence_number - 1)`.
    """

    @abstractmethod
    async def save(self, persistence_id: str, sequence_number: int, record: bytes) -> None:
        """Keep a snapshot; when this returns it is durable, and every later read sees it.

        One that is there for this number is replaced, whole or damaged. A failed or cancelled save leaves what was
        there, or the new one, whole; a cancelled one may go on, but never past a later call for the same id.
        """

    @abstractmethod
    async def newest(self, persistence_id: str, at_most: int = MAX_KEY) -> Snapshot | None:
        """Return the snapshot with the greatest sequence number up to `at_most`, or None if there is none.

        Raises `DamagedSnapshot` when that one cannot be trusted.
        """

    @abstractmethod
    async def oldest(self, persistence_id: str) -> Snapshot | None:
        """Return the snapshot with the least sequence number, or None if there is none.

        Raises `DamagedSnapshot` when that one cannot be trusted.
        """

    @abstractmethod
    async def delete(self, persistence_id: str, below: int) -> None:
        """Remove durably all snapshots with a sequence number below `below`; silent when there are none."""

    def forget(self, persistence_id: str) -> None:
        """Drop what is remembered of an id: the next read asks the store itself. Nothing, unless a store remembers."""
        return

    @abstractmethod
    async def close(self) -> None:
        """Finish what was begun and release everything. May be called again."""
