"""Whole nodes over TCP, some of them in processes that are killed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from perdure import Keyring
from perdure.security import EncryptedKey, write_key_file
from perdure_replication import Frame, Generation, Node, Settings, Snapshot, encode_frame
from perdure_replication.tcp import TcpMembership, TcpTransport
from perdure_replication.testing import Guest, TestDeltaState, TestState, Value

from .wires import PATIENCE, SOON, Middle, until

BUSY = Path(__file__).with_name("busy_node.py")
FINDING_OUT = msgspec.structs.replace(SOON, silence=2.0)


def node(name: str, key: EncryptedKey | Keyring, *seeds: str, advertise: str = "") -> Node:
    transport = TcpTransport("127.0.0.1:0", secret=key, settings=FINDING_OUT, advertise=advertise)
    membership = TcpMembership(transport, seeds, settings=FINDING_OUT)
    settings = Settings(digest_interval=0.3, pull_timeout=0.3)
    return Node(name, [TestState, TestDeltaState], transport=transport, membership=membership, settings=settings)


def listening(node: Node) -> str:
    assert isinstance(node._transport, TcpTransport)
    return f"127.0.0.1:{node._transport._listener.place.port}"


def address_of(node: Node) -> str:
    assert isinstance(node._transport, TcpTransport)
    return node._transport.address


@asynccontextmanager
async def busy(key_file: Path, seed: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Give a process that is a busy node, and kill it at the end."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = await asyncio.create_subprocess_exec(sys.executable, str(BUSY), str(key_file), seed, env=environment)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_views_move_between_nodes() -> None:
    """Whole values and deltas, in both directions, and to who comes later (ADAPT-07)."""
    key = EncryptedKey.generate()
    async with node("a", key) as a, node("b", key, address_of(a)) as b:
        await until(lambda: (a.members, b.members) == (("b",), ("a",)))
        for each in (a, b):
            await each.replica(TestState).mutate(lambda _, name=each.name: Value(1, name))  # type: ignore[misc]
            for _ in range(10):
                await each.replica(TestDeltaState).mutate(TestDeltaState.adjust(1))

        async with node("c", key, address_of(a)) as c:
            for one in (a, b, c):
                for other in ("a", "b"):
                    await until(lambda one=one, other=other: one.replica(TestState).views.get(other) == Value(1, other))  # type: ignore[misc]
                    deltas = one.replica(TestDeltaState).views
                    await until(lambda deltas=deltas, other=other: other in deltas and deltas[other].counter == 10)  # type: ignore[misc]
        await until(lambda: (a.members, b.members) == (("b",), ("a",)))


async def test_a_proved_peer_speaks_for_itself_alone() -> None:
    """A frame in which it names another node is refused as forged (P21)."""
    key = EncryptedKey.generate()
    async with node("a", key) as a:
        transport = TcpTransport("127.0.0.1:0", secret=key, settings=FINDING_OUT)
        membership = TcpMembership(transport, [address_of(a)], settings=FINDING_OUT)
        liar = Guest("liar", transport, membership, PATIENCE)
        await liar.start(1)
        await liar.join()
        await until(lambda: "liar" in a.members)
        forged = Snapshot("test_state", Generation(1, 9), 1, 0, 0, msgspec.msgpack.encode(Value(9)))

        await transport.send("a", encode_frame(Frame("perdure", "victim", 1, 0, forged)))
        await transport.send("a", encode_frame(Frame("perdure", "a", 1, 0, forged)))

        await until(lambda: a.metrics().refused.get("forged", 0) == 2)
        assert dict(a.replica(TestState).views) == {"a": Value(0)}
        await liar.close()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no such signal")
async def test_a_process_that_is_killed_under_load_is_found_out_and_comes_back(tmp_path: Path) -> None:
    """Its views stay, and are said to be of a node that is unreachable; its next life is followed (ADAPT-08)."""
    key_file = tmp_path / "cluster.key"
    write_key_file(key_file)
    async with node("a", Keyring.from_file(key_file)) as a:
        views = a.replica(TestState).views
        async with busy(key_file, address_of(a)) as first:
            await until(lambda: "busy" in views and views["busy"].counter > 200)
            first.send_signal(signal.SIGKILL)
            await first.wait()
        life = a.replica(TestState).held()["busy"].generation
        await until(lambda: "busy" in a.replica(TestState).freshness(0.0).unreachable)
        kept = views["busy"]

        async with busy(key_file, address_of(a)):
            await until(lambda: a.replica(TestState).held()["busy"].generation.incarnation > life.incarnation)
            await until(lambda: views["busy"].counter > 200)
            answer = await a.replica(TestState).query(5.0)

        assert kept.counter > 200
        assert answer.is_fresh
        assert a.members == ("busy",)


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="there is no such signal")
async def test_a_process_that_stands_still_is_unreachable_and_goes_on(tmp_path: Path) -> None:
    """It blames nobody for its own sleep, and keeps its life."""
    key_file = tmp_path / "cluster.key"
    write_key_file(key_file)
    async with node("a", Keyring.from_file(key_file)) as a:
        views = a.replica(TestState).views
        async with busy(key_file, address_of(a)) as process:
            await until(lambda: "busy" in views and views["busy"].counter > 50)
            process.send_signal(signal.SIGSTOP)
            await until(lambda: "busy" in a.replica(TestState).freshness(0.0).unreachable)
            slept = a.replica(TestState).held()["busy"].generation

            process.send_signal(signal.SIGCONT)
            await until(lambda: a.replica(TestState).held()["busy"].generation.age > slept.age + 50)

            assert a.replica(TestState).held()["busy"].generation.incarnation == slept.incarnation


async def test_behind_a_slow_peer_the_latest_waits() -> None:
    """A thousand mutations of a hundred kilobytes cost neither memory nor time; the peer gets the last one."""
    key = EncryptedKey.generate()
    async with Middle("127.0.0.1:1") as middle, node("b", key) as b:
        middle.target = address_of(b)
        async with node("a", key, middle.address) as a:
            await until(lambda: (a.members, b.members) == (("b",), ("a",)))
            middle.open.clear()

            for number in range(1000):
                await a.replica(TestState).mutate(lambda _, number=number: Value(number, "x" * 100_000))  # type: ignore[misc]
                await asyncio.sleep(0)
            link = a._links.find("b")
            waiting = 0 if link is None else link.waiting
            middle.open.set()

            assert waiting <= 10
            await until(lambda: "a" in b.replica(TestState).views and b.replica(TestState).views["a"].counter == 999)


async def test_nodes_that_were_parted_agree_again() -> None:
    """Mutations of both sides are seen on the other when the network is whole again (FAULT-01, CHAOS-05)."""
    key = EncryptedKey.generate()
    async with Middle("127.0.0.1:1") as middle, node("a", key, advertise=middle.address) as a:
        middle.target = listening(a)
        async with node("b", key, middle.address, advertise="127.0.0.1:1") as b:
            await until(lambda: (a.members, b.members) == (("b",), ("a",)))
            middle.open.clear()
            for each in (a, b):
                await each.replica(TestState).mutate(lambda _, name=each.name: Value(7, name))  # type: ignore[misc]
            for one, other in ((a, "b"), (b, "a")):
                await until(lambda one=one, other=other: one.replica(TestState).freshness(0.0).unreachable == (other,))  # type: ignore[misc]

            middle.open.set()

            await until(lambda: b.replica(TestState).views.get("a") == Value(7, "a"))
            await until(lambda: a.replica(TestState).views.get("b") == Value(7, "b"))
