"""What is written to a terminal, and what is left out where there is none."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

_CONTROL = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def is_terminal(stream: TextIO) -> bool:
    """Tell whether somebody looks at a stream, on what can show more than lines."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def say(what: object) -> None:
    """Write one line to standard error, with the name of the command before it."""
    line = visible("; ".join(str(what).splitlines()) or type(what).__name__)
    sys.stderr.write(f"perdure: {line}\n")


def visible(text: str) -> str:
    """Return text with its control characters as escapes, so that what was stored cannot rule a terminal."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


class Bar:
    """Tells how far some work has come: here, nobody."""

    def at(self, done: float, total: float | None = None, *, note: str | None = None) -> None:
        """Say how much is done, of how much where that is known, and on what the work is."""


@contextmanager
def progress(what: str, unit: str, total: float | None = None) -> Iterator[Bar]:
    """Show on standard error how far work has come, and at what rate of units a second; nothing where no terminal is.

    What is printed meanwhile comes above it. It goes away when the work is over.
    """
    if not is_terminal(sys.stderr):
        yield Bar()
        return
    from perdure.cli._bars import shown  # what it needs takes 0.1 s to import

    with shown(what, unit, total) as bar:
        yield bar
