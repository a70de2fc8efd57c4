"""An actor against a plain list, whatever happens to it.

The model knows what was acknowledged, and which writes nobody knows the outcome of. After every step the actor's state
must be the values of its log, and the log one of those that the model allows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from perdure import (
    ActorSystem,
    Backoff,
    Full,
    Light,
    Restart,
    every,
    every_n_bytes,
    every_n_events,
    never,
    on_stop,
)
from perdure.abc import Put, WriteGroup
from perdure.errors import ConflictError, OutcomeUnknown, StoreUnavailable
from perdure.journal import EVENTS
from perdure.memory import MemoryBackend
from perdure.snapshots import SNAPSHOTS
from perdure_testkit import FaultyBackend, VirtualClock

from .tapes import Break, MutatingTape, Number, PureTape, Read, Write, keys

R = TypeVar("R")

STRATEGIES = st.one_of(
    st.builds(
        Full,
        snapshot=st.one_of(
            st.builds(every_n_events, st.integers(1, 5)),
            st.sampled_from([never, on_stop, every_n_bytes(60) | on_stop, every(30) | every_n_events(4)]),
        ),
        keep_snapshots=st.integers(1, 3),
        keep_snapshots_for=st.sampled_from([None, 45]),
        compact=st.sampled_from([False, True, "archive"]),
    ),
    st.builds(Light, compact=st.booleans()),
)
EVENTS_AT_ONCE = st.integers(1, 4)
DOWN = StoreUnavailable("commit", "down")


class TapeAndList(RuleBasedStateMachine):
    """Turn the tape and the list in step."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.next_value = 0
        self.expected: list[int] = []
        self.system: ActorSystem | None = None
        self.rival: ActorSystem | None = None

    def run(self, awaitable: Awaitable[R]) -> R:
        async def run() -> R:
            return await awaitable

        return self.runner.run(run())

    @initialize(strategy=STRATEGIES, kind=st.sampled_from([PureTape, MutatingTape]))
    def begin(self, strategy: Full | Light, kind: Any) -> None:
        self.kind = kind
        self.run(self._begin(strategy))

    async def _begin(self, strategy: Full | Light) -> None:
        self.store = FaultyBackend(MemoryBackend())
        await self._enter(strategy)

    async def _enter(self, strategy: Full | Light) -> None:
        at_once = Restart(backoff=Backoff(initial=0.0), max=3)
        self.tape = type("Tape", (self.kind,), {"strategy": strategy, "supervision": at_once, "passivate_after": 60.0})
        self.clock = VirtualClock()
        self.system = await ActorSystem(store=self.store, clock=self.clock).__aenter__()
        self.ref = self.system.ref(self.tape, "a")

    async def _leave(self) -> None:
        if self.system is not None:
            await self.system.close()

    def values(self, count: int) -> tuple[int, ...]:
        self.next_value += count
        return tuple(range(self.next_value - count, self.next_value))

    async def _resolve(self, maybe: tuple[int, ...]) -> None:
        """Take what the actor says of a write of unknown outcome: all of it is there, or nothing."""
        state = await self.ref.ask(Read())
        if state == [*self.expected, *maybe]:
            self.expected.extend(maybe)

    # What happens to it.

    @rule(count=EVENTS_AT_ONCE)
    def write(self, count: int) -> None:
        values = self.values(count)
        number = self.run(self.ref.ask(Write(values)))
        self.expected.extend(values)
        assert number == len(self.expected)

    @rule(counts=st.lists(EVENTS_AT_ONCE, min_size=2, max_size=5))
    def write_many_at_once(self, counts: list[int]) -> None:
        async def write() -> list[int]:
            return await asyncio.gather(*(self.ref.ask(Write(values)) for values in batches))

        batches = [self.values(count) for count in counts]
        numbers = self.run(write())
        for values, number in zip(batches, numbers, strict=True):
            self.expected.extend(values)
            assert number == len(self.expected)

    @rule(count=EVENTS_AT_ONCE)
    def write_with_the_store_down(self, count: int) -> None:
        async def write() -> None:
            await self.ref.ask(Number())
            self.store.reject("commit", DOWN, when=lambda groups: any(group.expectations for group in groups))
            with pytest.raises(StoreUnavailable):
                await self.ref.ask(Write(self.values(count)))
            self.store.heal()

        self.run(write())

    @rule(count=EVENTS_AT_ONCE)
    def write_and_lose_the_answer(self, count: int) -> None:
        async def write() -> None:
            await self.ref.ask(Number())
            self.store.lose("commit", when=lambda groups: any(group.expectations for group in groups))
            with pytest.raises(OutcomeUnknown):
                await self.ref.ask(Write(values))
            self.store.heal()

        values = self.values(count)
        self.run(write())
        self.expected.extend(values)

    @rule(count=EVENTS_AT_ONCE, turns=st.integers(0, 30))
    def write_and_give_up(self, count: int, turns: int) -> None:
        async def write() -> None:
            ask = asyncio.ensure_future(self.ref.ask(Write(values)))
            await turn(turns)
            ask.cancel()
            await asyncio.wait([ask])
            await self._resolve(values)
            if not ask.cancelled():
                assert self.expected[-count:] == list(values)

        values = self.values(count)
        self.run(write())

    @rule(count=EVENTS_AT_ONCE, turns=st.integers(1, 30))
    def write_and_cancel_the_actor(self, count: int, turns: int) -> None:
        async def write() -> None:
            await self.ref.ask(Number())
            ask = asyncio.ensure_future(self.ref.ask(Write(values)))
            await turn(1 + turns)
            for runner in list(self.system.dispatcher._runners):  # type: ignore[union-attr]
                runner.task.cancel()
            [outcome] = await asyncio.gather(ask, return_exceptions=True)
            await self._resolve(values)
            if isinstance(outcome, int):
                assert self.expected[-count:] == list(values)

        values = self.values(count)
        self.run(write())

    @rule(count=st.integers(0, 3))
    def fail_in_the_handler(self, count: int) -> None:
        async def fail() -> None:
            with pytest.raises(ValueError, match="broken"):
                await self.ref.ask(Break(values))

        values = self.values(count)
        self.run(fail())
        self.expected.extend(values)

    @rule()
    def lose_the_snapshots(self) -> None:
        """Fail snapshots and their compaction until the faults are healed."""
        self.store.reject("commit", DOWN, when=is_snapshot)

    @rule()
    def stop_the_actor(self) -> None:
        self.run(self.ref.stop())

    @rule()
    def let_it_be_idle(self) -> None:
        self.run(self.clock.advance(61))

    @rule(strategy=STRATEGIES)
    def restart_the_system_with_another_strategy(self, strategy: Full | Light) -> None:
        async def restart() -> None:
            self.store.heal()
            await self._leave()
            await self._enter(strategy)

        self.run(restart())

    @rule(strategy=STRATEGIES)
    def abandon_the_system(self, strategy: Full | Light) -> None:
        """Begin another one while the old one still lives, as after a kill; the old one is ended later."""

        async def abandon() -> None:
            self.store.heal()
            if self.rival is not None:
                await self.rival.close()
            self.rival = self.system
            await self._enter(strategy)

        self.run(abandon())

    @rule(count=EVENTS_AT_ONCE)
    def let_the_old_system_write(self, count: int) -> None:
        """Have a stale writer refused, or one that has seen everything be first; the present one then finds out."""

        async def write() -> None:
            assert self.rival is not None
            self.store.heal()
            try:
                await self.rival.ref(next(iter(self.rival._types.values())).actor_type, "a").ask(Write(values))
            except ConflictError:
                return
            self.expected.extend(values)
            with pytest.raises(ConflictError):
                await self.ref.ask(Write((-1,)))

        async def seen() -> None:
            await self.ref.ask(Number())

        if self.rival is None:
            return
        values = self.values(count)
        self.run(seen())
        self.run(write())

    # What holds.

    @invariant()
    def the_actor_says_what_the_list_says(self) -> None:
        if self.system is None:
            return
        assert self.run(self.ref.ask(Read())) == self.expected
        assert self.run(self.ref.ask(Number())) == len(self.expected)

    @invariant()
    def the_log_ends_at_the_last_event_and_has_no_gap(self) -> None:
        if self.system is None:
            return
        log = self.run(keys(self.store))
        assert log == list(range(len(self.expected) - len(log) + 1, len(self.expected) + 1))
        assert self.run(self.store.last(EVENTS, "Tape/a")) == len(self.expected)

    def teardown(self) -> None:
        async def end() -> None:
            if self.rival is not None:
                await self.rival.close()
            await self._leave()
            await self.store.close()

        if self.system is not None:
            self.run(end())
        self.runner.close()


def is_snapshot(groups: Sequence[WriteGroup]) -> bool:
    """Tell whether a commit is of snapshots alone, so that nobody else fails with them."""
    firsts = [group.writes[0] for group in groups if group.writes]
    return bool(firsts) and all(isinstance(write, Put) and write.collection == SNAPSHOTS for write in firsts)


async def turn(times: int) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


TestTapeAndList = TapeAndList.TestCase
TestTapeAndList.settings = settings(
    max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
