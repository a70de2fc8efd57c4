"""What is Pykka's own, and how its threads and the event loop do without waiting for each other."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import pykka
import pytest

from perdure import ActorSystem, Event, Message, PersistentActor
from perdure.errors import ActorStopped, MailboxFull
from perdure_replication.errors import RuntimeClosed, WaitsForItself
from perdure_replication.runtime import Bridge
from perdure_replication.runtime._pykka import PykkaRef, PykkaRuntime

PATIENCE = 20.0


@pytest.fixture
async def runtime() -> AsyncIterator[PykkaRuntime]:
    async with PykkaRuntime() as runtime:
        yield runtime


class Deposit(Message[int]):
    amount: int


class Deposited(Event):
    amount: int


class Account(PersistentActor[int, Deposited]):
    initial_state = 0

    async def handle(self, message: Deposit, context: object) -> int:
        await self.persist(Deposited(message.amount))
        return self.state

    def apply(self, balance: int, event: Deposited) -> int:
        return balance + event.amount


async def test_the_loop_turns_while_actors_are_slow(runtime: PykkaRuntime) -> None:
    """An ask of an actor that blocks its thread, and a stop of it, hold up nothing else."""
    begun = threading.Barrier(4)
    gate = threading.Event()

    def slow(message: object) -> bool:
        begun.wait(PATIENCE)
        return gate.wait(PATIENCE)

    refs = [await runtime.spawn(name, slow) for name in "abc"]
    asking = [asyncio.ensure_future(ref.ask("slow")) for ref in refs]
    await asyncio.to_thread(begun.wait, PATIENCE)
    stopping = [asyncio.ensure_future(ref.stop()) for ref in refs]

    for _ in range(1000):
        await asyncio.sleep(0)
    waited = [task.done() for task in [*asking, *stopping]]
    gate.set()

    assert await asyncio.gather(*asking) == [True] * 3
    await asyncio.gather(*stopping)
    assert waited == [False] * 6


async def test_an_actor_is_one_of_pykkas(runtime: PykkaRuntime) -> None:
    """It is in the registry until it is over, and other actors of Pykka tell and ask it as they do."""
    ref = await runtime.spawn("double", lambda number: 2 * number)
    assert isinstance(ref, PykkaRef)

    def ask_natively() -> object:
        return ref.actor.ask(4), ref.actor.ask(5, block=False).get(timeout=PATIENCE)

    assert ref.actor in pykka.ActorRegistry.get_all()
    assert await asyncio.to_thread(ask_natively) == (8, 10)
    await ref.stop()
    assert ref.actor not in pykka.ActorRegistry.get_all()
    with pytest.raises(pykka.ActorDeadError):
        ref.actor.tell(6)


async def test_an_actor_may_end_itself(runtime: PykkaRuntime) -> None:
    """By its own ref of Pykka: its name is free, and who asked is answered."""
    refs: list[PykkaRef] = []

    def handler(message: object) -> str:
        refs[0].actor.stop(block=False)
        return "last words"

    ref = await runtime.spawn("mortal", handler)
    assert isinstance(ref, PykkaRef)
    refs.append(ref)

    assert await ref.ask("die") == "last words"
    await ref.stop()
    assert runtime.find("mortal") is None


async def test_an_error_about_another_actor_is_no_error_about_this_one(runtime: PykkaRuntime) -> None:
    """`pykka.ActorDeadError` of a handler comes as it is."""

    def handler(message: object) -> None:
        raise pykka.ActorDeadError("another one")

    ref = await runtime.spawn("a", handler)

    with pytest.raises(pykka.ActorDeadError, match="another one"):
        await ref.ask("message")


async def test_a_spawn_that_is_cancelled_leaves_no_actor(runtime: PykkaRuntime) -> None:
    """Its name is free, and the thread that was being started ends."""
    spawning = asyncio.ensure_future(runtime.spawn("a", lambda _: None))
    await asyncio.sleep(0)
    spawning.cancel()
    await asyncio.wait([spawning])

    async with asyncio.timeout(PATIENCE):
        while pykka.ActorRegistry.get_by_class_name("Worker"):  # noqa: ASYNC110 - a thread brings it about
            await asyncio.sleep(0.001)
        again = await runtime.spawn("a", lambda number: number)
        assert await again.ask(1) == 1


async def test_a_stop_leaves_no_thread(runtime: PykkaRuntime) -> None:
    """When it returns, the thread is joined."""
    threads: list[threading.Thread] = []
    ref = await runtime.spawn("a", lambda _: threads.append(threading.current_thread()))
    await ref.ask("who")

    await ref.stop()

    assert [thread.is_alive() for thread in threads] == [False]


async def test_an_actor_that_waits_for_ever_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the time for stops is over, who waits for the loop gets `RuntimeClosed`."""
    monkeypatch.setattr(PykkaRuntime, "stop_timeout", 0.05)
    errors: list[BaseException] = []
    begun = threading.Event()
    runtime = PykkaRuntime()

    def handler(message: object) -> None:
        begun.set()
        try:
            runtime.wait(asyncio.sleep(1e6))
        except RuntimeClosed as error:
            errors.append(error)

    async with runtime:
        ref = await runtime.spawn("a", handler)
        ref.send("wait")
        await asyncio.to_thread(begun.wait, PATIENCE)

    assert len(errors) == 1


async def test_a_bridge_asks_durable_actors_from_threads(runtime: PykkaRuntime) -> None:
    """An actor of Pykka waits for the reply of a durable one, whose events are stored by then; errors come through."""
    async with ActorSystem(store="memory://") as system:
        bridge = Bridge()
        alice = system.ref(Account, "alice")

        def deposit(amount: int) -> int:
            bridge.tell(alice, Deposit(1))
            return bridge.ask(alice, Deposit(amount), timeout=PATIENCE)

        ref = await runtime.spawn("teller", deposit)

        assert [await ref.ask(10), await ref.ask(20)] == [11, 32]
        assert await alice.ask(Deposit(0)) == 32
        with pytest.raises(WaitsForItself):
            bridge.ask(alice, Deposit(1))
        bridge.close()
        with pytest.raises(RuntimeClosed):
            await ref.ask(1)


async def test_a_full_inbox_refuses_what_the_runtime_sends_alone(runtime: PykkaRuntime) -> None:
    """Pykka's own tell is as unbounded as ever."""
    gate, begun = threading.Event(), threading.Event()
    noted: list[object] = []

    def handler(message: object) -> None:
        noted.append(message)
        begun.set()
        gate.wait(PATIENCE)

    ref = await runtime.spawn("a", handler, capacity=1)
    assert isinstance(ref, PykkaRef)
    ref.send(1)
    await asyncio.to_thread(begun.wait, PATIENCE)
    ref.send(2)

    with pytest.raises(MailboxFull):
        ref.send(3)
    ref.actor.tell(4)
    gate.set()
    await ref.ask(5)

    assert noted == [1, 2, 4, 5]


async def test_a_handler_that_exits_ends_all_actors_and_the_runtime_knows(runtime: PykkaRuntime) -> None:
    """As Pykka says of what is no `Exception`; groups and names are free of them."""
    refs = [await runtime.spawn(name, _exit) for name in "ab"]
    for ref in refs:
        await runtime.join("group", ref)

    refs[0].send("exit")
    for ref in refs:
        await ref.stop()

    assert runtime.members("group") == []
    with pytest.raises(ActorStopped):
        await refs[1].ask("late")


def _exit(message: object) -> None:
    raise SystemExit
