"""A disk that refuses to take more, and then does again."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

_WRITER = """
import asyncio, random, resource, signal, sys
from perdure import open_backend
from perdure.abc import LastKey, Put, PutState, WriteGroup
from perdure.errors import StoreError

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


def limit_files(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def group(after, also):
    put = Put("events", "a", after + 1, random.randbytes(10_000))
    return WriteGroup((put, *also), (LastKey("events", "a", after),))


async def main(url, also):
    backend = await open_backend(url)
    acknowledged, failures = 0, 0
    limit_files(300_000)
    while failures < 5:
        head = await backend.last("events", "a")
        assert head >= acknowledged, (head, acknowledged)
        try:
            [conflict] = await backend.commit([group(head, also)])
        except StoreError:
            failures += 1
        else:
            assert conflict is None, conflict
            acknowledged = head + 1
    limit_files(resource.RLIM_INFINITY)
    try:
        await backend.commit([group(await backend.last("events", "a"), also)])
    except StoreError:
        pass  # RocksDB fails one more write for what befell it before
    for _ in range(5):
        head = await backend.last("events", "a")
        assert await backend.commit([group(head, also)]) == [None]
    await backend.close()

    backend = await open_backend(url)
    keys = [entry.key async for entry in backend.collection("events", "a").iterate()]
    await backend.close()
    assert keys == list(range(1, len(keys) + 1)), keys
    assert len(keys) >= acknowledged + 5 > 10, (len(keys), acknowledged)


asyncio.run(main(sys.argv[1], [PutState("states", "a", b"state")] * (sys.argv[2] == "with states")))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no limit on the size of files to fill a disk with")
@pytest.mark.parametrize("kind", ["appends alone", "with states"])
async def test_what_was_acknowledged_outlives_a_full_disk(tmp_path: Path, kind: str) -> None:
    """Where files cannot grow commits fail, and nothing acknowledged is lost; when they can, it goes on."""
    url = f"rocksdb:///{tmp_path}/store"

    writer = await asyncio.create_subprocess_exec(sys.executable, "-c", _WRITER, url, kind, stderr=PIPE)

    _, errors = await writer.communicate()
    assert writer.returncode == 0, errors.decode()
