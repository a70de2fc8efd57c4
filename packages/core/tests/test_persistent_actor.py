from __future__ import annotations

import asyncio
import gc
import logging
import tracemalloc
from typing import Any

import pytest

from perdure import Actor, ActorSystem, Event, Message, PersistentActor, Rejected, Restart, actors
from perdure.errors import (
    ApplyError,
    ConflictError,
    EventTypeError,
    NameTaken,
    OutcomeUnknown,
    PerdureError,
    PersistInProgress,
    StateUnknown,
    StoreClosed,
    StoreUnavailable,
)
from perdure_testkit import FaultyBackend

from .tapes import Break, MutatingTape, Number, PureTape, Read, Write, Written, append, keys, light, values

TAPES = [PureTape, MutatingTape, light(PureTape), light(MutatingTape)]
DOWN = StoreUnavailable("commit", "down")


class Try(Message[str]):
    """Persist, and reply what happened and what state can be seen then."""

    values: tuple[int, ...]


class _Trying:
    async def handle(self: Any, message: Message[Any], context: Any) -> Any:
        if not isinstance(message, Try):
            return await super().handle(message, context)  # type: ignore[misc]
        try:
            await self.persist(*map(Written, message.values))
        except PerdureError as error:
            return f"{type(error).__name__} {seen(self)}"
        return f"ok {seen(self)}"


class TryingTape(_Trying, PureTape):
    pass


class TryingMutatingTape(_Trying, MutatingTape):
    pass


def seen(tape: PersistentActor[Any, Any]) -> str:
    try:
        return str(list(tape.state))
    except StateUnknown:
        return "unknown"


@pytest.mark.parametrize("tape", TAPES)
class TestPersist:
    async def test_shows_the_new_state_when_it_returns(self, tape: Any, store: FaultyBackend) -> None:
        """The state changes with a persist, and its reply is the new sequence number (AVE-107, AVE-02, ATS-35)."""
        async with ActorSystem(store=store) as system:
            ref = system.ref(tape, "a")

            number = await ref.ask(Write((10,)))

            assert (number, await ref.ask(Read())) == (1, [10])

    async def test_has_stored_the_events_when_it_returns(self, tape: Any, store: FaultyBackend) -> None:
        """What was acknowledged is in the log (AVE-108, ATS-01, ATS-37)."""
        async with ActorSystem(store=store) as system:
            await system.ref(tape, "a").ask(Write((1, 2, 3, 4, 5)))

            assert (await keys(store), await values(store)) == ([1, 2, 3, 4, 5], [1, 2, 3, 4, 5])

    async def test_of_several_events_is_one_group(self, tape: Any, store: FaultyBackend) -> None:
        """Events persisted together are stored together or not at all (ATS-37)."""
        async with ActorSystem(store=store) as system:
            ref = system.ref(tape, "a")
            store.reject("commit", DOWN)

            with pytest.raises(StoreUnavailable):
                await ref.ask(Write((1, 2, 3)))

            assert await values(store) == []

    async def test_of_no_event_writes_nothing(self, tape: Any, store: FaultyBackend) -> None:
        """Persisting nothing is allowed, and free (ATS-06, ATS-39)."""
        async with ActorSystem(store=store) as system:
            number = await system.ref(tape, "a").ask(Write(()))

        assert (number, store.calls["commit"]) == (0, 0)

    async def test_that_is_rejected_leaves_the_state_as_it_was(self, tape: Any, store: FaultyBackend) -> None:
        """After a write that failed the actor has the state and the number of its log.

        (AVE-42, AVE-102, W-18, ATS-41)
        """
        async with ActorSystem(store=store) as system:
            ref = system.ref(tape, "a")
            await ref.ask(Write((1,)))
            store.reject("commit", DOWN)

            with pytest.raises(StoreUnavailable, match="down"):
                await ref.ask(Write((2,)))

            assert (await ref.ask(Read()), await ref.ask(Number())) == ([1], 1)

    async def test_after_a_rejected_one_takes_the_same_number(self, tape: Any, store: FaultyBackend) -> None:
        """A failed write uses up no sequence number (AVE-42)."""
        async with ActorSystem(store=store) as system:
            ref = system.ref(tape, "a")
            store.reject("commit", DOWN)
            with pytest.raises(StoreUnavailable):
                await ref.ask(Write((1,)))

            number = await ref.ask(Write((2,)))

            assert (number, await keys(store), await ref.ask(Read())) == (1, [1], [2])

    async def test_whose_answer_is_lost_is_read_again(self, tape: Any, store: FaultyBackend) -> None:
        """Where the outcome is unknown the asker is told so, and the actor goes on from its log (W-21)."""
        async with ActorSystem(store=store) as system:
            ref = system.ref(tape, "a")
            store.lose("commit")

            with pytest.raises(OutcomeUnknown):
                await ref.ask(Write((1,)))

            assert (await ref.ask(Read()), await ref.ask(Write((2,)))) == ([1], 2)

    async def test_that_came_second_is_a_conflict(self, tape: Any, store: FaultyBackend) -> None:
        """A stale writer gets expected and actual, reads the log again, and goes on (W-22, ATS-04, ATS-47)."""
        async with ActorSystem(store=store) as system:
            ref = system.ref(tape, "a")
            await ref.ask(Write((1,)))
            await append(store, 2, 3, after=1)

            with pytest.raises(ConflictError) as conflict:
                await ref.ask(Write((4,)))

            assert (conflict.value.persistence_id, conflict.value.expected, conflict.value.actual) == ("Tape/a", 1, 3)
            assert (await ref.ask(Read()), await ref.ask(Write((4,)))) == ([1, 2, 3], 4)

    async def test_before_a_failure_of_the_handler_stays(self, tape: Any, store: FaultyBackend) -> None:
        """What is durable stays so, whatever the handler does next (W-12, ATS-44)."""
        async with ActorSystem(store=store) as system:
            ref = system.ref(tape, "a")

            with pytest.raises(ValueError, match="broken"):
                await ref.ask(Break((1, 2)))

            assert await ref.ask(Read()) == [1, 2]

    async def test_with_a_lost_answer_applies_nothing_twice(self, tape: Any, store: FaultyBackend) -> None:
        """However often answers are lost, each event counts once (W-19)."""
        async with ActorSystem(store=store) as system:
            ref = system.ref(tape, "a")
            store.lose("commit", when=lambda *_: True)
            for value in range(5):
                with pytest.raises(OutcomeUnknown):
                    await ref.ask(Write((value,)))

            state = await ref.ask(Read())

            assert state == await values(store) == [0, 1, 2, 3, 4]


async def test_a_reply_leaves_after_the_write_is_durable(store: FaultyBackend) -> None:
    """An ask is answered only when its events are stored (W-21)."""
    async with ActorSystem(store=store) as system:
        ref = system.ref(PureTape, "a")
        await ref.ask(Read())
        written = store.hold("commit")
        ask = asyncio.ensure_future(ref.ask(Write((1,))))

        await turns(50)

        assert (ask.done(), await values(store)) == (False, [])
        written.set()
        assert await ask == 1


async def test_the_state_is_the_old_one_while_a_persist_is_under_way(store: FaultyBackend) -> None:
    """The state changes when the write is durable, not before."""
    states = []

    class Peeking(PureTape):
        async def handle(self, message: Message[Any], context: Any) -> Any:
            persist = asyncio.ensure_future(self.persist(Written(1)))
            await turns(20)
            states.append(self.state)
            written.set()
            await persist
            return self.sequence_number

    async with ActorSystem(store=store) as system:
        written = store.hold("commit")
        await system.ref(Peeking, "a").ask(Number())

    assert states == [()]


async def test_an_event_that_apply_refuses_is_never_stored(store: FaultyBackend) -> None:
    """Apply runs before the write: what it raises goes to the asker, and the log stays as it was (ATS-45)."""

    class Proud(PureTape):
        def apply(self, state: tuple[int, ...], event: Written) -> tuple[int, ...]:
            if event.value < 0:
                raise ValueError("no debts")
            return super().apply(state, event)

    async with ActorSystem(store=store) as system:
        ref = system.ref(Proud, "a")

        with pytest.raises(ValueError, match="no debts"):
            await ref.ask(Write((1, -1)))

        assert (await values(store), await ref.ask(Read())) == ([], [])


async def test_a_state_half_changed_by_a_refused_batch_is_read_again(store: FaultyBackend) -> None:
    """Where apply changed the state in place before it raised, the log decides."""

    class Proud(MutatingTape):
        def apply(self, state: list[int], event: Written) -> None:
            state.append(event.value)
            if event.value < 0:
                raise ValueError("no debts")

    async with ActorSystem(store=store) as system:
        ref = system.ref(Proud, "a")
        await ref.ask(Write((7,)))

        with pytest.raises(ValueError, match="no debts"):
            await ref.ask(Write((1, -1)))

        assert await ref.ask(Read()) == [7]


async def test_an_apply_without_a_case_is_an_error_for_an_immutable_state(store: FaultyBackend) -> None:
    """None from apply cannot mean `changed in place` where nothing can be changed."""

    class Forgetful(PureTape):
        def apply(self, state: tuple[int, ...], event: Written) -> Any:
            return None

    async with ActorSystem(store=store) as system:
        with pytest.raises(ApplyError, match=r"Tape/a: apply returned None for Written.*immutable tuple"):
            await system.ref(Forgetful, "a").ask(Write((1,)))

    assert await values(store) == []


@pytest.mark.parametrize("error", [DOWN, OutcomeUnknown("commit", "lost")])
async def test_a_pure_state_can_still_be_seen_after_a_failure(store: FaultyBackend, error: Exception) -> None:
    """A handler that catches the error of a persist finds the state unchanged (ATS-42)."""
    async with ActorSystem(store=store) as system:
        ref = system.ref(TryingTape, "a")
        await ref.ask(Write((1,)))
        store.reject("commit", error)

        reply = await ref.ask(Try((2,)))

        assert reply == f"{type(error).__name__} [1]"


async def test_a_state_changed_in_place_is_not_shown_after_a_failure(store: FaultyBackend) -> None:
    """Nobody sees the effect of an event that may not be stored."""
    async with ActorSystem(store=store) as system:
        ref = system.ref(TryingMutatingTape, "a")
        store.reject("commit", DOWN)

        reply = await ref.ask(Try((2,)))

        assert (reply, await ref.ask(Read())) == ("StoreUnavailable unknown", [])


async def test_a_state_changed_in_place_by_the_first_of_two_events_is_not_shown(store: FaultyBackend) -> None:
    """It does not help that the second event was applied without changing anything in place."""

    class Mixed(TryingMutatingTape):
        def apply(self, state: list[int], event: Written) -> Any:
            if event.value % 2:
                state.append(event.value)
                return None
            return [*state, event.value]

    async with ActorSystem(store=store) as system:
        ref = system.ref(Mixed, "a")
        store.reject("commit", DOWN)

        reply = await ref.ask(Try((1, 2)))

        assert reply == "StoreUnavailable unknown"


async def test_an_event_that_changes_nothing_leaves_the_state_visible_after_a_failure(store: FaultyBackend) -> None:
    """An immutable state is never in doubt, even if apply returned the very same object."""

    class Indifferent(TryingTape):
        def apply(self, state: tuple[int, ...], event: Written) -> tuple[int, ...]:
            return state

    async with ActorSystem(store=store) as system:
        ref = system.ref(Indifferent, "a")
        store.reject("commit", DOWN)

        reply = await ref.ask(Try((1,)))

        assert reply == "StoreUnavailable []"


async def test_a_second_persist_in_a_doubtful_handler_is_refused(store: FaultyBackend) -> None:
    """After a failed persist nothing more is stored on top of a state that may be wrong."""
    errors = []

    class Stubborn(PureTape):
        async def handle(self, message: Message[Any], context: Any) -> Any:
            for value in (1, 2):
                try:
                    await self.persist(Written(value))
                except PerdureError as error:
                    errors.append(type(error))
            return 0

    async with ActorSystem(store=store) as system:
        store.lose("commit")
        await system.ref(Stubborn, "a").ask(Number())

    assert (errors, await values(store)) == ([OutcomeUnknown, StateUnknown], [1])


async def test_two_persists_at_once_are_refused(store: FaultyBackend) -> None:
    """The second of two persists of one actor says so, and the first is stored."""

    class Hasty(PureTape):
        async def handle(self, message: Message[Any], context: Any) -> Any:
            if not isinstance(message, Write):
                return await super().handle(message, context)
            first, second = await asyncio.gather(
                self.persist(Written(1)), self.persist(Written(2)), return_exceptions=True
            )
            assert first is None
            raise second  # type: ignore[misc]

    async with ActorSystem(store=store) as system:
        ref = system.ref(Hasty, "a")

        with pytest.raises(PersistInProgress, match="Tape/a is persisting already"):
            await ref.ask(Write(()))

        assert await ref.ask(Read()) == [1]


async def test_an_instance_never_begins_while_the_last_one_still_writes(store: FaultyBackend) -> None:
    """A persist that a failed handler left behind is settled before the log is read again (W-21, ATS-50)."""
    left_behind = []

    class Careless(PureTape):
        async def handle(self, message: Message[Any], context: Any) -> Any:
            if not isinstance(message, Break):
                return await super().handle(message, context)
            left_behind.append(asyncio.ensure_future(self.persist(Written(1))))
            await turns(3)
            raise ValueError("broken")

    async with ActorSystem(store=store) as system:
        ref = system.ref(Careless, "a")
        await ref.ask(Read())
        written = store.hold("commit")
        with pytest.raises(ValueError, match="broken"):
            await ref.ask(Break())
        read = asyncio.ensure_future(ref.ask(Read()))
        await turns(20)
        written.set()

        state = await read

        assert state == await values(store) == [1]


async def test_an_undeclared_event_is_refused_by_name(store: FaultyBackend) -> None:
    """The error names the actor type, the event and what is declared."""

    class Erased(Event):
        pass

    class Eraser(PureTape):
        async def handle(self, message: Message[Any], context: Any) -> Any:
            await self.persist(Erased())  # type: ignore[arg-type]

    async with ActorSystem(store=store) as system:
        with pytest.raises(EventTypeError, match="Tape does not declare Erased; it declares Written"):
            await system.ref(Eraser, "a").ask(Number())

    assert await keys(store) == []


async def test_rejected_reaches_the_asker_alone(store: FaultyBackend) -> None:
    """A refusal restarts nothing and reads nothing."""

    class Choosy(PureTape):
        async def handle(self, message: Message[Any], context: Any) -> Any:
            if message == Write((0,)):
                raise Rejected("not that")
            return await super().handle(message, context)

    async with ActorSystem(store=store) as system:
        ref = system.ref(Choosy, "a")
        await ref.ask(Write((1,)))
        pages = store.calls["page"]

        with pytest.raises(Rejected, match="not that"):
            await ref.ask(Write((0,)))

        assert (await ref.ask(Read()), store.calls["page"]) == ([1], pages)


async def test_two_actors_never_share_an_initial_state(store: FaultyBackend) -> None:
    """Each actor begins with a copy, so a state changed in place is its own (AVE-100)."""
    async with ActorSystem(store=store) as system:
        await system.ref(MutatingTape, "a").ask(Write((1,)))

        other = await system.ref(MutatingTape, "b").ask(Read())

        assert (other, MutatingTape.initial_state) == ([], [])


async def test_a_spawned_actor_has_its_path_for_a_persistence_id(store: FaultyBackend) -> None:
    """The default id is the full path, never its last part (W-22)."""
    async with ActorSystem(store=store) as system:
        ref = await system.spawn(PureTape, "a")
        await ref.ask(Write((1,)))

        assert (ref.path, await values(store, "/user/a"), await keys(store)) == ("/user/a", [1], [])


async def test_an_explicit_persistence_id_names_the_log_whatever_the_actor_is_called(store: FaultyBackend) -> None:
    """The second actor under another name recovers the first one's state (AVE-12)."""
    async with ActorSystem(store=store) as system:
        first = await system.spawn(PureTape, "first", persistence_id="shared")
        await first.ask(Write((99,)))
        await first.stop()

        second = await system.spawn(PureTape, "second", persistence_id="shared")

        assert await second.ask(Read()) == [99]


class Mute(Actor):
    async def handle(self, message: Message[Any], context: Any) -> Any:
        return None


async def test_plain_and_persistent_actors_live_in_one_system(store: FaultyBackend) -> None:
    """Both are made from their types, at the top or from inside a handler (AVE-118, AVE-119, AVE-120)."""

    class Parent(Actor):
        async def handle(self, message: Message[Any], context: Any) -> Any:
            plain = await context.system.spawn(Mute, "plain")
            tape = await context.system.spawn(PureTape, "tape")
            return [plain.path, tape.path]

    async with ActorSystem(store=store) as system:
        paths = await (await system.spawn(Parent, "parent")).ask(Read())

    assert [*map(str, paths)] == ["/user/plain", "/user/tape"]


async def test_an_instance_cannot_be_spawned(store: FaultyBackend) -> None:
    """The system makes the instances: a ready-made one is refused, and the name stays free (AVE-121)."""
    async with ActorSystem(store=store) as system:
        with pytest.raises(TypeError):
            await system.spawn(PureTape(), "a")  # type: ignore[arg-type]

        assert (await (await system.spawn(PureTape, "a")).ask(Read())) == []


async def test_a_persistent_actor_needs_a_system_with_a_store() -> None:
    """In the system of the plain actor model the error names the actor (AVE-104)."""
    async with actors.ActorSystem() as system:
        with pytest.raises(PerdureError, match="/user/a is a persistent actor: its system needs a store"):
            await system.spawn(PureTape, "a")


async def test_an_instance_outside_a_system_has_no_durable_state() -> None:
    """Nothing can be persisted before the system starts the actor, and its state is not touched (AVE-104)."""
    with pytest.raises(PerdureError, match="no durable state before its system starts it"):
        PureTape().persist(Written(1))


async def test_actors_that_write_at_once_share_commits(store: FaultyBackend) -> None:
    """Sixty-four actors asked together take a few commits, not sixty-four (W-34)."""
    async with ActorSystem(store=store) as system:
        refs = [system.ref(PureTape, str(n)) for n in range(64)]
        await asyncio.gather(*(ref.ask(Read()) for ref in refs))

        await asyncio.gather(*(ref.ask(Write((1,))) for ref in refs))

        assert store.calls["commit"] <= 3


async def test_a_lone_event_takes_one_commit_with_full_and_with_light(store: FaultyBackend) -> None:
    """An event, and with `Light` its state and the compaction too, are one group of one commit (W-34, W-20)."""
    async with ActorSystem(store=store) as system:
        await system.ref(PureTape, "a").ask(Write((1,)))
    async with ActorSystem(store=store) as system:
        await system.ref(light(PureTape, compact=True), "b").ask(Write((1,)))

    assert store.calls["commit"] == 2


async def test_idle_actors_have_no_task(store: FaultyBackend) -> None:
    """Live actors that were asked, however many, leave no tasks but the few that all share (W-37, W-40)."""
    async with ActorSystem(store=store) as system:
        before = asyncio.all_tasks()
        await asyncio.gather(*(system.ref(PureTape, str(n)).ask(Write((1,))) for n in range(2_000)))
        await turns(50)

        assert (system.live, len(asyncio.all_tasks() - before) <= 512) == (2_000, True)


async def test_an_actors_store_is_no_actor(store: FaultyBackend) -> None:
    """Nobody can reach what an actor stands on: one actor, one path (W-30)."""
    async with ActorSystem(store=store) as system:
        await (await system.spawn(PureTape, "a")).ask(Write((1,)))

        assert system.live == 1


async def test_the_log_shows_no_values(store: FaultyBackend, caplog: pytest.LogCaptureFixture) -> None:
    """What is persisted never appears in log messages, whatever their level (W-26)."""
    caplog.set_level(logging.DEBUG)
    async with ActorSystem(store=store) as system:
        ref = system.ref(PureTape, "a")
        await ref.ask(Write((4711,)))
        store.reject("commit", DOWN)
        with pytest.raises(StoreUnavailable):
            await ref.ask(Write((4711,)))

    assert "4711" not in caplog.text


async def test_a_persistent_actor_that_fails_too_often_comes_back_with_its_state(store: FaultyBackend) -> None:
    """Supervision may stop an actor; its log brings it back with the next message (W-24)."""

    class Brittle(PureTape):
        supervision = Restart(max=0)

    async with ActorSystem(store=store) as system:
        ref = system.ref(Brittle, "a")
        with pytest.raises(ValueError, match="broken"):
            await ref.ask(Break((1,)))

        assert await ref.ask(Read()) == [1]


async def turns(count: int) -> None:
    """Let the event loop turn."""
    for _ in range(count):
        await asyncio.sleep(0)


class TestPersistenceIds:
    """One live instance of a persistence id in a system."""

    async def test_that_are_given_twice_are_refused(self, store: FaultyBackend) -> None:
        """Two actors would write one log."""
        async with ActorSystem(store=store) as system:
            await system.spawn(PureTape, "first", persistence_id="shared")

            with pytest.raises(NameTaken, match="shared"):
                await system.spawn(PureTape, "second", persistence_id="shared")

    async def test_of_a_live_ref_cannot_be_given_away(self, store: FaultyBackend) -> None:
        """The default id counts as much as an explicit one."""
        async with ActorSystem(store=store) as system:
            await system.ref(PureTape, "a").ask(Read())

            with pytest.raises(NameTaken, match="Tape/a"):
                await system.spawn(PureTape, "x", persistence_id="Tape/a")

    async def test_that_are_given_away_are_not_taken_by_a_ref(self, store: FaultyBackend) -> None:
        """The message is refused, by name; when the other has stopped, the ref is as good as any."""
        async with ActorSystem(store=store) as system:
            other = await system.spawn(PureTape, "x", persistence_id="Tape/a")
            ref = system.ref(PureTape, "a")
            with pytest.raises(NameTaken, match="Tape/a"):
                await ref.ask(Read())
            await other.stop()

            assert await ref.ask(Read()) == []

    async def test_are_free_again_when_a_spawn_fails(self, store: FaultyBackend) -> None:
        """Whatever made it fail: the start, or a name that is taken."""
        async with ActorSystem(store=store) as system:
            await system.spawn(PureTape, "taken")
            with pytest.raises(NameTaken, match="/user/taken"):
                await system.spawn(PureTape, "taken", persistence_id="mine")
            store.reject("page", DOWN)
            with pytest.raises(StoreUnavailable):
                await system.spawn(PureTape, "failing", persistence_id="mine")

            ref = await system.spawn(PureTape, "x", persistence_id="mine")

            assert await ref.ask(Read()) == []

    async def test_are_taken_only_by_actors_that_have_them(self, store: FaultyBackend) -> None:
        """`user/a` is another id than `/user/a`, the path of a spawned actor."""
        async with ActorSystem(store=store) as system:
            await system.spawn(PureTape, "a")

            ref = await system.spawn(PureTape, "b", persistence_id="user/a")

            assert await ref.ask(Read()) == []


async def test_an_idle_actor_is_small(store: FaultyBackend) -> None:
    """A live persistent actor that waits takes less than 3 KiB (W-40)."""
    async with ActorSystem(store=store) as system:
        await system.ref(PureTape, "first").ask(Read())
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for n in range(300):
            await system.ref(PureTape, str(n)).ask(Read())
        gc.collect()
        after = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()

        assert (after - before) / 300 < 3 * 1024


async def test_an_actor_may_persist_before_its_first_message(store: FaultyBackend) -> None:
    """The start hook has the recovered state and may add to it (ATS-51, ATS-52)."""

    class Opening(PureTape):
        async def started(self, context: Any) -> None:
            if not self.state:
                await self.persist(Written(100))

    async with ActorSystem(store=store) as system:
        ref = system.ref(Opening, "a")
        await ref.ask(Write((1,)))
        await ref.stop()

        assert await ref.ask(Read()) == [100, 1]


async def test_an_actor_may_persist_as_its_last_deed(store: FaultyBackend) -> None:
    """The stop hook has the state and may add to it, also when the system closes."""

    class Closing(PureTape):
        async def stopping(self, context: Any) -> None:
            await self.persist(Written(-1))

    async with ActorSystem(store=store) as system:
        await system.ref(Closing, "a").ask(Write((1,)))

    assert await values(store) == [1, -1]


class TestMessagesAndPersists:
    """One message at a time, and each handler sees what it has persisted."""

    async def test_that_come_during_a_persist_are_handled_after_it_in_order(self, store: FaultyBackend) -> None:
        """Each has a reply of its own, with the state after its own events (ATS-35, ATS-36)."""
        async with ActorSystem(store=store) as system:
            ref = system.ref(PureTape, "a")
            await ref.ask(Read())
            written = store.hold("commit")
            asks = [asyncio.ensure_future(ref.ask(message)) for message in (Write((1, 2)), Read(), Write((3,)), Read())]
            await turns(20)
            early = [ask.done() for ask in asks]
            written.set()

            assert (early, await asyncio.gather(*asks)) == ([False] * 4, [2, [1, 2], 3, [1, 2, 3]])

    async def test_of_one_handler_may_be_several(self, store: FaultyBackend) -> None:
        """The next begins with what the one before has made, and their order is that of the log (ATS-40)."""
        seen = []

        class Twice(PureTape):
            async def handle(self, message: Message[Any], context: Any) -> Any:
                await self.persist(Written(1))
                seen.append(self.state)
                await self.persist(Written(len(self.state) + 1))
                return self.sequence_number

        async with ActorSystem(store=store) as system:
            number = await system.ref(Twice, "a").ask(Number())

        assert (number, seen, await values(store)) == (2, [(1,)], [1, 2])

    async def test_that_wait_behind_a_failed_persist_are_handled(self, store: FaultyBackend) -> None:
        """The asker has the error at once, and those behind it meet the state of the log (ATS-41)."""
        async with ActorSystem(store=store) as system:
            ref = system.ref(PureTape, "a")
            await ref.ask(Write((1,)))
            store.reject("commit", DOWN)

            failed, state, number = await asyncio.gather(
                ref.ask(Write((2,))), ref.ask(Read()), ref.ask(Write((3,))), return_exceptions=True
            )

        assert (type(failed), state, number, await values(store)) == (StoreUnavailable, [1], 2, [1, 3])

    @pytest.mark.parametrize("tape", [TryingTape, TryingMutatingTape])
    async def test_after_a_failure_that_the_handler_has_caught_succeed(self, tape: Any, store: FaultyBackend) -> None:
        """The actor is the same instance, and goes on with the number that is due (ATS-42)."""
        async with ActorSystem(store=store) as system:
            events = system.events()
            ref = system.ref(tape, "a")
            await ref.ask(Try((1,)))
            store.reject("commit", DOWN)
            await ref.ask(Try((2,)))

            reply = await ref.ask(Try((3,)))

            assert (reply, await keys(store)) == ("ok [1, 3]", [1, 2])
        assert [event async for event in events if isinstance(event, actors.Restarted)] == []

    async def test_that_nobody_awaits_are_a_warning_and_write_nothing(self, store: FaultyBackend) -> None:
        """A forgotten `await` is Python's own warning; neither store nor state has the event (ATS-43)."""

        class Forgetful(PureTape):
            async def handle(self, message: Message[Any], context: Any) -> Any:
                if isinstance(message, Write):
                    self.persist(Written(1))
                return list(self.state)

        async with ActorSystem(store=store) as system:
            with pytest.warns(RuntimeWarning, match="persist' was never awaited"):
                state = await system.ref(Forgetful, "a").ask(Write(()))

            assert (state, await values(store)) == ([], [])

    async def test_that_fail_in_a_task_nobody_awaits_are_reported(self, store: FaultyBackend) -> None:
        """The loop tells of the error, and the next message meets the state of the log (ATS-43)."""
        reported: list[Any] = []

        class Careless(PureTape):
            async def handle(self, message: Message[Any], context: Any) -> Any:
                if not isinstance(message, Write):
                    return await super().handle(message, context)
                asyncio.ensure_future(self.persist(*map(Written, message.values)))  # noqa: RUF006
                return 0

        asyncio.get_running_loop().set_exception_handler(lambda _, told: reported.append(told["exception"]))
        async with ActorSystem(store=store) as system:
            ref = system.ref(Careless, "a")
            await ref.ask(Write((1,)))
            await turns(10)
            store.reject("commit", DOWN)
            await ref.ask(Write((2,)))
            await turns(10)
            gc.collect()

            assert (await ref.ask(Read()), [type(error) for error in reported]) == ([1], [StoreUnavailable])


async def test_an_event_is_stored_as_it_was_when_it_was_persisted(store: FaultyBackend) -> None:
    """Who changes what it holds while it is being written changes nothing in the log (ATS-24)."""

    class Filled(Event):
        things: list[int]

    class Basket(PersistentActor[tuple[int, ...], Filled]):
        initial_state = ()

        async def handle(self, message: Message[Any], context: Any) -> Any:
            if isinstance(message, Write):
                things = [1]
                persist = asyncio.ensure_future(self.persist(Filled(things)))
                await turns(1)
                things.append(2)
                await persist
            return list(self.state)

        def apply(self, state: tuple[int, ...], event: Filled) -> tuple[int, ...]:
            return (*state, *event.things)

    async with ActorSystem(store=store) as system:
        before = await system.ref(Basket, "a").ask(Write(()))

    async with ActorSystem(store=store) as system:
        assert await system.ref(Basket, "a").ask(Read()) == before == [1]


async def test_a_store_that_was_open_stays_open(store: FaultyBackend) -> None:
    """Who has opened it closes it (ATS-33)."""
    async with ActorSystem(store=store) as system:
        await system.ref(PureTape, "a").ask(Write((1,)))

    assert await values(store) == [1]


async def test_a_store_that_the_system_has_opened_is_closed_with_it() -> None:
    """Whoever kept it is told so (ATS-33)."""
    async with ActorSystem(store="memory://") as system:
        backend = system.backend

    with pytest.raises(StoreClosed):
        await keys(backend)
