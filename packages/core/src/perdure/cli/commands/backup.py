"""`perdure backup`: a store as one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from perdure.cli._console import progress, say
from perdure.cli._formats import Form
from perdure.cli._moved import counted, report
from perdure.cli._options import FormOption, SkipDamaged, Url
from perdure.transfer import backup as back_up


async def backup(
    url: Url,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A new file: .jsonl, .jsonl.gz, .jsonl.zst, or else one of SQLite.")
    ],
    skip_damaged: SkipDamaged = False,
    form: FormOption = Form.TABLE,
) -> int:
    """Copy a store, while it is in use, into one new file, and look through that.

    A file of SQLite is a store: open it, or `perdure copy` it to where it is to be. A file of lines is for
    `perdure import`. Until it is whole its name ends with .part; a copy that was interrupted goes on there. No keys
    are needed. Where damaged records were left out the exit code is 1.
    """
    with progress("backing up", "records") as bar:
        result = await back_up(url, file, skip_damaged=skip_damaged, progress=lambda at: counted(bar, at))
    say(f"{file} is whole: {result.events:,} events and {result.states:,} other records were written")
    return report(form, result)
