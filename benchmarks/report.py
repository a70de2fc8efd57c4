"""Tables: aligned text for people, JSON for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

Cell: TypeAlias = str | int | float


class Table(msgspec.Struct, frozen=True):
    """Figures under named columns, in rows of as many cells, and how to read them."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[Cell]]
    note: str = ""

    @classmethod
    def skipped(cls, title: str, reason: str) -> Table:
        """Return what stands for a table that was not measured."""
        return cls(title, ("skipped",), [(reason,)])

    def __str__(self) -> str:
        lines = [self.columns, *(tuple(map(shown, row)) for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = ["  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in lines]
        text.insert(1, "  ".join("-" * width for width in widths))
        return "\n".join([f"\n{self.title}", *text, *filter(None, [self.note])])

    def records(self) -> list[dict[str, Cell]]:
        """Return the rows as objects, by column."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


class Report:
    """All tables of a run, by section."""

    def __init__(self, **conditions: str | bool) -> None:
        self._conditions = conditions
        self._sections: dict[str, list[dict[str, object]]] = {}

    def add(self, section: str, table: Table) -> None:
        entry: dict[str, object] = {"title": table.title, "note": table.note, "rows": table.records()}
        self._sections.setdefault(section, []).append(entry)

    def json(self) -> bytes:
        """Return `{"conditions": {…}, "sections": {name: [{"title", "note", "rows": [{column: cell}]}]}}`."""
        document = {"conditions": self._conditions, "sections": self._sections}
        return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def shown(cell: Cell) -> str:
    """Return a cell as people read it: three digits of a small number, all of a great one."""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, int) or abs(cell) >= 100:
        return f"{cell:,.0f}"
    return f"{cell:.3g}" if abs(cell) >= 0.001 else f"{cell:.3f}"
