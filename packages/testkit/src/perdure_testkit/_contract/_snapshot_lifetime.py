"""What opening and closing a snapshot store promise, and what closing leaves behind: nothing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar

import pytest

from perdure.errors import StoreClosed
from perdure.snapshots import SnapshotStore
from perdure_testkit._contract._claims import needs
from perdure_testkit._contract._leaks import Before, Belongings, handles, soon
from perdure_testkit._contract._material import random_bytes
from perdure_testkit._contract._snapshot_stores import ReopenSnapshots


class SnapshotLifetimeRules(Before):
    ids: ClassVar[Sequence[str]]
    patience: ClassVar[float]

    @pytest.mark.parametrize(
        "use",
        [
            lambda snapshots: snapshots.save("a", 1, b""),
            lambda snapshots: snapshots.newest("a"),
            lambda snapshots: snapshots.newest("a", 5),
            lambda snapshots: snapshots.newest("a", 0),
            lambda snapshots: snapshots.oldest("a"),
            lambda snapshots: snapshots.delete("a", 5),
            lambda snapshots: snapshots.delete("a", 0),
        ],
        ids=["save", "newest", "newest up to", "newest of none", "oldest", "delete", "delete none"],
    )
    async def test_a_closed_store_says_so(
        self, snapshots: SnapshotStore, use: Callable[[SnapshotStore], Awaitable[object]]
    ) -> None:
        """Every call after close raises StoreClosed."""
        await snapshots.save("a", 1, b"")
        await snapshots.newest("a")

        await snapshots.close()

        with pytest.raises(StoreClosed):
            await use(snapshots)

    async def test_closing_twice_is_closing_once(self, snapshots: SnapshotStore) -> None:
        """Closing again does nothing, one after the other and at the same time (ATS-91)."""
        await snapshots.save("a", 1, b"")

        await asyncio.gather(snapshots.close(), snapshots.close())
        await snapshots.close()

    async def test_an_unused_store_closes(self, snapshots: SnapshotStore) -> None:
        """A store that was opened and never used closes."""
        await snapshots.close()

    async def test_closing_finishes_what_was_begun(self, snapshots: SnapshotStore) -> None:
        """Saves and reads that were begun before close end as if it had not come."""
        await snapshots.save("a", 1, b"1")
        saves = [asyncio.ensure_future(snapshots.save(f"{n}", 1, b"")) for n in range(20)]
        reads = [asyncio.ensure_future(snapshots.newest("a")) for _ in range(20)]
        await asyncio.sleep(0)

        await snapshots.close()

        assert await asyncio.gather(*saves) == [None] * 20
        assert await asyncio.gather(*reads) == [(1, b"1")] * 20

    async def test_a_close_that_was_cancelled_can_be_repeated(self, snapshots: SnapshotStore) -> None:
        """Closing again finishes a close that was cancelled."""
        await _use(snapshots)
        closing = asyncio.ensure_future(snapshots.close())
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait([closing])

        async with asyncio.timeout(self.patience):
            await snapshots.close()

    async def test_close_leaves_no_thread(self, before: Belongings, snapshots: SnapshotStore) -> None:
        """When close has returned, the threads of the store end."""
        await _use(snapshots)

        await snapshots.close()

        await soon(self.patience, lambda: {each for each in threading.enumerate() if each.is_alive()} - before[0])

    async def test_close_leaves_no_task(self, before: Belongings, snapshots: SnapshotStore) -> None:
        """When close has returned, the tasks of the store end."""
        await _use(snapshots)

        await snapshots.close()

        own = asyncio.current_task()
        await soon(self.patience, lambda: asyncio.all_tasks() - before[1] - {own})

    @needs("reopening")
    async def test_close_leaves_no_handle(self, snapshots: SnapshotStore, reopen: ReopenSnapshots) -> None:
        """However often a store is opened and closed, no file and no socket stays open."""
        if handles() is None:
            pytest.skip("this system does not tell what a process has open")
        await _use(snapshots)
        await (await reopen()).close()
        before = handles()

        for _ in range(4):
            snapshots = await reopen()
            await _use(snapshots)
            await snapshots.close()

        await soon(self.patience, lambda: (handles() or 0) > (before or 0))

    @needs("reopening")
    async def test_what_was_saved_is_there_again(self, snapshots: SnapshotStore, reopen: ReopenSnapshots) -> None:
        """Everything that was saved is there when the store is opened again."""
        for identity in self.ids:
            await snapshots.save(identity, 5, identity.encode())
        await snapshots.save("one", 6, random_bytes(100_000))

        snapshots = await reopen()

        assert await snapshots.newest("one") == (6, random_bytes(100_000))
        for identity in self.ids:
            assert await snapshots.oldest(identity) == (5, identity.encode()), identity

    @needs("reopening")
    async def test_what_was_deleted_stays_deleted(self, snapshots: SnapshotStore, reopen: ReopenSnapshots) -> None:
        """What was deleted or replaced does not come back when the store is opened again."""
        for number in (1, 2, 3):
            await snapshots.save("a", number, b"old")
        await snapshots.save("a", 3, b"new")
        await snapshots.delete("a", below=3)

        snapshots = await reopen()

        assert await snapshots.oldest("a") == (3, b"new")
        assert await snapshots.newest("a") == (3, b"new")

    @needs("reopening")
    async def test_a_store_can_be_opened_many_times(self, snapshots: SnapshotStore, reopen: ReopenSnapshots) -> None:
        """Snapshots go on over many openings."""
        for number in range(1, 5):
            await snapshots.save("a", number, b"%d" % number)
            snapshots = await reopen()

        assert [await snapshots.newest("a", at_most=number) for number in range(1, 5)] == [
            (number, b"%d" % number) for number in range(1, 5)
        ]

    @needs("reopening")
    async def test_a_cancelled_save_tears_nothing(self, snapshots: SnapshotStore, reopen: ReopenSnapshots) -> None:
        """A save that nobody waits for when the store is closed is whole or not there."""
        record = random_bytes(1_000_000)
        begun = asyncio.ensure_future(snapshots.save("a", 5, record))
        await asyncio.sleep(0)
        begun.cancel()
        await asyncio.wait([begun])

        snapshots = await reopen()

        assert await snapshots.newest("a") in (None, (5, record))


async def _use(snapshots: SnapshotStore) -> None:
    await asyncio.gather(*(snapshots.save(f"{number}", 1, bytes(300_000)) for number in range(5)))
    await asyncio.gather(*(snapshots.newest(f"{number}") for number in range(5)), snapshots.oldest("0"))
    await snapshots.delete("0", below=2)
