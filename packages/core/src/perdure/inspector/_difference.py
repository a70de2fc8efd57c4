"""What has changed between two documents, as lines in which the one becomes the other.

What is the same is shown in short: the first and last members of a dict or list stand for all of them, so that what has
changed in a state of a hundred thousand members is seen as soon as in one of ten.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum
from itertools import islice
from typing import Final, Literal, NamedTuple, TypeAlias

from perdure.inspector._documents import Document, brief, scalar

Sign: TypeAlias = Literal["same", "added", "removed", "changed", "gap"]

MOST_LINES = 600
_DEEPEST = 24
_MOST_KEYS = 24
"""So many members of a dict that are the same are shown beside what changed."""

_FEW, _MANY = 2, 8
"""So many members of a list are shown at either end: of what is the same, and of what is not."""

_SHORT = 100  # characters


class _Nothing(Enum):
    NOTHING = 0


NOTHING: Final = _Nothing.NOTHING
"""What was there before the first event."""


class Line(NamedTuple):
    """A line: how it changed, how deep it stands, under which key; its text, and what it was if that changed."""

    sign: Sign
    depth: int
    key: str | None
    text: str
    before: str | None = None


def difference(before: Document | _Nothing, after: Document) -> list[Line]:
    """Return a document in lines with what has changed since `before`; without that, nothing has."""
    if isinstance(before, _Nothing):
        before = after
    lines = list(islice(_compared(before, after, None, 0), MOST_LINES + 1))
    if len(lines) > MOST_LINES:
        lines[MOST_LINES:] = [Line("gap", 0, None, "there is more: open it as JSON")]
    return lines


def _compared(before: Document, after: Document, key: str | None, depth: int) -> Iterator[Line]:
    if _is_same(before, after):
        yield from _whole("same", after, key, depth)
    elif isinstance(before, dict) and isinstance(after, dict) and depth < _DEEPEST:
        yield Line("same", depth, key, "{")
        yield from _compared_dicts(before, after, depth + 1)
        yield Line("same", depth, None, "}")
    elif isinstance(before, list) and isinstance(after, list) and depth < _DEEPEST:
        yield Line("same", depth, key, "[")
        yield from _compared_lists(before, after, depth + 1)
        yield Line("same", depth, None, "]")
    elif _is_scalar(before) and _is_scalar(after):
        yield Line("changed", depth, key, scalar(after), scalar(before))
    else:
        yield from _whole("removed", before, key, depth)
        yield from _whole("added", after, key, depth)


def _compared_dicts(before: dict[str, Document], after: dict[str, Document], depth: int) -> Iterator[Line]:
    """Yield the members of a dict; those that are the same stand together where they are many."""
    same = [key for key in after if key in before and _is_same(before[key], after[key])]
    hidden = set(same[_MOST_KEYS:])
    for key, value in after.items():
        if key in hidden:
            continue
        if key in before:
            yield from _compared(before[key], value, key, depth)
        else:
            yield from _whole("added", value, key, depth)
    for key, value in before.items():
        if key not in after:
            yield from _whole("removed", value, key, depth)
    if hidden:
        yield _gap(len(hidden), depth)


def _compared_lists(before: list[Document], after: list[Document], depth: int) -> Iterator[Line]:
    """Yield the members of a list: what it begins and ends with as before, and between them what differs."""
    shorter = min(len(before), len(after))
    head = next((at for at in range(shorter) if not _is_same(before[at], after[at])), shorter)
    left = shorter - head
    tail = next((at for at in range(left) if not _is_same(before[-1 - at], after[-1 - at])), left)
    old, new = before[head : len(before) - tail], after[head : len(after) - tail]
    yield from _members("same", after[:head], depth)
    if len(old) == len(new):
        for was, now in zip(old, new, strict=True):
            yield from _compared(was, now, None, depth)
    else:
        yield from _members("removed", old, depth)
        yield from _members("added", new, depth)
    yield from _members("same", after[len(after) - tail :], depth)


def _members(sign: Sign, members: Sequence[Document], depth: int) -> Iterator[Line]:
    """Yield the members of a list, some at either end where they are many."""
    some = _FEW if sign == "same" else _MANY
    if len(members) <= 3 * some:
        for member in members:
            yield from _whole(sign, member, None, depth)
        return
    yield from _members(sign, members[:some], depth)
    yield _gap(len(members) - 2 * some, depth, sign)
    yield from _members(sign, members[-some:], depth)


def _whole(sign: Sign, value: Document, key: str | None, depth: int) -> Iterator[Line]:
    """Yield a value of which all has the same sign; in one line if it is short."""
    if _is_scalar(value):
        yield Line(sign, depth, key, scalar(value))
    elif depth and (len(text := brief(value, _SHORT)) <= _SHORT or depth >= _DEEPEST):
        yield Line(sign, depth, key, text)
    elif not value:
        yield Line(sign, depth, key, "{}" if isinstance(value, dict) else "[]")
    elif isinstance(value, dict):
        yield Line(sign, depth, key, "{")
        for name, member in islice(value.items(), _MOST_KEYS):
            yield from _whole(sign, member, name, depth + 1)
        if len(value) > _MOST_KEYS:
            yield _gap(len(value) - _MOST_KEYS, depth + 1, sign)
        yield Line(sign, depth, None, "}")
    else:
        yield Line(sign, depth, key, "[")
        yield from _members(sign, value, depth + 1)
        yield Line(sign, depth, None, "]")


def _gap(count: int, depth: int, sign: Sign = "same") -> Line:
    return Line("gap", depth, None, f"{count:,} more{'' if sign == 'same' else f' {sign}'}")


def _is_scalar(value: Document) -> bool:
    return not isinstance(value, dict | list)


def _is_same(before: Document, after: Document) -> bool:
    """Tell whether two documents say the same: 1, 1.0 and true do not, NaN does."""
    if type(before) is not type(after):
        return False
    return bool(before == after) or (before != before and after != after)
