"""What is particular to SQLite: the file, its tables, its faults."""

# ruff: noqa: ASYNC240  a test may wait for the disk

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from perdure import ActorSystem, Context, Event, Message, PersistentActor, open_backend
from perdure.abc import Conflict, Delete, LastKey, Purge, Put, PutState, StateVersion, WriteGroup
from perdure.errors import (
    CorruptionError,
    CreateStoreError,
    EntryNotFound,
    InvalidIdentifier,
    OutcomeUnknown,
    StoreBusy,
    StoreError,
)
from perdure_sqlite import SqliteBackend, _schema
from perdure_sqlite._reader import Reader
from perdure_sqlite._settings import Settings


@asynccontextmanager
async def opened(path: Path, options: str = "", **arguments: Any) -> AsyncIterator[SqliteBackend]:
    backend = await open_backend(f"sqlite:///{path}{options}", **arguments)
    assert isinstance(backend, SqliteBackend)
    try:
        yield backend
    finally:
        await backend.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
async def backend(path: Path) -> AsyncIterator[SqliteBackend]:
    async with opened(path) as backend:
        yield backend


@contextmanager
def shell(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the file as any program would."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def append(prefix: str, after: int, *values: bytes) -> WriteGroup:
    puts = (Put("events", prefix, after + number, value) for number, value in enumerate(values, 1))
    return WriteGroup(tuple(puts), (LastKey("events", prefix, after),))


async def on_writer(backend: SqliteBackend, job: Any) -> Any:
    """Run `job(connection)` on the writer's connection, in its thread."""
    return await backend._writer.submit(lambda writer: job(writer._connection))


class TestOpening:
    async def test_the_folder_is_made(self, tmp_path: Path) -> None:
        """The file's folder is made where it is missing, with its parents."""
        async with opened(tmp_path / "new" / "deep" / "store.db") as backend:
            await backend.commit([append("a", 0, b"")])

        assert (tmp_path / "new" / "deep" / "store.db").is_file()

    async def test_a_path_of_any_characters_is_one_file(self, tmp_path: Path) -> None:
        """Spaces, quotes and escapes in a path are part of the file's name."""
        async with opened(tmp_path / "a b'c%23%3F.db") as backend:
            await backend.commit([append("a", 0, b"")])

        assert (tmp_path / "a b'c#?.db").is_file()

    @pytest.mark.parametrize("content", [b"not a database, but long enough to have a header" * 100, b"\0" * 5000])
    async def test_a_file_that_is_no_database_is_refused(self, path: Path, content: bytes) -> None:
        """A file that is no database is refused by name, and left as it was."""
        path.write_bytes(content)

        with pytest.raises(CreateStoreError, match=r"store\.db cannot be used: file is not a database"):
            async with opened(path):
                pass

        assert path.read_bytes() == content

    async def test_an_empty_file_becomes_a_store(self, path: Path) -> None:
        """A file of no bytes is made a store."""
        path.touch()

        async with opened(path) as backend:
            assert await backend.commit([append("a", 0, b"")]) == [None]

    async def test_a_folder_is_no_file(self, tmp_path: Path) -> None:
        """A folder in place of the file is refused by name."""
        with pytest.raises(CreateStoreError, match="is a folder: name a file in it"):
            async with opened(tmp_path):
                pass

    async def test_a_file_is_no_folder(self, tmp_path: Path) -> None:
        """A file in place of the folder is refused by name."""
        (tmp_path / "file").touch()

        with pytest.raises(CreateStoreError, match=r"store\.db: its folder cannot be made"):
            async with opened(tmp_path / "file" / "store.db"):
                pass

    async def test_the_database_of_another_program_is_left_alone(self, path: Path) -> None:
        """A database that another program made is refused, and nothing in it is changed."""
        with shell(path) as connection:
            connection.execute("CREATE TABLE theirs (id)")
        before = path.read_bytes()

        with pytest.raises(CreateStoreError, match="a database of another program"):
            async with opened(path):
                pass

        assert path.read_bytes() == before

    async def test_a_newer_schema_is_refused(self, path: Path) -> None:
        """A file that a newer release has migrated is refused, naming both versions, and left as it was."""
        async with opened(path):
            pass
        with shell(path) as connection:
            connection.execute("PRAGMA user_version = 99")

        with pytest.raises(CreateStoreError, match="schema version 99, and this perdure-sqlite knows up to 1"):
            async with opened(path):
                pass

        with shell(path) as connection:
            assert connection.execute("PRAGMA user_version").fetchone() == (99,)

    async def test_an_older_schema_is_migrated(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file of an older schema version is taken through every later one, and keeps what it holds."""
        async with opened(path) as backend:
            await backend.commit([append("a", 0, b"kept")])
        monkeypatch.setattr(
            _schema, "MIGRATIONS", [*_schema.MIGRATIONS, "CREATE TABLE two (id);\n", "CREATE TABLE three (id);\n"]
        )

        async with opened(path) as backend:
            assert await backend.collection("events", "a").get(1) == b"kept"

        with shell(path) as connection:
            assert connection.execute("PRAGMA user_version").fetchone() == (3,)
            assert connection.execute("SELECT name FROM sqlite_master WHERE name IN ('two', 'three')").fetchall() == [
                ("two",),
                ("three",),
            ]

    async def test_a_failed_migration_changes_nothing(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """When a migration fails the file stays at the version that it had."""
        async with opened(path):
            pass
        broken = "CREATE TABLE two (id);\nCREATE TABLE catalog (id);\n"

        with monkeypatch.context() as patch, pytest.raises(CreateStoreError, match="table catalog already exists"):
            patch.setattr(_schema, "MIGRATIONS", [*_schema.MIGRATIONS, broken])
            async with opened(path):
                pass

        async with opened(path) as backend:
            assert await on_writer(backend, lambda c: c.execute("PRAGMA user_version").fetchone()) == (1,)

    async def test_a_file_that_cannot_be_written_is_refused(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file that can be read but not written is refused at opening, not at the first commit."""
        async with opened(path):
            pass
        connect = sqlite3.connect
        monkeypatch.setattr(sqlite3, "connect", lambda p, **options: connect(f"file:{p}?mode=ro", uri=True, **options))

        with pytest.raises(CreateStoreError, match=r"store\.db cannot be used: attempt to write a readonly database"):
            async with opened(path):
                pass

    @pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind the superuser")
    async def test_a_folder_that_cannot_be_written_is_refused(self, tmp_path: Path) -> None:
        """A file that cannot be made in its folder is refused by name."""
        tmp_path.chmod(0o500)

        with pytest.raises(CreateStoreError, match=r"store\.db cannot be used"):
            async with opened(tmp_path / "store.db"):
                pass

    @pytest.mark.parametrize(("durability", "synchronous"), [("full", 2), ("relaxed", 1)])
    async def test_durability_is_what_sqlite_is_told(self, path: Path, durability: str, synchronous: int) -> None:
        """Full durability is synchronous=FULL, relaxed is NORMAL, both with a write-ahead log."""
        async with opened(path, durability=durability) as backend:
            pragmas = await on_writer(
                backend,
                lambda c: [c.execute(f"PRAGMA {name}").fetchone()[0] for name in ("synchronous", "journal_mode")],
            )

        assert pragmas == [synchronous, "wal"]

    async def test_a_cancelled_opening_leaves_nothing(self, path: Path) -> None:
        """An opening that is cancelled leaves no thread behind, and the file can be opened again."""
        threads = threading.active_count()
        opening = asyncio.ensure_future(open_backend(f"sqlite:///{path}"))
        await asyncio.sleep(0)

        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)

        assert threading.active_count() == threads
        async with opened(path) as backend:
            assert await backend.commit([append("a", 0, b"")]) == [None]

    async def test_a_forgotten_backend_is_warned_about(self, path: Path) -> None:
        """A backend that is collected without being closed warns."""
        backend = await SqliteBackend.open(Settings(path=path))
        writer, readers = backend._writer, backend._readers

        with pytest.warns(ResourceWarning, match=r"store\.db> was never closed"):
            backend.__del__()

        assert readers is not None
        await backend.close()
        assert writer._threads == []


async def all_read(backend: SqliteBackend) -> None:
    """Have every reader use its connection: SQLite opens some of its files at the first query."""
    assert backend._readers is not None
    together = threading.Barrier(backend.settings.readers)

    def read(reader: Reader) -> int:
        together.wait(10)
        return reader.last("events", "first")

    await asyncio.gather(*(backend._readers.submit(read) for _ in range(backend.settings.readers)))


class TestClosing:
    async def test_closing_leaves_one_file(self, path: Path) -> None:
        """Closing brings everything into the one file: no write-ahead log stays beside it."""
        async with opened(path) as backend:
            await backend.commit([append("a", 0, *[bytes(1000)] * 100)])

        assert [file.name for file in path.parent.iterdir()] == ["store.db"]

    async def test_closing_beside_another_process_keeps_its_file(self, path: Path) -> None:
        """A store that is closed while another has the file open leaves everything readable to it."""
        async with opened(path) as other:
            async with opened(path) as backend:
                await backend.commit([append("a", 0, b"1")])

            assert await other.collection("events", "a").get(1) == b"1"
            assert await other.commit([append("a", 1, b"2")]) == [None]

    async def test_closing_ends_the_threads(self, path: Path) -> None:
        """Closing ends the threads and gives back the file handles."""
        threads, handles = threading.active_count(), _handles()

        async with opened(path) as backend:
            await asyncio.gather(*(backend.last("events", f"{n}") for n in range(100)))

        assert (threading.active_count(), _handles()) == (threads, handles)

    async def test_handles_and_threads_are_constant(self, path: Path) -> None:
        """However many logs there are, the file handles and threads are as many as for one."""
        async with opened(path) as backend:
            await backend.commit([append("first", 0, b"")])
            await all_read(backend)
            before = threading.active_count(), _handles()

            await backend.commit([append(f"{n}", 0, b"") for n in range(2000)])
            await asyncio.gather(*(backend.last("events", f"{n}") for n in range(2000)))

            assert (threading.active_count(), _handles()) == before


def _handles() -> int:
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


class TestTables:
    async def test_a_log_can_be_read_with_plain_sqlite(self, backend: SqliteBackend, path: Path) -> None:
        """The view of a collection shows positions, prefixes, keys, sizes and text to any program."""
        await backend.commit([append("account/alice", 0, b'{"amount":10}', b'{"amount":20}'), append("bob", 0, b"x")])

        with shell(path) as connection:
            rows = connection.execute("SELECT * FROM log_events ORDER BY position").fetchall()

        assert rows == [
            (1, "account/alice", 1, 13, '{"amount":10}'),
            (2, "account/alice", 2, 13, '{"amount":20}'),
            (3, "bob", 1, 1, "x"),
        ]

    async def test_a_state_can_be_read_with_plain_sqlite(self, backend: SqliteBackend, path: Path) -> None:
        """The table of a state shows prefix, version and value to any program."""
        await backend.state("offsets", "a").put(b"one")

        with shell(path) as connection:
            assert connection.execute("SELECT * FROM state_offsets").fetchall() == [("a", 1, b"one")]

    @pytest.mark.parametrize("name", ["users; DROP TABLE x", "bad-name", "", "Events", "x'", "a" * 49])
    async def test_names_are_validated_before_they_are_sql(self, backend: SqliteBackend, name: str) -> None:
        """A name that is not of the plain kind never reaches the database, by any way in (ATS-25)."""
        reads = (
            lambda: backend.last(name, "a"),
            lambda: backend.read_state(name, "a"),
            lambda: backend.prefixes(name),
            lambda: backend.feed(name),
            lambda: backend.page(name, "a", 1, 2, limit=1, max_bytes=1),
            lambda: backend.pages(name, ["a"], limit=1, max_bytes=1),
            lambda: backend.read_states(name, ["a"], max_bytes=1),
        )
        for read in reads:
            with pytest.raises(InvalidIdentifier):
                await read()
        for write in (Put(name, "a", 1, b""), PutState(name, "a", b""), Delete(name, "a", 1), Purge(name, "a")):
            with pytest.raises(InvalidIdentifier):
                await backend.commit([append("a", 0, b"with the others"), WriteGroup((write,))])

        assert await backend.prefixes("events") == []

    async def test_a_nul_does_not_end_a_prefix(self, backend: SqliteBackend) -> None:
        """What is read of many prefixes is not that of a shorter one."""
        await backend.commit([append("a", 0, b"one"), WriteGroup((PutState("offsets", "a", b"one"),))])

        for read in (
            lambda: backend.pages("events", ["a\0b"], limit=1, max_bytes=1),
            lambda: backend.read_states("offsets", ["a\0b"], max_bytes=1),
        ):
            with pytest.raises(InvalidIdentifier):
                await read()

    @pytest.mark.parametrize(
        ("read", "found"),
        [
            (lambda reader: reader.pages("events", ["a"], 10, 100), [([(1, b"one")], False)]),
            (lambda reader: reader.read_states("offsets", ["a"], 100), [(1, b"one")]),
        ],
        ids=["pages", "read_states"],
    )
    async def test_what_is_read_of_many_is_one_moment(
        self, backend: SqliteBackend, path: Path, read: Callable[[Reader], object], found: object
    ) -> None:
        """Another process may write after the query for the sizes, and before that for the values."""
        await backend.commit([append("a", 0, b"one"), WriteGroup((PutState("offsets", "a", b"one"),))])

        class Overtaken(Reader):
            def _row(self, *arguments: Any) -> Any:
                row = super()._row(*arguments)
                with shell(path) as connection:
                    connection.execute("UPDATE collection_events SET value = 'another'")
                    connection.execute("UPDATE state_offsets SET value = 'another'")
                return row

        with closing(Overtaken(_schema.connect_reader(backend.settings))) as reader:
            assert read(reader) == found

    @pytest.mark.parametrize("kind", ["collection", "state"])
    async def test_a_lost_table_is_an_error_to_read(self, backend: SqliteBackend, path: Path, kind: str) -> None:
        """Reading what was dropped behind our back fails; it is never reported as not found."""
        await backend.commit([WriteGroup((Put("things", "a", 1, b""), PutState("things", "a", b"")))])
        with shell(path) as connection:
            connection.execute(f"DROP TABLE {kind}_things")

        with pytest.raises(StoreError, match=f"no such table: {kind}_things") as caught:
            await (
                backend.collection("things", "a").get(1) if kind == "collection" else backend.state("things", "a").get()
            )

        assert not isinstance(caught.value, EntryNotFound)

    async def test_a_lost_table_is_an_error_to_write(self, backend: SqliteBackend, path: Path) -> None:
        """Writing to what was dropped behind our back fails each time; the log does not begin anew."""
        await backend.commit([append("a", 0, b"1")])
        with shell(path) as connection:
            connection.execute("DROP TABLE collection_events")

        for group in (append("a", 1, b"2"), append("a", 1, b"2"), append("b", 0, b"1")):
            with pytest.raises(StoreError, match="no such table: collection_events"):
                await backend.commit([group])

    async def test_a_failed_read_leaves_the_others_working(self, backend: SqliteBackend, path: Path) -> None:
        """After reads that failed, in every reader, what is not lost can be read and written."""
        await backend.commit([WriteGroup((Put("things", "a", 1, b""), Put("others", "a", 1, b"kept")))])
        with shell(path) as connection:
            connection.execute("DROP TABLE collection_things")

        failed = await asyncio.gather(*(backend.last("things", "a") for _ in range(20)), return_exceptions=True)

        assert all(isinstance(error, StoreError) for error in failed)
        assert await backend.collection("others", "a").get(1) == b"kept"

    @pytest.mark.parametrize("key", [1, 2])
    async def test_a_value_over_the_limit_is_refused(self, path: Path, key: int) -> None:
        """A value over the limit, appended or put in the place of another, is refused with its whole commit."""

        class Small(SqliteBackend):
            max_value_bytes = 10

        backend = await Small.open(Settings(path=path))
        await backend.commit([append("a", 0, bytes(10))])

        for write in (Put("events", "a", key, bytes(11)), PutState("states", "a", bytes(11))):
            with pytest.raises(StoreError, match="11 bytes is over the limit of 10"):
                await backend.commit(
                    [append("b", 0, b""), WriteGroup((write,)), WriteGroup((Delete("events", "a", 9),))]
                )

        assert await backend.prefixes("events") == ["a"]
        await backend.close()


class TestFaults:
    async def test_a_write_from_elsewhere_is_seen_by_the_next_commit(self, path: Path) -> None:
        """When another has written since, expectations are held against what it wrote: the log does not fork.

        (ATS-30)
        """
        async with opened(path) as one, opened(path) as other:
            for after in range(0, 20, 2):
                assert await one.commit([append("a", after, b"one")]) == [None]
                assert await other.commit([append("a", after + 1, b"other")]) == [None]
                stale = append("a", after + 1, b"stale")

                assert await one.commit([stale]) == [Conflict(stale.expectations[0], after + 2)]

            assert [entry.value async for entry in one.collection("events", "a").iterate()] == [b"one", b"other"] * 10

    async def test_new_logs_and_states_from_elsewhere_are_seen(self, path: Path) -> None:
        """Logs and states that another made, and put in other collections, get in nobody's way."""
        async with opened(path) as one, opened(path) as other:
            for number in range(20):
                backend = (one, other)[number % 2]
                writes = (Put("events", f"{number}", 1, b"%d" % number), PutState(f"s{number % 3}", "a", b""))
                expectations = (LastKey("events", f"{number}", 0), StateVersion(f"s{number % 3}", "a", number // 3))

                assert await backend.commit([WriteGroup(writes, expectations)]) == [None]

            assert [await one.collection("events", f"{n}").get(1) for n in range(20)] == [b"%d" % n for n in range(20)]

    async def test_a_purge_from_elsewhere_is_seen(self, path: Path) -> None:
        """A log that another purged is empty to the next commit, and its new entries are found."""
        async with opened(path) as one, opened(path) as other:
            await one.commit([append("a", 0, b"old"), append("b", 0, b"kept")])
            await other.collection("events", "a").purge()
            await other.commit([append("c", 0, b"new")])

            outcomes = await one.commit([append("a", 1, b"stale"), append("a", 0, b"new"), append("c", 1, b"next")])

            assert outcomes == [Conflict(LastKey("events", "a", 1), 0), None, None]
            assert await other.collection("events", "a").get(1) == b"new"
            assert await other.collection("events", "b").get(1) == b"kept"

    async def test_a_writer_that_holds_on_too_long_is_named(self, path: Path) -> None:
        """A commit that waited for another writer beyond the limit raises StoreBusy; later ones go on.

        (ATS-26, ATS-30)
        """
        async with opened(path, "?busy_timeout=0.05") as backend:
            await backend.commit([append("a", 0, b"1")])
            with shell(path) as connection:
                connection.execute("BEGIN IMMEDIATE")

                for group in (append("a", 1, b"2"), append("new", 0, b"1")):
                    with pytest.raises(StoreBusy, match="another writer holds the file"):
                        await backend.commit([group])
                assert await backend.collection("events", "a").get(1) == b"1"

                connection.execute("ROLLBACK")

            assert await backend.commit([append("a", 1, b"2")]) == [None]

    async def test_without_patience_a_writer_is_not_waited_for(self, path: Path) -> None:
        """With a busy_timeout of 0 a commit beside another writer fails at once (ATS-26)."""
        async with opened(path, "?busy_timeout=0") as backend:
            await backend.commit([append("a", 0, b"1")])
            with shell(path) as connection:
                connection.execute("BEGIN IMMEDIATE")

                with pytest.raises(StoreBusy, match="another writer holds the file"):
                    await backend.commit([append("a", 1, b"2")])

    async def test_each_connection_is_as_patient_as_the_url_says(self, path: Path) -> None:
        """Those that read too, from the first call on (ATS-26)."""
        async with opened(path, "?busy_timeout=1.25") as backend:
            assert backend._readers is not None
            for submit in (backend._writer.submit, backend._readers.submit):
                [timeout] = await submit(lambda user: user._connection.execute("PRAGMA busy_timeout").fetchone())

                assert timeout == 1250

    async def test_a_writer_that_lets_go_in_time_is_waited_for(self, backend: SqliteBackend, path: Path) -> None:
        """A commit waits for another writer that ends within the limit (ATS-26)."""
        await backend.commit([append("a", 0, b"1")])
        with shell(path) as connection:
            connection.execute("BEGIN IMMEDIATE")
            commit = asyncio.ensure_future(backend.commit([append("a", 1, b"2")]))
            await backend.last("events", "a")
            assert not commit.done()

            connection.execute("ROLLBACK")

            assert await commit == [None]

    async def test_the_loop_goes_on_while_a_commit_waits(self, backend: SqliteBackend, path: Path) -> None:
        """While a commit waits for another writer the event loop turns, and reads are answered."""
        await backend.commit([append("a", 0, b"1")])
        with shell(path) as connection:
            connection.execute("BEGIN IMMEDIATE")
            commit = asyncio.ensure_future(backend.commit([append("a", 1, b"2")]))

            for _ in range(20):
                assert await backend.last("events", "a") == 1

            connection.execute("ROLLBACK")
        assert await commit == [None]

    async def test_a_full_disk_is_named_and_nothing_acknowledged_is_lost(self, backend: SqliteBackend) -> None:
        """When the disk is full commits fail and say why; what was acknowledged stays, and with space it goes on.

        (ATS-29)
        """
        await backend.commit([append("a", 0, b"1")])
        [pages] = await on_writer(backend, lambda c: c.execute("PRAGMA page_count").fetchone())
        await on_writer(backend, lambda c: c.execute(f"PRAGMA max_page_count = {pages}").fetchone())

        for group in (append("a", 1, bytes(100_000)), append("new", 0, bytes(100_000))):
            with pytest.raises(StoreError, match="disk is full"):
                await backend.commit([group])
        assert await backend.last("events", "a") == 1

        await on_writer(backend, lambda c: c.execute("PRAGMA max_page_count = 1000000").fetchone())
        assert await backend.commit([append("a", 1, bytes(100_000)), append("new", 0, b"1")]) == [None, None]
        assert [entry.key async for entry in backend.collection("events", "a").iterate()] == [1, 2]

    async def test_a_commit_that_failed_after_it_was_written_is_unknown(
        self, backend: SqliteBackend, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A failure after which the pages may be on disk is OutcomeUnknown, and what was written counts afterwards."""
        await backend.commit([append("a", 0, b"1")])
        writer: Any = await backend._writer.submit(lambda writer: writer)
        monkeypatch.setattr(writer, "_connection", _LyingConnection(writer._connection))

        with pytest.raises(OutcomeUnknown, match="SQLITE_IOERR_FSYNC"):
            await backend.commit([append("a", 1, b"2")])

        assert await backend.commit([append("a", 1, b"stale")]) == [Conflict(LastKey("events", "a", 1), 2)]
        assert await backend.commit([append("a", 2, b"3")]) == [None]

    async def test_a_damaged_page_is_an_error_to_read(self, path: Path) -> None:
        """Where the file's pages are damaged, reading fails and says that the file is; it never gives wrong data."""
        async with opened(path) as backend:
            await backend.commit([append("a", n, bytes([n % 256]) * 500) for n in range(2000)])
        with path.open("r+b") as file:
            file.seek(path.stat().st_size // 8192 * 4096)
            file.write(b"\xff" * 4096 * 20)

        async with opened(path) as backend:
            with pytest.raises(StoreError, match=r"malformed .*restore the file from a backup"):
                assert [entry async for entry in backend.collection("events", "a").iterate()]

    async def test_a_damaged_event_is_named(self, path: Path) -> None:
        """Where a byte of an event was flipped, its actor's recovery fails with the event's id and sequence number."""
        async with ActorSystem(store=f"sqlite:///{path}") as system:
            for _ in range(3):
                await system.ref(Notes, "a").ask(Note("a note that can be found in the file"))
        content = path.read_bytes()
        place = content.rindex(b"a note that can be found")
        path.write_bytes(content[:place] + b"X" + content[place + 1 :])

        async with ActorSystem(store=f"sqlite:///{path}") as system:
            with pytest.raises(CorruptionError, match=r"Notes/a, sequence number \d: ") as caught:
                await system.ref(Notes, "a").ask(Note("another"))

        assert caught.value.sequence_number in (1, 2, 3)

    async def test_values_that_were_changed_to_other_sizes_are_an_error(
        self, backend: SqliteBackend, path: Path
    ) -> None:
        """A value that somebody has replaced by text is not cut into wrong values."""
        await backend.commit([append("a", 0, b"one", b"two")])
        with shell(path) as connection:
            connection.execute("UPDATE collection_events SET value = 'zwölf' WHERE key = 1")

        with pytest.raises(StoreError, match="the file is damaged"):
            await backend.collection("events", "a").get(1)


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


class _LyingConnection:
    """Executes, and says of the first append that it failed."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._lied = False

    def execute(self, statement: str, *parameters: Any) -> sqlite3.Cursor:
        cursor = self._connection.execute(statement, *parameters)
        if statement.startswith("INSERT INTO collection_") and not self._lied:
            self._lied = True
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorname = "SQLITE_IOERR_FSYNC"
            raise error
        return cursor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)
