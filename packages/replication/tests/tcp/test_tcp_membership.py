"""Nodes find each other over TCP, and find out who is gone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import pytest

from perdure.security import EncryptedKey
from perdure_replication import Joined, Left, Member, Unreachable
from perdure_replication.errors import InvalidTransport
from perdure_replication.tcp import TcpMembership, TcpTransport
from perdure_replication.testing import Guest, TestClock

from .wires import PATIENCE, SOON, Middle, free_port, tcp, until

Join: TypeAlias = Callable[..., Awaitable[Guest]]


@pytest.fixture
async def join(secret: EncryptedKey) -> AsyncIterator[Join]:
    """Return what lets a node join by some seeds, and closes it at the end."""
    joined: list[Guest] = []

    async def join(name: str, *seeds: str, incarnation: int = 1, **options: Any) -> Guest:
        address = options.pop("address", "127.0.0.1:0")
        transport = TcpTransport(address, settings=SOON, secret=secret, seed=1, **options)
        guest = Guest(name, transport, TcpMembership(transport, seeds, settings=SOON, seed=1), PATIENCE)
        joined.append(guest)
        await guest.start(incarnation)
        await guest.join()
        return guest

    yield join
    for guest in joined:
        await guest.close()


def listening(guest: Guest) -> str:
    """Return where a node listens, whatever it advertises."""
    return f"127.0.0.1:{tcp(guest)._listener.place.port}"


async def test_all_are_found_from_one(join: Join) -> None:
    """Whom the seed knows, and whom those know; each pair has one link."""
    seed = await join("n0")

    others = [await join(f"n{number}", seed.member.address) for number in range(1, 8)]

    nodes = [seed, *others]
    for node in nodes:
        for other in nodes:
            if other is not node:
                await node.sees(Joined(other.member))
    await until(lambda: all(len(tcp(node)._connections) == 7 for node in nodes))


async def test_seeds_may_come_late_or_never(join: Join) -> None:
    """And a node may be among its own seeds."""
    late, never = f"127.0.0.1:{free_port()}", "127.0.0.1:1"
    seeds = (late, never)

    a, b = await join("a", *seeds), await join("b", *seeds)
    seed = await join("seed", *seeds, address=late)

    await a.sees(Joined(seed.member))
    await a.sees(Joined(b.member))
    await b.sees(Joined(a.member))


async def test_a_link_without_membership_says_nothing(join: Join, secret: EncryptedKey) -> None:
    """A process is a member when it joins."""
    a = await join("a")
    transport = TcpTransport("127.0.0.1:0", settings=SOON, secret=secret)
    membership = TcpMembership(transport, settings=SOON)
    b = Guest("b", transport, membership, PATIENCE)
    await b.start(1)
    transport.peer_up(a.member)
    await until(lambda: tcp(a).links == ("b",))
    told = list(a.events)

    await b.join()

    await a.sees(Joined(b.member))
    assert told == []
    await b.close()


async def test_a_departure_reaches_those_who_could_not_hear_it(join: Join) -> None:
    """Who has no link to who leaves hears of it from others."""
    a = await join("a")
    async with Middle("127.0.0.1:1") as middle:
        b = await join("b", a.member.address, advertise=middle.address)
        middle.target = listening(b)
        c = await join("c", a.member.address, advertise="127.0.0.1:1")
        await a.sees(Joined(b.member))
        await c.sees(Joined(b.member))
        middle.target = "127.0.0.1:1"
        middle.cut()
        await c.sees(Unreachable("b", 1))

        await b.membership.leave()  # type: ignore[union-attr]

        await a.sees(Left("b", 1))
        await c.sees(Left("b", 1))


async def test_who_was_parted_is_there_again(join: Join) -> None:
    """When the network is whole again, without a new incarnation."""
    a = await join("a")
    async with Middle(a.member.address) as middle:
        b = await join("b", middle.address)
        await a.sees(Joined(b.member))
        await b.sees(Joined(a.member))
        tcp(a).peer_down("b")
        target, middle.target = middle.target, "127.0.0.1:1"
        middle.cut()
        tcp(b).peer_down("a")
        await b.sees(Unreachable("a", 1))
        b.events.clear()
        middle.target = target

        await b.sees(Joined(a.member))


async def test_a_stalled_loop_declares_nobody_dead(join: Join, secret: EncryptedKey) -> None:
    """Who stood still itself gives others their time."""
    clock = TestClock()
    a = await join("a", clock=clock)
    b = await join("b", a.member.address)
    await a.sees(Joined(b.member))
    tcp(a).peer_down("b")
    tcp(b).unseek()
    [link] = tcp(b)._connections
    link.abort()
    await until(lambda: tcp(a).links == ())

    clock._now += 60
    await clock.advance(SOON.suspicion / 4)
    before = list(a.events)
    await clock.advance(SOON.suspicion)

    assert before == [Joined(b.member)]
    assert a.events == [Joined(b.member), Unreachable("b", 1)]


async def test_a_process_whose_name_is_taken_is_told(join: Join) -> None:
    """By those who know both: the membership reports its own name, with the incarnation of the other."""
    a = await join("a")
    b = await join("b", a.member.address)
    await a.sees(Joined(b.member))

    later = await join("b", a.member.address, incarnation=2)

    await b.sees(Joined(Member("b", 2)))
    await a.sees(Joined(later.member))
    assert all(event.member.name != "b" for event in later.events if isinstance(event, Joined))


def test_a_seed_is_an_address(secret: EncryptedKey) -> None:
    """What is none is refused at once."""
    with pytest.raises(InvalidTransport, match="'somewhere': it is no address"):
        TcpMembership(TcpTransport("127.0.0.1:0", secret=secret), ["somewhere"])
