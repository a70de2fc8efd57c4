"""Membership by beats: each node says now and then that it is there."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable
from random import random

import msgspec

from perdure import Keyring
from perdure.security import EncryptedKey
from perdure_replication._generation import MAX_NUMBER
from perdure_replication._member import Joined, Left, Member, MembershipEvent
from perdure_replication._membership import Membership, Report
from perdure_replication.errors import BrokerUnavailable, InvalidTransport
from perdure_replication.redis._broker import Broker, Line, Subscription
from perdure_replication.redis._claims import Claims, incarnation_of
from perdure_replication.redis._keys import Keys
from perdure_replication.redis._letters import INSTANCE_BYTES
from perdure_replication.redis._roster import Beat, Roster
from perdure_replication.redis._scripts import script
from perdure_replication.redis._seal import NotAuthentic, Seal
from perdure_replication.redis._transport import RedisTransport

_log = logging.getLogger("perdure.replication")

_USE = ("beat",)
_MOST_NODES = 8192
_MOST_BEATS_TOGETHER = 256


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
        broker = Broker(url, timeout)
        self.refused: Counter[str] = Counter()
        """How many beats and claims were dropped, by the reason: "damaged", "forged", "outdated", "too_many"."""
        if unreachable_after < 2 * beat_interval:
            reason = f"a node is not unreachable after {unreachable_after:g} s, with a beat each {beat_interval:g} s"
            raise InvalidTransport(broker.shown, f"{reason}: allow for two beats at least")
        self._instance = os.urandom(INSTANCE_BYTES)
        self._broker = broker
        self._line = Line(broker)
        self._keys = Keys(cluster)
        self._seal = Seal.of(broker.shown, cluster, secret, insecure)
        self._claims = Claims(self._line, self._keys, self._seal, self._instance)
        self._interval = beat_interval
        self._unreachable_after = unreachable_after
        self._forget_after = forget_after
        self._window = window
        self._wall = wall
        self._claim = b""
        self._member: Member | None = None
        self._report: Report | None = None
        self._roster: Roster | None = None
        self._subscription: Subscription | None = None
        self._number = 0
        self._is_away = False
        self._is_refused = False
        self._returned = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._has_transport = transport is not None
        if transport is not None:
            transport.on_return = self._greet

    async def claim(self, name: str, at_least: int) -> int:
        """Return an incarnation greater than all that the broker has given to the node.

        Raises `BrokerUnavailable`, and `Fenced` where another process has claimed since this one did.
        """
        incarnation, self._claim = await self._claims.claim(name, at_least, self._claim)
        return incarnation

    async def join(self, member: Member, report: Report) -> None:
        """Raise `BrokerUnavailable` when the broker is."""
        self._member, self._report = member, report
        self._roster = Roster(
            member.name,
            unreachable_after=self._unreachable_after,
            forget_after=self._forget_after,
            longest_step=2 * self._interval,
            most=_MOST_NODES,
        )
        self._subscription = Subscription(self._broker, [self._keys.beats], self._hear, self._return)
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
        beat = self._sealed(self._next_beat(member, left=True))
        last = (self._own_claim(member), beat, self._milliseconds(self._forget_after))
        try:
            if await self._line.ask(*script("leave", self._all_keys(member.name), member.name.encode(), *last)):
                await self._line.ask(b"PUBLISH", self._keys.beats, beat)
        except BrokerUnavailable as error:
            _log.warning("%s: the others are not told that it leaves: %s", member.name, error)

    async def forget(self, name: str) -> None:
        """Let a node be gone for all: it has left, and what the broker keeps of it is removed.

        One that is there in truth comes back with a greater incarnation. Raises `BrokerUnavailable`.
        """
        assert self._roster is not None, "the cluster was joined"
        last = self._roster.last(name)
        kept = self._claims.opened(name, await self._line.ask(b"HGET", self._keys.claims, name.encode()) or b"")
        incarnation = max(0 if last is None else last.incarnation, 0 if kept is None else kept.incarnation)
        beat = self._sealed(Beat(name, incarnation, self._instance, MAX_NUMBER, self._milliseconds_now(), left=True))
        await self._forget(name, incarnation, beat)
        await self._line.ask(b"PUBLISH", self._keys.beats, beat)

    async def close(self) -> None:
        self._member = self._report = None
        await self._stop()
        await self._line.close()

    async def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._subscription is not None:
            await self._subscription.close()

    async def _run(self) -> None:
        """Beat, look around and take note of the time, for ever."""
        loop = asyncio.get_running_loop()
        looked = loop.time()
        while True:
            await self._pause()
            try:
                await self._beat()
                if self._is_away or loop.time() - looked >= self._unreachable_after / 2:
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
        assert self._roster is not None
        events = self._roster.pass_time(now)
        self._tell(events)
        for event in events:
            if isinstance(event, Left):
                try:
                    await self._forget(event.name, event.incarnation, b"")
                except BrokerUnavailable as error:
                    _log.warning("%s: the broker still keeps what it has of it: %s", event.name, error)

    def _lose(self, error: BrokerUnavailable) -> None:
        """Take note that the broker is away: nobody is heard, and nobody is held to be silent."""
        if not self._is_away:
            _log.warning("the membership stays as it is until the broker is back: %s", error)
        self._is_away = True
        if self._roster is not None:
            self._roster.listen_again()

    def _return(self) -> None:
        """Beat and look around at once: the broker is back."""
        assert self._roster is not None
        self._line.expect()
        self._roster.listen_again()
        if not self._has_transport:
            self._roster.greet_again()
        self._is_away = True
        self._returned.set()

    def _greet(self) -> None:
        """Let members be greeted when they are heard: the transport may have missed what they said."""
        if self._roster is not None:
            self._roster.greet_again()

    # The own beat

    async def _beat(self, ignored: bytes = b"") -> None:
        """Write a beat, and publish it also where the broker is too full to keep it. Raises `BrokerUnavailable`."""
        member = self._member
        if member is None:
            return
        beat, claim = self._sealed(self._next_beat(member)), self._own_claim(member)
        keys, name = (self._keys.claims, self._keys.beat(member.name)), member.name.encode()
        milliseconds = self._milliseconds(self._unreachable_after)
        writing = script("beat", keys, name, claim, beat, milliseconds, ignored)
        written, published = await self._line.ask_all([writing, (b"PUBLISH", self._keys.beats, beat)])
        if isinstance(published, BrokerUnavailable):
            raise published
        refused = isinstance(written, BrokerUnavailable)
        if refused and not self._is_refused:
            _log.warning("%s: its beats are published, but the broker does not keep them: %s", member.name, written)
        self._is_refused = refused
        if not refused and written is not None:
            await self._yield_to(member, written)

    async def _yield_to(self, member: Member, claim: bytes) -> None:
        """Beat no more where another process has the node now; write again over a claim that is none."""
        other = self._claims.opened(member.name, claim)
        if other is None:
            self._refuse("forged", member.name)
            await self._beat(ignored=claim)
        elif other.instance == self._instance:  # claimed, but the answer was lost
            self._claim = claim
            await self._beat()
        else:
            self._member = None
            self._tell([Joined(Member(member.name, max(other.incarnation, member.incarnation + 1)))])

    def _next_beat(self, member: Member, *, left: bool = False) -> Beat:
        self._number += 1
        now = self._milliseconds_now()
        return Beat(member.name, member.incarnation, self._instance, self._number, now, member.address, left)

    def _own_claim(self, member: Member) -> bytes:
        """Return the claim to the member's incarnation, which another membership or a store may have given."""
        if not self._claim or incarnation_of(self._claim) < member.incarnation:
            self._claim = self._claims.written(member.name, member.incarnation)
        return self._claim

    # The others' beats

    async def _look(self) -> None:
        """Read the beats of all. Raises `BrokerUnavailable`."""
        names: list[bytes] = await self._line.ask(b"HKEYS", self._keys.claims)
        for start in range(0, len(names), _MOST_BEATS_TOGETHER):
            some = [_decoded(name) for name in names[start : start + _MOST_BEATS_TOGETHER]]
            for beat in await self._line.ask(b"MGET", *map(self._keys.beat, some)):
                if beat is not None:
                    self._hear(b"", beat)

    def _hear(self, channel: bytes, data: bytes) -> None:
        beat = self._opened(data)
        if beat is not None and self._roster is not None:
            before = self._roster.turned_away
            self._tell(self._roster.hear(beat))
            self.refused["too_many"] += self._roster.turned_away - before

    def _tell(self, events: Iterable[MembershipEvent]) -> None:
        for event in events:
            if self._report is not None:
                self._report(event)

    def _sealed(self, beat: Beat) -> bytes:
        return bytes((self._seal.suite,)) + self._seal.seal(_USE, (), msgspec.msgpack.encode(beat))

    def _opened(self, data: bytes) -> Beat | None:
        """Return a beat that a member wrote within the window, or None."""
        try:
            beat = _decode_beat(self._seal.open(_USE, (), data[1:]) if data[:1] == bytes((self._seal.suite,)) else b"")
        except NotAuthentic:
            self._refuse("forged", "")
            return None
        except (msgspec.MsgspecError, UnicodeDecodeError):
            self._refuse("damaged", "")
            return None
        if not beat.left and abs(self._milliseconds_now() - beat.sent) > self._window * 1000:
            self._refuse("outdated", beat.name)
            return None
        return beat

    def _refuse(self, reason: str, name: str) -> None:
        self.refused[reason] += 1
        _log.debug("a beat or a claim of %s was dropped: %s", name or "somebody", reason)

    # The broker

    async def _forget(self, name: str, incarnation: int, beat: bytes) -> None:
        number, milliseconds = b"%d" % incarnation, self._milliseconds(self._forget_after)
        await self._line.ask(*script("forget", self._all_keys(name), name.encode(), number, beat, milliseconds))

    def _all_keys(self, name: str) -> tuple[bytes, ...]:
        return self._keys.claims, self._keys.beat(name), self._keys.kept(name), self._keys.keepers

    def _milliseconds(self, seconds: float) -> bytes:
        return b"%d" % max(1, int(seconds * 1000))

    def _milliseconds_now(self) -> int:
        return int(self._wall() * 1000)


_decode_beat = msgspec.msgpack.Decoder(Beat).decode


def _decoded(name: bytes) -> str:
    return name.decode(errors="replace")
