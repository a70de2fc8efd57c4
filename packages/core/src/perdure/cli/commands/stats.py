"""`perdure stats`: what is in a store, and how much of it."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer

from perdure.cli._console import progress, say
from perdure.cli._formats import Form, counted, fields, rows
from perdure.cli._options import FormOption, Keys, Url
from perdure.cli._stores import opened
from perdure.cli._use import WrongUse
from perdure.upkeep import Stats
from perdure.upkeep import stats as count

_KINDS = ("events", "snapshots", "durable_states", "stored_states", "archived")


async def stats(
    url: Url,
    keys: Keys,
    without_keys: Annotated[
        bool,
        typer.Option("--without-keys", help="Count a sealed store without its keys: not its times, nor its types."),
    ] = False,
    largest: Annotated[int, typer.Option(min=0, max=10_000, help="How many of the largest logs to name.")] = 10,
    form: FormOption = Form.TABLE,
) -> None:
    """Count what is in a store: events, snapshots, states, their bytes, and the largest logs.

    All of it is read once. What is kept elsewhere, such as snapshots in a bucket, is not counted.
    """
    if without_keys and keys.given:
        raise WrongUse("give the keys, or --without-keys, not both")
    async with opened(url, None if without_keys else keys) as store:
        with progress("counting", "events") as bar:
            found = await count(
                store.backend, store.sealing, largest=largest, progress=lambda at: bar.at(at.events.count)
            )
    if form is Form.TABLE:
        _print(found)
    else:
        fields(form, **msgspec.structs.asdict(found))
    if found.unread:
        say(f"{counted(found.unread, 'log')} cannot be read: no key, forgotten, or damaged; their times are not known")


def _print(found: Stats) -> None:
    """Print a row for each thing that was counted."""
    with rows(Form.TABLE, "what", "name", "count", "bytes", "oldest", "newest") as write:
        write(what="logs", count=found.logs)
        for kind in _KINDS:
            amount = getattr(found, kind)
            times: dict[str, Any] = {"oldest": found.oldest, "newest": found.newest} if kind == "events" else {}
            write(what=kind.replace("_", " "), count=amount.count, bytes=amount.bytes, **times)
        write(what="sealed", count=found.sealed)
        for name, amount in sorted(found.types.items()):
            write(what="type", name=name, count=amount.count, bytes=amount.bytes)
        if found.untyped.count:
            write(what="type", name="none", count=found.untyped.count, bytes=found.untyped.bytes)
        for log in found.largest:
            write(what="largest", name=log.persistence_id, count=log.events, bytes=log.bytes)
