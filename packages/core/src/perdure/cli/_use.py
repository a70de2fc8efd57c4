"""Wrong use of a command."""

from __future__ import annotations

import typer


class WrongUse(typer.TyperException):
    """What was asked for cannot be meant; the text says why, and what to do. The exit code is 2."""

    exit_code = 2
