"""One connection from its first byte to its last, without the socket.

Each side sends a preamble of ten bytes (what this is, its version, how it is secured). Then frames: the caller's
greeting, the answer, a frame that confirms, and from there on whatever either side has to say, each frame with its kind
as its first byte. The one that is called believes nothing until the confirmation: a greeting could be a recording.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import IntEnum

from perdure_replication.tcp._framing import Unframer, framed
from perdure_replication.tcp._greeting import (
    MAGIC,
    MAX_GREETING_BYTES,
    PREAMBLE_BYTES,
    Greeting,
    Refusal,
    check_greeting,
    check_preamble,
    decode_answer,
    decode_greeting,
    encode_greeting,
    preamble,
)
from perdure_replication.tcp._refused import Refused
from perdure_replication.tcp._security import Security


class Kind(IntEnum):
    """What a frame is."""

    CONFIRM = 0
    """The connection stands."""
    PING = 1
    FRAME = 2
    WORD = 3
    """Of the membership."""
    BYE = 4
    """The last of its direction."""


_KINDS = {kind.value: bytes([kind]) for kind in Kind}


class Session:
    """What one side of a connection knows."""

    def __init__(
        self, own: Greeting, security: Security, *, dials: bool, max_frame_bytes: int, expected: str = ""
    ) -> None:
        """Begin. Whoever dials has something to send then."""
        self.peer: Greeting | None = None
        """Who is at the other end, once that is certain."""
        self._own = own
        self._expected = expected
        self._dials = dials
        self._security = security
        self._pipe = security.pipe(dials=dials)
        self._conversation = security.converse(preamble(security.code), dials=dials)
        self._largest = max_frame_bytes + 1 + self._conversation.overhead
        self._frames = Unframer(MAX_GREETING_BYTES)
        self._theirs: Greeting | None = None
        self._step: Callable[[], bool] | None = self._read_preamble
        self._pipe.begin()
        if dials:
            self._pipe.send(preamble(security.code))
            self._say(self._conversation.write(encode_greeting(own)))

    @property
    def partial(self) -> bool:
        """Whether a part of a frame has come, and the rest is missing."""
        return len(self._frames) > 0

    def outgoing(self) -> bytes:
        """Return what is to be put on the wire, once."""
        return self._pipe.outgoing()

    def say(self, kind: Kind, data: bytes = b"") -> None:
        """Say something to the peer, which is certain; `outgoing` has it."""
        self._say(self._conversation.seal(_KINDS[kind] + data))

    def receive(self, data: bytes) -> Iterator[tuple[Kind, bytes]]:
        """Take bytes from the wire. Yields the peer's frames; the first is `CONFIRM`, and from there `peer` is known.

        Raises `Refused` for whatever is not as it should be; `outgoing` may have a last word to the peer then.
        """
        self._frames.feed(self._pipe.receive(data))
        while self._step is not None:
            if not self._step():
                return
            if self.peer is not None and self._dials:
                yield Kind.CONFIRM, b""
        while (message := self._frames.frame()) is not None:
            yield self._opened(message)

    def _opened(self, message: bytes) -> tuple[Kind, bytes]:
        data = self._conversation.open(message)
        if not data or data[0] not in _KINDS:
            raise Refused("garbage", "a frame is of no known kind")
        kind = Kind(data[0])
        if self.peer is None:
            if kind is not Kind.CONFIRM:
                raise Refused("garbage", "it does not confirm the connection")
            self.peer = self._theirs
            self._frames.limit = self._largest
        return kind, data[1:]

    def _say(self, message: bytes) -> None:
        self._pipe.send(framed(message))

    # The steps of the handshake: each tells whether it was done, or has to wait

    def _read_preamble(self) -> bool:
        if not self._frames.starts_like(MAGIC):
            raise Refused("garbage", "it does not speak this protocol")
        data = self._frames.take(PREAMBLE_BYTES)
        if data is None:
            return False
        if not self._dials:
            self._pipe.send(preamble(self._security.code))
        check_preamble(data, self._security.code)
        self._step = self._read_answer if self._dials else self._read_greeting
        return True

    def _read_greeting(self) -> bool:
        message = self._frames.frame()
        if message is None:
            return False
        theirs = decode_greeting(self._conversation.read(message))
        try:
            check_greeting(theirs, self._own, self._pipe.proved(), "")
        except Refused as refused:
            self._say(self._conversation.write(encode_greeting(Refusal(refused.reason, refused.text))))
            raise
        self._say(self._conversation.write(encode_greeting(self._own)))
        self._conversation.begin()
        self._theirs = theirs
        self._step = None
        return True

    def _read_answer(self) -> bool:
        message = self._frames.frame()
        if message is None:
            return False
        theirs = decode_answer(self._conversation.read(message))
        check_greeting(theirs, self._own, self._pipe.proved(), self._expected)
        self._conversation.begin()
        self.say(Kind.CONFIRM)
        self.peer = theirs
        self._frames.limit = self._largest
        self._step = None
        return True
