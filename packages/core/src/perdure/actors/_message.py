"""Messages: what actors are asked and told."""

from __future__ import annotations

from types import NoneType, UnionType
from typing import Any, ClassVar, Generic, TypeVar, Union, dataclass_transform, get_args, get_origin

import msgspec

R = TypeVar("R", covariant=True)  # so that a reply may be wanted as anything that it is


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class _MessageMeta(msgspec.StructMeta):
    """Notes, once for each message type, what reply it promises and whether it is critical."""

    def __new__(
        mcls,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        critical: bool | None = None,
        **options: Any,
    ) -> _MessageMeta:
        return super().__new__(mcls, name, bases, namespace, **options)

    def __init__(
        cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], critical: bool | None = None, **options: Any
    ) -> None:
        super().__init__(name, bases, namespace)
        if critical is not None:
            cls._critical = critical
        for base in namespace.get("__orig_bases__", ()):
            origin = get_origin(base)
            if isinstance(origin, _MessageMeta):
                [reply] = get_args(base)[:1] or (Any,)
                cls._reply_type = reply
                cls._needs_reply = not _allows_none(reply)


class Message(msgspec.Struct, Generic[R], frozen=True, metaclass=_MessageMeta):
    """A request whose reply is an `R`: `class Deposit(Message[int])`. With `Message[None]` no reply is promised.

    A frozen msgspec struct: fields are declared as in a dataclass, and match positionally. A message type that is
    `critical` (`class Flush(Message[None], critical=True)`) is still handled when it is queued at a stop.
    """

    _critical: ClassVar[bool] = False
    _reply_type: ClassVar[Any] = Any
    _needs_reply: ClassVar[bool] = False


def _allows_none(reply: Any) -> bool:
    """Tell whether None may be meant, as by None, an optional, Any, object, or what cannot be told."""
    if get_origin(reply) in (Union, UnionType):
        return any(_allows_none(member) for member in get_args(reply))
    return reply in (None, NoneType, Any, object) or isinstance(reply, TypeVar | str) or not _is_plain(reply)


def _is_plain(reply: Any) -> bool:
    return isinstance(get_origin(reply) or reply, type)
