"""Runtimes that are broken, each in one way: `test_broken_runtimes.py` runs this file by itself."""

# ruff: noqa: D106
from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from perdure import Stop
from perdure_replication._member import Joined, MembershipEvent
from perdure_replication.runtime import ActorRuntime, LocalRef, NewRuntime, PerdureRuntime, TimerHandle
from perdure_replication.runtime._exchange import Exchange
from perdure_replication.runtime._own import PerdureRef, Worker
from perdure_replication.testing import ActorRuntimeContract


class BrokenRuntime(ActorRuntimeContract):
    __test__ = False
    patience = 1.0
    kind: ClassVar[Callable[..., ActorRuntime]] = PerdureRuntime
    fails: ClassVar[str] = ""
    """The rules that must fail."""
    alone: ClassVar[bool] = False
    """No other may; else no other is tried."""

    @pytest.fixture(autouse=True)
    def _only_of_the_matter(self, request: pytest.FixtureRequest) -> None:
        if self.fails and not self.alone and request.node.name not in self.fails.split():
            pytest.skip("it is of another matter")

    @pytest.fixture
    def new_runtime(self) -> NewRuntime:
        return type(self).kind


class TestSoundRuntime(BrokenRuntime):
    __test__ = True
    patience = 10.0


class Spoiled(PerdureRuntime):
    """Spoils its refs."""

    spoil: ClassVar[type[PerdureRef]]

    async def _start(self, name: str, receive: Any, capacity: int) -> LocalRef[Any]:
        ref = await super()._start(name, receive, capacity)
        ref.__class__ = type(self).spoil
        return ref


class TestOvertaking(BrokenRuntime):
    __test__ = True
    fails = "test_messages_are_handled_in_the_order_of_their_sends"

    class kind(Spoiled):
        class spoil(PerdureRef):
            def send(self, message: object) -> None:
                if message == 7:
                    asyncio.get_running_loop().call_soon(super().send, message)
                else:
                    super().send(message)


class TestUnbounded(BrokenRuntime):
    __test__ = True
    fails = (
        "test_a_mailbox_is_bounded "
        "test_a_full_mailbox_ends_no_timer "
        "test_a_full_member_misses_a_broadcast_alone "
        "test_a_full_mailbox_at_another_node_is_counted"
    )

    class kind(PerdureRuntime):
        async def _start(self, name: str, receive: Any, capacity: int) -> LocalRef[Any]:
            return await super()._start(name, receive, 100_000)


class TestDyingOfErrors(BrokenRuntime):
    __test__ = True
    fails = "test_a_failing_handler_harms_nobody test_an_ask_raises_what_the_handler_raises"

    class kind(PerdureRuntime):
        def _worker(self, capacity: int) -> type[Worker]:
            async def handle(self: Worker, message: Any, context: Any) -> Any:
                return await self._receive_body(message.body)

            return type("Worker", (Worker,), {"mailbox_capacity": capacity, "supervision": Stop(), "handle": handle})


class TestHandlingAtOnce(BrokenRuntime):
    __test__ = True
    fails = "test_one_message_is_handled_at_a_time"

    class kind(PerdureRuntime):
        async def _start(self, name: str, receive: Any, capacity: int) -> LocalRef[Any]:
            async def at_once(message: Any) -> Any:
                handling = asyncio.ensure_future(receive(message))
                if message == "hold":
                    return None
                return await handling

            return await super()._start(name, at_once, capacity)


class TestTickingOn(BrokenRuntime):
    __test__ = True
    fails = "test_no_message_is_begun_after_a_cancel"
    alone = True

    class kind(PerdureRuntime):
        def _begin_timer(self, timer: TimerHandle) -> None:
            super()._begin_timer(timer)
            take = timer.take
            timer.take = lambda: take() or True  # type: ignore[method-assign]


class TestGivingUpTimers(BrokenRuntime):
    __test__ = True
    fails = "test_a_full_mailbox_ends_no_timer"
    alone = True

    class kind(PerdureRuntime):
        def _begin_timer(self, timer: TimerHandle) -> None:
            super()._begin_timer(timer)
            send = timer._try

            def try_once() -> bool:
                if not (sent := send()):
                    timer.cancel()
                return sent

            timer._try = try_once  # type: ignore[method-assign]


class TestJoiningAgain(BrokenRuntime):
    __test__ = True
    fails = "test_to_join_twice_is_to_join_once"
    alone = True

    class kind(PerdureRuntime):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self._joins: Counter[tuple[str, str]] = Counter()

        async def join(self, group: str, ref: LocalRef[Any]) -> None:
            self._joins[group, ref.name] += 1
            await super().join(group, ref)

        def _own(self, group: str) -> list[LocalRef[Any]]:
            refs = super()._own(group)
            return [ref for ref in refs for _ in range(self._joins[group, ref.name])]


class TestKeepingTheDead(BrokenRuntime):
    __test__ = True
    fails = "test_an_actor_that_is_over_is_in_no_group"

    class kind(PerdureRuntime):
        def _own(self, group: str) -> list[LocalRef[Any]]:
            self._all = {**getattr(self, "_all", {}), **{n: r for n, r in self._actors.items() if r is not None}}
            return [self._all[name] for name in self._groups.members(group)]

        def _forget(self, name: str) -> None:
            self._own("")
            del self._actors[name]


class TestStayingHere(BrokenRuntime):
    __test__ = True
    fails = "test_groups_span_nodes"

    class kind(PerdureRuntime):
        def _others(self, group: str) -> dict[str, tuple[str, ...]]:
            return {}


class TestHearingOfJoinsAlone(BrokenRuntime):
    __test__ = True
    fails = "test_the_membership_is_heard"
    alone = True

    class kind(PerdureRuntime):
        async def _open(self) -> None:
            await super()._open()
            tell = self.cluster_events.tell

            def tell_joins(event: MembershipEvent) -> None:
                if isinstance(event, Joined):
                    tell(event)

            self.cluster_events.tell = tell_joins  # type: ignore[method-assign]


class TestAskingTheDead(BrokenRuntime):
    __test__ = True
    fails = "test_an_ask_of_a_node_that_goes_fails_at_once"
    alone = True

    class kind(PerdureRuntime):
        async def _meet(self, node: Any) -> None:
            await super()._meet(node)
            exchange = self._exchange
            assert isinstance(exchange, Exchange)
            exchange._give_up = lambda *_: None  # type: ignore[method-assign]
