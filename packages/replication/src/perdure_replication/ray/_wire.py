"""What crosses between a ref and a host: MessagePack in bytes, which Ray carries as they are.

An error crosses as its type's name and arguments, and only where it can be made again of these; whatever cannot is a
`RemoteFailure` with its text. Nothing is pickled: what can be sent is what a message, a reply or an error declares.
"""

from __future__ import annotations

import traceback
from typing import Any, TypeAlias

import msgspec

from perdure.errors import Rejected
from perdure_replication.errors import CannotCross, RemoteFailure, ReplyLost
from perdure_replication.ray._names import name_of, named


class Request(msgspec.Struct, frozen=True, array_like=True):
    """A message for an actor; `seconds` is how long its reply is waited for."""

    actor: str
    key: str
    message: str
    body: msgspec.Raw
    seconds: float


class Done(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """A message was handled, or taken where it was told."""

    reply: msgspec.Raw


class Failed(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """An error: its type and arguments, or None where it cannot be made of these again; its text; where it happened."""

    error: str
    arguments: list[Any] | None
    text: str
    trace: str


Answer: TypeAlias = Done | Failed

encode = msgspec.msgpack.Encoder().encode
read_request = msgspec.msgpack.Decoder(Request).decode
_read_answer: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)


def failed(error: Exception) -> Failed:
    """Return an error as what crosses."""
    kind = f"{type(error).__module__}:{type(error).__qualname__}"
    trace = "" if isinstance(error, Rejected) else "".join(traceback.format_exception(error))
    found = Failed(kind, list(error.args), str(error), trace)
    try:
        name_of(type(error))
        again = msgspec.msgpack.decode(encode(found), type=Failed)
        if str(_made(again)) == str(error):
            return found
    except Exception:  # an error of a user's may do what it likes when it is made
        pass
    return Failed(kind, None, _text(error), trace)


def error_of(path: str, answer: Failed) -> Exception:
    """Return the error to raise: one of the type that was raised, or `RemoteFailure`."""
    try:
        error = _made(answer)
    except Exception:  # its type may not be known here, or be another
        error = RemoteFailure(path, answer.error, answer.text)
    if answer.trace:
        error.add_note(f"raised at a host:\n{answer.trace}")
    return error


def reply_of(path: str, frame: bytes, reply: msgspec.msgpack.Decoder[Any]) -> Any:
    """Return the reply in an answer, or raise its error. Raises `ReplyLost` where it is not what was promised."""
    answer = _read_answer.decode(frame)
    if isinstance(answer, Failed):
        raise error_of(path, answer)
    try:
        return reply.decode(answer.reply)
    except msgspec.MsgspecError as error:
        raise ReplyLost(path, str(error)) from error


def _made(answer: Failed) -> Exception:
    kind = named(answer.error)
    if answer.arguments is None or not (isinstance(kind, type) and issubclass(kind, Exception)):
        raise CannotCross(answer.error, "it is not an error that can be made again")
    error: Exception = kind(*map(_frozen, answer.arguments))
    return error


def _frozen(value: Any) -> Any:
    """Return plain data with its lists as the tuples that they were."""
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _text(error: Exception) -> str:
    try:
        return str(error)
    except Exception:
        return f"a {type(error).__name__} without a text"
