"""`perdure reseal`: sealing with the active key all that is not."""

from __future__ import annotations

from typing import Annotated, cast

import typer

from perdure.cli._console import progress, say
from perdure.cli._formats import Form, counted, fields
from perdure.cli._options import ArchiveUrl, DryRun, FormOption, Keys, SnapshotsUrl, TypeNames, Url
from perdure.cli._stores import opened
from perdure.cli._types import actor_type
from perdure.cli._use import WrongUse
from perdure.security import SuiteName, is_sealed_whole
from perdure.upkeep import reseal as reseal_store


async def reseal(
    url: Url,
    keys: Keys,
    suite: Annotated[
        str, typer.Option(metavar="NAME", help="How to seal: aes-256-gcm, or xchacha20-poly1305.")
    ] = "aes-256-gcm",
    links: Annotated[
        bool, typer.Option(help="Keep the links of chained and anchored events, which takes 32 bytes each.")
    ] = True,
    type: TypeNames = None,
    snapshots: SnapshotsUrl = None,
    archive: ArchiveUrl = None,
    rate: Annotated[float | None, typer.Option(min=0.001, help="Look at so many records a second at the most.")] = None,
    dry_run: DryRun = False,
    skip: Annotated[bool, typer.Option("--skip-damaged", help="Name what is damaged, and go on.")] = False,
    form: FormOption = Form.TABLE,
) -> int:
    """Seal with the active key all that was sealed with others, or not at all (--accept-plaintext).

    Systems may be at work meanwhile, if they have the active key. Interrupted, it goes on when it is called again.
    Before the old key is destroyed, verify the store with a key file that does not have it. A record that is damaged
    ends it; with --skip-damaged those are named, all others are sealed, and the exit code is 1.
    """
    types = [actor_type(name) for name in type or ()]
    if not keys.given:
        raise WrongUse("to seal takes keys: give them by --keys FILE or --keys-env NAME")
    async with opened(url) as store:
        if not await is_sealed_whole(store.backend):
            raise WrongUse("the store is not sealed: that begins with a system that is given sealing=…")
        sealing = await keys.sealing(store.backend, suite=cast(SuiteName, suite), chain=links)
        assert sealing is not None
        with progress("sealing", "records") as bar:
            result = await reseal_store(
                store.backend,
                sealing,
                actor_types=types,
                snapshots=snapshots,
                archive=archive,
                records_per_second=rate,
                dry_run=dry_run,
                skip_damaged=skip,
                found=say,
                progress=lambda at: bar.at(at.records, note=f"{at.stage}: {at.resealed:,} sealed anew"),
            )
    counts = ("records", "resealed", "forgotten", "skipped")
    if form is not Form.TABLE:
        fields(form, **{name: getattr(result, name) for name in counts})
    else:
        would = "would be" if dry_run else "were"
        say(f"{result.resealed:,} of {counted(result.records, 'record')} {would} sealed anew")
    return 1 if result.skipped else 0
