"""Several actors behind one door."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from perdure.actors import Actor, ActorRef, ActorSystem, ConsistentHash, Context, Message, RandomChoice, RoundRobin
from perdure.actors import Router as AnyRouter
from perdure.errors import NoRoutee


class Who(Message[str]):
    """The reply is the key of the actor."""

    about: str = ""


class Worker(Actor):
    async def handle(self, message: Message[Any], context: Context) -> Any:
        self.told = getattr(self, "told", 0) + 1
        return context.key


async def workers(system: ActorSystem, names: str = "abc") -> list[ActorRef]:
    return [await system.spawn(Worker, name) for name in names]


def by_subject(*refs: ActorRef) -> ConsistentHash:
    return ConsistentHash(refs, key=lambda message: message.about)


async def placed(router: AnyRouter, count: int = 300) -> dict[str, str]:
    """Return which actor serves each of so many keys."""
    return {str(n): await router.ask(Who(str(n))) for n in range(count)}


class TestRouter:
    @pytest.mark.parametrize("kind", [RoundRobin, RandomChoice, by_subject])
    async def test_without_actors_says_so(self, system: ActorSystem, kind: Any) -> None:
        """The error names the message and what to do."""
        for call in (kind().ask(Who()), kind().tell(Who())):
            with pytest.raises(NoRoutee, match="no live actor is left behind the router for Who: add one"):
                await call

    @pytest.mark.parametrize("kind", [RoundRobin, RandomChoice, lambda refs: by_subject(*refs)])
    async def test_leaves_out_those_that_are_over(self, system: ActorSystem, kind: Any) -> None:
        """Nobody is asked who cannot reply, and the router forgets them."""
        refs = await workers(system)
        router = kind(refs)
        await refs[0].stop()
        await refs[2].stop()

        replies = {await router.ask(Who(str(n))) for n in range(20)}

        assert (replies, router.refs, system.dead_letters) == ({"b"}, [refs[1]], 0)

    async def test_of_whom_all_are_over_says_so(self, system: ActorSystem) -> None:
        """As one that never had any."""
        [ref] = await workers(system, "a")
        router = RoundRobin([ref])
        await ref.stop()

        with pytest.raises(NoRoutee):
            await router.ask(Who())

    async def test_brings_actors_of_refs_to_life(self, system: ActorSystem) -> None:
        """They need not be live to be routed to."""
        router = RoundRobin([system.ref(Worker, name) for name in "ab"])

        assert [await router.ask(Who()) for _ in range(3)] == ["a", "b", "a"]

    async def test_takes_each_actor_once(self, system: ActorSystem) -> None:
        """To add it again is silent, and so is to remove what is not there."""
        a, b = await workers(system, "ab")
        router = RoundRobin([a, a])
        router.add(a)
        router.remove(b)

        assert router.refs == [a]

    async def test_takes_a_namesake_of_one_that_is_over(self, system: ActorSystem) -> None:
        """A worker that was replaced under its name is at work again."""
        [old] = await workers(system, "a")
        routers = [RoundRobin([old]), by_subject(old)]
        await old.stop()
        [new] = await workers(system, "a")
        for router in routers:
            router.add(new)

        assert [await router.ask(Who()) for router in routers] == ["a", "a"]

    async def test_passes_errors_on(self, system: ActorSystem) -> None:
        """An ask through a router is an ask."""

        class Failing(Actor):
            async def handle(self, message: Message[Any], context: Context) -> Any:
                raise LookupError("not here")

        router = RoundRobin([await system.spawn(Failing, "a")])

        with pytest.raises(LookupError, match="not here"):
            await router.ask(Who())

    async def test_tells_one(self, system: ActorSystem) -> None:
        """A tell goes to one actor as well."""
        told = []

        class Noting(Actor):
            async def handle(self, message: Message[Any], context: Context) -> Any:
                told.append(context.key)
                return ""

        refs = [await system.spawn(Noting, name) for name in "ab"]
        router = RoundRobin(refs)
        for _ in range(3):
            await router.tell(Who())
        for ref in refs:
            await ref.ask(Who())

        assert Counter(told) == {"a": 3, "b": 2}


class TestRoundRobin:
    async def test_takes_turns(self, system: ActorSystem) -> None:
        """In the order in which they came."""
        router = RoundRobin(await workers(system))

        assert "".join([await router.ask(Who()) for _ in range(7)]) == "abcabca"

    async def test_passes_nobody_over_when_one_goes(self, system: ActorSystem) -> None:
        """Those behind the one that went keep their turn."""
        a, b, c, d = await workers(system, "abcd")
        router = RoundRobin([a, b, c, d])
        first = await router.ask(Who())
        router.remove(a)
        second = await router.ask(Who())
        await c.stop()

        assert first + second + "".join([await router.ask(Who()) for _ in range(3)]) == "abdbd"

    async def test_takes_in_who_comes_later(self, system: ActorSystem) -> None:
        """At the end of the round."""
        a, b, c = await workers(system)
        router = RoundRobin([a, b])
        first = await router.ask(Who())
        router.add(c)

        assert first + "".join([await router.ask(Who()) for _ in range(3)]) == "abca"


class TestRandomChoice:
    async def test_is_repeatable_with_a_seed(self, system: ActorSystem) -> None:
        """Chance can be had again."""
        refs = await workers(system)
        runs = [RandomChoice(refs, seed=7) for _ in range(2)]

        assert len({"".join([await router.ask(Who()) for _ in range(30)]) for router in runs}) == 1

    async def test_leaves_nobody_out(self, system: ActorSystem) -> None:
        """Each has about its share."""
        router = RandomChoice(await workers(system), seed=7)

        shares = Counter([await router.ask(Who()) for _ in range(300)])

        assert sorted(shares) == ["a", "b", "c"]
        assert min(shares.values()) > 60


class TestConsistentHash:
    async def test_serves_a_key_by_one_actor(self, system: ActorSystem) -> None:
        """Whatever else is asked, and whoever made the router."""
        refs = await workers(system)

        assert await placed(by_subject(*refs)) == await placed(by_subject(*reversed(refs)))

    async def test_leaves_nobody_out(self, system: ActorSystem) -> None:
        """Each has about its share of the keys."""
        shares = Counter((await placed(by_subject(*await workers(system)))).values())

        assert sorted(shares) == ["a", "b", "c"]
        assert min(shares.values()) > 50

    async def test_moves_few_keys_to_a_newcomer(self, system: ActorSystem) -> None:
        """Those that it takes over, and no others."""
        router = by_subject(*await workers(system))
        before = await placed(router)
        router.add(await system.spawn(Worker, "d"))

        after = await placed(router)

        moved = [key for key in before if before[key] != after[key]]
        assert {after[key] for key in moved} == {"d"}
        assert 30 < len(moved) < 130

    async def test_moves_only_the_keys_of_one_that_is_over(self, system: ActorSystem) -> None:
        """The others stay where they are."""
        a, b, c = await workers(system)
        router = by_subject(a, b, c)
        before = await placed(router)
        await b.stop()

        after = await placed(router)

        assert {before[key] for key in before if before[key] != after[key]} == {"b"}
        assert set(after.values()) == {"a", "c"}

    async def test_gives_the_keys_back_to_one_that_returns(self, system: ActorSystem) -> None:
        """The place of an actor is that of its path."""
        a, b, c = await workers(system)
        router = by_subject(a, b, c)
        before = await placed(router)
        router.remove(b)
        router.add(b)

        assert await placed(router) == before

    async def test_takes_keys_of_bytes(self, system: ActorSystem) -> None:
        """Text and its UTF-8 are one key."""
        refs = await workers(system)
        of_bytes = ConsistentHash(refs, key=lambda message: message.about.encode())

        assert await placed(of_bytes, 30) == await placed(by_subject(*refs), 30)

    async def test_without_points_is_refused(self) -> None:
        """There would be no ring."""
        with pytest.raises(ValueError, match="points is 1 or more, not 0"):
            ConsistentHash(key=str, points=0)
