"""A backend that fails when a test says so."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from random import Random
from typing import Any, Literal, TypeVar

from perdure.abc import Backend, Conflict, FeedPage, Page, WriteGroup
from perdure.actors import Clock, SystemClock
from perdure.errors import OutcomeUnknown, StoreClosed, StoreUnavailable
from perdure_testkit._faults import Blow, Call, Fault, Injected, Operation, Strike, When, chosen, target_of

T = TypeVar("T")

_log = logging.getLogger("perdure.testkit")
_log.setLevel(logging.INFO)  # so that pytest shows with a failure what was injected, whatever the root logger's level


class FaultyBackend(Backend):
    """Passes calls on to another backend, save those that a test has chosen: these suffer a fault.

    A fault meets the calls of one operation that `when` chooses: the number of the call from now on, 1 being the next;
    `every_nth(n)`; or a function of the call's positional arguments. Where the operation is `"any"`, calls of all
    operations are counted, and the function has the operation for its first argument. Several faults may meet one call:
    the one that was set first is the outermost. `heal` ends them all. `delay` is in seconds of `clock`, by default the
    machine's.

    `calls` counts the calls of each operation. `injected` lists what was injected, in order; each is also logged, at
    level INFO by the logger `perdure.testkit`, so pytest shows it where a test fails.
    """

    def __init__(self, inner: Backend, *, clock: Clock | None = None) -> None:
        self.inner = inner
        self.durability = inner.durability
        self.max_value_bytes = inner.max_value_bytes
        self.calls: Counter[Operation] = Counter()
        self.injected: list[Injected] = []
        self._clock = clock or SystemClock()
        self._strikes: list[Strike] = []
        self._waits: set[asyncio.Event] = set()
        self._begun: set[asyncio.Task[Sequence[Conflict | None]]] = set()
        self._closed = False

    def __repr__(self) -> str:
        injected = "".join(f"\n  {injected}" for injected in self.injected)
        return f"<FaultyBackend of {self.inner!r}, faults injected: {len(self.injected)}{injected}>"

    # What a test may inject.

    def reject(
        self, operation: Operation | Literal["any"] = "commit", error: Exception | None = None, when: When = 1
    ) -> None:
        """Raise `error` in place of the call, by default `StoreUnavailable`: nothing is written."""
        self._inject(operation, when, lambda actual: _reject(actual, error))

    def lose(
        self, operation: Operation | Literal["any"] = "commit", error: Exception | None = None, when: When = 1
    ) -> None:
        """Make the call and raise `error` in place of its answer.

        By default that is `OutcomeUnknown` for a commit, and `StoreUnavailable` for a read.
        """
        self._inject(operation, when, lambda actual: _lose(actual, error))

    def hold(self, operation: Operation | Literal["any"] = "commit", when: When = 1) -> asyncio.Event:
        """Let the call begin only when the returned event is set, or the store is healed or closed."""
        released = asyncio.Event()
        self._waits.add(released)

        async def suffer(call: Call) -> Any:
            await released.wait()
            return await call()

        self._inject(operation, when, lambda _: Blow("hold", suffer))
        return released

    def hang(self, operation: Operation | Literal["any"] = "commit", when: When = 1) -> None:
        """Never begin the call, nor answer it: it ends, with `StoreUnavailable`, when the store is healed or closed.

        A system waits at its end for what it writes: heal the store before you leave it.
        """

        def blow(operation: Operation) -> Blow:
            async def suffer(call: Call) -> Any:
                await self._wait(asyncio.Event())
                raise StoreUnavailable(operation, "it hung until the store was healed")

            return Blow("hang", suffer)

        self._inject(operation, when, blow)

    def delay(self, operation: Operation | Literal["any"], seconds: float, when: When = 1) -> None:
        """Let the call begin after so many seconds of the clock, or when the store is healed or closed."""
        self._inject(operation, when, lambda _: self._delay(seconds))

    def disconnect(self, operation: Operation | Literal["any"] = "any", when: When = 1) -> None:
        """Raise `StoreUnavailable` in place of the call and of every later one, of all operations, until `heal`."""
        is_meant = chosen(operation, when)
        is_down = False

        def strike(operation: Operation, arguments: tuple[Any, ...]) -> Blow | None:
            nonlocal is_down
            is_down = is_down or is_meant(operation, arguments)
            return _disconnect(operation) if is_down else None

        self._strikes.append(strike)

    def tear(
        self,
        when: When = 1,
        *,
        applies: Callable[[WriteGroup], bool] | None = None,
        error: Exception | None = None,
    ) -> None:
        """Apply some groups of a commit, each of them whole, and raise `error` in place of the answer.

        Meets commits of two groups or more, and counts only these: a group never tears. By default the first half is
        applied and the outcome is unknown; `applies` says otherwise of each group.
        """

        def torn(groups: Sequence[WriteGroup]) -> list[WriteGroup]:
            return list(filter(applies, groups)) if applies is not None else list(groups[: len(groups) // 2])

        is_meant = chosen("commit", when)

        def strike(operation: Operation, arguments: tuple[Any, ...]) -> Blow | None:
            if operation != "commit" or len(arguments[0]) < 2 or not is_meant(operation, arguments):
                return None
            return self._tear(arguments[0], torn(arguments[0]), error)

        self._strikes.append(strike)

    def duplicate(self, when: When = 1, *, answer: Literal["first", "second"] = "first") -> None:
        """Make a commit twice, as a driver does that tries again though the first attempt has arrived.

        The expectations of its groups are to make the second harmless. The answer is that of the first; with
        `answer="second"` that of the second, which is what such a driver sees: a conflict of a group with itself.
        """
        self._inject("commit", when, lambda _: _duplicate(answer))

    def random(
        self,
        seed: int,
        *,
        rate: float = 0.1,
        faults: Sequence[Literal["reject", "lose", "tear", "duplicate", "delay"]] = (
            "reject",
            "lose",
            "tear",
            "duplicate",
        ),
        operations: Sequence[Operation] = ("commit",),
    ) -> None:
        """Inject a fault, chosen among `faults`, into each call of these operations with the chance `rate`.

        The same calls in the same order suffer the same with the same seed. What cannot happen to a call is not chosen
        for it: reads are not torn nor made twice, nor is a commit of one group torn. A `delay` is up to one second.
        """
        if not 0 <= rate <= 1:
            raise ValueError(f"a rate is from 0 to 1, not {rate}")
        chance = Random(seed)

        def strike(operation: Operation, arguments: tuple[Any, ...]) -> Blow | None:
            if operation not in operations or chance.random() >= rate:
                return None
            possible: list[Fault] = [fault for fault in faults if _may_happen(fault, operation, arguments)]
            if not possible:
                return None
            blow = self._random_blow(chance.choice(possible), chance, operation, arguments)
            return blow._replace(detail=f"{blow.detail}, seed {seed}" if blow.detail else f"seed {seed}")

        self._strikes.append(strike)

    def heal(self) -> None:
        """Forget all faults, and release what is held."""
        self._strikes.clear()
        for wait in self._waits:
            wait.set()
        self._waits.clear()

    # What a backend does.

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

    # How a call suffers.

    def _call(
        self, operation: Operation, call: Callable[[], Awaitable[T]], *arguments: object
    ) -> Coroutine[None, None, T]:
        self.calls[operation] += 1
        blows = [blow for strike in self._strikes if (blow := strike(operation, arguments)) is not None]
        for blow in blows:
            target = target_of(operation, arguments)
            injected = Injected(blow.fault, operation, self.calls[operation], target, blow.detail)
            self.injected.append(injected)
            _log.info("injected: %s", injected)
        return _suffer(blows, call)

    def _inject(self, operation: Operation | Literal["any"], when: When, blow: Callable[[Operation], Blow]) -> None:
        is_meant = chosen(operation, when)
        self._strikes.append(lambda actual, arguments: blow(actual) if is_meant(actual, arguments) else None)

    def _delay(self, seconds: float) -> Blow:
        async def suffer(call: Call) -> Any:
            over = asyncio.Event()
            timer = self._clock.call_at(self._clock.monotonic() + seconds, over.set)
            try:
                await self._wait(over)
            finally:
                timer.cancel()
            return await call()

        return Blow("delay", suffer, f"{seconds:g} s")

    def _tear(self, groups: Sequence[WriteGroup], applied: Sequence[WriteGroup], error: Exception | None) -> Blow:
        async def suffer(call: Call) -> Any:
            if applied:
                await self.inner.commit(applied)
            raise error or OutcomeUnknown("commit", f"{len(applied)} of {len(groups)} groups were applied")

        return Blow("tear", suffer, f"{len(applied)} of {len(groups)} groups applied")

    def _random_blow(self, fault: Fault, chance: Random, operation: Operation, arguments: tuple[Any, ...]) -> Blow:
        """Return one fault for one call, as the method of its name would inject it."""
        if fault == "delay":
            return self._delay(chance.random())
        if fault == "tear":
            groups = arguments[0]
            applied = sorted(chance.sample(range(len(groups)), chance.randrange(1, len(groups))))
            return self._tear(groups, [groups[number] for number in applied], None)
        if fault == "duplicate":
            return _duplicate("first")
        return _reject(operation, None) if fault == "reject" else _lose(operation, None)

    async def _wait(self, over: asyncio.Event) -> None:
        """Wait for what healing sets too."""
        self._waits.add(over)
        try:
            await over.wait()
        finally:
            self._waits.discard(over)


def _may_happen(fault: Fault, operation: Operation, arguments: tuple[Any, ...]) -> bool:
    if fault == "tear":
        return operation == "commit" and len(arguments[0]) > 1
    return fault != "duplicate" or operation == "commit"


def _reject(operation: Operation, error: Exception | None) -> Blow:
    raised = error or StoreUnavailable(operation, "rejected by the test")

    async def suffer(call: Call) -> Any:
        raise raised

    return Blow("reject", suffer, type(raised).__name__)


def _lose(operation: Operation, error: Exception | None) -> Blow:
    usual = OutcomeUnknown if operation == "commit" else StoreUnavailable
    raised = error or usual(operation, "the answer was lost")

    async def suffer(call: Call) -> Any:
        await call()
        raise raised

    return Blow("lose", suffer, type(raised).__name__)


def _duplicate(answer: Literal["first", "second"]) -> Blow:
    async def suffer(call: Call) -> Any:
        first = await call()
        second = await call()
        return first if answer == "first" else second

    return Blow("duplicate", suffer)


def _disconnect(operation: Operation) -> Blow:
    async def suffer(call: Call) -> Any:
        raise StoreUnavailable(operation, "the connection was dropped")

    return Blow("disconnect", suffer)


async def _suffer(blows: Sequence[Blow], call: Call) -> Any:
    """Make a call with what is to happen to it around it, the first outermost."""
    if not blows:
        return await call()
    return await blows[0].suffer(lambda: _suffer(blows[1:], call))
