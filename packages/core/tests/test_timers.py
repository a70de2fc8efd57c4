"""Messages that an actor sends itself at a time. Time passes only when a test says so."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from perdure.actors import Actor, ActorRef, ActorSystem, ActorTimer, Context, Message, ReceiveTimeout
from perdure_testkit import VirtualClock

from .turning import soon, turns


class Once(Message[None]):
    delay: float
    text: str = "once"
    name: str | None = None


class Every(Message[None]):
    interval: float
    text: str = "tick"
    first: float | None = None
    name: str | None = None


class Cancel(Message[None]):
    name: str


class Silence(Message[None]):
    seconds: float | None


class Tick(Message[None]):
    text: str


class Break(Message[None]):
    pass


class Block(Message[None]):
    """Wait until the gate of the actor opens."""


class Ringing(Actor):
    """Notes when it hears of a timer."""

    def __init__(self, heard: list[tuple[float, str]], gate: asyncio.Event | None = None) -> None:
        self.heard = heard
        self.gate = gate

    async def handle(self, message: Message[Any], context: Context) -> Any:
        match message:
            case Once(delay, text, name):
                self.timer = context.schedule_once(delay, Tick(text), name=name)
            case Every(interval, text, first, name):
                self.timer = context.every(interval, Tick(text), first=first, name=name)
            case Cancel("the last one"):
                self.timer.cancel()
                self.timer.cancel()
            case Cancel(name):
                context.cancel(name)
            case Silence(seconds):
                context.set_receive_timeout(seconds)
            case Tick(text):
                self.heard.append((context.system.clock.monotonic(), text))
            case ReceiveTimeout():
                self.heard.append((context.system.clock.monotonic(), "silence"))
            case Break():
                raise ValueError("broken")
            case Block() if self.gate is not None:
                await self.gate.wait()


class Ephemeral(Ringing):
    """Is reached by `ref`, and put away after ten seconds."""

    passivate_after = 10.0
    log: list[tuple[float, str]]

    def __init__(self) -> None:
        super().__init__(self.log)


@pytest.fixture
def heard() -> list[tuple[float, str]]:
    return []


@pytest.fixture
async def ref(system: ActorSystem, heard: list[tuple[float, str]]) -> ActorRef:
    return await system.spawn(Ringing, "a", heard)


def hang_for(clock: VirtualClock, seconds: float) -> None:
    """Have time pass in which the loop does not turn, as where a function blocks."""
    clock._now += seconds


class TestOnce:
    async def test_comes_at_its_time(self, ref: ActorRef, clock: VirtualClock, heard: list[tuple[float, str]]) -> None:
        """Once, and not before."""
        await ref.ask(Once(5))
        await clock.advance(4.9)
        early = list(heard)
        await clock.advance(10)

        assert (early, heard) == ([], [(5, "once")])

    async def test_of_no_delay_comes_after_the_message_in_hand(
        self, ref: ActorRef, clock: VirtualClock, heard: list[tuple[float, str]]
    ) -> None:
        """Zero seconds is a time as any other."""
        await ref.ask(Once(0))

        await clock.advance(0)

        assert heard == [(0, "once")]

    async def test_may_be_cancelled(self, ref: ActorRef, clock: VirtualClock, heard: list[tuple[float, str]]) -> None:
        """By the timer, again and again."""
        await ref.ask(Once(5))
        await ref.ask(Cancel("the last one"))

        await clock.advance(10)

        assert heard == []

    async def test_may_be_cancelled_when_it_is_over(
        self, ref: ActorRef, clock: VirtualClock, heard: list[tuple[float, str]]
    ) -> None:
        """That is silent, and touches no other timer."""
        await ref.ask(Once(1, "first", name="x"))
        await clock.advance(2)
        await ref.ask(Cancel("the last one"))
        await ref.ask(Once(1, "second", name="x"))
        await clock.advance(2)

        assert heard == [(1, "first"), (3, "second")]

    async def test_is_handled_after_what_came_before(
        self, system: ActorSystem, clock: VirtualClock, heard: list[tuple[float, str]]
    ) -> None:
        """It waits in the mailbox as any message."""
        gate = asyncio.Event()
        ref = await system.spawn(Ringing, "busy", heard, gate)
        await ref.ask(Once(1))
        blocked, queued = soon(ref.ask(Block())), soon(ref.ask(Tick("queued")))
        await clock.advance(2)
        gate.set()
        await asyncio.gather(blocked, queued)
        await turns()

        assert [text for _, text in heard] == ["queued", "once"]

    async def test_finds_room_in_a_full_mailbox(
        self, system: ActorSystem, clock: VirtualClock, heard: list[tuple[float, str]]
    ) -> None:
        """What the actor says to itself never waits outside."""
        gate = asyncio.Event()
        small = type("Small", (Ringing,), {"mailbox_capacity": 1})
        ref = await system.spawn(small, "busy", heard, gate)
        await ref.ask(Once(1))
        asks = [soon(ref.ask(Block())), *(soon(ref.ask(Tick(text))) for text in ("queued", "parked"))]
        await clock.advance(2)
        gate.set()
        await asyncio.gather(*asks)

        assert sorted(text for _, text in heard) == ["once", "parked", "queued"]

    @pytest.mark.parametrize("delay", [-1, float("nan")])
    async def test_of_no_time_is_refused(self, system: ActorSystem, delay: float) -> None:
        """The error says what a delay is."""
        ref = system.ref(Ephemeral, "a")
        Ephemeral.log = []

        with pytest.raises(ValueError, match="the delay is 0 seconds or more"):
            await ref.ask(Once(delay))


class TestEvery:
    async def test_comes_again_and_again(
        self, ref: ActorRef, clock: VirtualClock, heard: list[tuple[float, str]]
    ) -> None:
        """The first time after one interval."""
        await ref.ask(Every(2))

        await clock.advance(7)

        assert heard == [(2, "tick"), (4, "tick"), (6, "tick")]

    async def test_may_begin_at_another_time(
        self, ref: ActorRef, clock: VirtualClock, heard: list[tuple[float, str]]
    ) -> None:
        """`first` is for the first one only."""
        await ref.ask(Every(2, first=0))

        await clock.advance(5)

        assert [when for when, _ in heard] == [0, 2, 4]

    async def test_does_not_drift(self, ref: ActorRef, clock: VirtualClock, heard: list[tuple[float, str]]) -> None:
        """A late ring does not make the next one late."""
        await ref.ask(Every(10))
        hang_for(clock, 13)
        await clock.advance(20)

        assert [when for when, _ in heard] == [13, 20, 30]

    async def test_skips_the_times_that_were_missed(
        self, ref: ActorRef, clock: VirtualClock, heard: list[tuple[float, str]]
    ) -> None:
        """After a standstill there is one ring, not all of them at once."""
        await ref.ask(Every(1))
        hang_for(clock, 5.5)
        await clock.advance(1)

        assert [when for when, _ in heard] == [5.5, 6]

    async def test_does_not_pile_up(
        self, system: ActorSystem, clock: VirtualClock, heard: list[tuple[float, str]]
    ) -> None:
        """An actor that is behind finds one in its mailbox."""
        gate = asyncio.Event()
        ref = await system.spawn(Ringing, "busy", heard, gate)
        await ref.ask(Every(1))
        blocked = soon(ref.ask(Block()))
        await clock.advance(5.5)
        gate.set()
        await blocked
        await turns()

        assert heard == [(5.5, "tick")]

    async def test_ends_when_it_is_cancelled(
        self, ref: ActorRef, clock: VirtualClock, heard: list[tuple[float, str]]
    ) -> None:
        """By its name; there need not be one."""
        await ref.ask(Every(1, name="x"))
        await clock.advance(2)
        await ref.ask(Cancel("x"))
        await ref.ask(Cancel("x"))
        await clock.advance(5)

        assert [when for when, _ in heard] == [1, 2]

    @pytest.mark.parametrize("interval", [0, -1, float("nan")])
    async def test_of_no_interval_is_refused(self, system: ActorSystem, interval: float) -> None:
        """It would never let go of the loop."""
        Ephemeral.log = []

        with pytest.raises(ValueError, match="an interval is more than 0 seconds"):
            await system.ref(Ephemeral, "a").ask(Every(interval))


class TestNames:
    async def test_replace_a_timer(self, ref: ActorRef, clock: VirtualClock, heard: list[tuple[float, str]]) -> None:
        """There is one timer of a name."""
        await ref.ask(Once(5, "first", name="x"))
        await ref.ask(Every(7, "second", name="x"))

        await clock.advance(8)

        assert heard == [(7, "second")]

    async def test_may_differ(self, ref: ActorRef, clock: VirtualClock, heard: list[tuple[float, str]]) -> None:
        """Timers of different names, and those without, leave each other alone."""
        for name in ("x", "y", None, None):
            await ref.ask(Once(1, str(name), name=name))

        await clock.advance(2)

        assert [text for _, text in heard] == ["x", "y", "None", "None"]


class TestLife:
    @pytest.mark.parametrize("timer", [Once(1), Every(1)], ids=["once", "every"])
    async def test_ends_at_a_restart(
        self, ref: ActorRef, clock: VirtualClock, heard: list[tuple[float, str]], timer: Message[None]
    ) -> None:
        """A new instance sets its own timers."""
        await ref.ask(timer)
        with pytest.raises(ValueError, match="broken"):
            await ref.ask(Break())

        await clock.advance(5)

        assert heard == []

    @pytest.mark.parametrize("timer", [Once(1), Every(1)], ids=["once", "every"])
    async def test_ends_at_a_stop(self, system: ActorSystem, ref: ActorRef, clock: VirtualClock, timer: Any) -> None:
        """Nothing rings for who is over."""
        await ref.ask(timer)
        await ref.stop()

        await clock.advance(5)

        assert system.dead_letters == 0

    async def test_begins_with_the_instance(self, system: ActorSystem, clock: VirtualClock) -> None:
        """A timer may be set before the first message, and after each restart."""
        heard: list[tuple[float, str]] = []

        class Waking(Ringing):
            async def started(self, context: Context) -> None:
                context.every(1, Tick("tick"))

        ref = await system.spawn(Waking, "a", heard)
        await clock.advance(1.5)
        with pytest.raises(ValueError, match="broken"):
            await ref.ask(Break())
        await clock.advance(1.5)

        assert [when for when, _ in heard] == [1, 2.5]

    async def test_keeps_the_actor_from_being_put_away(self, system: ActorSystem, clock: VirtualClock) -> None:
        """Whoever is yet to hear something is not idle; afterwards it is."""
        Ephemeral.log = []
        ref = system.ref(Ephemeral, "a")
        await ref.ask(Once(25))
        await clock.advance(24)
        live = ref.is_live
        await clock.advance(20)

        assert (live, Ephemeral.log, ref.is_live) == (True, [(25, "once")], False)

    async def test_that_is_set_by_the_last_hook_never_rings(self, system: ActorSystem, clock: VirtualClock) -> None:
        """Nor does it keep anything alive."""
        timers: list[ActorTimer] = []

        class Hopeful(Ringing):
            async def stopping(self, context: Context) -> None:
                timers.append(context.schedule_once(1, Tick("too late")))

        ref = await system.spawn(Hopeful, "a", [])
        await ref.stop()
        await clock.advance(2)

        assert (len(timers), system.dead_letters) == (1, 0)


class TestReceiveTimeout:
    async def test_comes_after_silence(
        self, ref: ActorRef, clock: VirtualClock, heard: list[tuple[float, str]]
    ) -> None:
        """Each message begins the time anew."""
        await ref.ask(Silence(5))
        await clock.advance(4)
        await ref.ask(Tick("word"))
        await clock.advance(4.9)
        early = list(heard)
        await clock.advance(0.2)

        assert (early, heard[1:]) == ([(4, "word")], [(9, "silence")])

    async def test_comes_again_while_the_silence_lasts(
        self, ref: ActorRef, clock: VirtualClock, heard: list[tuple[float, str]]
    ) -> None:
        """It counts from the last message, itself included."""
        await ref.ask(Silence(5))

        await clock.advance(16)

        assert heard == [(5, "silence"), (10, "silence"), (15, "silence")]

    async def test_may_be_called_off(self, ref: ActorRef, clock: VirtualClock, heard: list[tuple[float, str]]) -> None:
        """None is for no more."""
        await ref.ask(Silence(5))
        await ref.ask(Silence(None))

        await clock.advance(20)

        assert heard == []

    async def test_does_not_come_while_a_message_is_handled(
        self, system: ActorSystem, clock: VirtualClock, heard: list[tuple[float, str]]
    ) -> None:
        """A busy actor waits for nothing."""
        gate = asyncio.Event()
        ref = await system.spawn(Ringing, "busy", heard, gate)
        await ref.ask(Silence(5))
        blocked = soon(ref.ask(Block()))
        await clock.advance(20)
        busy = list(heard)
        gate.set()
        await blocked
        await clock.advance(5)

        assert (busy, heard) == ([], [(25, "silence")])

    async def test_may_be_set_at_the_start(self, system: ActorSystem, clock: VirtualClock) -> None:
        """An actor that never hears anything hears that."""
        heard: list[tuple[float, str]] = []

        class Lonely(Ringing):
            async def started(self, context: Context) -> None:
                context.set_receive_timeout(3)

        await system.spawn(Lonely, "a", heard)
        await clock.advance(4)

        assert heard == [(3, "silence")]

    async def test_ends_at_a_restart(self, ref: ActorRef, clock: VirtualClock, heard: list[tuple[float, str]]) -> None:
        """A new instance sets its own."""
        await ref.ask(Silence(5))
        with pytest.raises(ValueError, match="broken"):
            await ref.ask(Break())

        await clock.advance(20)

        assert heard == []

    @pytest.mark.parametrize("seconds", [0, -1, float("nan")])
    async def test_of_no_time_is_refused(self, system: ActorSystem, seconds: float) -> None:
        """The actor would hear nothing else."""
        Ephemeral.log = []

        with pytest.raises(ValueError, match="a receive timeout is more than 0 seconds"):
            await system.ref(Ephemeral, "a").ask(Silence(seconds))
