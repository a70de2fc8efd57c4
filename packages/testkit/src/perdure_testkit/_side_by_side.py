"""What was expected beside what came."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from perdure_testkit._wanted import meets, named

_NOTHING = object()
_WIDTH = 72


def side_by_side(wanted: Sequence[object], actual: Sequence[object]) -> str:
    """Return a table of two columns, each row that differs marked; one below the other where they are too wide."""
    rows = [
        (
            wants is not _NOTHING and came is not _NOTHING and meets(came, wants),
            "(nothing)" if wants is _NOTHING else named(wants),
            "(nothing)" if came is _NOTHING else repr(came),
        )
        for wants, came in zip_longest(wanted, actual, fillvalue=_NOTHING)
    ]
    width = max(len("expected"), *(len(left) for _, left, _ in rows)) if rows else 0
    if width > _WIDTH:
        return "".join(
            f"\n{_mark(agrees)} expected: {left}\n{_mark(agrees)} actual:   {right}" for agrees, left, right in rows
        )
    head = f"\n    {'expected':<{width}}   actual"
    return head + "".join(f"\n{_mark(agrees)} {left:<{width}}   {right}" for agrees, left, right in rows)


def _mark(agrees: bool) -> str:
    return "   " if agrees else "  !"
