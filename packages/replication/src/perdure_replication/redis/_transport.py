"""A transport of letters that are published in a broker."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import ClassVar

from perdure import Keyring
from perdure.security import EncryptedKey
from perdure_replication._fields import fields
from perdure_replication._frames import MAX_FRAME_BYTES
from perdure_replication._member import Member
from perdure_replication._transport import Receive, Transport
from perdure_replication.errors import BadFrame, BrokerUnavailable, NodeClosed, PeerUnreachable
from perdure_replication.redis._broker import Broker
from perdure_replication.redis._flow import Flow, Intake
from perdure_replication.redis._keeper import Keeper
from perdure_replication.redis._keys import Keys
from perdure_replication.redis._letters import MOST_OVERHEAD, Letter, Reader, Refused, Writer
from perdure_replication.redis._line import Line
from perdure_replication.redis._seal import Seal
from perdure_replication.redis._shelf import Shelf
from perdure_replication.redis._subscription import Subscription

_log = logging.getLogger("perdure.replication")

_EVERYONE = "all members"
_MOST_SOURCES = 8192


class RedisTransport(Transport):
    """Carries frames by publishing them in one Redis or Valkey server, where each node listens to two channels.

    One message reaches all members. The last snapshot of each state of each node is kept in the broker, so that who
    comes later has it at once, also while its owner is down. While the broker is away, nobody is reached; afterwards
    what is kept there is written again, and the nodes ask for what they have missed.

    With a secret each letter is sealed for its channel, and taken once; without one, whoever can reach the broker can
    speak as any node.
    """

    broadcasts: ClassVar[bool] = True
    retains: ClassVar[bool] = True

    def __init__(
        self,
        url: str,
        *,
        cluster: str = "perdure",
        secret: EncryptedKey | Keyring | None = None,
        insecure: bool = False,
        timeout: float = 5.0,
        window: float = 300.0,
        max_frame_bytes: int = MAX_FRAME_BYTES,
        max_kept_bytes: int = 256 * 1024 * 1024,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Take a server's URL: redis://, rediss:// or unix://. All nodes of a cluster have one secret, or none.

        `timeout`: seconds after which the broker is held to be away, or a peer to be stuck. `window`: seconds by which
        the clocks of nodes may differ. `max_kept_bytes`: how much of what others have kept is read at the start.
        Raises `InvalidTransport`. Nothing is connected yet.
        """
        self.max_frame_bytes = max_frame_bytes
        self.refused: Counter[str] = Counter()
        """How many letters were dropped, by the reason: "damaged", "foreign", "forged", "kept", "misdirected",
        "outdated", "own_name", "replayed", "sealed", "skipped", "too_large", "too_many", "unsealed"."""
        self._broker = Broker(url, timeout)
        self._seal = Seal.of(self._broker.shown, cluster, secret, insecure)
        self._keys = Keys(cluster)
        self._line = Line(self._broker)
        self._window = window
        self._wall = wall
        self._max_kept_bytes = max_kept_bytes
        self._name = ""
        self._flows: dict[str, Flow] = {}
        self._intake = Intake()
        self._incarnations: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._subscription: Subscription | None = None
        self._is_open = False
        self.on_return: Callable[[], None] | None = None
        """Called when it listens again after a loss: others may have said what was missed."""

    async def start(self, local: Member, receive: Receive) -> str:
        """Raise `BrokerUnavailable` when the broker is. The name of a node is its address."""
        self._name, self._receive = local.name, receive
        self._writer = Writer(self._seal, self._name, self._wall)
        self._reader = Reader(
            self._seal, self._name, self._writer.instance, self._wall, window=self._window, most=_MOST_SOURCES
        )
        self._keeper = Keeper(self._line, self._keys, self._seal, local)
        self._inbox = self._keys.inbox(self._name)
        channels = [self._keys.everyone, self._inbox]
        self._subscription = Subscription(self._broker, channels, self._take, self._return)
        self._is_open = True
        await self._subscription.open()
        return ""

    async def send(self, peer: str, frame: bytes) -> None:
        """Wait while more than 4 MiB are on their way to the peer.

        Raises `PeerUnreachable` also when that takes longer than the timeout.
        """
        self._check(peer, frame)
        flow = self._flows.setdefault(peer, Flow())
        try:
            await flow.wait(self._broker.timeout)
        except TimeoutError:
            raise PeerUnreachable(peer, f"it has taken nothing for {self._broker.timeout:g} s") from None
        number, letter = self._writer.write(self._keys.inbox(peer), frame)
        flow.sent(number, len(letter))
        if not await self._publish(peer, self._keys.inbox(peer), letter):
            flow.reset()
            raise PeerUnreachable(peer, "it does not listen")

    async def broadcast(self, frame: bytes) -> None:
        self._check(_EVERYONE, frame)
        _, letter = self._writer.write(self._keys.everyone, frame)
        await self._publish(_EVERYONE, self._keys.everyone, letter)

    async def retain(self, state: str, frame: bytes) -> None:
        """Return also when the broker does not take it now: it is written when it does."""
        self._check_open()
        await self._keeper.keep(state, frame)

    async def retained(self) -> Sequence[tuple[str, bytes]]:
        """Raise `BrokerUnavailable`. What is not authentic is left out, and counted as "kept"."""
        self._check_open()
        shelf = Shelf(self._line, self._keys, self._seal)
        try:
            return await shelf.read(self._name, self._max_kept_bytes, self.max_frame_bytes + MOST_OVERHEAD)
        finally:
            self.refused["kept"] += shelf.refused
            self.refused["skipped"] += shelf.skipped

    def peer_up(self, member: Member) -> None:
        if self._incarnations.get(member.name) != member.incarnation:
            self._incarnations[member.name] = member.incarnation
            if member.name in self._flows:
                self._flows[member.name].reset()

    def peer_down(self, name: str) -> None:
        self._incarnations.pop(name, None)
        self._intake.forget(name)
        flow = self._flows.pop(name, None)
        if flow is not None:
            flow.reset()

    async def close(self) -> None:
        self._is_open = False
        if self._subscription is not None:
            await self._subscription.close()
            await self._keeper.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._line.close()

    def _check_open(self) -> None:
        if not self._is_open:
            raise NodeClosed(self._name)

    def _check(self, peer: str, frame: bytes) -> None:
        if not self._is_open:
            raise PeerUnreachable(peer, "this transport is closed")
        if len(frame) > self.max_frame_bytes:
            raise BadFrame(f"it has {len(frame):,} bytes, over {self.max_frame_bytes:,}")

    async def _publish(self, peer: str, channel: bytes, letter: bytes) -> int:
        """Return how many connections a letter was given to. Raises `PeerUnreachable`."""
        try:
            return int(await self._line.ask(b"PUBLISH", channel, letter))
        except BrokerUnavailable as error:
            raise PeerUnreachable(peer, str(error)) from error

    # What comes

    def _return(self) -> None:
        self._line.expect()
        self._keeper.write_again()
        if self.on_return is not None:
            self.on_return()

    def _take(self, channel: bytes, data: bytes) -> None:
        """Take a letter, if it is one for us."""
        if len(data) > self.max_frame_bytes + MOST_OVERHEAD:
            self._refuse("too_large")
            return
        try:
            letter = self._reader.read(channel, data)
        except Refused as refused:
            self._refuse(refused.reason)
            return
        if letter is None:
            return
        if letter.kind == "taken":
            self._learn(letter)
        elif len(letter.body) > self.max_frame_bytes:
            self._refuse("too_large")
        else:
            if channel == self._inbox and self._intake.is_due(letter.source, len(data)):
                self._begin(self._say_taken(letter))
            self._receive(letter.source, letter.body)

    def _learn(self, letter: Letter) -> None:
        flow = self._flows.get(letter.source)
        if flow is not None:
            flow.taken(int.from_bytes(letter.body[:8], "big"))

    async def _say_taken(self, letter: Letter) -> None:
        channel = self._keys.inbox(letter.source)
        _, answer = self._writer.write(channel, letter.number.to_bytes(8, "big"), "taken")
        try:
            await self._line.ask(b"PUBLISH", channel, answer)
        except BrokerUnavailable:
            pass  # it waits for a while, and goes on

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _refuse(self, reason: str) -> None:
        self.refused[reason] += 1
        _log.debug("%s: a letter was dropped: %s", self._name, reason, extra=fields(node=self._name, reason=reason))
