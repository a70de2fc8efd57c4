"""What the two ends of a connection say of themselves, before anything else."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec

from perdure_replication._generation import Number
from perdure_replication._messages import MAX_NAME, Name
from perdure_replication.tcp._refused import Reason, Refused

MAGIC = b"perdure\x00"
VERSION = 1
"""Of this protocol. Two programs of different versions do not talk."""
PREAMBLE_BYTES = len(MAGIC) + 2
MAX_GREETING_BYTES = 8 * 1024

Address: TypeAlias = Annotated[str, msgspec.Meta(max_length=MAX_NAME)]


class Greeting(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """A node, as it presents itself on one connection. Fields may be appended, with a default."""

    cluster: Name
    name: Name
    incarnation: Number
    instance: Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
    """Random, and new with each start of a transport."""
    attempt: Number
    """Counts the connections that this instance has begun; of the one that accepts, zero."""
    address: Address = ""
    schema: Annotated[str, msgspec.Meta(max_length=MAX_NAME)] = ""

    @property
    def shown(self) -> str:
        """The name, fit for a log."""
        return repr(self.name[:80])


class Refusal(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """The answer to a greeting that is not accepted."""

    reason: str
    text: Annotated[str, msgspec.Meta(max_length=1000)]


_encode = msgspec.msgpack.Encoder().encode
_greeting = msgspec.msgpack.Decoder(Greeting)
_answer = msgspec.msgpack.Decoder(Greeting | Refusal)


def preamble(security: int) -> bytes:
    """Return the first bytes that each side sends."""
    return MAGIC + bytes([VERSION, security])


def check_preamble(data: bytes, security: int) -> None:
    """Raise `Refused` for first bytes that are not those expected."""
    version, theirs = data[-2:]
    if version != VERSION:
        raise Refused("version", f"it speaks version {version} of the protocol, and this program {VERSION}")
    if theirs != security:
        kinds = {0: "nothing", 1: "a shared secret", 2: "certificates"}
        text = f"it secures connections with {kinds.get(theirs, 'something unknown')}, and this node with "
        raise Refused("security", text + kinds[security])


def encode_greeting(greeting: Greeting | Refusal) -> bytes:
    return _encode(greeting)


def decode_greeting(data: bytes) -> Greeting:
    """Return a greeting. Raises `Refused` for anything else."""
    try:
        greeting: Greeting = _greeting.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refused("garbage", f"its greeting is none: {error}") from error
    return greeting


def decode_answer(data: bytes) -> Greeting:
    """Return the greeting that answers one's own. Raises `Refused` for anything else, and for a refusal."""
    try:
        answer: Greeting | Refusal = _answer.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refused("garbage", f"its answer is none: {error}") from error
    if isinstance(answer, Refusal):
        raise Refused(_known(answer.reason), f"it refuses this node: {answer.text[:200]!r}")
    return answer


def check_greeting(theirs: Greeting, own: Greeting, proved: frozenset[str] | None, expected: str) -> None:
    """Raise `Refused` for a peer that may not be talked to.

    `proved` are the names of which the connection has proof, None where it proves membership of the cluster alone;
    `expected` is the name of who was called, empty where whoever answers is welcome.
    """
    if theirs.instance == own.instance:
        raise Refused("itself", "this node has called itself")
    if theirs.cluster != own.cluster:
        raise Refused("cluster", f"it is of the cluster {theirs.cluster[:80]!r}, and this node of {own.cluster!r}")
    if theirs.schema and own.schema and theirs.schema != own.schema:
        raise Refused("schema", f"its schema is {theirs.schema[:80]!r}, and that of this node {own.schema!r}")
    if proved is not None and theirs.name not in proved:
        names = ", ".join(sorted(proved)) or "nobody"
        raise Refused("identity", f"it says that it is {theirs.shown}, and its certificate is for {names}")
    if theirs.name == own.name:
        raise Refused("own_name", f"it has this node's name, {theirs.shown}")
    if expected and theirs.name != expected:
        raise Refused("identity", f"{theirs.shown} answers where {expected!r} was called")


def _known(reason: str) -> Reason:
    known: tuple[Reason, ...] = ("cluster", "schema", "identity", "itself", "own_name")
    return next((each for each in known if each == reason), "garbage")
