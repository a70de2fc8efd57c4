"""Membership by beats: each node says now and then that it is there."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from random import random

from perdure import Keyring
from perdure.security import EncryptedKey
from perdure_replication._fields import fields
from perdure_replication._member import Joined, Left, Member, MembershipEvent
from perdure_replication._membership import Membership, Report
from perdure_replication.errors import BrokerUnavailable, InvalidTransport
from perdure_replication.redis._beats import Beats
from perdure_replication.redis._broker import Broker
from perdure_replication.redis._claims import Claims
from perdure_replication.redis._keys import Keys
from perdure_replication.redis._line import Line
from perdure_replication.redis._registry import Registry
from perdure_replication.redis._roster import Roster
from perdure_replication.redis._seal import Seal
from perdure_replication.redis._subscription import Subscription
from perdure_replication.redis._transport import RedisTransport

_log = logging.getLogger("perdure.replication")

_MOST_NODES = 8192


class RedisMembership(Membership):
    """Says who is in the cluster from beats that each node writes to a broker and publishes there.

    Incarnations are counted in the broker, so none is given twice, whatever clocks say. A process whose node has a
    later claim by another one is told so by the report of its own name, and beats no more.

    A node whose beats are missing for `unreachable_after` seconds is unreachable; after `forget_after` seconds, or when
    it leaves, it is gone, and what the broker keeps of it as well. Silence does not count while the broker is away: who
    was there stays there until it is back.
    """

    def __init__(
        self,
        url: str,
        *,
        cluster: str = "perdure",
        transport: RedisTransport | None = None,
        secret: EncryptedKey | Keyring | None = None,
        insecure: bool = False,
        beat_interval: float = 1.0,
        unreachable_after: float = 5.0,
        forget_after: float = 3600.0,
        timeout: float = 5.0,
        window: float = 300.0,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Take a server's URL: redis://, rediss:// or unix://. All nodes of a cluster have one secret, or none.

        `transport`: the node's, where it is of this kind; when it may have missed frames, members are greeted again.
        All times are in seconds. `timeout`: after which the broker is held to be away. `window`: how much the clocks of
        nodes may differ. Raises `InvalidTransport`. Nothing is connected yet.
        """
        broker, keys = Broker(url, timeout), Keys(cluster)
        if unreachable_after < 2 * beat_interval:
            reason = f"a node is not unreachable after {unreachable_after:g} s, with a beat each {beat_interval:g} s"
            raise InvalidTransport(broker.shown, f"{reason}: allow for two beats at least")
        seal = Seal.of(broker.shown, cluster, secret, insecure)
        self.refused: Counter[str] = Counter()
        """How many beats and claims were dropped, by the reason: "damaged", "forged", "outdated", "too_many"."""
        self._interval = beat_interval
        self._look_interval = unreachable_after / 2
        self._line = Line(broker)
        self._beats = Beats(seal, wall, window, self.refused)
        self._claims = Claims(self._line, keys, seal, self._beats.instance)
        self._registry = Registry(self._line, keys, unreachable_after=unreachable_after, forget_after=forget_after)
        self._roster = Roster(
            "",
            unreachable_after=unreachable_after,
            forget_after=forget_after,
            longest_step=2 * beat_interval,
            most=_MOST_NODES,
        )
        self._subscription = Subscription(broker, [keys.beats], self._hear, self._return)
        self._member: Member | None = None
        self._report: Report | None = None
        self._is_away = False
        self._returned = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._has_transport = transport is not None
        if transport is not None:
            transport.on_return = self._roster.greet_again

    async def claim(self, name: str, at_least: int) -> int:
        """Return an incarnation greater than all that the broker has given to the node.

        Raises `BrokerUnavailable`, and `Fenced` where another process has claimed since this one did.
        """
        return await self._claims.claim(name, at_least)

    async def join(self, member: Member, report: Report) -> None:
        """Raise `BrokerUnavailable` when the broker is."""
        self._member, self._report = member, report
        self._roster.own = member.name
        await self._subscription.open()
        await self._beat()
        await self._look()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def announce(self, member: Member) -> None:
        """Beat at once. A broker that is away is told when it is back."""
        self._member = member
        try:
            await self._beat()
        except BrokerUnavailable as error:
            self._lose(error)

    async def leave(self) -> None:
        """Beat for the last time. A broker that is away is not told: the others find out."""
        member, self._member = self._member, None
        await self._stop()
        if member is None:
            return
        try:
            await self._registry.leave(member.name, self._claims.of(member), self._beats.next(member, left=True))
        except BrokerUnavailable as error:
            text = "%s: the others are not told that it leaves: %s"
            _log.warning(text, member.name, error, extra=fields(node=member.name, error=error))

    async def forget(self, name: str) -> None:
        """Let a node be gone for all: it has left, and what the broker keeps of it is removed.

        One that is there in truth comes back with a greater incarnation. Raises `BrokerUnavailable`.
        """
        _, claim = await self._claims.last(name)
        incarnation = max(0 if found is None else found.incarnation for found in (self._roster.last(name), claim))
        last = self._beats.last(name, incarnation)
        await self._registry.forget(name, incarnation, last)
        await self._registry.publish(last)

    async def close(self) -> None:
        self._member = self._report = None
        await self._stop()
        await self._line.close()

    async def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._subscription.close()

    async def _run(self) -> None:
        """Beat, look around and take note of the time, for ever."""
        loop = asyncio.get_running_loop()
        looked = loop.time()
        while True:
            await self._pause()
            try:
                await self._beat()
                if self._is_away or loop.time() - looked >= self._look_interval:
                    await self._look()
                    looked = loop.time()
            except BrokerUnavailable as error:
                self._lose(error)
                continue
            self._is_away = False
            await self._pass_time(loop.time())

    async def _pause(self) -> None:
        self._returned.clear()
        try:
            async with asyncio.timeout(self._interval * (0.8 + 0.2 * random())):
                await self._returned.wait()
        except TimeoutError:
            pass

    async def _pass_time(self, now: float) -> None:
        events = self._roster.pass_time(now)
        self._tell(events)
        for event in events:
            if isinstance(event, Left):
                try:
                    await self._registry.forget(event.name, event.incarnation)
                except BrokerUnavailable as error:
                    text = "%s: the broker still keeps what it has of it: %s"
                    _log.warning(text, event.name, error, extra=fields(peer=event.name, error=error))

    # The broker comes and goes

    def _lose(self, error: BrokerUnavailable) -> None:
        """Take note that the broker is away: nobody is heard, and nobody is held to be silent."""
        if not self._is_away:
            text = "the membership stays as it is until the broker is back: %s"
            name = self._member.name if self._member else None
            _log.warning(text, error, extra=fields(node=name, error=error))
        self._is_away = True
        self._roster.listen_again()

    def _return(self) -> None:
        """Beat and look around at once: the broker is back."""
        self._line.expect()
        self._roster.listen_again()
        if not self._has_transport:
            self._roster.greet_again()
        self._is_away = True
        self._returned.set()

    # The own beat

    async def _beat(self, ignored: bytes = b"") -> None:
        """Raise `BrokerUnavailable`."""
        member = self._member
        if member is None:
            return
        other = await self._registry.beat(member.name, self._claims.of(member), self._beats.next(member), ignored)
        if other is not None:
            await self._yield_to(member, other)

    async def _yield_to(self, member: Member, claim: bytes) -> None:
        """Beat no more where another process has the node now; write again over a claim that is none."""
        other = self._claims.opened(member.name, claim)
        if other is None:
            self._beats.refuse("forged", member.name)
            await self._beat(ignored=claim)
        elif other.instance == self._beats.instance:  # claimed, but the answer was lost
            self._claims.held = claim
            await self._beat()
        else:
            self._member = None
            self._tell([Joined(Member(member.name, max(other.incarnation, member.incarnation + 1)))])

    # The others' beats

    async def _look(self) -> None:
        """Read the beats of all. Raises `BrokerUnavailable`."""
        async for beat in self._registry.beats():
            self._hear(b"", beat)

    def _hear(self, channel: bytes, data: bytes) -> None:
        beat = self._beats.opened(data)
        if beat is not None:
            before = self._roster.turned_away
            self._tell(self._roster.hear(beat))
            self.refused["too_many"] += self._roster.turned_away - before

    def _tell(self, events: Iterable[MembershipEvent]) -> None:
        for event in events:
            if self._report is not None:
                self._report(event)
