"""`perdure tail`: what is being stored."""

from __future__ import annotations

from typing import Annotated

import typer

from perdure.cli._console import progress
from perdure.cli._formats import Form, rows
from perdure.cli._options import FormOption, Keys, Limit, Url
from perdure.cli._stores import first, opened
from perdure.query import Query


async def tail(
    url: Url,
    keys: Keys,
    everything: Annotated[bool, typer.Option("--all", help="Begin with the first event of the store.")] = False,
    tag: Annotated[str | None, typer.Option(help="Only events with this tag.")] = None,
    poll: Annotated[float, typer.Option(min=0.01, help="Look for new ones every so many seconds.")] = 1.0,
    limit: Limit = None,
    form: FormOption = Form.TABLE,
) -> None:
    """Show the events of all actors as they are stored, until Ctrl-C.

    They come in the order of their commits.
    """
    async with opened(url, keys) as store:
        query = store.query(poll=poll)
        after = None if everything else await _end(query)
        stream = query.all_events(after=after, live=True) if tag is None else query.tagged(tag, after=after, live=True)
        with rows(
            form, "timestamp", "persistence_id", "sequence_number", "manifest", "tags", "event", live=True
        ) as write:
            async for event in first(limit, stream):
                write(
                    timestamp=event.timestamp,
                    persistence_id=event.persistence_id,
                    sequence_number=event.sequence_number,
                    manifest=event.manifest,
                    tags=event.tags,
                    event=event.event,
                )


async def _end(query: Query) -> str:
    """Return the offset behind all that is stored, for which the store is read once."""
    with progress("looking for the end", "events") as bar:
        return await query.end(progress=bar.at)
