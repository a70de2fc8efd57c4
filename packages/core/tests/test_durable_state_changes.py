"""Subscriptions to a durable state: what it is now, and whatever it becomes."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from perdure import ActorSystem, Changed
from perdure.actors import Subscription
from perdure.errors import ActorStopped, ConflictError, CorruptionError, OutcomeUnknown, StoreUnavailable
from perdure_testkit import FaultyBackend

from .boards import Erase, Look, MutatingBoard, PureBoard, Save, put, put_record
from .turning import rest, soon, turns


async def read(changes: Subscription[Any]) -> Any:
    """Return the next change."""
    return await asyncio.wait_for(anext(changes), 5)


async def test_the_present_state_comes_first_and_then_what_follows(store: FaultyBackend) -> None:
    """Each save that the reader keeps up with is seen once."""
    async with ActorSystem(store=store) as system:
        ref = system.ref(PureBoard, "a")
        await ref.ask(Save((1,)))
        await ref.ask(Save((2,)))
        changes = ref.subscribe(after=0)

        seen = [await read(changes)]
        for n in (3, 4):
            await ref.ask(Save((n,)))
            seen.append(await read(changes))

    assert seen == [Changed(2, (2,)), Changed(3, (3,)), Changed(4, (4,))]


async def test_a_revision_that_was_seen_does_not_come_again(store: FaultyBackend) -> None:
    """Who has seen the present one waits for the next."""
    async with ActorSystem(store=store) as system:
        ref = system.ref(PureBoard, "a")
        await ref.ask(Save((1,)))
        waiting = soon(anext(ref.subscribe(after=1)))
        await turns()
        done = waiting.done()
        await ref.ask(Save((2,)))

        assert (done, await waiting) == (False, Changed(2, (2,)))


async def test_it_may_begin_beyond_the_end(store: FaultyBackend) -> None:
    """Revisions at or below the number are skipped also when they come later."""
    async with ActorSystem(store=store) as system:
        ref = system.ref(PureBoard, "a")
        changes = ref.subscribe(after=2)
        waiting = soon(anext(changes))
        for n in (1, 2, 3):
            await ref.ask(Save((n,)))
            await turns()

        assert await waiting == Changed(3, (3,))


async def test_before_the_first_save_nothing_comes(store: FaultyBackend) -> None:
    """The initial state is no revision."""
    async with ActorSystem(store=store) as system:
        ref = system.ref(PureBoard, "a")
        await ref.ask(Look())
        waiting = soon(anext(ref.subscribe(after=0)))
        await turns()
        done = waiting.done()
        await ref.ask(Save((1,)))

        assert (done, await waiting) == (False, Changed(1, (1,)))


async def test_a_delete_is_a_change(store: FaultyBackend) -> None:
    """It is said by `deleted`, whether it is found in the store or heard of."""
    async with ActorSystem(store=store) as system:
        ref = system.ref(PureBoard, "a")
        changes = ref.subscribe(after=0)
        await ref.ask(Save((1,)))
        await read(changes)
        await ref.ask(Erase())

        heard, found = await read(changes), await read(ref.subscribe(after=0))

    assert heard == found == Changed(2, None, deleted=True)


async def test_a_slow_reader_sees_fewer_and_the_newest(store: FaultyBackend) -> None:
    """Only the newest is kept for it, whatever capacity it asked for."""
    async with ActorSystem(store=store) as system:
        ref = system.ref(PureBoard, "a")
        await ref.ask(Save((0,)))
        changes = ref.subscribe(after=0, capacity=10)
        first = await read(changes)
        for n in range(1, 100):
            await ref.ask(Save((n,)))

        last = await read(changes)

    assert (first, last, changes.dropped) == (Changed(1, (0,)), Changed(100, (99,)), 98)


async def test_what_a_reader_hears_is_not_read_from_the_store(store: FaultyBackend) -> None:
    """Nor after revisions that it has missed: a slow reader is no burden to the store."""
    async with ActorSystem(store=store) as system:
        ref = system.ref(PureBoard, "a")
        await ref.ask(Save((0,)))
        changes = ref.subscribe(after=0)
        await read(changes)
        pages = store.calls["page"]
        for n in range(1, 10):
            await ref.ask(Save((n,)))

        last = await read(changes)

    assert (last, store.calls["page"]) == (Changed(10, (9,)), pages)


async def test_no_older_state_ever_comes_after_a_newer(store: FaultyBackend) -> None:
    """A reader that begins at any moment beside a busy writer sees revisions ascend to the last one."""
    async with ActorSystem(store=store) as system:
        ref = system.ref(PureBoard, "a")

        async def watch(begin: int) -> list[Any]:
            await turns(begin)
            return await rest(ref.subscribe(after=0))

        watching = [soon(watch(begin)) for begin in range(30)]
        for n in range(1, 40):
            await ref.ask(Save((n,)))
        await turns(60)

    for changes in await asyncio.gather(*watching):
        revisions = [change.revision for change in changes]
        assert all(earlier < later for earlier, later in pairwise(revisions))
        assert changes[-1] == Changed(39, (39,))
        assert all(change.state == (change.revision,) for change in changes)


async def test_only_durable_states_come(store: FaultyBackend) -> None:
    """A state that could not be stored is never seen."""
    async with ActorSystem(store=store) as system:
        ref = system.ref(PureBoard, "a")
        changes = ref.subscribe(after=0)
        store.reject("commit", OSError("down"))
        with pytest.raises(OutcomeUnknown, match="down"):
            await ref.ask(Save((1,)))
        await ref.ask(Save((2,)))

        assert await read(changes) == Changed(1, (2,))


async def test_a_reader_holds_no_object_of_the_actor(store: FaultyBackend) -> None:
    """Whoever changes what it was given changes nobody's state."""
    async with ActorSystem(store=store) as system:
        ref = system.ref(MutatingBoard, "a")
        changes = ref.subscribe(after=0)
        waiting = soon(anext(changes))
        await turns()
        await ref.ask(Save((1,)))
        (await waiting).state.append(2)

        assert await ref.ask(Look()) == (1, [1], True)


async def test_a_state_whose_writer_gave_up_comes_too(store: FaultyBackend) -> None:
    """What became durable though its save failed needs no further save to be seen."""
    async with ActorSystem(store=store) as system:
        ref = system.ref(PureBoard, "a")
        await ref.ask(Save((1,)))
        waiting = soon(anext(ref.subscribe(after=1)))
        store.lose("commit")
        with pytest.raises(OutcomeUnknown):
            await ref.ask(Save((2,)))

        assert await asyncio.wait_for(waiting, 5) == Changed(2, (2,))


async def test_a_state_whose_actor_was_cancelled_comes_too(store: FaultyBackend) -> None:
    """The commit goes on without its actor, and whoever watches sees it."""
    async with ActorSystem(store=store) as system:
        ref = system.ref(PureBoard, "a")
        await ref.ask(Save((1,)))
        waiting = soon(anext(ref.subscribe(after=1)))
        await turns()
        released = store.hold("commit")
        ask = soon(ref.ask(Save((2,))))
        await turns()
        for runner in list(system.dispatcher._runners):
            runner.task.cancel()
        with pytest.raises(ActorStopped):
            await ask
        released.set()

        assert await asyncio.wait_for(waiting, 5) == Changed(2, (2,))


async def test_what_another_process_saved_comes_when_it_is_met(store: FaultyBackend) -> None:
    """A conflict says that there is something to see."""
    async with ActorSystem(store=store) as system:
        ref = system.ref(PureBoard, "a")
        await ref.ask(Save((1,)))
        waiting = soon(anext(ref.subscribe(after=1)))
        await turns()
        await put(store, 2, 22)
        with pytest.raises(ConflictError):
            await ref.ask(Save((3,)))

        assert await asyncio.wait_for(waiting, 5) == Changed(2, (22,))


async def test_it_goes_on_over_a_stop_of_the_actor_and_ends_with_the_system(store: FaultyBackend) -> None:
    """The last state is seen before the end."""
    async with ActorSystem(store=store) as system:
        ref = system.ref(PureBoard, "a")
        changes = ref.subscribe(after=0)
        await ref.ask(Save((1,)))
        first = await read(changes)
        await ref.stop()
        await ref.ask(Save((2,)))
        await ref.ask(Save((3,)))

    assert [first, *await rest(changes)] == [Changed(1, (1,)), Changed(3, (3,))]


async def test_what_is_saved_at_the_very_end_is_seen(store: FaultyBackend) -> None:
    """Also by who has not begun to read before the system closed its actors."""

    class Closing(PureBoard):
        async def stopping(self, context: Any) -> None:
            await self.save((-1,))

    taken: list[Any] = []

    async def take(change: Any) -> None:
        taken.append(change)

    async with ActorSystem(store=store) as system:
        ref = system.ref(Closing, "a")
        system.sink("list", ref.subscribe(after=0), take)
        await ref.ask(Save((1,)))

    assert taken[-1] == Changed(2, (-1,))


async def test_a_spawned_actor_has_its_own_state_followed(store: FaultyBackend) -> None:
    """The state is that of the actor's persistence id."""
    async with ActorSystem(store=store) as system:
        ref = await system.spawn(PureBoard, "a", persistence_id="mine")
        await ref.ask(Save((1,)))

        assert await read(ref.subscribe(after=0)) == Changed(1, (1,))


async def test_a_damaged_state_is_named(store: FaultyBackend) -> None:
    """Nothing is skipped silently, and a follower that failed is kept no more."""
    async with ActorSystem(store=store) as system:
        await put_record(store, 3, b"rubbish")

        with pytest.raises(CorruptionError, match="Board/a, revision 3"):
            await read(system.ref(PureBoard, "a").subscribe(after=0))

        assert not system._stores.watchers  # type: ignore[union-attr]


async def test_a_store_that_cannot_be_read_says_so(store: FaultyBackend) -> None:
    """It is not taken for one that holds nothing."""
    async with ActorSystem(store=store) as system:
        store.reject("page", StoreUnavailable("page", "down"))

        with pytest.raises(StoreUnavailable):
            await read(system.ref(PureBoard, "a").subscribe(after=0))


@pytest.mark.parametrize(("after", "capacity"), [(-1, 1), (0, 0)])
async def test_bad_arguments_are_refused(store: FaultyBackend, after: int, capacity: int) -> None:
    """Revisions begin at 1, and 0 is before all; a buffer has room for one at least."""
    async with ActorSystem(store=store) as system:
        with pytest.raises(ValueError, match=r"not -1|not 0"):
            system.ref(PureBoard, "a").subscribe(after=after, capacity=capacity)


async def test_nobody_is_kept_when_watchers_are_gone(store: FaultyBackend) -> None:
    """A save of which nobody wants to know tells nobody."""
    async with ActorSystem(store=store) as system:
        ref = system.ref(PureBoard, "a")
        async with ref.subscribe(after=0):
            await ref.ask(Save((1,)))

        assert not system._stores.watchers  # type: ignore[union-attr]
