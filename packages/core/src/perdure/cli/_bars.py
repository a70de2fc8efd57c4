"""What a terminal shows while long work goes on."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from perdure.cli._console import Bar, is_terminal, visible


def console(stream: TextIO) -> Console:
    """Return what writes to a stream: a terminal, in colour unless NO_COLOR is set."""
    return Console(file=stream, highlight=False, markup=False, emoji=False, soft_wrap=True)


class ShownBar(Bar):
    """Is on a terminal."""

    def __init__(self, shown: Progress, total: float | None) -> None:
        self._shown = shown
        self._task = shown.add_task("", total=total)

    def at(self, done: float, total: float | None = None, *, note: str | None = None) -> None:
        self._shown.update(self._task, completed=done, total=total, description=visible(note) if note else None)


@contextmanager
def shown(what: str, unit: str, total: float | None) -> Iterator[Bar]:
    """Show a bar on standard error, which is a terminal."""
    progress = Progress(
        SpinnerColumn(),
        TextColumn(what),
        BarColumn(),
        _Rate(unit),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
        console=console(sys.stderr),
        transient=True,
        redirect_stdout=is_terminal(sys.stdout),  # else what is for a pipe would be written to the terminal
    )
    with progress:
        yield ShownBar(progress, total)


class _Rate(ProgressColumn):
    """How many, and how many a second."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        rate = "" if speed is None else f", {speed:,.0f}/s"
        return Text(f"{task.completed:,.0f} {self._unit}{rate}")
