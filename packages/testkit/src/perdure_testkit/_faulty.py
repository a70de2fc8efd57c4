"""A backend that fails when a test says so."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Literal, NamedTuple, TypeAlias, TypeVar

from perdure.abc import Backend, Conflict, FeedPage, Page, WriteGroup
from perdure.errors import OutcomeUnknown, StoreClosed

T = TypeVar("T")

Operation: TypeAlias = Literal["commit", "page", "last", "read_state", "prefixes", "feed"]

_When: TypeAlias = int | Callable[..., bool]


class _Fault(NamedTuple):
    """What happens to the calls of one operation for which `strikes(*arguments)` is true."""

    operation: Operation
    strikes: Callable[..., bool]
    before: Exception | None = None
    after: Exception | None = None
    released: asyncio.Event | None = None


class FaultyBackend(Backend):
    """Passes calls on to another backend, save those that it was told to reject, to lose or to hold.

    `when` is the number of the call from now on, 1 being the next, or a function of the call's positional arguments
    that says whether it is meant. `calls` counts the calls of each operation.
    """

    def __init__(self, inner: Backend) -> None:
        self.inner = inner
        self.durability = inner.durability
        self.max_value_bytes = inner.max_value_bytes
        self.calls: Counter[Operation] = Counter()
        self._faults: list[_Fault] = []
        self._begun: set[asyncio.Task[Sequence[Conflict | None]]] = set()
        self._closed = False

    def reject(self, operation: Operation, error: Exception, when: _When = 1) -> None:
        """Raise `error` in place of the call: nothing is written."""
        self._faults.append(_Fault(operation, self._strikes(operation, when), before=error))

    def lose(self, operation: Operation = "commit", error: Exception | None = None, when: _When = 1) -> None:
        """Make the call and raise `error` in place of its answer: by default that the outcome is unknown."""
        lost = error or OutcomeUnknown(operation, "the answer was lost")
        self._faults.append(_Fault(operation, self._strikes(operation, when), after=lost))

    def hold(self, operation: Operation, when: _When = 1) -> asyncio.Event:
        """Let the call begin only when the returned event is set."""
        released = asyncio.Event()
        self._faults.append(_Fault(operation, self._strikes(operation, when), released=released))
        return released

    def heal(self) -> None:
        """Forget all faults, and release what is held."""
        for fault in self._faults:
            if fault.released is not None:
                fault.released.set()
        self._faults.clear()

    def commit(self, groups: Sequence[WriteGroup]) -> Awaitable[Sequence[Conflict | None]]:
        if self._closed:
            raise StoreClosed("commit")
        commit = asyncio.ensure_future(self._call("commit", lambda: self.inner.commit(groups), groups))
        self._begun.add(commit)
        commit.add_done_callback(self._begun.discard)
        return asyncio.shield(commit)  # a cancelled commit goes on

    def page(
        self, collection: str, prefix: str, start: int, stop: int, *, limit: int, max_bytes: int, reverse: bool = False
    ) -> Awaitable[Page]:
        def page() -> Awaitable[Page]:
            return self.inner.page(collection, prefix, start, stop, limit=limit, max_bytes=max_bytes, reverse=reverse)

        return self._call("page", page, collection, prefix, start, stop)

    def last(self, collection: str, prefix: str) -> Awaitable[int]:
        return self._call("last", lambda: self.inner.last(collection, prefix), collection, prefix)

    def read_state(self, state: str, prefix: str) -> Awaitable[tuple[int, bytes | None]]:
        return self._call("read_state", lambda: self.inner.read_state(state, prefix), state, prefix)

    def prefixes(self, collection: str, after: str = "", limit: int = 1000) -> Awaitable[list[str]]:
        return self._call("prefixes", lambda: self.inner.prefixes(collection, after, limit), collection, after, limit)

    def feed(self, collection: str, after: str | None = None, limit: int = 1000) -> Awaitable[FeedPage]:
        return self._call("feed", lambda: self.inner.feed(collection, after, limit), collection, after, limit)

    async def close(self) -> None:
        """Release what is held, let it end, and close the other backend."""
        self._closed = True
        self.heal()
        await asyncio.gather(*self._begun, return_exceptions=True)
        await self.inner.close()

    def _strikes(self, operation: Operation, when: _When) -> Callable[..., bool]:
        if callable(when):
            return when
        number = self.calls[operation] + when
        return lambda *_: self.calls[operation] == number

    def _call(
        self, operation: Operation, call: Callable[[], Awaitable[T]], *arguments: object
    ) -> Coroutine[None, None, T]:
        self.calls[operation] += 1
        faults = [fault for fault in self._faults if fault.operation == operation and fault.strikes(*arguments)]
        return _suffer(faults, call)


async def _suffer(faults: Sequence[_Fault], call: Callable[[], Awaitable[T]]) -> T:
    for fault in faults:
        if fault.released is not None:
            await fault.released.wait()
        if fault.before is not None:
            raise fault.before
    result = await call()
    for fault in faults:
        if fault.after is not None:
            raise fault.after
    return result
