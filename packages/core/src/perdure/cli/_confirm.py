"""Asking before something is destroyed."""

from __future__ import annotations

import sys

from perdure.cli._console import is_terminal, visible
from perdure.cli._use import WrongUse


def confirm(question: str, *, yes: bool) -> None:
    """Return if somebody at a terminal says yes, or has said so beforehand. Raises `WrongUse` in all other cases."""
    if yes:
        return
    if not (sys.stdin.isatty() and is_terminal(sys.stderr)):
        raise WrongUse(f"{question} Nobody can be asked here: give --yes, or --dry-run to see what would be done")
    sys.stderr.write(f"{visible(question)} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise WrongUse("nothing was done")
