"""A system in which one actor plays a scenario, step by step, and is looked at after each.

What a step has brought about is read from the store itself, past all faults, once nothing is under way any more: a
write whose answer was lost is found all the same. A listener among those who follow logs notes each persist at the
moment in which its events are durable: the events as the actor made them, and a copy of the state.
"""

from __future__ import annotations

import asyncio
import copy
import math
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from itertools import count
from typing import Any, Generic, NamedTuple, TypeVar

from perdure import ActorSystem, Message, PersistentActor, open_backend
from perdure.abc import Backend, LastKey, Put, WriteGroup
from perdure.actors import ActorRef, Clock
from perdure.errors import PerdureError
from perdure.journal import EVENTS, AnyEvent, Journal
from perdure.memory import MemoryBackend
from perdure.persistence._custody import custody_of
from perdure.persistence._entity import Entity
from perdure.persistence._following import Followers
from perdure.persistence._stores import Stores
from perdure.snapshots import CollectionArchive, CollectionSnapshots
from perdure_testkit._clock import VirtualClock
from perdure_testkit._faults import Injected
from perdure_testkit._faulty import FaultyBackend
from perdure_testkit._replay import Replay, different, stores_states
from perdure_testkit._round_trip import check_event, check_state, same

S = TypeVar("S")
E = TypeVar("E", bound=AnyEvent)


class Setting(NamedTuple, Generic[S, E]):
    """What a scenario is about, and where it plays."""

    actor_type: type[PersistentActor[S, E]]
    key: str
    arguments: Sequence[Any] | None
    store: Backend | str | None
    system: ActorSystem | None
    resources: Mapping[str, object] | None
    check_round_trip: bool
    check_recovery: bool


class Observed(NamedTuple, Generic[S, E]):
    """What a step has brought about."""

    events: list[E]
    state: S
    number: int
    problem: AssertionError | None
    """What is wrong with the actor, whatever was expected of it."""


@asynccontextmanager
async def open_stage(setting: Setting[S, E]) -> AsyncIterator[Stage[S, E]]:
    """Open the system of a scenario, if it has none, and close what was opened."""
    if setting.system is not None:
        stage = Stage(setting, setting.system)
        try:
            yield stage
        finally:
            stage.leave()
        return
    opened = await open_backend(setting.store) if isinstance(setting.store, str) else None
    backend = opened or (setting.store if isinstance(setting.store, Backend) else MemoryBackend())
    clock = VirtualClock()
    store = FaultyBackend(backend, clock=clock)
    try:
        async with ActorSystem(store=store, clock=clock, resources=setting.resources, seed=0) as system:
            try:
                yield Stage(setting, system)
            finally:
                store.heal()
                async with _passing(clock):
                    await system.close()
    finally:
        if opened is not None:
            await opened.close()


class Stage(Generic[S, E]):
    """The actor of a scenario in its system."""

    def __init__(self, setting: Setting[S, E], system: ActorSystem) -> None:
        if system._stores is None:
            raise RuntimeError("the system of a scenario is to be open: enter it first")
        self.system = system
        self.store: FaultyBackend | None = system.backend if isinstance(system.backend, FaultyBackend) else None
        self._setting = setting
        self._stores = system._stores
        self._definition = self._stores.definition(setting.actor_type)
        self._past_faults = _past_faults(self._stores, system.clock)
        self._ref: ActorRef | None = None
        if setting.arguments is None:
            self._ref = system.ref(setting.actor_type, setting.key)
        path = f"{setting.actor_type.type_name}/{setting.key}"
        self.identity = path if setting.arguments is None else f"/user/{setting.key}"
        self._custody = custody_of(self._stores.vault, setting.actor_type, EVENTS, self.identity)
        self._name = self.identity if self._custody is None else self._custody.name
        self._listener = _Listener(self._stores.followers, self._name, self._live)
        self._stores.followers = self._listener
        self._injected = [(store, len(store.injected)) for store in _faulty_in(system.backend)]
        self._replay: Replay[S] | None = None
        self._number = 0
        self._given = 0

    def injected(self) -> list[Injected]:
        """Return what was injected since the beginning, by each of the stores that stand before one another."""
        return [injected for store, before in self._injected for injected in store.injected[before:]]

    def leave(self) -> None:
        """Listen no more."""
        self._stores.followers = self._listener.followed

    # What happens in a step.

    async def begin(self, given: Sequence[E]) -> None:
        """Put the given events behind those that the log has, and bring the actor to life."""
        if given and self._ref is not None:
            await self._ref.stop()  # in a system of the test's own it may live, and would not know of them
        state, number = await self._recovered()
        self._replay = Replay(self._create, self._definition, state, number)
        self._number = number
        self._given = number + len(given)
        records = [self._definition.events.encode(event, self._stores.timestamp()) for event in given]
        if self._custody is not None:
            await self._custody.prepare()
            records, self._custody.link = self._custody.seal_events(number, records)
        writes = tuple(Put(EVENTS, self._name, number + n, record) for n, record in enumerate(records, 1))
        self._listener.events.update(enumerate(given, number + 1))
        await self._past_faults.backend.commit([WriteGroup(writes, (LastKey(EVENTS, self._name, number),))])
        await self.awaken()

    async def awaken(self) -> None:
        """Have the actor live."""
        if self._ref is not None and self._ref.is_live:
            return
        async with _passing(self.system.clock):
            if self._setting.arguments is not None:
                name, arguments = self._setting.key, self._setting.arguments
                self._ref = await self.system.spawn(self._setting.actor_type, name, *arguments)
            elif self._ref is not None:
                await self.system._activate(self._ref).start()

    async def ask(self, message: Message[Any]) -> Any:
        if self._setting.arguments is not None:
            await self.awaken()  # a spawned actor that is over does not come back with a message
        assert self._ref is not None
        async with _passing(self.system.clock):
            return await self._ref.ask(message)

    async def restart(self) -> None:
        """End the actor's life, and bring it back from its log."""
        if self._ref is not None:
            async with _passing(self.system.clock):
                await self._ref.stop()
        await self.awaken()

    async def let_pass(self, seconds: float) -> None:
        clock = self.system.clock
        if not isinstance(clock, VirtualClock):
            raise TypeError("time passes in a scenario only where its system has a VirtualClock")
        if not hasattr(asyncio.get_running_loop(), "_selector"):
            return await clock.advance(seconds)
        over = asyncio.Event()
        clock.call_at(clock.monotonic() + seconds, over.set)
        async with _passing(clock):
            await over.wait()
        await clock.advance(0)  # also what falls due now, but was set later than our own timer

    async def settle(self, within: float = 0.5) -> None:
        """Return when no actor has anything to do and nothing is being written, but for what waits for time to pass.

        Or `within` real seconds later: something may wait for what only another step brings.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + within
        for turn in count():
            if (turn > 3 and not self._is_busy()) or loop.time() > end:
                return
            await asyncio.sleep(0 if turn < 100 else 0.0005)

    # What is seen after it.

    async def observe(self) -> Observed[S, E]:
        """Return what has happened since the last look. Raises `AssertionError` when the log cannot be read back."""
        live = self._live()
        try:
            recovered, number = await self._recovered()
        except PerdureError as error:
            raise AssertionError(f"the actor does not come back from its log: {error}") from error
        events, records = await self._read(number)
        problem = None
        try:
            self._check(events, records, live, recovered, number)
        except AssertionError as error:
            problem = error
        events = events[max(0, self._given - self._number) :]
        self._number = number
        return Observed(events, recovered if live is None else live[0], number, problem)

    async def _read(self, number: int) -> tuple[list[E], dict[int, bytes]]:
        """Return the new events, as the actor made them where that is known, and their records where they are there."""
        log = self._past_faults.backend.collection(EVENTS, self._name)
        entries = [entry async for entry in log.iterate(self._number + 1, number + 1)]
        records = dict(entries if self._custody is None else self._custody.opened(entries))
        made = self._listener.events
        read = {new: self._definition.events.decode_all(records[new]) for new in set(records) - set(made)}
        new = range(self._number + 1, number + 1)
        return [event for key in new for event in ((made[key],) if key in made else read.get(key, ()))], records

    def _check(
        self, events: Sequence[E], records: Mapping[int, bytes], live: tuple[S, int] | None, recovered: S, number: int
    ) -> None:
        if self._setting.check_round_trip:
            for event in events:
                check_event(self._definition.events, event)
            if stores_states(self._definition):
                check_state(self._definition.states, recovered if live is None else live[0])
        if self._setting.check_recovery:
            self._check_replay(records, number)
            if live is not None and live[1] > number:
                raise AssertionError(f"the actor has persisted {live[1]} events, and its log holds {number}")
            if live is not None and live[1] == number and not same(live[0], recovered):
                raise AssertionError(different(live[0], recovered, number))

    def _check_replay(self, records: Mapping[int, bytes], number: int) -> None:
        """Apply the new events to what was replayed before, and compare it with each state that was seen."""
        replay = self._replay
        while replay is not None and replay.number < number:
            new = replay.number + 1
            record = records.get(new)
            if record is None and new in self._listener.events:  # compacted away
                record = self._definition.events.encode(self._listener.events[new], 0)
            if record is None:
                replay = self._replay = None
                break
            replay.advance(record)
            if new in self._listener.states:
                replay.compare(self._listener.states[new])

    async def _recovered(self) -> tuple[S, int]:
        """Return the state that a new actor recovers, past all faults, and its sequence number."""
        actor = self._create()
        actor._entity = Entity(self.identity, self._definition, self._past_faults, self._custody)
        await actor._recover()
        return actor.state, actor.sequence_number

    def _create(self) -> PersistentActor[S, E]:
        return self._setting.actor_type(*(self._setting.arguments or ()))

    def _live(self) -> tuple[S, int] | None:
        """Return the state of the live actor and its sequence number, if there is one that trusts its state."""
        cell = self.system._find(self._ref.path if self._ref is not None else self.identity)
        actor = None if cell is None else cell._actor
        if not isinstance(actor, PersistentActor) or actor._entity is None or actor._entity.in_doubt:
            return None
        return actor.state, actor.sequence_number

    def _is_busy(self) -> bool:
        works = any(cell._scheduled and cell._pause is None for cell in self.system._cells.values())
        return works or bool(self._stores._background)


class _Listener(Followers):
    """Notes the persists of one actor, and passes all on to those who follow logs."""

    def __init__(self, followed: Followers, identity: str, look: Callable[[], tuple[Any, int] | None]) -> None:
        self.followed = followed
        self.events: dict[int, Any] = {}
        self.states: dict[int, Any] = {}
        self._identity = identity
        self._look = look
        self._topics = followed._topics

    def __bool__(self) -> bool:
        return True

    def tell(self, persistence_id: str, first_number: int, events: Sequence[AnyEvent]) -> None:
        if persistence_id == self._identity:
            self.events.update(enumerate(events, first_number))
            live = self._look()
            if live is not None:
                self.states[live[1]] = copy.deepcopy(live[0])
        super().tell(persistence_id, first_number, events)


def _faulty_in(backend: Backend) -> Iterator[FaultyBackend]:
    """Yield the backends that may fail, from the outermost on."""
    while isinstance(backend, FaultyBackend):
        yield backend
        backend = backend.inner


def _past_faults(stores: Stores, clock: Clock) -> Stores:
    """Return the same stores for one who is not to meet the faults of the backend."""
    bare = _bare(stores.backend)
    journal = Journal(bare)
    snapshots, archive = stores.snapshots, stores.archive
    if isinstance(snapshots, CollectionSnapshots):
        snapshots = CollectionSnapshots(bare, journal.write)
    if isinstance(archive, CollectionArchive):
        archive = CollectionArchive(bare, journal.write)
    return Stores(
        journal, snapshots, archive, clock, "msgpack", max_recoveries=1, publish=lambda _: None, vault=stores.vault
    )


def _bare(backend: Backend) -> Backend:
    """Return the store below all faults."""
    for faulty in _faulty_in(backend):
        backend = faulty.inner
    return backend


def _passing(clock: Clock) -> AbstractAsyncContextManager[object]:
    """Let time pass while we wait, where it can."""
    jumps = isinstance(clock, VirtualClock) and hasattr(asyncio.get_running_loop(), "_selector")
    return clock.jumping(at_most=math.inf) if isinstance(clock, VirtualClock) and jumps else nullcontext()
