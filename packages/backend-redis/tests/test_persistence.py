"""Persistent actors on a real server, and in a cluster."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from perdure import ActorSystem, Event, Full, Light, Message, PersistentActor, every_n_events, open_backend
from perdure.errors import ConflictError, Superseded
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


class WriteBulk(Message[int]):
    size: int


class Read(Message[list[int]]):
    pass


class Written(Event):
    value: int
    bulk: bytes = b""


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


@pytest.fixture(params=["one server", "cluster"])
def url(request: pytest.FixtureRequest) -> str:
    where = request.getfixturevalue("server" if request.param == "one server" else "cluster")
    return f"{where.url}?replicas=0&timeout=30"


@pytest.fixture
async def backend(url: str) -> AsyncIterator[FaultyBackend]:
    backend = FaultyBackend(await open_backend(url))
    yield backend
    await backend.close()


async def test_a_second_program_finds_the_state_of_the_first(tape: type[Tape], url: str) -> None:
    """After a graceful end everything is there, once."""
    states = []
    for values in ((1,), (2, 3), (), (4,)):
        async with ActorSystem(store=url) as system:
            ref = system.ref(tape, "a")
            await ref.ask(Write(values))
            states.append(await ref.ask(Read()))

    assert states == [[1], [1, 2, 3], [1, 2, 3], [1, 2, 3, 4]]


async def test_numbers_go_on_after_compaction_and_restart(tape: type[Tape], url: str) -> None:
    """No number is ever used again."""
    numbers = []
    for value in range(5):
        async with ActorSystem(store=url) as system:
            numbers.append(await system.ref(tape, "a").ask(Write((value,))))

    assert numbers == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("key", ["a{b}c", "}{", "a/../b", "\u202e", "é", "e\u0301", "A", "a", "\r\n", "x" * 900])
async def test_keys_are_data(url: str, key: str) -> None:
    """No text harms the store or meets another actor."""
    async with ActorSystem(store=url) as system:
        await system.ref(Tape, "other").ask(Write((0,)))
        await system.ref(Tape, key).ask(Write((1,)))

    async with ActorSystem(store=url) as system:
        assert [await system.ref(Tape, name).ask(Read()) for name in (key, "other")] == [[1], [0]]


async def test_an_event_of_64_mib_survives_where_it_is_allowed(server: Any) -> None:
    """A large record is a record."""
    size = 64 * 1024 * 1024
    url = f"{server.url}?timeout=60"
    async with ActorSystem(store=url, max_record_bytes=size + 100, ask_timeout=60) as system:
        await system.ref(Tape, "a").ask(WriteBulk(size))

    async with ActorSystem(store=url, ask_timeout=60) as system:
        assert await system.ref(Tape, "a").ask(Read()) == [size]


async def test_actors_that_write_at_once_share_commits(backend: FaultyBackend) -> None:
    """The commits of sixty-four busy actors are a fraction of their events."""
    async with ActorSystem(store=backend) as system:
        refs = [system.ref(Tape, str(n)) for n in range(64)]
        await asyncio.gather(*(ref.ask(Read()) for ref in refs))

        for value in range(5):
            await asyncio.gather(*(ref.ask(Write((value,))) for ref in refs))

    assert backend.calls["commit"] <= 64


async def test_connections_do_not_grow_with_actors(server: Any) -> None:
    """A thousand actors hold no more connections than a store has at the most."""
    async with ActorSystem(store=server.url) as system:
        await asyncio.gather(*(system.ref(Tape, str(n)).ask(Write((n,))) for n in range(1000)))

        assert server.call("INFO", "clients")["connected_clients"] <= 1 + 16 + 1


async def test_a_long_log_is_read_back_whole(tape: type[Tape], server: Any) -> None:
    """Pages, snapshots and compaction agree about ten thousand events."""
    async with ActorSystem(store=server.url) as system:
        ref = system.ref(tape, "a")
        for first in range(0, 10_000, 1000):
            await ref.ask(Write(tuple(range(first, first + 1000))))

    async with ActorSystem(store=server.url) as system:
        assert await system.ref(tape, "a").ask(Read()) == list(range(10_000))


async def test_two_systems_never_fork_a_log(tape: type[Tape], url: str) -> None:
    """Of two writers one is refused, once, and then goes on from what the other wrote."""
    async with ActorSystem(store=url) as one, ActorSystem(store=url) as other:
        ref, rival = one.ref(tape, "a"), other.ref(tape, "a")
        await ref.ask(Write((1,)))
        await rival.ask(Write((2,)))

        with pytest.raises(ConflictError, match="expected the log to end at sequence number 1, but it ends at 2"):
            await ref.ask(Write((3,)))

        assert (await ref.ask(Write((3,))), await ref.ask(Read())) == (3, [1, 2, 3])


async def test_who_was_superseded_is_refused_before_it_writes(tape: type[Tape], url: str) -> None:
    """A claim of another system is enough; all sequence numbers still agree."""
    async with ActorSystem(store=url, owner="one") as one, ActorSystem(store=url, owner="other") as other:
        ref, rival = one.ref(tape, "a"), other.ref(tape, "a")
        await ref.ask(Write((1,)))
        await rival.ask(Read())

        with pytest.raises(Superseded, match="by 'other', by epoch 2"):
            await ref.ask(Write((2,)))

        assert (await rival.ask(Write((3,))), await rival.ask(Read())) == (2, [1, 3])


RIVAL = """
import asyncio
import sys
from perdure import ActorSystem
from perdure.errors import ConflictError, Superseded

sys.path.insert(0, sys.argv[1])
from test_persistence import Tape, Write


async def main(url, base):
    written = []
    async with ActorSystem(store=url) as system:
        ref = system.ref(Tape, "a")
        for value in range(base, base + 100):
            try:
                await ref.ask(Write((value,)))
                written.append(value)
            except ConflictError:
                pass
    print(*written)


asyncio.run(main(sys.argv[2], int(sys.argv[3])))
"""


async def test_processes_that_race_for_one_actor_write_one_log(url: str) -> None:
    """What each was told is there, in its order, once, without a gap."""
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", RIVAL, str(Path(__file__).parent), url, str(base)), stdout=subprocess.PIPE
        )
        for base in (0, 1000)
    ]

    outputs = [(await process.communicate())[0] for process in processes]

    acknowledged = [[int(value) for value in output.split()] for output in outputs]
    async with ActorSystem(store=url) as system:
        log = await system.ref(Tape, "a").ask(Read())
        keys = [entry.key async for entry in system.backend.collection(EVENTS, "Tape/a").iterate()]
    assert acknowledged == [[v for v in log if v < 1000], [v for v in log if v >= 1000]]
    assert (keys, [process.returncode for process in processes]) == (list(range(1, len(log) + 1)), [0, 0])


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


async def test_an_actor_outlives_its_server(launch: Any) -> None:
    """Asked while the server restarts, an actor answers when it is back, and has lost nothing."""
    server = launch()
    async with ActorSystem(store=f"{server.url}?timeout=20", ask_timeout=20) as system:
        ref = system.ref(Tape, "a")
        for value in range(3):
            await ref.ask(Write((value,)))
            server.kill()
            asked = asyncio.ensure_future(ref.ask(Write((value + 10,))))
            await asyncio.to_thread(server.start)
            await asked

        assert await ref.ask(Read()) == [0, 10, 1, 11, 2, 12]
