"""What may be injected into the calls of a store, which of them it meets, and the note that is made of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

from perdure.abc import WriteGroup

Operation: TypeAlias = Literal["commit", "page", "last", "read_state", "prefixes", "feed"]

Fault: TypeAlias = Literal["reject", "lose", "delay", "hold", "hang", "disconnect", "tear", "duplicate"]

When: TypeAlias = int | Callable[..., bool]
"""The number of a call from now on, 1 being the next; or a function of a call's positional arguments."""

Call: TypeAlias = Callable[[], Awaitable[Any]]


class Injected(msgspec.Struct, frozen=True):
    """One fault that met one call: the `call`-th of its operation, 1 being the first."""

    fault: Fault
    operation: Operation
    call: int
    target: str
    """What was to be written or read; never a value."""
    detail: str = ""

    def __str__(self) -> str:
        detail = f": {self.detail}" if self.detail else ""
        return f"{self.fault} {self.operation} {self.call} of {self.target}{detail}"


class Blow(NamedTuple):
    """What happens to one call."""

    fault: Fault
    suffer: Callable[[Call], Awaitable[Any]]
    detail: str = ""


Strike: TypeAlias = Callable[[Operation, tuple[Any, ...]], Blow | None]
"""Says of a call whether a fault meets it, and what happens then."""


def every_nth(n: int) -> When:
    """Return the `when` of each n-th call from now on. Make one for each fault: it counts."""
    if n < 1:
        raise ValueError(f"every_nth takes 1 or more, not {n}")
    count = 0

    def is_nth(*arguments: object) -> bool:
        nonlocal count
        count += 1
        return count % n == 0

    return is_nth


def chosen(operation: Operation | Literal["any"], when: When) -> Callable[[Operation, tuple[Any, ...]], bool]:
    """Return a function that tells whether a call is meant. It is asked once for each call, for it counts."""
    if not callable(when) and when < 1:
        raise ValueError(f"calls are counted from 1, the next one; not {when}")
    count = 0

    def is_meant(actual: Operation, arguments: tuple[Any, ...]) -> bool:
        nonlocal count
        if operation not in (actual, "any"):
            return False
        count += 1
        if not callable(when):
            return count == when
        return bool(when(actual, *arguments) if operation == "any" else when(*arguments))

    return is_meant


def target_of(operation: Operation, arguments: tuple[Any, ...]) -> str:
    """Return in words what a call is about, without a value."""
    if operation != "commit":
        return "/".join(str(argument) for argument in arguments[:2] if argument is not None)
    groups: Sequence[WriteGroup] = arguments[0]
    prefixes = list(dict.fromkeys(write.prefix for group in groups for write in group.writes))
    shown = ", ".join(prefixes[:3]) + (", …" if len(prefixes) > 3 else "")
    return f"{len(groups)} {'group' if len(groups) == 1 else 'groups'} ({shown or 'empty'})"
