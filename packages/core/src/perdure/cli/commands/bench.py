"""`perdure bench`: what a store can do here."""

from __future__ import annotations

from contextlib import aclosing
from typing import Annotated

import typer

from perdure.cli._console import progress
from perdure.cli._formats import Form, rows
from perdure.cli._options import FormOption, Url
from perdure.cli._stores import opened
from perdure.upkeep import measure

_GROUPS = (1, 64, 1024)


async def bench(
    url: Url,
    seconds: Annotated[float, typer.Option(min=0.01, max=600, help="How long to measure each size of commit.")] = 1.0,
    size: Annotated[int, typer.Option(min=1, max=1_000_000, help="Bytes of an event.")] = 200,
    new: Annotated[bool, typer.Option("--new", help="Make the store if there is none. It stays, empty.")] = False,
    form: FormOption = Form.TABLE,
) -> None:
    """Measure how fast a store commits here: 1, 64 and 1,024 events of as many actors at a time.

    A commit is durable when it is over, so the first line tells how often the disk can sync. All is written to the
    collection `perdure_measurement`, and removed in the end, also at Ctrl-C.
    """
    columns = ("groups", "commits_per_second", "events_per_second", "median_ms", "p99_ms")
    async with opened(url, create=new) as store:
        with rows(form, *columns) as write, progress("measuring", "sizes", len(_GROUPS)) as bar:
            measured = measure(store.backend, groups=_GROUPS, seconds=seconds, size=size)
            async with aclosing(measured) as measurements:
                async for found in measurements:
                    write(
                        groups=found.groups,
                        commits_per_second=round(found.commits_per_second),
                        events_per_second=round(found.events_per_second),
                        median_ms=round(found.median * 1000, 3),
                        p99_ms=round(found.p99 * 1000, 3),
                    )
                    bar.at(_GROUPS.index(found.groups) + 1)
