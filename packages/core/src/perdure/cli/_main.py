"""The entry of the command, which works without what it is made of."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with these arguments, by default those of the process, and return its exit code."""
    try:
        from perdure.cli._app import run
    except KeyboardInterrupt:
        return 130
    except ModuleNotFoundError as error:
        if error.name != "typer":
            raise
        sys.stderr.write("perdure: typer is not installed. Run: pip install 'perdure[cli]'\n")
        return 2
    return run(arguments)
