"""What is saved, read and deleted of one persistence id."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import ClassVar

import pytest

from perdure.abc import MAX_KEY
from perdure.errors import InvalidIdentifier
from perdure.snapshots import SnapshotStore
from perdure_testkit._contract._material import INVALID_PREFIXES, SIZES, VALUES, random_bytes

_OUT_OF_RANGE = (0, -1, MAX_KEY + 1)


class SnapshotSaveRules:
    largest: ClassVar[int]

    async def test_nothing_is_there_before_a_save(self, snapshots: SnapshotStore) -> None:
        """Of an id that nothing was saved for there is no newest and no oldest (ATS-73, TCK-S01)."""
        assert await snapshots.newest("a") is None
        assert await snapshots.newest("a", at_most=5) is None
        assert await snapshots.oldest("a") is None

    async def test_a_snapshot_is_read_back(self, snapshots: SnapshotStore) -> None:
        """What was saved is read with its number, as the newest and as the oldest (ATS-73)."""
        await snapshots.save("a", 7, b"state")

        assert await snapshots.newest("a") == (7, b"state")
        assert await snapshots.oldest("a") == (7, b"state")

    async def test_records_are_bytes_and_nothing_else(self, snapshots: SnapshotStore) -> None:
        """Records that look like text, syntax or numbers come back byte for byte."""
        for number, record in enumerate(VALUES, 1):
            await snapshots.save("a", number, record)

        for number, record in enumerate(VALUES, 1):
            assert await snapshots.newest("a", at_most=number) == (number, record)

    async def test_records_of_any_size_are_kept(self, snapshots: SnapshotStore) -> None:
        """Records of no byte, of some, and of millions come back as they were (TCK-S11)."""
        for number, size in enumerate(SIZES, 1):
            await snapshots.save("a", number, random_bytes(size))

        for number, size in enumerate(SIZES, 1):
            assert await snapshots.newest("a", at_most=number) == (number, random_bytes(size)), size

    async def test_a_large_record_is_kept(self, snapshots: SnapshotStore) -> None:
        """A record of 16 MiB comes back as it was (TCK-S11)."""
        record = (random_bytes(1_000_003) * (self.largest // 1_000_003 + 1))[: self.largest]

        await snapshots.save("a", 1, record)

        assert await snapshots.newest("a") == (1, record)

    @pytest.mark.parametrize("numbers", [(1, 2, 3), (3, 2, 1), (2, 3, 1)])
    async def test_the_newest_has_the_greatest_number(self, snapshots: SnapshotStore, numbers: tuple[int, ...]) -> None:
        """Whatever the order of saves, the newest has the greatest number, the oldest the least (ATS-73)."""
        for number in numbers:
            await snapshots.save("a", number, b"%d" % number)

        assert await snapshots.newest("a") == (3, b"3")
        assert await snapshots.oldest("a") == (1, b"1")

    async def test_numbers_are_ordered_as_numbers(self, snapshots: SnapshotStore) -> None:
        """Ten is more than nine, and the greatest number of 63 bits is more than any."""
        numbers = [1, 9, 10, 99, 100, 2**31, 2**32, 2**53 + 1, MAX_KEY - 1, MAX_KEY]
        for number in numbers:
            await snapshots.save("a", number, b"%d" % number)

        for number in numbers:
            assert await snapshots.newest("a", at_most=number) == (number, b"%d" % number)
        assert await snapshots.oldest("a") == (1, b"1")

    async def test_a_bound_includes_itself(self, snapshots: SnapshotStore) -> None:
        """The newest up to a bound is the one at it, or the next below, or none (ATS-73, TCK-S03, TCK-S05)."""
        await snapshots.save("a", 10, b"10")
        await snapshots.save("a", 20, b"20")

        found = [await snapshots.newest("a", at_most=bound) for bound in (9, 10, 11, 19, 20, 21, MAX_KEY)]

        assert [snapshot and snapshot.sequence_number for snapshot in found] == [None, 10, 10, 10, 20, 20, 20]

    async def test_a_bound_below_all_finds_none(self, snapshots: SnapshotStore) -> None:
        """Nothing is found up to 0, as is asked for below a first snapshot that is damaged."""
        await snapshots.save("a", 1, b"1")

        assert await snapshots.newest("a", at_most=0) is None
        assert await snapshots.newest("a", at_most=-1) is None

    async def test_a_second_save_replaces_the_first(self, snapshots: SnapshotStore) -> None:
        """A save for a number that has a snapshot takes its place, longer or shorter (ATS-74, TCK-S10)."""
        for record in (b"first", b"the second", b"3", b""):
            await snapshots.save("a", 5, record)

            assert await snapshots.newest("a") == (5, record)

    async def test_saving_the_same_again_changes_nothing(self, snapshots: SnapshotStore) -> None:
        """A save that is made twice is one snapshot (ATS-74)."""
        await snapshots.save("a", 5, b"state")

        await snapshots.save("a", 5, b"state")

        assert await snapshots.newest("a") == (5, b"state")
        assert await snapshots.newest("a", at_most=4) is None

    async def test_a_reader_sees_what_was_saved(self, snapshots: SnapshotStore) -> None:
        """Each save is seen by the next read, however often it was read before (ATS-78)."""
        for number in range(1, 50):
            await snapshots.save("a", number, b"%d" % number)

            assert await snapshots.newest("a") == (number, b"%d" % number)
            assert await snapshots.newest("a") == (number, b"%d" % number)

    async def test_an_older_save_hides_no_newer(self, snapshots: SnapshotStore) -> None:
        """A save for a lesser number leaves the newest the newest."""
        await snapshots.save("a", 9, b"9")
        await snapshots.newest("a")

        await snapshots.save("a", 4, b"4")

        assert await snapshots.newest("a") == (9, b"9")
        assert await snapshots.oldest("a") == (4, b"4")

    async def test_a_delete_excludes_its_bound(self, snapshots: SnapshotStore) -> None:
        """A delete removes all that is below its bound, and nothing else (ATS-75, TCK-S08)."""
        for number in (1, 5, 9, 10, 11):
            await snapshots.save("a", number, b"%d" % number)

        await snapshots.delete("a", below=10)

        assert await snapshots.oldest("a") == (10, b"10")
        assert await snapshots.newest("a", at_most=9) is None
        assert await snapshots.newest("a") == (11, b"11")

    async def test_a_delete_of_all_leaves_nothing(self, snapshots: SnapshotStore) -> None:
        """A delete below more than all numbers leaves nothing to be read, however often it was read before."""
        for number in (1, 2, MAX_KEY):
            await snapshots.save("a", number, b"")
        await snapshots.newest("a")

        await snapshots.delete("a", below=MAX_KEY + 1)

        assert await snapshots.newest("a") is None
        assert await snapshots.oldest("a") is None

    async def test_deleting_nothing_is_silent(self, snapshots: SnapshotStore) -> None:
        """A delete may be repeated, and may be of an id that was never saved (ATS-77)."""
        await snapshots.save("a", 5, b"5")

        for below in (-1, 0, 1, 5, 5):
            await snapshots.delete("a", below=below)
        await snapshots.delete("never saved", below=100)

        assert await snapshots.oldest("a") == (5, b"5")

    async def test_what_was_deleted_may_be_saved_again(self, snapshots: SnapshotStore) -> None:
        """After a delete its numbers may be saved again."""
        await snapshots.save("a", 5, b"before")
        await snapshots.delete("a", below=6)

        await snapshots.save("a", 5, b"after")

        assert await snapshots.newest("a") == (5, b"after")

    async def test_many_snapshots_of_one_id_are_kept(self, snapshots: SnapshotStore) -> None:
        """Nothing is removed but by a delete (ATS-75)."""
        for number in range(1, 61):
            await snapshots.save("a", number, b"%d" % number)

        assert [await snapshots.newest("a", at_most=number) for number in (1, 30, 60)] == [
            (1, b"1"),
            (30, b"30"),
            (60, b"60"),
        ]
        assert await snapshots.oldest("a") == (1, b"1")

    async def test_forgetting_changes_nothing_that_is_stored(self, snapshots: SnapshotStore) -> None:
        """What a store remembers may be forgotten at any time."""
        await snapshots.save("a", 5, b"5")
        await snapshots.newest("a")

        snapshots.forget("a")
        snapshots.forget("never saved")

        assert await snapshots.newest("a") == (5, b"5")

    async def test_a_number_out_of_range_is_refused(self, snapshots: SnapshotStore) -> None:
        """A save for 0, for less, or for more than 63 bits raises InvalidIdentifier."""
        for number in _OUT_OF_RANGE:
            with pytest.raises(InvalidIdentifier):
                await snapshots.save("a", number, b"")

        assert await snapshots.newest("a") is None

    @pytest.mark.parametrize(
        "use",
        [
            lambda snapshots, identity: snapshots.save(identity, 1, b""),
            lambda snapshots, identity: snapshots.newest(identity),
            lambda snapshots, identity: snapshots.newest(identity, 5),
            lambda snapshots, identity: snapshots.oldest(identity),
            lambda snapshots, identity: snapshots.delete(identity, 5),
        ],
        ids=["save", "newest", "newest up to", "oldest", "delete"],
    )
    async def test_an_invalid_id_is_refused(
        self, snapshots: SnapshotStore, use: Callable[[SnapshotStore, str], Awaitable[object]]
    ) -> None:
        """An id that is empty, too long, has a NUL or is no Unicode raises InvalidIdentifier (ATS-90)."""
        for identity in INVALID_PREFIXES:
            with pytest.raises(InvalidIdentifier):
                await use(snapshots, identity)
