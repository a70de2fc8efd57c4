"""What actors promise of their lives, one after the other, on one store."""

from __future__ import annotations

import asyncio
from typing import ClassVar

import pytest

from perdure.abc import Backend
from perdure.errors import StoreClosed
from perdure.journal import EVENTS
from perdure_testkit._contract._actors import TAPES, Begin, Fill, Read, Tape, Write, finished, system_of
from perdure_testkit._contract._claims import needs
from perdure_testkit._contract._stores import Reopen
from perdure_testkit._faulty import FaultyBackend

ODD_KEYS = (
    *("a", "A", "é", "e\u0301", "\u202e", "\r\n", "%", "a/../b", "a{b}c", "}{"),
    *("'; DROP TABLE events; --", "x" * 899, "x" * 900),
)
"""Keys that a store may take for each other, or for something else than data."""

by_strategy = pytest.mark.parametrize("tape", TAPES, ids=[tape.__name__ for tape in TAPES])


class ActorLifeRules:
    largest: ClassVar[int]

    @needs("reopening")
    @by_strategy
    async def test_a_second_program_finds_the_state_of_the_first(
        self, tape: type[Tape], backend: Backend, reopen: Reopen
    ) -> None:
        """After a graceful end everything is there, once (AVE-01, AVE-05, AVE-06, AVE-08, AVE-13)."""
        states = []
        for values in ((1,), (2, 3), (), (4,)):
            async with system_of(backend) as system:
                ref = system.ref(tape, "a")
                await ref.ask(Write(values))
                states.append(await ref.ask(Read()))
            backend = await reopen()

        assert states == [[1], [1, 2, 3], [1, 2, 3], [1, 2, 3, 4]]

    @needs("reopening")
    @by_strategy
    async def test_numbers_go_on_after_compaction_and_restart(
        self, tape: type[Tape], backend: Backend, reopen: Reopen
    ) -> None:
        """No number is ever used again (AVE-15, AVE-21, AVE-22)."""
        numbers = []
        for value in range(5):
            async with system_of(backend) as system:
                numbers.append(await system.ref(tape, "a").ask(Write((value,))))
            backend = await reopen()

        assert numbers == [1, 2, 3, 4, 5]

    async def test_keys_are_data(self, backend: Backend) -> None:
        """No text harms the store or meets another actor (AVE-47)."""
        async with system_of(backend) as system:
            await asyncio.gather(*(system.ref(Tape, key).ask(Write((value,))) for value, key in enumerate(ODD_KEYS)))

        async with system_of(backend) as system:
            states = [await system.ref(Tape, key).ask(Read()) for key in ODD_KEYS]

        assert states == [[value] for value in range(len(ODD_KEYS))]

    async def test_a_large_event_survives_where_it_is_allowed(self, backend: Backend) -> None:
        """A large record is a record."""
        size = min(self.largest, backend.max_value_bytes - 1000)
        async with system_of(backend, max_record_bytes=size + 1000) as system:
            await system.ref(Tape, "a").ask(Fill(size))

        async with system_of(backend) as system:
            assert await system.ref(Tape, "a").ask(Read()) == [size]

    async def test_the_prefixes_of_a_store_are_its_actors(self, backend: Backend) -> None:
        """Whoever has the store can list what lives in it."""
        async with system_of(backend) as system:
            await system.ref(Tape, "a").ask(Write((1,)))
            await (await system.spawn(Tape, "b")).ask(Write((1,)))

        assert await backend.prefixes(EVENTS) == ["/user/b", "Tape/a"]

    async def test_actors_that_write_at_once_share_commits(self, backend: Backend) -> None:
        """The commits of sixty-four busy actors are a fraction of their events, and each has its own (W-34)."""
        counted, keys = FaultyBackend(backend), [f"{number}" for number in range(64)]
        async with system_of(counted) as system:
            refs = [system.ref(Tape, key) for key in keys]
            await asyncio.gather(*(ref.ask(Read()) for ref in refs))

            for value in range(5):
                await asyncio.gather(*(ref.ask(Write((value,))) for ref in refs))

        assert counted.calls["commit"] <= 64
        async with system_of(backend) as system:
            assert [await system.ref(Tape, key).ask(Read()) for key in keys] == [[0, 1, 2, 3, 4]] * 64

    @by_strategy
    async def test_a_long_log_is_read_back_whole(self, tape: type[Tape], backend: Backend) -> None:
        """Pages, snapshots and compaction agree about ten thousand events (AVE-113, W-39)."""
        async with system_of(backend) as system:
            ref = system.ref(tape, "a")
            for first in range(0, 10_000, 1000):
                await ref.ask(Write(tuple(range(first, first + 1000))))

        async with system_of(backend) as system:
            assert await system.ref(tape, "a").ask(Read()) == list(range(10_000))

    @needs("reopening")
    @by_strategy
    async def test_a_store_closed_under_a_running_actor_is_named(
        self, tape: type[Tape], backend: Backend, reopen: Reopen
    ) -> None:
        """The asker is told; what was acknowledged is in the store; the system closes cleanly."""
        async with system_of(backend) as system:
            ref = system.ref(tape, "a")
            await ref.ask(Write((1,)))
            await backend.close()

            with pytest.raises(StoreClosed):
                await ref.ask(Write((2,)))

        async with system_of(await reopen()) as system:
            assert await system.ref(tape, "a").ask(Read()) == [1]

    @by_strategy
    async def test_cancelling_at_every_moment_of_a_commit_loses_nothing(
        self, tape: type[Tape], backend: Backend
    ) -> None:
        """Whenever the asker gives up, the actor goes on from what the store says."""
        async with system_of(backend) as system:
            ref = system.ref(tape, "a")
            acknowledged = [
                value for value in range(60) if await finished(asyncio.ensure_future(ref.ask(Write((value,)))), value)
            ]

            state = await ref.ask(Read())

        async with system_of(backend) as system:
            assert await system.ref(tape, "a").ask(Read()) == state == sorted(set(state))
        assert set(acknowledged) <= set(state)

    @by_strategy
    async def test_after_a_cancelled_persist_the_state_is_what_was_stored(
        self, tape: type[Tape], backend: Backend
    ) -> None:
        """Whenever a handler gives its persist up, the actor goes on from what the store says."""
        async with system_of(backend) as system:
            ref = system.ref(tape, "a")
            acknowledged = [value for value in range(1, 40) if await ref.ask(Begin(value, value * value))]

            state = await ref.ask(Read())

        async with system_of(backend) as system:
            assert await system.ref(tape, "a").ask(Read()) == state == sorted(set(state))
        assert set(acknowledged) <= set(state)
