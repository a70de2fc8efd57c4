"""A backend that fails when it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from perdure.abc import Backend, LastKey, Put, WriteGroup
from perdure.errors import OutcomeUnknown, StoreClosed, StoreUnavailable
from perdure.memory import MemoryBackend
from perdure_testkit import BackendContract, FaultyBackend, Injected, VirtualClock, every_nth

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


async def test_a_read_without_an_answer_is_no_unknown_write(faulty: FaultyBackend) -> None:
    """The lost answer to a read is a store that is unavailable."""
    faulty.lose("last")

    assert isinstance(await outcome_of(faulty.last("events", "a")), StoreUnavailable)


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


async def test_an_unnamed_rejection_says_that_the_store_is_unavailable(faulty: FaultyBackend) -> None:
    """By default the next commit is rejected, with StoreUnavailable."""
    faulty.reject()

    with pytest.raises(StoreUnavailable, match="commit: rejected by the test"):
        await faulty.commit(append(0))

    assert await faulty.last("events", "a") == 0


async def test_every_nth_call_suffers(faulty: FaultyBackend) -> None:
    """With every_nth(2) each second call suffers, until the backend is healed."""
    faulty.reject("last", when=every_nth(2))

    outcomes = [await outcome_of(faulty.last("events", "a")) for _ in range(5)]

    assert [isinstance(outcome, StoreUnavailable) for outcome in outcomes] == [False, True, False, True, False]


async def test_calls_of_all_operations_may_be_counted(faulty: FaultyBackend) -> None:
    """The n-th call of any operation suffers, and none before or after."""
    faulty.reject("any", DOWN, when=2)

    outcomes = [await outcome_of(faulty.last("events", "a")), await outcome_of(faulty.commit(append(0)))]

    assert outcomes == [0, DOWN]
    assert await faulty.commit(append(0)) == [None]


async def test_a_call_of_any_operation_may_be_chosen_by_its_arguments(faulty: FaultyBackend) -> None:
    """Where the operation is `any`, the function has it for its first argument."""
    faulty.reject("any", DOWN, when=lambda operation, *arguments: operation == "last" and arguments[1] == "a")

    outcomes = [await outcome_of(faulty.last("events", prefix)) for prefix in "ab"]

    assert outcomes == [DOWN, 0]


@pytest.mark.parametrize("number", [0, -1])
async def test_a_number_below_1_is_refused(faulty: FaultyBackend, number: int) -> None:
    """Calls are counted from 1."""
    with pytest.raises(ValueError, match="counted from 1"):
        faulty.reject("commit", when=number)
    with pytest.raises(ValueError, match="takes 1 or more"):
        every_nth(number)


async def test_a_delayed_call_waits_for_the_clock() -> None:
    """A delayed call begins after so many seconds of the clock."""
    clock = VirtualClock()
    faulty = FaultyBackend(MemoryBackend(), clock=clock)
    faulty.delay("commit", 5)
    delayed = asyncio.ensure_future(faulty.commit(append(0)))

    await clock.advance(4.9)
    before = await faulty.last("events", "a")
    await clock.advance(0.1)

    assert (before, await delayed, await faulty.last("events", "a")) == (0, [None], 1)


async def test_healing_ends_a_delay() -> None:
    """A delayed call goes on when the backend is healed."""
    faulty = FaultyBackend(MemoryBackend(), clock=VirtualClock())
    faulty.delay("commit", 5)
    delayed = asyncio.ensure_future(faulty.commit(append(0)))
    await asyncio.sleep(0.001)

    faulty.heal()

    assert await delayed == [None]


async def test_a_call_that_hangs_is_never_made(faulty: FaultyBackend) -> None:
    """A call that hangs writes nothing, and raises StoreUnavailable when the backend is healed."""
    faulty.hang("commit")
    hanging = asyncio.ensure_future(faulty.commit(append(0)))
    done, _ = await asyncio.wait([hanging], timeout=0.01)

    faulty.heal()

    assert done == set()
    with pytest.raises(StoreUnavailable, match="it hung"):
        await hanging
    assert await faulty.last("events", "a") == 0


async def test_closing_ends_what_hangs(faulty: FaultyBackend) -> None:
    """Closing does not wait for a call that hangs."""
    faulty.hang("commit")
    hanging = asyncio.ensure_future(faulty.commit(append(0)))
    await asyncio.sleep(0)

    await faulty.close()

    assert isinstance(await outcome_of(hanging), StoreUnavailable)


async def test_a_dropped_connection_stays_dropped(faulty: FaultyBackend) -> None:
    """From the chosen call on, calls of all operations raise StoreUnavailable, until the backend is healed."""
    faulty.disconnect("commit", when=2)
    first = await faulty.commit(append(0))

    outcomes = [await outcome_of(call) for call in (faulty.commit(append(1)), faulty.last("events", "a"))]
    faulty.heal()

    assert first == [None]
    assert [isinstance(outcome, StoreUnavailable) for outcome in outcomes] == [True, True]
    assert await faulty.last("events", "a") == 1


async def test_a_torn_commit_is_half_applied(faulty: FaultyBackend) -> None:
    """The first half of the groups is applied, the others are not, and the outcome is unknown."""
    faulty.tear()

    with pytest.raises(OutcomeUnknown, match="1 of 3 groups were applied"):
        await faulty.commit([*append(0, "a"), *append(0, "b"), *append(0, "c")])

    assert await faulty.prefixes("events") == ["a"]


async def test_a_torn_commit_applies_what_the_test_says(faulty: FaultyBackend) -> None:
    """A function says which groups are applied, and the error can be chosen."""
    faulty.tear(applies=lambda group: group.writes[0].prefix == "b", error=DOWN)

    outcome = await outcome_of(faulty.commit([*append(0, "a"), *append(0, "b")]))

    assert (outcome, await faulty.prefixes("events")) == (DOWN, ["b"])


async def test_a_group_never_tears(faulty: FaultyBackend) -> None:
    """Commits of one group are not torn, nor counted."""
    faulty.tear()

    assert await faulty.commit(append(0)) == [None]
    assert isinstance(await outcome_of(faulty.commit([*append(1), *append(0, "b")])), OutcomeUnknown)


async def test_a_duplicated_commit_is_harmless_by_its_expectations(faulty: FaultyBackend) -> None:
    """A commit is made twice; the second is in conflict with the first, whose answer is given."""
    faulty.duplicate()

    outcome = await faulty.commit(append(0))

    assert (outcome, await faulty.last("events", "a")) == ([None], 1)


async def test_a_duplicated_commit_without_expectations_is_seen(faulty: FaultyBackend) -> None:
    """What expects nothing really happens twice: the version of a state grows by two."""
    faulty.duplicate()

    await faulty.state("states", "a").put(b"")

    assert await faulty.state("states", "a").version() == 2


async def test_a_duplicated_commit_may_give_the_second_answer(faulty: FaultyBackend) -> None:
    """The answer may be that of the second attempt: a conflict of the group with itself."""
    faulty.duplicate(answer="second")

    [conflict] = await faulty.commit(append(0))

    assert conflict is not None
    assert conflict.actual == 1


async def random_run(seed: int, **options: Any) -> FaultyBackend:
    faulty = FaultyBackend(MemoryBackend())
    faulty.random(seed, **options)
    for number in range(100):
        await outcome_of(faulty.commit([*append(0, f"a{number}"), *append(0, f"b{number}")]))
        await outcome_of(faulty.last("events", f"a{number}"))
    return faulty


async def test_random_faults_come_again_with_their_seed() -> None:
    """The same calls suffer the same with the same seed, and something else with another."""
    first, again, other = await random_run(1), await random_run(1), await random_run(2)

    assert first.injected == again.injected != other.injected
    assert await first.prefixes("events") == await again.prefixes("events")


async def test_random_faults_come_at_their_rate() -> None:
    """At a rate of 0 nothing is injected, at 1 into every call; other operations than those chosen are spared."""
    none, all_commits, some = await random_run(1, rate=0), await random_run(1, rate=1), await random_run(1, rate=0.3)

    assert (len(none.injected), len(all_commits.injected)) == (0, 100)
    assert 15 < len(some.injected) < 45
    assert {injected.operation for injected in all_commits.injected} == {"commit"}
    assert {injected.fault for injected in all_commits.injected} == {"reject", "lose", "tear", "duplicate"}


async def test_reads_suffer_only_what_can_happen_to_them() -> None:
    """Reads are neither torn nor made twice."""
    faulty = await random_run(1, rate=1, operations=["last"])
    spared = await random_run(1, rate=1, operations=["last"], faults=["tear", "duplicate"])

    assert {injected.fault for injected in faulty.injected} == {"reject", "lose"}
    assert spared.injected == []


async def test_a_random_delay_is_up_to_one_second() -> None:
    """Delays are injected where they are asked for, and take time of the clock."""
    clock = VirtualClock()
    faulty = FaultyBackend(MemoryBackend(), clock=clock)
    faulty.random(1, rate=1, faults=["delay"])

    async with clock.jumping():
        await faulty.commit(append(0))

    assert 0 < clock.monotonic() < 1


async def test_a_rate_is_a_chance(faulty: FaultyBackend) -> None:
    """A rate below 0 or above 1 is refused."""
    with pytest.raises(ValueError, match="from 0 to 1"):
        faulty.random(1, rate=10)


async def test_what_was_injected_is_recorded(faulty: FaultyBackend) -> None:
    """Each fault that met a call is noted, in order, with the call and with what that was about."""
    faulty.lose("commit", when=2)
    faulty.reject("last", DOWN)

    await faulty.commit(append(0))
    await outcome_of(faulty.commit([*append(1), *append(0, "b")]))
    await outcome_of(faulty.last("events", "a"))

    assert faulty.injected == [
        Injected("lose", "commit", 2, "2 groups (a, b)", "OutcomeUnknown"),
        Injected("reject", "last", 1, "events/a", "StoreUnavailable"),
    ]


async def test_what_was_injected_is_shown(faulty: FaultyBackend, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, so that pytest shows it with a failure, and stands in the backend's repr; values are in neither."""
    faulty.reject()

    await outcome_of(faulty.commit([WriteGroup((Put("events", "a", 1, b"secret"),))]))

    assert caplog.messages == ["injected: reject commit 1 of 1 group (a): StoreUnavailable"]
    assert repr(faulty).endswith("faults injected: 1\n  reject commit 1 of 1 group (a): StoreUnavailable>")


async def outcome_of(call: Awaitable[object]) -> object:
    """Return what a call returned or raised."""
    return (await asyncio.gather(call, return_exceptions=True))[0]
