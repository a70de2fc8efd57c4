"""A backend that fails when it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from perdure.abc import Backend, LastKey, Put, WriteGroup
from perdure.errors import OutcomeUnknown, StoreClosed, StoreUnavailable
from perdure.memory import MemoryBackend
from perdure_testkit import BackendContract, FaultyBackend

DOWN = StoreUnavailable("commit", "the store is down")


class TestWithoutFaults(BackendContract):
    """Without faults it keeps the contract as the backend that it wraps does."""

    @pytest.fixture
    async def backend(self) -> AsyncIterator[Backend]:
        backend = FaultyBackend(MemoryBackend())
        yield backend
        await backend.close()


@pytest.fixture
async def faulty() -> AsyncIterator[FaultyBackend]:
    backend = FaultyBackend(MemoryBackend())
    yield backend
    await backend.close()


def append(after: int, prefix: str = "a") -> list[WriteGroup]:
    return [WriteGroup((Put("events", prefix, after + 1, b""),), (LastKey("events", prefix, after),))]


async def test_it_is_like_the_backend_that_it_wraps() -> None:
    """It has the durability and the limit of the backend that it wraps."""
    inner = MemoryBackend(durability="relaxed")
    inner.max_value_bytes = 5

    faulty = FaultyBackend(inner)

    assert (faulty.durability, faulty.max_value_bytes) == ("relaxed", 5)


async def test_a_rejected_commit_writes_nothing(faulty: FaultyBackend) -> None:
    """A rejected commit raises the error that was given, and nothing is written; the next one is applied."""
    faulty.reject("commit", DOWN)

    with pytest.raises(StoreUnavailable, match="the store is down"):
        await faulty.commit(append(0))

    assert await faulty.last("events", "a") == 0
    assert await faulty.commit(append(0)) == [None]


async def test_a_lost_commit_is_written(faulty: FaultyBackend) -> None:
    """A lost commit raises OutcomeUnknown, and all of it is written."""
    faulty.lose("commit")

    with pytest.raises(OutcomeUnknown, match="the answer was lost"):
        await faulty.commit(append(0))

    assert await faulty.last("events", "a") == 1


async def test_an_answer_may_be_lost_with_any_error(faulty: FaultyBackend) -> None:
    """The error in place of an answer can be chosen."""
    faulty.lose("commit", DOWN)

    with pytest.raises(StoreUnavailable):
        await faulty.commit(append(0))

    assert await faulty.last("events", "a") == 1


async def test_the_call_is_chosen_by_number(faulty: FaultyBackend) -> None:
    """The n-th call from now on fails, and no other."""
    await faulty.commit(append(0))
    faulty.reject("commit", DOWN, when=2)

    outcomes = [await asyncio.gather(faulty.commit(append(1 + n)), return_exceptions=True) for n in (0, 1, 1, 2)]

    assert outcomes == [[[None]], [DOWN], [[None]], [[None]]]


async def test_calls_are_chosen_by_their_arguments(faulty: FaultyBackend) -> None:
    """Every call for whose arguments a function is true fails, until the backend is healed."""
    faulty.reject("last", DOWN, when=lambda _, prefix: prefix == "a")

    outcomes = [await asyncio.gather(faulty.last("events", prefix), return_exceptions=True) for prefix in "abab"]
    faulty.heal()

    assert outcomes == [[DOWN], [0], [DOWN], [0]]
    assert await faulty.last("events", "a") == 0


@pytest.mark.parametrize("operation", ["page", "last", "read_state", "prefixes", "feed"])
async def test_every_read_can_fail(faulty: FaultyBackend, operation: str) -> None:
    """Each operation fails when it is told to, and no other does."""
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "page": lambda: faulty.collection("events", "a").iterate().__anext__(),
        "last": lambda: faulty.collection("events", "a").last(),
        "read_state": lambda: faulty.state("states", "a").version(),
        "prefixes": lambda: faulty.prefixes("events"),
        "feed": lambda: faulty.feed("events"),
    }
    await faulty.commit(append(0))
    faulty.reject(operation, DOWN)  # type: ignore[arg-type]

    outcomes = {name: (await asyncio.gather(call(), return_exceptions=True))[0] for name, call in calls.items()}

    assert [name for name, outcome in outcomes.items() if outcome is DOWN] == [operation]
    assert faulty.calls == dict.fromkeys(["commit", *calls], 1)


async def test_a_held_commit_waits(faulty: FaultyBackend) -> None:
    """A held commit writes nothing until it is released; others pass it."""
    release = faulty.hold("commit")
    held = asyncio.ensure_future(faulty.commit(append(0)))
    await faulty.commit(append(0, "b"))
    before = await faulty.last("events", "a")

    release.set()

    assert await held == [None]
    assert (before, await faulty.last("events", "a"), await faulty.last("events", "b")) == (0, 1, 1)


async def test_a_held_commit_that_is_cancelled_goes_on() -> None:
    """Cancelling who waits for a held commit does not cancel the commit."""
    faulty = FaultyBackend(MemoryBackend("cancelled while held"))
    release = faulty.hold("commit")
    held = asyncio.ensure_future(faulty.commit(append(0)))
    await asyncio.sleep(0)

    held.cancel()
    release.set()
    await faulty.close()

    assert await MemoryBackend("cancelled while held").last("events", "a") == 1


async def test_a_call_may_be_held_and_lost(faulty: FaultyBackend) -> None:
    """Faults add up: a call can wait, then be made, then lose its answer."""
    release = faulty.hold("commit")
    faulty.lose("commit")
    lost = asyncio.ensure_future(faulty.commit(append(0)))

    release.set()

    with pytest.raises(OutcomeUnknown):
        await lost
    assert await faulty.last("events", "a") == 1


async def test_healing_releases_what_is_held(faulty: FaultyBackend) -> None:
    """Healing lets what is held go on, and later calls pass."""
    faulty.hold("commit", when=lambda _: True)
    held = asyncio.ensure_future(faulty.commit(append(0)))
    await asyncio.sleep(0)

    faulty.heal()

    assert await held == [None]
    assert await faulty.commit(append(1)) == [None]


async def test_closing_lets_what_is_held_end(faulty: FaultyBackend) -> None:
    """Closing releases what is held, lets it end, and closes the backend that it wraps."""
    faulty.hold("commit")
    held = asyncio.ensure_future(faulty.commit(append(0)))
    await asyncio.sleep(0)

    await faulty.close()

    assert await held == [None]
    with pytest.raises(StoreClosed):
        await faulty.inner.last("events", "a")
