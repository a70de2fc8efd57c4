"""The runtime of Pykka's actors: a thread each.

A thread is told things through its inbox, and tells the event loop by `call_soon_threadsafe`: neither waits for the
other, unless an actor's code says `wait`. So an ask costs no third thread that would wait for Pykka's future.

Pykka's inbox is unbounded, its actors end when the handler of a told message raises, and a message may slip into the
inbox of an actor that has just emptied it for the last time. Here the inbox has a capacity for what the runtime sends
and is closed before it is emptied, and what a handler raises is logged. What people send to `PykkaRef.actor`, which is
Pykka's own ref, behaves as Pykka says.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable
from typing import Any

import msgspec

from perdure import Clock
from perdure.errors import ActorStopped, AskTimeout, MailboxFull
from perdure_replication._fields import fields
from perdure_replication.errors import InvalidRuntime
from perdure_replication.runtime._bridge import Bridge
from perdure_replication.runtime._ref import LocalRef
from perdure_replication.runtime._runtime import ActorRuntime, Receive

try:
    import pykka
except ModuleNotFoundError as missing:
    if missing.name != "pykka":
        raise
    raise InvalidRuntime("pykka", "Pykka is not installed: pip install perdure-replication[pykka]") from missing

_log = logging.getLogger("perdure.replication")


class Sent(msgspec.Struct, frozen=True):
    """A message for which nobody waits."""

    body: Any


class Asked(msgspec.Struct, frozen=True):
    """A message that has a reply."""

    body: Any


class Inbox(queue.Queue[Any]):
    """Pykka's inbox, with a capacity for what is sent, and an end."""

    capacity = 0
    is_ending = False
    is_closed = False

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Take an envelope at once. Raises `queue.Full` for a `Sent`, `pykka.ActorDeadError` after `close`."""
        with self.mutex:
            if self.is_closed:
                raise pykka.ActorDeadError("the actor is over")
            if isinstance(item.message, Sent) and self._qsize() >= self.capacity:
                raise queue.Full
            self._put(item)
            self.unfinished_tasks += 1
            self.not_empty.notify()

    def close(self) -> None:
        with self.mutex:
            self.is_closed = True


class Answer(pykka.ThreadingFuture[Any]):
    """Pykka's future, which tells when it has a result."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._has_result = False
        self._wake: Callable[[], None] | None = None

    def set(self, value: Any = None) -> None:
        super().set(value)
        self._tell()

    def set_exception(self, exc_info: Any = None) -> None:
        super().set_exception(exc_info)
        self._tell()

    def when_done(self, wake: Callable[[], None]) -> None:
        """Have something called once there is a result, in the thread that sets it, or now."""
        with self._lock:
            if not self._has_result:
                self._wake = wake
                return
        wake()

    def _tell(self) -> None:
        with self._lock:
            self._has_result = True
        if self._wake is not None:
            self._wake()


class Worker(pykka.ThreadingActor):
    """An actor that is a function."""

    actor_inbox: Inbox

    def __init__(self, name: str, receive: Receive, capacity: int, over: Callable[[threading.Thread], None]) -> None:
        super().__init__()
        self.name = name
        self._receive = receive
        self._over = over
        self.actor_inbox.capacity = capacity

    @staticmethod
    def _create_actor_inbox() -> Inbox:
        return Inbox()

    @staticmethod
    def _create_future() -> Answer:
        return Answer()

    def on_receive(self, message: Any) -> Any:
        match message:
            case Sent(body):
                if not self.actor_inbox.is_ending:
                    self._handle(body)
            case Asked(body):
                if self.actor_inbox.is_ending:
                    raise pykka.ActorDeadError(f"{self.name} stopped before it handled the message")
                return self._receive(body)
            case _:
                return self._receive(message)

    def _handle(self, message: Any) -> None:
        try:
            self._receive(message)
        except Exception as error:
            _log.exception("the actor %s failed on a message", self.name, extra=fields(actor=self.name, error=error))

    def _actor_loop_teardown(self) -> None:
        self.actor_inbox.close()
        super()._actor_loop_teardown()
        self._over(threading.current_thread())


class PykkaRuntime(ActorRuntime):
    """Actors of Pykka, in Pykka's registry, each with a thread; handlers may block."""

    kind = "pykka"
    awaits = False

    async def _start(self, name: str, receive: Receive, capacity: int) -> LocalRef[Any]:
        gone = asyncio.get_running_loop().create_future()

        def over(thread: threading.Thread) -> None:
            self.bridge.soon(gone.set_result, thread)
            self._over(name)

        starting = asyncio.ensure_future(asyncio.to_thread(Worker.start, name, receive, capacity, over))
        try:
            actor = await asyncio.shield(starting)
        except asyncio.CancelledError:
            starting.add_done_callback(_end_unwanted)
            raise
        return PykkaRef(self._place, name, actor, gone, self.bridge, self.clock)


class PykkaRef(LocalRef[Any]):
    """The address of an actor of Pykka, whose own ref is `actor`.

    An actor that is to stop itself says `ref.actor.stop(block=False)`: it cannot wait for its own end.
    """

    def __init__(
        self,
        node: str,
        name: str,
        actor: pykka.ActorRef[Worker],
        gone: asyncio.Future[threading.Thread],
        bridge: Bridge,
        clock: Clock,
    ) -> None:
        super().__init__(node, name)
        self.actor = actor
        self._gone = gone
        self._bridge = bridge
        self._clock = clock

    def send(self, message: object) -> None:
        try:
            self.actor.tell(Sent(message))
        except pykka.ActorDeadError:
            raise ActorStopped(self.name) from None
        except queue.Full:
            raise MailboxFull(self.name, self._inbox.capacity, 0.0) from None

    async def ask(self, message: object, *, timeout: float = 30.0) -> Any:
        try:
            answer = self.actor.ask(Asked(message), block=False)
            await self._done(answer, timeout)
            return answer.get(timeout=0)
        except pykka.ActorDeadError:
            if self.is_live and not self._inbox.is_ending:
                raise  # the handler's own, about another actor
            raise ActorStopped(self.name) from None

    async def _done(self, answer: Any, timeout: float) -> None:
        """Wait for an answer, in no thread."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        late = AskTimeout(timeout, self.name)
        timer = self._clock.call_at(self._clock.monotonic() + timeout, lambda: _end(done, late))
        answer.when_done(lambda: self._bridge.soon(_end, done))
        try:
            await done
        finally:
            timer.cancel()

    async def stop(self) -> None:
        self._inbox.is_ending = True
        try:
            self.actor.stop(block=False)
        except pykka.ActorDeadError:
            pass
        thread = await asyncio.shield(self._gone)
        await asyncio.to_thread(thread.join)

    @property
    def is_live(self) -> bool:
        return self.actor.is_alive()

    @property
    def _inbox(self) -> Inbox:
        inbox = self.actor.actor_inbox
        assert isinstance(inbox, Inbox)
        return inbox


def _end_unwanted(starting: asyncio.Future[pykka.ActorRef[Worker]]) -> None:
    """Stop an actor whose spawn was cancelled while its thread was being started."""
    if not starting.cancelled() and starting.exception() is None:
        starting.result().stop(block=False)


def _end(done: asyncio.Future[None], error: Exception | None = None) -> None:
    if done.done():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
