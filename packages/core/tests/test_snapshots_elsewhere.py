"""Systems whose snapshots are not kept with their events."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from perdure import ActorSystem, Full, every_n_events, replay
from perdure.abc import Backend
from perdure.actors import Restart
from perdure.errors import CreateStoreError, StoreClosed, StoreUnavailable
from perdure.memory import MemoryBackend
from perdure.snapshots import SNAPSHOTS, CachedSnapshots, open_snapshots
from perdure_testkit import FaultyBackend

from .s3 import Server, s3_server  # noqa: F401
from .tapes import PureTape, Read, Write, Written, keys, stored_as
from .unreliable import Unreliable, refuse


class Counted(PureTape):
    strategy = Full(snapshot=every_n_events(2), keep_snapshots=2)
    applied = 0

    def apply(self, state: tuple[int, ...], event: Written) -> tuple[int, ...]:
        Counted.applied += 1
        return super().apply(state, event)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "=54ape=2fa").iterdir())


async def write(store: Backend, snapshots: str, *values: int) -> list[int]:
    async with ActorSystem(store=store, snapshots=snapshots) as system:
        ref = system.ref(Counted, "a")
        for value in values:
            await ref.ask(Write((value,)))
        Counted.applied = 0
        return await ref.ask(Read())


async def test_snapshots_go_where_the_url_says(store: FaultyBackend, tmp_path: Path) -> None:
    """The files are there when the system is closed, as many as are kept, and the store of the events has none."""
    for value in range(1, 8):
        await write(store, f"file://{tmp_path}", value)

    assert files(tmp_path) == [f"{number:020d}.snapshot" for number in (4, 6)]
    assert await keys(store, SNAPSHOTS) == []


async def test_a_new_life_begins_with_them(store: FaultyBackend, tmp_path: Path) -> None:
    """What they cover is not folded again."""
    await write(store, f"file://{tmp_path}", 1, 2, 3, 4, 5)

    state = await write(store, f"file://{tmp_path}")

    assert (state, Counted.applied) == ([1, 2, 3, 4, 5], 1)


async def test_a_damaged_object_is_gone_round(
    store: FaultyBackend, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Recovery says which object is damaged, and begins with the one before it."""
    await write(store, f"file://{tmp_path}", 1, 2)
    await write(store, f"file://{tmp_path}", 3, 4, 5)
    damaged = tmp_path / "=54ape=2fa" / f"{4:020d}.snapshot"
    damaged.write_bytes(damaged.read_bytes()[:-1])

    with caplog.at_level(logging.WARNING):
        state = await write(store, f"file://{tmp_path}")

    assert (state, Counted.applied) == ([1, 2, 3, 4, 5], 3)
    assert f"{4:020d}.snapshot is not what was saved" in caplog.text


async def test_replay_reads_them_too(store: FaultyBackend, tmp_path: Path) -> None:
    """A look from outside begins with the snapshots at the URL."""
    await write(store, f"file://{tmp_path}", 1, 2, 3)
    Counted.applied = 0

    found = await replay(store, Counted, "a", snapshots=f"file://{tmp_path}")

    assert (found.state, Counted.applied) == ((1, 2, 3), 1)


async def test_the_system_closes_what_it_has_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that was given by URL is closed with the system, one that was given open is not."""
    given = await open_snapshots("memory://")
    own = await open_snapshots("memory://")

    async def opened(url: str) -> object:
        return own

    monkeypatch.setattr("perdure.persistence._system.open_snapshots", opened)
    for snapshots in (given, "memory://"):
        async with ActorSystem(snapshots=snapshots):  # type: ignore[arg-type]
            pass

    assert await given.newest("a") is None
    with pytest.raises(StoreClosed):
        await own.newest("a")


async def test_a_url_that_cannot_be_opened_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the snapshots cannot be opened the system is not, and the store of the events is closed again."""
    backend = MemoryBackend()

    async def opened(url: str, **_: object) -> Backend:
        return backend

    monkeypatch.setattr("perdure.persistence._system.open_backend", opened)

    with pytest.raises(CreateStoreError):
        async with ActorSystem(store="memory://", snapshots="file://host/folder"):
            pass

    with pytest.raises(StoreClosed):
        await backend.last("events", "a")


async def test_an_actor_waits_for_a_store_that_is_away(
    store: FaultyBackend,
    s3_server: Server,  # noqa: F811
    tmp_path: Path,
) -> None:
    """While its snapshots cannot be read no actor starts without them; when they can, it starts where it was.

    Who is awake goes on, for a snapshot that cannot be saved fails nobody.
    """
    careful = stored_as(Counted, Counted.strategy)
    careful.supervision = Restart(max=0)
    async with Unreliable(s3_server.host, s3_server.port) as network:
        url = s3_server.url(tmp_path.name, network.port, max_retries=0)
        async with ActorSystem(store=store, snapshots=url) as system:
            ref = system.ref(careful, "a")
            await ref.ask(Write((1, 2)))
            network.apply(refuse, to="PUT")
            awake = [await ref.ask(Write((value,))) for value in (3, 4)]
        network.apply(refuse, to="GET")

        async with ActorSystem(store=store, snapshots=url) as system:
            with pytest.raises(StoreUnavailable, match="503"):
                await system.ref(careful, "a").ask(Read())
            network.heal()
            state = await system.ref(careful, "a").ask(Read())

    assert awake == [3, 4]
    assert state == [1, 2, 3, 4]


async def test_behind_a_cache_a_new_life_asks_no_server(
    store: FaultyBackend,
    s3_server: Server,  # noqa: F811
    tmp_path: Path,
) -> None:
    """An actor that was put away and comes back finds its snapshot in memory."""
    async with Unreliable(s3_server.host, s3_server.port) as network:
        cached = CachedSnapshots(await open_snapshots(s3_server.url(tmp_path.name, network.port)))
        for _ in range(2):
            async with ActorSystem(store=store, snapshots=cached) as system:
                await system.ref(Counted, "a").ask(Write((1, 2)))
        async with ActorSystem(store=store, snapshots=cached) as system:
            await system.ref(Counted, "a").ask(Read())
        network.seen.clear()

        async with ActorSystem(store=store, snapshots=cached) as system:
            state = await system.ref(Counted, "a").ask(Read())

        await cached.close()
    assert state == [1, 2, 1, 2]
    assert network.seen == []
