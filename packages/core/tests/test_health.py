"""Whether a system is ready, and why not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from perdure import ActorSystem, Keyring, Message, PersistentActor, Sealing
from perdure.errors import StoreUnavailable
from perdure_testkit import FaultyBackend, VirtualClock

from .puppet import Do, Puppet, waiting, within_seconds
from .secrecy import ONE
from .tapes import PureTape, Read, Write, Written
from .turning import soon, turns


@pytest.fixture
async def durable(store: FaultyBackend, clock: VirtualClock) -> AsyncIterator[ActorSystem]:
    async with ActorSystem(store=store, clock=clock, max_recoveries=1) as system:
        yield system
        store.heal()


async def test_a_system_at_rest_is_ready(durable: ActorSystem) -> None:
    health = await durable.health()

    assert (health.ready, health.reasons, health.commit_lag, health.stuck) == (True, (), 0.0, ())


async def test_a_system_that_is_not_open_is_not_ready() -> None:
    assert (await ActorSystem().health()).reasons == ("enter the system first",)


async def test_a_store_that_refuses_makes_it_unready(durable: ActorSystem, store: FaultyBackend) -> None:
    """The reason names the error, not what the store says of places and passwords."""
    store.reject("read_state", StoreUnavailable("read_state", "postgres://me:secret@host refuses"))

    health = await durable.health()

    assert (health.ready, health.store_seconds) == (False, None)
    assert health.reasons == ("the store does not answer: StoreUnavailable",)


async def test_a_store_that_hangs_is_waited_for_no_longer_than_said(durable: ActorSystem, store: FaultyBackend) -> None:
    store.hang("read_state")

    health = await within_seconds(durable.health(timeout=0.01))

    assert health.reasons == ("the store has not answered for 0.01 s",)


async def test_one_probe_at_a_time_hangs(durable: ActorSystem, store: FaultyBackend) -> None:
    """However often a readiness endpoint is asked, a store that hangs gets no more to do."""
    store.hang("read_state")
    before = store.calls["read_state"]

    for _ in range(3):
        await durable.health(timeout=0.01)

    assert store.calls["read_state"] == before + 1


async def test_a_store_that_answers_again_makes_it_ready_again(durable: ActorSystem, store: FaultyBackend) -> None:
    store.reject("read_state")
    await durable.health()

    assert (await durable.health()).ready


async def test_a_commit_that_takes_long_makes_it_unready(durable: ActorSystem, store: FaultyBackend) -> None:
    held = store.hold("commit")
    asked = soon(durable.ref(PureTape, "t").ask(Write((1,))))
    await turns()

    health = await durable.health(max_lag=0.0)

    held.set()
    await asked
    assert health.commit_lag > 0
    assert [reason.rpartition(" for ")[0] for reason in health.reasons] == ["a write has been waiting"]
    assert (await durable.health(max_lag=0.0)).ready


async def test_a_failed_commit_is_shown_until_one_succeeds(durable: ActorSystem, store: FaultyBackend) -> None:
    """It does not make the system unready: without messages nothing would show that the store is well again."""
    store.reject("commit")
    with pytest.raises(StoreUnavailable):
        await durable.ref(PureTape, "t").ask(Write((1,)))
    failed = await durable.health()
    await durable.ref(PureTape, "t").ask(Write((1,)))

    assert (failed.ready, failed.commit_error) == (True, "StoreUnavailable")
    assert (await durable.health()).commit_error is None


class TestAStuckActor:
    async def test_is_named_with_its_message_and_its_time(self, durable: ActorSystem, clock: VirtualClock) -> None:
        ref, gate = await durable.spawn(Puppet, "a"), asyncio.Event()
        asked = soon(ref.ask(Do(waiting(gate)), timeout=1000))
        await turns()
        await clock.advance(31)

        health = await durable.health(stuck_after=30)

        gate.set()
        await asked
        [stuck] = health.stuck
        assert (stuck.path, stuck.type, stuck.message, stuck.seconds) == ("/user/a", "Puppet", "Do", 31)
        assert (health.ready, health.stuck_count) == (True, 1)

    async def test_is_none_that_has_not_waited_so_long(self, durable: ActorSystem, clock: VirtualClock) -> None:
        ref, gate = await durable.spawn(Puppet, "a"), asyncio.Event()
        asked = soon(ref.ask(Do(waiting(gate)), timeout=1000))
        await turns()
        await clock.advance(29)

        health = await durable.health(stuck_after=30)

        gate.set()
        await asked
        assert health.stuck_count == 0

    async def test_too_many_make_the_system_unready_if_it_is_told_so(
        self, durable: ActorSystem, clock: VirtualClock
    ) -> None:
        gate = asyncio.Event()
        asked = [soon((await durable.spawn(Puppet, name)).ask(Do(waiting(gate)), timeout=1000)) for name in "ab"]
        await turns()
        await clock.advance(31)

        health = await durable.health(max_stuck=1)

        gate.set()
        await asyncio.gather(*asked)
        assert health.reasons == ("2 actors are stuck",)

    async def test_has_no_name_where_names_are_hidden(self, store: FaultyBackend, clock: VirtualClock) -> None:
        """A readiness endpoint shows what the store shows."""
        gate = asyncio.Event()

        class Waiting(PersistentActor[int, Written]):
            initial_state = 0

            async def handle(self, message: Message[Any], context: Any) -> list[int]:
                await gate.wait()
                return []

        sealing = Sealing(Keyring({1: ONE}), hide_names=True)
        async with ActorSystem(store=store, clock=clock, sealing=sealing) as system:
            asked = soon(system.ref(Waiting, "alice").ask(Read(), timeout=1000))
            await turns()
            await clock.advance(31)

            health = await system.health()

            gate.set()
            await asked
        assert health.stuck[0].path.startswith("/Waiting/")
        assert b"alice" not in health.json()


async def test_recoveries_that_wait_are_counted(durable: ActorSystem, store: FaultyBackend) -> None:
    held = store.hold("page")
    asked = [soon(durable.ref(PureTape, key).ask(Read())) for key in "abc"]
    await turns()

    health = await durable.health()

    held.set()
    await asyncio.gather(*asked)
    assert (health.recovering, health.waiting_to_recover) == (1, 2)


async def test_it_is_json(durable: ActorSystem) -> None:
    assert msgspec.json.decode((await durable.health()).json())["ready"] is True
