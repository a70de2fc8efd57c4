"""`perdure export`: a store as lines of JSON."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from perdure.cli._console import progress, say
from perdure.cli._formats import Form
from perdure.cli._moved import counted, report
from perdure.cli._options import FormOption, Keys, SkipDamaged, Url
from perdure.cli._stores import opened
from perdure.cli._use import WrongUse
from perdure.transfer import export as export_store


async def export(
    url: Url,
    keys: Keys,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="Where to; .gz and .zst are compressed. - is standard output.")
    ],
    skip_damaged: SkipDamaged = False,
    form: FormOption = Form.TABLE,
) -> int:
    """Write a store to a file of JSON lines, from which `perdure import` makes the same store.

    Each record is there as people read it, and as bytes. With the keys of a sealed store its records can be read in the
    file; without them they stay sealed. Others may write the store. A file of that name is replaced when the new one is
    whole. Where damaged records were left out the exit code is 1.
    """
    if file == "-" and skip_damaged:
        raise WrongUse("with --skip-damaged name a file: standard output is for what was left out")
    async with opened(url, keys if keys.given else None) as store:
        with progress("exporting", "records") as bar:
            result = await export_store(
                store.backend,
                sys.stdout.buffer if file == "-" else file,
                sealing=store.sealing,
                skip_damaged=skip_damaged,
                progress=lambda at: counted(bar, at),
            )
    say(f"{result.events:,} events and {result.states:,} other records in {result.lines:,} lines")
    return 0 if file == "-" else report(form, result)
