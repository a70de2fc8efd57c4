"""What nodes say to each other about topics: one byte of version, and a MessagePack array."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec

from perdure_replication._generation import MAX_NUMBER, Generation, Number
from perdure_replication._messages import MAX_NAME
from perdure_replication.errors import BadFrame
from perdure_replication.topics._interest import Interest, Key

VERSION = b"\x01"
MAX_TOPICS = 1024
MAX_RECORDS = 4096
"""The records of an answer."""
MAX_POSITION = 256 * 1024
MAX_WAIT = 60_000
"""The milliseconds that a fetch is parked at most."""

Name: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME)]
Position: TypeAlias = Annotated[bytes, msgspec.Meta(max_length=MAX_POSITION)]
Kind: TypeAlias = Literal[0, 1, 2]
WHOLE: Kind = 0
"""The record's data is the value."""
DELTA: Kind = 1
"""The record's data moves the value of the age before to its own."""
GONE: Kind = 2
"""There is no value any more."""


class Record(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What became of a key."""

    key: Key
    generation: Generation
    kind: Kind
    data: bytes = b""

    @property
    def size(self) -> int:
        """About how many bytes it takes in a letter."""
        return 4 * len(self.key) + len(self.data) + 32


class Seek(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """The question what a node offers."""


class Offer(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """All topics that a node offers, each with the log of which its positions are."""

    number: Number
    """Greater in each offer of one life."""
    topics: Annotated[dict[Name, Name], msgspec.Meta(max_length=MAX_TOPICS)]


class Fetch(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """The question what there is of an interest behind a position, or when there will be something."""

    topic: Name
    log: Name
    token: Number
    wait: Annotated[int, msgspec.Meta(ge=0, le=MAX_WAIT)]
    """For how many milliseconds it may be parked."""
    after: Position | None
    interest: Interest


class Answer(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """Records behind the position that was asked for, and the position behind them."""

    topic: Name
    log: Name
    token: Number
    format: Annotated[int, msgspec.Meta(ge=0, le=MAX_NUMBER)]
    """The version of the records' data."""
    position: Position
    begins: bool
    """Whether this is the beginning of all there is: nothing is known behind the position that was asked for."""
    filled: bool
    """Whether it ends what began so: what was not named since is not there."""
    at_tip: bool
    """Whether there was nothing more at this moment."""
    parked: Annotated[int, msgspec.Meta(ge=0, le=MAX_NUMBER)]
    """For how many milliseconds the fetch had been there."""
    records: Annotated[list[Record], msgspec.Meta(max_length=MAX_RECORDS)]


class Poke(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """Word that a log was added to."""

    log: Name


Word: TypeAlias = Seek | Offer | Fetch | Answer | Poke

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Word).decode


def encode_word(word: Word) -> bytes:
    """Return a word as a letter."""
    return VERSION + _encode(word)


def decode_word(letter: bytes) -> Word:
    """Return the word of a letter. Raises `BadFrame`, and nothing else, for whatever is none."""
    if letter[:1] != VERSION:
        raise BadFrame(f"it is of version {letter[:1].hex() or 'nothing'}, and this program reads {VERSION.hex()}")
    try:
        word: Word = _decode(memoryview(letter)[1:])
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise BadFrame(str(error)) from error
    return word
