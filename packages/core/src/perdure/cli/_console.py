"""What is written to a terminal, and what is left out where there is none."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

_CONTROL = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def is_terminal(stream: TextIO) -> bool:
    """Tell whether somebody looks at a stream, on what can show more than lines."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def console(stream: TextIO) -> Console:
    """Return what writes to a stream: in colour on a terminal, unless NO_COLOR is set; never in a pipe."""
    return Console(
        file=stream, force_terminal=is_terminal(stream), highlight=False, markup=False, emoji=False, soft_wrap=True
    )


def say(what: object) -> None:
    """Write one line to standard error, with the name of the command before it."""
    line = visible("; ".join(str(what).splitlines()) or type(what).__name__)
    sys.stderr.write(f"perdure: {line}\n")


def visible(text: str) -> str:
    """Return text with its control characters as escapes, so that what was stored cannot rule a terminal."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


class Bar:
    """Tells how far some work has come."""

    def __init__(self, shown: Progress, total: float | None) -> None:
        self._shown = shown
        self._task = shown.add_task("", total=total)

    def at(self, done: float, total: float | None = None, *, note: str | None = None) -> None:
        """Say how much is done, of how much where that is known, and on what the work is."""
        self._shown.update(self._task, completed=done, total=total, description=visible(note) if note else None)


@contextmanager
def progress(what: str, unit: str, total: float | None = None) -> Iterator[Bar]:
    """Show on standard error how far work has come, and at what rate of units a second; nothing where no terminal is.

    What is printed meanwhile comes above it. It goes away when the work is over.
    """
    shown = Progress(
        SpinnerColumn(),
        TextColumn(what),
        BarColumn(),
        _Rate(unit),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
        console=console(sys.stderr),
        transient=True,
        redirect_stdout=is_terminal(sys.stdout),  # else what is for a pipe would be written to the terminal
        disable=not is_terminal(sys.stderr),
    )
    with shown:
        yield Bar(shown, total)


class _Rate(ProgressColumn):
    """How many, and how many a second."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        rate = "" if speed is None else f", {speed:,.0f}/s"
        return Text(f"{task.completed:,.0f} {self._unit}{rate}")
