"""What is particular to RocksDB: the folder, its one writer, its faults."""

# ruff: noqa: ASYNC240  a test may wait for the disk

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import threading
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from rocksdict import Options, Rdict

from perdure import ActorSystem, Context, Event, Message, PersistentActor, open_backend
from perdure.abc import Conflict, Delete, DeleteRange, Durability, LastKey, Purge, Put, PutState, WriteGroup
from perdure.errors import (
    CorruptionError,
    CreateStoreError,
    InvalidIdentifier,
    OutcomeUnknown,
    StoreError,
    StoreUnavailable,
)
from perdure_rocksdb import RocksdbBackend, _database, _tuning
from perdure_rocksdb._settings import Settings


@asynccontextmanager
async def opened(path: Path, options: str = "", **arguments: Any) -> AsyncIterator[RocksdbBackend]:
    backend = await open_backend(f"rocksdb:///{path}{options}", **arguments)
    assert isinstance(backend, RocksdbBackend)
    try:
        yield backend
    finally:
        await backend.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
async def backend(path: Path) -> AsyncIterator[RocksdbBackend]:
    async with opened(path) as backend:
        yield backend


def append(prefix: str, after: int, *values: bytes) -> WriteGroup:
    puts = (Put("events", prefix, after + number, value) for number, value in enumerate(values, 1))
    return WriteGroup(tuple(puts), (LastKey("events", prefix, after),))


async def refusal(path: Path, options: str = "") -> str:
    """Return why the folder is not opened."""
    with pytest.raises(CreateStoreError) as caught:
        async with opened(path, options):
            pass
    return str(caught.value)


def compact(path: Path) -> None:
    """Have a store in as few levels, and as many files, as it takes."""
    database = _database.open_to_write(Settings(path=path))
    database.entries.compact_range(None, None)
    database.close()


class TestOpening:
    async def test_the_folder_is_made(self, tmp_path: Path) -> None:
        """The folder is made where it is missing, with its parents."""
        async with opened(tmp_path / "new" / "deep" / "store") as backend:
            await backend.commit([append("a", 0, b"")])

        assert (tmp_path / "new" / "deep" / "store" / "CURRENT").is_file()

    async def test_an_empty_folder_becomes_a_store(self, path: Path) -> None:
        """A folder that is empty is made a store."""
        path.mkdir()

        async with opened(path) as backend:
            assert await backend.commit([append("a", 0, b"")]) == [None]

    async def test_a_path_of_any_characters_is_one_folder(self, tmp_path: Path) -> None:
        """Spaces, quotes and escapes in a path are part of the folder's name."""
        async with opened(tmp_path / "a b'c%23%3F") as backend:
            await backend.commit([append("a", 0, b"")])

        assert (tmp_path / "a b'c#?").is_dir()

    async def test_a_file_is_refused(self, path: Path) -> None:
        """A file where the folder should be is named, and left as it was."""
        path.write_bytes(b"in the way")

        assert await refusal(path) == f"open: {path} is a file or in one: name a folder"
        assert path.read_bytes() == b"in the way"

    async def test_a_file_above_is_refused(self, tmp_path: Path) -> None:
        """A path through a file is named."""
        (tmp_path / "file").touch()

        assert "file/store is a file or in one" in await refusal(tmp_path / "file" / "store")

    async def test_a_folder_with_something_else_is_refused(self, path: Path) -> None:
        """A folder that holds anything else is refused by what is in it, and left as it was."""
        path.mkdir()
        (path / "photo.jpg").touch()

        assert "is no store and not empty ('photo.jpg' is in it)" in await refusal(path)
        assert os.listdir(path) == ["photo.jpg"]

    @pytest.mark.parametrize("families", [[], ["users"]])
    async def test_a_store_of_another_program_is_refused(self, path: Path, families: list[str]) -> None:
        """A RocksDB store of another program is refused, and gets none of our column families."""
        other = Rdict(str(path), Options(raw_mode=True))
        other[b"key"] = b"value"
        for name in families:
            other.create_column_family(name, Options(raw_mode=True)).close()
        other.close()

        assert "is a store of another program" in await refusal(path)
        assert Rdict.list_cf(str(path), Options(raw_mode=True)) == ["default", *families]

    async def test_the_making_of_a_store_can_be_taken_up_again(self, path: Path) -> None:
        """What is left of an opening that was killed before the store was there is no obstacle."""
        path.mkdir()
        for name in ("LOCK", "LOG", "IDENTITY", "MANIFEST-000001", "000001.dbtmp", "rocksdict-config.json"):
            (path / name).touch()
        (path / "rocksdict-config.json").unlink()

        async with opened(path) as backend:
            assert await backend.commit([append("a", 0, b"")]) == [None]

    async def test_a_newer_schema_is_refused(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A store of a newer version is refused with both versions."""
        monkeypatch.setattr(_database, "SCHEMA", 7)
        async with opened(path):
            pass
        monkeypatch.undo()

        assert "has schema version 7, and this perdure-rocksdb knows 1: upgrade it" in await refusal(path)
        assert "has schema version 7" in await refusal(path, "?mode=ro")

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may do anything")
    async def test_a_folder_without_permission_is_refused(self, path: Path) -> None:
        """A folder that may not be written is named."""
        path.mkdir(mode=0o500)

        assert "cannot be used" in await refusal(path)

    async def test_a_refused_folder_can_be_opened_later(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A refusal leaves no lock behind."""
        monkeypatch.setattr(_database, "SCHEMA", 7)
        async with opened(path):
            pass
        monkeypatch.undo()
        await refusal(path)

        monkeypatch.setattr(_database, "SCHEMA", 7)
        async with opened(path) as backend:
            assert await backend.last("events", "a") == 0

    async def test_threads_and_files_are_released(self, tmp_path: Path) -> None:
        """Opening and closing again and again leaves no thread and no open file."""
        counts, threads = [], []
        for number in range(6):
            async with opened(tmp_path / "store") as backend:
                await backend.commit([append(f"{number}", 0, b"")])
                await backend.feed("events")
            counts.append((threading.active_count(), _entries("fd")))
            threads.append(_entries("task"))

        assert len(set(counts[1:])) == 1
        assert threads[-1] - threads[1] <= 2  # RocksDB's own come and go, and are shared by all its stores

    async def test_a_store_that_was_not_closed_warns(self, path: Path) -> None:
        """A backend that is forgotten warns; it can be closed still."""
        backend = await open_backend(f"rocksdb:///{path}")

        with pytest.warns(ResourceWarning, match=r"RocksdbBackend .*store.* was never closed"):
            backend.__del__()  # type: ignore[attr-defined]

        await backend.close()


def _entries(kind: str) -> int:
    return len(os.listdir(f"/proc/self/{kind}")) if os.path.isdir("/proc/self") else 0


_OTHER = """
import asyncio, sys
from perdure import open_backend
from perdure.abc import LastKey, Put, WriteGroup


async def main(url, durability):
    backend = await open_backend(url, durability=durability)
    after = await backend.last("events", "a")
    while True:
        group = WriteGroup((Put("events", "a", after + 1, b"x" * 100),), (LastKey("events", "a", after),))
        assert await backend.commit([group]) == [None]
        after += 1
        print(after, flush=True)
        if not sys.stdin.readline():
            break


asyncio.run(main(*sys.argv[1:]))
"""


@asynccontextmanager
async def other_process(path: Path, durability: Durability = "full") -> AsyncIterator[Process]:
    """Run a process that appends an event at once and one for each line it is sent, and says the number of each."""
    arguments = (sys.executable, "-c", _OTHER, f"rocksdb:///{path}", durability)
    process = await asyncio.create_subprocess_exec(*arguments, stdin=PIPE, stdout=PIPE)
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"1\n"
        yield process
    finally:
        process.kill()
        await process.communicate()


async def one_more(process: Process) -> int:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"\n")
    return int(await process.stdout.readline())


class TestManyFiles:
    @pytest.fixture
    def tiny_files(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Have RocksDB begin a new file after 64 KiB when it compacts."""
        family = _tuning._family

        def tiny(*arguments: Any) -> Options:
            options = family(*arguments)
            options.set_target_file_size_base(64 * 1024)
            return options

        monkeypatch.setattr(_tuning, "_family", tiny)

    @pytest.fixture
    def few_handles(self) -> Iterator[int]:
        """Let this process have 100 files open."""
        resource = pytest.importorskip("resource")
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, limits[1]))
        yield 100
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)

    async def test_a_store_may_have_more_files_than_the_process_may_open(
        self, path: Path, tiny_files: None, few_handles: int
    ) -> None:
        """A store with more files than the process may have open is made, opened, read and written."""
        values = [os.urandom(70_000) for _ in range(300)]
        puts = [Put("events", "a", key, value) for key, value in enumerate(values, 1)]
        for half in (puts[::2], puts[1::2]):  # two files that have to be merged
            async with opened(path) as backend:
                await backend.commit([WriteGroup(tuple(half))])
        compact(path)
        assert len(list(path.glob("*.sst"))) > few_handles

        async with opened(path) as backend:
            found = [entry.value async for entry in backend.collection("events", "a").iterate()]
            assert await backend.commit([append("a", len(values), b"on")]) == [None]

        assert found == values


class TestOneWriter:
    async def test_a_second_opener_in_this_process_is_refused(self, backend: RocksdbBackend, path: Path) -> None:
        """While a backend has the folder no other of this process gets it; the first goes on."""
        reason = f"open: {path} is open already, in this process or another: close it there, or read it with ?mode=ro"

        assert await refusal(path) == reason
        assert await backend.commit([append("a", 0, b"")]) == [None]

    @pytest.mark.parametrize("durability", ["full", "relaxed"])
    async def test_a_second_process_is_refused(self, path: Path, durability: Durability) -> None:
        """While another process has the folder it is refused; when that was killed it is there, with what was told."""
        async with other_process(path, durability) as process:
            assert "is open already" in await refusal(path)
            assert await one_more(process) == 2

        async with opened(path) as backend:
            assert await backend.last("events", "a") == 2

    async def test_a_closed_folder_is_opened_at_once(self, path: Path) -> None:
        """As soon as close returns the folder can be opened, whatever was read, and however it failed."""
        for number in range(5):
            async with opened(path) as backend:
                await backend.commit([append(f"{number}", 0, b"")])
                reads = [asyncio.ensure_future(backend.feed("events")) for _ in range(3)]
                failure = await asyncio.gather(backend.commit([append("a", 9, bytes(9))]), return_exceptions=True)
                await asyncio.gather(*reads)
                assert failure is not None


class TestReadingBeside:
    async def test_a_reader_follows_a_writer(self, path: Path) -> None:
        """With mode=ro a store is read beside the process that writes it, and what that adds is seen."""
        async with other_process(path) as process, opened(path, "?mode=ro") as reader:
            seen = [await reader.last("events", "a")]
            for _ in range(3):
                await one_more(process)
                seen.append(await reader.last("events", "a"))

            assert seen == [1, 2, 3, 4]
            assert [record.key for record in (await reader.feed("events")).records] == [1, 2, 3, 4]
            assert await reader.prefixes("events") == ["a"]

    async def test_a_reader_in_the_same_process(self, backend: RocksdbBackend, path: Path) -> None:
        """A reader may be in the writer's process too, and reads states."""
        await backend.commit([append("a", 0, b"1"), WriteGroup((PutState("states", "a", b"one"),))])

        async with opened(path, "?mode=ro") as reader:
            await backend.commit([append("a", 1, b"2"), WriteGroup((PutState("states", "a", b"two"),))])

            assert await reader.collection("events", "a").get(2) == b"2"
            assert await reader.state("states", "a").get() == (2, b"two")

    async def test_a_reader_survives_compaction(self, backend: RocksdbBackend, path: Path) -> None:
        """A reader goes on when the writer has moved everything to other files."""
        await backend.commit([append("a", 0, *[bytes(100)] * 100)])
        async with opened(path, "?mode=ro") as reader:
            assert len((await reader.feed("events")).records) == 100
            for after in range(100, 130, 10):
                await backend.commit([append("a", after, *[bytes(100)] * 10)])
                await backend._writer.submit(lambda writer: _compact(writer.store.database))  # type: ignore[union-attr]

                assert await reader.last("events", "a") == after + 10
            assert len((await reader.feed("events")).records) == 130

    async def test_a_reader_writes_nothing(self, backend: RocksdbBackend, path: Path) -> None:
        """Commits and checkpoints of a reader are refused with the reason."""
        async with opened(path, "?mode=ro") as reader:
            with pytest.raises(StoreError, match=r"commit: .*store was opened with mode=ro, to be read"):
                await reader.commit([append("a", 0, b"")])
            with pytest.raises(StoreError, match="mode=ro"):
                await reader.checkpoint(path / "copy")

        assert await backend.last("events", "a") == 0

    async def test_a_reader_makes_no_store(self, tmp_path: Path) -> None:
        """Where there is no store a reader is refused, and makes none."""
        (tmp_path / "empty").mkdir()

        assert "empty holds no store" in await refusal(tmp_path / "empty", "?mode=ro")
        assert "missing holds no store" in await refusal(tmp_path / "missing", "?mode=ro")
        assert sorted(os.listdir(tmp_path)) == ["empty"]
        assert os.listdir(tmp_path / "empty") == []

    async def test_a_reader_leaves_no_files(
        self, backend: RocksdbBackend, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What a reader keeps in the folder for temporary files is gone when it is closed."""
        (tmp_path / "tmp").mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))

        async with opened(path, "?mode=ro") as reader:
            await reader.last("events", "a")

        assert os.listdir(tmp_path / "tmp") == []


def _compact(database: _database.Database) -> None:
    for family in (database.entries, database.feed):
        family.flush()
        family.compact_range(None, None)


class TestCheckpoints:
    async def test_a_checkpoint_is_a_store(self, backend: RocksdbBackend, tmp_path: Path) -> None:
        """A checkpoint holds what was committed until then, and is written apart from its origin."""
        await backend.commit([append("a", 0, b"1", b"2"), WriteGroup((PutState("states", "a", b"s"),))])
        offset = (await backend.feed("events")).offset

        await backend.checkpoint(tmp_path / "backups" / "monday")

        await backend.commit([append("a", 2, b"later")])
        async with opened(tmp_path / "backups" / "monday") as copy:
            assert [entry.value async for entry in copy.collection("events", "a").iterate()] == [b"1", b"2"]
            assert await copy.state("states", "a").get() == (1, b"s")
            assert await copy.commit([append("a", 2, b"its own")]) == [None]
            assert [record.value for record in (await copy.feed("events", offset)).records] == [b"its own"]
        assert await backend.collection("events", "a").get(3) == b"later"

    async def test_a_checkpoint_is_taken_under_load(self, backend: RocksdbBackend, tmp_path: Path) -> None:
        """A checkpoint beside commits holds a beginning of them."""

        async def write() -> None:
            for after in range(100):
                await backend.commit([append("a", after, b"%d" % after)])

        writing = asyncio.ensure_future(write())
        while await backend.last("events", "a") < 10:  # noqa: ASYNC110  nobody is there to tell
            await asyncio.sleep(0)
        await backend.checkpoint(tmp_path / "copy")
        await writing

        async with opened(tmp_path / "copy") as copy:
            keys = [entry.key async for entry in copy.collection("events", "a").iterate()]
        assert keys == list(range(1, len(keys) + 1))
        assert len(keys) >= 10

    async def test_a_folder_that_exists_is_refused(self, backend: RocksdbBackend, tmp_path: Path) -> None:
        """A checkpoint is never mixed with what is there."""
        with pytest.raises(StoreError, match=f"{tmp_path} exists already: name a new folder"):
            await backend.checkpoint(str(tmp_path))

    async def test_a_place_that_cannot_be_made_is_named(self, backend: RocksdbBackend, tmp_path: Path) -> None:
        """A checkpoint below a file is refused by name."""
        (tmp_path / "file").touch()

        with pytest.raises(StoreError, match=r"file/copy cannot be made"):
            await backend.checkpoint(tmp_path / "file" / "copy")


class TestFeed:
    """What is looked up in the order of logs comes in the order of commits."""

    async def test_what_was_put_again_is_passed_over_within_its_log(self, backend: RocksdbBackend) -> None:
        """An entry that was put again is no neighbour of those between which its number stands."""
        await backend.commit([append("a", 0, b"1", b"2", b"3")])
        await backend.commit([WriteGroup((Put("events", "a", 2, b"again"),))])

        page = await backend.feed("events", limit=2)

        assert page.records == [("a", 1, b"1"), ("a", 3, b"3")]
        assert (await backend.feed("events", page.offset)).records == [("a", 2, b"again")]

    async def test_large_values_of_logs_in_turn_are_all_there(self, backend: RocksdbBackend) -> None:
        """More than a page may hold, written to two logs in turn, comes whole and in turn."""
        value = os.urandom(1 << 20)
        for number in range(4):
            await backend.commit([append("a", number, value), append("b", number, value)])

        first = await backend.feed("events")
        second = await backend.feed("events", first.offset)

        assert [len(first.records), len(second.records)] == [4, 4]
        assert first.records + second.records == [(log, number, value) for number in range(1, 5) for log in "ab"]


class TestWrites:
    @pytest.mark.parametrize("name", ["bad-name", "", "Events", "x'", "a" * 49, "a\0"])
    async def test_names_are_validated_before_they_are_keys(self, backend: RocksdbBackend, name: str) -> None:
        """A name that is not of the plain kind never becomes a key, by any way in, nor does what comes with it."""
        reads = (
            lambda: backend.last(name, "a"),
            lambda: backend.read_state(name, "a"),
            lambda: backend.prefixes(name),
            lambda: backend.feed(name),
            lambda: backend.page(name, "a", 1, 2, limit=1, max_bytes=1),
        )
        for read in reads:
            with pytest.raises(InvalidIdentifier):
                await read()
        for write in (Put(name, "a", 1, b""), PutState(name, "a", b""), Delete(name, "a", 1), Purge(name, "a")):
            with pytest.raises(InvalidIdentifier):
                await backend.commit([append("a", 0, b"with the others"), WriteGroup((write,))])

        assert await backend.prefixes("events") == []

    @pytest.mark.parametrize(
        "write", [Put("events", "a\0b", 1, b""), Put("events", "a", 0, b""), PutState("s", "", b"")]
    )
    async def test_places_are_validated_before_they_are_keys(
        self, backend: RocksdbBackend, write: Put | PutState
    ) -> None:
        """A prefix with NUL, an empty one and a key out of range are refused in a commit, with the rest of it."""
        with pytest.raises(InvalidIdentifier):
            await backend.commit([append("a", 0, b"with the others"), WriteGroup((write,))])

        assert await backend.commit([append("a", 0, b"after")]) == [None]
        assert len((await backend.feed("events")).records) == 1

    @pytest.mark.parametrize("key", [1, 2])
    async def test_a_value_over_the_limit_is_refused(self, path: Path, key: int) -> None:
        """A value over the limit, appended or put in the place of another, is refused with its whole commit."""

        class Small(RocksdbBackend):
            max_value_bytes = 10

        backend = await Small.open(Settings(path=path))
        await backend.commit([append("a", 0, bytes(10))])

        for write in (Put("events", "a", key, bytes(11)), PutState("states", "a", bytes(11))):
            with pytest.raises(StoreError, match="11 bytes is over the limit of 10"):
                await backend.commit([append("b", 0, b""), WriteGroup((write,))])

        assert await backend.prefixes("events") == ["a"]
        await backend.close()

    @pytest.mark.parametrize("count", [3, 500])
    async def test_what_is_removed_leaves_nothing(self, backend: RocksdbBackend, path: Path, count: int) -> None:
        """After a purge neither the entries nor their places in the feed are stored, few or many."""
        await backend.commit([append("a", 0, *[b"x"] * count), append("b", 0, b"kept")])

        await backend.commit([WriteGroup((DeleteRange("events", "a", 2, count),))])
        await backend.commit([WriteGroup((Purge("events", "a"),))])

        assert await backend._writer.submit(lambda writer: _stored(writer.store.database)) == (1, 1)  # type: ignore[union-attr]

    @pytest.mark.parametrize("offset", ["x", "-1", "9999999999999999999", "1.5"])
    async def test_what_is_no_offset_is_refused(self, backend: RocksdbBackend, offset: str) -> None:
        """A feed is read after an offset of its own, or the mistake is named."""
        with pytest.raises(ValueError, match=r"offset|invalid literal"):
            await backend.feed("events", offset)


def _stored(database: _database.Database) -> tuple[int, int]:
    return len(list(database.entries.keys())), len(list(database.feed.keys()))


@contextmanager
def failing(backend: RocksdbBackend, monkeypatch: pytest.MonkeyPatch, *, written: bool) -> Iterator[None]:
    """Let the next sync fail, after RocksDB has the write or before."""
    opening = _database.Database.main.fget
    assert opening is not None
    left = [1]

    class Lying:
        def __init__(self, main: Any) -> None:
            self._main = main

        def write(self, batch: Any) -> None:
            if written or not left:
                self._main.write(batch)

        def flush_wal(self, sync: bool) -> None:
            if left.pop():
                raise Exception("IO error: While fsync: a file: Input/output error")

        def __getattr__(self, name: str) -> Any:
            return getattr(self._main, name)

    with monkeypatch.context() as patch:
        patch.setattr(
            _database.Database,
            "main",
            property(lambda database: Lying(opening(database)) if left else opening(database)),
        )
        yield


class TestFaults:
    async def test_a_write_that_failed_and_is_not_there_is_an_error(
        self, backend: RocksdbBackend, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """When the failed write is not in the folder the commit raises what failed, and the next goes on."""
        await backend.commit([append("a", 0, b"1")])

        with failing(backend, monkeypatch, written=False), pytest.raises(StoreError, match="Input/output") as caught:
            await backend.commit([append("a", 1, b"lost")])

        assert not isinstance(caught.value, OutcomeUnknown)
        assert await backend.commit([append("a", 1, b"2")]) == [None]
        assert [entry.value async for entry in backend.collection("events", "a").iterate()] == [b"1", b"2"]

    async def test_a_write_that_failed_and_is_there_is_done(
        self, backend: RocksdbBackend, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """When the failed write is in the folder after all, and the folder could be synced, the commit is done."""
        await backend.commit([append("a", 0, b"1")])

        with failing(backend, monkeypatch, written=True):
            assert await backend.commit([append("a", 1, b"2"), append("a", 0, b"")]) == [
                None,
                Conflict(LastKey("events", "a", 0), 2),
            ]

        assert await backend.commit([append("a", 2, b"3")]) == [None]

    async def test_reads_beside_a_failing_write_are_answered(
        self, backend: RocksdbBackend, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Reads that are under way while the folder is opened again get their answers."""
        await backend.commit([append("a", 0, *[b"x"] * 50)])

        with failing(backend, monkeypatch, written=False):
            commit = asyncio.ensure_future(backend.commit([append("a", 50, b"lost")]))
            pages = await asyncio.gather(*(backend.feed("events") for _ in range(50)))
            with pytest.raises(StoreError):
                await commit

        assert {len(page.records) for page in pages} == {50}

    async def test_a_folder_that_cannot_be_opened_again_is_read_as_it_stands(
        self, backend: RocksdbBackend, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """When even opening fails the outcome is unknown, reads are answered, commits fail; and then it goes on."""
        await backend.commit([append("a", 0, b"1")])

        def refused(settings: Settings) -> _database.Database:
            raise CreateStoreError("open", f"{settings.path} cannot be used: the disk is full")

        with monkeypatch.context() as patch, failing(backend, monkeypatch, written=False):
            patch.setattr("perdure_rocksdb._store.open_to_write", refused)
            with pytest.raises(OutcomeUnknown, match="disk is full"):
                await backend.commit([append("a", 1, b"lost")])
            with pytest.raises(StoreUnavailable, match="disk is full"):
                await backend.commit([append("a", 1, b"refused")])
            assert await backend.collection("events", "a").get(1) == b"1"

        assert await backend.commit([append("a", 1, b"2")]) == [None]
        assert await backend.last("events", "a") == 2

    async def test_a_damaged_file_is_an_error_to_read(self, path: Path) -> None:
        """Where a sorted file is damaged reading fails, by name of the file; it never gives wrong or fewer data."""
        async with opened(path) as backend:
            await backend.commit([append("a", n, os.urandom(500)) for n in range(2000)])
        damaged = max(path.glob("*.sst"), key=lambda file: file.stat().st_size)
        _overwrite(damaged, damaged.stat().st_size // 4, b"\xff" * 500)

        async with opened(path) as backend:
            with pytest.raises(StoreError, match=rf"Corruption: .*{damaged.name}.*restore it from a checkpoint"):
                assert [entry async for entry in backend.collection("events", "a").iterate()]
            with pytest.raises(StoreError, match="Corruption"):
                assert [await backend.collection("events", "a").get(n) for n in range(1, 2001)]
            assert await backend.last("events", "a") == 2000
        async with opened(path) as backend:  # the failures have left nothing that keeps it open
            assert await backend.last("events", "a") == 2000

    @pytest.mark.parametrize("kind", ["*.sst", "MANIFEST-*"])
    async def test_a_lost_file_is_named(self, path: Path, kind: str) -> None:
        """A store with a file missing is refused, with the name of the file."""
        async with opened(path) as backend:
            await backend.commit([append("a", 0, b"1")])
        lost = max(path.glob(kind))
        lost.unlink()

        reason = await refusal(path)

        assert f"{path} cannot be used" in reason
        assert lost.name in reason

    async def test_a_damaged_log_is_refused_or_cut(self, path: Path, tmp_path: Path) -> None:
        """Damage within the write-ahead log is named; with wal=cut what is before it is there."""
        async with opened(path) as backend:
            for after in range(100):
                await backend.commit([append("a", after, b"x" * 500)])
            shutil.copytree(path, tmp_path / "damaged")
        log = max((tmp_path / "damaged").glob("*.log"), key=lambda file: file.stat().st_size)
        _overwrite(log, log.stat().st_size // 2, b"\xff" * 50)

        reason = await refusal(tmp_path / "damaged")

        assert "damaged cannot be used: Corruption" in reason
        async with opened(tmp_path / "damaged", "?wal=cut") as backend:
            keys = [entry.key async for entry in backend.collection("events", "a").iterate()]
            assert keys == list(range(1, len(keys) + 1))
            assert 30 < len(keys) < 70
            assert await backend.commit([append("a", len(keys), b"on")]) == [None]

    @pytest.mark.parametrize("lost", [1, 40, 900])
    async def test_a_log_that_was_torn_at_its_end_is_a_store(self, path: Path, tmp_path: Path, lost: int) -> None:
        """Where the end of the log was never written, as a loss of power may leave it, all before it is there."""
        async with opened(path) as backend:
            for after in range(10):
                await backend.commit([append("a", after, b"x" * 500)])
            shutil.copytree(path, tmp_path / "torn")
        log = max((tmp_path / "torn").glob("*.log"), key=lambda file: file.stat().st_size)
        os.truncate(log, log.stat().st_size - lost)

        async with opened(tmp_path / "torn") as backend:
            assert await backend.last("events", "a") == (9 if lost < 500 else 8)

    async def test_a_damaged_event_is_named(self, path: Path) -> None:
        """Where an event's record was changed, its actor's recovery fails with the event's id and sequence number."""
        async with ActorSystem(store=f"rocksdb:///{path}") as system:
            for _ in range(3):
                await system.ref(Notes, "a").ask(Note("a note"))
            value = bytearray(await system.backend.collection("events", "Notes/a").get(2))
            value[-1] ^= 1
            await system.backend.collection("events", "Notes/a").put(2, bytes(value))

        async with ActorSystem(store=f"rocksdb:///{path}") as system:
            with pytest.raises(CorruptionError, match=r"Notes/a, sequence number 2: "):
                await system.ref(Notes, "a").ask(Note("another"))


def _overwrite(file: Path, place: int, content: bytes) -> None:
    with file.open("r+b") as opened:
        opened.seek(place)
        opened.write(content)


class Note(Message[int]):
    text: str


class Noted(Event):
    text: str


class Notes(PersistentActor[int, Noted]):
    initial_state = 0

    async def handle(self, message: Message[Any], context: Context) -> int:
        assert isinstance(message, Note)
        await self.persist(Noted(message.text))
        return self.state

    def apply(self, count: int, event: Noted) -> int:
        return count + 1
