"""Messages between the runtimes of two nodes, over a line of theirs: at most once, and answers by number."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from itertools import count
from random import SystemRandom
from typing import Any

from perdure import Clock
from perdure.errors import ActorStopped, AskTimeout, MailboxFull
from perdure_replication._fields import fields
from perdure_replication._line import Line
from perdure_replication._member import Joined, MembershipEvent
from perdure_replication._node import Node
from perdure_replication._seldom import is_worth_a_line
from perdure_replication._settings import Limits
from perdure_replication.errors import BadFrame, InvalidMessage, PeerUnreachable, RemoteFailure
from perdure_replication.runtime._bridge import Bridge
from perdure_replication.runtime._cluster import ClusterEvents
from perdure_replication.runtime._letters import (
    Ask,
    Cast,
    Codec,
    Refusal,
    Reply,
    Tell,
    decode_letter,
    encode_letter,
    sayable,
)
from perdure_replication.runtime._metrics import RuntimeMetrics
from perdure_replication.runtime._ref import LocalRef, Ref

LINE = "actors"
_MOST = 1000
"""Asks of other nodes that are answered at a time."""
_LONGEST = 86_400.0
"""Seconds for which the answer to another node is waited for, whatever it says."""
_log = logging.getLogger("perdure.replication")


class Exchange:
    """One end of the line between runtimes."""

    def __init__(
        self,
        node: Node,
        codec: Codec,
        clock: Clock,
        metrics: RuntimeMetrics,
        find: Callable[[str], LocalRef[Any] | None],
        cast: Callable[[str, object], object],
    ) -> None:
        """Take the runtime's own: what finds an actor by name, and what broadcasts to a group's own members."""
        self._node = node
        self._codec = codec
        self._clock = clock
        self._metrics = metrics
        self._find = find
        self._cast = cast
        self._numbers = count(SystemRandom().getrandbits(60))  # an answer to an earlier life's ask is nobody's
        self._asked: dict[int, tuple[str, asyncio.Future[Any]]] = {}
        self._lives: dict[str, int] = {}
        self._answers: set[asyncio.Task[None]] = set()
        self._line: Line | None = None

    def open(self, events: ClusterEvents) -> None:
        """Send and receive from now on. Raises `NodeClosed`, and `InvalidNode` where the node has a runtime already."""
        self._events = events
        self._line = self._node.line(LINE, self._receive, self._report)

    async def close(self) -> None:
        """Fail the asks that wait, and receive nothing more."""
        if self._line is not None:
            self._line.close()
        for peer in {peer for peer, _ in self._asked.values()}:
            self._give_up(peer, "the runtime is closed")
        for task in self._answers:
            task.cancel()
        if self._answers:
            await asyncio.wait(self._answers)

    @property
    def line(self) -> Line:
        assert self._line is not None
        return self._line

    # Outwards

    def send(self, peer: str, actor: str, message: object) -> None:
        self._post(peer, encode_letter(Tell(actor, self._codec.pack(message))))

    def broadcast(self, peers: list[str], group: str, message: object) -> int:
        """Post a message to a group's members at some nodes, and return to how many nodes."""
        if not peers:
            return 0
        letter = encode_letter(Cast(group, self._codec.pack(message)))
        posted = sum(self.line.post(peer, letter) for peer in peers)
        self._metrics.unsent += len(peers) - posted
        return posted

    async def ask(self, peer: str, actor: str, message: object, timeout: float) -> Any:
        number = next(self._numbers)
        letter = encode_letter(Ask(number, actor, timeout, self._codec.pack(message)))
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._asked[number] = (peer, answer)
        late = AskTimeout(timeout, _path(peer, actor))
        timer = self._clock.call_at(self._clock.monotonic() + timeout, lambda: _settle(answer, late))
        sending: asyncio.Future[None] | None = None
        try:
            if not self.line.post(peer, letter):
                sending = asyncio.ensure_future(self.line.send(peer, letter))
                sending.add_done_callback(lambda sent: _fail_with(answer, sent))
            return await answer
        finally:
            timer.cancel()
            self._asked.pop(number, None)
            if sending is not None:
                sending.cancel()

    def _post(self, peer: str, letter: bytes) -> None:
        if not self.line.post(peer, letter):
            if not self.line.listens(peer):
                raise PeerUnreachable(peer, "it is no member, or cannot be reached now")
            raise MailboxFull(f"the line to {peer}", self._limits.letters, 0.0)

    @property
    def _limits(self) -> Limits:
        return self._node._settings.limits

    # Inwards

    def _report(self, event: MembershipEvent) -> None:
        if not isinstance(event, Joined):
            self._lives.pop(event.name, None)
            self._give_up(event.name, "it left, or does not answer")
        elif self._lives.get(event.member.name) != event.member.incarnation:
            self._lives[event.member.name] = event.member.incarnation
            self._give_up(event.member.name, "it has begun another life")
        self._events.tell(event)

    def _give_up(self, peer: str, reason: str) -> None:
        for asked, answer in list(self._asked.values()):
            if asked == peer:
                _settle(answer, PeerUnreachable(peer, reason))

    def _receive(self, peer: str, incarnation: int, data: bytes) -> None:
        try:
            letter = decode_letter(data)
            match letter:
                case Tell(actor, parcel):
                    self._tell(actor, self._codec.unpack(parcel))
                case Cast(group, parcel):
                    self._cast(group, self._codec.unpack(parcel))
                case Ask():
                    self._asked_by(peer, letter)
                case Reply(number, parcel):
                    self._answered(peer, number, self._codec.unpack(parcel))
                case Refusal():
                    self._refused(peer, letter)
        except InvalidMessage as error:
            self._unreadable(peer, error)

    def _unreadable(self, peer: str, error: Exception) -> None:
        count = self._metrics.unreadable = self._metrics.unreadable + 1
        if is_worth_a_line(count):
            _log.warning(
                "%s: a letter of %s cannot be read, the %s. such: %s",
                self._node.name,
                peer,
                f"{count:,}",
                error,
                extra=fields(node=self._node.name, peer=peer, error=error),
            )

    def _tell(self, name: str, message: object) -> None:
        try:
            actor = self._find(name)
            if actor is None:
                self._metrics.unknown += 1
            else:
                actor.send(message)
        except ActorStopped:
            self._metrics.unknown += 1
        except MailboxFull:
            self._metrics.full += 1

    def _asked_by(self, peer: str, letter: Ask) -> None:
        if len(self._answers) >= _MOST:
            self._metrics.full += 1
            self._reply(peer, Refusal(letter.number, "full", ""))
            return
        self._begin(self._answer(peer, letter))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._answers.add(task)
        task.add_done_callback(self._answers.discard)

    async def _answer(self, peer: str, letter: Ask) -> None:
        self._reply(peer, await self._outcome(peer, letter))

    async def _outcome(self, peer: str, letter: Ask) -> Reply | Refusal:
        number = letter.number
        actor = self._find(letter.actor)
        if actor is None:
            self._metrics.unknown += 1
            return Refusal(number, "stopped", "there is no such actor")
        try:
            message = self._codec.unpack(letter.parcel)
        except InvalidMessage as error:
            self._unreadable(peer, error)
            return Refusal(number, "unreadable", sayable(str(error)), type(error).__name__)
        try:
            return Reply(
                number, self._codec.pack(await actor.ask(message, timeout=min(max(0.0, letter.timeout), _LONGEST)))
            )
        except AskTimeout as error:
            return Refusal(number, "late", str(error))
        except ActorStopped as error:
            return Refusal(number, "stopped", sayable(error.reason))
        except Exception as error:
            return Refusal(number, "failed", sayable(str(error)), type(error).__name__)

    def _reply(self, peer: str, letter: Reply | Refusal) -> None:
        """Answer, if there is room: whoever asked has a time-out."""
        try:
            posted = self.line.post(peer, encode_letter(letter))
        except BadFrame as error:
            posted = self.line.post(
                peer, encode_letter(Refusal(letter.number, "failed", f"the reply is {error}", "BadFrame"))
            )
        self._metrics.unsent += not posted

    def _answered(self, peer: str, number: int, value: object) -> None:
        answer = self._awaited(peer, number)
        if answer is not None:
            answer.set_result(value)

    def _refused(self, peer: str, letter: Refusal) -> None:
        answer = self._awaited(peer, letter.number)
        if answer is not None:
            answer.set_exception(_error(peer, letter, _MOST))

    def _awaited(self, peer: str, number: int) -> asyncio.Future[Any] | None:
        """Return the future of an ask, if that peer was asked and somebody waits; count who answers too late."""
        asked, answer = self._asked.get(number, ("", None))
        if asked == peer and answer is not None and not answer.done():
            return answer
        self._metrics.late += 1
        return None


class RemoteRef(Ref[Any]):
    """The address of an actor at another node, whether there is one or not.

    Messages are plain data, or of the types that both runtimes were given. Each is handled at most once, and may be
    lost without a word; messages of one sender keep their order as long as the link lasts. Both methods raise
    `InvalidMessage` for other messages, `BadFrame` for one that is greater than `Limits.letter_bytes`, and
    `PeerUnreachable` when the node is no member or cannot be reached, `ask` also as soon as it ceases to be.
    """

    def __init__(self, node: str, name: str, exchange: Exchange, bridge: Bridge) -> None:
        super().__init__(node, name)
        self._exchange = exchange
        self._bridge = bridge

    def send(self, message: object) -> None:
        """Hand a message to the link at once. Raises `MailboxFull` when too many wait for that node."""
        self._bridge.call(self._exchange.send, self.node, self.name, message)

    async def ask(self, message: object, *, timeout: float = 30.0) -> Any:
        """Send a message when the link has room, and return the reply.

        Raises `ActorStopped` when there is no such actor, `RemoteFailure` with what its handler raised, `AskTimeout`.
        """
        return await self._exchange.ask(self.node, self.name, message, timeout)


def _path(peer: str, actor: str) -> str:
    return f"{actor} at {peer}"


def _settle(answer: asyncio.Future[Any], error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)


def _fail_with(answer: asyncio.Future[Any], sent: asyncio.Future[None]) -> None:
    """Let an ask fail with its sending."""
    if not sent.cancelled() and isinstance(error := sent.exception(), Exception):
        _settle(answer, error)


def _error(peer: str, letter: Refusal, most: int) -> Exception:
    match letter.reason:
        case "stopped":
            return ActorStopped(f"an actor at {peer}", letter.text)
        case "late":
            return AskTimeout(0.0, letter.text)
        case "full":
            return MailboxFull(peer, most, 0.0)
        case _:
            return RemoteFailure(f"an actor at {peer}", letter.error, letter.text)
