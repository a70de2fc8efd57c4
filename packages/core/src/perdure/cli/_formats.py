"""How what was found is printed: as a table, as JSON, or as a line of JSON each. Nothing is kept but a few rows."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

import msgspec

from perdure.cli._cells import as_json, cell, heading
from perdure.cli._console import is_terminal

if TYPE_CHECKING:
    from perdure.cli._aligned import Aligned


class Form(StrEnum):
    """What to print."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"


class Write(Protocol):
    """Prints a row: a value for each column, by its name."""

    def __call__(self, **values: object) -> None: ...


@contextmanager
def rows(form: Form, *columns: str, live: bool = False) -> Iterator[Write]:
    """Yield what prints rows to standard output: at once if they are `live`, else a few together.

    A table has a heading and is aligned on a terminal. In a pipe it is a line a row, with tabs between the cells.
    """
    printer = _printer(form, columns, live)
    printer.begin()
    try:
        yield printer.write
    finally:
        printer.flush()  # what was read before something went wrong
    printer.end()


def fields(form: Form, **values: object) -> None:
    """Print one thing: its fields in a line each, or as one JSON object."""
    if form is Form.TABLE:
        with rows(form, "field", "value") as write:
            for name, value in values.items():
                write(field=heading(name), value=value)
    else:
        document = as_json(values)
        sys.stdout.write(f"{document if form is Form.JSONL else _indented(document)}\n")


def counted(count: int, thing: str) -> str:
    """Return so many things in words: `1 event`, `1,000 events`."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


class _Printer(ABC):
    def __init__(self, columns: tuple[str, ...], live: bool) -> None:
        self._columns = columns
        self._live = live

    def begin(self) -> None:
        return

    @abstractmethod
    def write(self, **values: object) -> None: ...

    def end(self) -> None:
        return

    def flush(self) -> None:
        return

    def _line(self, text: str) -> None:
        sys.stdout.write(text)
        if self._live:
            sys.stdout.flush()


class _Lines(_Printer):
    """JSONL."""

    def write(self, **values: object) -> None:
        self._line(f"{as_json(values)}\n")


class _Array(_Printer):
    """JSON, a row a line."""

    _is_first = True

    def begin(self) -> None:
        self._line("[")

    def write(self, **values: object) -> None:
        self._line(f"{'' if self._is_first else ','}\n  {as_json(values)}")
        self._is_first = False

    def end(self) -> None:
        self._line("]\n" if self._is_first else "\n]\n")


class _Tabs(_Printer):
    """A table for other programs."""

    def write(self, **values: object) -> None:
        self._line("\t".join(cell(values.get(column)) for column in self._columns) + "\n")


def _indented(document: str) -> str:
    return msgspec.json.format(document, indent=2)


def _printer(form: Form, columns: tuple[str, ...], live: bool) -> _Printer | Aligned:
    if form is Form.JSON:
        return _Array(columns, live)
    if form is Form.JSONL:
        return _Lines(columns, live)
    if not is_terminal(sys.stdout):
        return _Tabs(columns, live)
    from perdure.cli._aligned import Aligned  # what it needs takes 0.1 s to import

    return Aligned(columns, live)
