"""Given, when, then: the tests of persistent actors in one sentence."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, assert_type

import pytest

from perdure import (
    Actor,
    ActorRef,
    ActorSystem,
    Context,
    Escalate,
    Event,
    Full,
    Light,
    Message,
    PersistentActor,
    Rejected,
    every_n_events,
    never,
)
from perdure.actors import Supervision
from perdure.errors import ConflictError, CorruptionError, OutcomeUnknown, StoreUnavailable, SystemCrashed
from perdure.memory import MemoryBackend
from perdure.persistence import Strategy
from perdure_testkit import FaultyBackend, Probe, Scenario, VirtualClock


class Deposit(Message[int]):
    amount: int


class Withdraw(Message[int]):
    amount: int


class Balance(Message[int]):
    pass


class Remind(Message[None]):
    seconds: float


class Interest(Message[None]):
    every: float


class Hire(Message[str]):
    name: str


class Deposited(Event):
    amount: int


class Withdrawn(Event):
    amount: int


class Account(PersistentActor[int, Deposited | Withdrawn]):
    initial_state = 0

    async def handle(self, message: Message[Any], context: Context) -> int | str | None:
        match message:
            case Deposit(0):
                raise ValueError("cannot deposit 0")
            case Deposit(amount):
                await self.persist(Deposited(amount))
            case Withdraw(amount) if amount > self.state:
                raise Rejected(f"there are only {self.state}")
            case Withdraw(amount):
                await self.persist(Withdrawn(amount), Deposited(1))  # a bonus
            case Remind(seconds):
                context.schedule_once(seconds, Deposit(100))
                return None
            case Interest(every):
                context.every(every, Deposit(1))
                return None
            case Hire(name):
                child = await context.spawn(Clerk, name)
                return await child.ask(Hire(name))
        return self.state

    def apply(self, state: int, event: Deposited | Withdrawn) -> int:
        match event:
            case Deposited(amount):
                return state + amount
            case Withdrawn(amount):
                return state - amount


class Clerk(Actor):
    async def handle(self, message: Hire, context: Context) -> str:
        return f"{message.name} at {context.path}"


class Mutating(PersistentActor[dict[str, list[int]], Deposited]):
    """Keeps its deposits, and changes its state in place."""

    initial_state: dict[str, list[int]] = {}  # noqa: RUF012
    strategy: ClassVar[Strategy] = Full(snapshot=every_n_events(2), compact=True, keep_snapshots=1)

    async def handle(self, message: Deposit, context: Context) -> int:
        await self.persist(Deposited(message.amount))
        return len(self.state["deposits"])

    def apply(self, state: dict[str, list[int]], event: Deposited) -> None:
        state.setdefault("deposits", []).append(event.amount)


class Starting(PersistentActor[int, Deposited]):
    """Deposits one at each start."""

    initial_state = 0

    async def started(self, context: Context) -> None:
        await self.persist(Deposited(1))

    async def handle(self, message: Message[Any], context: Context) -> int:
        return self.state

    def apply(self, state: int, event: Deposited) -> int:
        return state + event.amount


class Escalating(Account):
    supervision: ClassVar[Supervision] = Escalate()


class LightAccount(Account):
    strategy: ClassVar[Strategy] = Light()


class CompactAccount(Account):
    strategy: ClassVar[Strategy] = Light(compact=True)


def is_empty(system: ActorSystem) -> None:
    assert system.live == 0


ten = Scenario(Account).given(Deposited(10))


class TestWhatPasses:
    """Scenarios that come out as they say."""

    async def test_one_sentence(self) -> None:
        """Given events, when a message comes, then these events, this reply and this state."""
        await ten.when(Deposit(5)).then_events(Deposited(5)).then_reply(15).then_state(15)

    async def test_without_anything_given(self) -> None:
        """Without given events the actor begins with its initial state."""
        await Scenario(Account).when(Balance()).then_reply(0).then_no_events()

    async def test_what_is_given_is_no_event_of_a_step(self) -> None:
        """What is given makes the first state; `then_events` speaks of what the actor persists itself."""
        await ten.then_state(10).then_no_events()

    async def test_givens_add_up(self) -> None:
        """What is given in two calls is given in that order."""
        await ten.given(Withdrawn(3)).then_state(7)

    async def test_several_messages(self) -> None:
        """Each `then` speaks of the step before it."""
        await (
            ten.when(Deposit(5))
            .then_events(Deposited(5))
            .when(Withdraw(8))
            .then_events(Withdrawn(8), Deposited(1))
            .then_reply(8)
            .when(Balance())
            .then_no_events()
            .then_reply(8)
        )

    async def test_types_and_predicates_will_do(self) -> None:
        """Events may be expected by their type, and all by a predicate."""
        await (
            ten.when(Withdraw(8))
            .then_events(Withdrawn, lambda event: event == Deposited(1))
            .then_reply(lambda balance: balance < 10)
            .then_state(lambda balance: balance == 3)
        )

    async def test_an_error(self) -> None:
        """An error of the handler is expected by its type and its text."""
        await ten.when(Deposit(0)).then_raises(ValueError, match="cannot deposit").then_no_events().then_state(10)

    async def test_a_refusal(self) -> None:
        """`then_rejected` expects `Rejected`, and no events."""
        await ten.when(Withdraw(11)).then_rejected("only 10").when(Withdraw(10)).then_reply(1)

    async def test_a_restart(self) -> None:
        """After a restart the actor goes on from its log."""
        await ten.when(Deposit(5)).restart().then_state(15).then_no_events().when(Balance()).then_reply(15)

    async def test_time(self) -> None:
        """Timers fire when time passes, and not before."""
        await (
            ten.when(Remind(60))
            .then_reply(None)
            .after(59)
            .then_no_events()
            .after(1)
            .then_events(Deposited(100))
            .then_state(110)
        )

    async def test_time_again_and_again(self) -> None:
        """What falls due at the end of the time belongs to the step."""
        await ten.when(Interest(every=1)).after(3).then_events(*[Deposited(1)] * 3).after(1).then_state(14)

    async def test_what_is_left_of_a_restart(self) -> None:
        """Timers end with the life of the actor."""
        await ten.when(Interest(every=1)).restart().after(10).then_no_events()

    async def test_an_actor_that_is_put_away(self) -> None:
        """An actor that is put away has the state of its log, and comes back with the next message."""
        await ten.after(1000).do(is_empty).then_state(10).when(Deposit(1)).then_reply(11)

    async def test_events_of_a_start(self) -> None:
        """What the actor persists when it starts are events of the first step, and of each restart."""
        await (
            Scenario(Starting)
            .given(Deposited(5))
            .then_events(Deposited(1))
            .restart()
            .then_events(Deposited(1))
            .then_state(7)
        )

    async def test_a_rival(self) -> None:
        """Where another system writes to the log, the actor is told of it at its next persist."""
        store = MemoryBackend()

        async def write(system: ActorSystem) -> None:
            async with ActorSystem(store=store) as rival:
                await rival.ref(Account, "scenario").ask(Deposit(1))

        await (
            Scenario(Account, store=store)
            .given(Deposited(10))
            .do(write)
            .then_events(Deposited(1))
            .when(Deposit(5))
            .then_raises(ConflictError)
            .then_no_events()
            .when(Deposit(5))
            .then_reply(16)
        )

    async def test_children(self) -> None:
        """The actor may have children."""
        await ten.when(Hire("bob")).then_reply("bob at /Account/scenario/bob")

    async def test_the_system_is_at_hand(self) -> None:
        """`do` gets the system, and its function may be async or not."""
        seen: list[object] = []

        async def look(system: ActorSystem) -> None:
            seen.append(await system.ref(Account, "alice").ask(Deposit(1)))

        scenario = Scenario(Account, "alice").given(Deposited(10)).do(look).then_events(Deposited(1))
        await scenario.do(lambda system: seen.append(system.live)).then_state(11)

        assert seen == [11, 1]

    @pytest.mark.parametrize("kind", [Account, LightAccount, CompactAccount])
    async def test_strategies(self, kind: type[Account]) -> None:
        """All strategies will do, those that remove events as well."""
        await (
            Scenario(kind)
            .given(Deposited(10), Withdrawn(1))
            .when(Withdraw(8))
            .then_events(Withdrawn(8), Deposited(1))
            .then_state(2)
            .restart()
            .when(Deposit(1))
            .then_reply(3)
        )

    async def test_a_state_that_is_changed_in_place(self) -> None:
        """`apply` may change the state in place."""
        scenario = Scenario(Mutating).given(Deposited(1), Deposited(2), Deposited(3))
        for number in range(4, 9):
            scenario = scenario.when(Deposit(number)).then_events(Deposited(number)).then_reply(number)

        await scenario.restart().then_state({"deposits": [1, 2, 3, 4, 5, 6, 7, 8]})

    async def test_two_scenarios_with_one_beginning(self) -> None:
        """A scenario is a value: it plays from the beginning whenever it is awaited."""
        scenario = ten.when(Deposit(5)).then_reply(15)

        await scenario
        await scenario
        await ten.when(Deposit(6)).then_reply(16)

    def test_outside_of_a_loop(self) -> None:
        """`run` is a coroutine for `asyncio.run`."""
        outcome = asyncio.run(ten.when(Deposit(5)).run())

        assert outcome.state == 15

    def test_in_a_foreign_loop(self) -> None:
        """It plays in other event loops too, in which time does not jump."""
        uvloop = pytest.importorskip("uvloop")

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            outcome = runner.run(ten.when(Remind(60)).after(60).then_state(110).restart().run())

        assert outcome.state == 110

    async def test_its_outcome(self) -> None:
        """Awaiting returns what the last step has brought about."""
        outcome = await ten.when(Withdraw(8))

        assert (outcome.state, outcome.sequence_number, outcome.reply, outcome.error) == (3, 3, 3, None)
        assert (outcome.events, outcome.injected) == ((Withdrawn(8), Deposited(1)), ())


class TestAFailingStore:
    """Scenarios in which the store fails."""

    async def test_rejects(self) -> None:
        """A rejected write changes nothing, and the actor goes on."""
        await (
            ten.when(Deposit(5))
            .with_store(reject="commit")
            .then_raises(StoreUnavailable)
            .then_no_events()
            .then_state(10)
            .when(Deposit(5))
            .then_reply(15)
        )

    async def test_loses_an_answer(self) -> None:
        """A write whose answer was lost is found, and the actor goes on from it."""
        await (
            ten.when(Deposit(5))
            .with_store(lose="commit")
            .then_raises(OutcomeUnknown)
            .then_events(Deposited(5))
            .then_state(15)
            .when(Balance())
            .then_reply(15)
        )

    async def test_does_what_a_function_says(self) -> None:
        """Whatever a FaultyBackend can do can happen in a step, and is part of the outcome."""
        outcome = await ten.when(Deposit(5)).with_store(lambda store: store.duplicate()).then_reply(15).then_state(15)

        assert [injected.fault for injected in outcome.injected] == ["duplicate"]

    async def test_is_slow(self) -> None:
        """Delays are of the scenario's clock, and nobody waits for them."""
        await ten.when(Deposit(5)).with_store(lambda store: store.delay("commit", 20)).then_reply(15)
        await ten.when(Deposit(5)).with_store(lambda store: store.delay("commit", 40)).then_raises(TimeoutError)

    async def test_hangs(self) -> None:
        """A store that hangs lets the ask time out, without a second of waiting, and the step ends."""
        await (
            ten.when(Deposit(5))
            .with_store(lambda store: store.hang())
            .then_raises(TimeoutError)
            .then_state(10)
            .when(Deposit(1))
            .then_reply(11)
        )

    async def test_is_down_at_a_restart(self) -> None:
        """A restart fails while the log cannot be read; later the actor is there again."""
        await (
            ten.restart()
            .with_store(lambda store: store.disconnect())
            .then_raises(StoreUnavailable)
            .when(Balance())
            .then_reply(10)
        )

    async def test_of_the_tests_own(self) -> None:
        """A FaultyBackend may be passed as the store: its faults stay its own."""
        store = FaultyBackend(MemoryBackend())
        store.reject("commit", when=2)
        scenario = Scenario(Account, store=store).when(Deposit(1)).then_reply(1)

        outcome = await scenario.when(Deposit(2)).then_raises(StoreUnavailable).when(Deposit(3)).then_reply(4)

        assert [injected.call for injected in store.injected] == [2]
        assert list(outcome.injected) == store.injected

    async def test_at_random(self) -> None:
        """Random faults in the store leave the actor and its log of one mind."""
        store = FaultyBackend(MemoryBackend())
        store.random(3, rate=0.3)
        scenario: Scenario[int, Deposited | Withdrawn] = Scenario(Account, store=store)
        for amount in range(1, 20):
            scenario = scenario.do(partial(attempt, amount))

        outcome = await scenario

        assert 0 < outcome.state < 190
        assert store.injected


async def attempt(amount: int, system: ActorSystem) -> None:
    await asyncio.gather(system.ref(Account, "scenario").ask(Deposit(amount)), return_exceptions=True)


class Forwarding(PersistentActor[int, Deposited]):
    """Tells another actor of each deposit."""

    initial_state = 0

    def __init__(self, other: ActorRef) -> None:
        self.other = other

    async def handle(self, message: Deposit, context: Context) -> int:
        await self.persist(Deposited(message.amount))
        await self.other.tell(message)
        return self.state

    def apply(self, state: int, event: Deposited) -> int:
        return state + event.amount


class TestItsPlace:
    """Where a scenario plays."""

    async def test_is_a_store_that_keeps_its_log(self) -> None:
        """A given store stays open, and the next scenario goes on from what is there."""
        store = MemoryBackend()

        await Scenario(Account, "alice", store=store).given(Deposited(1)).when(Deposit(2)).then_reply(3)
        await Scenario(Account, "alice", store=store).given(Deposited(3)).when(Deposit(4)).then_reply(10)
        await Scenario(Account, "bob", store=store).then_state(0)

    async def test_is_the_store_of_a_url(self, tmp_path: Path) -> None:
        """A URL is opened, and closed at the end."""
        url = f"sqlite:///{tmp_path}/bank.db"

        await Scenario(Account, store=url).given(Deposited(1)).when(Remind(5)).after(5).then_state(101)
        await Scenario(Account, store=url).then_state(101).restart().when(Deposit(2)).then_reply(103)

    async def test_is_a_system_of_the_tests_own(self) -> None:
        """In a given system the actor may know others; the system stays open, and the actor in it."""
        async with ActorSystem(clock=VirtualClock()) as system:
            probe = await Probe.spawn(system)

            await (
                Scenario(Forwarding, "shop", arguments=[probe.ref], system=system)
                .given(Deposited(1))
                .when(Deposit(5))
                .then_events(Deposited(5))
                .restart()
                .when(Deposit(6))
                .then_reply(12)
            )

            await probe.expect(Deposit(5))
            await probe.expect(Deposit(6))
            assert system.find("/user/shop") is not None

    async def test_has_resources(self) -> None:
        """Resources are those of the system."""
        scenario = Scenario(Account, resources={"rate": 5})

        await scenario.do(lambda system: system.resource("rate", int)).then_state(0)

    async def test_is_one_of_both(self) -> None:
        """A system and a store exclude each other."""
        async with ActorSystem() as system:
            with pytest.raises(TypeError, match="a system has its store"):
                Scenario(Account, system=system, store=MemoryBackend())

    async def test_may_have_no_store_that_fails(self) -> None:
        """In a given system, `with_store` needs a FaultyBackend; and `after` a VirtualClock."""
        async with ActorSystem() as system:
            scenario = Scenario(Account, system=system)

            with pytest.raises(TypeError, match="with_store needs a system whose store is a FaultyBackend"):
                await scenario.when(Balance()).with_store(reject="commit")
            with pytest.raises(AssertionError, match="VirtualClock"):
                await scenario.after(1)

    async def test_may_be_a_system_with_a_faulty_store(self) -> None:
        """In a given system with a FaultyBackend, `with_store` works as ever."""
        async with ActorSystem(store=FaultyBackend(MemoryBackend()), clock=VirtualClock()) as system:
            scenario = Scenario(Account, system=system).when(Deposit(5)).with_store(reject="commit")

            await scenario.then_raises(StoreUnavailable).then_state(0)

    async def test_may_have_the_actor_already(self) -> None:
        """What is given to an actor that lives in the system already is in its state."""
        async with ActorSystem(clock=VirtualClock()) as system:
            await Scenario(Account, system=system).when(Deposit(5))

            await Scenario(Account, system=system).given(Deposited(1)).then_state(6).when(Deposit(1)).then_reply(7)

    async def test_is_left_as_it_was(self) -> None:
        """Those who follow the actor's log in a given system do so on, and two scenarios may follow each other."""
        async with ActorSystem(clock=VirtualClock()) as system:
            subscription = system.ref(Account, "scenario").subscribe(after=0)

            await Scenario(Account, system=system).when(Deposit(5))
            await Scenario(Account, system=system).when(Deposit(6)).then_reply(11)
            events = [(await anext(subscription)).event for _ in range(2)]

            assert events == [Deposited(5), Deposited(6)]


async def failure_of(scenario: Scenario[Any, Any]) -> str:
    """Return what a scenario fails with."""
    with pytest.raises(AssertionError) as failure:
        await scenario
    return str(failure.value)


class TestWhatFails:
    """Scenarios that come out otherwise."""

    async def test_other_events(self) -> None:
        """Other events than expected are shown beside these, each difference marked, and below it what was played."""
        text = await failure_of(ten.when(Withdraw(8)).then_events(Withdrawn(8), Deposited(2)))

        assert text == (
            "Account/scenario, step 1, when Withdraw(amount=8): the events are not those expected\n"
            "    expected              actual\n"
            "    Withdrawn(amount=8)   Withdrawn(amount=8)\n"
            "  ! Deposited(amount=2)   Deposited(amount=1)\n"
            "the scenario:\n"
            "  given Deposited(amount=10)\n"
            "  when Withdraw(amount=8)"
        )

    async def test_missing_and_surplus_events(self) -> None:
        """An event too many and one too few are marked."""
        too_many = await failure_of(ten.when(Withdraw(8)).then_events(Withdrawn(8)))
        too_few = await failure_of(ten.when(Balance()).then_events(Deposited))

        assert "\n  ! (nothing)             Deposited(amount=1)\n" in too_many
        assert "\n  ! Deposited   (nothing)\n" in too_few

    async def test_wide_events(self) -> None:
        """Where two columns are too wide, actual stands below expected."""
        wide = Deposited(10**90)

        text = await failure_of(ten.when(Deposit(5)).then_events(wide))

        assert f"\n  ! expected: {wide!r}\n  ! actual:   Deposited(amount=5)\n" in text

    async def test_events_where_none_were_expected(self) -> None:
        """`then_no_events` fails on an event."""
        assert "! (nothing)   Deposited(amount=5)" in await failure_of(ten.when(Deposit(5)).then_no_events())

    async def test_another_reply(self) -> None:
        """Another reply is shown below the one expected."""
        text = await failure_of(ten.when(Deposit(5)).then_reply(16))

        assert "the reply is not that expected\n  expected: 16\n  actual:   15\n" in text

    async def test_another_state(self) -> None:
        """Another state is shown below the one expected."""
        text = await failure_of(ten.when(Deposit(5)).then_state(lambda state: state > 20))

        assert "the state is not that expected\n  expected: what satisfies " in text
        assert "\n  actual:   15\n" in text

    async def test_an_unexpected_error(self) -> None:
        """An error that nothing expects fails the scenario, with the error as the cause."""
        with pytest.raises(
            AssertionError, match=r"step 1.*raised ValueError: cannot deposit 0, which was not"
        ) as failure:
            await ten.when(Deposit(0)).when(Balance())

        assert isinstance(failure.value.__cause__, ValueError)

    async def test_another_error(self) -> None:
        """Another error than expected fails, by its type or its text."""
        kind = await failure_of(ten.when(Deposit(0)).then_raises(KeyError))
        text = await failure_of(ten.when(Deposit(0)).then_raises(ValueError, match="negative"))

        assert "expected KeyError, but it raised ValueError: cannot deposit 0" in kind
        assert "expected ValueError matching 'negative', but it raised ValueError: cannot deposit 0" in text

    async def test_no_error(self) -> None:
        """No error where one was expected fails, and shows the reply."""
        assert "expected Rejected, but it replied 15" in await failure_of(ten.when(Deposit(5)).then_rejected())

    async def test_a_refusal_for_another_reason(self) -> None:
        """`then_rejected` fails on another text, and on another error."""
        text = await failure_of(ten.when(Withdraw(11)).then_rejected("closed"))
        kind = await failure_of(ten.when(Deposit(0)).then_rejected())

        assert "but it raised Rejected: there are only 10" in text
        assert "expected Rejected, but it raised ValueError" in kind

    async def test_what_was_injected_is_shown(self) -> None:
        """A failure shows what was injected into the store."""
        text = await failure_of(ten.when(Deposit(5)).with_store(reject="commit"))

        assert "\ninjected into the store:\n  reject commit 1 of 1 group (Account/scenario): StoreUnavailable" in text

    async def test_what_the_test_does_itself(self) -> None:
        """What a function given to `do` raises comes out as it is, with the scenario as a note."""

        def fail(system: ActorSystem) -> None:
            raise KeyError("mine")

        with pytest.raises(KeyError, match="mine") as failure:
            await ten.do(fail)

        assert "the scenario:\n  given Deposited(amount=10)\n  do " in failure.value.__notes__[0]

    async def test_a_given_that_comes_late(self) -> None:
        """What is given comes first."""
        with pytest.raises(TypeError, match="comes before all"):
            ten.when(Balance()).given(Deposited(1))

    async def test_a_scenario_that_is_forgotten(self) -> None:
        """One that was never awaited warns, for it has tested nothing."""
        scenario = ten.when(Balance())

        with pytest.warns(RuntimeWarning, match=r"when Balance\(\)> was never awaited"):
            del scenario

    async def test_a_system_that_crashes(self) -> None:
        """Where the actor's failure crashes the system, the scenario raises that."""
        with pytest.raises(SystemCrashed, match="cannot deposit 0"):
            await Scenario(Escalating).when(Deposit(0)).then_raises(ValueError)

    async def test_the_first_step_that_fails_is_the_last(self) -> None:
        """Nothing is played after a failure."""
        played: list[int] = []

        await failure_of(ten.then_state(11).do(lambda _: played.append(1)))

        assert played == []


class Kept(Event):
    thing: Any


class Keep(Message[None]):
    thing: Any


class Keeper(PersistentActor[list[Any], Kept]):
    initial_state: list[Any] = []  # noqa: RUF012

    async def handle(self, message: Keep, context: Context) -> None:
        await self.persist(Kept(message.thing))

    def apply(self, state: list[Any], event: Kept) -> list[Any]:
        return [event.thing]


class Unsnapped(Keeper):
    strategy: ClassVar[Strategy] = Full(snapshot=never)


class Tuples(PersistentActor[Any, Deposited]):
    """Says nothing of its state's type, and has a tuple for it."""

    initial_state: Any = ()

    async def handle(self, message: Deposit, context: Context) -> int:
        await self.persist(Deposited(message.amount))
        return message.amount

    def apply(self, state: Any, event: Deposited) -> Any:
        return (event.amount,)


class UnsnappedTuples(Tuples):
    strategy: ClassVar[Strategy] = Full(snapshot=never)


class Defaults(PersistentActor[dict[str, int], Deposited]):
    """Relies on a dictionary that makes its own entries, which a snapshot does not bring back."""

    initial_state: dict[str, int] = defaultdict(int)  # noqa: RUF012

    async def handle(self, message: Deposit, context: Context) -> int:
        await self.persist(Deposited(message.amount))
        return message.amount

    def apply(self, state: dict[str, int], event: Deposited) -> None:
        state["sum"] += event.amount


class Counting(PersistentActor[int, Deposited]):
    """Counts its own calls of `apply`."""

    initial_state = 0
    calls = 0

    async def handle(self, message: Deposit, context: Context) -> int:
        await self.persist(Deposited(message.amount))
        return message.amount

    def apply(self, state: int, event: Deposited) -> int:
        self.calls += 1
        return self.calls * event.amount


class Global(PersistentActor[int, Deposited]):
    """Depends on how often any of its kind applied an event."""

    initial_state = 0
    strategy: ClassVar[Strategy] = Full(snapshot=never)
    calls: ClassVar[int] = 0

    async def handle(self, message: Deposit, context: Context) -> int:
        await self.persist(Deposited(message.amount))
        return message.amount

    def apply(self, state: int, event: Deposited) -> int:
        Global.calls += 1
        return Global.calls


class Meddling(PersistentActor[list[int], Deposited]):
    """Changes its state outside of `apply`."""

    initial_state: list[int] = []  # noqa: RUF012

    async def handle(self, message: Deposit, context: Context) -> int:
        self.state.append(message.amount)
        return message.amount

    def apply(self, state: list[int], event: Deposited) -> list[int]:
        return [*state, event.amount]


class Greedy(PersistentActor[dict[str, list[int]], Kept]):
    """Keeps a list of its event, and adds to it."""

    initial_state: dict[str, list[int]] = {}  # noqa: RUF012

    async def handle(self, message: Keep, context: Context) -> None:
        await self.persist(Kept(message.thing))
        message.thing.append(4)

    def apply(self, state: dict[str, list[int]], event: Kept) -> None:
        state["kept"] = event.thing


class Moody(PersistentActor[int, Deposited]):
    """Cannot apply at recovery what it has persisted."""

    initial_state = 0
    broken: ClassVar[bool] = False

    async def handle(self, message: Deposit, context: Context) -> int:
        await self.persist(Deposited(message.amount))
        Moody.broken = True
        return message.amount

    def apply(self, state: int, event: Deposited) -> int:
        if Moody.broken:
            raise ValueError("moody")
        return state + event.amount


class TestWhatIsCheckedBesides:
    """What every scenario checks, unless it is told not to."""

    async def test_events_come_back(self) -> None:
        """An event that comes back changed fails the scenario, whether it was given or persisted."""
        given = await failure_of(Scenario(Keeper).given(Kept((1, 2))))
        persisted = await failure_of(Scenario(Keeper).when(Keep((1, 2))).then_events(Kept))

        for text in given, persisted:
            assert "an event comes back changed\n  stored: Kept(thing=(1, 2))\n  read:   Kept(thing=[1, 2])" in text

    async def test_events_need_not_come_back(self) -> None:
        """The check of the round trip can be switched off; then recovery may still find the difference."""
        scenario = Scenario(Keeper, check_round_trip=False, check_recovery=False)

        await scenario.when(Keep((1, 2))).then_events(Kept((1, 2)))
        text = await failure_of(Scenario(Unsnapped, check_round_trip=False).when(Keep((1, 2))))

        assert "in memory: [(1, 2)]\n  recovered: [[1, 2]]" in text

    async def test_nan_comes_back(self) -> None:
        """What is not equal to itself may look the same."""
        await Scenario(Keeper).when(Keep(float("nan"))).then_events(Kept)

    async def test_the_state_comes_back(self) -> None:
        """A state that comes back changed fails the scenario."""
        text = await failure_of(Scenario(Tuples).given(Deposited(1)))

        assert "the state comes back changed\n  stored: (1,)\n  read:   [1]" in text

    async def test_a_state_that_is_never_stored_need_not_come_back(self) -> None:
        """Where the strategy stores no states, only the events count."""
        await Scenario(UnsnappedTuples).given(Deposited(1)).when(Deposit(2)).then_state((2,)).restart()

    async def test_a_snapshot_before_each_event(self) -> None:
        """A state that a snapshot does not bring back whole is found, though no snapshot was due."""
        text = await failure_of(Scenario(Defaults, check_round_trip=False).given(Deposited(1), Deposited(2)))

        assert "a snapshot before event 2, Deposited(amount=2), makes another state of it than the whole log" in text
        assert "from the snapshot: {'sum': 3}\n  from the log:      defaultdict(" in text

    async def test_apply_depends_on_its_arguments_alone(self) -> None:
        """An `apply` that remembers anything in its instance is found."""
        text = await failure_of(Scenario(Counting).given(Deposited(1)).when(Deposit(1)))

        assert "a snapshot before event 2, Deposited(amount=1), makes another state of it than the whole log" in text
        assert "from the snapshot: 1\n  from the log:      2" in text
        await Scenario(Counting, check_recovery=False).given(Deposited(1)).when(Deposit(1)).then_state(2)

    async def test_apply_comes_out_the_same_each_time(self) -> None:
        """An `apply` that depends on the world is found, also where no state is ever stored."""
        text = await failure_of(Scenario(Global).when(Deposit(1)))

        assert "the state in memory is not the one that an actor recovers, after event 1" in text

    async def test_nothing_but_apply_changes_the_state(self) -> None:
        """A state that is changed outside of `apply` is found."""
        text = await failure_of(Scenario(Meddling).given(Deposited(1)).when(Deposit(2)))

        assert "not the one that an actor recovers, after event 1\n  in memory: [1, 2]\n  recovered: [1]" in text

    async def test_a_state_that_shares_with_others(self) -> None:
        """A state that is changed through what it shares with a message is found."""
        text = await failure_of(Scenario(Greedy).when(Keep([1, 2, 3])))

        assert "[1, 2, 3, 4]" in text

    async def test_the_log_can_be_read(self) -> None:
        """A log from which the actor does not come back fails the scenario."""
        Moody.broken = False

        text = await failure_of(Scenario(Moody).when(Deposit(1)).then_no_events())

        assert "the actor does not come back from its log: Moody/scenario, sequence number 1: apply failed" in text

    async def test_a_restart_keeps_the_state(self) -> None:
        """A restart after which the state is another fails, also with the checks switched off."""
        scenario = Scenario(Meddling, check_round_trip=False, check_recovery=False).given(Deposited(1))

        text = await failure_of(scenario.when(Deposit(2)).then_state([1, 2]).restart())

        assert "the state is not what it was before\n  expected: [1, 2]\n  actual:   [1]" in text

    async def test_a_backend_that_forgets(self) -> None:
        """A store that has not kept what it acknowledged is found."""

        class Forgetful(MemoryBackend):
            async def commit(self, groups: Any) -> Any:
                return [None for group in groups]

        text = await failure_of(Scenario(Account, store=Forgetful()).when(Deposit(1)))

        assert "the actor has persisted 1 events, and its log holds 0" in text

    async def test_a_start_that_fails(self) -> None:
        """An actor that does not start from what is given fails the scenario, with the reason."""
        Moody.broken = True

        with pytest.raises(AssertionError, match=r"given.*does not come back from its log.*: moody") as failure:
            await Scenario(Moody).given(Deposited(1))

        assert isinstance(failure.value.__cause__, CorruptionError)


if TYPE_CHECKING:

    async def what_type_checkers_see() -> None:
        """Show what is refused: another reply, state or event, and a reply where nothing was asked."""
        asked = ten.when(Deposit(5)).then_events(Deposited(5), Withdrawn, lambda event: event.amount > 1)
        assert_type((await asked).state, int)

        asked.then_reply("15")  # type: ignore[arg-type]
        asked.then_state("15")  # type: ignore[arg-type]
        asked.then_events(Kept(5))  # type: ignore[arg-type]
        asked.given(Kept(5))  # type: ignore[arg-type]
        asked.restart().then_reply(15)  # type: ignore[attr-defined]
