"""The rules of the port `Membership`, as tests.

pytest is imported where it is used: whoever simulates clusters does not need it.
"""

from __future__ import annotations

import asyncio
from typing import ClassVar

from perdure_replication._member import Joined, Left, Member, MembershipEvent, Unreachable
from perdure_replication.testing._party import Guest, NewPorts, Party, party


class MembershipContract:
    """The rules that every membership keeps: subclass it in a test module, with one fixture in the class.

    `new_ports` returns a callable that makes the two ports of one node, of which neither was used; all that it makes in
    one test are of one cluster. The tests are run by pytest with pytest-asyncio in its mode `auto`.
    """

    patience: ClassVar[float] = 10.0
    """Seconds after which what was not reported will not be; also what is to be found out."""

    async def lose(self, guest: Guest) -> None:
        """Let a node end without a word to the membership. Override it where closing its transport is a word."""
        await guest.transport.close()

    async def test_each_learns_of_the_others(self, new_ports: NewPorts) -> None:
        """Who is there is reported to who comes, and the other way round, with incarnation and address."""
        async with party(self.patience) as given:
            a = await given.start("a", *new_ports(), incarnation=7)
            b = await given.start("b", *new_ports(), incarnation=8)
            c = await given.start("c", *new_ports(), incarnation=9)

            for guest in (a, b, c):
                for other in (a, b, c):
                    if other is not guest:
                        await guest.sees(Joined(other.member))

    async def test_nobody_is_told_of_itself(self, new_ports: NewPorts) -> None:
        """A node that shares its name with nobody never hears of itself."""
        async with party(self.patience) as given:
            a, b = await self._two(given, new_ports)

            await b.membership.leave()  # type: ignore[union-attr]
            await a.sees(Left("b", 1))

            assert {_about(event) for event in a.events} == {"b"}
            assert {_about(event) for event in b.events} == {"a"}

    async def test_who_leaves_is_reported(self, new_ports: NewPorts) -> None:
        """Who leaves is reported as left, with the incarnation that is over."""
        async with party(self.patience) as given:
            a, b = await self._two(given, new_ports)

            await b.membership.leave()  # type: ignore[union-attr]

            await a.sees(Left("b", 1))

    async def test_after_leaving_nothing_is_reported(self, new_ports: NewPorts) -> None:
        """A membership that was left, or closed, reports nothing more."""
        async with party(self.patience) as given:
            a, b = await self._two(given, new_ports)
            await b.membership.leave()  # type: ignore[union-attr]
            await a.sees(Left("b", 1))
            told = list(b.events)

            c = await given.start("c", *new_ports())
            await a.sees(Joined(c.member))

            assert b.events == told

    async def test_who_ends_without_a_word_is_found_out(self, new_ports: NewPorts) -> None:
        """Who is gone without a word is reported as unreachable, with its incarnation."""
        async with party(self.patience) as given:
            a, b = await self._two(given, new_ports)

            await self.lose(b)

            await a.sees(Unreachable("b", 1))

    async def test_who_was_lost_may_come_back(self, new_ports: NewPorts) -> None:
        """A later life of a lost node is reported, and nothing more of the earlier one after it."""
        async with party(self.patience) as given:
            a, b = await self._two(given, new_ports)
            await self.lose(b)
            await a.sees(Unreachable("b", 1))

            again = await given.start("b", *new_ports(), incarnation=2)

            await a.sees(Joined(again.member))
            await again.sees(Joined(a.member))
            assert _incarnations(a.events) == sorted(_incarnations(a.events))

    async def test_who_left_may_come_back(self, new_ports: NewPorts) -> None:
        """A node that left is reported again when it is there again."""
        async with party(self.patience) as given:
            a, b = await self._two(given, new_ports)
            await b.membership.leave()  # type: ignore[union-attr]
            await a.sees(Left("b", 1))
            await given.leave(b)

            again = await given.start("b", *new_ports(), incarnation=2)

            await a.sees(Joined(again.member))

    async def test_a_greater_incarnation_is_reported(self, new_ports: NewPorts) -> None:
        """What a node announces is reported to all others, and to those who come later."""
        async with party(self.patience) as given:
            a, b = await self._two(given, new_ports)
            greater = Member("b", 50, b.member.address)

            await b.membership.announce(greater)  # type: ignore[union-attr]

            await a.sees(Joined(greater))
            c = await given.start("c", *new_ports())
            await c.sees(Joined(greater))

    async def test_a_claim_is_at_least_what_was_asked_for(self, new_ports: NewPorts) -> None:
        """Who claims an incarnation is given one that is not smaller, before it joins and after."""
        async with party(self.patience) as given:
            transport, membership = new_ports()

            early = await membership.claim("a", 1000)
            await given.start("a", transport, membership, incarnation=early)
            late = await membership.claim("a", early + 1000)

            assert early >= 1000
            assert late >= early + 1000

    async def test_close_may_be_called_again(self, new_ports: NewPorts) -> None:
        """`close` may be called twice, after `leave`, and where nobody joined."""
        (_, never), (transport, membership) = new_ports(), new_ports()
        async with party(self.patience) as given:
            await given.start("a", transport, membership)
            await membership.leave()
            await membership.close()

        await membership.close()
        await never.close()

    async def test_close_leaves_no_task(self, new_ports: NewPorts) -> None:
        """When all ports are closed no task of theirs is left."""
        before = asyncio.all_tasks()

        async with party(self.patience) as given:
            await self._two(given, new_ports)

        for _ in range(10):
            await asyncio.sleep(0)
        assert asyncio.all_tasks() == before

    async def _two(self, given: Party, new_ports: NewPorts) -> tuple[Guest, Guest]:
        """Return two nodes who know each other."""
        a, b = await given.start("a", *new_ports()), await given.start("b", *new_ports())
        await a.sees(Joined(b.member))
        await b.sees(Joined(a.member))
        return a, b


def _about(event: MembershipEvent) -> str:
    return event.member.name if isinstance(event, Joined) else event.name


def _incarnations(events: list[MembershipEvent]) -> list[int]:
    return [event.member.incarnation if isinstance(event, Joined) else event.incarnation for event in events]
