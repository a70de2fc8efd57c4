"""What an expectation wants: a type, a value or a predicate."""

from __future__ import annotations

from collections.abc import Iterable


def meets(value: object, wanted: object) -> bool:
    """Tell whether a value is of the wanted type, satisfies the wanted predicate, or equals what is wanted."""
    if isinstance(wanted, type):
        return isinstance(value, wanted)
    return bool(wanted(value)) if callable(wanted) else value == wanted


def named(wanted: object) -> str:
    """Return what is wanted in words."""
    if isinstance(wanted, type):
        return wanted.__name__
    if callable(wanted):
        return f"what satisfies {getattr(wanted, '__qualname__', repr(wanted))}"
    return repr(wanted)


def listed(what: str, values: Iterable[object]) -> str:
    """Return the lines that show values, below what they are; nothing for none."""
    lines = [f"\n  {value!r}" for value in values]
    return f"\n{what}:{''.join(lines)}" if lines else ""
