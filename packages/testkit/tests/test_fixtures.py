"""The fixtures for the tests of applications."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from perdure import ActorSystem, Context, Event, Message, PersistentActor
from perdure.errors import OutcomeUnknown
from perdure_testkit import FaultyBackend, VirtualClock

pytest_plugins = ["perdure_testkit.fixtures"]


class Deposit(Message[int]):
    amount: int


class Remind(Message[None]):
    pass


class Deposited(Event):
    amount: int


class Account(PersistentActor[int, Deposited]):
    initial_state = 0

    async def handle(self, message: Deposit | Remind, context: Context) -> int | None:
        match message:
            case Deposit(amount):
                await self.persist(Deposited(amount))
                return self.state
            case Remind():
                context.schedule_once(30 * 86_400, Deposit(1))
        return None

    def apply(self, balance: int, event: Deposited) -> int:
        return balance + event.amount


async def test_a_system_is_open(actor_system: ActorSystem) -> None:
    """On a store of this test alone, so the balance is that of one deposit."""
    assert await actor_system.ref(Account, "alice").ask(Deposit(10)) == 10


async def test_a_second_test_has_a_store_of_its_own(actor_system: ActorSystem) -> None:
    """What another test has stored is not there."""
    assert await actor_system.ref(Account, "alice").ask(Deposit(10)) == 10


async def test_actors_are_restarted(
    actor_system: ActorSystem, restart_actors: Callable[[], Awaitable[ActorSystem]]
) -> None:
    """They come back from the store; the system of before is closed."""
    await actor_system.ref(Account, "alice").ask(Deposit(10))

    again = await restart_actors()

    assert await again.ref(Account, "alice").ask(Deposit(1)) == 11
    assert again is not actor_system


async def test_the_store_fails_when_the_test_says_so(actor_system: ActorSystem, actor_store: FaultyBackend) -> None:
    """It is a `FaultyBackend`, and a test may leave it hanging."""
    actor_store.lose("commit")
    with pytest.raises(OutcomeUnknown):
        await actor_system.ref(Account, "alice").ask(Deposit(10))

    actor_store.hang("commit", when=lambda *_: True)


async def test_time_moves_when_the_test_says_so(actor_system: ActorSystem, actor_clock: VirtualClock) -> None:
    """Thirty days take no time."""
    alice = actor_system.ref(Account, "alice")
    await alice.ask(Remind())

    await actor_clock.advance(30 * 86_400)

    assert await alice.ask(Deposit(1)) == 2


class TestWithOptions:
    """Of a class, or of a module, that has its own."""

    @pytest.fixture
    def actor_options(self) -> dict[str, Any]:
        return {"ask_timeout": 7.0}

    async def test_the_system_has_them(self, actor_system: ActorSystem) -> None:
        assert actor_system.ask_timeout == 7.0
