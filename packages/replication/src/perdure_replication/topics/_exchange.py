"""The topics of one node: what it offers, whom it follows, and the line on which they speak.

Who comes is asked what it offers (`Seek`), again and again until it answers, later each time; who begins or ceases to
offer something says so (`Offer`, all of it each time). What a node offers to itself goes the same way without the line.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from functools import partial
from itertools import count
from math import inf
from random import Random
from typing import TYPE_CHECKING, Any

from perdure_replication._fields import fields
from perdure_replication._line import TOPICS
from perdure_replication._member import Joined, Left, MembershipEvent, Unreachable
from perdure_replication._seldom import is_worth_a_line
from perdure_replication.errors import BadFrame, InvalidNode, NodeClosed, PeerUnreachable
from perdure_replication.topics._publisher import Publisher, Read, Reply
from perdure_replication.topics._source import Source
from perdure_replication.topics._words import (
    MAX_TOPICS,
    Answer,
    Fetch,
    Offer,
    Poke,
    Seek,
    Word,
    decode_word,
    encode_word,
)

if TYPE_CHECKING:
    from perdure_replication._node import Node
    from perdure_replication.topics._reader import Reader

ROOM = 4096
"""What a letter may need beside its records."""
PAGE_BYTES = 256 * 1024
_FIRST_SEEK = 1.0
_LAST_SEEK = 60.0
SETTLING = 5.0
"""Seconds in which a node that begins anew may offer what it did: until then what is held of it stays."""

_log = logging.getLogger("perdure.replication")


class Neighbour:
    """What is known of another node."""

    def __init__(self, incarnation: int, now: float) -> None:
        self.is_reachable = True
        self.seek_at = -inf
        self.pause = _FIRST_SEEK
        self.begin(incarnation, now)

    def begin(self, incarnation: int, now: float) -> None:
        """Know nothing of what a life offers."""
        self.incarnation = incarnation
        self.began = now
        self.offer: Offer | None = None
        self._offered: set[str] = set()

    def take(self, offer: Offer) -> None:
        """Know what is offered."""
        self.offer = offer
        self._offered.update(offer.topics)

    def settles_at(self, topic: str) -> float:
        """Return until when it may be expected to offer a topic that an earlier life of it has offered."""
        return -inf if topic in self._offered else self.began + SETTLING


class Offered:
    """A topic that this node offers."""

    def __init__(self, log: str, source: Source) -> None:
        self.log = log
        self.source = source
        self.publisher = Publisher(source.format)
        self.is_woken = False
        self.failures = 0
        """Pages that could not be read."""


class Exchange:
    """All topics of a node. Get it by `exchange_of`."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.neighbours: dict[str, Neighbour] = {}
        self.offered: dict[str, Offered] = {}
        self.ended: dict[str, int] = {}
        """How far the topics of this node's own keys were that it offers no more: one that is offered again goes on."""
        self._readers: dict[str, Reader] = {}
        self._numbers = count(1)
        self._random = Random(f"{node.name} {node.incarnation}")
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: Any = None
        self._timer_at = inf
        self._is_closed = False
        limits = node._settings.limits
        self.page_bytes = min(PAGE_BYTES, limits.letter_bytes - ROOM)
        self.record_bytes = limits.letter_bytes - ROOM
        """The size of a record at most."""
        if self.page_bytes < ROOM:
            raise InvalidNode(node.name, f"topics need letters of {2 * ROOM:,} bytes: raise Limits.letter_bytes")
        self._line = node.line(TOPICS, self._receive, self._report)

    @property
    def now(self) -> float:
        return self.node.clock.monotonic()

    def check(self) -> None:
        """Raise `NodeClosed` when the node is."""
        if self._is_closed:
            raise NodeClosed(self.node.name)

    def publish(self, topic: str, log: str, source: Source) -> None:
        """Offer a topic. Raises `InvalidNode` if there is one of this name, `NodeClosed`."""
        self.check()
        if topic in self.offered or len(self.offered) >= MAX_TOPICS:
            raise InvalidNode(self.node.name, f"it offers {topic!r} already, or {MAX_TOPICS:,} topics")
        self.offered[topic] = Offered(log, source)
        source.attend(partial(self._wake, topic))
        self._offer_changed()

    def withdraw(self, topic: str) -> None:
        """Offer a topic no more."""
        if self.offered.pop(topic, None) is not None and not self._is_closed:
            self._offer_changed()

    def follow(self, reader: Reader) -> Random:
        """Let a reader take part, and return its randomness.

        Raises `InvalidNode` if its topic has one, `NodeClosed`.
        """
        self.check()
        if reader.topic in self._readers:
            raise InvalidNode(self.node.name, f"it reads {reader.topic!r} already")
        self._readers[reader.topic] = reader
        return Random(self._random.getrandbits(64))

    def unfollow(self, reader: Reader) -> None:
        """Let a reader take part no more."""
        self._readers.pop(reader.topic, None)

    def poke(self, topic: str) -> None:
        """Tell the other nodes that offer the same log that it was added to."""
        log = self.offered[topic].log if topic in self.offered else None
        for name, neighbour in self.neighbours.items():
            if log is not None and neighbour.offer is not None and neighbour.offer.topics.get(topic) == log:
                self._post(name, Poke(log))

    def post(self, peer: str, word: Word) -> None:
        """Send a word, if the link takes it: whoever needs it asks again."""
        if peer == self.node.name:
            asyncio.get_running_loop().call_soon(self._heed, peer, self.node.incarnation, word)
        else:
            self._post(peer, word)

    def turn(self) -> None:
        """Set the timer anew."""
        at = min(
            min((each.seek_at for each in self.neighbours.values() if self._is_sought(each)), default=inf),
            min((each.publisher.due for each in self.offered.values()), default=inf),
            min((reader.due for reader in self._readers.values()), default=inf),
        )
        if at == self._timer_at or self._is_closed:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_at = None, at
        if at < inf:
            self._timer = self.node.clock.call_at(at, self._tick)

    async def close(self) -> None:
        """End everything; readers keep what they hold."""
        if self._is_closed:
            return
        self._is_closed = True
        self._line.close()
        if self._timer is not None:
            self._timer.cancel()
        for reader in list(self._readers.values()):
            reader.end()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something until the node closes."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _post(self, peer: str, word: Word) -> None:
        try:
            if not self._line.post(peer, encode_word(word)):
                text, named = "%s: no %s for %s: the link takes none", fields(node=self.node.name, peer=peer)
                _log.debug(text, self.node.name, type(word).__name__, peer, extra=named)
        except BadFrame as error:  # an interest that is greater than this node's letters
            named = fields(node=self.node.name, peer=peer, error=error)
            _log.error("%s: no %s for %s: %s", self.node.name, type(word).__name__, peer, error, extra=named)

    # Who is there, and offers what

    def _report(self, event: MembershipEvent) -> None:
        if isinstance(event, Joined):
            self._joined(event.member.name, event.member.incarnation)
        elif event.name in self.neighbours:
            if isinstance(event, Left):
                del self.neighbours[event.name]
            elif isinstance(event, Unreachable):
                self.neighbours[event.name].is_reachable = False
            for offered in self.offered.values():
                offered.publisher.gone(event.name)
        self._regard()

    def _joined(self, name: str, incarnation: int) -> None:
        neighbour = self.neighbours.get(name)
        if neighbour is None:
            neighbour = self.neighbours[name] = Neighbour(incarnation, self.now)
        elif neighbour.incarnation != incarnation:
            neighbour.begin(incarnation, self.now)
        neighbour.is_reachable = True
        neighbour.seek_at, neighbour.pause = self.now, _FIRST_SEEK
        if self.offered:
            self._post(name, self._offer())

    def _is_sought(self, neighbour: Neighbour) -> bool:
        return bool(self._readers) and neighbour.offer is None and neighbour.is_reachable

    def _offer(self) -> Offer:
        return Offer(next(self._numbers), {topic: each.log for topic, each in self.offered.items()})

    def _offer_changed(self) -> None:
        offer = self._offer()
        for name in self.neighbours:
            self._post(name, offer)
        self._regard()

    def _regard(self) -> None:
        """Let the readers see who offers what."""
        for reader in list(self._readers.values()):
            reader.regard()
        self.turn()

    # What is said

    def _receive(self, peer: str, incarnation: int, letter: bytes) -> None:
        try:
            word = decode_word(letter)
        except BadFrame as error:
            refused = self.node.engine.metrics.refused
            refused["topics"] = refused.get("topics", 0) + 1
            named = fields(node=self.node.name, peer=peer, error=error)
            _log.debug("%s: a letter of %s is dropped: %s", self.node.name, peer, error, extra=named)
        else:
            self._heed(peer, incarnation, word)

    def _heed(self, peer: str, incarnation: int, word: Word) -> None:
        if self._is_closed:
            return
        match word:
            case Fetch():
                self._fetched(peer, word)
            case Answer():
                reader = self._readers.get(word.topic)
                if reader is not None:
                    reader.receive(peer, word)
            case Offer():
                self._offered(peer, incarnation, word)
            case Seek():
                self._post(peer, self._offer())
            case Poke(log):
                for offered in self.offered.values():
                    if offered.log == log:
                        offered.source.look()
        self.turn()

    def _offered(self, peer: str, incarnation: int, offer: Offer) -> None:
        neighbour = self.neighbours.get(peer)
        if neighbour is None or incarnation < neighbour.incarnation:
            return
        if incarnation > neighbour.incarnation:
            neighbour.begin(incarnation, self.now)
        if neighbour.offer is None or neighbour.offer.number < offer.number:
            neighbour.take(offer)
            self._regard()

    def _fetched(self, peer: str, fetch: Fetch) -> None:
        offered = self.offered.get(fetch.topic)
        if offered is not None and offered.log == fetch.log:
            before, publisher = offered.publisher.limited, offered.publisher
            self._do(offered, publisher.fetched(peer, fetch, self.now))
            if publisher.limited > before:
                limited = self.node.engine.metrics.limited
                limited["readers"] = limited.get("readers", 0) + 1

    # What is due

    def _tick(self) -> None:
        self._timer, self._timer_at = None, inf
        now = self.now
        for name, neighbour in self.neighbours.items():
            if self._is_sought(neighbour) and neighbour.seek_at <= now:
                self._post(name, Seek())
                neighbour.seek_at = now + neighbour.pause
                neighbour.pause = min(_LAST_SEEK, neighbour.pause * 2)
        for offered in self.offered.values():
            for reply in offered.publisher.tick(now):
                self.post(reply.peer, reply.answer)
        for reader in self._readers.values():
            reader.tick()
        self.turn()

    def _wake(self, topic: str) -> None:
        """Read for those who wait, once for all that is added in this turn of the loop."""
        offered = self.offered.get(topic)
        if offered is not None and not offered.is_woken:
            offered.is_woken = True
            asyncio.get_running_loop().call_soon(self._woken, offered)

    def _woken(self, offered: Offered) -> None:
        offered.is_woken = False
        for read in offered.publisher.woken():
            self._do(offered, read)

    def _do(self, offered: Offered, read: Read | None) -> None:
        if read is not None and not self._is_closed:
            self.begin(self._read(offered, read))

    async def _read(self, offered: Offered, read: Read) -> None:
        """Read pages until there is an answer, or nothing."""
        peer, fetch, after = read
        while True:
            try:
                page = await offered.source.page(fetch.interest, after, self.page_bytes)
            except Exception as error:  # of a store, say: the reader asks again, perhaps somebody else
                self._unread(offered, fetch.topic, peer, error)
                offered.publisher.failed(peer, fetch)
                return
            done = offered.publisher.paged(peer, fetch, page, self.now)
            if not isinstance(done, Read):
                break
            after = done.after
            await asyncio.sleep(0)
        if isinstance(done, Reply):
            await self._reply(done)
        self.turn()

    def _unread(self, offered: Offered, topic: str, peer: str, error: Exception) -> None:
        offered.failures += 1
        if is_worth_a_line(offered.failures):
            text, count = "%s: %s cannot be read for %s, the %s. time: %s", f"{offered.failures:,}"
            named = fields(node=self.node.name, peer=peer, topic=topic, error=error)
            _log.warning(text, self.node.name, topic, peer, count, error, extra=named)

    async def _reply(self, reply: Reply) -> None:
        if reply.peer == self.node.name:
            self._heed(reply.peer, self.node.incarnation, reply.answer)
            return
        try:
            await self._line.send(reply.peer, encode_word(reply.answer))
        except (PeerUnreachable, NodeClosed):
            pass
        except BadFrame as error:
            topic = reply.answer.topic
            named = fields(node=self.node.name, peer=reply.peer, topic=topic, error=error)
            _log.error("%s: an answer about %s cannot be sent: %s", self.node.name, topic, error, extra=named)


def exchange_of(node: Node) -> Exchange:
    """Return the exchange of an open node, made when it is first wanted. Raises `NodeClosed`."""
    if node.exchange is None:
        node.exchange = Exchange(node)
    return node.exchange
