"""`perdure copy`: a store in another place, of whatever kind."""

from __future__ import annotations

from typing import Annotated

import typer

from perdure.cli._console import progress, say
from perdure.cli._formats import Form
from perdure.cli._moved import counted, report
from perdure.cli._options import DryRun, FormOption, SkipDamaged, Url
from perdure.transfer import copy as copy_store


async def copy(
    source: Url,
    target: Annotated[str, typer.Argument(metavar="TARGET", help="Where to; a store is made if there is none.")],
    skip_damaged: SkipDamaged = False,
    dry_run: DryRun = False,
    form: FormOption = Form.TABLE,
) -> int:
    """Copy a store into another, of whatever kind, and compare all bytes.

    Numbers, times, tags and seals are kept, and no keys are needed. Others may write the source; nobody else writes the
    target. Call it again when it was interrupted, or for what came since. A target that holds anything else under a
    name of the source is refused, and stays as it is. Where damaged records were left out the exit code is 1.
    """
    with progress("copying", "records") as bar:
        result = await copy_store(
            source, target, skip_damaged=skip_damaged, dry_run=dry_run, progress=lambda at: counted(bar, at)
        )
    would = "would be written" if dry_run else "written, and all compared"
    say(f"{result.events:,} events and {result.states:,} other records {would}; {result.present:,} were there")
    return report(form, result)
