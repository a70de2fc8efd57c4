"""Notices of the end of other actors."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from perdure.actors import ActorRef, ActorSystem, Context, Message, Stop, StopReason, Terminated
from perdure_testkit import VirtualClock

from .puppet import Do, Puppet, did, in_turn, noting, raising, returning, spawning, waiting
from .turning import soon, turns


def watching(ref: ActorRef) -> Do:
    async def deed(context: Context) -> None:
        context.watch(ref)

    return Do(deed)


def unwatching(ref: ActorRef) -> Do:
    async def deed(context: Context) -> None:
        context.unwatch(ref)

    return Do(deed)


def notices(system: ActorSystem) -> list[Terminated]:
    return [note for note in did(system) if isinstance(note, Terminated)]


@pytest.fixture
async def watcher(system: ActorSystem) -> ActorRef:
    return await system.spawn(Puppet, "watcher")


class TestWatch:
    async def test_tells_of_a_stop(self, system: ActorSystem, watcher: ActorRef) -> None:
        """Once, with the reason, when all of it is over (W-32)."""
        ref = await system.spawn(Puppet, "a", stopping=noting("last hook"))
        await watcher.ask(watching(ref))

        await ref.stop()
        await turns()

        assert did(system)[-2:] == ["last hook", Terminated(ref, StopReason.STOPPED)]

    async def test_tells_of_a_failure_with_the_very_error(self, system: ActorSystem, watcher: ActorRef) -> None:
        """Supervision has ended the actor, and the watcher knows why (W-15)."""
        error = ValueError("broken")
        ref = await system.spawn(Puppet, "a", supervision=Stop())
        await watcher.ask(watching(ref))
        await ref.tell(Do(raising(error)))
        await turns()

        [notice] = notices(system)
        assert (notice.ref, notice.reason) == (ref, StopReason.FAILED)
        assert notice.error is error

    async def test_tells_of_a_failed_start_with_the_very_error(self, system: ActorSystem, watcher: ActorRef) -> None:
        """An actor reached by `ref` may fail to come to life (W-15)."""
        error = LookupError("not today")

        class Unborn(Puppet):
            async def started(self, context: Context) -> None:
                raise error

        ref = system.ref(Unborn, "a")
        await watcher.ask(watching(ref))
        await ref.tell(Do(returning(1)))
        await turns()

        [notice] = notices(system)
        assert (notice.reason, notice.error is error) == (StopReason.FAILED, True)

    async def test_tells_of_an_actor_that_did_not_end_in_time(
        self, system: ActorSystem, clock: VirtualClock, watcher: ActorRef
    ) -> None:
        """It was cancelled."""
        ref = await system.spawn(Puppet, "a")
        await watcher.ask(watching(ref))
        await ref.tell(Do(waiting(asyncio.Event())))
        await turns()
        stop = soon(ref.stop(timeout=1))
        await clock.advance(1)
        await stop
        await turns()

        assert [notice.reason for notice in notices(system)] == [StopReason.CANCELLED]

    async def test_tells_at_once_of_an_actor_that_is_over(self, system: ActorSystem, watcher: ActorRef) -> None:
        """Nobody waits for what has been."""
        ref = await system.spawn(Puppet, "a")
        await ref.stop()

        await watcher.ask(watching(ref))
        await turns()

        assert notices(system) == [Terminated(ref, StopReason.ABSENT)]

    async def test_of_an_actor_that_is_over_is_not_of_its_namesake(
        self, system: ActorSystem, watcher: ActorRef
    ) -> None:
        """A ref from `spawn` means that one actor."""
        old = await system.spawn(Puppet, "a")
        await old.stop()
        new = await system.spawn(Puppet, "a")

        await watcher.ask(watching(old))
        await new.stop()
        await turns()

        assert [notice.reason for notice in notices(system)] == [StopReason.ABSENT]

    async def test_that_is_asked_for_twice_tells_once(self, system: ActorSystem, watcher: ActorRef) -> None:
        """To watch is a state, not a count."""
        ref = await system.spawn(Puppet, "a")
        await watcher.ask(watching(ref))
        await watcher.ask(watching(ref))

        await ref.stop()
        await turns()

        assert len(notices(system)) == 1

    async def test_that_is_given_up_tells_nothing(self, system: ActorSystem, watcher: ActorRef) -> None:
        """`unwatch` may also be called for what was never watched."""
        ref = await system.spawn(Puppet, "a")
        await watcher.ask(watching(ref))
        await watcher.ask(unwatching(ref))
        await watcher.ask(unwatching(ref))

        await ref.stop()
        await turns()

        assert notices(system) == []

    async def test_outlives_a_restart_of_the_watched(self, system: ActorSystem, watcher: ActorRef) -> None:
        """A new instance is the same actor."""
        ref = await system.spawn(Puppet, "a")
        await watcher.ask(watching(ref))
        await ref.tell(Do(raising(ValueError("broken"))))
        await turns()
        early = notices(system)
        await ref.stop()
        await turns()

        assert (early, len(notices(system))) == ([], 1)

    async def test_outlives_a_restart_of_the_watcher(self, system: ActorSystem, watcher: ActorRef) -> None:
        """It is the actor that watches, not its instance."""
        ref = await system.spawn(Puppet, "a")
        await watcher.ask(watching(ref))
        await watcher.tell(Do(raising(ValueError("broken"))))
        await turns()
        await ref.stop()
        await turns()

        assert len(notices(system)) == 1

    async def test_outlives_a_passivation_of_the_watched(
        self, system: ActorSystem, clock: VirtualClock, watcher: ActorRef
    ) -> None:
        """To be put away is not to be over."""
        ref = system.ref(Puppet, "a")
        await ref.ask(Do(returning(1)))
        await watcher.ask(watching(ref))
        await clock.advance(301)
        early = (ref.is_live, notices(system))
        await ref.ask(Do(returning(1)))
        await ref.stop()
        await turns()

        assert (early, [notice.reason for notice in notices(system)]) == ((False, []), [StopReason.STOPPED])

    async def test_outlives_a_passivation_of_the_watcher(self, system: ActorSystem, clock: VirtualClock) -> None:
        """The notice brings it back to life."""
        ref = await system.spawn(Puppet, "a")
        watcher = system.ref(Puppet, "watcher")
        await watcher.ask(watching(ref))
        await clock.advance(301)
        early = watcher.is_live
        await ref.stop()
        await turns()

        assert (early, watcher.is_live, len(notices(system))) == (False, True, 1)

    async def test_ends_with_the_watcher(
        self, system: ActorSystem, watcher: ActorRef, caplog: pytest.LogCaptureFixture
    ) -> None:
        """No notice is sent, lost or kept for a namesake."""
        ref = await system.spawn(Puppet, "a")
        await watcher.ask(watching(ref))
        await watcher.stop()
        await system.spawn(Puppet, "watcher")

        await ref.stop()
        await turns()

        assert (notices(system), system.dead_letters, caplog.text) == ([], 0, "")
        assert system._watches._watchers == system._watches._watched == {}

    async def test_of_each_other_ends_in_peace(self, caplog: pytest.LogCaptureFixture) -> None:
        """When the system closes, whoever is ending is told nothing."""
        async with ActorSystem(clock=VirtualClock()) as system:
            pair = [await system.spawn(Puppet, name) for name in "ab"]
            await pair[0].ask(watching(pair[1]))
            await pair[1].ask(watching(pair[0]))

        assert (system.dead_letters, caplog.text) == (0, "")

    async def test_of_itself_tells_nobody(self, system: ActorSystem, watcher: ActorRef) -> None:
        """Who is over hears nothing."""
        await watcher.ask(watching(watcher))

        await watcher.stop()

        assert (notices(system), system.dead_letters, system.live) == ([], 0, 0)

    async def test_has_room_in_a_full_mailbox(self, system: ActorSystem) -> None:
        """What the system has to say is never lost."""
        gate = asyncio.Event()
        small = type("Small", (Puppet,), {"mailbox_capacity": 1})
        watcher = await system.spawn(small, "watcher")
        ref = await system.spawn(Puppet, "a")
        await watcher.ask(watching(ref))
        await watcher.tell(Do(waiting(gate)))
        await turns()
        await watcher.tell(Do(returning(1)))
        await ref.stop()
        gate.set()
        await turns()

        assert len(notices(system)) == 1


class TestParents:
    async def test_are_told_of_children_that_end_by_themselves(self, system: ActorSystem) -> None:
        """A parent learns of each failure that it has not decided to sit out (AVE-66, W-05)."""
        error = ValueError("broken")

        async def bear(context: Context) -> None:
            context.watch(await context.spawn(Puppet, "b", supervision=Stop()))

        await system.spawn(Puppet, "a", started=bear)
        [child] = system.children("/user/a")
        await child.tell(Do(raising(error)))
        await turns()

        assert [(notice.ref.path, notice.error) for notice in notices(system)] == [("/user/a/b", error)]

    async def test_are_not_told_of_children_that_they_end_themselves(
        self, system: ActorSystem, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Neither at a stop, where it would be a lost message."""

        async def bear(context: Context) -> None:
            context.watch(await context.spawn(Puppet, "b"))

        ref = await system.spawn(Puppet, "a", started=bear)

        await ref.stop()

        assert (notices(system), system.dead_letters, caplog.text) == ([], 0, "")

    async def test_that_restart_are_not_told_of_the_children_of_the_old_instance(self, system: ActorSystem) -> None:
        """Nor at a restart, where a namesake lives already."""

        async def bear(context: Context) -> None:
            context.watch(await context.spawn(Puppet, "b"))

        ref = await system.spawn(Puppet, "a", started=bear)
        await ref.tell(Do(raising(ValueError("broken"))))
        await turns(60)
        early = notices(system)
        await system.children("/user/a")[0].stop()
        await turns()

        assert (early, len(notices(system))) == ([], 1)

    async def test_may_replace_a_child_when_they_are_told(self, system: ActorSystem) -> None:
        """Its name is free by then."""

        async def bear(context: Context) -> None:
            context.watch(await context.spawn(Puppet, "b"))

        class Caring(Puppet):
            async def handle(self, message: Message[Any], context: Context) -> Any:
                if isinstance(message, Terminated):
                    await bear(context)

        await system.spawn(Caring, "a", started=in_turn(bear))
        for _ in range(3):
            await system.children("/user/a")[0].stop()
            await turns()

        assert did(system).count("started b") == 4


async def test_events_tell_of_all_at_once(system: ActorSystem) -> None:
    """Many watchers of one actor each have their notice."""
    ref = await system.spawn(Puppet, "a", started=spawning("b"))
    for n in range(10):
        await (await system.spawn(Puppet, f"watcher{n}")).ask(watching(ref))

    await ref.stop()
    await turns()

    assert len(notices(system)) == 10
