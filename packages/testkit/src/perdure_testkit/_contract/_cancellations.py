"""What cancelling a call does to it, and that it does nothing to others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from perdure.abc import Backend, Conflict, LastKey, PutState, WriteGroup
from perdure_testkit._contract._claims import needs
from perdure_testkit._contract._material import EVENTS, STATES, append, entries_of, keys_of

_TURNS = 24
"""A call of a backend is over, or waits for its store, after fewer turns of the loop."""


class CancellationRules:
    async def test_a_commit_cancelled_at_any_turn_is_whole_or_nothing(self, backend: Backend) -> None:
        """A commit cancelled at any turn of the loop is applied whole or not at all (GAP-06)."""
        log = backend.collection(EVENTS, "a")
        for turns in range(_TURNS):
            after, version = await log.last(), await backend.state(STATES, "a").version()
            [group] = [append("a", after, b"1", b"2", b"3")]
            whole = WriteGroup((*group.writes, PutState(STATES, "a", b"")), group.expectations)

            await cancel(lambda groups=[whole]: backend.commit(groups), turns)  # type: ignore[misc]
            [conflict] = await backend.commit(
                [append("a", after, b"fence")]
            )  # from here on it can no longer be applied

            written = [entry.value async for entry in log.iterate(after + 1)]
            raised = await backend.state(STATES, "a").version() - version
            assert (written, raised, conflict) in (
                ([b"fence"], 0, None),
                ([b"1", b"2", b"3"], 1, Conflict(LastKey(EVENTS, "a", after), after + 3)),
            ), turns

    async def test_a_commit_that_timed_out_can_be_repeated(self, backend: Backend) -> None:
        """Who repeats a commit after a time-out writes it once, and is told where it was written before (GAP-07)."""
        for after in range(_TURNS):
            with suppress(TimeoutError):
                async with asyncio.timeout(0):
                    await backend.commit([append("a", after, b"late")])

            [conflict] = await backend.commit([append("a", after, b"late")])

            assert conflict in (None, Conflict(LastKey(EVENTS, "a", after), after + 1))

        assert await entries_of(backend.collection(EVENTS, "a")) == [(key, b"late") for key in range(1, _TURNS + 1)]

    @pytest.mark.parametrize(
        "use",
        [
            lambda backend: backend.page(EVENTS, "victim", 1, 9, limit=9, max_bytes=9_000),
            lambda backend: backend.last(EVENTS, "victim"),
            lambda backend: backend.read_state(STATES, "victim"),
            lambda backend: backend.prefixes(EVENTS),
            lambda backend: backend.feed(EVENTS),
            lambda backend: backend.commit([append("victim", 3, b"")]),
        ],
        ids=["page", "last", "read_state", "prefixes", "feed", "commit"],
    )
    async def test_a_call_cancelled_at_any_turn_shifts_no_answer(
        self, backend: Backend, use: Callable[[Backend], Awaitable[object]]
    ) -> None:
        """Calls beside and after one that is cancelled at any turn of the loop get their own answers (GAP-06)."""
        await backend.commit([append(f"{number}", 0, b"%d" % number) for number in range(8)])
        await backend.commit([append("victim", 0, b"1", b"2", b"3")])

        async def all_answers() -> None:
            for number in range(8):
                assert await backend.collection(EVENTS, f"{number}").get(1) == b"%d" % number

        for turns in range(_TURNS):
            beside = asyncio.ensure_future(all_answers())
            stale = asyncio.ensure_future(_wait(lambda: backend.commit([append("0", 100, b"")])))
            await cancel(lambda: use(backend), turns)

            assert await backend.collection(EVENTS, "7").get(1) == b"7"
            assert await backend.last("never_written", "a") == 0
            assert await stale == [Conflict(LastKey(EVENTS, "0", 100), 1)]
            await beside

    async def test_every_waiter_may_be_cancelled(self, backend: Backend) -> None:
        """When all that wait are cancelled at once the store goes on, and no log is torn (GAP-06, GAP-24)."""
        waiting = [asyncio.ensure_future(_wait(_appender(backend, f"{number}"))) for number in range(200)]
        await asyncio.sleep(0)

        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

        for number in range(200):
            await backend.commit([append(f"{number}", 0, b"fence")])
            assert len(await keys_of(backend.collection(EVENTS, f"{number}"))) in (1, 2)

    @needs("reopening")
    async def test_close_finishes_what_nobody_waits_for(
        self, backend: Backend, reopen: Callable[[], Awaitable[Backend]]
    ) -> None:
        """A commit that was begun and whose waiter was cancelled is finished by close (GAP-06, GAP-29)."""
        begun = asyncio.ensure_future(backend.commit([append("a", 0, b"begun")]))
        await asyncio.sleep(0)
        begun.cancel()
        await backend.close()

        backend = await reopen()

        assert await keys_of(backend.collection(EVENTS, "a")) == [1]


def _appender(backend: Backend, prefix: str) -> Callable[[], Awaitable[object]]:
    return lambda: backend.commit([append(prefix, 0, b"1", b"2")])


async def _wait(call: Callable[[], Awaitable[object]]) -> object:
    return await call()


async def cancel(call: Callable[[], Awaitable[object]], turns: int) -> None:
    """Begin a call, cancel it after so many turns of the loop, and wait until its waiter is gone."""
    waiter = asyncio.ensure_future(_wait(call))
    for _ in range(turns):
        await asyncio.sleep(0)
    waiter.cancel()
    await asyncio.wait([waiter])
    if not waiter.cancelled():
        waiter.result()
