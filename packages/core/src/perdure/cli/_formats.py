"""How what was found is printed: as a table, as JSON, or as a line of JSON each. Nothing is kept but a few rows."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ClassVar, Protocol

import msgspec
from rich.cells import cell_len
from rich.text import Text

from perdure.cli._console import console, is_terminal, visible
from perdure.journal import is_model


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
    yield printer.write
    printer.end()


def fields(form: Form, **values: object) -> None:
    """Print one thing: its fields in a line each, or as one JSON object."""
    if form is Form.TABLE:
        with rows(form, "field", "value") as write:
            for name, value in values.items():
                write(field=_heading(name), value=value)
    else:
        document = as_json(values)
        sys.stdout.write(f"{document if form is Form.JSONL else _indented(document)}\n")


def as_json(value: object) -> str:
    """Return a value as JSON in one line. Bytes are in base64, what JSON cannot say is its `repr`."""
    return msgspec.json.encode(_speakable(value), enc_hook=_dumped).decode()


def _dumped(value: Any) -> object:
    """Return what a pydantic model dumps, and of anything else how it looks."""
    return _speakable(value.model_dump()) if is_model(type(value)) else repr(value)


def _speakable(value: object) -> object:
    """Return a value whose maps have keys that JSON can have."""
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else _cell(key): _speakable(held) for key, held in value.items()}
    if isinstance(value, list | tuple):
        return [_speakable(held) for held in value]
    return value


def _cell(value: object) -> str:
    """Return a value as the text of a cell, in one line."""
    match value:
        case None:
            return ""
        case str():
            return visible(value)
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        case list() | tuple() if all(isinstance(held, str) for held in value):
            return visible(", ".join(value))
        case _:
            return visible(as_json(value))


def _heading(column: str) -> str:
    return column.replace("_", " ")


def _indented(document: str) -> str:
    return msgspec.json.format(document, indent=2)


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
        self._line("\t".join(_cell(values.get(column)) for column in self._columns) + "\n")


class _Aligned(_Printer):
    """A table for people. Columns are as wide as what was in them so far; the terminal wraps what is too wide."""

    _ROWS: ClassVar[int] = 100

    def __init__(self, columns: tuple[str, ...], live: bool) -> None:
        super().__init__(columns, live)
        self._headings = [_heading(column) for column in columns]
        self._widths = [len(heading) for heading in self._headings]
        self._rows: list[list[str]] = []
        self._has_heading = False

    def write(self, **values: object) -> None:
        self._rows.append([_cell(values.get(column)) for column in self._columns])
        if self._live or len(self._rows) == self._ROWS:
            self._print()

    def end(self) -> None:
        self._print()

    def _print(self) -> None:
        for row in self._rows:
            self._widths = [max(width, cell_len(cell)) for width, cell in zip(self._widths, row, strict=True)]
        if self._rows and not self._has_heading:
            console(sys.stdout).print(Text(self._aligned(self._headings), style="bold"), soft_wrap=True)
            self._has_heading = True
        for row in self._rows:
            self._line(f"{self._aligned(row)}\n")
        self._rows.clear()

    def _aligned(self, cells: list[str]) -> str:
        padded = [cell + " " * (width - cell_len(cell)) for cell, width in zip(cells, self._widths, strict=True)]
        return "  ".join(padded).rstrip()


def _printer(form: Form, columns: tuple[str, ...], live: bool) -> _Printer:
    match form:
        case Form.JSON:
            return _Array(columns, live)
        case Form.JSONL:
            return _Lines(columns, live)
        case Form.TABLE:
            return (_Aligned if is_terminal(sys.stdout) else _Tabs)(columns, live)
