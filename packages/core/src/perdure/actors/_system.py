"""The system: the actors that live together in one event loop."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import math
import warnings
from types import TracebackType
from typing import Any, TypeVar

from perdure.actors._actor import Actor
from perdure.actors._cell import Cell
from perdure.actors._clock import Clock, SystemClock
from perdure.actors._deadlines import Deadlines
from perdure.actors._passivation import Passivation
from perdure.actors._props import Props
from perdure.actors._ref import ActorRef
from perdure.errors import ActorStopped, AskTimeout, InvalidIdentifier, NameTaken

_log = logging.getLogger("perdure.actors")
Self = TypeVar("Self", bound="ActorSystem")


class ActorSystem:
    """Actors of one event loop, from `async with` to its end.

    `ask_timeout`: seconds an `ask` waits by default. `stop_timeout`: seconds that leaving `async with` gives the
    actors before it cancels them. `passivate_after`: seconds of idleness after which an actor reached by `ref` is put
    away. `max_live`: how many actors may be live before the longest idle ones are put away; None for no cap.
    """

    def __init__(
        self,
        *,
        ask_timeout: float = 30.0,
        stop_timeout: float = 10.0,
        passivate_after: float = 300.0,
        max_live: int | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.ask_timeout = ask_timeout
        self.clock: Clock = clock or SystemClock()
        self.context = contextvars.Context()
        self.deadlines = Deadlines(self.clock, AskTimeout)
        self.loop: asyncio.AbstractEventLoop
        self._stop_timeout = stop_timeout
        self._passivate_after = passivate_after
        self._passivation = Passivation(self.clock)
        self.max_live: float = math.inf if max_live is None else max_live
        self._cells: dict[str, Cell] = {}
        self._types: dict[str, type[Actor]] = {}
        self._state = "new"

    async def __aenter__(self: Self) -> Self:
        if self._state != "new":
            raise RuntimeError("a system is entered once; make another")
        self.loop = asyncio.get_running_loop()
        self.context = contextvars.copy_context()
        await self._open()
        self._state = "open"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __del__(self) -> None:
        if getattr(self, "_state", "") == "open":
            warnings.warn(f"{self!r} was never closed; use `async with`", ResourceWarning, source=self, stacklevel=2)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._state}, {len(self._cells)} live actors>"

    @property
    def live(self) -> int:
        """How many actors are live now."""
        return len(self._cells)

    def ref(self, actor_type: type[Actor], key: str) -> ActorRef:
        """Return the ref of the actor of this type and key, which comes to life with its first message.

        The key is any text of 1 to 900 bytes in UTF-8. Raises `InvalidIdentifier`.
        """
        name = actor_type.type_name
        if self._types.setdefault(name, actor_type) is not actor_type:
            raise InvalidIdentifier(
                "type name", name, f"{self._types[name]!r} has it already: set type_name on one of them"
            )
        path = f"/{_check_name('type name', name)}/{_check_key(key)}"
        return ActorRef(self, path, key, Props(actor_type, virtual=True), None)

    async def spawn(self, actor_type: type[Actor], name: str, *arguments: Any, **keywords: Any) -> ActorRef:
        """Start an actor now, under `/user/NAME`, and return its ref when it has started.

        Raises what made the start fail, and the name is free again; `NameTaken`; `InvalidIdentifier`.
        """
        return await self._spawn(name, Props(actor_type, arguments, keywords))

    async def close(self) -> None:
        """Stop all actors, each after the message in hand, and cancel those that take longer than `stop_timeout`."""
        if self._state in ("closed", "new"):
            self._state = "closed"
            return
        self._state = "closing"
        try:
            await self._stop_all()
        finally:
            self._state = "closed"
            await self._close()

    async def _open(self) -> None:
        """Open what the actors stand on; the floor above opens its store here."""

    async def _close(self) -> None:
        """Close what the actors stood on."""

    async def _spawn(self, name: str, props: Props) -> ActorRef:
        cell = self._add(f"/user/{_check_name('actor name', name)}", name, props)
        await cell.start()
        return cell.ref()

    # What cells and refs call.

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

    def _forget(self, cell: Cell) -> None:
        del self._cells[cell.path]
        if cell.props.virtual:
            self._passivation.forget(cell, self._period(cell))

    def _add(self, path: str, key: str, props: Props) -> Cell:
        if self._state != "open":
            raise ActorStopped(
                path, f"the system is {self._state}" if self._state != "new" else "enter the system first"
            )
        if path in self._cells:
            raise NameTaken(path)
        if (excess := len(self._cells) + 1 - self.max_live) > 0:
            self._passivation.evict(int(excess))
        cell = self._cells[path] = Cell(self, path, key, props)
        if props.virtual:
            self._passivation.add(cell, self._period(cell))
        return cell

    def _period(self, cell: Cell) -> float:
        period = cell.props.actor_type.passivate_after
        return self._passivate_after if period is None else period

    async def _stop_all(self) -> None:
        stops = [cell.stop() for cell in list(self._cells.values())]
        if not stops:
            return
        _, late = await asyncio.wait(stops, timeout=self._stop_timeout)
        if late:
            _log.warning("%d actors did not stop within %g s and are cancelled", len(late), self._stop_timeout)
            for cell in list(self._cells.values()):
                cell.cancel()
            await asyncio.wait(late, timeout=self._stop_timeout)


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
