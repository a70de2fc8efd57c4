from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from perdure import ActorSystem, Event, Full, Message, PersistentActor, every_n_events
from perdure.errors import (
    ActorStopped,
    AskTimeout,
    ConflictError,
    EventTypeError,
    InvalidIdentifier,
    OutcomeUnknown,
    PerdureError,
    RecordTooLarge,
    StoreClosed,
    StoreUnavailable,
)
from perdure.memory import MemoryBackend
from perdure_testkit import FaultyBackend, VirtualClock

from .tapes import MutatingTape, Number, PureTape, Read, Write, Written, keys, light, stored_as, values

MIB = 1024 * 1024
DOWN = StoreUnavailable("commit", "down")


TAPES = [
    stored_as(PureTape, Full(snapshot=every_n_events(2), keep_snapshots=1)),
    stored_as(MutatingTape, Full(snapshot=every_n_events(1))),
    light(PureTape),
    light(MutatingTape),
]


class Say(Message[int]):
    """Persist this event, whatever it is; the reply is the sequence number."""

    event: Any


class Heard(Message[list[Event]]):
    """The reply is every event."""


class Said(Event):
    thing: Any = None


class Nodded(Event):
    pass


class Speaker(PersistentActor[tuple[Any, ...], Said | Nodded]):
    initial_state = ()

    async def handle(self, message: Message[Any], context: Any) -> Any:
        match message:
            case Say(event):
                await self.persist(event)
                return self.sequence_number
            case Heard():
                return list(self.state)

    def apply(self, state: tuple[Any, ...], event: Event) -> tuple[Any, ...]:
        return (*state, event)


class TestEvents:
    @pytest.mark.parametrize("write", ["msgpack", "json"])
    async def test_without_fields_are_events(self, store: FaultyBackend, write: Any) -> None:
        """An event of zero length says that something happened."""
        async with ActorSystem(store=store, write=write) as system:
            await system.ref(Speaker, "a").ask(Say(Nodded()))

        async with ActorSystem(store=store) as system:
            assert await system.ref(Speaker, "a").ask(Heard()) == [Nodded()]

    @pytest.mark.parametrize("thing", ["", b"", [], {}, None, 0, False])
    async def test_with_empty_values_come_back(self, store: FaultyBackend, thing: Any) -> None:
        """Nothing is not the same as missing (AVE-138)."""
        async with ActorSystem(store=store) as system:
            await system.ref(Speaker, "a").ask(Say(Said(thing)))

        async with ActorSystem(store=store) as system:
            assert await system.ref(Speaker, "a").ask(Heard()) == [Said(thing)]

    async def test_of_64_mib_are_refused_by_default(self, store: FaultyBackend) -> None:
        """The error names the actor, the event, its size and the limit; the actor goes on."""
        async with ActorSystem(store=store) as system:
            ref = system.ref(Speaker, "a")

            with pytest.raises(RecordTooLarge, match=r"Speaker/a: a record of Said has 67,\d{3},\d{3} bytes") as error:
                await ref.ask(Say(Said(bytes(64 * MIB))))

            assert (error.value.manifest, error.value.limit) == ("Said", 16 * MIB)
            assert (await ref.ask(Heard()), await ref.ask(Say(Nodded()))) == ([], 1)

    async def test_of_64_mib_are_stored_where_they_are_allowed(self, store: FaultyBackend) -> None:
        """With a higher limit they survive like any other."""
        huge = bytes(64 * MIB)
        async with ActorSystem(store=store, max_record_bytes=65 * MIB) as system:
            await system.ref(Speaker, "a").ask(Say(Said(huge)))

        async with ActorSystem(store=store) as system:
            [said] = await system.ref(Speaker, "a").ask(Heard())

        assert said == Said(huge)

    async def test_that_make_a_light_state_too_large_are_refused(self, store: FaultyBackend) -> None:
        """The error says that it is the state; nothing is stored."""
        async with ActorSystem(store=store, max_record_bytes=100) as system:
            ref = system.ref(light(PureTape), "a")
            for value in range(30):
                await ref.ask(Write((value,)))

            with pytest.raises(RecordTooLarge, match="Tape/a: a record of the state has 101 bytes"):
                while True:
                    await ref.ask(Write((9,)))

            assert len(await ref.ask(Read())) == await ref.ask(Number()) == await store.last("events", "Tape/a")

    @pytest.mark.parametrize("thing", [object(), 2**64, "\ud800", lambda: 0, [object()]])
    async def test_that_cannot_be_encoded_change_nothing(self, store: FaultyBackend, thing: Any) -> None:
        """The error names the event type; the actor goes on (ATS-23)."""
        async with ActorSystem(store=store) as system:
            ref = system.ref(Speaker, "a")

            with pytest.raises(EventTypeError, match="Speaker: an event Said"):
                await ref.ask(Say(Said(thing)))

            assert (await ref.ask(Heard()), await ref.ask(Say(Nodded()))) == ([], 1)

    @pytest.mark.parametrize("event", [Written(1), None, "Said", 7, Said])
    async def test_that_are_not_declared_change_nothing(self, store: FaultyBackend, event: Any) -> None:
        """Only what the actor declares is stored, and the error names the rest."""
        async with ActorSystem(store=store) as system:
            ref = system.ref(Speaker, "a")

            with pytest.raises(EventTypeError, match="Speaker"):
                await ref.ask(Say(event))

            assert (await ref.ask(Heard()), await ref.ask(Say(Nodded()))) == ([], 1)

    async def test_of_a_batch_with_one_bad_event_are_all_refused(self, store: FaultyBackend) -> None:
        """Together or not at all (ATS-23)."""

        class Eager(PureTape):
            async def handle(self, message: Message[Any], context: Any) -> Any:
                await self.persist(Written(1), Written("two"), Written(3))  # type: ignore[arg-type]

        async with ActorSystem(store=store) as system:
            with pytest.raises(EventTypeError, match="Written could not be read back"):
                await system.ref(Eager, "a").ask(Number())

        assert await keys(store) == []


class Undeclared(PersistentActor):  # type: ignore[type-arg]
    initial_state = 0


class NoEvents(PersistentActor[int, int]):  # type: ignore[type-var]
    initial_state = 0


class Unnamed(PersistentActor[int, "Missing"]):  # type: ignore[name-defined]
    initial_state = 0


@pytest.mark.parametrize(
    ("actor", "said"),
    [
        (Undeclared, "Undeclared does not say its types: write class Undeclared"),
        (NoEvents, "NoEvents declares the event type <class 'int'>: use subclasses of perdure.Event"),
        (Unnamed, "Unnamed: the type 'Missing' is not defined"),
    ],
)
async def test_a_class_that_does_not_say_its_types_is_told_what_to_write(
    store: FaultyBackend, actor: Any, said: str
) -> None:
    """The declaration is checked when the first actor of the class starts."""
    async with ActorSystem(store=store) as system:
        with pytest.raises(EventTypeError) as error:
            await system.ref(actor, "a").ask(Number())

    assert said in str(error.value)


VALID = [
    "a",
    " ",
    "é",
    "e\u0301",
    "日本語",
    "\U0001f600",
    "x" * 900,
    "é" * 450,
    "a/b",
    "/",
    "../../etc/passwd",
    "/etc/passwd",
    "a\\b",
    "C:\\nul",
    "'; DROP TABLE events; --",
    '"',
    "%",
    "_",
    "a*b?",
    "\n\t\r",
    "\x7f\x01",
    "\u202e",
    "user/a",
    "A",
    "Tape/a",
    "None",
    "0",
    "{}",
]


class TestKeys:
    async def test_of_any_text_are_isolated_and_come_back(self, store: FaultyBackend) -> None:
        """Empty-looking, path-like, SQL, case pairs, composed and decomposed: each is an actor of its own (ATS-21)."""
        async with ActorSystem(store=store) as system:
            for number, key in enumerate(VALID):
                await system.ref(PureTape, key).ask(Write((number,)))

        async with ActorSystem(store=store) as system:
            states = [await system.ref(PureTape, key).ask(Read()) for key in VALID]

        assert states == [[number] for number in range(len(VALID))]

    @pytest.mark.parametrize("key", ["", "\0", "a\0b", "\ud800", "a\udfff", "x" * 901, "é" * 451], ids=ascii)
    async def test_that_no_store_can_hold_are_refused(self, store: FaultyBackend, key: str) -> None:
        """The error says which rule is broken, and can be printed (ATS-21)."""
        async with ActorSystem(store=store) as system:
            with pytest.raises(InvalidIdentifier) as error:
                system.ref(PureTape, key)

        assert str(error.value).encode()

    @pytest.mark.parametrize("key", [None, 7, b"a", ("a",)])
    async def test_that_are_no_text_are_refused(self, store: FaultyBackend, key: Any) -> None:
        """A number is not quietly made a text, for it might be another text elsewhere."""
        async with ActorSystem(store=store) as system:
            with pytest.raises(InvalidIdentifier, match="it must be text"):
                system.ref(PureTape, key)

    @pytest.mark.parametrize("identity", ["", "\0", "\ud800", "x" * 1025], ids=ascii)
    async def test_given_as_persistence_ids_keep_the_same_rules(self, store: FaultyBackend, identity: str) -> None:
        """An explicit id is checked before anything is made (ATS-69)."""
        async with ActorSystem(store=store) as system:
            with pytest.raises(InvalidIdentifier):
                await system.spawn(PureTape, "a", persistence_id=identity)

            assert system.live == 0

    async def test_with_their_type_fit_every_store(self, store: FaultyBackend) -> None:
        """A type's name has a limit too, so that no persistence id is longer than 1,024 bytes."""
        long = type("T" * 200, (Speaker,), {})
        async with ActorSystem(store=store) as system:
            with pytest.raises(InvalidIdentifier, match="invalid type name"):
                system.ref(long, "x" * 900)


class TestSettings:
    @pytest.mark.parametrize(
        ("settings", "said"),
        [
            ({"durability": "some"}, "durability"),
            ({"write": "xml"}, "write"),
            ({"max_recoveries": 0}, "max_recoveries"),
            ({"max_record_bytes": 0}, "max_record_bytes"),
        ],
    )
    async def test_that_cannot_be_meant_are_refused(self, settings: Any, said: str) -> None:
        """The error names the setting; nothing waits for ever or fails at the first message."""
        with pytest.raises(ValueError, match=said):
            async with ActorSystem(**settings):
                pass

    @pytest.mark.parametrize("store", ["", "bank.db", "sqlite:/bank.db", "nosuch://x"])
    async def test_a_store_that_is_no_known_url_is_refused(self, store: str) -> None:
        """The error quotes it and says what would do."""
        with pytest.raises(PerdureError, match=r"is no URL; write for example|no backend for 'nosuch'"):
            async with ActorSystem(store=store):
                pass


# Cancellation at every step. A scenario is run again and again; the k-th run is cancelled after k turns of the loop.

Scenario = Callable[[Any, ActorSystem, FaultyBackend], Coroutine[Any, Any, None]]


async def at_every_turn(run: Callable[[int], Awaitable[bool]]) -> int:
    """Call `run(k)` for k = 0, 1, 2, … until it says that it was over before its cancellation; return how many."""
    for k in range(1000):
        if await run(k):
            return k
    raise AssertionError("the scenario never ends")


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def check(system: ActorSystem, tape: Any, store: FaultyBackend, acknowledged: list[int]) -> None:
    """See that the actor's state is the fold of its log, that nothing acknowledged is lost and nothing is twice."""
    ref = system.ref(tape, "a")
    state = await ref.ask(Read(), timeout=5)
    number = await ref.ask(Number(), timeout=5)
    assert state == await values(store)
    assert number == len(state) == len(set(state))
    assert set(acknowledged) <= set(state)
    assert await ref.ask(Write((1000,)), timeout=5) == number + 1


@pytest.mark.parametrize("tape", TAPES)
class TestCancellationAtEveryTurn:
    async def test_of_an_ask_loses_nothing(self, tape: Any) -> None:
        """Whenever the asker gives up, the state stays the fold of the log."""

        async def run(k: int) -> bool:
            store = FaultyBackend(MemoryBackend())
            acknowledged: list[int] = []
            async with ActorSystem(store=store) as system:
                ref = system.ref(tape, "a")

                async def scenario() -> None:
                    for written in ((1, 2), (3,), (4,)):
                        await ref.ask(Write(written))
                        acknowledged.extend(written)

                asker = asyncio.ensure_future(scenario())
                await turns(k)
                over = asker.done()
                asker.cancel()
                await asyncio.gather(asker, return_exceptions=True)
                await check(system, tape, store, acknowledged)
            await store.close()
            return over

        assert await at_every_turn(run) > 10

    @pytest.mark.parametrize("fault", ["none", "reject", "lose"])
    async def test_of_a_persist_inside_a_handler_loses_nothing(self, tape: Any, fault: str) -> None:
        """A handler may put a time limit on its own persist; the next message finds what the log says."""
        patience, over = 0, list[bool]()

        class Impatient(tape):  # type: ignore[misc]
            async def handle(self, message: Message[Any], context: Any) -> Any:
                if not isinstance(message, Write):
                    return await super().handle(message, context)
                persist = asyncio.ensure_future(self.persist(*map(Written, message.values)))
                await turns(patience)
                over.append(persist.done())
                persist.cancel()
                await asyncio.wait([persist])
                if persist.cancelled():
                    return 0
                persist.result()
                return self.sequence_number

        async def run(k: int) -> bool:
            nonlocal patience
            patience = k
            over.clear()
            store = FaultyBackend(MemoryBackend())
            acknowledged: list[int] = []
            async with ActorSystem(store=store) as system:
                ref = system.ref(Impatient, "a")
                if fault == "reject":
                    store.reject("commit", DOWN, when=2)
                elif fault == "lose":
                    store.lose("commit", when=2)
                for written in ((1, 2), (3,), (4,)):
                    try:
                        if await ref.ask(Write(written)):
                            acknowledged.extend(written)
                    except (StoreUnavailable, OutcomeUnknown):
                        pass
                patience = 100
                await check(system, Impatient, store, acknowledged)
            await store.close()
            return all(over)

        assert await at_every_turn(run) > 1

    async def test_of_the_actor_itself_loses_nothing(self, tape: Any) -> None:
        """An actor whose task is cancelled at any step, also before its first, comes back as its log says."""

        async def run(k: int) -> bool:
            store = FaultyBackend(MemoryBackend())
            acknowledged: list[int] = []
            async with ActorSystem(store=store) as system:
                ref = system.ref(tape, "a")

                async def scenario() -> None:
                    for written in ((1, 2), (3,), (4,)):
                        await ref.ask(Write(written), timeout=1)
                        acknowledged.extend(written)

                asker = asyncio.ensure_future(scenario())
                await turns(k)
                over = asker.done()
                for runner in list(system.dispatcher._runners):
                    runner.task.cancel()
                [result] = await asyncio.gather(asker, return_exceptions=True)
                assert result is None or isinstance(result, (ActorStopped, AskTimeout))
                await check(system, tape, store, acknowledged)
            await store.close()
            return over

        assert await at_every_turn(run) > 10

    async def test_of_the_whole_system_loses_nothing(self, tape: Any) -> None:
        """Whenever a program is cancelled, the next one finds all that was acknowledged."""

        async def run(k: int) -> bool:
            store = FaultyBackend(MemoryBackend())
            acknowledged: list[int] = []

            async def program() -> None:
                async with ActorSystem(store=store) as system:
                    for written in ((1, 2), (3,), (4,)):
                        await system.ref(tape, "a").ask(Write(written), timeout=5)
                        acknowledged.extend(written)

            program_task = asyncio.ensure_future(program())
            await turns(k)
            over = program_task.done()
            program_task.cancel()
            await asyncio.gather(program_task, return_exceptions=True)
            async with ActorSystem(store=store) as system:
                await check(system, tape, store, acknowledged)
            await store.close()
            return over

        assert await at_every_turn(run) > 10


@pytest.mark.parametrize("tape", TAPES)
@pytest.mark.parametrize("fault", ["reject", "lose"])
async def test_a_store_that_fails_at_every_nth_write_loses_nothing(tape: Any, fault: str) -> None:
    """Before the write or after it: what was acknowledged is there, once, and the actor goes on."""
    for n in range(1, 12):
        store = FaultyBackend(MemoryBackend())
        acknowledged = []
        async with ActorSystem(store=store) as system:
            ref = system.ref(tape, "a")
            for value in range(8):
                if store.calls["commit"] % n == 0:
                    if fault == "reject":
                        store.reject("commit", DOWN, when=n)
                    else:
                        store.lose("commit", when=n)
                try:
                    await ref.ask(Write((value,)))
                    acknowledged.append(value)
                except (StoreUnavailable, OutcomeUnknown):
                    pass
            store.heal()

            state = await ref.ask(Read())

            assert state == await values(store) == sorted(set(state))
            assert set(acknowledged) <= set(state)
            if fault == "reject":
                assert state == acknowledged
        await store.close()


@pytest.mark.parametrize("tape", TAPES)
async def test_two_systems_on_one_actor_never_fork_its_log(tape: Any) -> None:
    """Of two writers one is refused, once; each then goes on from what the other has written (W-22, ATS-47)."""
    shared = MemoryBackend()
    async with ActorSystem(store=shared) as one, ActorSystem(store=shared) as other:
        ref, rival = one.ref(tape, "a"), other.ref(tape, "a")
        await ref.ask(Write((1,)))
        await rival.ask(Write((2,)))

        with pytest.raises(ConflictError, match="expected the log to end at sequence number 1, but it ends at 2"):
            await ref.ask(Write((3,)))

        assert (await ref.ask(Write((3,))), await ref.ask(Read()), await values(shared)) == (3, [1, 2, 3], [1, 2, 3])


async def test_two_systems_that_race_write_a_log_without_gaps() -> None:
    """Whatever is refused, what was acknowledged is there in order, and once (W-22)."""
    shared = MemoryBackend()
    acknowledged = []
    async with ActorSystem(store=shared) as one, ActorSystem(store=shared) as other:

        async def write(system: ActorSystem, base: int) -> None:
            ref = system.ref(light(PureTape), "a")
            for value in range(base, base + 50):
                try:
                    await ref.ask(Write((value,)))
                    acknowledged.append(value)
                except ConflictError:
                    await asyncio.sleep(0)

        await asyncio.gather(write(one, 0), write(other, 100))

    log = await values(shared)
    assert (sorted(log), await keys(shared)) == (sorted(acknowledged), list(range(1, len(log) + 1)))


async def test_a_store_closed_under_a_running_actor_is_named(store: FaultyBackend, clock: VirtualClock) -> None:
    """The asker is told, and the system still closes cleanly."""
    async with ActorSystem(store=store, clock=clock) as system:
        ref = system.ref(PureTape, "a")
        await ref.ask(Write((1,)))
        await store.close()

        with pytest.raises(StoreClosed, match="commit: the store is closed"):
            await ref.ask(Write((2,)))

        with pytest.raises(StoreClosed):
            await system.ref(PureTape, "b").ask(Read())
    assert system.live == 0


async def test_a_clock_that_goes_back_changes_nothing(store: FaultyBackend, clock: VirtualClock) -> None:
    """Nothing is ordered by the time of day: years back, before 1970, and far ahead."""
    tape = stored_as(PureTape, Full(snapshot=every_n_events(2), keep_snapshots=1, compact=True))
    async with ActorSystem(store=store, clock=clock) as system:
        ref = system.ref(tape, "a")
        for value, time in enumerate([2e9, 1e9, 0.0, -1e9, 4e9, 1e9]):
            clock.set_time(time)
            await ref.ask(Write((value,)))

    async with ActorSystem(store=store, clock=clock) as system:
        assert await system.ref(tape, "a").ask(Read()) == [0, 1, 2, 3, 4, 5]


async def test_a_handler_that_swallows_its_cancellation_does_not_hold_up_the_close() -> None:
    """A system closes within its time, whatever an actor does."""

    class Stubborn(PureTape):
        async def handle(self, message: Message[Any], context: Any) -> Any:
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                return 7

    async with ActorSystem(stop_timeout=0.01) as system:
        ask = asyncio.ensure_future(system.ref(Stubborn, "a").ask(Number()))
        await turns(5)

    assert await ask == 7
