"""The benchmark of the engine is a program that runs."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[1] / "benchmarks" / "engine_steps.py"


def test_it_prints_a_rate_for_each_kind_of_event(capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody is held to a number."""
    names = runpy.run_path(str(PROGRAM))
    names["rate"].__globals__["EVENTS"] = 20

    names["main"]()

    assert capsys.readouterr().out.count(" a second") == 5
