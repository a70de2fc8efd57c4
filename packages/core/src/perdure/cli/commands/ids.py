"""`perdure ids`: of whom anything is stored."""

from __future__ import annotations

from typing import Annotated

import typer

from perdure.cli._formats import Form, rows
from perdure.cli._options import FormOption, Keys, Limit, Url
from perdure.cli._stores import first, merged, opened


async def ids(
    url: Url,
    keys: Keys,
    type: Annotated[str, typer.Option(metavar="NAME", help="Only the actors of this type that `ref` reaches.")] = "",
    after: Annotated[str, typer.Option(metavar="ID", help="Begin behind this one.")] = "",
    limit: Limit = None,
    form: FormOption = Form.TABLE,
) -> None:
    """List the persistence ids: those that have events, and those that have a durable state.

    They come in ascending order, unless the store hides names.
    """
    async with opened(url, keys) as store:
        query = store.query()
        events, states = query.ids(type or None, after=after), query.state_ids(type or None, after=after)
        with rows(form, "persistence_id") as write:
            async for persistence_id in first(limit, merged(events, states)):
                write(persistence_id=persistence_id)
