"""Snapshots in an object store: local files, S3, Google Cloud Storage, Azure, memory.

Each snapshot is an object of its own, in the folder of its persistence id, so that listing one id never meets another's
(`_names`), and says itself what it is (`_wrapping`), so that half an object, or one that was moved, is noticed. What
order a listing has is not believed. An object that is listed and then not found was removed meanwhile: the listing is
read again, and only what is listed again and again is called damaged.

Writes of one id happen one after the other, in the order of the calls, also those that nobody waits for any more.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from perdure.abc import MAX_KEY, Worker, check_key, check_prefix
from perdure.errors import DamagedSnapshot, StoreClosed
from perdure.snapshots._begun import Begun
from perdure.snapshots._bucket import Bucket, InThread, ObjectStore
from perdure.snapshots._files import Files
from perdure.snapshots._names import folder_of, name_of, number_of
from perdure.snapshots._store import Snapshot, SnapshotStore
from perdure.snapshots._wrapping import WrongObjectError, unwrap, wrap

_THREADS = 16
"""Requests that a store has to answer at a time."""

_LARGE = 256 * 1024
"""Bytes whose checksum takes so long that a thread counts it."""


_LOOKS = 4
"""How often something is listed and not found before it is called damaged; once or twice it was removed and saved."""


class ObjectSnapshots(SnapshotStore):
    """Keeps snapshots as objects of a store of `obstore`, under a prefix.

    In an `obstore.store.LocalStore` a snapshot is synced to the disk before `save` returns. Time-outs and the number of
    retries are the store's own. The store may be used by others; this forgets it at `close`.
    """

    def __init__(self, store: ObjectStore, prefix: str = "") -> None:
        self._bucket: Bucket = _bucket(store, prefix, self._in_thread)
        self._begun = Begun()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._worker: Worker[None] | None = None
        self._closed = False

    async def save(self, persistence_id: str, sequence_number: int, record: bytes) -> None:
        self._check("save")
        check_key(sequence_number)
        await self._begun.finish(self._save(check_prefix(persistence_id), sequence_number, record))

    async def newest(self, persistence_id: str, at_most: int = MAX_KEY) -> Snapshot | None:
        self._check("newest")

        def choose(numbers: list[int]) -> int | None:
            return max((number for number in numbers if number <= at_most), default=None)

        return await self._begun.finish(self._first(check_prefix(persistence_id), choose))

    async def oldest(self, persistence_id: str) -> Snapshot | None:
        self._check("oldest")
        return await self._begun.finish(
            self._first(check_prefix(persistence_id), lambda numbers: min(numbers, default=None))
        )

    async def delete(self, persistence_id: str, below: int) -> None:
        self._check("delete")
        await self._begun.finish(self._delete(check_prefix(persistence_id), below))

    async def close(self) -> None:
        self._closed = True
        await self._begun.all_over()
        if self._worker is not None:
            await self._worker.close()
        self.__dict__.pop("_bucket", None)

    async def _save(self, persistence_id: str, sequence_number: int, record: bytes) -> None:
        async with self._turn(persistence_id):
            body = await self._job(len(record), partial(wrap, persistence_id, sequence_number, record))
            await self._bucket.put(f"{folder_of(persistence_id)}/{name_of(sequence_number)}", body)

    async def _delete(self, persistence_id: str, below: int) -> None:
        folder = folder_of(persistence_id)
        async with self._turn(persistence_id):
            numbers = await self._numbers(folder)
            names = [name_of(number) for number in sorted(numbers) if number < below]
            if names:
                await self._bucket.remove(folder, names)

    async def _first(self, persistence_id: str, choose: Callable[[list[int]], int | None]) -> Snapshot | None:
        folder = folder_of(persistence_id)
        missed: Counter[int] = Counter()
        while (number := choose(await self._numbers(folder))) is not None:
            name = f"{folder}/{name_of(number)}"
            record = await self._read(persistence_id, number, name)
            if record is not None:
                return Snapshot(number, record)
            missed[number] += 1
            if missed[number] == _LOOKS:
                raise DamagedSnapshot(
                    persistence_id, number, f"the object {self._bucket.path(name)} is listed, and cannot be found"
                )
        return None

    async def _read(self, persistence_id: str, number: int, name: str) -> bytes | None:
        """Return a record; read once more what looks damaged, for it may have been so on its way alone."""
        reason: WrongObjectError | None = None
        for _ in range(2):
            found = await self._bucket.get(name)
            if found is None:
                return None
            try:
                return await self._job(len(found.body), partial(unwrap, persistence_id, number, found.body))
            except WrongObjectError as error:
                reason = error
        path = self._bucket.path(name)
        raise DamagedSnapshot(persistence_id, number, f"the object {path} is not what was saved: {reason}")

    async def _numbers(self, folder: str) -> list[int]:
        found = map(number_of, await self._bucket.names(folder))
        return [number for number in found if number is not None]

    def _turn(self, persistence_id: str) -> asyncio.Lock:
        return self._turns.setdefault(persistence_id, asyncio.Lock())

    async def _job(self, size: int, job: Callable[[], bytes]) -> bytes:
        return job() if size < _LARGE else await self._in_thread(job)

    def _in_thread(self, job: Callable[[], Any]) -> Awaitable[Any]:
        if self._worker is None:
            self._worker = Worker("perdure-snapshots", lambda: None, lambda _: None, threads=_THREADS)
        return self._worker.submit(lambda _: job())

    def _check(self, operation: str) -> None:
        if self._closed:
            raise StoreClosed(operation)


def _bucket(store: ObjectStore, prefix: str, in_thread: InThread) -> Bucket:
    from obstore.store import LocalStore

    if isinstance(store, LocalStore):
        return Files(store, Path(store.prefix or "/"), prefix, in_thread)
    return Bucket(store, prefix, in_thread)
