"""Tables for people, in a terminal."""

from __future__ import annotations

import sys
from typing import ClassVar

from rich.cells import cell_len
from rich.text import Text

from perdure.cli._bars import console
from perdure.cli._cells import cell, heading


class Aligned:
    """A table for people. Columns are as wide as what was in them so far; the terminal wraps what is too wide."""

    _ROWS: ClassVar[int] = 100

    def __init__(self, columns: tuple[str, ...], live: bool) -> None:
        self._columns = columns
        self._live = live
        self._headings = [heading(column) for column in columns]
        self._widths = [len(name) for name in self._headings]
        self._rows: list[list[str]] = []
        self._has_heading = False

    def begin(self) -> None:
        """Print the heading with the first rows, for it is as wide as they are."""

    def write(self, **values: object) -> None:
        self._rows.append([cell(values.get(column)) for column in self._columns])
        if self._live or len(self._rows) == self._ROWS:
            self._print()

    def end(self) -> None:
        """End without a footer."""

    def flush(self) -> None:
        self._print()

    def _print(self) -> None:
        for row in self._rows:
            self._widths = [max(width, cell_len(text)) for width, text in zip(self._widths, row, strict=True)]
        if self._rows and not self._has_heading:
            console(sys.stdout).print(Text(self._aligned(self._headings), style="bold"), soft_wrap=True)
            self._has_heading = True
        for row in self._rows:
            sys.stdout.write(f"{self._aligned(row)}\n")
        sys.stdout.flush()
        self._rows.clear()

    def _aligned(self, cells: list[str]) -> str:
        padded = [text + " " * (width - cell_len(text)) for text, width in zip(cells, self._widths, strict=True)]
        return "  ".join(padded).rstrip()
