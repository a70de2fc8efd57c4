"""Actors whose state is stored whole: revisions, compare-and-set, deletes, and what follows a failure."""

from __future__ import annotations

import asyncio
import gc
import pickle
import tracemalloc
from typing import Any

import msgspec
import pytest

from perdure import ActorSystem, DurableStateActor, Evolution, Message, PerdureError, Rejected, actors
from perdure.errors import (
    ActorStopped,
    ConflictError,
    CorruptionError,
    EventTypeError,
    InvalidIdentifier,
    NameTaken,
    OutcomeUnknown,
    PersistInProgress,
    RecordTooLarge,
    StaleRevision,
    StateUnknown,
    StoreUnavailable,
)
from perdure.journal import EVENTS, RecordError, RevisionCodec, StateCodec
from perdure.memory import MemoryBackend
from perdure_testkit import FaultyBackend, VirtualClock

from .boards import DURABLE, Erase, Look, MutatingBoard, PureBoard, Save, SaveAndBreak, put, put_record, stored
from .tapes import PureTape, Read
from .tapes import Write as WriteTape
from .turning import soon, turns

DOWN = StoreUnavailable("commit", "down")
KINDS = pytest.mark.parametrize("kind", [PureBoard, MutatingBoard])


def seen(board: DurableStateActor[Any]) -> Any:
    try:
        return list(board.state)
    except StateUnknown:
        return "unknown"


class Try(Message[str]):
    """Save, and reply what happened and what can be seen then."""

    numbers: tuple[int, ...]


class _Trying:
    async def handle(self: Any, message: Message[Any], context: Any) -> Any:
        if not isinstance(message, Try):
            return await super().handle(message, context)  # type: ignore[misc]
        try:
            await self.save(self.with_numbers(message.numbers))
        except PerdureError as error:
            return f"{type(error).__name__} {seen(self)} {self.revision}"
        return f"ok {seen(self)} {self.revision}"


class TryingBoard(_Trying, PureBoard):
    pass


class TryingMutatingBoard(_Trying, MutatingBoard):
    pass


@KINDS
class TestSave:
    async def test_shows_the_new_state_when_it_returns(self, kind: Any, store: FaultyBackend) -> None:
        """Revisions are 1, 2, 3, … (ATS-80)."""
        async with ActorSystem(store=store) as system:
            ref = system.ref(kind, "a")

            revisions = [await ref.ask(Save((n,))) for n in (10, 20, 30)]

            assert (revisions, await ref.ask(Look())) == ([1, 2, 3], (3, [30], True))

    async def test_has_stored_the_state_and_nothing_else_when_it_returns(self, kind: Any, store: FaultyBackend) -> None:
        """Of all revisions the newest is kept."""
        async with ActorSystem(store=store) as system:
            ref = system.ref(kind, "a")
            for n in range(1, 6):
                await ref.ask(Save((n,)))

                assert await stored(store) == [(n, [n])]

    async def test_is_one_commit(self, kind: Any, store: FaultyBackend) -> None:
        """The new revision and the removal of the old one are one group, and nothing is read for it."""
        async with ActorSystem(store=store) as system:
            ref = system.ref(kind, "a")
            await ref.ask(Save((1,)))
            before = store.calls.copy()

            await ref.ask(Save((2,)))

            assert store.calls - before == {"commit": 1}

    async def test_that_is_rejected_leaves_all_as_it_was(self, kind: Any, store: FaultyBackend) -> None:
        """A failed write uses up no revision."""
        async with ActorSystem(store=store) as system:
            ref = system.ref(kind, "a")
            await ref.ask(Save((1,)))
            store.reject("commit", DOWN)

            with pytest.raises(StoreUnavailable, match="down"):
                await ref.ask(Save((2,)))

            assert (await ref.ask(Look()), await stored(store)) == ((1, [1], True), [(1, [1])])
            assert await ref.ask(Save((3,))) == 2

    async def test_whose_answer_is_lost_is_read_again(self, kind: Any, store: FaultyBackend) -> None:
        """The asker is told that nobody knows, and the actor goes on from what the store has."""
        async with ActorSystem(store=store) as system:
            ref = system.ref(kind, "a")
            store.lose("commit")

            with pytest.raises(OutcomeUnknown):
                await ref.ask(Save((1,)))

            assert (await ref.ask(Look()), await ref.ask(Save((2,)))) == ((1, [1], True), 2)

    async def test_before_a_failure_of_the_handler_stays(self, kind: Any, store: FaultyBackend) -> None:
        """What is durable stays so, whatever the handler does next."""
        async with ActorSystem(store=store) as system:
            ref = system.ref(kind, "a")

            with pytest.raises(ValueError, match="broken"):
                await ref.ask(SaveAndBreak((1,)))

            assert await ref.ask(Look()) == (1, [1], True)

    async def test_is_there_after_a_restart_of_the_system(self, kind: Any, store: FaultyBackend) -> None:
        """State and revision outlive whoever saved them (ATS-81)."""
        async with ActorSystem(store=store) as system:
            await system.ref(kind, "a").ask(Save((1, 2)))
            await system.ref(kind, "a").ask(Save((3,)))

        async with ActorSystem(store=store) as system:
            assert await system.ref(kind, "a").ask(Look()) == (2, [3], True)

    async def test_that_could_not_be_read_back_is_refused(self, kind: Any, store: FaultyBackend) -> None:
        """It would be acknowledged, and lost with the next recovery; so nothing is stored."""
        async with ActorSystem(store=store) as system:
            ref = system.ref(kind, "a")
            await ref.ask(Save((1,)))

            with pytest.raises(EventTypeError, match=r"Board: its state could not be read back: .*`int`, got `str`"):
                await ref.ask(Save(("two",)))  # type: ignore[arg-type]

            assert (await ref.ask(Look()), await stored(store)) == ((1, [1], True), [(1, [1])])

    async def test_that_cannot_be_encoded_is_refused(self, kind: Any, store: FaultyBackend) -> None:
        """The error names the actor type."""
        async with ActorSystem(store=store) as system:
            ref = system.ref(kind, "a")

            with pytest.raises(EventTypeError, match="Board: its state cannot be encoded"):
                await ref.ask(Save((2**70,)))

            assert (await ref.ask(Look()), await stored(store)) == ((0, [], False), [])

    async def test_of_too_much_is_refused(self, kind: Any, store: FaultyBackend) -> None:
        """The error names the actor, the size and the limit; the actor goes on."""
        async with ActorSystem(store=store, max_record_bytes=1000) as system:
            ref = system.ref(kind, "a")

            with pytest.raises(RecordTooLarge, match=r"Board/a: a record of the state has 1,\d{3} bytes, over 1,000"):
                await ref.ask(Save(tuple(range(200, 800))))

            assert (await ref.ask(Look()), await ref.ask(Save((1,)))) == ((0, [], False), 1)

    @pytest.mark.parametrize("write", ["msgpack", "json"])
    async def test_is_read_in_either_format(self, kind: Any, write: Any, store: FaultyBackend) -> None:
        """Whatever the system writes, both are understood; so is a delete."""
        async with ActorSystem(store=store, write=write) as system:
            await system.ref(kind, "a").ask(Save((1,)))
            await system.ref(kind, "b").ask(Save((1,)))
            await system.ref(kind, "b").ask(Erase())

        async with ActorSystem(store=store) as system:
            assert await system.ref(kind, "a").ask(Look()) == (1, [1], True)
            assert await system.ref(kind, "b").ask(Look()) == (2, [], False)


@KINDS
class TestDelete:
    async def test_brings_the_initial_state_back_and_goes_on_counting(self, kind: Any, store: FaultyBackend) -> None:
        """No revision is used twice, so who saw the first revision 1 is stale for ever (ATS-80)."""
        async with ActorSystem(store=store) as system:
            ref = system.ref(kind, "a")
            await ref.ask(Save((1,)))

            revision = await ref.ask(Erase())

            assert (revision, await ref.ask(Look()), await stored(store)) == (2, (2, [], False), [(2, None)])
            assert await ref.ask(Save((3,))) == 3

    async def test_outlives_the_system(self, kind: Any, store: FaultyBackend) -> None:
        """What was deleted stays deleted, and its revision is remembered."""
        async with ActorSystem(store=store) as system:
            await system.ref(kind, "a").ask(Save((1,)))
            await system.ref(kind, "a").ask(Erase())

        async with ActorSystem(store=store) as system:
            assert await system.ref(kind, "a").ask(Look()) == (2, [], False)

    async def test_of_nothing_writes_nothing(self, kind: Any, store: FaultyBackend) -> None:
        """A delete can be repeated, also before the first save."""
        async with ActorSystem(store=store) as system:
            ref = system.ref(kind, "a")
            never = await ref.ask(Erase())
            await ref.ask(Save((1,)))
            await ref.ask(Erase())
            commits = store.calls["commit"]

            again = await ref.ask(Erase())

            assert (never, again, store.calls["commit"]) == (0, 2, commits)

    async def test_whose_answer_is_lost_is_read_again(self, kind: Any, store: FaultyBackend) -> None:
        """A delete is a write like any other."""
        async with ActorSystem(store=store) as system:
            ref = system.ref(kind, "a")
            await ref.ask(Save((1,)))
            store.lose("commit")

            with pytest.raises(OutcomeUnknown):
                await ref.ask(Erase())

            assert await ref.ask(Look()) == (2, [], False)

    async def test_refuses_a_writer_that_saw_the_state_before(self, kind: Any, store: FaultyBackend) -> None:
        """Another system deleted and saved anew: its revision 1 is not the stale writer's revision 1."""
        async with ActorSystem(store=store) as stale, ActorSystem(store=store) as system:
            await stale.ref(kind, "a").ask(Save((1,)))
            await system.ref(kind, "a").ask(Erase())
            await system.ref(kind, "a").ask(Save((2,)))

            with pytest.raises(ConflictError) as conflict:
                await stale.ref(kind, "a").ask(Save((3,)))

            assert (conflict.value.expected, conflict.value.actual) == (1, 3)
            assert await stored(store) == [(3, [2])]


@KINDS
class TestExpectedRevision:
    async def test_that_is_the_present_one_is_saved(self, kind: Any, store: FaultyBackend) -> None:
        """0 is the revision of what was never saved (ATS-84)."""
        async with ActorSystem(store=store) as system:
            ref = system.ref(kind, "a")

            assert await ref.ask(Save((1,), expected=0)) == 1
            assert await ref.ask(Save((2,), expected=1)) == 2
            assert await ref.ask(Erase(expected=2)) == 3

    @pytest.mark.parametrize("message", [Save((9,), expected=1), Erase(expected=1), Save((9,), expected=3)])
    async def test_that_is_another_one_writes_nothing(self, kind: Any, message: Any, store: FaultyBackend) -> None:
        """The asker learns the present revision, and the actor goes on (ATS-80, ATS-84)."""
        async with ActorSystem(store=store) as system:
            ref = system.ref(kind, "a")
            await ref.ask(Save((1,)))
            await ref.ask(Save((2,)))
            commits = store.calls["commit"]

            with pytest.raises(StaleRevision, match=r"Board/a: revision \d was expected, and the present one is 2"):
                await ref.ask(message)

            assert (await ref.ask(Look()), store.calls["commit"]) == ((2, [2], True), commits)

    async def test_that_is_stale_is_no_failure_of_the_actor(self, kind: Any, store: FaultyBackend) -> None:
        """However many callers are stale, nothing restarts and nothing stops."""
        lives = []

        class Counting(kind):  # type: ignore[misc]
            async def started(self, context: Any) -> None:
                lives.append(context.key)

        async with ActorSystem(store=store) as system:
            ref = system.ref(Counting, "a")
            await ref.ask(Save((1,)))
            for _ in range(30):
                with pytest.raises(StaleRevision) as stale:
                    await ref.ask(Save((9,), expected=0))

            assert (lives, isinstance(stale.value, Rejected), isinstance(stale.value, ConflictError)) == (
                ["a"],
                True,
                True,
            )

    async def test_lets_one_of_those_win_who_create(self, kind: Any, store: FaultyBackend) -> None:
        """Of ten who all expect that there is nothing, nine get a conflict (ATS-82)."""
        async with ActorSystem(store=store) as system:
            ref = system.ref(kind, "a")

            outcomes = await asyncio.gather(
                *(ref.ask(Save((n,), expected=0)) for n in range(10)), return_exceptions=True
            )

            assert outcomes[0] == 1
            assert {type(outcome) for outcome in outcomes[1:]} == {StaleRevision}

    @pytest.mark.parametrize(
        ("expected", "error"), [(-1, ValueError), (1.5, TypeError), ("1", TypeError), (True, TypeError)]
    )
    async def test_that_is_no_revision_is_a_wrong_argument(
        self, kind: Any, expected: Any, error: type[Exception], store: FaultyBackend
    ) -> None:
        """It is no conflict, so nobody tries it again (ATS-83)."""
        async with ActorSystem(store=store) as system:
            for message in (Save((1,), expected=expected), Erase(expected=expected)):
                with pytest.raises(error, match=f"expected_revision is .*, not {expected!r}"):
                    await system.ref(kind, "a").ask(message)

        assert await stored(store) == []

    async def test_ahead_of_the_actor_has_it_look_at_the_store(self, kind: Any, store: FaultyBackend) -> None:
        """A caller that knows more than the actor is refused once, and right the next time (ATS-85)."""
        async with ActorSystem(store=store) as system:
            ref = system.ref(kind, "a")
            await ref.ask(Save((1,)))
            await put(store, 2, 22)
            with pytest.raises(StaleRevision):
                await ref.ask(Save((3,), expected=2))

            assert await ref.ask(Save((3,), expected=2)) == 3


@KINDS
class TestALostRace:
    async def test_is_a_conflict_with_both_revisions(self, kind: Any, store: FaultyBackend) -> None:
        """The store has what the winner saved (ATS-80)."""
        async with ActorSystem(store=store) as system:
            ref = system.ref(kind, "a")
            await ref.ask(Save((1,)))
            await put(store, 4, 44)

            with pytest.raises(ConflictError, match="expected the log to end at revision 1, but it ends at 4") as lost:
                await ref.ask(Save((2,)))

            assert (lost.value.persistence_id, lost.value.expected, lost.value.actual) == ("Board/a", 1, 4)
            assert not isinstance(lost.value, Rejected)
            assert await stored(store) == [(4, [44])]

    @pytest.mark.parametrize("supervision", [actors.Restart(), actors.Resume()])
    async def test_is_followed_by_a_look_at_the_store(self, kind: Any, supervision: Any, store: FaultyBackend) -> None:
        """The loser is never wedged: it sees what the winner saved, and its next save succeeds (ATS-86, ATS-85)."""
        loser = type("Board", (kind,), {"supervision": supervision})
        async with ActorSystem(store=store) as system:
            ref = system.ref(loser, "a")
            await ref.ask(Save((1,)))
            await put(store, 2, 22)
            with pytest.raises(ConflictError):
                await ref.ask(Save((3,)))

            assert (await ref.ask(Look()), await ref.ask(Save((4,)))) == ((2, [22], True), 3)

    async def test_that_the_handler_catches_is_followed_by_a_look_too(self, kind: Any, store: FaultyBackend) -> None:
        """No supervision is needed for it, and until then the actor saves nothing on top of what it does not know."""
        trying = TryingBoard if kind is PureBoard else TryingMutatingBoard
        async with ActorSystem(store=store) as system:
            ref = system.ref(trying, "a")
            await ref.ask(Save((1,)))
            await put(store, 2, 22)

            lost = await ref.ask(Try((3,)))
            won = await ref.ask(Try((4,)))

            assert (lost, won) == (f"ConflictError {[1] if kind is PureBoard else 'unknown'} 1", "ok [4] 3")

    async def test_between_two_systems_has_one_winner_a_revision(self, kind: Any, store: FaultyBackend) -> None:
        """Each revision is one save that was acknowledged, and each of the others is a conflict (ATS-82)."""
        won: dict[int, int] = {}
        lost = 0

        async def save(system: ActorSystem, first: int) -> None:
            nonlocal lost
            for n in range(first, first + 40):
                try:
                    revision = await system.ref(kind, "a").ask(Save((n,)))
                except ConflictError:
                    lost += 1
                else:
                    assert revision not in won
                    won[revision] = n

        async with ActorSystem(store=store) as one, ActorSystem(store=store) as other:
            await asyncio.gather(save(one, 0), save(other, 100))

            last = max(won)
            assert (sorted(won), lost > 0, len(won) + lost) == (list(range(1, last + 1)), True, 80)
            assert await stored(store) == [(last, [won[last]])]


async def test_a_save_of_one_id_leaves_the_others_alone(store: FaultyBackend) -> None:
    """Each persistence id has its own state and its own revisions (ATS-80)."""
    async with ActorSystem(store=store) as system:
        await system.ref(PureBoard, "a").ask(Save((1,)))
        await system.ref(PureBoard, "a").ask(Save((2,)))
        await system.ref(PureBoard, "b").ask(Save((3,)))
        await system.ref(PureBoard, "a").ask(Erase())

        assert await system.ref(PureBoard, "b").ask(Look()) == (1, [3], True)


async def test_a_durable_state_and_a_log_of_one_name_do_not_meet(store: FaultyBackend) -> None:
    """They are in collections of their own."""
    async with ActorSystem(store=store) as system:
        tape = await system.spawn(PureTape, "tape", persistence_id="mine")
        await tape.ask(WriteTape((1, 2)))
        await tape.stop()
        board = await system.spawn(PureBoard, "board", persistence_id="mine")
        await board.ask(Save((3,)))
        await board.stop()

        tape = await system.spawn(PureTape, "tape", persistence_id="mine")

        assert (await tape.ask(Read()), await stored(store, "mine")) == ([1, 2], [(1, [3])])


async def test_a_durable_state_is_no_log_and_no_snapshot(store: FaultyBackend) -> None:
    """It has a collection of its own."""
    async with ActorSystem(store=store) as system:
        await system.ref(PureBoard, "a").ask(Save((1,)))

    assert (await store.prefixes(DURABLE), await store.prefixes(EVENTS)) == (["Board/a"], [])


async def test_the_state_is_nobody_elses(store: FaultyBackend) -> None:
    """Who changes what was given to `save` changes neither the state nor the store."""
    given = [1]

    class Giving(DurableStateActor[list[int]]):
        initial_state: list[int] = []  # noqa: RUF012  # each actor begins with a copy

        async def handle(self, message: Message[Any], context: Any) -> Any:
            if isinstance(message, Save):
                await self.save(given)
            return self.revision, list(self.state), self.exists

    async with ActorSystem(store=store) as system:
        await system.ref(Giving, "a").ask(Save(()))
        given.append(2)

        assert await system.ref(Giving, "a").ask(Look()) == (1, [1], True)
        assert await system.ref(Giving, "b").ask(Look()) == (0, [], False)


async def test_the_state_is_what_a_restart_would_read(store: FaultyBackend) -> None:
    """An int in a field of floats is a float at once, not after the next recovery."""

    class Measure(DurableStateActor[float]):
        initial_state = 0.0

        async def handle(self, message: Message[Any], context: Any) -> Any:
            await self.save(1)
            return repr(self.state)

    async with ActorSystem(store=store) as system:
        assert await system.ref(Measure, "a").ask(Look()) == "1.0"


async def test_none_is_a_state_like_any_other(store: FaultyBackend) -> None:
    """Saving None is no delete."""

    class Maybe(DurableStateActor[int | None]):
        initial_state = 7

        async def handle(self, message: Message[Any], context: Any) -> Any:
            if isinstance(message, Save):
                await self.save(None)
            return self.revision, self.state, self.exists

    async with ActorSystem(store=store) as system:
        await system.ref(Maybe, "a").ask(Save(()))

    async with ActorSystem(store=store) as system:
        assert await system.ref(Maybe, "a").ask(Look()) == (1, None, True)


async def test_the_state_is_the_old_one_while_a_save_is_under_way(store: FaultyBackend) -> None:
    """State and revision change when the write is durable, not before."""
    states = []

    class Peeking(PureBoard):
        async def handle(self, message: Message[Any], context: Any) -> Any:
            saving = asyncio.ensure_future(self.save((1,)))
            await turns()
            states.append((self.revision, self.state, self.exists))
            written.set()
            await saving
            return self.revision

    async with ActorSystem(store=store) as system:
        written = store.hold("commit")
        revision = await system.ref(Peeking, "a").ask(Save(()))

    assert (states, revision) == ([(0, (), False)], 1)


async def test_two_saves_at_once_are_refused(store: FaultyBackend) -> None:
    """The second of two saves of one actor says so, and the first is stored."""

    class Hasty(PureBoard):
        async def handle(self, message: Message[Any], context: Any) -> Any:
            if not isinstance(message, Save):
                return await super().handle(message, context)
            first, second = await asyncio.gather(self.save((1,)), self.save((2,)), return_exceptions=True)
            assert first is None
            raise second  # type: ignore[misc]

    async with ActorSystem(store=store) as system:
        ref = system.ref(Hasty, "a")

        with pytest.raises(PersistInProgress, match="Board/a is persisting already"):
            await ref.ask(Save(()))

        assert await ref.ask(Look()) == (1, [1], True)


async def test_nothing_is_saved_on_top_of_a_doubtful_state(store: FaultyBackend) -> None:
    """After a failed save the same handler can save nothing more."""
    errors = []

    class Stubborn(PureBoard):
        async def handle(self, message: Message[Any], context: Any) -> Any:
            for n in (1, 2):
                try:
                    await self.save((n,))
                except PerdureError as error:
                    errors.append(type(error))
            return 0

    async with ActorSystem(store=store) as system:
        store.lose("commit")
        await system.ref(Stubborn, "a").ask(Save(()))

    assert (errors, await stored(store)) == ([OutcomeUnknown, StateUnknown], [(1, [1])])


@pytest.mark.parametrize("error", [DOWN, OutcomeUnknown("commit", "lost")])
async def test_an_immutable_state_can_still_be_seen_after_a_failure(store: FaultyBackend, error: Exception) -> None:
    """A handler that catches the error of a save finds the state as it was."""
    async with ActorSystem(store=store) as system:
        ref = system.ref(TryingBoard, "a")
        await ref.ask(Save((1,)))
        store.reject("commit", error)

        assert await ref.ask(Try((2,))) == f"{type(error).__name__} [1] 1"


@pytest.mark.parametrize("numbers", [(2,), ("two",)])
async def test_a_state_changed_in_place_is_not_shown_after_a_failure(store: FaultyBackend, numbers: Any) -> None:
    """Nobody sees what was not stored, whatever the save failed of."""
    async with ActorSystem(store=store) as system:
        ref = system.ref(TryingMutatingBoard, "a")
        await ref.ask(Save((1,)))
        store.reject("commit", DOWN)

        reply = await ref.ask(Try(numbers))
        store.heal()

        assert (reply.split()[1], await ref.ask(Look())) == ("unknown", (1, [1], True))


@KINDS
@pytest.mark.parametrize("fault", ["none", "reject", "lose"])
async def test_whenever_the_actor_is_cancelled_it_goes_on_from_what_is_stored(kind: Any, fault: str) -> None:
    """At every turn of a save: what was acknowledged is there, and memory says what the store says."""
    outcomes = set()
    for cancelled_after in range(30):
        store = FaultyBackend(MemoryBackend())
        async with ActorSystem(store=store) as system:
            ref = system.ref(kind, "a")
            await ref.ask(Save((1,)))
            if fault != "none":
                getattr(store, fault)("commit")
            ask = soon(ref.ask(Save((2,))))
            await turns(cancelled_after)
            for runner in list(system.dispatcher._runners):
                runner.task.cancel()
            [outcome] = await asyncio.gather(ask, return_exceptions=True)

            revision, numbers, _ = await ref.ask(Look())

            assert (revision, numbers) == ((1, [1]) if fault == "reject" else (2, [2]))
            assert await stored(store) == [(revision, numbers)]
            assert await ref.ask(Save((3,))) == revision + 1
            outcomes.add(type(outcome))
        await store.close()
    done = {"none": int, "reject": StoreUnavailable, "lose": OutcomeUnknown}[fault]
    assert outcomes == {ActorStopped, done}


async def test_an_instance_never_begins_while_the_last_one_still_writes(store: FaultyBackend) -> None:
    """A save that a failed handler left behind is settled before the state is read again."""
    left_behind = []

    class Careless(PureBoard):
        async def handle(self, message: Message[Any], context: Any) -> Any:
            if not isinstance(message, SaveAndBreak):
                return await super().handle(message, context)
            left_behind.append(asyncio.ensure_future(self.save((1,))))
            await turns(3)
            raise ValueError("broken")

    async with ActorSystem(store=store) as system:
        ref = system.ref(Careless, "a")
        await ref.ask(Look())
        written = store.hold("commit")
        with pytest.raises(ValueError, match="broken"):
            await ref.ask(SaveAndBreak(()))
        look = soon(ref.ask(Look()))
        await turns()
        written.set()

        assert await look == (1, [1], True)


@KINDS
async def test_a_passivated_actor_comes_back_as_it_was(kind: Any, store: FaultyBackend, clock: VirtualClock) -> None:
    """It leaves nothing in memory, and its state in the store."""
    async with ActorSystem(store=store, clock=clock, passivate_after=60) as system:
        ref = system.ref(kind, "a")
        await ref.ask(Save((1,)))
        await clock.advance(61)
        gone = not ref.is_live

        assert (gone, await ref.ask(Look())) == (True, (1, [1], True))


async def test_a_recovery_is_one_read(store: FaultyBackend) -> None:
    """However many revisions there were."""
    async with ActorSystem(store=store) as system:
        for n in range(20):
            await system.ref(PureBoard, "a").ask(Save((n,)))

    async with ActorSystem(store=store) as system:
        before = store.calls.copy()
        await system.ref(PureBoard, "a").ask(Look())

        assert store.calls - before == {"page": 1}


async def test_recoveries_at_once_are_bounded(store: FaultyBackend) -> None:
    """A thousand actors that wake up together read the store a few at a time."""
    async with ActorSystem(store=store, max_recoveries=3) as system:
        released = store.hold("page", when=lambda *_: True)
        asks = [soon(system.ref(PureBoard, str(n)).ask(Look())) for n in range(10)]
        await turns(40)
        reading = store.calls["page"]
        released.set()
        await asyncio.gather(*asks)

    assert reading == 3


class TestARecordThatCannotBeUsed:
    """There is no older revision to go back to, so the actor does not start, and nothing is overwritten."""

    @staticmethod
    def record() -> bytes:
        return RevisionCodec("Board", list[int]).encode([1, 2, 3], 2, 0)[0]

    async def refuses(self, store: FaultyBackend, record: bytes, reason: str) -> None:
        await put_record(store, 2, record)
        async with ActorSystem(store=store) as system:
            for message in (Look(), Save((9,)), Erase()):
                with pytest.raises(CorruptionError, match=f"Board/a, revision 2: the state cannot be used.*{reason}"):
                    await system.ref(PureBoard, "a").ask(message)
            with pytest.raises(CorruptionError, match="Board/a, revision 2"):
                await anext(system.ref(PureBoard, "a").subscribe(after=0))
        assert [entry async for entry in store.collection(DURABLE, "Board/a").iterate()] == [(2, record)]  # type: ignore[attr-defined]

    async def test_because_it_was_cut_anywhere(self, store: FaultyBackend) -> None:
        """Whatever is left of it is refused by id and revision."""
        record = self.record()
        for size in range(len(record)):
            await self.refuses(store, record[:size], "")

    async def test_because_of_any_flipped_bit(self, store: FaultyBackend) -> None:
        """The checksum covers all of it."""
        record = self.record()
        codec = RevisionCodec("Board", list[int])
        for place in range(len(record) * 8):
            damaged = bytearray(record)
            damaged[place // 8] ^= 1 << place % 8
            with pytest.raises(RecordError):
                codec.decode(bytes(damaged), 2)

    async def test_because_it_is_another_actors(self, store: FaultyBackend) -> None:
        """A state of another type is refused by both names, even if it would decode."""
        record, _ = RevisionCodec("Cart", list[int]).encode([1], 2, 0)
        await self.refuses(store, record, "a state of Cart, version 1, and this is Board")

    async def test_because_it_was_moved(self, store: FaultyBackend) -> None:
        """A record knows its revision."""
        record, _ = RevisionCodec("Board", list[int]).encode([1], 7, 0)
        await self.refuses(store, record, "it says that it is revision 7")

    async def test_because_its_tombstone_was_moved(self, store: FaultyBackend) -> None:
        """So does a tombstone: an old delete cannot be played again."""
        await self.refuses(store, RevisionCodec("Board", list[int]).tombstone(1, 0), "it says that it is revision 1")

    async def test_because_it_is_of_another_kind(self, store: FaultyBackend) -> None:
        """What decodes to another type is refused with the reason."""
        record, _ = RevisionCodec("Board", str).encode("text", 2, 0)
        await self.refuses(store, record, "does not decode")

    async def test_because_it_is_of_a_newer_format(self, store: FaultyBackend) -> None:
        """An old program says that it is old."""
        await self.refuses(store, b"\x09" + self.record()[1:], "format version 9")

    async def test_because_it_is_empty(self, store: FaultyBackend) -> None:
        """Nothing is no state."""
        await self.refuses(store, b"", "0 bytes")

    async def test_because_the_store_did_not_answer_is_another_error(self, store: FaultyBackend) -> None:
        """A failed read is never taken for an absent state; the next message tries again."""
        await put(store, 2, 5)
        async with ActorSystem(store=store) as system:
            store.reject("page", StoreUnavailable("page", "down"))
            with pytest.raises(StoreUnavailable, match="down"):
                await system.ref(PureBoard, "a").ask(Look())

            assert await system.ref(PureBoard, "a").ask(Look()) == (2, [5], True)


class TestEvolution:
    """States that were stored once are read as an actor's `evolution` says."""

    @staticmethod
    def board(evolution: Evolution, name: str = "Board") -> Any:
        return type("Board", (PureBoard,), {"evolution": evolution, "type_name": name})

    async def test_of_an_older_state_is_upcast(self, store: FaultyBackend) -> None:
        """The revision stays; the next save writes the new version."""
        history = Evolution(state_version=2)
        history.upcast_state(1)(lambda numbers: [number * 10 for number in numbers])
        await put(store, 3, 1, 2)

        async with ActorSystem(store=store) as system:
            ref = system.ref(self.board(history), "a")

            assert await ref.ask(Look()) == (3, [10, 20], True)
            assert (await ref.ask(Save((5,))), await ref.ask(Look())) == (4, (4, [5], True))

    async def test_of_the_type_s_name_holds_for_states_and_tombstones(self, store: FaultyBackend) -> None:
        """What was stored, or deleted, under the old name is found under the new one."""
        async with ActorSystem(store=store) as system:
            for name in ("kept", "deleted"):
                ref = await system.spawn(PureBoard, name, persistence_id=name)
                await ref.ask(Save((1,)))
            await ref.ask(Erase())
        history = Evolution()
        history.rename_state("Board")

        async with ActorSystem(store=store) as system:
            renamed = self.board(history, "Plank")
            kept = await system.spawn(renamed, "kept", persistence_id="kept")
            deleted = await system.spawn(renamed, "deleted", persistence_id="deleted")

            assert (await kept.ask(Look()), await deleted.ask(Look())) == ((1, [1], True), (2, [], False))

    async def test_may_write_what_older_programs_read(self, store: FaultyBackend) -> None:
        """Under the old name, states and tombstones alike."""
        history = Evolution()
        history.rename_state("Board")
        history.write_state(name="Board")
        async with ActorSystem(store=store) as system:
            for name in ("kept", "deleted"):
                ref = await system.spawn(self.board(history, "Plank"), name, persistence_id=name)
                await ref.ask(Save((1,)))
            await ref.ask(Erase())

        assert (await stored(store, "kept"), await stored(store, "deleted")) == ([(1, [1])], [(2, None)])

    async def test_has_a_newer_state_refused(self, store: FaultyBackend) -> None:
        """An older program does not guess, and overwrites nothing."""
        newer = Evolution(state_version=3)
        newer.state_defaults(1)
        newer.state_defaults(2)
        older = Evolution(state_version=2)
        older.state_defaults(1)
        async with ActorSystem(store=store) as system:
            await system.ref(self.board(newer), "a").ask(Save((1,)))

        async with ActorSystem(store=store) as system:
            with pytest.raises(CorruptionError, match=r"Board/a, revision 1: .*version 3"):
                await system.ref(self.board(older), "a").ask(Save((2,)))


async def test_a_reload_that_fails_is_tried_again(store: FaultyBackend) -> None:
    """While the store is down nothing is answered from a doubtful memory."""
    async with ActorSystem(store=store) as system:
        ref = system.ref(TryingBoard, "a")
        await ref.ask(Save((1,)))
        store.lose("commit")
        await ref.ask(Try((2,)))
        store.reject("page", StoreUnavailable("page", "down"))
        with pytest.raises(StoreUnavailable):
            await ref.ask(Look())

        assert await ref.ask(Look()) == (2, [2], True)


class TestPersistenceIds:
    """As of persistent actors: one live instance of an id in a system."""

    async def test_that_are_given_twice_are_refused(self, store: FaultyBackend) -> None:
        """Two actors would write one state."""
        async with ActorSystem(store=store) as system:
            await system.spawn(PureBoard, "first", persistence_id="shared")

            with pytest.raises(NameTaken, match="shared"):
                await system.spawn(PureBoard, "second", persistence_id="shared")

    async def test_of_a_live_ref_cannot_be_given_away(self, store: FaultyBackend) -> None:
        """The default id counts as much as an explicit one."""
        async with ActorSystem(store=store) as system:
            await system.ref(PureBoard, "a").ask(Look())

            with pytest.raises(NameTaken, match="Board/a"):
                await system.spawn(PureBoard, "x", persistence_id="Board/a")

    async def test_name_the_state_whatever_the_actor_is_called(self, store: FaultyBackend) -> None:
        """The second actor under another name has the first one's state."""
        async with ActorSystem(store=store) as system:
            first = await system.spawn(PureBoard, "first", persistence_id="shared")
            await first.ask(Save((99,)))
            await first.stop()

            second = await system.spawn(PureBoard, "second", persistence_id="shared")

            assert await second.ask(Look()) == (1, [99], True)

    @pytest.mark.parametrize("bad", ["", "a\0b", "x" * 1025])
    async def test_that_no_store_can_hold_are_refused_at_once(self, store: FaultyBackend, bad: str) -> None:
        """Before anything is made or read (ATS-81)."""
        async with ActorSystem(store=store) as system:
            with pytest.raises(InvalidIdentifier):
                await system.spawn(PureBoard, "a", persistence_id=bad)

            assert (system.live, store.calls["page"]) == (0, 0)


async def test_it_needs_a_system_with_a_store() -> None:
    """In the system of the plain actor model the error names the actor."""
    async with actors.ActorSystem() as system:
        with pytest.raises(PerdureError, match="/user/a is a persistent actor: its system needs a store"):
            await system.spawn(PureBoard, "a")


async def test_an_instance_outside_a_system_has_no_durable_state() -> None:
    """Nothing can be saved before the system starts the actor."""
    with pytest.raises(PerdureError, match="no durable state before its system starts it"):
        PureBoard().save((1,))


async def test_a_class_without_its_type_is_told_what_to_write(store: FaultyBackend) -> None:
    """The store cannot know what to read back."""

    class Untyped(DurableStateActor):  # type: ignore[type-arg]
        initial_state = 0

    async with ActorSystem(store=store) as system:
        with pytest.raises(EventTypeError, match=r"write class Untyped\(DurableStateActor\[STATE\]\)"):
            await system.ref(Untyped, "a").ask(Look())


async def test_a_generic_base_may_fill_the_type_in(store: FaultyBackend) -> None:
    """A class of one's own may stand between, with more or fewer parameters."""

    class Items(msgspec.Struct, frozen=True):
        names: tuple[str, ...] = ()

    class Cart(DurableStateActor[Items]):
        initial_state = Items()

        async def handle(self, message: Message[Any], context: Any) -> Any:
            await self.save(Items(("apple",)))
            return self.state

    class SmallCart(Cart):
        pass

    async with ActorSystem(store=store) as system:
        assert await system.ref(SmallCart, "a").ask(Look()) == Items(("apple",))


async def test_an_actor_may_save_before_its_first_message_and_as_its_last_deed(store: FaultyBackend) -> None:
    """The hooks have the recovered state, also when the system closes."""

    class Opening(PureBoard):
        async def started(self, context: Any) -> None:
            if not self.exists:
                await self.save((100,))

        async def stopping(self, context: Any) -> None:
            await self.save((*self.state, -1))

    async with ActorSystem(store=store) as system:
        before = await system.ref(Opening, "a").ask(Look())

    assert (before, await stored(store)) == ((1, [100], True), [(2, [100, -1])])


async def test_actors_that_save_at_once_share_commits(store: FaultyBackend) -> None:
    """Sixty-four actors asked together take a few commits, not sixty-four."""
    async with ActorSystem(store=store) as system:
        refs = [system.ref(PureBoard, str(n)) for n in range(64)]
        await asyncio.gather(*(ref.ask(Look()) for ref in refs))

        await asyncio.gather(*(ref.ask(Save((1,))) for ref in refs))

        assert store.calls["commit"] <= 3


async def test_the_feed_has_the_newest_revision_of_each(store: FaultyBackend) -> None:
    """The backend's feed is a resumable stream of all changes, deletes among them."""
    async with ActorSystem(store=store) as system:
        for key in ("a", "b"):
            for n in range(3):
                await system.ref(PureBoard, key).ask(Save((n,)))
        first = await store.feed(DURABLE)
        await system.ref(PureBoard, "a").ask(Erase())

        rest = await store.feed(DURABLE, first.offset)

    assert [(record.prefix, record.key) for record in first.records] == [("Board/a", 3), ("Board/b", 3)]
    assert [(record.prefix, record.key) for record in rest.records] == [("Board/a", 4)]


async def test_a_state_codec_alone_is_not_misled_by_a_tombstone() -> None:
    """A tombstone is no state to whoever does not know of tombstones."""
    tombstone = RevisionCodec("Board", list[int]).tombstone(2, 0)

    with pytest.raises(RecordError, match="does not decode"):
        StateCodec("Board", list[int]).decode(tombstone)


@pytest.mark.parametrize(
    "error",
    [
        ConflictError("Board/a", 1, 2, "revision"),
        StaleRevision("Board/a", 1, 2),
        CorruptionError("a", 1, "b", "revision"),
    ],
)
def test_errors_can_be_pickled(error: Exception) -> None:
    """They cross processes with all that they say."""
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


async def test_an_idle_actor_is_no_larger_than_a_persistent_one(store: FaultyBackend) -> None:
    """A live one that waits takes less than 3 KiB, and about what one with events takes."""
    async with ActorSystem(store=store) as system:
        tape = await size_of_each(lambda n: system.ref(PureTape, str(n)).ask(Read()))
        board = await size_of_each(lambda n: system.ref(PureBoard, str(n)).ask(Look()))

    assert board < 3 * 1024
    assert board < tape * 1.1


async def size_of_each(wake: Any) -> float:
    """Return the bytes that each of some actors takes."""
    await wake("first")
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for n in range(300):
        await wake(n)
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return (after - before) / 300
