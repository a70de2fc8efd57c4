"""Stores as files of JSON lines, and as backups."""

from __future__ import annotations

import asyncio
import base64
import gzip
import io
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from perdure import ActorSystem, Keyring, Sealing
from perdure.abc import Put, PutState
from perdure.errors import CorruptionError, DamagedLine, StoreError, TargetDiffers
from perdure.journal._record import encode_msgpack
from perdure.memory import MemoryBackend
from perdure.transfer import backup, copy, export, import_
from perdure.upkeep import verify
from perdure_testkit import FaultyBackend

from .contents import contents, feed, tell, told
from .diaries import ONE, SECRET, Diary, Read, entries, write
from .turning import soon, until

ELEVEN = [f"{number}" for number in range(11)]


@pytest.fixture
async def target() -> AsyncIterator[FaultyBackend]:
    backend = FaultyBackend(MemoryBackend())
    yield backend
    await backend.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.jsonl"


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def raw_lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def content(path: Path, content: bytes | None = None) -> bytes:
    """Return what a file has, or what it is given now."""
    if content is not None:
        path.write_bytes(content)
    return path.read_bytes()


def names_in(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir()]


def change(path: Path, number: int, change: Callable[[bytes], bytes]) -> None:
    """Change a line of a file, the first being 1."""
    lines = raw_lines(path)
    lines[number - 1] = change(lines[number - 1])
    content(path, b"".join(lines))


class TestFiles:
    @pytest.mark.parametrize("name", ["store.jsonl", "store.jsonl.gz", "store.jsonl.zst"])
    async def test_what_is_read_back_is_what_was_written(
        self, store: FaultyBackend, target: FaultyBackend, tmp_path: Path, name: str
    ) -> None:
        await tell(store, ELEVEN, owner="one")
        await tell(store, "x", owner="two")

        exported = await export(store, tmp_path / name)
        imported = await import_(tmp_path / name, target)

        assert await contents(target) == await contents(store)
        assert (imported.events, imported.lines) == (exported.events, exported.lines)
        assert (await verify(target)).problems == []
        assert await told(target) == await told(store)

    async def test_a_sealed_store_is_read_back_without_its_keys(
        self, store: FaultyBackend, target: FaultyBackend, path: Path
    ) -> None:
        sealing = Sealing(Keyring({1: ONE}), hide_names=True, chain=True)
        await tell(store, ELEVEN, sealing=sealing)

        await export(store, path)
        await import_(path, target)

        assert await contents(target) == await contents(store)
        assert (await verify(target, sealing)).problems == []
        assert SECRET.encode() not in content(path)

    async def test_a_line_can_be_read(self, store: FaultyBackend, path: Path) -> None:
        await tell(store, ["hello"], types=(Diary,), names="a", owner="one")

        await export(store, path)

        head, event, owner, end = read(path)
        assert (head["perdure"], head["format"]) == ("export", 1)
        assert event.pop("time").endswith("Z")
        record = (await entries(store, "events", "Diary/a"))[1]
        assert event == {
            "collection": "events",
            "id": "Diary/a",
            "number": 1,
            "manifest": "Said",
            "version": 1,
            "tags": [f"tag-{SECRET}"],
            "metadata": {"epoch": 1},
            "payload": {"text": "hello"},
            "record": base64.b64encode(record).decode(),
        }
        assert (owner["state"], owner["id"], owner["version"]) == ("owners", "Diary/a", 1)
        assert end["end"]["lines"] == 3

    async def test_with_its_keys_a_sealed_record_can_be_read(self, store: FaultyBackend, path: Path) -> None:
        sealing = Sealing(Keyring({1: ONE}))
        await tell(store, ["hello"], types=(Diary,), names="a", sealing=sealing)

        await export(store, path, sealing=sealing)

        event = read(path)[2]
        assert (event["sealed"], event["payload"]) == (True, {"text": "hello"})

    @pytest.mark.parametrize("payload", [{"data": b"\0\1"}, {1: "one"}, {b"\xff": 1}, {"n": float("inf")}, 2**64 - 1])
    async def test_what_json_has_no_form_for_comes_back_too(self, target: FaultyBackend, payload: Any) -> None:
        store, file = MemoryBackend(), io.BytesIO()
        await write(store, Put("events", "a", 1, encode_msgpack("Odd", 1, -1, payload, {"tags": ["x"]})))

        await export(store, file)
        await import_(io.BytesIO(file.getvalue()), target)

        assert await contents(target) == await contents(store)

    async def test_a_line_without_a_record_is_stored_as_what_it_says(self, target: FaultyBackend) -> None:
        """Other programs can write such files."""
        line = {"collection": "events", "id": "Diary/a", "number": 1, "time": "2026-01-01T00:00:00Z"}
        line |= {"manifest": "Said", "version": 1, "tags": ["x"], "payload": {"text": "hello"}}
        head = {"format": 1, "made": "2026-01-01T00:00:00Z", "perdure": "export"}
        text = f"{json.dumps(head)}\n{json.dumps(line)}\n".encode()

        await import_(io.BytesIO(text), target, skip_damaged=True)

        async with ActorSystem(store=target) as system:
            assert await system.ref(Diary, "a").ask(Read()) == ("hello",)

    async def test_no_file_that_is_not_whole_has_its_name(self, store: FaultyBackend, path: Path) -> None:
        await tell(store, ELEVEN)
        content(path, b"before")
        store.reject("page", when=9)

        with pytest.raises(StoreError):
            await export(store, path)

        assert names_in(path.parent) == ["store.jsonl"]
        assert content(path) == b"before"

    async def test_a_folder_is_named_before_anything_is_read(self, store: FaultyBackend, tmp_path: Path) -> None:
        with pytest.raises(IsADirectoryError, match=re.escape(f"'{tmp_path}'")):
            await export(store, tmp_path)

        assert not store.calls

    async def test_an_export_that_is_cancelled_leaves_nothing(self, store: FaultyBackend, tmp_path: Path) -> None:
        await tell(store, ELEVEN)
        store.hang("page")
        exporting = soon(export(store, tmp_path / "store.jsonl.zst"))
        await until(lambda: bool(store.injected))

        exporting.cancel()
        await asyncio.gather(exporting, return_exceptions=True)

        assert names_in(tmp_path) == []

    async def test_damaged_records_are_named_or_left_out(
        self, store: FaultyBackend, target: FaultyBackend, path: Path
    ) -> None:
        await tell(store, ELEVEN)
        record = (await entries(store, "events", "Pocketbook/a"))[5]
        await write(store, Put("events", "Pocketbook/a", 5, record[:-1] + b"?"))

        with pytest.raises(CorruptionError, match="Pocketbook/a, sequence number 5"):
            await export(store, path)
        result = await export(store, path, skip_damaged=True)
        await import_(path, target)

        assert result.damaged_count == 1
        assert list(await entries(target, "events", "Pocketbook/a")) == [1, 2, 3, 4, *range(6, 12)]


class TestDamagedFiles:
    @pytest.fixture
    async def path(self, store: FaultyBackend, tmp_path: Path) -> Path:
        """Return the name of an exported file."""
        await tell(store, ELEVEN, owner="one")
        path = tmp_path / "store.jsonl"
        await export(store, path)
        return path

    @pytest.mark.parametrize(
        ("number", "harm", "says"),
        [
            (1, lambda _: b"{}\n", "says nothing of a store"),
            (1, lambda line: line.replace(b'"format":1', b'"format":2'), "format 2, unknown"),
            (7, lambda line: line[:50] + b"\n", "it is no line of JSON|cannot be read"),
            (7, lambda line: re.sub(b'"record":"......', b'"record":"AQDAAA', line), "checksum"),
            (7, lambda line: re.sub(b'"number":.', b'"number":-', line), "cannot be read"),
            (7, lambda line: re.sub(b'"number":.', b'"number":0', line), "keys are integers"),
            (7, lambda _: b"", "lines are before it"),
            (7, lambda line: line.replace(b"Said", b"Sayd"), "digest is not theirs"),
        ],
    )
    async def test_the_line_is_named_and_nothing_is_written(
        self, target: FaultyBackend, path: Path, number: int, harm: Callable[[bytes], bytes], says: str
    ) -> None:
        count = len(read(path))
        change(path, number, harm)

        with pytest.raises(DamagedLine) as damaged:
            await import_(path, target)

        assert re.search(says, damaged.value.reason)
        assert damaged.value.line in (number, count, count - 1)
        assert f"line {damaged.value.line}: " in str(damaged.value)
        assert target.calls["commit"] == 0

    async def test_a_cut_file_is_refused(self, target: FaultyBackend, path: Path) -> None:
        lines = raw_lines(path)
        content(path, b"".join(lines[:20]))

        with pytest.raises(DamagedLine, match=r"line 20: .*cut"):
            await import_(path, target)

        assert target.calls["commit"] == 0

    async def test_a_cut_compressed_file_is_refused(self, target: FaultyBackend, path: Path) -> None:
        packed = path.with_suffix(".jsonl.gz")
        content(packed, gzip.compress(content(path))[:-100])

        with pytest.raises(DamagedLine, match="compressed file is damaged"):
            await import_(packed, target)

    async def test_damaged_lines_are_left_out_when_asked(
        self, store: FaultyBackend, target: FaultyBackend, path: Path
    ) -> None:
        change(path, 7, lambda line: line[:40] + b"\n")

        result = await import_(path, target, skip_damaged=True)

        first, *_ = result.damaged
        assert isinstance(first, DamagedLine)
        assert first.line == 7
        assert len(await feed(target, "events")) == len(await feed(store, "events")) - 1

    async def test_another_record_in_the_store_is_refused(self, target: FaultyBackend, path: Path) -> None:
        await tell(target, "x", types=(Diary,), names="a")

        with pytest.raises(TargetDiffers, match="Diary/a at 1"):
            await import_(path, target)

    async def test_an_open_file_that_was_cut_is_found_in_the_end(self, target: FaultyBackend, path: Path) -> None:
        lines = raw_lines(path)

        with pytest.raises(DamagedLine, match="cut"):
            await import_(io.BytesIO(b"".join(lines[:-1])), target)


IMPORT = """
import asyncio, sys
from perdure.transfer import import_

def told(imported):
    print(imported.events, flush=True)

asyncio.run(import_(*sys.argv[1:], progress=told))
"""


def kill_when_read(events: int, *arguments: object) -> None:
    """Import in a process of its own, and kill it when it has written so many events."""
    command = [sys.executable, "-c", IMPORT, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) > events:
                process.kill()
                break


async def test_an_import_that_was_killed_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("perdure_sqlite")
    store, path, url = MemoryBackend(), tmp_path / "store.jsonl.zst", f"sqlite:///{tmp_path}/store.db"
    record = encode_msgpack("Said", 1, 1, ["x" * 100])
    await write(
        store, *(Put("events", f"Diary/{name}", number, record) for number in range(1, 200) for name in "abcdef")
    )
    await write(store, *(Put("events", f"Diary/{name}", number, record) for number in range(1, 9000) for name in "g"))
    await export(store, path)
    kill_when_read(3000, path, url)

    result = await import_(path, url)

    assert result.present > 3000
    back = MemoryBackend()
    await copy(url, back)
    assert await contents(back) == await contents(store)


class TestBackups:
    @pytest.mark.parametrize("name", ["a backup?.db", "backup.jsonl.gz"])
    async def test_a_backup_is_one_whole_file(
        self, store: FaultyBackend, target: FaultyBackend, tmp_path: Path, name: str
    ) -> None:
        pytest.importorskip("perdure_sqlite")
        await tell(store, ELEVEN, owner="one")
        file = tmp_path / name

        await backup(store, file)

        assert names_in(tmp_path) == [name]
        if name.endswith(".db"):
            await copy(f"sqlite:///{tmp_path}/a backup%3F.db", target)
        else:
            await import_(file, target)
        assert await contents(target) == await contents(store)

    async def test_no_backup_takes_the_place_of_another(self, store: FaultyBackend, path: Path) -> None:
        content(path, b"before")

        with pytest.raises(FileExistsError, match="choose a new name"):
            await backup(store, path)

        assert content(path) == b"before"

    async def test_a_backup_that_failed_goes_on(self, store: FaultyBackend, tmp_path: Path) -> None:
        pytest.importorskip("perdure_sqlite")
        await tell(store, ELEVEN)
        store.reject("read_state", when=40)
        with pytest.raises(StoreError):
            await backup(store, tmp_path / "backup.db")
        assert "backup.db" not in names_in(tmp_path)

        result = await backup(store, tmp_path / "backup.db")

        assert result.events == 0
        assert names_in(tmp_path) == ["backup.db"]


async def test_a_state_of_its_own_is_no_line(store: FaultyBackend, path: Path) -> None:
    """A program's own states stay behind, as with a copy."""
    await write(store, PutState("mine", "x", b"y"))

    await export(store, path)

    assert len(read(path)) == 2
