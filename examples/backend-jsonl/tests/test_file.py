"""What is in the file after a crash, a full disk and a mistake, and who may open it."""

# ruff: noqa: ASYNC240  a test may wait for its own small files

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import pytest_asyncio

from perdure import open_backend
from perdure.abc import Backend, Put, WriteGroup
from perdure.errors import CreateStoreError, OutcomeUnknown, StoreError, StoreUnavailable


def group(*keys: int) -> WriteGroup:
    return WriteGroup(tuple(Put("events", "a", key, b"%d" % key) for key in keys))


async def keys(backend: Backend) -> list[int]:
    return [entry.key async for entry in backend.collection("events", "a").iterate()]


@pytest_asyncio.fixture
async def path(tmp_path: Path) -> Path:
    """Return the file of a store that holds a commit of two writes and one of three."""
    path = tmp_path / "store.jsonl"
    backend = await open_backend(f"jsonl:///{path}")
    await backend.commit([group(1, 2)])
    await backend.commit([group(3, 4, 5)])
    await backend.close()
    return path


async def test_a_commit_torn_at_any_byte_is_cut_off(path: Path) -> None:
    """Of a commit of which a part is missing nothing is there, and the next one takes its place."""
    whole = path.read_bytes()
    second = whole.index(b'{"put":{"collection":"events","prefix":"a","key":3')

    for size in reversed(range(second, len(whole))):
        path.write_bytes(whole[:size])
        backend = await open_backend(f"jsonl:///{path}", durability="relaxed")
        assert await keys(backend) == [1, 2], size
        await backend.close()
        assert path.read_bytes() == whole[:second]

    backend = await open_backend(f"jsonl:///{path}")
    assert await keys(backend) == [1, 2]
    await backend.commit([group(6)])
    await backend.close()

    backend = await open_backend(f"jsonl:///{path}")
    assert await keys(backend) == [1, 2, 6]
    await backend.close()


@pytest.mark.parametrize(
    "where", [b'"put"', b'"key":2', b'"crc"', b'}\n{"put":{"collection":"events","prefix":"a","key":3']
)
async def test_damage_in_what_was_acknowledged_is_refused(path: Path, where: bytes) -> None:
    """A file in which a commit before the last is damaged is not opened, and not changed."""
    data = bytearray(path.read_bytes())
    data[data.index(where) + 1] ^= 1
    path.write_bytes(data)

    with pytest.raises(CreateStoreError, match="damaged behind byte 20: restore it"):
        await open_backend(f"jsonl:///{path}")

    assert path.read_bytes() == data


async def test_a_second_opener_is_refused(tmp_path: Path) -> None:
    """While a store is open nobody else opens it, and afterwards it opens again."""
    url = f"jsonl:///{tmp_path}/store.jsonl"
    first = await open_backend(url)

    with pytest.raises(CreateStoreError, match=r"store\.jsonl is open already"):
        await open_backend(url)

    await first.close()
    await (await open_backend(url)).close()


async def test_a_file_of_somebody_else_is_left_as_it_is(tmp_path: Path) -> None:
    """What does not begin as a store of ours is refused."""
    path = tmp_path / "notes.txt"
    path.write_text("milk, bread")

    with pytest.raises(CreateStoreError, match=r"notes\.txt is no store of perdure-jsonl"):
        await open_backend(f"jsonl:///{path}")

    assert path.read_text() == "milk, bread"


@pytest.mark.parametrize("url", ["jsonl://", "jsonl:///", "jsonl://host/a", "jsonl:///a?mode=ro", "jsonl:///a#b"])
async def test_a_url_without_a_file_is_refused(url: str) -> None:
    """The error says what to write instead."""
    with pytest.raises(CreateStoreError, match=r"write jsonl:///bank\.jsonl"):
        await open_backend(url)


@pytest.mark.parametrize("place", ["missing/store.jsonl", ""], ids=["no folder", "a folder"])
async def test_a_place_that_cannot_be_opened_is_named(tmp_path: Path, place: str) -> None:
    """An error of the system is a CreateStoreError with the path."""
    with pytest.raises(CreateStoreError, match=str(tmp_path)):
        await open_backend(f"jsonl:///{tmp_path}/{place}")


@pytest.mark.parametrize("call", ["write", "fsync"])
async def test_a_full_disk_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """A commit that the disk did not take is taken out again, and the store goes on when there is room."""
    backend = await open_backend(f"jsonl:///{tmp_path}/store.jsonl")
    await backend.commit([group(1)])
    works, calls = getattr(os, call), []

    def full(*arguments: object) -> object:
        calls.append(arguments)
        if len(calls) > 1:
            return works(*arguments)
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(StoreUnavailable, match=r"no space left.*nothing was written"):
        await backend.commit([group(2)])

    assert await keys(backend) == [1]
    assert await backend.commit([group(3)]) == [None]
    assert await keys(backend) == [1, 3]
    await backend.close()


async def test_a_disk_that_is_gone_leaves_a_doubt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit that can be neither finished nor taken out is OutcomeUnknown; what is read later is true."""
    backend = await open_backend(f"jsonl:///{tmp_path}/store.jsonl")
    await backend.commit([group(1)])

    def gone(file: int) -> None:
        raise OSError(errno.EIO, "input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", gone)
        with pytest.raises(OutcomeUnknown, match="input/output error"):
            await backend.commit([group(2)])
        with pytest.raises(StoreError, match="input/output error"):
            await backend.last("events", "a")

    assert await keys(backend) == [1]
    assert await backend.commit([group(2)]) == [None]
    await backend.close()
