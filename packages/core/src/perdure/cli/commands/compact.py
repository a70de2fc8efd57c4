"""`perdure compact`: removing the events that snapshots cover."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Annotated, Any

import typer

from perdure.cli._confirm import confirm
from perdure.cli._console import progress, say
from perdure.cli._formats import Form, counted, rows
from perdure.cli._options import DryRun, FormOption, Keys, SnapshotsUrl, Url, Yes
from perdure.cli._stores import opened
from perdure.cli._types import persistent_actor_type
from perdure.cli._use import WrongUse
from perdure.upkeep import Compacted, Compaction
from perdure.upkeep import compact as compact_store

_IN_STORE = "store"


def compact(
    url: Url,
    keys: Keys,
    persistence_ids: Annotated[list[str] | None, typer.Argument(metavar="ID", help="Of these actors.")] = None,
    all: Annotated[bool, typer.Option("--all", help="Of all actors.")] = False,
    keep: Annotated[int, typer.Option(min=1, help="How many snapshots of each actor to keep.")] = 2,
    keep_for: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Keep also the snapshots that are not older.")
    ] = None,
    type: Annotated[
        list[str] | None,
        typer.Option(
            "--type", metavar="MODULE:CLASS", help="A type that has to be able to read its snapshots. Repeat."
        ),
    ] = None,
    snapshots: SnapshotsUrl = None,
    archive: Annotated[
        str | None,
        typer.Option(metavar="store|URL", help="Move the events to the store's own archive, or to that of a URL."),
    ] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    form: FormOption = Form.TABLE,
) -> Coroutine[Any, Any, int]:
    """Remove the events that snapshots cover, as actors with compact=True do themselves.

    Each actor stays as it is; its past cannot be read any more, unless it is moved to an archive. Name the types whose
    state has ever changed: a snapshot that today's class cannot read then covers nothing. Actors may be at work
    meanwhile. Interrupted, it does what is left when it is called again. Where snapshots cannot be read the exit code
    is 1.
    """
    if bool(persistence_ids) == all:
        raise WrongUse("say which actors: ID... or --all")
    if not dry_run:
        whose = "all actors" if all else counted(len(persistence_ids or ()), "actor")
        what = "Remove" if archive is None else "Archive"
        confirm(f"{what} what snapshots cover of the events of {whose}?", yes=yes)
    types = [persistent_actor_type(name) for name in type or ()]

    async def work() -> int:
        columns = ("persistence_id", "below", "events", "snapshots")
        async with opened(url, keys) as store:
            with rows(form, *columns) as write, progress("compacting", "actors") as bar:

                def tell(done: Compacted) -> None:
                    write(
                        persistence_id=done.persistence_id,
                        below=done.below,
                        events=done.events,
                        snapshots=done.snapshots,
                    )

                result = await compact_store(
                    store.backend,
                    persistence_ids or None,
                    sealing=store.sealing,
                    actor_types=types,
                    keep_snapshots=keep,
                    keep_snapshots_for=keep_for,
                    snapshots=snapshots,
                    archive=archive == _IN_STORE or archive or False,
                    dry_run=dry_run,
                    found=say,
                    compacted=tell,
                    progress=lambda at: bar.at(at.logs, note=counted(at.events, "event")),
                )
        _sum_up(result, f"{'would be' if dry_run else 'were'} {'removed' if archive is None else 'archived'}")
        return 1 if result.problem_count else 0

    return work()


def _sum_up(result: Compaction, what: str) -> None:
    events, snapshots = counted(result.events, "event"), counted(result.snapshots, "snapshot")
    say(f"{events} of {counted(result.compacted, 'actor')} {what}, and {snapshots} removed")
    if result.busy:
        say(f"{counted(result.busy, 'actor')} changed each time: call it again")
    if result.forgotten:
        say(f"{counted(result.forgotten, 'actor')} of forgotten subjects stayed as they are")
