"""When what happens again and again is worth a line in a log."""

from __future__ import annotations


def is_worth_a_line(count: int) -> bool:
    """Tell whether this is the first, second, fourth, eighth … of its kind, so that nobody can fill a log."""
    return count > 0 and count & (count - 1) == 0
