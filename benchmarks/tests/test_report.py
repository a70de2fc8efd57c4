"""The figures that a run prints."""

from __future__ import annotations

import json

from benchmarks.report import Cell, Report, Table, shown

RATES = Table("Rates", ("store", "actors", "ratio"), [("SQLite", 10_000, 0.61234), ("none", 1, 12.0)], "Read them so.")


def test_a_table_is_aligned_text_with_its_title_and_note() -> None:
    expected = """
Rates
store   actors  ratio
------  ------  -----
SQLite  10,000  0.612
none         1     12
Read them so."""

    assert str(RATES) == expected


def test_a_cell_has_three_digits_or_all_of_a_great_number() -> None:
    cells: list[Cell] = ["text", 1_234_567, 93_456.7, 12.345, 0.123456, 0.00002]

    assert [shown(cell) for cell in cells] == ["text", "1,234,567", "93,457", "12.3", "0.123", "0.000"]


def test_json_has_whole_figures_by_section_title_and_column() -> None:
    report = Report(quick=True)
    report.add("throughput", RATES)

    document = json.loads(report.json())

    assert document["conditions"] == {"quick": True}
    [table] = document["sections"]["throughput"]
    assert (table["title"], table["note"]) == ("Rates", "Read them so.")
    assert table["rows"][0] == {"store": "SQLite", "actors": 10_000, "ratio": 0.61234}
