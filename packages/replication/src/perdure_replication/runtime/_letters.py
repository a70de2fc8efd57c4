"""What runtimes of two nodes say to each other, and how messages become bytes.

A message is plain data, which is what msgspec gives back as it was: None, bool, int, float, str, bytes, and lists and
dictionaries of these. Or it is an instance of a type that both runtimes were given as `messages`, a msgspec struct or a
dataclass; its name goes with it. So nobody can have a node make an object that its program did not name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import is_dataclass
from typing import Any, Literal, TypeAlias

import msgspec

from perdure_replication.errors import InvalidMessage, InvalidRuntime

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode
Reason: TypeAlias = Literal["failed", "full", "late", "stopped", "unreadable"]


class Parcel(msgspec.Struct, frozen=True, array_like=True):
    """A message: the name of its type, empty for plain data, and its bytes."""

    kind: str
    body: bytes


class _Letter(msgspec.Struct, frozen=True, array_like=True, tag_field="is"):
    pass


class Tell(_Letter, frozen=True, array_like=True, tag="tell"):
    actor: str
    parcel: Parcel


class Cast(_Letter, frozen=True, array_like=True, tag="cast"):
    group: str
    parcel: Parcel


class Ask(_Letter, frozen=True, array_like=True, tag="ask"):
    number: int
    actor: str
    timeout: float
    parcel: Parcel


class Reply(_Letter, frozen=True, array_like=True, tag="reply"):
    number: int
    parcel: Parcel


class Refusal(_Letter, frozen=True, array_like=True, tag="refusal"):
    number: int
    reason: Reason
    text: str
    error: str = ""
    """The name of the type of what was raised."""


Letter: TypeAlias = Tell | Cast | Ask | Reply | Refusal
_decode_letter = msgspec.msgpack.Decoder(Letter).decode


def encode_letter(letter: Letter) -> bytes:
    return _encode(letter)


def decode_letter(data: bytes) -> Letter:
    """Return a letter. Raises `InvalidMessage` for rubbish."""
    try:
        return _decode_letter(data)  # type: ignore[no-any-return]
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise InvalidMessage("letter", str(error)) from error


def sayable(text: str) -> str:
    """Return a text that can be sent: halves of surrogate pairs, as names of files have them, are written out."""
    return text.encode(errors="backslashreplace").decode()


class Codec:
    """The message types that go between nodes."""

    def __init__(self, kind: str, messages: Iterable[type[Any]]) -> None:
        """Raise `InvalidRuntime` for types that cannot be encoded, and for two of one name."""
        self._decoders: dict[str, msgspec.msgpack.Decoder[Any]] = {}
        self._types: set[type[Any]] = set()
        for each in messages:
            if not isinstance(each, msgspec.StructMeta) and not is_dataclass(each):
                raise InvalidRuntime(kind, f"the message type {each.__name__} is no msgspec struct, and no dataclass")
            if each.__name__ in self._decoders:
                raise InvalidRuntime(kind, f"two message types are named {each.__name__}: rename one")
            self._types.add(each)
            self._decoders[each.__name__] = _decoder(kind, each)

    def pack(self, message: object) -> Parcel:
        """Raise `InvalidMessage` for what is neither plain data nor of a type that is known."""
        kind = type(message)
        try:
            if kind in self._types:
                return Parcel(kind.__name__, _encode(message))
            body = _encode(message)
            plain = _decode(body) == message
        except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
            raise InvalidMessage(kind.__name__, str(error)) from error
        if not plain:
            raise InvalidMessage(kind.__name__, "it is no plain data, and its type is not known")
        return Parcel("", body)

    def unpack(self, parcel: Parcel) -> Any:
        """Raise `InvalidMessage` for a type that is not known, or bytes that are none of it."""
        if parcel.kind and parcel.kind not in self._decoders:
            raise InvalidMessage(parcel.kind, "its type is not known here")
        try:
            return self._decoders[parcel.kind].decode(parcel.body) if parcel.kind else _decode(parcel.body)
        except (ValueError, RecursionError, msgspec.MsgspecError) as error:
            raise InvalidMessage(parcel.kind or "plain data", str(error)) from error


def _decoder(kind: str, message: type[Any]) -> msgspec.msgpack.Decoder[Any]:
    try:
        return msgspec.msgpack.Decoder(message)
    except TypeError as error:
        raise InvalidRuntime(kind, f"messages of the type {message.__name__} cannot be encoded: {error}") from error
