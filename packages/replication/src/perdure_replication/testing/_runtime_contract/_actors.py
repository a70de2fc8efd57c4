"""The rules of actor runtimes about one actor: its messages, its mailbox, its end."""

from __future__ import annotations

import asyncio
import threading

from perdure.errors import ActorStopped, AskTimeout, MailboxFull, NameTaken
from perdure_replication.errors import (
    RuntimeClosed,
    WaitsForItself,
)
from perdure_replication.runtime import NewRuntime
from perdure_replication.testing._clerk import HOLD, REPORT, Clerk, in_thread, outcome, until
from perdure_replication.testing._clock import TestClock
from perdure_replication.testing._runtime_contract._material import Material


class Actors(Material):
    """One actor."""

    # One actor

    async def test_messages_are_handled_in_the_order_of_their_sends(self, new_runtime: NewRuntime) -> None:
        """Messages of one sender are handled in the order of their sends, each once, and so are asks (ADAPT-01)."""
        async with self._party(new_runtime) as (_, clerk, ref):
            for number in range(200):
                ref.send(number)

            assert await ref.ask(REPORT) == list(range(200))
            assert clerk.noted == list(range(200))

    async def test_an_ask_returns_the_reply(self, new_runtime: NewRuntime) -> None:
        """An ask returns what the handler returns, also when many ask at once."""
        async with self._party(new_runtime) as (_, _, ref):
            replies = await asyncio.gather(*(ref.ask(["echo", number]) for number in range(50)))

            assert replies == list(range(50))

    async def test_an_ask_raises_what_the_handler_raises(self, new_runtime: NewRuntime) -> None:
        """What a handler raises goes to the asker, and the actor goes on with the next message."""
        import pytest

        async with self._party(new_runtime) as (_, _, ref):
            with pytest.raises(ValueError, match="on purpose"):
                await ref.ask(["fail", "on purpose"])

            assert await ref.ask(["echo", 1]) == 1

    async def test_a_failing_handler_harms_nobody(self, new_runtime: NewRuntime) -> None:
        """After a message whose handler raises, the actor handles the next, and other actors handle theirs."""
        async with self._party(new_runtime) as (runtime, _, ref):
            other = await Clerk(runtime, self.patience).start("other")

            ref.send(["fail", "on purpose"])
            ref.send("next")

            assert await ref.ask(REPORT) == ["next"]
            assert await other.ask(["echo", 1]) == 1

    async def test_one_message_is_handled_at_a_time(self, new_runtime: NewRuntime) -> None:
        """While a message is in hand no other is begun, whoever sends it."""
        async with self._party(new_runtime) as (_, clerk, ref):
            ref.send(HOLD)
            await until(clerk.held.is_set, self.patience)

            ref.send("meanwhile")
            await in_thread(lambda: ref.send("from a thread"), self.patience)
            await self._some_turns()
            noted = list(clerk.noted)
            clerk.release()

            assert noted == []
            assert await ref.ask(REPORT) == ["meanwhile", "from a thread"]

    async def test_an_actor_handles_its_own_messages_alone(self, new_runtime: NewRuntime) -> None:
        """Each actor gets what was sent to it, and one that is held up holds up no other."""
        async with self._party(new_runtime) as (runtime, clerk, ref):
            other = await Clerk(runtime, self.patience).start("other")
            ref.send(HOLD)
            ref.send("to a")
            other.send("to other")

            assert await other.ask(REPORT) == ["to other"]
            clerk.release()
            assert await ref.ask(REPORT) == ["to a"]

    async def test_threads_may_send(self, new_runtime: NewRuntime) -> None:
        """A ref is used by threads as it is: all that they send is handled, in the order of each."""
        async with self._party(new_runtime) as (_, _, ref):

            def send(sender: str) -> None:
                for number in range(20):
                    ref.send([sender, number])

            await asyncio.gather(*(in_thread(lambda name=name: send(name), self.patience) for name in "xyz"))  # type: ignore[misc]

            noted = await ref.ask(REPORT)
            assert len(noted) == 60
            assert all([n for who, n in noted if who == sender] == list(range(20)) for sender in "xyz")

    async def test_threads_may_wait(self, new_runtime: NewRuntime) -> None:
        """A thread waits for an ask with `wait`, and the loop turns meanwhile."""
        async with self._party(new_runtime) as (runtime, clerk, ref):
            waiting = asyncio.ensure_future(in_thread(lambda: runtime.wait(ref.ask(HOLD)), self.patience))
            await until(clerk.held.is_set, self.patience)
            turns = await self._some_turns()
            clerk.release()

            assert (await waiting, turns) == (None, 100)

    async def test_the_loop_does_not_wait_for_itself(self, new_runtime: NewRuntime) -> None:
        """`wait` in the thread of the loop raises `WaitsForItself`."""
        import pytest

        async with self._party(new_runtime) as (runtime, _, ref):
            with pytest.raises(WaitsForItself):
                runtime.wait(ref.ask(REPORT))

    async def test_a_reply_that_does_not_come_is_waited_for_so_long(self, new_runtime: NewRuntime) -> None:
        """An ask raises `AskTimeout` after its time-out, and the actor is as before."""
        clock = TestClock()
        async with self._party(new_runtime, clock=clock) as (_, clerk, ref):
            asking = asyncio.ensure_future(outcome(ref.ask(HOLD, timeout=5.0)))
            await until(clerk.held.is_set, self.patience)

            await clock.advance(4.9)
            early = asking.done()
            await clock.advance(0.2)
            error = await asking
            clerk.release()

            assert (early, type(error)) == (False, AskTimeout)
            assert await ref.ask(["echo", 1]) == 1

    # Its end

    async def test_a_name_is_taken_once(self, new_runtime: NewRuntime) -> None:
        """A second actor of a name is refused with `NameTaken` until the first is over."""
        import pytest

        async with self._party(new_runtime) as (runtime, _, ref):
            with pytest.raises(NameTaken):
                await Clerk(runtime, self.patience).start("a")
            assert runtime.find("a") is ref

            await ref.stop()
            again = await Clerk(runtime, self.patience).start("a")

            assert runtime.find("a") is again
            assert await again.ask(["echo", 1]) == 1

    async def test_an_actor_that_is_over_takes_nothing(self, new_runtime: NewRuntime) -> None:
        """Sending to it, and asking it, raises `ActorStopped`; it is not live, and stopping it again is silent."""
        import pytest

        async with self._party(new_runtime) as (runtime, _, ref):
            await ref.stop()
            await ref.stop()

            with pytest.raises(ActorStopped):
                ref.send("late")
            with pytest.raises(ActorStopped):
                await ref.ask("late")
            assert (ref.is_live, runtime.find("a")) == (False, None)

    async def test_a_stop_finishes_the_message_in_hand_and_no_other(self, new_runtime: NewRuntime) -> None:
        """An actor ends after what it has in hand; asks that wait fail with `ActorStopped`."""
        async with self._party(new_runtime) as (_, clerk, ref):
            held = asyncio.ensure_future(ref.ask(HOLD))
            await until(clerk.held.is_set, self.patience)
            ref.send("never")
            waiting = asyncio.ensure_future(outcome(ref.ask(REPORT)))
            await self._some_turns()

            stopping = asyncio.ensure_future(ref.stop())
            await self._some_turns()
            early = stopping.done()
            clerk.release()
            await stopping

            assert (early, await held, clerk.noted) == (False, None, [])
            assert isinstance(await waiting, ActorStopped)

    async def test_a_closed_runtime_has_no_actors(self, new_runtime: NewRuntime) -> None:
        """Closing stops all actors, leaves no task and no thread of theirs, and may be done again."""
        import pytest

        runtime = new_runtime()
        tasks = asyncio.all_tasks()
        async with runtime:
            refs = [await Clerk(runtime, self.patience).start(name) for name in "abc"]
            timer = runtime.send_every(refs[0], 1000.0, "tick")
            threads = {thread for thread in threading.enumerate() if not thread.name.startswith("asyncio_")}
        await runtime.close()

        assert [ref.is_live for ref in refs] == [False] * 3
        assert asyncio.all_tasks() == tasks
        assert len([thread for thread in threads if thread.is_alive()]) <= len(threads) - self._threads(runtime) * 3
        timer.cancel()
        with pytest.raises(RuntimeClosed):
            await runtime.spawn("late", print)

    # Its mailbox

    async def test_a_mailbox_is_bounded(self, new_runtime: NewRuntime) -> None:
        """Beside the message in hand so many wait as `capacity` says; the next `send` raises `MailboxFull` at once."""
        import pytest

        async with self._party(new_runtime, capacity=3) as (_, clerk, ref):
            ref.send(HOLD)
            await until(clerk.held.is_set, self.patience)
            for number in range(3):
                ref.send(number)

            with pytest.raises(MailboxFull):
                ref.send("too many")
            with pytest.raises(MailboxFull):
                await in_thread(lambda: ref.send("too many"), self.patience)
            clerk.release()

            assert await ref.ask(REPORT) == [0, 1, 2]
            ref.send("room again")
            assert await ref.ask(REPORT) == [0, 1, 2, "room again"]

    async def test_an_ask_waits_its_turn(self, new_runtime: NewRuntime) -> None:
        """A full mailbox does not refuse an ask, which is answered when it was reached."""
        async with self._party(new_runtime, capacity=1) as (_, clerk, ref):
            ref.send(HOLD)
            await until(clerk.held.is_set, self.patience)
            ref.send("before")
            asking = asyncio.ensure_future(ref.ask(REPORT))
            await self._some_turns()
            clerk.release()

            assert await asking == ["before"]
