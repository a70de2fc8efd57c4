"""`perdure import`: a store from lines of JSON."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from perdure.cli._console import progress, say
from perdure.cli._formats import Form
from perdure.cli._moved import counted, report
from perdure.cli._options import FormOption, SkipDamaged
from perdure.transfer import import_ as import_store


async def import_(
    file: Annotated[str, typer.Argument(metavar="FILE", help="What was exported. - is standard input.")],
    url: Annotated[str, typer.Argument(metavar="URL", help="The store; it is made if there is none.")],
    skip_damaged: SkipDamaged = False,
    form: FormOption = Form.TABLE,
) -> int:
    """Write what `perdure export` has put into a file into a store.

    Of a file that was cut or changed nothing is written, and the first such line is named. Call it again when it was
    interrupted. What the store has already is compared, and nothing of it changed. Where damaged lines were left out
    the exit code is 1.
    """
    with progress("importing", "records") as bar:
        result = await import_store(
            sys.stdin.buffer if file == "-" else file,
            url,
            skip_damaged=skip_damaged,
            progress=lambda at: counted(bar, at),
        )
    say(f"{result.events:,} events and {result.states:,} other records written; {result.present:,} were there")
    return report(form, result)
