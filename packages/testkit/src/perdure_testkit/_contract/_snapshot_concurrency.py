"""Saves, reads and deletes at once, and what cancelling one does to it and to others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import ClassVar

import pytest

from perdure.snapshots import Snapshot, SnapshotStore
from perdure_testkit._contract._cancellations import cancel
from perdure_testkit._contract._material import random_bytes


class SnapshotConcurrencyRules:
    turns: ClassVar[int]

    async def test_saves_of_many_ids_at_once_all_hold(self, snapshots: SnapshotStore) -> None:
        """Saves that run at the same time for many ids are each there."""
        await asyncio.gather(*(snapshots.save(f"{n}", n + 1, b"%d" % n) for n in range(100)))

        found = await asyncio.gather(*(snapshots.newest(f"{n}") for n in range(100)))

        assert found == [(n + 1, b"%d" % n) for n in range(100)]

    async def test_saves_of_many_numbers_at_once_all_hold(self, snapshots: SnapshotStore) -> None:
        """Saves that run at the same time for the numbers of one id are each there."""
        await asyncio.gather(*(snapshots.save("a", n, b"%d" % n) for n in range(1, 31)))

        found = await asyncio.gather(*(snapshots.newest("a", at_most=n) for n in range(1, 31)))

        assert found == [(n, b"%d" % n) for n in range(1, 31)]
        assert await snapshots.newest("a") == (30, b"30")

    async def test_of_saves_of_one_number_at_once_one_is_whole(self, snapshots: SnapshotStore) -> None:
        """Of saves that run at the same time for one number one stays, whole, and all succeed (ATS-88)."""
        records = [bytes([n]) * (1_000 * n + 1) for n in range(1, 11)]

        await asyncio.gather(*(snapshots.save("a", 5, record) for record in records))

        found = await snapshots.newest("a")
        assert found is not None
        assert found.record in records
        assert await snapshots.newest("a") == found
        assert await snapshots.newest("a", at_most=4) is None

    async def test_a_reader_beside_a_writer_never_goes_back(self, snapshots: SnapshotStore) -> None:
        """Reads beside saves see whole snapshots, and never an older one than a save that had finished.

        (ATS-78)
        """
        finished = 0
        seen: list[Snapshot] = []

        async def read_on() -> None:
            while finished < 30:
                floor = finished
                found = await snapshots.newest("a")
                assert floor == 0 or (found is not None and found.sequence_number >= floor)
                seen.extend([found] if found else [])
                await asyncio.sleep(0)

        readers = [asyncio.ensure_future(read_on()) for _ in range(4)]
        for number in range(1, 31):
            await snapshots.save("a", number, b"%d" % number * 1_000)
            finished = number
        await asyncio.gather(*readers)

        assert all(record == b"%d" % number * 1_000 for number, record in seen)

    async def test_a_read_that_a_save_overtakes_hides_nothing(self, snapshots: SnapshotStore) -> None:
        """After reads that were begun before a save, at any turn of the loop, the save is seen (ATS-78)."""
        for turns in range(self.turns):
            await snapshots.save(f"{turns}", 1, b"old")
            snapshots.forget(f"{turns}")
            reading = [asyncio.ensure_future(snapshots.newest(f"{turns}")) for _ in range(3)]
            for _ in range(turns):
                await asyncio.sleep(0)
            await snapshots.save(f"{turns}", 2, b"new")
            await asyncio.gather(*reading)

            assert await snapshots.newest(f"{turns}") == (2, b"new"), turns

    async def test_a_read_that_a_delete_overtakes_brings_nothing_back(self, snapshots: SnapshotStore) -> None:
        """After reads that were begun before a delete, at any turn of the loop, nothing is there (ATS-78)."""
        for turns in range(self.turns):
            await snapshots.save(f"{turns}", 1, b"old")
            snapshots.forget(f"{turns}")
            reading = [asyncio.ensure_future(snapshots.newest(f"{turns}")) for _ in range(3)]
            for _ in range(turns):
                await asyncio.sleep(0)
            await snapshots.delete(f"{turns}", below=2)
            await asyncio.gather(*reading)

            assert await snapshots.newest(f"{turns}") is None, turns

    async def test_deletes_beside_saves_spare_what_is_above(self, snapshots: SnapshotStore) -> None:
        """Deletes that run beside saves remove what is below their bound and nothing else (ATS-76)."""
        for number in range(1, 6):
            await snapshots.save("a", number, b"%d" % number)

        await asyncio.gather(
            snapshots.save("a", 7, b"7"), snapshots.delete("a", below=5), snapshots.save("a", 6, b"6"),
            snapshots.delete("a", below=4),
        )  # fmt: skip

        assert await snapshots.oldest("a") == (5, b"5")
        assert await snapshots.newest("a", at_most=6) == (6, b"6")
        assert await snapshots.newest("a") == (7, b"7")

    async def test_a_save_cancelled_at_any_turn_is_whole_or_nothing(self, snapshots: SnapshotStore) -> None:
        """After a save that is cancelled at any turn of the loop there is what was, or the new one, whole."""
        old, new = random_bytes(5_000), random_bytes(9_000)
        for turns in range(self.turns):
            await snapshots.save(f"{turns}", 5, old)

            await cancel(lambda turns=turns: snapshots.save(f"{turns}", 5, new), turns)  # type: ignore[misc]

            assert await snapshots.newest(f"{turns}") in ((5, old), (5, new)), turns
            assert await snapshots.newest(f"{turns}", at_most=4) is None

    async def test_a_cancelled_save_never_overtakes_a_later_one(self, snapshots: SnapshotStore) -> None:
        """A save that is cancelled at any turn of the loop does not undo the save that follows it."""
        for turns in range(self.turns):
            await cancel(lambda turns=turns: snapshots.save(f"{turns}", 5, b"stale"), turns)  # type: ignore[misc]

            await snapshots.save(f"{turns}", 5, b"right")

            assert await snapshots.newest(f"{turns}") == (5, b"right"), turns
        for turns in range(self.turns):
            assert await snapshots.newest(f"{turns}") == (5, b"right"), turns

    async def test_a_cancelled_save_comes_not_back_after_a_delete(self, snapshots: SnapshotStore) -> None:
        """A save that is cancelled at any turn of the loop does not appear after the delete that follows it."""
        for turns in range(self.turns):
            await cancel(lambda turns=turns: snapshots.save(f"{turns}", 5, b"stale"), turns)  # type: ignore[misc]

            await snapshots.delete(f"{turns}", below=6)

        for turns in range(self.turns):
            assert await snapshots.newest(f"{turns}") is None, turns

    async def test_a_delete_cancelled_at_any_turn_spares_what_is_above(self, snapshots: SnapshotStore) -> None:
        """A delete that is cancelled at any turn of the loop removes nothing that it should not."""
        for turns in range(self.turns):
            await snapshots.save(f"{turns}", 4, b"4")
            await snapshots.save(f"{turns}", 5, b"5")

            await cancel(lambda turns=turns: snapshots.delete(f"{turns}", below=5), turns)  # type: ignore[misc]

            assert await snapshots.newest(f"{turns}") == (5, b"5"), turns
            assert await snapshots.oldest(f"{turns}") in ((4, b"4"), (5, b"5")), turns

    @pytest.mark.parametrize(
        "use",
        [
            lambda snapshots: snapshots.newest("victim"),
            lambda snapshots: snapshots.newest("victim", 5),
            lambda snapshots: snapshots.oldest("victim"),
            lambda snapshots: snapshots.save("victim", 9, b"9"),
            lambda snapshots: snapshots.delete("victim", 2),
        ],
        ids=["newest", "newest up to", "oldest", "save", "delete"],
    )
    async def test_a_call_cancelled_at_any_turn_shifts_no_answer(
        self, snapshots: SnapshotStore, use: Callable[[SnapshotStore], Awaitable[object]]
    ) -> None:
        """Calls beside and after one that is cancelled at any turn of the loop get their own answers."""
        for name in ("victim", *"01234567"):
            await snapshots.save(name, 3, name.encode())

        async def all_answers() -> list[Snapshot | None]:
            return [await snapshots.newest(name) for name in "01234567"]

        for turns in range(self.turns):
            beside = asyncio.ensure_future(all_answers())
            await cancel(lambda: use(snapshots), turns)

            assert await snapshots.newest("7") == (3, b"7")
            assert await beside == [(3, name.encode()) for name in "01234567"]
