"""Persistent actors in a real folder."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from perdure import (
    ActorSystem,
    Event,
    Full,
    Light,
    Message,
    PersistentActor,
    every_n_events,
    open_backend,
)
from perdure.abc import Backend, WriteGroup
from perdure.errors import ConflictError, CreateStoreError, StoreClosed, Superseded
from perdure.journal import EVENTS
from perdure_testkit import FaultyBackend

STRATEGIES: dict[str, Full | Light] = {
    "full": Full(),
    "compacting": Full(snapshot=every_n_events(2), keep_snapshots=1, compact=True),
    "light": Light(),
    "compacting light": Light(compact=True),
}


class Write(Message[int]):
    values: tuple[int, ...]


class Read(Message[list[int]]):
    pass


class Written(Event):
    value: int
    bulk: bytes = b""


class WriteBulk(Message[int]):
    size: int


class Tape(PersistentActor[list[int], Written]):
    initial_state: list[int] = []  # noqa: RUF012  # each actor begins with a copy

    async def handle(self, message: Message[Any], context: Any) -> Any:
        match message:
            case Write(values):
                await self.persist(*map(Written, values))
                return self.sequence_number
            case WriteBulk(size):
                await self.persist(Written(size, bytes(size)))
                return self.sequence_number
            case Read():
                return list(self.state)

    def apply(self, state: list[int], event: Written) -> None:
        state.append(event.value)


@pytest.fixture(params=STRATEGIES)
def tape(request: pytest.FixtureRequest) -> type[Tape]:
    return type("Tape", (Tape,), {"strategy": STRATEGIES[request.param]})


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"rocksdb:///{tmp_path}/tapes"


@pytest.fixture
async def backend(url: str) -> AsyncIterator[FaultyBackend]:
    backend = FaultyBackend(await open_backend(url))
    yield backend
    await backend.close()


async def test_a_second_program_finds_the_state_of_the_first(tape: type[Tape], url: str) -> None:
    """After a graceful end everything is there, once (AVE-01, AVE-05, AVE-06, AVE-08, AVE-13)."""
    states = []
    for values in ((1,), (2, 3), (), (4,)):
        async with ActorSystem(store=url) as system:
            ref = system.ref(tape, "a")
            await ref.ask(Write(values))
            states.append(await ref.ask(Read()))

    assert states == [[1], [1, 2, 3], [1, 2, 3], [1, 2, 3, 4]]


async def test_numbers_go_on_after_compaction_and_restart(tape: type[Tape], url: str) -> None:
    """No number is ever used again (AVE-15, AVE-21, AVE-22)."""
    numbers = []
    for value in range(5):
        async with ActorSystem(store=url) as system:
            numbers.append(await system.ref(tape, "a").ask(Write((value,))))

    assert numbers == [1, 2, 3, 4, 5]


async def test_the_folder_is_made(tape: type[Tape], tmp_path: Path) -> None:
    """A store may be named before its folder exists (AVE-46)."""
    place = tmp_path / "deep" / "down" / "tapes"

    async with ActorSystem(store=f"rocksdb:///{place}") as system:
        await system.ref(tape, "a").ask(Write((1,)))

    assert place.is_dir()


async def test_a_place_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """The system does not start, and the error shows the path (AVE-46, AVE-101)."""
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(CreateStoreError, match=r"file/tapes"):
        async with ActorSystem(store=f"rocksdb:///{tmp_path}/file/tapes"):
            pass


@pytest.mark.parametrize(
    "key", ["'; DROP TABLE events; --", "a/../b", "\u202e", "é", "e\u0301", "A", "a", "%", "x" * 900]
)
async def test_keys_are_data(url: str, key: str) -> None:
    """No text harms the store or meets another actor (AVE-47)."""
    async with ActorSystem(store=url) as system:
        await system.ref(Tape, "other").ask(Write((0,)))
        await system.ref(Tape, key).ask(Write((1,)))

    async with ActorSystem(store=url) as system:
        assert [await system.ref(Tape, name).ask(Read()) for name in (key, "other")] == [[1], [0]]


async def test_an_event_of_64_mib_survives_where_it_is_allowed(url: str) -> None:
    """A large record is a record."""
    size = 64 * 1024 * 1024
    async with ActorSystem(store=url, max_record_bytes=size + 100) as system:
        await system.ref(Tape, "a").ask(WriteBulk(size))

    async with ActorSystem(store=url) as system:
        assert await system.ref(Tape, "a").ask(Read()) == [size]


async def test_actors_that_write_at_once_share_commits(backend: FaultyBackend) -> None:
    """The syncs of sixty-four busy actors are a fraction of their events (W-34)."""
    async with ActorSystem(store=backend) as system:
        refs = [system.ref(Tape, str(n)) for n in range(64)]
        await asyncio.gather(*(ref.ask(Read()) for ref in refs))

        for value in range(5):
            await asyncio.gather(*(ref.ask(Write((value,))) for ref in refs))

    assert backend.calls["commit"] <= 64


async def test_handles_and_threads_do_not_grow_with_actors(url: str) -> None:
    """A thousand actors hold what one holds (W-36)."""
    async with ActorSystem(store=url) as system:

        async def use(first: int, last: int) -> tuple[int, int]:
            await asyncio.gather(*(system.ref(Tape, str(n)).ask(Write((n,))) for n in range(first, last)))
            return len(os.listdir("/proc/self/fd")), threading.active_count()

        files, threads = await use(0, 1)

        more_files, more_threads = await use(1, 1000)

        assert more_threads == threads
        assert more_files - files <= 4  # of RocksDB's own


async def test_a_long_log_is_read_back_whole(tape: type[Tape], url: str) -> None:
    """Pages, snapshots and compaction agree about ten thousand events (AVE-113, W-39)."""
    async with ActorSystem(store=url) as system:
        ref = system.ref(tape, "a")
        for first in range(0, 10_000, 1000):
            await ref.ask(Write(tuple(range(first, first + 1000))))

    async with ActorSystem(store=url) as system:
        assert await system.ref(tape, "a").ask(Read()) == list(range(10_000))


async def test_two_systems_on_one_backend_never_fork_a_log(tape: type[Tape], backend: FaultyBackend) -> None:
    """Of two writers one is refused, once, and then goes on from what the other wrote (W-22)."""
    async with ActorSystem(store=backend) as one, ActorSystem(store=backend) as other:
        ref, rival = one.ref(tape, "a"), other.ref(tape, "a")
        await ref.ask(Write((1,)))
        await rival.ask(Write((2,)))

        with pytest.raises(ConflictError, match="expected the log to end at sequence number 1, but it ends at 2"):
            await ref.ask(Write((3,)))

        assert (await ref.ask(Write((3,))), await ref.ask(Read())) == (3, [1, 2, 3])


async def test_who_was_superseded_is_refused_before_anything_is_written(
    tape: type[Tape], backend: FaultyBackend
) -> None:
    """A claim of another system is enough; all sequence numbers still agree."""
    async with ActorSystem(store=backend, owner="one") as one, ActorSystem(store=backend, owner="other") as other:
        ref, rival = one.ref(tape, "a"), other.ref(tape, "a")
        await ref.ask(Write((1,)))
        await rival.ask(Read())

        with pytest.raises(Superseded, match="by 'other', by epoch 2"):
            await ref.ask(Write((2,)))

        assert (await rival.ask(Write((3,))), await rival.ask(Read())) == (2, [1, 3])


async def test_a_store_closed_under_a_running_actor_is_named(tape: type[Tape], url: str) -> None:
    """The asker is told; what was acknowledged is in the store; the system closes cleanly."""
    backend = await open_backend(url)
    async with ActorSystem(store=backend) as system:
        ref = system.ref(tape, "a")
        await ref.ask(Write((1,)))
        await backend.close()

        with pytest.raises(StoreClosed):
            await ref.ask(Write((2,)))

    async with ActorSystem(store=url) as system:
        assert await system.ref(tape, "a").ask(Read()) == [1]


async def test_cancelling_at_every_moment_of_a_commit_loses_nothing(tape: type[Tape], url: str) -> None:
    """Whenever the asker gives up, the actor goes on from what the store says."""
    acknowledged = []
    async with ActorSystem(store=url) as system:
        ref = system.ref(tape, "a")
        for value in range(60):
            ask = asyncio.ensure_future(ref.ask(Write((value,))))
            for _ in range(value):
                await asyncio.sleep(0)
            ask.cancel()
            await asyncio.wait([ask])
            if not ask.cancelled():
                acknowledged.append(value)

        state = await ref.ask(Read())

    async with ActorSystem(store=url) as system:
        assert await system.ref(tape, "a").ask(Read()) == state == sorted(set(state))
    assert set(acknowledged) <= set(state)


async def test_the_prefixes_of_a_store_are_its_actors(backend: FaultyBackend) -> None:
    """Whoever has the store can list what lives in it."""
    async with ActorSystem(store=backend) as system:
        await system.ref(Tape, "a").ask(Write((1,)))
        await (await system.spawn(Tape, "b")).ask(Write((1,)))

        assert await backend.prefixes(EVENTS) == ["/user/b", "Tape/a"]


async def test_an_empty_group_is_a_barrier(backend: Backend) -> None:
    """A group of no writes succeeds, after those before it: a recovery waits with it."""
    assert list(await commit(backend, WriteGroup(()))) == [None]


async def commit(backend: Backend, *groups: WriteGroup) -> Sequence[Any]:
    return await backend.commit(groups)
