"""`perdure ids`: who has a log."""

from __future__ import annotations

from typing import Annotated

import typer

from perdure.cli._formats import Form, rows
from perdure.cli._options import FormOption, Keys, Limit, Url
from perdure.cli._stores import first, opened


async def ids(
    url: Url,
    keys: Keys,
    type: Annotated[str, typer.Option(metavar="NAME", help="Only the actors of this type that `ref` reaches.")] = "",
    after: Annotated[str, typer.Option(metavar="ID", help="Begin behind this one.")] = "",
    limit: Limit = None,
    form: FormOption = Form.TABLE,
) -> None:
    """List the persistence ids that have events, in ascending order."""
    async with opened(url, keys) as store:
        with rows(form, "persistence_id") as write:
            found = store.query().ids(type or None, after=after)
            async for persistence_id in first(limit, found):
                write(persistence_id=persistence_id)
