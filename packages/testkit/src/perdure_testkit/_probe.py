"""An actor in the hands of a test."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar, cast, overload

from perdure.actors import Actor, ActorRef, ActorSystem, Context, Message, Reply, Terminated
from perdure_testkit._bell import Bell
from perdure_testkit._wanted import listed, meets, named

M = TypeVar("M", bound=Message[Any])


class Probe:
    """An actor that notes what it receives, for a test to expect, and that says only what the test says.

    `ref` is what actors under test are given. `received` is all that has come so far, terminations of watched actors
    included, whether the test has taken it or not. The test takes messages in the order in which they came, with
    `expect`, `fish` and `expect_terminated`; each waits for `within` seconds of the system's clock, by default 3, and
    lets time jump meanwhile where that is a `VirtualClock`. What they fail with is an `AssertionError` that shows what
    came.

    A message that an actor asks it is answered by `auto_reply`, if that was called, else by `reply` or `fail` once the
    test has taken it; without either the ask times out.
    """

    RECENT: ClassVar[int] = 10
    """How many messages a failure shows, at most, of those that came before or wait behind."""

    ref: ActorRef

    def __init__(self, system: ActorSystem) -> None:
        self.received: list[Message[Any]] = []
        self._bell = Bell(system.clock)
        self._context: Context
        self._function: Callable[[Any], object] | None = None
        self._last: _Received | None = None
        self._waiting: deque[_Received] = deque()

    @classmethod
    async def spawn(cls, system: ActorSystem, name: str = "probe") -> Probe:
        """Start a probe as `/user/NAME`. Raises what `ActorSystem.spawn` raises, `NameTaken` among it."""
        probe = cls(system)
        probe.ref = await system.spawn(_ProbeActor, name, probe)
        return probe

    def __repr__(self) -> str:
        return f"<Probe {self.ref.path}, {len(self.received)} received, {len(self._waiting)} of them not taken>"

    # What comes.

    async def expect(self, wanted: type[M] | M, *, within: float = 3.0) -> M:
        """Take the next message and return it; fail unless it is of this type, or equal to this message."""
        if not await self._bell.wait_for(lambda: self._waiting, within):
            raise AssertionError(f"{self._wanted(wanted, within)}, but nothing came{self._before()}")
        received = self._take()
        if not meets(received.message, wanted):
            text = f"{self._wanted(wanted)}, but what came is {received.message!r}"
            raise AssertionError(f"{text}{self._before(1)}{self._behind()}")
        return cast(M, received.message)

    @overload
    async def fish(self, wanted: type[M], *, within: float = 3.0) -> M: ...

    @overload
    async def fish(self, wanted: Callable[[Any], object], *, within: float = 3.0) -> Any: ...

    async def fish(self, wanted: Callable[[Any], object], *, within: float = 3.0) -> Any:
        """Take messages until one is of this type, or satisfies this predicate, and return that one.

        Those before it are taken as well: they remain in `received` alone.
        """
        passed: list[Message[Any]] = []

        def caught() -> bool:
            while self._waiting:
                received = self._take()
                if meets(received.message, wanted):
                    return True
                passed.append(received.message)
            return False

        if await self._bell.wait_for(caught, within):
            assert self._last is not None
            return self._last.message
        raise AssertionError(f"{self._wanted(wanted, within)}; it did not come{listed('what came', passed)}")

    async def expect_nothing(self, *, within: float = 0.1) -> None:
        """Return when nothing has come for `within` seconds, and nothing waits to be taken; fail as soon as it does."""
        if await self._bell.wait_for(lambda: self._waiting, within):
            text = f"{self.ref.path} expected nothing within {within:g} s"
            raise AssertionError(f"{text}, but what came is {self._waiting[0].message!r}{self._behind(1)}")

    @property
    def last_sender(self) -> ActorRef | None:
        """The actor that sent the message taken last; None when it came from outside of actors, or none was taken."""
        return None if self._last is None else self._last.sender

    # What it says.

    async def tell(self, to: ActorRef, message: Message[Any]) -> None:
        """Send a message with the probe as its sender. Raises what `ActorRef.tell` raises."""
        await self.ref.ask(_Say(to, message))

    def reply(self, value: object) -> None:
        """Answer the message taken last with `value`. Silent when its asker waits no more.

        Raises `AssertionError` when there is nobody to answer: no message was taken, it was told, not asked, or it is
        answered already.
        """
        self._ask_in_hand().reply(value)

    def fail(self, error: Exception) -> None:
        """Answer the message taken last with an error, which is raised where it was asked; otherwise as `reply`."""
        self._ask_in_hand().fail(error)

    def auto_reply(self, function: Callable[[Any], object] | None) -> None:
        """Answer whatever is asked from now on with `function(message)`, or with what that raises; None: no more.

        The messages are there to be expected as ever.
        """
        self._function = function

    # Whom it watches.

    def watch(self, ref: ActorRef) -> None:
        """Have the probe receive `Terminated` when an actor is over; at once, if it is not live now."""
        self._context.watch(ref)

    def unwatch(self, ref: ActorRef) -> None:
        """Watch no more. Silent when that was not watched."""
        self._context.unwatch(ref)

    async def expect_terminated(self, ref: ActorRef, *, within: float = 3.0) -> Terminated:
        """Take the next message and return it; fail unless it says that this actor, which is watched, is over."""
        terminated = await self.expect(Terminated, within=within)
        if terminated.ref != ref:
            text = f"{self.ref.path} expected the end of {ref.path}, but what came is {terminated!r}"
            raise AssertionError(f"{text}{self._before(1)}{self._behind()}")
        return terminated

    # What its actor calls.

    def _began(self, context: Context) -> None:
        self._context = context

    def _receive(self, message: Message[Any]) -> None:
        sender = self._context.sender
        received = _Received(message, sender, self._context.reply_later())
        if received.is_asked and self._function is not None:
            received.reply_by(self._function)
        self.received.append(message)
        self._waiting.append(received)
        self._bell.ring()

    # What a failure says.

    def _take(self) -> _Received:
        self._last = self._waiting.popleft()
        return self._last

    def _ask_in_hand(self) -> _Received:
        last = self._last
        if last is None:
            raise AssertionError(f"{self.ref.path} has nothing to answer: no message was taken, expect one first")
        if not last.is_asked:
            raise AssertionError(f"{self.ref.path} cannot answer {last.message!r}: it was told, not asked")
        if last.is_answered:
            raise AssertionError(f"{self.ref.path} cannot answer {last.message!r}: it is answered already")
        return last

    def _wanted(self, wanted: object, within: float | None = None) -> str:
        when = "" if within is None else f" within {within:g} s"
        return f"{self.ref.path} expected {named(wanted)}{when}"

    def _before(self, taken: int = 0) -> str:
        """Show what was taken before, but for so many of the last."""
        before = self.received[: len(self.received) - len(self._waiting) - taken]
        return listed("before it" if taken else "before", before[-self.RECENT :])

    def _behind(self, skipped: int = 0) -> str:
        """Show what still waits to be taken, but for so many of the first."""
        behind = [received.message for received in self._waiting][skipped:]
        return listed("behind it", behind[: self.RECENT])


class _Received:
    """A message that came, who sent it, and the reply to it."""

    def __init__(self, message: Message[Any], sender: ActorRef | None, reply: Reply) -> None:
        self.message = message
        self.sender = sender
        self.is_asked = reply.is_awaited
        self.is_answered = False
        self._reply = reply

    def reply(self, value: object) -> None:
        self.is_answered = True
        self._reply.send(value)

    def reply_by(self, function: Callable[[Any], object]) -> None:
        try:
            value = function(self.message)
        except Exception as error:
            self.fail(error)
        else:
            self.reply(value)

    def fail(self, error: Exception) -> None:
        self.is_answered = True
        self._reply.fail(error)


class _Say(Message[None]):
    """Tells the probe's actor to tell a message to another."""

    to: ActorRef
    message: Message[Any]


class _ProbeActor(Actor):
    """Hands its messages to its probe."""

    type_name = "Probe"

    def __init__(self, probe: Probe) -> None:
        self._probe = probe

    async def started(self, context: Context) -> None:
        self._probe._began(context)

    async def handle(self, message: Message[Any], context: Context) -> None:
        if isinstance(message, _Say):
            await message.to.tell(message.message)
        else:
            self._probe._receive(message)
