"""What snapshots are in an object store: how they are called, what they say of themselves, how they get there."""

from __future__ import annotations

import asyncio
import os
import re
import stat
import sys
import time
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from obstore.exceptions import AlreadyExistsError, GenericError, PermissionDeniedError, PreconditionError
from obstore.store import LocalStore, MemoryStore

from perdure.abc import MAX_KEY
from perdure.errors import CreateStoreError, DamagedSnapshot, StoreError, StoreUnavailable, UnknownBackend
from perdure.snapshots import CollectionSnapshots, ObjectSnapshots, SnapshotStore, open_snapshots
from perdure.snapshots._names import folder_of, name_of
from perdure.snapshots._wrapping import WrongObjectError, unwrap, wrap
from perdure_testkit._contract._material import IDS


class Recorded:
    """An object store that notes its calls; a test may put something in the place of one."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.calls: list[tuple[Any, ...]] = []
        self.instead: list[Callable[..., Any] | Exception | None] = []

    def put(self, path: str, file: bytes, *, mode: Any = None, use_multipart: bool | None = None) -> Any:
        kind = mode if isinstance(mode, str) else "update"
        return self._do("put", path, kind, lambda: self.store.put(path, file, mode=mode))

    def get(self, path: str) -> Any:
        return self._do("get", path, lambda: self.store.get(path))

    def delete(self, paths: Any) -> None:
        self._do("delete", paths, lambda: self.store.delete(paths))

    def list(self, prefix: str | None = None, *, chunk_size: int = 50) -> Any:
        self.calls.append(("list", prefix))
        return self.store.list(prefix, chunk_size=chunk_size)

    def _do(self, *call: Any) -> Any:
        *said, do = call
        self.calls.append(tuple(said))
        instead = self.instead.pop(0) if self.instead else None
        if isinstance(instead, Exception):
            raise instead
        if instead is not None:
            instead()
        return do()

    def done(self) -> list[str]:
        return [" ".join((call[0], *call[2:])) for call in self.calls]


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


@pytest.fixture
async def snapshots(recorded: Recorded) -> AsyncIterator[SnapshotStore]:
    store = ObjectSnapshots(recorded, "prefix")
    yield store
    await store.close()


PATH = f"prefix/a/{name_of(5)}"


def test_names_are_readable_and_plain() -> None:
    """An id of plain characters is its own folder, other bytes are escaped."""
    assert [folder_of(identity) for identity in ("cart-1_a", "Account/alice", "..", "é", "a b")] == [
        "cart-1_a",
        "=41ccount=2falice",
        "=2e=2e",
        "=c3=a9",
        "a=20b",
    ]
    assert name_of(100) == "00000000000000000100.snapshot"
    assert len(name_of(MAX_KEY)) == len(name_of(1))


def test_names_are_valid_everywhere() -> None:
    """A folder is one component of at most 160 plain characters, never a device, and no two are alike in any case."""
    folders = [folder_of(identity) for identity in IDS]

    assert len({folder.casefold() for folder in folders}) == len(IDS)
    assert [folder for folder in folders if re.fullmatch(r"[a-z0-9_=-]{1,160}", folder) is None] == []
    assert folder_of("con") == "=63on"


def test_an_id_that_is_too_long_ends_with_its_hash() -> None:
    """What would be cut is told apart by its SHA-256, after a beginning that can be read."""
    folder = folder_of("x" * 1024)

    assert re.fullmatch(r"x{80}==[0-9a-f]{64}", folder)
    assert folder != folder_of("x" * 1023)
    assert re.fullmatch(r"x(=c3=a9){13}==[0-9a-f]{64}", folder_of("x" + "é" * 100))


def test_an_object_says_what_it_is() -> None:
    """The record comes back for the id and the number that it was wrapped for."""
    assert unwrap("Account/é", 7, wrap("Account/é", 7, b"record")) == b"record"
    assert unwrap("a", MAX_KEY, wrap("a", MAX_KEY, b"")) == b""


@pytest.mark.parametrize("size", range(0, 70, 3))
def test_a_part_of_an_object_is_no_object(size: int) -> None:
    """Whatever is missing of an object, it is noticed."""
    body = wrap("a", 5, b"the record")

    with pytest.raises(WrongObjectError):
        unwrap("a", 5, body[: min(size, len(body) - 1)])


def test_a_changed_byte_is_noticed() -> None:
    """There is no byte of an object that could change unseen."""
    body = wrap("a", 5, b"the record")

    for place in range(len(body)):
        with pytest.raises(WrongObjectError):
            unwrap("a", 5, body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :])


def object_of(identity: bytes) -> bytes:
    """Return an object of an id that is no text, such as only somebody writes who means it."""
    rest = len(identity).to_bytes(2, "big") + (5).to_bytes(8, "big") + bytes(8) + identity
    return b"perdure\x01" + sha256(rest).digest() + rest


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "it has 0 bytes, and no snapshot has so few"),
        (b"x" * 100, "it is no snapshot of perdure"),
        (b"perdure\x02" + bytes(100), "it is in version 2 of the format, and this perdure reads version 1"),
        (wrap("a", 5, b"the record")[:-4], "it has 65 of 69 bytes"),
        (wrap("a", 5, b"the record")[:-1] + b"D", "its checksum is wrong"),
        (wrap("b", 5, b"the record"), "it is a snapshot of another persistence id"),
        (object_of(b"\xff"), "it is a snapshot of another persistence id"),
        (wrap("a", 6, b"the record"), "it is the snapshot at 6"),
    ],
)
async def test_a_damaged_object_is_named(
    snapshots: SnapshotStore, recorded: Recorded, body: bytes, reason: str
) -> None:
    """An object that is not what its name says is named with the reason; the one below it is whole (ATS-92)."""
    await snapshots.save("a", 4, b"below")
    recorded.store.put(PATH, body)

    with pytest.raises(DamagedSnapshot) as caught:
        await snapshots.newest("a")

    assert (caught.value.persistence_id, caught.value.sequence_number) == ("a", 5)
    assert str(caught.value) == f"a, sequence number 5: the object {PATH} is not what was saved: {reason}"
    assert await snapshots.newest("a", caught.value.sequence_number - 1) == (4, b"below")


async def test_a_damaged_oldest_is_named(snapshots: SnapshotStore, recorded: Recorded) -> None:
    """The oldest is not passed over either."""
    await snapshots.save("a", 6, b"above")
    recorded.store.put(PATH, b"")

    with pytest.raises(DamagedSnapshot, match="sequence number 5"):
        await snapshots.oldest("a")


async def test_what_is_damaged_on_its_way_is_read_again(snapshots: SnapshotStore, recorded: Recorded) -> None:
    """An object that is damaged once and whole the next time is whole."""
    recorded.store.put(PATH, b"half")

    def mend() -> None:
        recorded.store.put(PATH, wrap("a", 5, b"whole"))

    recorded.instead = [None, mend]

    assert await snapshots.newest("a") == (5, b"whole")


async def test_a_save_replaces_a_damaged_object(snapshots: SnapshotStore, recorded: Recorded) -> None:
    """Saving again mends what is damaged."""
    recorded.store.put(PATH, b"half")

    await snapshots.save("a", 5, b"whole")

    assert await snapshots.newest("a") == (5, b"whole")


async def test_foreign_objects_are_not_looked_at(snapshots: SnapshotStore, recorded: Recorded) -> None:
    """What has another name, or lies deeper, is no snapshot, and no delete removes it (ATS-87)."""
    foreign = [
        *("prefix/a/5.snapshot", "prefix/a/00000000000000000009.snapshot.part", "prefix/a/state.json"),
        *(f"prefix/a/b/{name_of(9)}", f"prefix/ab/{name_of(9)}", f"prefix/{name_of(9)}"),
    ]
    for path in foreign:
        recorded.store.put(path, b"foreign")
    await snapshots.save("a", 5, b"5")

    assert await snapshots.newest("a") == (5, b"5")
    await snapshots.delete("a", MAX_KEY + 1)

    assert await snapshots.newest("a") is None
    assert sorted(meta["path"] for meta in recorded.store.list().collect()) == sorted(foreign)


async def test_only_the_folder_of_an_id_is_listed(snapshots: SnapshotStore, recorded: Recorded) -> None:
    """Whatever is asked of an id, nothing else is listed, and one object is read."""
    for number in range(1, 6):
        await snapshots.save("Account/a", number, b"")
    recorded.calls.clear()

    await snapshots.newest("Account/a")
    await snapshots.newest("Account/a", 3)
    await snapshots.oldest("Account/a")
    await snapshots.delete("Account/a", 5)

    folder = "prefix/=41ccount=2fa"
    assert {call for call in recorded.calls if call[0] == "list"} == {("list", folder)}
    assert [call[1] for call in recorded.calls if call[0] == "get"] == [f"{folder}/{name_of(n)}" for n in (5, 3, 1)]


async def test_a_first_save_is_one_conditional_put(snapshots: SnapshotStore, recorded: Recorded) -> None:
    """What is new is created on the condition that it is new, and nothing is read for it (ATS-88)."""
    await snapshots.save("a", 5, b"5")

    assert recorded.done() == ["put create"]


async def test_a_save_of_the_same_is_done_when_it_is_there(snapshots: SnapshotStore, recorded: Recorded) -> None:
    """A save whose first answer was lost finds its own object, and is done."""
    await snapshots.save("a", 5, b"5")
    recorded.calls.clear()

    await snapshots.save("a", 5, b"5")

    assert recorded.done() == ["put create", "get"]


async def test_another_snapshot_is_replaced_on_its_e_tag(snapshots: SnapshotStore, recorded: Recorded) -> None:
    """What is there and different is replaced on the condition that it is still that (ATS-88)."""
    await snapshots.save("a", 5, b"5")
    recorded.calls.clear()

    await snapshots.save("a", 5, b"other")

    assert recorded.done() == ["put create", "get", "put update"]


async def test_a_lost_race_is_run_again(snapshots: SnapshotStore, recorded: Recorded) -> None:
    """Who finds that another writer came between looks again (ATS-88)."""
    await snapshots.save("a", 5, b"5")
    recorded.calls.clear()

    def between() -> None:
        recorded.store.put(PATH, wrap("a", 5, b"another's"))

    recorded.instead = [None, None, between]
    await snapshots.save("a", 5, b"own")

    assert recorded.done() == ["put create", "get", "put update", "put create", "get", "put update"]
    assert await snapshots.newest("a") == (5, b"own")


async def test_an_object_removed_during_a_race_is_created(snapshots: SnapshotStore, recorded: Recorded) -> None:
    """What was there for the put and not for the get is created after all."""
    await snapshots.save("a", 5, b"5")

    def between() -> None:
        recorded.store.delete(PATH)

    recorded.instead = [None, between]
    await snapshots.save("a", 5, b"own")

    assert await snapshots.newest("a") == (5, b"own")


async def test_a_race_is_not_run_for_ever(snapshots: SnapshotStore, recorded: Recorded) -> None:
    """Who loses every race says that the store is unavailable, naming the object."""
    await snapshots.save("a", 5, b"5")
    recorded.instead = [None, None, PreconditionError("changed")] * 16

    with pytest.raises(StoreUnavailable, match=rf"save: {PATH} was written by others 16 times"):
        await snapshots.save("a", 5, b"own")


@pytest.mark.parametrize("known", [[], [AlreadyExistsError("there"), None]], ids=["create", "update"])
async def test_a_store_without_conditions_is_written_without(
    snapshots: SnapshotStore, recorded: Recorded, known: list[Exception | None]
) -> None:
    """Where there is no conditional put, an atomic one replaces."""
    await snapshots.save("a", 5, b"5")
    recorded.instead = [*known, NotImplementedError("no conditions")]

    await snapshots.save("a", 5, b"own")

    assert recorded.done()[-1] == "put overwrite"
    assert await snapshots.newest("a") == (5, b"own")


async def test_an_object_that_is_removed_while_it_is_read_is_gone(snapshots: SnapshotStore, recorded: Recorded) -> None:
    """What was listed and is not found is looked for again, and the next older is the newest."""
    await snapshots.save("a", 4, b"4")
    await snapshots.save("a", 5, b"5")

    def between() -> None:
        recorded.store.delete(PATH)

    recorded.instead = [between]

    assert await snapshots.newest("a") == (4, b"4")


async def test_an_object_that_is_listed_and_never_found_is_damaged(
    snapshots: SnapshotStore, recorded: Recorded
) -> None:
    """What a listing shows again and again, and cannot be read, is not passed over in silence."""
    await snapshots.save("a", 5, b"5")
    recorded.instead = [FileNotFoundError("gone")] * 4

    with pytest.raises(DamagedSnapshot, match="is listed, and cannot be found"):
        await snapshots.newest("a")


async def test_deleting_what_somebody_else_deletes_is_silent(snapshots: SnapshotStore, recorded: Recorded) -> None:
    """A store that stops at an object which is not there is asked for each."""
    for number in (1, 2, 3, 4):
        await snapshots.save("a", number, b"")
    recorded.instead = [FileNotFoundError("one of them"), None, FileNotFoundError("this one")]

    await snapshots.delete("a", 4)

    left = [meta["path"] for meta in recorded.store.list().collect()]
    assert left == [f"prefix/a/{name_of(2)}", f"prefix/a/{name_of(4)}"]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (GenericError("Generic S3 error: … HTTP error: error sending request\n\nDebug source:\n…"), StoreUnavailable),
        (GenericError("Server returned non-2xx status code: 503 Service Unavailable"), StoreUnavailable),
        (GenericError("Server returned non-2xx status code: 429 Too Many Requests"), StoreUnavailable),
        (GenericError("operation timed out"), StoreUnavailable),
        (TimeoutError("late"), StoreUnavailable),
        (ConnectionResetError("gone"), StoreUnavailable),
        (GenericError("Server returned non-2xx status code: 400 Bad Request"), StoreError),
        (PermissionDeniedError("forbidden"), StoreError),
        (OSError(28, "No space left on device"), StoreError),
    ],
)
@pytest.mark.parametrize("operation", ["save", "read", "delete"])
async def test_a_failure_is_an_error_that_names_the_object(
    snapshots: SnapshotStore, recorded: Recorded, error: Exception, kind: type[StoreError], operation: str
) -> None:
    """Every failure of the driver is one of ours, with the operation and the object, and never an absence."""
    await snapshots.save("a", 5, b"5")
    recorded.instead = [error]
    calls = {
        "save": lambda: snapshots.save("a", 5, b"new"),
        "read": lambda: snapshots.newest("a"),
        "delete": lambda: snapshots.delete("a", 6),
    }

    with pytest.raises(StoreError) as caught:
        await calls[operation]()

    assert type(caught.value) is kind
    assert caught.value.operation == operation
    assert caught.value.reason.startswith("prefix/a" if operation == "delete" else f"{PATH}: ")
    assert "Debug" not in str(caught.value)
    assert caught.value.__cause__ is error


async def test_no_error_tells_a_credential(snapshots: SnapshotStore, recorded: Recorded) -> None:
    """What may be a credential in a driver's error is in no message, and in no traceback."""
    recorded.instead = [GenericError("Error performing PUT http://key:SECRET@host/x?sig=SECRET in 2ms - timed out")]

    with pytest.raises(StoreUnavailable) as caught:
        await snapshots.save("a", 5, b"5")

    assert "SECRET" not in str(caught.value)
    assert "http://…host/x… in 2ms" in str(caught.value)
    assert (caught.value.__cause__, caught.value.__suppress_context__) == (None, True)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="this system does not tell the name of an open file")
async def test_a_file_and_its_folders_are_synced_before_a_save_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is synced before it has its name, then its folder, and every folder up to the root."""
    synced: list[str] = []
    fsync = os.fsync

    def noted(handle: int) -> None:
        synced.append(str(Path(os.readlink(f"/proc/self/fd/{handle}")).relative_to(tmp_path)))
        fsync(handle)

    monkeypatch.setattr("os.fsync", noted)
    snapshots = ObjectSnapshots(LocalStore(tmp_path), "deep/prefix")

    await snapshots.save("a", 5, b"5")

    await snapshots.close()
    assert re.fullmatch(rf"deep/prefix/a/{name_of(5)}\.[0-9a-f]{{32}}\.part", synced[0])
    assert synced[1:] == ["deep/prefix/a", "deep/prefix", "deep", "."]
    assert [path.name for path in (tmp_path / "deep/prefix/a").iterdir()] == [name_of(5)]


async def test_a_deletion_is_synced_before_it_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder that a file was removed from is synced."""
    snapshots = ObjectSnapshots(LocalStore(tmp_path))
    await snapshots.save("a", 5, b"5")
    synced: list[int] = []
    monkeypatch.setattr("os.fsync", synced.append)

    await snapshots.delete("a", 6)

    await snapshots.close()
    assert len(synced) == 1


async def test_folders_that_opening_makes_are_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each new folder of a path is there after a loss of power."""
    synced: list[int] = []
    monkeypatch.setattr("os.fsync", synced.append)

    await (await open_snapshots(f"file://{tmp_path}/one/two")).close()

    assert len(synced) == 2


async def test_what_a_killed_writer_left_is_removed_in_time(tmp_path: Path) -> None:
    """A file that never got its name is no snapshot; a delete removes it when it is an hour old (ATS-87)."""
    snapshots = ObjectSnapshots(LocalStore(tmp_path))
    await snapshots.save("a", 5, b"5")
    old, new = (tmp_path / "a" / f"{name_of(9)}.{age}.part" for age in ("old", "new"))
    for part in (old, new):
        part.write_bytes(b"half")
    os.utime(old, (time.time() - 4_000,) * 2)

    newest = await snapshots.newest("a")
    await snapshots.delete("a", 6)

    await snapshots.close()
    assert newest == (5, b"5")
    assert [path.name for path in (tmp_path / "a").iterdir()] == [new.name]


SAVER = """
import asyncio
import sys
from perdure.snapshots import open_snapshots


async def main(url, letter):
    snapshots = await open_snapshots(url)
    for number in range(1, 31):
        await snapshots.save("a", number, letter.encode() * 5_000)
    await snapshots.close()


asyncio.run(main(*sys.argv[1:]))
"""


async def test_processes_that_save_the_same_leave_whole_files(tmp_path: Path) -> None:
    """Three that write the same numbers into one folder all succeed; of each, one snapshot is left (ATS-89)."""
    url = f"file://{tmp_path}"

    savers = [await asyncio.create_subprocess_exec(sys.executable, "-c", SAVER, url, letter) for letter in "xyz"]
    codes = [await saver.wait() for saver in savers]

    snapshots = await open_snapshots(url)
    found = [await snapshots.newest("a", number) for number in range(1, 31)]
    await snapshots.close()
    assert codes == [0, 0, 0]
    assert [(one.sequence_number, len(one.record), len(set(one.record))) for one in found if one] == [
        (number, 5_000, 1) for number in range(1, 31)
    ]
    assert len(list((tmp_path / "a").iterdir())) == 30


async def test_a_folder_that_is_gone_is_no_empty_one(tmp_path: Path) -> None:
    """When the disk is not mounted nothing is absent, and nothing is written into the place of its mount."""
    root = tmp_path / "mounted"
    snapshots = await open_snapshots(f"file://{root}")
    root.rmdir()

    with pytest.raises(StoreUnavailable, match=r"the folder .*mounted is gone"):
        await snapshots.newest("a")
    with pytest.raises(StoreError, match="No such file"):
        await snapshots.save("a", 5, b"5")

    await snapshots.close()
    assert not root.exists()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may do everything")
async def test_a_folder_that_may_not_be_read_is_no_empty_one(tmp_path: Path) -> None:
    """A folder without permission is an error, not an absence."""
    snapshots = ObjectSnapshots(LocalStore(tmp_path))
    await snapshots.save("a", 5, b"5")
    (tmp_path / "a").chmod(0)

    with pytest.raises(StoreError):
        await snapshots.newest("a")

    (tmp_path / "a").chmod(stat.S_IRWXU)
    await snapshots.close()


_FULL = """
import asyncio, resource, signal, sys
from pathlib import Path
from perdure.errors import StoreError
from perdure.snapshots import open_snapshots

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


def limit_files(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


async def main(folder):
    snapshots = await open_snapshots(f"file://{folder}")
    await snapshots.save("a", 1, bytes(1_000))
    limit_files(50_000)
    for number in (1, 2):
        try:
            await snapshots.save("a", number, bytes(100_000))
        except StoreError as error:
            assert f"{number:020d}.snapshot" in str(error), error
        else:
            raise AssertionError(number)
        assert await snapshots.newest("a") == (1, bytes(1_000))
    assert [path.name for path in Path(folder, "a").iterdir()] == ["00000000000000000001.snapshot"]
    limit_files(resource.RLIM_INFINITY)
    await snapshots.save("a", 2, bytes(100_000))
    assert await snapshots.newest("a") == (2, bytes(100_000))
    await snapshots.close()


asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no limit on the size of files to fill a disk with")
async def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    """Where files cannot grow saves fail and leave nothing behind, and when they can it goes on."""
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _FULL, str(tmp_path), stderr=asyncio.subprocess.PIPE
    )

    _, errors = await writer.communicate()

    assert writer.returncode == 0, errors.decode()


_WRITER = """
import asyncio, sys
from perdure.snapshots import open_snapshots


async def main(url, own):
    snapshots = await open_snapshots(url)
    print("ready", flush=True)
    for number in range(1, 1_000_000):
        await snapshots.save("a", number % 10 + 1, own * 10_000)
        await snapshots.delete("b", 5)
        await snapshots.save("b", number % 10 + 1, own * 10_000)


asyncio.run(main(sys.argv[1], sys.argv[2].encode()))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a file that is open cannot be replaced there")
async def test_processes_that_are_killed_leave_whole_snapshots(tmp_path: Path) -> None:
    """Whatever several processes do to the same snapshots, and wherever they are killed, each is whole (ATS-89)."""
    url = f"file://{tmp_path}"
    command = (sys.executable, "-c", _WRITER, url)
    writers = [await asyncio.create_subprocess_exec(*command, own, stdout=asyncio.subprocess.PIPE) for own in "xyz"]
    snapshots = await open_snapshots(url)
    for writer in writers:
        assert writer.stdout is not None
        assert await writer.stdout.readline() == b"ready\n"

    for writer in writers:
        for _ in range(20):
            for identity in "ab":
                found = await snapshots.newest(identity)
                assert found is None or found.record in (b"x" * 10_000, b"y" * 10_000, b"z" * 10_000)
        writer.kill()
        await writer.communicate()

    for identity, number in product("ab", range(1, 11)):
        found = await snapshots.newest(identity, number)
        assert found is None or found.record in (b"x" * 10_000, b"y" * 10_000, b"z" * 10_000)
    await snapshots.save("a", 5, b"next")
    assert await snapshots.newest("a", 5) == (5, b"next")
    await snapshots.close()


async def test_a_memory_store_is_shared_by_its_name() -> None:
    """Stores of one name hold the same, stores without a name each their own."""
    named = [await open_snapshots("memory://shared-by-two") for _ in range(2)]
    nameless = [await open_snapshots("memory://") for _ in range(2)]
    for first in (named[0], nameless[0]):
        await first.save("a", 5, b"5")

    assert await named[1].newest("a") == (5, b"5")
    assert await nameless[1].newest("a") is None


async def test_a_backend_keeps_snapshots_alone(tmp_path: Path) -> None:
    """The URL of a backend opens one for snapshots, and closes it with them."""
    snapshots = await open_snapshots(f"sqlite:///{tmp_path}/snapshots.db")
    await snapshots.save("a", 5, b"5")

    assert isinstance(snapshots, CollectionSnapshots)
    assert await snapshots.newest("a") == (5, b"5")
    await snapshots.close()


async def test_an_unknown_scheme_names_what_there_is() -> None:
    """A scheme that nothing serves is refused with those that something does, of both kinds (ATS-79)."""
    with pytest.raises(UnknownBackend, match=r"no snapshot store for 's4'; installed: .*file.*memory.*s3.*sqlite"):
        await open_snapshots("s4://bucket")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("snapshots", "is no URL; write for example s3://bucket/prefix or file:///var/lib/snapshots"),
        ("file://relative/path", "names a host: write file:/// and an absolute path"),
        ("file:///tmp?sync=no", "has no options"),
        ("memory://?size=5", "has no options"),
        ("s3://key:SECRET@bucket/prefix", "s3://bucket/prefix has a password"),
        ("s3://bucket?endpoint=http://key:SECRET@host", "the option endpoint: credentials have options of their own"),
        ("s3://bucket?secret_access_key=SECRET&nonsense=1", "Configuration key: 'nonsense' is not valid"),
        ("s3://bucket?max_retries=many", "the option max_retries: invalid literal"),
        ("s3://bucket?timeout=2+parsecs&token=SECRET", "failed to parse"),
        ("s3://?token=SECRET", "Unable to recognise URL"),
    ],
)
async def test_a_url_that_cannot_be_used_is_refused(url: str, reason: str) -> None:
    """What is wrong is named, with what to write, and without what may be a credential."""
    with pytest.raises(CreateStoreError, match=re.escape(reason)) as caught:
        await open_snapshots(url)

    assert "SECRET" not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """A path through a file is refused with its name."""
    (tmp_path / "file").touch()

    with pytest.raises(CreateStoreError, match=r"file:///.*/file/folder: .*Not a directory"):
        await open_snapshots(f"file://{tmp_path}/file/folder")


async def test_without_its_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has not installed obstore is told what to install."""
    monkeypatch.setitem(sys.modules, "obstore", None)

    with pytest.raises(CreateStoreError, match=r"s3://bucket/x takes obstore: run: pip install 'perdure\[objects\]'"):
        await open_snapshots("s3://bucket/x?secret_access_key=SECRET")


@pytest.mark.parametrize(
    "url",
    [
        "gs://bucket/prefix?skip_signature=true",
        "az://container/prefix?account_name=name&access_key=a2V5",
        "abfs://container@name.dfs.core.windows.net/prefix?access_key=a2V5",
        "abfss://container@name.dfs.core.windows.net/prefix?access_key=a2V5&timeout=2s&max_retries=0&retry_timeout=1.5",
        "s3a://bucket/prefix?skip_signature=true",
    ],
)
async def test_other_clouds_are_opened_by_url(url: str) -> None:
    """Each scheme that is installed opens its kind of store, without asking it anything."""
    snapshots = await open_snapshots(url)

    assert isinstance(snapshots, ObjectSnapshots)
    await snapshots.close()
