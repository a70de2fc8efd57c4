"""What a system shows of its actors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from perdure import ActorSystem
from perdure.actors import ActorSystem as StorelessSystem
from perdure.actors import ActorView, Fixed, Restart, SystemView
from perdure_testkit import FaultyBackend, VirtualClock

from .puppet import Do, Puppet, raising, returning, spawning, waiting
from .tapes import PureTape, Write
from .turning import soon, turns


@pytest.fixture
async def durable(store: FaultyBackend, clock: VirtualClock) -> AsyncIterator[ActorSystem]:
    async with ActorSystem(store=store, clock=clock, passivate_after=60) as system:
        yield system


def only(view: SystemView) -> ActorView:
    [actor] = view.actors
    return actor


class TestAnActor:
    async def test_at_rest_is_idle(self, system: StorelessSystem) -> None:
        await system.spawn(Puppet, "a")

        assert only(system.inspect()) == ActorView(path="/user/a", type="Puppet", life="idle")

    async def test_that_handles_a_message_says_which_and_for_how_long(
        self, system: StorelessSystem, clock: VirtualClock
    ) -> None:
        ref, gate = await system.spawn(Puppet, "a"), asyncio.Event()
        asked = soon(ref.ask(Do(waiting(gate))))
        await turns()
        await clock.advance(7)

        view = only(system.inspect())

        gate.set()
        await asked
        assert (view.life, view.message, view.seconds) == ("handling", "Do", 7)

    async def test_that_is_busy_shows_how_many_messages_wait(self, system: StorelessSystem) -> None:
        ref, gate = await system.spawn(Puppet, "a"), asyncio.Event()
        asked = [soon(ref.ask(Do(waiting(gate)))) for _ in range(4)]
        await turns()

        view = only(system.inspect())

        gate.set()
        await asyncio.gather(*asked)
        assert view.depth == 3

    async def test_that_waits_for_its_restart_is_restarting(self, clock: VirtualClock) -> None:
        async with StorelessSystem(clock=clock) as system:
            ref = await system.spawn(Puppet, "a", supervision=Restart(backoff=Fixed(5)))
            await ref.tell(Do(raising(ValueError("broken"))))
            await turns()

            assert only(system.inspect()).life == "restarting"

    async def test_shows_its_children_below_it(self, system: StorelessSystem) -> None:
        await system.spawn(Puppet, "a", started=spawning("c", "b"))

        children = only(system.inspect()).children

        assert [child.path for child in children] == ["/user/a/b", "/user/a/c"]

    async def test_that_looks_at_itself_is_handling(self, system: StorelessSystem) -> None:
        async def look(context: object) -> object:
            return only(system.inspect()).life

        ref = await system.spawn(Puppet, "a")

        assert await ref.ask(Do(look)) == "handling"

    async def test_with_a_log_shows_its_id_and_number(self, durable: ActorSystem) -> None:
        await durable.ref(PureTape, "t").ask(Write((1, 2)))

        view = only(durable.inspect())

        assert (view.persistence_id, view.sequence_number) == ("Tape/t", 2)

    async def test_whose_log_is_being_read_is_recovering(self, durable: ActorSystem, store: FaultyBackend) -> None:
        held = store.hold("any")
        asked = soon(durable.ref(PureTape, "t").ask(Write((1,))))
        await turns()

        view = only(durable.inspect())

        held.set()
        await asked
        assert (view.life, view.depth) == ("recovering", 1)


class TestASystem:
    async def test_shows_no_states_unless_asked(self, durable: ActorSystem) -> None:
        await durable.ref(PureTape, "t").ask(Write((1, 2)))

        assert only(durable.inspect()).state is None
        assert only(durable.inspect(states=True)).state == (1, 2)

    async def test_counts_what_was_put_away(self, durable: ActorSystem, clock: VirtualClock) -> None:
        await durable.ref(PureTape, "t").ask(Write((1,)))
        await clock.advance(61)
        await turns()

        view = durable.inspect()

        assert (view.live, view.passivated, view.types) == (0, 1, {})

    async def test_shows_what_is_below_a_path(self, system: StorelessSystem) -> None:
        await system.spawn(Puppet, "a", started=spawning("b"))
        await system.spawn(Puppet, "z")

        assert only(system.inspect("/user/a/b")).path == "/user/a/b"

    async def test_says_that_nobody_lives_at_a_path(self, system: StorelessSystem) -> None:
        with pytest.raises(LookupError, match="no actor lives at /user/nobody"):
            system.inspect("/user/nobody")

    async def test_shows_at_most_so_many_actors(self, system: StorelessSystem) -> None:
        for name in "abc":
            await system.spawn(Puppet, name, started=spawning("x"))

        view = system.inspect(most=3)

        assert [actor.path for actor in view.actors] == ["/user/a", "/user/b"]
        assert view.omitted == 3
        assert str(view).endswith("… and 3 more")

    async def test_is_json_whatever_its_actors_hold(self, system: StorelessSystem) -> None:
        await system.spawn(Puppet, "a", started=returning(None))

        [actor] = msgspec.json.decode(system.inspect(states=True).json())["actors"]

        assert actor["path"] == "/user/a"

    async def test_draws_its_tree(self, durable: ActorSystem) -> None:
        await durable.ref(PureTape, "t").ask(Write((1, 2)))

        assert str(durable.inspect()) == ("open: 1 live, 0 passivated, 0 dead letters\n  /Tape/t (Tape): idle, at 2")

    def test_can_be_seen_before_it_is_open(self) -> None:
        assert ActorSystem().inspect().status == "new"
