"""Letters: what one node publishes for others, with proof of who it was, and that it is new.

A letter is a head and a body::

    byte 0        format, 1
    byte 1        suite: 0 none, 1 AES-256-GCM
    bytes 2-3     length of the head, big-endian
    the head      a MessagePack array: cluster, channel, source, instance, number, sent, kind, key
    the rest      the body; sealed, the ciphertext and a tag of 16 bytes

Sealed, the key is made of the secret, the cluster, the source and the *instance*, 16 random bytes of the sending
process; the nonce is the letter's number, which an instance never uses twice; and all that stands before the ciphertext
is authenticated.

A letter is taken once. Of one instance the numbers of each channel only grow. Of several instances of one source, a
letter of another one is taken only if it was sent later than all that were taken before: so nothing of an earlier life
is taken again. What was sent longer ago than a window is never taken, nor what comes from as far in the future; so who
was just started, and remembers nothing, can be told nothing older. It costs that clocks must agree within the window,
and that a node whose clock was set back is not heard until the clock is where it was.

The proof is of the secret, which all nodes share: it says that a member sent the letter, not that it told its own name.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Annotated, Literal, NamedTuple, TypeAlias

import msgspec

from perdure_replication._generation import Number
from perdure_replication._messages import Name
from perdure_replication.redis._seal import KEY_ID_BYTES, NONCE_BYTES, NotAuthentic, Seal, Use

Kind: TypeAlias = Literal["frame", "taken"]

INSTANCE_BYTES = 16
MOST_OVERHEAD = 16 * 1024
"""How many bytes a letter has at most beside its body: a head with the longest names, and a tag."""

_FORMAT = 1
_START = 4


class Refused(Exception):
    """A letter is not taken; its reason is what is counted."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Letter(NamedTuple):
    """A letter that was taken."""

    source: str
    kind: Kind
    number: int
    body: bytes


class _Head(msgspec.Struct, frozen=True, array_like=True, gc=False):
    cluster: Name
    channel: bytes
    source: Name
    instance: Annotated[bytes, msgspec.Meta(min_length=INSTANCE_BYTES, max_length=INSTANCE_BYTES)]
    number: Number
    sent: Number
    """In microseconds since 1970."""
    kind: Kind
    key: Annotated[bytes, msgspec.Meta(min_length=KEY_ID_BYTES, max_length=KEY_ID_BYTES)]
    """What names the key of the secret."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Head).decode


class Writer:
    """Writes the letters of one life of a node."""

    def __init__(self, seal: Seal, source: str, wall: Callable[[], float]) -> None:
        self.instance = os.urandom(INSTANCE_BYTES)
        self._seal = seal
        self._source = source
        self._wall = wall
        self._number = 0

    def write(self, channel: bytes, body: bytes, kind: Kind = "frame") -> tuple[int, bytes]:
        """Return the number of a new letter, and the letter."""
        self._number += 1
        sent = int(self._wall() * 1e6)
        key = self._seal.key_id
        head = _encode(_Head(self._seal.cluster, channel, self._source, self.instance, self._number, sent, kind, key))
        start = bytes((_FORMAT, self._seal.suite)) + len(head).to_bytes(2, "big") + head
        if self._seal.suite:
            use = _use(self._source, self.instance)
            body = self._seal.encrypted(key, use, _nonce(self._number), body, start)
        return self._number, start + body


class _Source:
    __slots__ = ("instance", "numbers", "sent")

    def __init__(self, instance: bytes) -> None:
        self.instance = instance
        self.numbers: dict[bytes, int] = {}
        self.sent = 0


class Reader:
    """Takes the letters that come to one node, each once."""

    def __init__(
        self, seal: Seal, name: str, instance: bytes, wall: Callable[[], float], *, window: float, most: int
    ) -> None:
        """Take letters of at most `most` sources that were sent at most `window` seconds ago."""
        self._seal = seal
        self._name = name
        self._instance = instance
        self._wall = wall
        self._window = window * 1e6
        self._most = most
        self._sources: dict[str, _Source] = {}

    def read(self, channel: bytes, data: bytes) -> Letter | None:
        """Return a letter that came on a channel, or None for one of our own. Raises `Refused`."""
        start, head = self._head(data)
        if head.cluster != self._seal.cluster:
            raise Refused("foreign")
        if head.instance == self._instance:
            return None
        if head.source == self._name:
            raise Refused("own_name")
        if head.channel != channel:
            raise Refused("misdirected")
        body = self._body(start, head, data)
        self._note(head)
        return Letter(head.source, head.kind, head.number, body)

    def _head(self, data: bytes) -> tuple[bytes, _Head]:
        if len(data) < _START or data[0] != _FORMAT:
            raise Refused("damaged")
        if data[1] != self._seal.suite:
            raise Refused("sealed" if data[1] else "unsealed")
        end = _START + int.from_bytes(data[2:_START], "big")
        try:
            return data[:end], _decode(data[_START:end])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise Refused("damaged") from None

    def _body(self, start: bytes, head: _Head, data: bytes) -> bytes:
        body = data[len(start) :]
        if not self._seal.suite:
            return body
        try:
            use = _use(head.source, head.instance)
            return self._seal.decrypted(head.key, use, _nonce(head.number), body, start)
        except NotAuthentic:
            raise Refused("forged") from None

    def _note(self, head: _Head) -> None:
        """Remember a letter, so that it is not taken again. Raises `Refused` where it may have been taken before."""
        if abs(self._wall() * 1e6 - head.sent) > self._window:
            raise Refused("outdated")
        source = self._sources.get(head.source)
        if source is None:
            self._make_room()
            source = self._sources[head.source] = _Source(head.instance)
        elif source.instance != head.instance:
            if head.sent <= source.sent:
                raise Refused("replayed")
            source.instance, source.numbers = head.instance, {}
        elif head.number <= source.numbers.get(head.channel, 0):
            raise Refused("replayed")
        source.numbers[head.channel] = head.number
        source.sent = max(source.sent, head.sent)

    def _make_room(self) -> None:
        """Forget those of whom nothing would be taken anyhow. Raises `Refused` where there are none."""
        if len(self._sources) < self._most:
            return
        oldest = self._wall() * 1e6 - self._window
        self._sources = {name: source for name, source in self._sources.items() if source.sent >= oldest}
        if len(self._sources) >= self._most:
            raise Refused("too_many")


def _use(source: str, instance: bytes) -> Use:
    return ("letter", source, instance)


def _nonce(number: int) -> bytes:
    return number.to_bytes(NONCE_BYTES, "big")
