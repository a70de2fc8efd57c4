"""Nodes on a transport that broadcasts and keeps the last snapshots, as a broker does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import pytest

from perdure_replication import Frame, Generation, MemoryHub, Snapshot, Transport, encode_frame
from perdure_replication._memory import _HubTransport
from perdure_replication.errors import PeerUnreachable
from perdure_replication.testing import NewTransport, TestDeltaState, TestRuntime, TestState, TransportContract, Value


class Broker(MemoryHub):
    """A hub that holds what its transports give it to keep."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], bytes] = {}
        self.broadcasts = 0

    def transport(self) -> Transport:
        return _BrokerTransport(self)


class _BrokerTransport(_HubTransport):
    broadcasts: ClassVar[bool] = True
    retains: ClassVar[bool] = True
    _hub: Broker

    async def broadcast(self, frame: bytes) -> None:
        self._hub.broadcasts += 1
        for peer in list(self._hub._receivers):
            if peer != self._name:
                self._hub._carry(self._name, peer, frame)

    async def retain(self, state: str, frame: bytes) -> None:
        self._hub.kept[self._name, state] = frame

    async def retained(self) -> Sequence[tuple[str, bytes]]:
        return [(node, frame) for (node, _), frame in self._hub.kept.items() if node != self._name]


class TestBrokerTransport(TransportContract):
    @pytest.fixture
    def new_transport(self) -> NewTransport:
        return Broker().transport


def runtime() -> tuple[TestRuntime, Broker]:
    made, broker = TestRuntime(TestState, TestDeltaState), Broker()
    made.hub = broker
    return made, broker


def counting(value: Value) -> Value:
    return Value(value.counter + 1)


async def test_a_push_to_all_is_one_broadcast() -> None:
    """However many there are (weak point 15)."""
    cluster, broker = runtime()
    async with cluster:
        nodes = [await cluster.start(name) for name in "abcd"]
        broker.broadcasts = 0

        await nodes[0].replica(TestState).mutate(counting)
        await nodes[0].replica(TestDeltaState).mutate(TestDeltaState.adjust(1))
        await cluster.settle()

        assert broker.broadcasts == 2
        assert [node.replica(TestState).views["a"] for node in nodes] == [Value(1)] * 4
        assert [node.replica(TestDeltaState).views["a"].counter for node in nodes] == [1] * 4


async def test_a_new_node_knows_an_owner_that_is_down() -> None:
    """As of its last snapshot, surely not fresh, and unreachable (weak point 23)."""
    cluster, _ = runtime()
    async with cluster:
        a = await cluster.start("a")
        await a.replica(TestState).mutate(counting)
        await cluster.advance(2)
        await cluster.crash("a")

        b = await cluster.start("b")
        answer = await b.replica(TestState).query(60)

        assert answer.views["a"] == Value(1)
        assert (answer.freshness.stale, answer.freshness.unreachable) == (("a",), ("a",))
        assert b.members == ("a",)


async def test_an_owner_that_is_there_keeps_its_life() -> None:
    """What a new node has from the broker is of this life, and no reason to begin another."""
    cluster, _ = runtime()
    async with cluster:
        a = await cluster.start("a")
        await a.replica(TestState).mutate(counting)
        await cluster.advance(2)
        life = a.incarnation

        b = await cluster.start("b")
        await a.replica(TestState).mutate(counting)
        await cluster.settle()

        assert (a.incarnation, b.replica(TestState).views["a"]) == (life, Value(2))
        assert (await b.replica(TestState).query(5)).is_fresh


async def test_an_owner_that_comes_back_is_followed_again() -> None:
    """Its new life surpasses what was kept of the old one."""
    cluster, _ = runtime()
    async with cluster:
        a = await cluster.start("a")
        for _ in range(3):
            await a.replica(TestState).mutate(counting)
        await cluster.advance(2)
        await cluster.crash("a")
        b = await cluster.start("b")
        await cluster.advance(1)

        again = await cluster.start("a")

        assert b.replica(TestState).views["a"] == again.replica(TestState).views["a"] == Value(0)
        assert (await b.replica(TestState).query(5)).is_fresh


async def test_what_is_kept_is_trusted_as_little_as_a_frame() -> None:
    """Rubbish, and what one node keeps in the name of another, is dropped (weak point 21)."""
    cluster, broker = runtime()
    forged = encode_frame(Frame("perdure", "victim", 5, 0, Snapshot("test_state", Generation(5, 5), 1, 0, 0, b"\x80")))
    broker.kept["mallory", "test_state"] = forged
    broker.kept["mallory", "other"] = b"rubbish"
    async with cluster:
        node = await cluster.start("a")

        assert (node.members, node.metrics().refused) == ((), {"forged": 1, "damaged": 1})


async def test_a_broadcast_that_fails_loses_a_frame_and_nothing_else() -> None:
    """The node goes on, and the digest makes it good."""
    cluster, broker = runtime()
    async with cluster:
        a, b = [await cluster.start(name) for name in "ab"]
        receive = broker._receivers["b"]

        def fail(peer: str, frame: bytes) -> None:
            raise PeerUnreachable("b", "the broker is away")

        broker._receivers["b"] = fail
        await a.replica(TestState).mutate(counting)
        await cluster.settle()
        broker._receivers["b"] = receive
        await cluster.advance(10)

        assert b.replica(TestState).views["a"] == Value(1)
