"""`perdure verify`: whether all is as it was stored."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from perdure.cli._console import is_terminal, progress, say
from perdure.cli._formats import Form, Write, counted, fields, rows
from perdure.cli._options import ArchiveUrl, FormOption, Keys, SnapshotsUrl, TypeNames, Url
from perdure.cli._stores import opened
from perdure.cli._types import actor_type
from perdure.cli._use import WrongUse
from perdure.errors import CorruptionError
from perdure.security import Anchor
from perdure.upkeep import Verification
from perdure.upkeep import verify as verify_store

_COUNTS = ("logs", "events", "states", "sealed", "unopened", "forgotten", "chained", "problem_count")


async def verify(
    url: Url,
    keys: Keys,
    without_keys: Annotated[
        bool, typer.Option("--without-keys", help="Look only at what of a sealed store can be seen without its keys.")
    ] = False,
    type: TypeNames = None,
    snapshots: SnapshotsUrl = None,
    archive: ArchiveUrl = None,
    anchor: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The document of an anchor, to which the heads of logs are held."),
    ] = None,
    form: FormOption = Form.TABLE,
) -> int:
    """Look through a whole store for what is not as it was stored.

    Every record has to be readable and its checksum or seal right, no event may be missing within a log, and chains of
    hashes have to go on. Each problem is a line, and the exit code is 1 if there is any; a store that is whole is not
    spoken of in a pipe. JSON is one document that has the counts as well.
    """
    if without_keys and keys.given:
        raise WrongUse("give the keys, or --without-keys, not both")
    types = [actor_type(name) for name in type or ()]
    held_to = None if anchor is None else Anchor.from_json(anchor.read_bytes())
    async with opened(url, None if without_keys else keys) as store:
        with _printed(form) as told, progress("verifying", "records") as bar:
            result = await verify_store(
                store.backend,
                store.sealing,
                actor_types=types,
                snapshots=snapshots,
                archive=archive,
                anchor=held_to,
                found=lambda problem: told(**_row(problem)),
                progress=lambda at: bar.at(at.events + at.states, note=counted(at.problem_count, "problem")),
            )
    _sum_up(form, result)
    return 0 if result.ok else 1


@contextmanager
def _printed(form: Form) -> Iterator[Write]:
    """Yield what prints each problem at once, unless all of them are printed in the end."""
    if form is Form.JSON:
        yield lambda **_: None
        return
    with rows(form, "persistence_id", "sequence_number", "kind", "problem", live=True) as write:
        yield write


def _row(problem: CorruptionError) -> dict[str, object]:
    return {
        "persistence_id": problem.persistence_id,
        "sequence_number": problem.sequence_number,
        "kind": type(problem).__name__,
        "problem": problem.reason,
    }


def _sum_up(form: Form, result: Verification) -> None:
    if form is Form.JSON:
        counts = {name: getattr(result, name) for name in _COUNTS}
        fields(form, ok=result.ok, **counts, problems=[_row(problem) for problem in result.problems])
    elif is_terminal(sys.stderr) or not result.ok or result.unopened:
        unopened = f", {result.unopened:,} of them not opened for want of keys" if result.unopened else ""
        events, states = counted(result.events, "event"), counted(result.states, "state")
        outcome = "all is well" if result.ok else counted(result.problem_count, "problem")
        say(f"{events} of {counted(result.logs, 'actor')}, {states}{unopened}: {outcome}")
