"""Backends that are broken, each in one way, and the contract on each: `test_contract.py` runs this file by itself."""

# ruff: noqa: D106
from __future__ import annotations

import asyncio
import threading
import unicodedata
from collections import deque
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import ClassVar
from uuid import uuid4

import pytest
import pytest_asyncio

from perdure.abc import (
    Backend,
    Conflict,
    DeleteRange,
    Expectation,
    FeedPage,
    LastKey,
    Page,
    Purge,
    Put,
    Replace,
    WriteGroup,
)
from perdure.memory import MemoryBackend
from perdure_testkit import BackendContract, Reopen
from perdure_testkit._contract._claims import claims_of
from perdure_testkit._contract._stores import Stores

Outcomes = list[Conflict | None]


class OfKind(Stores):
    """A contract's stores: a kind of memory backend, of which namesakes share what they hold."""

    kind: ClassVar[type[MemoryBackend]] = MemoryBackend
    largest = 1_000

    @pytest_asyncio.fixture
    async def reopen(self) -> AsyncIterator[Reopen]:
        name = uuid4().hex
        opened: list[MemoryBackend] = []

        async def reopen() -> Backend:
            for backend in opened:
                await backend.close()
            opened.append(self.kind(name))
            return opened[-1]

        reopen.store = name  # type: ignore[attr-defined]
        yield reopen
        for backend in opened:
            await MemoryBackend.close(backend)

    @pytest_asyncio.fixture
    async def backend(self, reopen: Reopen) -> Backend:
        return await reopen()

    @pytest.fixture
    def another(self, reopen: Reopen) -> Reopen:
        async def another() -> Backend:
            return self.kind(reopen.store)  # type: ignore[attr-defined]

        return another


class Broken(OfKind, BackendContract):
    __test__ = False
    many = 1_500
    patience = 1.0


class TestSound(Broken):
    __test__ = True


class TestForgetful(Broken):
    """Holds what it holds in the object."""

    __test__ = True

    class kind(MemoryBackend):
        def __init__(self, name: str) -> None:
            super().__init__()


class TestForking(Broken):
    """Asks for nothing that a group expects."""

    __test__ = True

    class kind(MemoryBackend):
        async def commit(self, groups: Sequence[WriteGroup]) -> Outcomes:
            return await super().commit([WriteGroup(group.writes) for group in groups])


class TestForkingOpeners(Broken):
    """Trusts the heads that it remembers, though others write."""

    __test__ = True

    class kind(MemoryBackend):
        def __init__(self, name: str) -> None:
            super().__init__(name)
            self._heads: dict[tuple[str, str], int] = {}

        async def commit(self, groups: Sequence[WriteGroup]) -> Outcomes:
            self._check("commit")
            return [await self._one(group) for group in groups]

        async def _one(self, group: WriteGroup) -> Conflict | None:
            plain: list[Expectation] = []
            for each in group.expectations:
                if not isinstance(each, LastKey):
                    plain.append(each)
                    continue
                place = each.collection, each.prefix
                actual = self._heads.get(place) or self._store.last(*place)
                if actual != each.key:
                    return Conflict(each, actual)
            [outcome] = await super().commit([WriteGroup(group.writes, tuple(plain))])
            for write in group.writes:
                if isinstance(write, Put):
                    self._heads[write.collection, write.prefix] = self._store.last(write.collection, write.prefix)
                elif hasattr(write, "collection"):
                    self._heads.pop((write.collection, write.prefix), None)
            return outcome


class Replacing(MemoryBackend):
    """Replaces as it says itself."""

    async def commit(self, groups: Sequence[WriteGroup]) -> Outcomes:
        self._store.replace = self._replace  # type: ignore[method-assign]
        return await super().commit(groups)

    def _has(self, collection: str, prefix: str, key: int) -> bool:
        log = self._store.log(collection, prefix)
        return log is not None and key in log.values

    def _replace(self, collection: str, prefix: str, key: int, value: bytes) -> None:
        type(self._store).replace(self._store, collection, prefix, key, value)


class TestMoving(Broken):
    """Puts anew what it is to replace."""

    __test__ = True

    class kind(Replacing):
        def _replace(self, collection: str, prefix: str, key: int, value: bytes) -> None:
            if self._has(collection, prefix, key):
                self._store.put(collection, prefix, key, value)


class TestResurrecting(Broken):
    """Puts what is to be replaced and is not there."""

    __test__ = True

    class kind(Replacing):
        def _replace(self, collection: str, prefix: str, key: int, value: bytes) -> None:
            if self._has(collection, prefix, key):
                super()._replace(collection, prefix, key, value)
            else:
                self._store.put(collection, prefix, key, value)


class TestResurrectingBelowTheHead(Broken):
    """Takes every key up to the head of a log for one that is there."""

    __test__ = True

    class kind(Replacing):
        def _replace(self, collection: str, prefix: str, key: int, value: bytes) -> None:
            if self._has(collection, prefix, key):
                super()._replace(collection, prefix, key, value)
            elif key <= self._store.last(collection, prefix):
                self._store.put(collection, prefix, key, value)


class TestIgnoring(Broken):
    """Replaces nothing."""

    __test__ = True

    class kind(Replacing):
        def _replace(self, collection: str, prefix: str, key: int, value: bytes) -> None:
            """Do nothing."""


class TestLookingBeforeTheCommit(Broken):
    """Looks before the commit for what its groups replace, and puts that."""

    __test__ = True

    class kind(Replacing):
        async def commit(self, groups: Sequence[WriteGroup]) -> Outcomes:
            replacements = [write for group in groups for write in group.writes if isinstance(write, Replace)]
            places = ((each.collection, each.prefix, each.key) for each in replacements)
            self._found = {place for place in places if self._has(*place)}
            return await super().commit(groups)

        def _replace(self, collection: str, prefix: str, key: int, value: bytes) -> None:
            if (collection, prefix, key) not in self._found:
                return
            if self._has(collection, prefix, key):
                super()._replace(collection, prefix, key, value)
            else:
                self._store.put(collection, prefix, key, value)


class TestRememberingKeys(Broken):
    """Trusts that the keys which it has replaced are there, though others remove them."""

    __test__ = True

    class kind(Replacing):
        def __init__(self, name: str) -> None:
            super().__init__(name)
            self._replaced: set[tuple[str, str, int]] = set()

        async def commit(self, groups: Sequence[WriteGroup]) -> Outcomes:
            outcomes = await super().commit(groups)
            if any(not isinstance(write, (Put, Replace)) for group in groups for write in group.writes):
                self._replaced.clear()
            return outcomes

        def _replace(self, collection: str, prefix: str, key: int, value: bytes) -> None:
            if self._has(collection, prefix, key):
                self._replaced.add((collection, prefix, key))
                super()._replace(collection, prefix, key, value)
            elif (collection, prefix, key) in self._replaced:
                self._store.put(collection, prefix, key, value)


class TestReordering(Broken):
    """Feeds each page by prefix and key."""

    __test__ = True

    class kind(MemoryBackend):
        async def feed(self, collection: str, after: str | None = None, limit: int = 1000) -> FeedPage:
            records, offset = await super().feed(collection, after, limit)
            return FeedPage(sorted(records), offset)


class TestGapSkipping(Broken):
    """Hands out an offset behind a record that is not yet to be seen."""

    __test__ = True

    class kind(MemoryBackend):
        async def feed(self, collection: str, after: str | None = None, limit: int = 1000) -> FeedPage:
            records, offset = await super().feed(collection, after, limit)
            return FeedPage(records[:-1] if len(records) > 2 else records, offset)


class TestCountingFeed(Broken):
    """Takes for an offset the number of records before it, which deletions change."""

    __test__ = True

    class kind(MemoryBackend):
        async def feed(self, collection: str, after: str | None = None, limit: int = 1000) -> FeedPage:
            records, _ = await super().feed(collection, None, 1_000_000)
            begin = int(after or 0)
            page = records[begin : begin + limit]
            return FeedPage(page, str(begin + len(page)))


class TestNonAtomicInConflict(Broken):
    """Applies the first write of a group that is in conflict."""

    __test__ = True

    class kind(MemoryBackend):
        async def commit(self, groups: Sequence[WriteGroup]) -> Outcomes:
            outcomes = await super().commit(groups)
            refused = [group for group, conflict in zip(groups, outcomes, strict=True) if conflict is not None]
            await super().commit([WriteGroup(group.writes[:1]) for group in refused])
            return outcomes


class TestNonAtomicInFailure(Broken):
    """Has written the writes before the one that fails."""

    __test__ = True

    class kind(MemoryBackend):
        async def commit(self, groups: Sequence[WriteGroup]) -> Outcomes:
            self._check("commit")
            return [(await MemoryBackend.commit(self, [group]))[0] for group in groups]


class TestTornByCancellation(Broken):
    """Gives the loop a turn between two writes of a group."""

    __test__ = True

    class kind(MemoryBackend):
        async def commit(self, groups: Sequence[WriteGroup]) -> Outcomes:
            self._check("commit")
            outcomes = await super().commit([WriteGroup(group.writes[:1], group.expectations) for group in groups])
            if any(len(group.writes) > 1 for group in groups):
                await asyncio.sleep(0)
            for group, refused in zip(groups, outcomes, strict=True):
                for write in () if refused else group.writes[1:]:
                    self._store.apply(write)
            return outcomes


class TestDroppedByCancellation(Broken):
    """Drops a commit when the one who waits for it is cancelled."""

    __test__ = True

    class kind(MemoryBackend):
        async def commit(self, groups: Sequence[WriteGroup]) -> Outcomes:
            self._check("commit")
            for _ in range(3):
                await asyncio.sleep(0)
            if self._closed:
                self._closed = False
                try:
                    return await super().commit(groups)
                finally:
                    self._closed = True
            return await super().commit(groups)


class TestShiftedByCancellation(Broken):
    """Leaves the answer of a cancelled call to the next."""

    __test__ = True

    class kind(MemoryBackend):
        def __init__(self, name: str) -> None:
            super().__init__(name)
            self._answers: deque[Page] = deque()

        async def page(
            self,
            collection: str,
            prefix: str,
            start: int,
            stop: int,
            *,
            limit: int,
            max_bytes: int,
            reverse: bool = False,
        ) -> Page:
            page = super().page(collection, prefix, start, stop, limit=limit, max_bytes=max_bytes, reverse=reverse)
            self._answers.append(await page)
            await asyncio.sleep(0)
            return self._answers.popleft()


class TestPrefixLeaking(Broken):
    """Purges all prefixes that begin alike."""

    __test__ = True

    class kind(MemoryBackend):
        async def commit(self, groups: Sequence[WriteGroup]) -> Outcomes:
            return await super().commit([self._wide(group) for group in groups])

        def _wide(self, group: WriteGroup) -> WriteGroup:
            purged = [write for write in group.writes if isinstance(write, Purge)]
            more = [
                Purge(write.collection, prefix)
                for write in purged
                for prefix in self._store.logs.get(write.collection, {})
                if prefix.startswith(write.prefix) and prefix != write.prefix
            ]
            return WriteGroup((*more, *group.writes), group.expectations)


class TestNormalising(Broken):
    """Takes two spellings of a prefix for one, as a file system or a collation may."""

    __test__ = True

    class kind(MemoryBackend):
        async def page(
            self,
            collection: str,
            prefix: str,
            start: int,
            stop: int,
            *,
            limit: int,
            max_bytes: int,
            reverse: bool = False,
        ) -> Page:
            prefix = unicodedata.normalize("NFC", prefix)
            return await super().page(
                collection, prefix, start, stop, limit=limit, max_bytes=max_bytes, reverse=reverse
            )


class TestHeadForgetting(Broken):
    """Takes for the head of a log the number of its entries, which removals change."""

    __test__ = True

    class kind(MemoryBackend):
        async def commit(self, groups: Sequence[WriteGroup]) -> Outcomes:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(self._store, "last", self._count)
                return await super().commit([_by_ranges(group) for group in groups])

        def _count(self, collection: str, prefix: str) -> int:
            log = self._store.log(collection, prefix)
            return 0 if log is None else len(log.keys)


def _by_ranges(group: WriteGroup) -> WriteGroup:
    """Return the group with ranges in place of purges, which ask for the head."""
    writes = [
        DeleteRange(write.collection, write.prefix, 1, 2**63) if isinstance(write, Purge) else write
        for write in group.writes
    ]
    return WriteGroup(tuple(writes), group.expectations)


class TestVersionForgetting(Broken):
    """Forgets the version of a deleted state."""

    __test__ = True

    class kind(MemoryBackend):
        async def read_state(self, state: str, prefix: str) -> tuple[int, bytes | None]:
            version, value = await super().read_state(state, prefix)
            return (0 if value is None else version), value


class TestLagging(Broken):
    """Says what was the last key when it was asked before."""

    __test__ = True

    class kind(MemoryBackend):
        def __init__(self, name: str) -> None:
            super().__init__(name)
            self._seen: dict[tuple[str, str], int] = {}

        async def last(self, collection: str, prefix: str) -> int:
            actual = await super().last(collection, prefix)
            seen = self._seen.get((collection, prefix), actual)
            self._seen[collection, prefix] = actual
            return seen


class TestUnlimited(Broken):
    """Takes values over the limit that it states."""

    __test__ = True

    class kind(MemoryBackend):
        max_value_bytes = 4_000_000

        async def commit(self, groups: Sequence[WriteGroup]) -> Outcomes:
            self.max_value_bytes = 1 << 40
            try:
                return await super().commit(groups)
            finally:
                del self.max_value_bytes


class TestCutting(Broken):
    """Ends a value at its first NUL."""

    __test__ = True

    class kind(MemoryBackend):
        async def page(
            self,
            collection: str,
            prefix: str,
            start: int,
            stop: int,
            *,
            limit: int,
            max_bytes: int,
            reverse: bool = False,
        ) -> Page:
            page = await super().page(
                collection, prefix, start, stop, limit=limit, max_bytes=max_bytes, reverse=reverse
            )
            return Page([entry._replace(value=entry.value.split(b"\0")[0]) for entry in page.entries], page.more)


class TestHoarding(Broken):
    """Keeps all that was read of a log."""

    __test__ = True

    class kind(MemoryBackend):
        def __init__(self, name: str) -> None:
            super().__init__(name)
            self._kept: list[bytearray] = []

        async def page(
            self,
            collection: str,
            prefix: str,
            start: int,
            stop: int,
            *,
            limit: int,
            max_bytes: int,
            reverse: bool = False,
        ) -> Page:
            page = await super().page(
                collection, prefix, start, stop, limit=limit, max_bytes=max_bytes, reverse=reverse
            )
            self._kept += [bytearray(entry.value) for entry in page.entries]
            return page


class TestThreadLeaking(Broken):
    """Leaves a thread behind."""

    __test__ = True

    class kind(MemoryBackend):
        def __init__(self, name: str) -> None:
            super().__init__(name)
            threading.Thread(target=threading.Event().wait, args=(3.0,), daemon=True).start()


class TestTaskLeaking(Broken):
    """Leaves a task behind."""

    __test__ = True

    class kind(MemoryBackend):
        def __init__(self, name: str) -> None:
            super().__init__(name)
            self._task = asyncio.ensure_future(asyncio.sleep(100))


class TestHandleLeaking(Broken):
    """Leaves a file open."""

    __test__ = True
    files: ClassVar[list[object]] = []

    class kind(MemoryBackend):
        def __init__(self, name: str) -> None:
            super().__init__(name)
            TestHandleLeaking.files.append(Path(__file__).open())  # noqa: SIM115


class TestGoingOn(Broken):
    """Goes on after close."""

    __test__ = True

    class kind(MemoryBackend):
        async def close(self) -> None:
            """Do nothing."""


class TestClosingOnce(Broken):
    """Cannot be closed twice."""

    __test__ = True

    class kind(MemoryBackend):
        async def close(self) -> None:
            self._check("close")
            await super().close()


class Unsynced(Stores):
    """Says that a commit is durable when it is in a buffer of the process: a plug-in, in `unsynced.py`."""

    @pytest.fixture
    def url(self, tmp_path: Path, request: pytest.FixtureRequest) -> str:
        if not {"kills", "reopening"} & set(claims_of(request.function)):
            pytest.skip("it is about what outlives a process")
        return f"unsynced://{tmp_path}/log"


class TestUnsynced(Unsynced, BackendContract):
    patience = 5.0
    many = 100
