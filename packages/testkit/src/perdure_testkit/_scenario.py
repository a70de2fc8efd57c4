"""Given some events, when a message comes, then these events: the test of a persistent actor in one sentence."""

from __future__ import annotations

import copy
import inspect
import re
import warnings
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from typing import Any, Generic, NamedTuple, Self, TypeVar

import msgspec

from perdure import ActorSystem, Message, PersistentActor
from perdure.abc import Backend
from perdure.errors import Rejected
from perdure.journal import AnyEvent
from perdure_testkit._faults import Injected, Operation
from perdure_testkit._faulty import FaultyBackend
from perdure_testkit._side_by_side import side_by_side
from perdure_testkit._stage import Observed, Setting, Stage, open_stage
from perdure_testkit._wanted import meets, named

S = TypeVar("S")
E = TypeVar("E", bound=AnyEvent)
R = TypeVar("R")
R2 = TypeVar("R2")


class Outcome(msgspec.Struct, Generic[S, E], frozen=True):
    """What the last step of a scenario has brought about."""

    state: S
    sequence_number: int
    events: tuple[E, ...]
    """The events of the last step alone."""
    reply: object
    error: Exception | None
    injected: tuple[Injected, ...]
    """What was injected into the store in the whole scenario, by `with_store` or by a store of the test's own."""


class Scenario(Generic[S, E]):
    """A test of one persistent actor: given events, when messages come, then events, replies and states.

        await Scenario(Account).given(Deposited(10)).when(Deposit(5)).then_events(Deposited(5)).then_reply(15)

    A scenario is a value: each method returns a longer one, and nothing happens before it is awaited. Then it plays
    from the beginning, in a system of its own with a store in memory and a `VirtualClock`; so a beginning can be shared
    by many scenarios. One that was never awaited warns. Awaiting raises `AssertionError` where anything is not as it
    was expected, or a step raised what no `then_raises` expects, and `SystemCrashed` when the system crashes; otherwise
    it returns an `Outcome`.

    `given`, `when`, `after`, `restart` and `do` are steps. What `then_…` and `with_store` say is of the step before
    them. A step is over when no actor has anything to do and nothing is being written. While a step waits, time jumps;
    otherwise it stands still.

    The actor is that of `key`, reached by `ref`; with `arguments`, those of its constructor, it is spawned as
    `/user/KEY`. `store` is a backend, which stays open and keeps what is in it, or a URL; `resources` are those of the
    system. `system` is an open system in which to play instead: it stays open, and so does the actor.

    After every step these are checked too, unless they are switched off:

    - `check_round_trip`: every event, and the state if the actor's strategy stores states, is equal to itself when it
      was encoded and decoded.
    - `check_recovery`: after every persist, the state in memory is the one that a new actor recovers from the log; and
      so it is with a snapshot before every event, if the strategy stores states.
    """

    def __init__(
        self,
        actor_type: type[PersistentActor[S, E]],
        key: str = "scenario",
        *,
        arguments: Sequence[Any] | None = None,
        store: Backend | str | None = None,
        system: ActorSystem | None = None,
        resources: Mapping[str, object] | None = None,
        check_round_trip: bool = True,
        check_recovery: bool = True,
    ) -> None:
        if system is not None and (store is not None or resources is not None):
            raise TypeError("a system has its store and its resources: give them to that, or give no system")
        self._setting = Setting(actor_type, key, arguments, store, system, resources, check_round_trip, check_recovery)
        self._given: tuple[E, ...] = ()
        self._steps: Sequence[_Step] = (_Step("given nothing", lambda stage: stage.begin(())),)
        self._is_used = False

    def __repr__(self) -> str:
        return f"<Scenario of {self._setting.actor_type.__name__}: {', '.join(step.title for step in self._steps)}>"

    def __del__(self) -> None:
        if not getattr(self, "_is_used", True) and (len(self._steps) > 1 or self._steps[0].checks):
            warnings.warn(f"{self!r} was never awaited: it has tested nothing", RuntimeWarning, stacklevel=2)

    # What happens.

    def given(self, *events: E) -> Scenario[S, E]:
        """Begin with these events in the actor's log, behind what a given store has there. The actor is then live.

        Raises `TypeError` after another step.
        """
        if len(self._steps) > 1:
            self._is_used = True  # this error is enough
            raise TypeError("what is given comes before all that happens")
        given = (*self._given, *events)
        title = f"given {', '.join(map(repr, given)) or 'nothing'}"
        begin = self._steps[0]._replace(title=title, act=lambda stage: stage.begin(given))
        scenario = self._become(Scenario, (begin,))
        scenario._given = given
        return scenario

    def when(self, message: Message[R]) -> Asked[S, E, R]:
        """Ask the actor."""
        return self._then_do(Asked, f"when {message!r}", lambda stage: stage.ask(message))

    def after(self, seconds: float) -> Scenario[S, E]:
        """Let time pass: the actor's timers fire, and it may be put away. Needs a `VirtualClock`."""
        return self._then_do(Scenario, f"after {seconds:g} s", lambda stage: stage.let_pass(seconds))

    def restart(self) -> Scenario[S, E]:
        """Stop the actor and bring it back from its log; without a failure, its state is to be what it was before.

        What its `started` and `stopping` persist are the events of this step, and then the state may be another.
        """
        return self._then_do(Scenario, "restart", lambda stage: stage.restart(), keeps_state=True)

    def do(self, action: Callable[[ActorSystem], Awaitable[object] | object]) -> Scenario[S, E]:
        """Call `action(system)` with the system, and await what it returns, if it can be.

        What it raises comes out as it is.
        """

        async def act(stage: Stage[Any, Any]) -> None:
            result = action(stage.system)
            if inspect.isawaitable(result):
                await result

        name = getattr(action, "__qualname__", repr(action))
        return self._then_do(Scenario, f"do {name}", act, is_the_tests=True)

    def with_store(
        self,
        faults: Callable[[FaultyBackend], object] | None = None,
        *,
        reject: Operation | None = None,
        lose: Operation | None = None,
    ) -> Self:
        """Have the store fail in the step before: reject its next operation of this kind, or lose the answer to it.

        `faults(store)` may inject whatever a `FaultyBackend` can. The store is healed when the step is over. Where a
        `system` was given, its store has to be a `FaultyBackend`; then all its faults are healed.
        """

        def inject(store: FaultyBackend) -> None:
            if reject is not None:
                store.reject(reject)
            if lose is not None:
                store.lose(lose)
            if faults is not None:
                faults(store)

        last = self._steps[-1]
        return self._with_last(last._replace(faults=(*last.faults, inject)))

    # What is expected of it.

    def then_events(self, *wanted: E | type[E] | Callable[[E], object]) -> Self:
        """Expect that the step persisted these events, in this order, and no others; a type and a predicate will do."""

        def check(seen: _Seen) -> None:
            events = seen.observed.events
            if len(events) != len(wanted) or not all(map(meets, events, wanted)):
                raise AssertionError(f"the events are not those expected{side_by_side(wanted, events)}")

        return self._expect(check)

    def then_no_events(self) -> Self:
        """Expect that the step persisted nothing."""
        return self.then_events()

    def then_state(self, wanted: S | Callable[[S], object]) -> Self:
        """Expect that the actor's state is equal to this, or satisfies this predicate."""

        def check(seen: _Seen) -> None:
            if not meets(seen.observed.state, wanted):
                raise AssertionError(f"the state is not that expected{_compared(wanted, seen.observed.state)}")

        return self._expect(check)

    def then_raises(self, kind: type[Exception], match: str | None = None) -> Self:
        """Expect that the step raised an error of this type, with this regular expression found in its text."""

        def check(seen: _Seen) -> None:
            wanted = kind.__name__ + (f" matching {match!r}" if match is not None else "")
            error = seen.error
            if error is None:
                reply = f" replied {seen.reply!r}" if seen.reply is not None else " raised nothing"
                raise AssertionError(f"expected {wanted}, but it{reply}")
            if not isinstance(error, kind) or (match is not None and re.search(match, str(error)) is None):
                raise AssertionError(f"expected {wanted}, but it raised {_shown(error)}") from error

        return self._expect(check, error=True)

    def then_rejected(self, match: str | None = None) -> Self:
        """Expect that the actor refused the message with `Rejected`, and persisted nothing."""
        return self.then_raises(Rejected, match).then_no_events()

    # How it plays.

    def __await__(self) -> Generator[Any, None, Outcome[S, E]]:
        return self.run().__await__()

    async def run(self) -> Outcome[S, E]:
        """Play the scenario, as awaiting it does; for `asyncio.run`."""
        __tracebackhide__ = True
        self._is_used = True
        async with open_stage(self._setting) as stage:
            seen: _Seen | None = None
            for number, step in enumerate(self._steps):
                before = None if seen is None else copy.deepcopy(seen.observed.state)
                seen = await self._play(stage, number, step)
                problem = _problem(step, seen, before)
                if problem is not None:
                    text = f"{self._at(number, stage)}: {problem}{self._story(number, stage)}"
                    raise AssertionError(text) from problem.__cause__
            assert seen is not None
            state, events = seen.observed.state, tuple(seen.observed.events)
            return Outcome(state, seen.observed.number, events, seen.reply, seen.error, tuple(stage.injected()))

    async def _play(self, stage: Stage[S, E], number: int, step: _Step) -> _Seen:
        """Do one step, wait until it is over, and look."""
        reply, error = None, None
        self._inject(stage, step)
        try:
            reply = await step.act(stage)
        except Exception as raised:
            if step.is_the_tests:
                raised.add_note(f"{self._at(number, stage)}{self._story(number, stage)}")
                raise
            error = raised
        finally:
            await self._end(stage, step)
        try:
            return _Seen(reply, error, await stage.observe())
        except AssertionError as unreadable:
            text = f"{self._at(number, stage)}: {unreadable}{self._story(number, stage)}"
            raise AssertionError(text) from (error or unreadable.__cause__)

    async def _end(self, stage: Stage[S, E], step: _Step) -> None:
        if step.faults and stage.store is not None:
            await stage.settle(within=0.05)  # it may hang
            stage.store.heal()
        await stage.settle()

    def _inject(self, stage: Stage[S, E], step: _Step) -> None:
        if step.faults and stage.store is None:
            raise TypeError("with_store needs a system whose store is a FaultyBackend, or no system")
        for inject in step.faults:
            assert stage.store is not None
            inject(stage.store)

    def _at(self, number: int, stage: Stage[S, E]) -> str:
        title = self._steps[number].title
        return f"{stage.identity}, {f'step {number}, {title}' if number else title}"

    def _story(self, number: int, stage: Stage[S, E]) -> str:
        """Return the lines that say what was played so far, and what was injected."""
        lines = [f"\n  {step.title}" for step in self._steps[: number + 1]]
        injected = "".join(f"\n  {injected}" for injected in stage.injected())
        return f"\nthe scenario:{''.join(lines)}" + (f"\ninjected into the store:{injected}" if injected else "")

    # How it grows.

    def _then_do(
        self, kind: type[_T], title: str, act: Act, *, is_the_tests: bool = False, keeps_state: bool = False
    ) -> _T:
        step = _Step(title, act, is_the_tests=is_the_tests, keeps_state=keeps_state)
        return self._become(kind, (*self._steps, step))

    def _expect(self, check: Check, *, error: bool = False) -> Self:
        last = self._steps[-1]
        return self._with_last(last._replace(checks=(*last.checks, check), expects_error=last.expects_error or error))

    def _with_last(self, step: _Step) -> Self:
        return self._become(type(self), (*self._steps[:-1], step))

    def _become(self, kind: type[_T], steps: tuple[_Step, ...]) -> _T:
        self._is_used = True
        scenario = kind.__new__(kind)
        vars(scenario).update(vars(self), _steps=steps, _is_used=False)
        return scenario


class Asked(Scenario[S, E], Generic[S, E, R]):
    """A scenario whose last step asks something of which the reply is an `R`."""

    def then_reply(self, wanted: R | Callable[[R], object]) -> Self:
        """Expect that the actor replied this, or something that satisfies this predicate."""

        def check(seen: _Seen) -> None:
            if not meets(seen.reply, wanted):
                raise AssertionError(f"the reply is not that expected{_compared(wanted, seen.reply)}")

        return self._expect(check)


class _Seen(NamedTuple):
    """How a step ended."""

    reply: Any
    error: Exception | None
    observed: Observed[Any, Any]


Act = Callable[[Stage[Any, Any]], Awaitable[Any]]
Check = Callable[[_Seen], None]
_T = TypeVar("_T", bound=Scenario[Any, Any])


class _Step(NamedTuple):
    """Something that happens, with what the store is to do meanwhile, and what is expected of it."""

    title: str
    act: Act
    faults: tuple[Callable[[FaultyBackend], object], ...] = ()
    checks: tuple[Check, ...] = ()
    expects_error: bool = False
    is_the_tests: bool = False
    keeps_state: bool = False


def _problem(step: _Step, seen: _Seen, before: object) -> AssertionError | None:
    """Return the first thing that is not as it should be."""
    if seen.error is not None and not step.expects_error:
        problem = AssertionError(f"it raised {_shown(seen.error)}, which was not expected")
        problem.__cause__ = seen.error
        return problem
    for check in step.checks:
        try:
            check(seen)
        except AssertionError as problem:
            return problem
    if seen.observed.problem is not None:
        return seen.observed.problem
    if step.keeps_state and not seen.observed.events and not meets(seen.observed.state, before):
        return AssertionError(f"the state is not what it was before{_compared(before, seen.observed.state)}")
    return None


def _compared(wanted: object, actual: object) -> str:
    return f"\n  expected: {named(wanted)}\n  actual:   {actual!r}"


def _shown(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
