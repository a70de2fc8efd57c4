"""What is told of stores that are moved: how far the work has come, and what was left out."""

from __future__ import annotations

from perdure.cli._console import Bar
from perdure.cli._formats import Form, rows
from perdure.errors import DamagedLine
from perdure.transfer import Copied, Exported, Imported


def counted(bar: Bar, at: Copied | Imported | Exported) -> None:
    """Say how far the work has come."""
    moved = at.events + at.states
    if isinstance(at, Exported):
        bar.at(moved, note=at.stage)
    elif at.stage == "compare":
        bar.at(at.compared, moved + at.present, note=at.stage)
    else:
        bar.at(moved + at.present, note=at.stage)


def report(form: Form, at: Copied | Imported | Exported) -> int:
    """Print what was left out because it is damaged. Return the exit code: 1 if there was anything."""
    with rows(form, "persistence_id", "sequence_number", "line", "problem") as write:
        for error in at.damaged:
            if isinstance(error, DamagedLine):
                write(persistence_id=None, sequence_number=None, line=error.line, problem=error.reason)
            else:
                write(
                    persistence_id=error.persistence_id,
                    sequence_number=error.sequence_number,
                    line=None,
                    problem=error.reason,
                )
    return 1 if at.damaged_count else 0
