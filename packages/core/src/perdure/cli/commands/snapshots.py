"""`perdure snapshots`: which states of an actor are stored."""

from __future__ import annotations

from contextlib import aclosing

from perdure.cli._console import say
from perdure.cli._formats import Form, rows
from perdure.cli._options import FormOption, Id, Keys, SnapshotsUrl, Url
from perdure.cli._stores import opened, opened_snapshots


async def snapshots(
    url: Url, persistence_id: Id, keys: Keys, snapshots: SnapshotsUrl = None, form: FormOption = Form.TABLE
) -> int:
    """List the snapshots of an actor, from the newest on, and what other states of it are stored.

    Those that are damaged are named, and the exit code is 1.
    """
    damaged = found = 0
    async with opened(url, keys) as store, opened_snapshots(snapshots) as shelf:
        columns = ("kind", "sequence_number", "timestamp", "manifest", "version", "size", "sealed", "problem")
        with rows(form, *columns) as write:
            async with aclosing(store.query().states_of(persistence_id, snapshots=shelf)) as states:
                async for state in states:
                    found += 1
                    damaged += state.problem is not None
                    write(
                        persistence_id=state.persistence_id,
                        kind=state.kind,
                        sequence_number=state.sequence_number,
                        timestamp=state.timestamp,
                        manifest=state.manifest,
                        version=state.version,
                        size=state.size,
                        sealed=state.sealed,
                        problem=None if state.problem is None else str(state.problem),
                    )
        if not found:
            await store.query().last_of(persistence_id)
    if damaged:
        say(f"{damaged} of {found} cannot be used")
    return 1 if damaged else 0
