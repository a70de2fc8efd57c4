"""One owner a log: claims, epochs, and what becomes of who is superseded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from perdure import Actor, ActorSystem, Escalate, Keyring, Owner, Resume, Sealing
from perdure.abc import Backend, PurgeState, Put, PutState, WriteGroup
from perdure.errors import CorruptionError, OutcomeUnknown, StoreUnavailable, Superseded
from perdure.journal import EVENTS, Journal
from perdure.persistence._claims import OWNERS
from perdure.query import Query
from perdure.upkeep import verify
from perdure_testkit import FaultyBackend, VirtualClock

from .boards import Erase, Look, PureBoard, Save, stored
from .tapes import MutatingTape, PureTape, Read, Write, light, values
from .turning import soon, turns

TAPES = [PureTape, MutatingTape, light(PureTape)]


def claims(groups: Sequence[WriteGroup]) -> bool:
    return any(isinstance(write, PutState) for group in groups for write in group.writes)


def appends(groups: Sequence[WriteGroup]) -> bool:
    return any(isinstance(write, Put) for group in groups for write in group.writes)


@pytest.fixture
async def here(store: FaultyBackend, clock: VirtualClock) -> AsyncIterator[ActorSystem]:
    async with ActorSystem(store=store, owner="here", clock=clock) as system:
        yield system


@pytest.fixture
async def there(store: FaultyBackend) -> AsyncIterator[ActorSystem]:
    async with ActorSystem(store=store, owner="there", clock=VirtualClock()) as system:
        yield system


async def epochs(store: Backend, persistence_id: str = "Tape/a") -> list[int]:
    """Return the epoch of each event of a log."""
    return [event.epoch async for event in Query(store).events_of(persistence_id)]


class TestAnOwner:
    async def test_claims_an_actor_when_that_comes_to_life(self, here: ActorSystem, clock: VirtualClock) -> None:
        """Before its first message, and whether that writes or not."""
        ref = here.ref(PureTape, "a")
        before = await here.owner_of(ref)

        await ref.ask(Read())

        assert (before, await here.owner_of(ref)) == (None, Owner("here", 1, datetime.fromtimestamp(clock.time(), UTC)))

    async def test_stores_its_epoch_with_each_event(
        self, store: FaultyBackend, here: ActorSystem, there: ActorSystem
    ) -> None:
        """An event says under which owner it was written."""
        await here.ref(PureTape, "a").ask(Write((1, 2)))
        await there.ref(PureTape, "a").ask(Write((3,)))

        assert await epochs(store) == [1, 1, 2]

    async def test_keeps_its_epoch_when_an_actor_was_put_away(
        self, store: FaultyBackend, here: ActorSystem, clock: VirtualClock
    ) -> None:
        """An actor that comes back costs a read, and no write."""
        ref = here.ref(PureTape, "a")
        await ref.ask(Write((1,)))
        await clock.advance(1000)
        assert here.live == 0
        commits = store.calls["commit"]

        state = await ref.ask(Read())

        assert (state, store.calls["commit"] - commits) == ([1], 0)

    async def test_keeps_its_epoch_through_restarts(self, store: FaultyBackend, here: ActorSystem) -> None:
        """A new instance of an actor is still the same owner's."""
        ref = here.ref(PureTape, "a")
        store.reject("commit", when=appends)
        with pytest.raises(StoreUnavailable):
            await ref.ask(Write((1,)))
        store.heal()

        await ref.ask(Write((2,)))

        assert await epochs(store) == [1]

    async def test_that_crashed_claims_again(self, store: FaultyBackend) -> None:
        """A program of the same name that begins anew is another owner, with a greater epoch."""
        for value in range(3):
            async with ActorSystem(store=store, owner="here") as system:
                await system.ref(PureTape, "a").ask(Write((value,)))

        assert await epochs(store) == [1, 2, 3]

    async def test_adds_no_write_to_a_persist(self, store: FaultyBackend, here: ActorSystem) -> None:
        """The epoch is expected in the group of the event."""
        ref = here.ref(PureTape, "a")
        await ref.ask(Read())
        commits = store.calls["commit"]

        await ref.ask(Write((1,)))

        assert store.calls["commit"] - commits == 1

    async def test_claims_each_log_under_its_stored_name(self, store: FaultyBackend) -> None:
        """Where names are hidden, the claim does not tell them either."""
        sealing = Sealing(Keyring({1: bytes(range(32))}), hide_names=True)
        async with ActorSystem(store=store, owner="here", sealing=sealing) as system:
            ref = system.ref(PureTape, "a")
            await ref.ask(Write((1,)))
            [name] = await store.prefixes(EVENTS)

            versions = [(await store.read_state(OWNERS, prefix))[0] for prefix in ("Tape/a", name)]
            owner = await system.owner_of(ref)
            events = [event async for event in system.query(PureTape).events_of("Tape/a")]

        assert (versions, owner and owner.name, [event.epoch for event in events]) == ([0, 1], "here", [1])

    async def test_that_has_the_state_takes_over_in_three_calls(self, store: FaultyBackend, here: ActorSystem) -> None:
        """Who owns it, the claim, and one page of the log: what a stand-by waits for."""
        await here.ref(PureTape, "a").ask(Write((1, 2, 3)))

        class Warm:
            def state(self, actor_type: type[Any], persistence_id: str, /) -> tuple[Any, int]:
                return (1, 2), 2

        async with ActorSystem(store=store, owner="stand-by", warm=Warm()) as system:
            before = store.calls.copy()
            state = await system.ref(PureTape, "a").ask(Read())

        assert (state, store.calls - before) == ([1, 2, 3], {"read_state": 1, "commit": 1, "page": 1})

    async def test_without_a_name_is_none(self, store: FaultyBackend) -> None:
        """Without `owner` nothing is claimed, read or stored."""
        async with ActorSystem(store=store) as system:
            await system.ref(PureTape, "a").ask(Write((1,)))
            with pytest.raises(RuntimeError, match="give it an owner"):
                await system.owner_of(system.ref(PureTape, "a"))

        assert (store.calls["read_state"], await epochs(store)) == (1, [0])  # one by the vault
        with pytest.raises(ValueError, match="owner is a name"):
            ActorSystem(owner="")


@pytest.mark.parametrize("tape", TAPES)
class TestWhoIsSuperseded:
    async def test_is_refused_at_its_next_write(
        self, store: FaultyBackend, here: ActorSystem, there: ActorSystem, tape: Any
    ) -> None:
        """Even though the new owner has written nothing, and all sequence numbers agree."""
        await here.ref(tape, "a").ask(Write((1,)))
        await there.ref(tape, "a").ask(Read())

        with pytest.raises(Superseded) as error:
            await here.ref(tape, "a").ask(Write((2,)))

        fields = error.value.persistence_id, error.value.epoch, error.value.owner, error.value.owner_epoch
        assert (fields, await values(store)) == (("Tape/a", 1, "there", 2), [1])

    async def test_is_refused_as_such_also_when_its_number_is_old(
        self, store: FaultyBackend, here: ActorSystem, there: ActorSystem, tape: Any
    ) -> None:
        """To read the log again would not help it: that is not called a conflict."""
        await here.ref(tape, "a").ask(Write((1,)))
        await there.ref(tape, "a").ask(Write((2,)))

        with pytest.raises(Superseded):
            await here.ref(tape, "a").ask(Write((3,)))

        assert await values(store) == [1, 2]

    async def test_answers_from_what_it_knows_until_then(
        self, here: ActorSystem, there: ActorSystem, tape: Any
    ) -> None:
        """What is asked of an actor that does not write may be old."""
        await here.ref(tape, "a").ask(Write((1,)))
        await there.ref(tape, "a").ask(Write((2,)))

        assert await here.ref(tape, "a").ask(Read()) == [1]


class TestAnActorOfWhoIsSuperseded:
    @pytest.mark.parametrize("supervision", [None, Resume(), Escalate()])
    async def test_stops_whatever_its_supervision_says(
        self, here: ActorSystem, there: ActorSystem, supervision: Any
    ) -> None:
        """A new instance could do no better, and must not take the log back."""
        tape = type("Tape", (PureTape,), {"supervision": supervision or PureTape.supervision})
        await here.ref(tape, "a").ask(Write((1,)))
        await there.ref(tape, "a").ask(Read())

        with pytest.raises(Superseded):
            await here.ref(tape, "a").ask(Write((2,)))

        assert (here.live, await there.ref(tape, "a").ask(Write((3,)))) == (0, 2)

    async def test_that_was_asked_by_another_does_not_stop_that_one(
        self, here: ActorSystem, there: ActorSystem
    ) -> None:
        """The error is about the one that was asked."""

        class Caller(Actor):
            asked = 0

            async def handle(self, message: Write, context: Any) -> list[int]:
                self.asked += 1
                return await context.system.ref(PureTape, "a").ask(message) if self.asked == 1 else [self.asked]

        Caller.supervision = Resume()
        caller = await here.spawn(Caller, "caller")
        await here.ref(PureTape, "a").ask(Write((1,)))
        await there.ref(PureTape, "a").ask(Read())
        with pytest.raises(Superseded):
            await caller.ask(Write((2,)))

        assert await caller.ask(Read()) == [2]

    async def test_is_not_brought_back_by_messages(
        self, store: FaultyBackend, here: ActorSystem, there: ActorSystem
    ) -> None:
        """Each gets the error, which names the present owner, and nothing is claimed."""
        await here.ref(PureTape, "a").ask(Write((1,)))
        await there.ref(PureTape, "a").ask(Read())
        for message in (Write((2,)), Write((3,)), Read()):
            with pytest.raises(Superseded, match="claimed since by 'there', by epoch 2"):
                await here.ref(PureTape, "a").ask(message)

        assert await there.ref(PureTape, "a").ask(Write((4,))) == 2

    async def test_does_not_come_back_from_being_put_away(
        self, here: ActorSystem, there: ActorSystem, clock: VirtualClock
    ) -> None:
        """Whether it was awake when it was superseded makes no difference."""
        await here.ref(PureTape, "a").ask(Write((1,)))
        await clock.advance(1000)
        await there.ref(PureTape, "a").ask(Read())

        with pytest.raises(Superseded):
            await here.ref(PureTape, "a").ask(Read())

    async def test_refuses_what_was_queued(self, here: ActorSystem, there: ActorSystem) -> None:
        """Those who waited in its mailbox learn where to go, too."""
        await here.ref(PureTape, "a").ask(Write((1,)))
        await there.ref(PureTape, "a").ask(Read())

        asks = [here.ref(PureTape, "a").ask(Write((value,))) for value in (2, 3, 4)]
        answers = await asyncio.gather(*asks, return_exceptions=True)

        assert [type(answer) for answer in answers] == [Superseded] * 3

    async def test_stops_also_when_its_handler_hides_the_error(self, here: ActorSystem, there: ActorSystem) -> None:
        """The next message finds that out again."""

        class Hiding(PureTape):
            async def handle(self, message: Any, context: Any) -> Any:
                try:
                    return await super().handle(message, context)
                except Superseded:
                    return -1

        await here.ref(Hiding, "a").ask(Write((1,)))
        await there.ref(Hiding, "a").ask(Read())
        first = await here.ref(Hiding, "a").ask(Write((2,)))

        with pytest.raises(Superseded):
            await here.ref(Hiding, "a").ask(Read())

        assert (first, here.live) == (-1, 0)

    async def test_that_was_spawned_is_over(self, here: ActorSystem, there: ActorSystem) -> None:
        """And its name cannot be spawned again before somebody decides so."""
        ref = await here.spawn(PureTape, "a", persistence_id="Tape/a")
        await there.ref(PureTape, "a").ask(Read())
        with pytest.raises(Superseded):
            await ref.ask(Write((1,)))

        with pytest.raises(Superseded):
            await here.spawn(PureTape, "a", persistence_id="Tape/a")

        await here.reclaim(ref)
        again = await here.spawn(PureTape, "a", persistence_id="Tape/a")
        assert await again.ask(Write((1,))) == 1

    async def test_is_lost_between_its_recovery_and_its_first_write(
        self, here: ActorSystem, there: ActorSystem
    ) -> None:
        """A handler that takes its time is refused when it comes to write."""
        go = asyncio.Event()

        class Slow(PureTape):
            async def handle(self, message: Any, context: Any) -> Any:
                await go.wait()
                return await super().handle(message, context)

        ask = soon(here.ref(Slow, "a").ask(Write((1,))))
        await turns()
        await there.ref(PureTape, "a").ask(Read())
        go.set()

        with pytest.raises(Superseded):
            await ask

    async def test_is_named_even_if_the_owner_cannot_be_read(
        self, store: FaultyBackend, here: ActorSystem, there: ActorSystem
    ) -> None:
        """That it is somebody else's was said by the store already."""
        await here.ref(PureTape, "a").ask(Read())
        await there.ref(PureTape, "a").ask(Read())
        store.reject("read_state")

        with pytest.raises(Superseded, match="claimed since by another system"):
            await here.ref(PureTape, "a").ask(Write((1,)))


class TestADurableState:
    async def test_of_who_is_superseded_is_not_saved(
        self, store: FaultyBackend, here: ActorSystem, there: ActorSystem
    ) -> None:
        """Durable states are claimed as logs are."""
        await here.ref(PureBoard, "a").ask(Save((1,)))
        await there.ref(PureBoard, "a").ask(Look())

        for message in (Save((2,)), Erase(), Look()):
            with pytest.raises(Superseded):
                await here.ref(PureBoard, "a").ask(message)

        assert (await there.ref(PureBoard, "a").ask(Save((3,))), await stored(store)) == (2, [(2, [3])])


class TestReclaim:
    async def test_gives_the_next_activation_a_greater_epoch(
        self, store: FaultyBackend, here: ActorSystem, there: ActorSystem
    ) -> None:
        """Then it is the other who is superseded."""
        await here.ref(PureTape, "a").ask(Write((1,)))
        await there.ref(PureTape, "a").ask(Write((2,)))
        with pytest.raises(Superseded):
            await here.ref(PureTape, "a").ask(Write((3,)))

        await here.reclaim(here.ref(PureTape, "a"))
        number = await here.ref(PureTape, "a").ask(Write((4,)))

        with pytest.raises(Superseded, match="by 'here', by epoch 3"):
            await there.ref(PureTape, "a").ask(Write((5,)))
        assert (number, await epochs(store)) == (3, [1, 2, 3])

    async def test_replaces_an_instance_that_does_not_know_yet(self, here: ActorSystem, there: ActorSystem) -> None:
        """Nobody meets the old state, or the error."""
        await here.ref(PureTape, "a").ask(Write((1,)))
        await there.ref(PureTape, "a").ask(Write((2,)))

        await here.reclaim(here.ref(PureTape, "a"))

        assert await here.ref(PureTape, "a").ask(Read()) == [1, 2]

    async def test_of_what_one_owns_does_nothing(self, store: FaultyBackend, here: ActorSystem) -> None:
        """The instance lives on, and nothing is written."""
        await here.ref(PureTape, "a").ask(Write((1,)))
        commits = store.calls["commit"]

        await here.reclaim(here.ref(PureTape, "a"))

        assert (here.live, store.calls["commit"]) == (1, commits)

    async def test_is_for_durable_actors(self, here: ActorSystem) -> None:
        """Others are nobody's."""

        class Plain(Actor):
            async def handle(self, message: Any, context: Any) -> None: ...

        with pytest.raises(TypeError, match="no durable actor"):
            await here.reclaim(here.ref(Plain, "a"))


class TestAClaim:
    async def test_that_is_rejected_is_made_by_the_next_message(self, store: FaultyBackend, here: ActorSystem) -> None:
        """An actor that could not be claimed does not come to life."""
        store.reject("commit", when=claims)
        with pytest.raises(StoreUnavailable):
            await here.ref(PureTape, "a").ask(Write((1,)))
        store.heal()

        await here.ref(PureTape, "a").ask(Write((2,)))

        assert await epochs(store) == [1]

    async def test_of_unknown_outcome_is_made_anew(self, store: FaultyBackend, here: ActorSystem) -> None:
        """The greater epoch is surely this system's."""
        store.lose("commit", when=claims)
        with pytest.raises(OutcomeUnknown):
            await here.ref(PureTape, "a").ask(Write((1,)))
        store.heal()

        await here.ref(PureTape, "a").ask(Write((2,)))

        assert (await values(store), await epochs(store)) == ([2], [2])

    @pytest.mark.parametrize("count", range(1, 12))
    async def test_that_is_cancelled_leaves_the_actor_free(
        self, store: FaultyBackend, here: ActorSystem, count: int
    ) -> None:
        """Whether it was written or not, the next message makes another, and may write."""
        ask = soon(here.ref(PureTape, "a").ask(Write((1,))))
        await turns(count)
        for runner in list(here.dispatcher._runners):
            runner.task.cancel()
        [answer] = await asyncio.gather(ask, return_exceptions=True)

        await here.ref(PureTape, "a").ask(Write((2,)))

        assert await values(store) in ([1, 2], [2] if answer != 1 else [])

    async def test_that_came_second_is_made_after_the_first(
        self, store: FaultyBackend, here: ActorSystem, there: ActorSystem
    ) -> None:
        """Of two systems that begin at once one is the owner in the end."""
        answers = await asyncio.gather(
            here.ref(PureTape, "a").ask(Read()), there.ref(PureTape, "a").ask(Read()), return_exceptions=True
        )
        outcomes = await asyncio.gather(
            here.ref(PureTape, "a").ask(Write((1,))),
            there.ref(PureTape, "a").ask(Write((1,))),
            return_exceptions=True,
        )

        assert (answers, sorted(type(outcome).__name__ for outcome in outcomes), await epochs(store)) == (
            [[], []],
            ["Superseded", "int"],
            [2],
        )

    async def test_that_is_durable_refuses_what_is_on_its_way(
        self, store: FaultyBackend, here: ActorSystem, there: ActorSystem
    ) -> None:
        """A write that an owner had begun comes too late when it arrives after the claim."""
        await here.ref(PureTape, "a").ask(Read())
        held = store.hold("commit", when=appends)
        late = soon(here.ref(PureTape, "a").ask(Write((1,))))
        await turns()
        await there.ref(PureTape, "a").ask(Read())
        held.set()

        with pytest.raises(Superseded):
            await late

        assert await values(store) == []

    async def test_that_was_removed_is_nobodys(self, store: FaultyBackend, here: ActorSystem) -> None:
        """Who owned the log does not write on as if it still did."""
        await here.ref(PureTape, "a").ask(Write((1,)))
        await store.commit([WriteGroup((PurgeState(OWNERS, "Tape/a"),))])

        with pytest.raises(Superseded, match="by another system"):
            await here.ref(PureTape, "a").ask(Write((2,)))


async def test_epochs_that_go_down_are_found(store: FaultyBackend, here: ActorSystem, there: ActorSystem) -> None:
    """`verify` names the event that a superseded owner has written, past all claims."""
    await here.ref(PureTape, "a").ask(Write((1,)))
    first = await store.collection(EVENTS, "Tape/a").get(1)
    await there.ref(PureTape, "a").ask(Write((2,)))
    sound = await verify(store)
    await Journal(store).append("Tape/a", 2, [first])

    [problem] = (await verify(store)).problems

    assert (sound.ok, type(problem), problem.sequence_number) == (True, CorruptionError, 3)
    assert "its epoch is 1, after events of epoch 2" in str(problem)


async def test_who_claims_nothing_is_not_kept_from_writing(store: FaultyBackend, here: ActorSystem) -> None:
    """A system without an owner knows nothing of claims: its events have no epoch, and are no damage."""
    await here.ref(PureTape, "a").ask(Write((1,)))
    async with ActorSystem(store=store) as system:
        await system.ref(PureTape, "a").ask(Write((2,)))

    assert (await epochs(store), (await verify(store)).ok) == ([1, 0], True)
