"""What a message type promises to those who send it to another process: a name, and a reply that can cross."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, TypeVar, get_args, get_origin

import msgspec
from msgspec.inspect import AnyType, CustomType, Field, Type, type_info

from perdure import Message
from perdure_replication.errors import CannotCross
from perdure_replication.ray._names import name_of


class Contract(msgspec.Struct, frozen=True):
    """The name of a message type, and what reads its replies."""

    name: str
    reply: msgspec.msgpack.Decoder[Any]


@cache
def contract(kind: type[Message[Any]]) -> Contract:
    """Return the contract of a message type. Raises `CannotCross`."""
    reply = _reply_of(kind)
    try:
        info = type_info(reply)
    except (TypeError, NameError) as error:
        raise CannotCross(kind.__name__, f"its reply cannot: {error}") from error
    if isinstance(info, AnyType):
        raise CannotCross(kind.__name__, "it does not say what its reply is: write for example Message[int]")
    for part in _parts(info, set()):
        if isinstance(part, CustomType):
            raise CannotCross(
                kind.__name__, f"its reply has a {part.cls.__name__}: use what msgspec knows, such as structs"
            )
    return Contract(name_of(kind), msgspec.msgpack.Decoder(reply))


def _reply_of(kind: type) -> Any:
    """Return the `R` of `Message[R]`; Any where it cannot be told."""
    for base in kind.__mro__:
        for parent in base.__dict__.get("__orig_bases__", ()):
            if get_origin(parent) is Message:
                [reply] = get_args(parent)
                return Any if isinstance(reply, TypeVar) else reply
    return Any


def _parts(info: Type, seen: set[int]) -> Iterator[Type]:
    """Yield a type and whatever it is made of, each once."""
    if id(info) in seen:
        return
    seen.add(id(info))
    yield info
    for name in info.__struct_fields__:
        value = getattr(info, name)
        for part in value if isinstance(value, tuple) else (value,):
            inside = part.type if isinstance(part, Field) else part
            if isinstance(inside, Type):
                yield from _parts(inside, seen)
