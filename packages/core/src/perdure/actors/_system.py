"""The system: the actors that live together in one event loop."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import math
import random
import warnings
from collections import Counter
from collections.abc import AsyncIterable, Awaitable, Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, ClassVar, TypeVar

from perdure._fields import fields
from perdure._plugins import installed_observers
from perdure.actors._actor import Actor
from perdure.actors._cell import Cell
from perdure.actors._clock import Clock, SystemClock
from perdure.actors._current import current
from perdure.actors._deadlines import Deadlines
from perdure.actors._dispatcher import Dispatcher
from perdure.actors._message import Message
from perdure.actors._passivation import Passivation
from perdure.actors._path import ActorPath, path_of
from perdure.actors._props import Props
from perdure.actors._ref import ActorRef
from perdure.actors._signals import DeadLetter, StopReason, SystemEvent, Terminated
from perdure.actors._sinks import Sink
from perdure.actors._streams import Overflow, Subscription, Topic, Topics
from perdure.actors._supervision import Restart, Supervision
from perdure.actors._views import Census, Looking, SystemView
from perdure.actors._watches import Watches
from perdure.errors import ActorStopped, AskTimeout, InvalidIdentifier, NameTaken, SystemCrashed
from perdure.telemetry import Observer
from perdure.telemetry._observation import Observation

_log = logging.getLogger("perdure.actors")
Self = TypeVar("Self", bound="ActorSystem")
E = TypeVar("E")
T = TypeVar("T")


class ActorSystem:
    """Actors of one event loop, from `async with` to its end.

    `ask_timeout`: seconds an `ask` waits by default, and a `tell` for room. `stop_timeout`: seconds that a stop, and
    leaving `async with`, gives the actors before it cancels them. `passivate_after`: seconds of idleness after which an
    actor reached by `ref` is put away. `max_live`: how many actors may be live before the longest idle ones are put
    away; None for no cap. `resources`: what actors share, by name, such as a connection pool. `observers`: who is told
    what the system does, beside those of installed plug-ins. `clock` and `seed` are where time and chance come from.
    """

    def __init__(
        self,
        *,
        ask_timeout: float = 30.0,
        stop_timeout: float = 10.0,
        passivate_after: float = 300.0,
        max_live: int | None = None,
        resources: Mapping[str, object] | None = None,
        observers: Sequence[Observer] = (),
        clock: Clock | None = None,
        seed: int | None = None,
    ) -> None:
        for observer in observers:
            if not isinstance(observer, Observer):
                raise TypeError(f"an observer is a perdure.telemetry.Observer, not {observer!r}")
        self.ask_timeout = ask_timeout
        self.stop_timeout = stop_timeout
        self.clock: Clock = clock or SystemClock()
        self.context = contextvars.Context()
        self.deadlines = Deadlines(self.clock, AskTimeout)
        self.dispatcher: Dispatcher
        self.loop: asyncio.AbstractEventLoop
        self.max_live: float = math.inf if max_live is None else max_live
        self.random = random.Random(seed).random
        self.observed = Observation()
        """What observers want to know."""
        self._observers = tuple(observers)
        self.resources: dict[str, object] = dict(resources or {})
        """What actors share, by name; see `resource`."""
        self.dead_letters = 0
        """How many messages could not be handled."""
        self.passivated = 0
        """How often an idle actor was put away."""
        self._passivate_after = passivate_after
        self._passivation = Passivation(self.clock)
        self._cells: dict[str, Cell] = {}
        self._types: dict[str, Props] = {}
        self._events: Topic[SystemEvent] = Topic()
        self._topics: Topics[Any] = Topics()
        self._watches = Watches()
        self._sinks: list[Sink] = []
        self._host: asyncio.Task[Any] | None = None
        self._crash: BaseException | None = None
        self._closing: asyncio.Task[None] | None = None
        self._shutdown: asyncio.Future[None] | None = None
        self._state = "new"

    _STOPS: ClassVar[int] = 500  # idle actors that are stopped in one turn of the loop

    async def __aenter__(self: Self) -> Self:
        if self._state != "new":
            raise RuntimeError("a system is entered once; make another")
        self.loop = asyncio.get_running_loop()
        self.context = contextvars.copy_context()
        self.dispatcher = Dispatcher(self.loop, self.context, self.clock.monotonic)
        self._shutdown = self.loop.create_future()
        self._host = asyncio.current_task()
        self.observed = Observation((*self._observers, *installed_observers(self)))
        await self._open()
        self._state = "open"
        if self.observed.opened is not None:
            self.observed.opened(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        host, self._host = self._host, None
        crashed = self._crash is not None
        if crashed and host is not None:
            host.uncancel()
        try:
            await self.close()
        except asyncio.CancelledError:
            if not crashed or (host is not None and host.cancelling()):
                raise
        if self._crash is not None and (error is None or (crashed and isinstance(error, asyncio.CancelledError))):
            raise SystemCrashed(f"{type(self._crash).__name__}: {self._crash}") from self._crash

    def __del__(self) -> None:
        if getattr(self, "_state", "") == "open":
            warnings.warn(f"{self!r} was never closed; use `async with`", ResourceWarning, source=self, stacklevel=2)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._state}, {len(self._cells)} live actors>"

    # Actors.

    @property
    def live(self) -> int:
        """How many actors are live now."""
        return len(self._cells)

    def ref(self, actor_type: type[Actor], key: str) -> ActorRef:
        """Return the ref of the actor of this type and key, which comes to life with its first message.

        The key is any text of 1 to 900 bytes in UTF-8. Raises `InvalidIdentifier`.
        """
        name = actor_type.type_name
        props = self._types.get(name)
        if props is None:
            _check_name("type name", name)
            props = self._types[name] = Props(actor_type, virtual=True)
        if props.actor_type is not actor_type:
            rule = f"{props.actor_type!r} has it already: set type_name on one of them"
            raise InvalidIdentifier("type name", name, rule)
        return ActorRef(self, path_of(path_of("", name), _check_key(key)), key, props, None)

    async def spawn(
        self,
        actor_type: type[Actor],
        name: str,
        *arguments: Any,
        supervision: Supervision | None = None,
        **keywords: Any,
    ) -> ActorRef:
        """Start an actor now, under `/user/NAME`, and return its ref when it has started.

        `supervision`, if any, is for this actor in place of its type's. Raises what made the start fail, and the name
        is free again; `NameTaken`; `InvalidIdentifier`.
        """
        return await self._spawn(None, actor_type, name, arguments, keywords, supervision)

    def find(self, path: str) -> ActorRef | None:
        """Return the ref of the live actor at a path, if there is one."""
        cell = self._cells.get(ActorPath(path))
        return None if cell is None else cell.ref()

    def children(self, path: str) -> list[ActorRef]:
        """Return the live actors directly below a path, such as `/user` or that of an actor."""
        above = ActorPath(path)
        cell = self._cells.get(above)
        if cell is not None:
            return [child.ref() for child in cell.children()]
        return [cell.ref() for cell in self._cells.values() if cell.path.parent == above]

    def inspect(self, path: str | None = None, *, states: bool = False, most: int = 1000) -> SystemView:
        """Return what the system and its live actors are doing now, as a tree; of `path` and below, if it is given.

        With `states` it holds what the actors have in memory, not copied; without, nothing of that. At most `most`
        actors are shown. Raises `LookupError` when no actor lives at `path`.
        """
        looking = Looking(most, self.clock.monotonic(), self._waiting(), states=states)
        return SystemView(
            status=self._state,
            live=len(self._cells),
            passivated=self.passivated,
            dead_letters=self.dead_letters,
            types=self.census(),
            actors=looking.views(self._seen_from(path)),
            omitted=looking.omitted,
        )

    def census(self) -> dict[str, Census]:
        """Count the live actors of each type, and the messages that wait for them. May be called in any thread."""
        live: Counter[str] = Counter()
        depths: Counter[str] = Counter()
        for cell in list(self._cells.values()):
            live[cell.type_name] += 1
            depths[cell.type_name] += cell.depth
        return {name: Census(count, depths[name]) for name, count in live.items()}

    def shown(self, path: str, props: Props) -> str:
        """Return the path of an actor as others may see it, such as readers of logs."""
        return path

    def loggable(self, error: BaseException) -> BaseException:
        """Return an error as readers of logs may see it."""
        return error

    def _seen_from(self, path: str | None) -> list[Cell]:
        if path is None:
            return [cell for cell in self._cells.values() if cell.parent is None]
        cell = self._cells.get(ActorPath(path))
        if cell is None:
            raise LookupError(f"no actor lives at {path}: it may have been put away, or never been asked")
        return [cell]

    def _waiting(self) -> Iterator[tuple[Cell, float]]:
        """Yield the cells whose turn waits for something, and when it began."""
        return iter(()) if self._state == "new" else self.dispatcher.waiting()

    # Events.

    def events(self, *, capacity: int = 1024, overflow: Overflow = "drop_oldest") -> Subscription[SystemEvent]:
        """Return an async iterator over what happens to actors from now on: starts, failures, ends, dead letters.

        Its buffer is bounded as in `ActorRef.subscribe`.
        """
        subscription = self._events.subscribe(capacity, overflow)
        if self._state == "closed":
            subscription.close()
        return subscription

    def sink(
        self,
        name: str,
        events: AsyncIterable[E],
        deliver: Callable[[E], Awaitable[object]],
        *,
        supervision: Supervision | None = None,
    ) -> Sink:
        """Have events, such as those of `ActorRef.subscribe`, handed to a function until they end.

        The system owns the sink: it supervises it (see `Sink`; by default a failed event is delivered again), and at
        its end, when the actors are over, waits until what was published is delivered. Raises `RuntimeError` when the
        system is not open.
        """
        if self._state != "open":
            raise RuntimeError(self._why_not_open())
        sink = Sink(self, name, events, deliver, supervision or Restart())
        self._sinks = [known for known in self._sinks if known.is_running]
        self._sinks.append(sink)
        return sink

    # What is shared.

    def resource(self, name: str, kind: type[T]) -> T:
        """Return what is shared under a name. Raises `LookupError` when there is nothing, `TypeError` for another type.

        `system.resources` is the dictionary of all.
        """
        if name not in self.resources:
            known = ", ".join(sorted(self.resources)) or "none"
            raise LookupError(f"no resource {name!r} is shared: there are {known}")
        resource = self.resources[name]
        if not isinstance(resource, kind):
            raise TypeError(f"the resource {name!r} is a {type(resource).__name__}, not a {kind.__name__}")
        return resource

    # The end.

    def shutdown(self) -> None:
        """Ask for a graceful end: whoever awaits `until_shutdown` goes on. May be called again, and by actors."""
        if self._shutdown is not None and not self._shutdown.done():
            self._shutdown.set_result(None)

    async def until_shutdown(self) -> None:
        """Wait until somebody calls `shutdown`. The usual last line of a server's `async with`."""
        if self._shutdown is None:
            raise RuntimeError("enter the system first")
        await asyncio.shield(self._shutdown)

    def crash(self, error: BaseException) -> None:
        """End the system because of an error: the body of its `async with` is cancelled, and raises `SystemCrashed`.

        It does so too when the system is closing already. Silent when that is over, or for a second error.
        """
        if self._crash is not None or self._state not in ("open", "closing"):
            return
        _log.critical("the system crashes", exc_info=self.loggable(error), extra=fields(error=error))
        self._crash = error
        self.shutdown()
        if self._host is not None:
            self._host.cancel()

    async def close(self) -> None:
        """Stop all actors, each after the message in hand, and cancel those that take longer than `stop_timeout`.

        Called by an actor, or a task that an actor has started, it does not wait for the end: that might be to wait for
        itself.
        """
        if self._state in ("closed", "new"):
            self._state = "closed"
            return
        if self._closing is None:
            self._state = "closing"
            self._closing = self.loop.create_task(self._end(), context=self.context.copy())
        cell = current.get()
        if cell is None or cell.system is not self:
            await _to_the_end(self._closing)

    async def _end(self) -> None:
        self.shutdown()
        deadline = self.clock.monotonic() + self.stop_timeout
        try:
            for number, cell in enumerate(list(self._cells.values())):
                if number % self._STOPS == 0:
                    await asyncio.sleep(0)
                if cell.parent is None:
                    cell.stop(deadline)
            stops = [cell.over() for cell in self._cells.values() if cell.parent is None]
            if stops:
                await asyncio.wait(stops)
            await self._settle()
            await self._drain_sinks(deadline)
            await self.dispatcher.close()
        finally:
            self._state = "closed"
            self._end_subscriptions()
            try:
                await self._close()
            finally:
                if self.observed.closed is not None:
                    self.observed.closed(self)

    async def _drain_sinks(self, deadline: float) -> None:
        self._end_subscriptions()
        await asyncio.gather(*(sink.end_by(deadline) for sink in self._sinks))

    # What the floor above may do in its own way.

    def _end_subscriptions(self) -> None:
        """Let those who read events come to their end."""
        self._topics.close()
        self._events.close()

    async def _open(self) -> None:
        """Open what the actors stand on; the floor above opens its store here."""

    async def _settle(self) -> None:
        """Finish what actors have left behind, while subscribers can still hear of it."""

    async def _close(self) -> None:
        """Close what the actors stood on."""

    async def _spawn(
        self,
        parent: Cell | None,
        actor_type: type[Actor],
        name: str,
        arguments: tuple[Any, ...],
        keywords: dict[str, Any],
        supervision: Supervision | None,
    ) -> ActorRef:
        return await self._start(parent, name, Props(actor_type, arguments, keywords, supervision=supervision))

    def _subscribe(self, ref: ActorRef, after: int | None, capacity: int, overflow: Overflow) -> Subscription[Any]:
        if after is not None:
            raise TypeError(f"{ref.path} is no persistent actor: it has no durable events to start after {after}")
        if self._state == "closed" or (not ref._props.virtual and not ref.is_live):
            subscription: Subscription[Any] = Topic[Any]().subscribe(capacity, overflow)
            subscription.close()
            return subscription
        return self._topics.open(ref.path).subscribe(capacity, overflow)

    # What cells, refs and contexts call.

    async def _start(self, parent: Cell | None, name: str, props: Props) -> ActorRef:
        _check_name("actor name", name)
        if parent is not None and parent.is_ending:
            raise ActorStopped(path_of(parent.path, name), "its parent stops")
        cell = self._add(path_of("/user" if parent is None else parent.path, name), name, props, parent)
        if parent is not None:
            parent.own().children[name] = cell
        await cell.start()
        return cell.ref()

    def _find(self, path: str) -> Cell | None:
        return self._cells.get(path)

    def _activate(self, ref: ActorRef) -> Cell:
        """Return the live cell of a ref, made now if the ref may bring its actor to life."""
        cell = self._cells.get(ref.path)
        if cell is not None and (ref._props.virtual or ref._cell is cell):
            return cell
        if not ref._props.virtual:
            raise ActorStopped(ref.path)
        return self._add(ref.path, ref.key, ref._props)

    def _forget(self, cell: Cell, reason: StopReason | None, error: BaseException | None = None) -> None:
        """Free the name of a cell that is over, for a reason, or put away."""
        del self._cells[cell.path]
        if cell.parent is not None:
            cell.parent.own().children.pop(cell.key, None)
        if cell.props.virtual:
            self._passivation.forget(cell, self._period(cell))
        if reason is None:
            self.passivated += 1
            return
        self._watches.forget(cell)
        if (topic := self._topics.get(cell.path)) is not None:
            topic.close()
        for watcher in self._watches.over(cell.path):
            if self._state == "open" and not (present := self._activate(watcher)).is_ending:
                present.post_own(Terminated(cell.ref(), reason, error), self.context.copy())

    def _publish(self, path: str, event: object) -> None:
        topic = self._topics.get(path)
        if topic is not None:
            topic.publish(event)

    def _happened(self, kind: Callable[..., SystemEvent], cell: Cell, *details: Any) -> None:
        if self._events or self.observed.happened is not None:
            self._tell(kind(cell.ref(), *details))

    def _tell(self, event: SystemEvent) -> None:
        """Tell those who read events, and those who observe."""
        self._events.publish(event)
        if self.observed.happened is not None:
            self.observed.happened(event)

    def _dead(self, message: Message[Any], path: str, sender: Cell | None, reason: str) -> None:
        self.dead_letters += 1
        if self._events or self.observed.happened is not None:
            self._tell(DeadLetter(message, path, None if sender is None else sender.ref(), reason))

    def _add(self, path: ActorPath, key: str, props: Props, parent: Cell | None = None) -> Cell:
        if self._state != "open":
            raise ActorStopped(path, self._why_not_open())
        if path in self._cells:
            raise NameTaken(path)
        if (excess := len(self._cells) + 1 - self.max_live) > 0:
            self._passivation.evict(int(excess))
        cell = self._cells[path] = Cell(self, parent, path, key, props)
        if props.virtual:
            self._passivation.add(cell, self._period(cell))
        return cell

    def _why_not_open(self) -> str:
        return "enter the system first" if self._state == "new" else f"the system is {self._state}"

    def _period(self, cell: Cell) -> float:
        period = cell.props.actor_type.passivate_after
        return self._passivate_after if period is None else period


async def _to_the_end(task: asyncio.Task[None]) -> None:
    """Wait for a task also when cancelled, and only then be cancelled."""
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            if task.cancelled():
                raise
            cancelled = error
    if cancelled is not None:
        raise cancelled
    task.result()


def _check_name(what: str, name: str) -> str:
    _check_key(name)
    if "/" in name:
        raise InvalidIdentifier(what, name, "it must not contain /")
    if what == "type name" and name == "user":
        raise InvalidIdentifier(what, name, "`user` is for spawned actors")
    if what == "type name" and len(name.encode()) > 120:
        raise InvalidIdentifier(what, name, "it must have at most 120 bytes in UTF-8")
    return name


def _check_key(key: str) -> str:
    """Return a key that fits every store, with a type name before it. Raises `InvalidIdentifier`."""
    if not isinstance(key, str):
        raise InvalidIdentifier("key", repr(key), "it must be text")
    try:
        size = len(key.encode())
    except UnicodeEncodeError as error:
        raise InvalidIdentifier("key", ascii(key), "it holds half of a surrogate pair") from error
    if not 1 <= size <= 900:
        raise InvalidIdentifier("key", key, "it must have 1 to 900 bytes in UTF-8")
    if "\0" in key:
        raise InvalidIdentifier("key", key, "it must not contain NUL")
    return key
