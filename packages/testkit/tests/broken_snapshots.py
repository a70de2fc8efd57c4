"""Snapshot stores that are broken, each in one way: `test_snapshot_contract.py` runs this file by itself."""

# ruff: noqa: D106
from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import ClassVar
from uuid import uuid4

import pytest_asyncio

from perdure.abc import MAX_KEY, check_key, check_prefix
from perdure.errors import StoreClosed
from perdure.snapshots import CachedSnapshots, Snapshot, SnapshotStore
from perdure_testkit import ReopenSnapshots, SnapshotContract

_shared: dict[str, dict[str, dict[int, bytes]]] = defaultdict(dict)


class Dictionary(SnapshotStore):
    """Keeps snapshots in dictionaries that namesakes share. Calls take turns of the loop, reads most."""

    def __init__(self, name: str) -> None:
        self.kept = _shared[name]
        self.closed = False

    def of(self, persistence_id: str) -> dict[int, bytes]:
        return self.kept.setdefault(check_prefix(persistence_id), {})

    async def save(self, persistence_id: str, sequence_number: int, record: bytes) -> None:
        kept = self.check().of(persistence_id)
        await self.turn()
        kept[check_key(sequence_number)] = record

    async def newest(self, persistence_id: str, at_most: int = MAX_KEY) -> Snapshot | None:
        return await self.first(persistence_id, max, lambda number: number <= at_most)

    async def oldest(self, persistence_id: str) -> Snapshot | None:
        return await self.first(persistence_id, min, lambda _: True)

    async def first(
        self, persistence_id: str, choose: Callable[[list[int]], int], fits: Callable[[int], bool]
    ) -> Snapshot | None:
        kept = self.check().of(persistence_id)
        numbers = [number for number in kept if fits(number)]
        found = Snapshot(choose(numbers), kept[choose(numbers)]) if numbers else None
        for _ in range(3):
            await self.turn()
        return found

    async def delete(self, persistence_id: str, below: int) -> None:
        kept = self.check().of(persistence_id)
        await self.turn()
        for number in [number for number in kept if number < below]:
            del kept[number]

    async def close(self) -> None:
        self.closed = True

    def check(self) -> Dictionary:
        if self.closed:
            raise StoreClosed("use")
        return self

    async def turn(self) -> None:
        for _ in range(4):
            await asyncio.sleep(0)


class Broken(SnapshotContract):
    __test__ = False
    kind: ClassVar[Callable[[str], SnapshotStore]] = Dictionary
    many = 300
    largest = 1_000
    patience = 1.0

    @pytest_asyncio.fixture
    async def reopen(self) -> AsyncIterator[ReopenSnapshots]:
        name = uuid4().hex
        opened: list[SnapshotStore] = []

        async def reopen() -> SnapshotStore:
            for store in opened:
                await store.close()
            opened.append(type(self).kind(name))
            return opened[-1]

        yield reopen
        _shared.pop(name, None)

    @pytest_asyncio.fixture
    async def snapshots(self, reopen: ReopenSnapshots) -> SnapshotStore:
        return await reopen()


class TestSound(Broken):
    __test__ = True


class TestForgetful(Broken):
    """Holds what it holds in the object."""

    __test__ = True

    class kind(Dictionary):
        def __init__(self, name: str) -> None:
            super().__init__(name)
            self.kept = {}


class TestSortingAsText(Broken):
    """Orders numbers as texts."""

    __test__ = True

    class kind(Dictionary):
        async def newest(self, persistence_id: str, at_most: int = MAX_KEY) -> Snapshot | None:
            return await self.first(
                persistence_id, lambda numbers: max(numbers, key=str), lambda number: number <= at_most
            )


class TestExcludingItsBound(Broken):
    """Finds what is below a bound, and not what is at it."""

    __test__ = True

    class kind(Dictionary):
        async def newest(self, persistence_id: str, at_most: int = MAX_KEY) -> Snapshot | None:
            bound = at_most if at_most == MAX_KEY else at_most - 1
            return await super().newest(persistence_id, bound)


class TestDeletingTooMuch(Broken):
    """Deletes what is at the bound of a delete."""

    __test__ = True

    class kind(Dictionary):
        async def delete(self, persistence_id: str, below: int) -> None:
            await super().delete(persistence_id, below + 1)


class TestKeepingTheFirst(Broken):
    """Keeps what was saved first for a number."""

    __test__ = True

    class kind(Dictionary):
        async def save(self, persistence_id: str, sequence_number: int, record: bytes) -> None:
            kept = self.check().of(persistence_id).get(sequence_number)
            await super().save(persistence_id, sequence_number, record if kept is None else kept)


class TestPrefixLeaking(Broken):
    """Takes the ids that begin with an id for the id."""

    __test__ = True

    class kind(Dictionary):
        async def newest(self, persistence_id: str, at_most: int = MAX_KEY) -> Snapshot | None:
            check_prefix(persistence_id)
            alike = [id for id in self.check().kept if id.startswith(persistence_id)]
            found = [await super(type(self), self).newest(id, at_most) for id in alike]
            return max(filter(None, found), default=None)


class TestCaseBlind(Broken):
    """Keeps ids as a file system that is blind to case does."""

    __test__ = True

    class kind(Dictionary):
        def of(self, persistence_id: str) -> dict[int, bytes]:
            return super().of(check_prefix(persistence_id).lower())


class TestCutting(Broken):
    """Ends a record at its first NUL."""

    __test__ = True

    class kind(Dictionary):
        async def save(self, persistence_id: str, sequence_number: int, record: bytes) -> None:
            await super().save(persistence_id, sequence_number, record.split(b"\0")[0])


class TestTorn(Broken):
    """Writes a record in two halves."""

    __test__ = True

    class kind(Dictionary):
        async def save(self, persistence_id: str, sequence_number: int, record: bytes) -> None:
            kept = self.check().of(persistence_id)
            check_key(sequence_number)
            kept[sequence_number] = record[: len(record) // 2]
            await self.turn()
            kept[sequence_number] = record


class TestCachingWhatWasRead(Broken):
    """Remembers whatever a read brings, as the obvious cache does."""

    __test__ = True

    class kind(CachedSnapshots):
        def __init__(self, name: str) -> None:
            super().__init__(Dictionary(name))

        def _spoil(self, persistence_id: str) -> None:
            """Let what is read hide what was written meanwhile."""


class TestOvertaking(Broken):
    """Lets a cancelled save go on, some time."""

    __test__ = True

    class kind(Dictionary):
        async def save(self, persistence_id: str, sequence_number: int, record: bytes) -> None:
            kept = self.check().of(persistence_id)
            check_key(sequence_number)

            async def later() -> None:
                for _ in range(6):
                    await self.turn()
                kept[sequence_number] = record

            try:
                await self.turn()
            except asyncio.CancelledError:
                self.begun = asyncio.ensure_future(later())
                raise
            kept[sequence_number] = record


class TestUnchecked(Broken):
    """Takes any id and any number."""

    __test__ = True

    class kind(Dictionary):
        def of(self, persistence_id: str) -> dict[int, bytes]:
            return self.kept.setdefault(persistence_id, {})

        async def save(self, persistence_id: str, sequence_number: int, record: bytes) -> None:
            kept = self.check().of(persistence_id)
            await self.turn()
            kept[sequence_number] = record


class TestGoingOn(Broken):
    """Goes on after close."""

    __test__ = True

    class kind(Dictionary):
        async def close(self) -> None:
            """Do nothing."""


class TestLeaking(Broken):
    """Leaves a thread, a task and a file behind."""

    __test__ = True

    class kind(Dictionary):
        files: ClassVar[list[object]] = []

        def __init__(self, name: str) -> None:
            super().__init__(name)
            threading.Thread(target=threading.Event().wait, args=(3.0,), daemon=True).start()
            self._task = asyncio.ensure_future(asyncio.sleep(100))
            self.files.append(Path(__file__).open())  # noqa: SIM115
