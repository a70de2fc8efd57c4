"""`perdure events`: what is in a log."""

from __future__ import annotations

from typing import Annotated

import typer

from perdure.abc import MAX_KEY
from perdure.cli._formats import Form, rows
from perdure.cli._options import FormOption, Id, Keys, Limit, TypeName, Url
from perdure.cli._stores import first, opened
from perdure.cli._types import persistent_actor_type


async def events(
    url: Url,
    persistence_id: Id,
    keys: Keys,
    begin: Annotated[
        int | None,
        typer.Option(
            "--from", min=1, max=MAX_KEY, help="The first sequence number; by default the first that is left."
        ),
    ] = None,
    to: Annotated[int | None, typer.Option(min=0, max=MAX_KEY, help="The last sequence number.")] = None,
    limit: Limit = None,
    type: TypeName = None,
    form: FormOption = Form.TABLE,
) -> None:
    """List the events of an actor.

    They are shown as they are stored, and with --type as that actor type reads them today.
    """
    types = [] if type is None else [persistent_actor_type(type)]
    async with opened(url, keys) as store:
        query = store.query(types)
        await query.last_of(persistence_id)
        stream = query.events_of(persistence_id, after=None if begin is None else begin - 1)
        with rows(form, "sequence_number", "timestamp", "manifest", "tags", "event") as write:
            async for event in first(limit, stream):
                if to is not None and event.sequence_number > to:
                    break
                write(
                    persistence_id=event.persistence_id,
                    sequence_number=event.sequence_number,
                    timestamp=event.timestamp,
                    manifest=event.manifest,
                    version=event.version,
                    tags=event.tags,
                    epoch=event.epoch,
                    event=event.event,
                )
