"""What the upkeep of a store leaves behind when it ends too soon. The processes are real, and so are the signals."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from perdure import ActorSystem, Keyring, Sealing
from perdure.upkeep import compact, reseal, verify

from .diaries import ONE, TWO, Diary, Pocketbook, Read, Say

UPKEEP = """
import asyncio, resource, signal, sys
from perdure import Keyring, Sealing
from perdure.upkeep import compact, reseal

ONE, TWO = bytes(range(32)), bytes(range(1, 33))


def say(at):
    print("told", flush=True)


async def main(work, url, limit):
    if int(limit):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
    if work == "compact":
        await compact(url, sealing=Keyring({1: ONE}), keep_snapshots=1, archive=True, compacted=say)
    else:
        await reseal(url, Sealing(Keyring({1: ONE, 2: TWO})), progress=say, records_per_second=20_000)


asyncio.run(main(*sys.argv[1:]))
"""

ACTORS = 40
TEXTS = 9


async def filled(backend: str, folder: Path) -> str:
    """Return the URL of a new sealed store with many actors, most of which have snapshots."""
    pytest.importorskip(f"perdure_{backend}")
    url = f"{backend}:///{folder}/store"
    async with ActorSystem(store=url, sealing=Keyring({1: ONE})) as system:

        async def tell(number: int) -> None:
            kind = Pocketbook if number % 10 == 0 else Diary
            for text in range(TEXTS):
                await system.ref(kind, str(number)).ask(Say(str(text)))

        await asyncio.gather(*map(tell, range(ACTORS)))
    return url


def interrupted(
    work: str, url: str, after: int = sys.maxsize, how: signal.Signals = signal.SIGKILL, *, limit: int = 0
) -> tuple[int, int]:
    """Begin some work, and interrupt it when it has told of so much; return the exit code, and how much it told of.

    With a limit, its files get no longer.
    """
    command = [sys.executable, "-c", UPKEEP, work, url, str(limit)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        told = 0
        for _ in process.stdout:
            told += 1
            if told == after:
                process.send_signal(how)
        code = process.wait(timeout=60)
    return code, told


async def check(url: str, sealing: Sealing) -> None:
    """Raise `AssertionError` unless all actors are as they were."""
    result = await verify(url, sealing)
    assert result.problems == []
    async with ActorSystem(store=url, sealing=sealing) as system:
        for number in range(ACTORS):
            kind = Pocketbook if number % 10 == 0 else Diary
            state = await system.ref(kind, str(number)).ask(Read())
            assert state == tuple(map(str, range(TEXTS)))


def old() -> Sealing:
    return Sealing(Keyring({1: ONE}))


def both() -> Sealing:
    return Sealing(Keyring({1: ONE, 2: TWO}))


def new() -> Sealing:
    return Sealing(Keyring({2: TWO}))


@pytest.mark.parametrize(
    ("backend", "how"), [("sqlite", signal.SIGKILL), ("sqlite", signal.SIGINT), ("rocksdb", signal.SIGKILL)]
)
class TestInterrupted:
    """In the middle, it leaves a sound store, and the next call does what is left."""

    async def test_compact(self, backend: str, how: signal.Signals, tmp_path: Path) -> None:
        url = await filled(backend, tmp_path)

        code, told = interrupted("compact", url, 5, how)

        await check(url, old())
        left = await compact(url, sealing=old(), keep_snapshots=1, archive=True)
        await check(url, old())
        assert code != 0
        assert told + left.compacted <= ACTORS
        assert (await compact(url, sealing=old(), keep_snapshots=1, archive=True)).compacted == 0

    async def test_reseal(self, backend: str, how: signal.Signals, tmp_path: Path) -> None:
        url = await filled(backend, tmp_path)

        code, told = interrupted("reseal", url, 15, how)

        await check(url, both())
        left = await reseal(url, both())
        await check(url, new())
        assert code != 0
        assert 15 <= told < ACTORS
        assert left.resealed <= left.records - 15 * TEXTS


async def test_a_full_disk_leaves_a_sound_store(tmp_path: Path) -> None:
    url = await filled("sqlite", tmp_path)

    limit = (tmp_path / "store").stat().st_size
    failed = interrupted("reseal", url, limit=limit)
    await check(url, both())
    await reseal(url, both())

    await check(url, new())
    assert failed[0] == 1
