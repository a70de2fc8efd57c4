"""What keeps the snapshots of one persistence id apart from another's."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import ClassVar

from perdure.abc import MAX_KEY
from perdure.snapshots import SnapshotStore


class SnapshotIsolationRules:
    ids: ClassVar[Sequence[str]]
    many: ClassVar[int]

    async def test_ids_hold_each_their_own(self, snapshots: SnapshotStore) -> None:
        """Ids that contain each other, differ in case alone, look like paths or have 1,024 bytes hold each their own.

        (ATS-90)
        """
        for identity in self.ids:
            await snapshots.save(identity, 5, identity.encode())

        for identity in self.ids:
            assert await snapshots.newest(identity) == (5, identity.encode()), identity
            assert await snapshots.oldest(identity) == (5, identity.encode()), identity

    async def test_ids_have_each_their_numbers(self, snapshots: SnapshotStore) -> None:
        """The newest and the oldest of an id are not those of an id like it (ATS-75)."""
        for number, identity in enumerate(self.ids, 1):
            await snapshots.save(identity, number, b"")

        for number, identity in enumerate(self.ids, 1):
            assert await snapshots.newest(identity, at_most=number - 1) is None, identity
            assert await snapshots.newest(identity) == (number, b""), identity
            assert await snapshots.oldest(identity) == (number, b""), identity

    async def test_a_delete_spares_ids_like_it(self, snapshots: SnapshotStore) -> None:
        """Deleting all of one id leaves every other."""
        for identity in self.ids:
            await snapshots.save(identity, 5, identity.encode())

        for identity in self.ids[::3]:
            await snapshots.delete(identity, below=MAX_KEY + 1)

        for place, identity in enumerate(self.ids):
            expected = None if place % 3 == 0 else (5, identity.encode())
            assert await snapshots.newest(identity) == expected, identity

    async def test_an_id_is_found_among_thousands(self, snapshots: SnapshotStore) -> None:
        """With 2,000 others there, each id has what was saved for it, and a delete spares the others."""
        names = [f"account/{number}" for number in range(self.many)]
        for some in range(0, self.many, 100):
            await asyncio.gather(*(snapshots.save(name, 1, name.encode()) for name in names[some : some + 100]))

        await snapshots.delete("account/1", below=2)

        assert await snapshots.newest("account/1") is None
        assert await snapshots.newest("account") is None
        assert await snapshots.newest("account/") is None
        for name in (names[0], *names[10::97], names[-1]):
            assert await snapshots.newest(name) == (1, name.encode())
            assert await snapshots.oldest(name) == (1, name.encode())
