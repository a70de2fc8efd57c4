"""A durable state against a plain pair of a revision and a state, whatever happens to its actor."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from perdure import ActorSystem, Backoff, Restart
from perdure.errors import ConflictError, OutcomeUnknown, StaleRevision, StoreUnavailable
from perdure.memory import MemoryBackend
from perdure_testkit import FaultyBackend, VirtualClock

from .boards import Erase, Look, MutatingBoard, PureBoard, Save, SaveAndBreak, stored
from .turning import rest, soon, turns

R = TypeVar("R")

NUMBERS = st.lists(st.integers(-9, 9), max_size=3).map(tuple)


class BoardAndPair(RuleBasedStateMachine):
    """Turn the board and the pair in step; a watcher of each system looks on."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.revision = 0
        self.numbers: list[int] | None = None
        self.system: ActorSystem | None = None
        self.rival: ActorSystem | None = None

    def run(self, awaitable: Awaitable[R]) -> R:
        async def run() -> R:
            return await awaitable

        return self.runner.run(run())

    @initialize(kind=st.sampled_from([PureBoard, MutatingBoard]))
    def begin(self, kind: Any) -> None:
        async def begin() -> None:
            self.store = FaultyBackend(MemoryBackend())
            await self._enter()

        at_once = Restart(backoff=Backoff(initial=0.0), max=3)
        self.board = type("Board", (kind,), {"supervision": at_once, "passivate_after": 60.0})
        self.run(begin())

    async def _enter(self) -> None:
        self.clock = VirtualClock()
        self.system = await ActorSystem(store=self.store, clock=self.clock).__aenter__()
        self.ref = self.system.ref(self.board, "a")
        self.watching = soon(rest(self.ref.subscribe(after=0)))

    async def _leave(self) -> None:
        assert self.system is not None
        await self.system.close()
        revisions = [change.revision for change in await self.watching]
        assert revisions == sorted(set(revisions))
        assert (revisions or [0])[-1] == self.revision

    def saved(self, numbers: tuple[int, ...]) -> None:
        self.revision += 1
        self.numbers = list(numbers)

    def deleted(self) -> None:
        if self.numbers is not None:
            self.revision += 1
            self.numbers = None

    # What happens to it.

    @rule(numbers=NUMBERS)
    def save(self, numbers: tuple[int, ...]) -> None:
        revision = self.run(self.ref.ask(Save(numbers)))
        self.saved(numbers)
        assert revision == self.revision

    @rule()
    def delete(self) -> None:
        revision = self.run(self.ref.ask(Erase()))
        self.deleted()
        assert revision == self.revision

    @rule(numbers=NUMBERS, expected=st.integers(0, 12))
    def save_if(self, numbers: tuple[int, ...], expected: int) -> None:
        if expected == self.revision:
            self.run(self.ref.ask(Save(numbers, expected)))
            self.saved(numbers)
        else:
            with pytest.raises(StaleRevision):
                self.run(self.ref.ask(Save(numbers, expected)))

    @rule(many=st.lists(NUMBERS, min_size=2, max_size=5))
    def save_many_at_once(self, many: list[tuple[int, ...]]) -> None:
        async def save() -> list[int]:
            return await asyncio.gather(*(self.ref.ask(Save(numbers)) for numbers in many))

        for numbers, revision in zip(many, self.run(save()), strict=True):
            self.saved(numbers)
            assert revision == self.revision

    @rule(numbers=NUMBERS, delete=st.booleans())
    def write_with_the_store_down(self, numbers: tuple[int, ...], delete: bool) -> None:
        async def write() -> None:
            await self.ref.ask(Look())
            self.store.reject("commit", when=lambda groups: any(group.expectations for group in groups))
            with pytest.raises(StoreUnavailable):
                await self.ref.ask(Erase() if delete else Save(numbers))
            self.store.heal()

        if not delete or self.numbers is not None:
            self.run(write())

    @rule(numbers=NUMBERS, delete=st.booleans())
    def write_and_lose_the_answer(self, numbers: tuple[int, ...], delete: bool) -> None:
        async def write() -> None:
            await self.ref.ask(Look())
            self.store.lose("commit", when=lambda groups: any(group.expectations for group in groups))
            with pytest.raises(OutcomeUnknown):
                await self.ref.ask(Erase() if delete else Save(numbers))
            self.store.heal()

        if not delete:
            self.run(write())
            self.saved(numbers)
        elif self.numbers is not None:
            self.run(write())
            self.deleted()

    @rule(numbers=NUMBERS, count=st.integers(1, 30))
    def save_and_cancel_the_actor(self, numbers: tuple[int, ...], count: int) -> None:
        async def save() -> tuple[Any, Any]:
            await self.ref.ask(Look())
            ask = soon(self.ref.ask(Save(numbers)))
            await turns(count)
            for runner in list(self.system.dispatcher._runners):  # type: ignore[union-attr]
                runner.task.cancel()
            [outcome] = await asyncio.gather(ask, return_exceptions=True)
            return outcome, await self.ref.ask(Look())

        outcome, (revision, _, _) = self.run(save())
        if revision == self.revision + 1:
            self.saved(numbers)
        if isinstance(outcome, int):
            assert outcome == self.revision == revision

    @rule(numbers=NUMBERS)
    def fail_in_the_handler(self, numbers: tuple[int, ...]) -> None:
        with pytest.raises(ValueError, match="broken"):
            self.run(self.ref.ask(SaveAndBreak(numbers)))
        self.saved(numbers)

    @rule()
    def stop_the_actor(self) -> None:
        self.run(self.ref.stop())

    @rule()
    def let_it_be_idle(self) -> None:
        self.run(self.clock.advance(61))

    @rule()
    def restart_the_system(self) -> None:
        async def restart() -> None:
            await self._leave()
            await self._enter()

        self.run(restart())

    @rule()
    def abandon_the_system(self) -> None:
        """Begin another one while the old one still lives, as after a partition; the old one is ended later."""

        async def abandon() -> None:
            if self.rival is not None:
                await self.rival.close()
            self.rival = self.system
            await self._enter()

        self.run(abandon())

    @rule(numbers=NUMBERS)
    def let_the_old_system_save(self, numbers: tuple[int, ...]) -> None:
        """Have a stale writer refused, or one that has seen everything be first; the present one then finds out."""

        async def save() -> None:
            assert self.rival is not None
            await self.ref.ask(Look())
            try:
                await self.rival.ref(self.board, "a").ask(Save(numbers))
            except ConflictError:
                return
            self.saved(numbers)
            with pytest.raises(ConflictError):
                await self.ref.ask(Save((99,)))

        if self.rival is not None:
            self.run(save())

    # What holds.

    @invariant()
    def the_actor_says_what_the_pair_says(self) -> None:
        if self.system is not None:
            look = self.run(self.ref.ask(Look()))
            assert look == (self.revision, self.numbers or [], self.numbers is not None)

    @invariant()
    def the_store_has_the_newest_revision_alone(self) -> None:
        if self.system is not None:
            assert self.run(stored(self.store)) == ([(self.revision, self.numbers)] if self.revision else [])

    def teardown(self) -> None:
        async def end() -> None:
            if self.rival is not None:
                await self.rival.close()
            await self._leave()
            await self.store.close()

        if self.system is not None:
            self.run(end())
        self.runner.close()


TestBoardAndPair = BoardAndPair.TestCase
TestBoardAndPair.settings = settings(
    max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
