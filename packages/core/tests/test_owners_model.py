"""Three owners of one log, whatever they do in whatever order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from itertools import count, pairwise
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from perdure import ActorRef, ActorSystem
from perdure.abc import WriteGroup
from perdure.errors import OutcomeUnknown, StoreUnavailable, Superseded
from perdure.memory import MemoryBackend
from perdure.persistence._claims import OWNERS
from perdure.query import Query
from perdure_testkit import FaultyBackend, VirtualClock

from .tapes import MutatingTape, PureTape, Read, Write, light, values
from .turning import soon, turns

R = TypeVar("R")

OWNER = st.integers(0, 2)


class OwnersAndLog(RuleBasedStateMachine):
    """Know who has claimed the log, who has lost it, and what was acknowledged or may have been written."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.numbers = count(1)
        self.names = count(1)
        self.systems: list[ActorSystem] = []
        self.abandoned: list[ActorSystem] = []
        self.clocks: list[VirtualClock] = []
        self.lost: list[bool] = [False, False, False]
        self.claimed: list[bool] = [False, False, False]
        self.acknowledged: set[int] = set()
        self.maybe: set[int] = set()

    def run(self, awaitable: Awaitable[R]) -> R:
        async def run() -> R:
            return await awaitable

        return self.runner.run(run())

    @initialize(kind=st.sampled_from([PureTape, MutatingTape, light(PureTape)]))
    def begin(self, kind: Any) -> None:
        async def begin() -> None:
            self.store = FaultyBackend(MemoryBackend())
            self.clocks = [VirtualClock() for _ in range(3)]
            self.systems = [await self._system(clock) for clock in self.clocks]

        self.tape = type("Tape", (kind,), {"passivate_after": 60.0})
        self.run(begin())

    async def _system(self, clock: VirtualClock) -> ActorSystem:
        return await ActorSystem(store=self.store, owner=f"owner {next(self.names)}", clock=clock).__aenter__()

    def ref(self, owner: int) -> ActorRef:
        return self.systems[owner].ref(self.tape, "a")

    async def _write(self, owner: int) -> str:
        """Have an owner write the next number, and say how that went."""
        number = next(self.numbers)
        try:
            await self.ref(owner).ask(Write((number,)))
        except Superseded:
            return "superseded"
        except StoreUnavailable:
            return "rejected"
        except OutcomeUnknown:
            self.maybe.add(number)
            return "unknown"
        self.acknowledged.add(number)
        return "acknowledged"

    def own(self, owner: int) -> None:
        """Note that an owner has claimed the log."""
        self.lost = [self.claimed[other] and other != owner for other in range(3)]
        self.claimed[owner] = True

    def may_not(self, owner: int) -> bool:
        return self.lost[owner]

    # What they do.

    @rule(owner=OWNER)
    def write(self, owner: int) -> None:
        outcome = self.run(self._write(owner))
        assert outcome == ("superseded" if self.may_not(owner) else "acknowledged")
        if outcome == "acknowledged" and not self.claimed[owner]:
            self.own(owner)

    @rule(owners=st.lists(OWNER, min_size=2, max_size=6), between=st.integers(0, 8))
    def write_at_once(self, owners: list[int], between: int) -> None:
        """Whoever claims last is the owner; nobody who had lost it before writes anything."""

        async def write() -> list[str]:
            writes = []
            for owner in owners:
                writes.append(soon(self._write(owner)))
                await turns(between)
            return await asyncio.gather(*writes)

        outcomes = self.run(write())
        for owner, outcome in zip(owners, outcomes, strict=True):
            assert outcome in ("acknowledged", "superseded")
            assert outcome == "superseded" or not self.may_not(owner)
        self.run(self._look_who_owns_it(owners))

    async def _look_who_owns_it(self, claimants: list[int]) -> None:
        owner = await self.systems[0].owner_of(self.ref(0))
        for claimant in claimants:
            self.claimed[claimant] = True
        for number, system in enumerate(self.systems):
            if owner is not None and system._owner == owner.name:
                self.own(number)

    @rule(late=OWNER, owner=OWNER)
    def write_late(self, late: int, owner: int) -> None:
        """Have another claim the log while a write is on its way, which then comes too late."""

        async def write() -> str:
            self.store.hold("commit", when=lambda groups: len(groups[0].expectations) == 2)
            slow = soon(self._write(late))
            await turns(30)
            await self.ref(owner).ask(Read())
            self.store.heal()
            return await slow

        if late == owner or self.may_not(late) or self.claimed[owner]:
            return
        assert self.run(write()) == "superseded"
        self.claimed[late] = True
        self.own(owner)

    @rule(owner=OWNER)
    def read(self, owner: int) -> None:
        """Have a live actor answer from what it has, and one that comes to life refused if it was superseded."""

        async def read() -> None:
            was_live = self.systems[owner].live
            try:
                state = await self.ref(owner).ask(Read())
            except Superseded:
                assert self.may_not(owner)
            else:
                assert was_live or not self.may_not(owner)
                log = await values(self.store)
                assert state == log[: len(state)]
                assert was_live or state == log

        self.run(read())
        if not self.claimed[owner]:
            self.own(owner)

    @rule(owner=OWNER, lose=st.booleans())
    def fail_to_write(self, owner: int, lose: bool) -> None:
        """Fail at the claim or the append: the owner is what it was, or free to claim again."""

        async def write() -> None:
            def guarded(groups: list[WriteGroup]) -> bool:
                return any(group.expectations for group in groups)

            if lose:
                self.store.lose("commit", when=guarded)
            else:
                self.store.reject("commit", when=guarded)
            outcome = await self._write(owner)
            self.store.heal()
            assert outcome == ("unknown" if lose else "rejected") or (outcome == "superseded" and self.may_not(owner))
            await self.ref(owner).stop()

        was_new = not self.claimed[owner]
        self.run(write())
        if was_new and lose:  # the claim was made, and nobody knows
            self.lost = list(self.claimed)

    @rule(owner=OWNER)
    def be_idle(self, owner: int) -> None:
        self.run(self.clocks[owner].advance(61))

    @rule(owner=OWNER)
    def reclaim(self, owner: int) -> None:
        self.run(self.systems[owner].reclaim(self.ref(owner)))
        if self.lost[owner]:
            self.lost[owner] = self.claimed[owner] = False

    @rule(owner=OWNER, gracefully=st.booleans())
    def begin_anew(self, owner: int, gracefully: bool) -> None:
        """Start a system again, which has claimed nothing; one that was only thought to be dead lives on."""

        async def restart() -> None:
            old, self.systems[owner] = self.systems[owner], await self._system(self.clocks[owner])
            if gracefully:
                await old.close()
            else:
                self.abandoned.append(old)

        self.run(restart())
        self.lost[owner] = self.claimed[owner] = False

    @rule(data=st.data())
    def let_an_abandoned_one_write(self, data: st.DataObject) -> None:
        """Let it, while nobody has claimed the log after it."""

        async def write(system: ActorSystem) -> None:
            number = next(self.numbers)
            owner = await system.owner_of(system.ref(self.tape, "a"))
            try:
                await system.ref(self.tape, "a").ask(Write((number,)))
            except Superseded:
                assert owner is None or owner.name != system._owner
            else:
                self.acknowledged.add(number)
                assert owner is not None
                assert owner.name == system._owner

        knowing = [system for system in self.abandoned if system._claims()._epochs]
        if knowing:
            self.run(write(data.draw(st.sampled_from(knowing))))

    # What holds.

    @invariant()
    def what_was_acknowledged_is_there_once(self) -> None:
        if self.systems:
            log = self.run(values(self.store))
            assert len(set(log)) == len(log)
            assert self.acknowledged <= set(log) <= self.acknowledged | self.maybe

    @invariant()
    def epochs_never_go_down(self) -> None:
        async def epochs() -> list[int]:
            return [event.epoch async for event in Query(self.store).events_of("Tape/a")]

        if self.systems:
            assert all(before <= after for before, after in pairwise(self.run(epochs())))

    @invariant()
    def one_at_most_may_append(self) -> None:
        """Of all who believe that they own the log, one is right, or none."""

        async def owners() -> list[int]:
            version, _ = await self.store.read_state(OWNERS, "Tape/a")
            held = [system._claims()._epochs.get("Tape/a") for system in (*self.systems, *self.abandoned)]
            return [epoch for epoch in held if epoch == version]

        if self.systems:
            assert len(self.run(owners())) <= 1

    def teardown(self) -> None:
        async def end() -> None:
            for system in (*self.systems, *self.abandoned):
                await system.close()

        self.run(end())
        self.runner.close()


TestOwnersAndLog = OwnersAndLog.TestCase
TestOwnersAndLog.settings = settings(
    max_examples=40, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
