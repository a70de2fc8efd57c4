"""Membership by beats in a broker."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from perdure.security import EncryptedKey
from perdure_replication import Joined, Left, Member, MembershipEvent, Unreachable
from perdure_replication.errors import BrokerUnavailable, Fenced, InvalidTransport
from perdure_replication.redis import RedisMembership

CLAIMS = "perdure-replication:{perdure}:claims"
BEATS = "perdure-replication:{perdure}:beats"


async def joined(ports: Any, name: str, **options: Any) -> tuple[RedisMembership, list[MembershipEvent], int]:
    membership, events = ports.membership(**options), list[MembershipEvent]()
    incarnation = await membership.claim(name, 100)
    await membership.join(Member(name, incarnation, f"at {name}"), events.append)
    return membership, events, incarnation


async def beats_of(membership: RedisMembership, count: int, until: Any) -> None:
    """Let a membership try to beat so many times more; after ten silence would be noticed."""
    most = membership._beats.number + count
    await until(lambda: membership._beats.number >= most)


class TestJoining:
    async def test_reports_who_is_there_and_who_comes(self, ports: Any, until: Any) -> None:
        """With incarnation and address; those who are there at once, and nobody itself."""
        _, seen_by_a, _ = await joined(ports, "a")
        _, seen_by_b, _ = await joined(ports, "b")

        assert seen_by_b == [Joined(Member("a", 100, "at a"))]
        await until(lambda: seen_by_a)
        assert seen_by_a == [Joined(Member("b", 100, "at b"))]

    async def test_of_other_clusters_is_not_seen(self, ports: Any, until: Any) -> None:
        """Whatever their names are like."""
        _, seen, _ = await joined(ports, "a", cluster="one")
        await joined(ports, "b", cluster="one:two")
        await joined(ports, "c", cluster="one")

        await until(lambda: seen)

        assert seen == [Joined(Member("c", 100, "at c"))]

    async def test_needs_a_broker(self, launch: Any, ports: Any) -> None:
        """The error names it."""
        server = launch()
        server.kill()

        with pytest.raises(BrokerUnavailable, match=str(server.port)):
            await joined(ports, "a", url=server.url)

    async def test_takes_any_name(self, ports: Any, until: Any) -> None:
        """Names of keys are made of them."""
        name = "a:b/{c} *\n\u20ac"
        _, seen, _ = await joined(ports, "x")
        await joined(ports, name)

        await until(lambda: seen)

        assert seen == [Joined(Member(name, 100, f"at {name}"))]


class TestLeaving:
    async def test_is_reported_with_the_incarnation(self, ports: Any, until: Any) -> None:
        """And who comes later does not hear of it."""
        _, seen, _ = await joined(ports, "a")
        leaver, _, _ = await joined(ports, "b")
        await until(lambda: seen)
        seen.clear()

        await leaver.leave()

        await until(lambda: seen)
        assert seen == [Left("b", 100)]
        _, seen_later, _ = await joined(ports, "c")
        assert seen_later == [Joined(Member("a", 100, "at a"))]

    async def test_without_a_word_is_found_out(self, ports: Any, until: Any) -> None:
        """The node is unreachable; and back with its next life."""
        _, seen, _ = await joined(ports, "a")
        dead, _, _ = await joined(ports, "b")
        await until(lambda: seen)
        seen.clear()

        await dead.close()
        await until(lambda: seen)
        await joined(ports, "b")
        await until(lambda: len(seen) > 1)

        assert seen == [Unreachable("b", 100), Joined(Member("b", 101, "at b"))]

    async def test_for_long_is_for_good(self, ports: Any, server: Any, until: Any) -> None:
        """What the broker keeps of the node goes."""
        transport = ports.transport()
        await transport.start(Member("b", 1), lambda *_: None)
        server.call("HSET", "perdure-replication:{perdure}:kept:b", "v:load", "x")
        _, seen, _ = await joined(ports, "a", forget_after=1.0)
        dead, _, _ = await joined(ports, "b")
        await dead.close()

        await until(lambda: len(seen) == 3)

        assert seen[1:] == [Unreachable("b", 100), Left("b", 100)]
        await until(lambda: not server.call("EXISTS", "perdure-replication:{perdure}:kept:b"))
        assert server.call("HKEYS", CLAIMS) == [b"a"]

    async def test_when_the_broker_is_away_says_so_to_nobody(self, launch: Any, ports: Any) -> None:
        """It does not hang, and is no error."""
        server = launch()
        leaver, _, _ = await joined(ports, "a", url=server.url)
        server.kill()

        await leaver.leave()

    async def test_can_be_said_of_a_node_that_is_gone(self, ports: Any, server: Any, until: Any) -> None:
        """By anybody, at once for all."""
        one, seen_by_one, _ = await joined(ports, "a")
        _, seen_by_other, _ = await joined(ports, "c")
        dead, _, _ = await joined(ports, "b")
        await until(lambda: len(seen_by_one) == len(seen_by_other) == 2)
        await dead.close()

        await one.forget("b")

        await until(lambda: Left("b", 100) in seen_by_one and Left("b", 100) in seen_by_other)
        assert set(server.call("HKEYS", CLAIMS)) == {b"a", b"c"}


class TestIncarnations:
    async def test_are_given_once(self, ports: Any) -> None:
        """Also to those who ask at the same moment, and whatever their clocks say."""
        memberships = [ports.membership() for _ in range(20)]

        claimed = await asyncio.gather(*(each.claim("a", 100) for each in memberships))

        assert sorted(claimed) == list(range(100, 120))
        assert await ports.membership().claim("a", 50) == 120
        assert await ports.membership().claim("a", 500) == 500

    async def test_of_a_live_node_may_grow(self, ports: Any, until: Any) -> None:
        """It is announced as another join."""
        _, seen, _ = await joined(ports, "a")
        membership, own, _ = await joined(ports, "b")
        await until(lambda: seen)

        incarnation = await membership.claim("b", 7)
        await membership.announce(Member("b", incarnation, "at b"))

        await until(lambda: len(seen) == 2)
        assert seen[1] == Joined(Member("b", 101, "at b"))
        assert own == [Joined(Member("a", 100, "at a"))]

    async def test_from_elsewhere_are_taken_over(self, ports: Any, server: Any) -> None:
        """A store may have given a greater one than the broker."""
        membership = ports.membership()
        await membership.join(Member("a", 777), lambda _: None)

        assert await ports.membership().claim("a", 100) == 778

    async def test_fence_the_earlier_of_two_processes(self, ports: Any, until: Any) -> None:
        """It is told by its own name with the incarnation of the later one, and beats no more."""
        old, seen_by_old, _ = await joined(ports, "a")
        _, seen_by_new, _ = await joined(ports, "a")

        await until(lambda: seen_by_old)

        assert seen_by_old == [Joined(Member("a", 101, "at a"))] or seen_by_old == [Joined(Member("a", 101))]
        assert seen_by_new == []
        with pytest.raises(Fenced, match="another process has claimed the incarnation 101"):
            await old.claim("a", 200)

    async def test_survive_a_broker_that_lost_them(self, launch: Any, ports: Any, until: Any) -> None:
        """Each node brings its own back."""
        server = launch()
        await joined(ports, "a", url=server.url)
        server.kill()
        server.start()

        await until(lambda: server.call("HEXISTS", CLAIMS, "a"))

        assert await ports.membership(url=server.url).claim("a", 1) == 101

    async def test_survive_a_broker_that_has_earlier_ones(self, launch: Any, ports: Any, until: Any) -> None:
        """It was restored from a backup; the living node writes over what is older."""
        server = launch()
        first = ports.membership(url=server.url)
        await first.claim("a", 100)
        server.call("SAVE")
        _, seen, incarnation = await joined(ports, "a", url=server.url)
        server.kill()
        server.start()

        await until(lambda: server.call("HGET", CLAIMS, "a").startswith(b"%d:" % incarnation))

        assert incarnation == 101
        assert await ports.membership(url=server.url).claim("a", 1) == 102
        assert seen == []

    async def test_are_not_ended_by_a_forged_claim(self, ports: Any, server: Any, until: Any) -> None:
        """Who writes to the broker without the secret fences nobody, and gives no incarnation away."""
        membership, seen, _ = await joined(ports, "a")
        server.call("HSET", CLAIMS, "a", b"9007199254740991:forged")

        await until(lambda: membership.refused["forged"])
        await until(lambda: not server.call("HGET", CLAIMS, "a").startswith(b"9007199254740991"))

        assert seen == []
        assert await ports.membership().claim("a", 1) == 101


class TestBeats:
    @pytest.mark.parametrize(
        ("beat", "reason"), [(b"", "damaged"), (b"\x00plain", "damaged"), (b"\x01" + bytes(100), "forged")]
    )
    async def test_that_are_none_are_counted(
        self, ports: Any, server: Any, until: Any, beat: bytes, reason: str
    ) -> None:
        """And report nobody."""
        membership, seen, _ = await joined(ports, "a")

        server.call("PUBLISH", BEATS, beat)

        await until(lambda: membership.refused[reason])
        assert seen == []

    async def test_of_another_secret_are_counted(self, ports: Any, until: Any) -> None:
        """They are no members."""
        membership, seen, _ = await joined(ports, "a")
        await joined(ports, "b", secret=EncryptedKey.generate())

        await until(lambda: membership.refused["forged"])

        assert seen == []

    async def test_that_are_old_bring_nobody_back(self, ports: Any, server: Any, until: Any) -> None:
        """One that was recorded is outside the window, for who never heard it; and no news, for who did."""
        _, seen, _ = await joined(ports, "a")
        dead, _, _ = await joined(ports, "b")
        recorded = server.call("GET", "perdure-replication:{perdure}:beat:b")
        await dead.close()
        await until(lambda: Unreachable("b", 100) in seen)

        later, seen_later, _ = await joined(ports, "c", wall=lambda: 1e10)
        server.call("PUBLISH", BEATS, recorded)
        await until(lambda: later.refused["outdated"])

        assert seen[-1] == Unreachable("b", 100)
        assert seen_later == []

    async def test_go_on_in_a_full_broker(self, launch: Any, ports: Any, until: Any) -> None:
        """They are published, where they cannot be kept."""
        server = launch("--maxmemory-policy", "noeviction")
        _, seen, _ = await joined(ports, "a", url=server.url)
        other, _, _ = await joined(ports, "b", url=server.url)
        await until(lambda: seen)

        server.call("CONFIG", "SET", "maxmemory", "1mb")
        await beats_of(other, 25, until)

        assert seen == [Joined(Member("b", 100, "at b"))]
        with pytest.raises(BrokerUnavailable, match="it is full"):
            await ports.membership(url=server.url).claim("c", 1)
        await other.close()
        await until(lambda: seen[1:] == [Unreachable("b", 100)])

    async def test_that_nobody_could_hear_accuse_nobody(self, launch: Any, ports: Any, until: Any) -> None:
        """A broker was away for longer than silence is borne; afterwards members greet each other again."""
        server = launch()
        _, seen, _ = await joined(ports, "a", url=server.url)
        other, _, _ = await joined(ports, "b", url=server.url)
        await until(lambda: seen)

        server.kill()
        await beats_of(other, 25, until)
        assert len(seen) == 1
        server.start()

        await until(lambda: len(seen) == 3)
        assert seen[1:] == [Unreachable("b", 100), Joined(Member("b", 100, "at b"))]

    def test_must_come_before_silence_is_noticed(self) -> None:
        """Two of them at least."""
        with pytest.raises(InvalidTransport, match="allow for two beats"):
            RedisMembership("redis://host", insecure=True, beat_interval=3)
