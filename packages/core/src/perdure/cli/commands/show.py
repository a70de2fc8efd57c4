"""`perdure show`: what an actor's state is, or was."""

from __future__ import annotations

from contextlib import aclosing
from datetime import datetime
from typing import Annotated, Any

import typer

from perdure.cli._console import say
from perdure.cli._formats import Form, fields
from perdure.cli._options import ArchiveUrl, FormOption, Id, Keys, SnapshotsUrl, TypeName, Url, moment
from perdure.cli._stores import Store, opened, opened_archive, opened_snapshots
from perdure.cli._types import actor_type
from perdure.cli._use import WrongUse
from perdure.errors import EntryNotFound
from perdure.persistence import PersistentActor, Replayed, replay
from perdure.query import StoredState
from perdure.snapshots import Archive, SnapshotStore


async def show(
    url: Url,
    persistence_id: Id,
    keys: Keys,
    type: TypeName = None,
    at: Annotated[
        str | None, typer.Option(metavar="NUMBER|TIME", help="As it was after this event, or at this time.")
    ] = None,
    snapshots: SnapshotsUrl = None,
    archive: ArchiveUrl = None,
    form: FormOption = Form.TABLE,
) -> None:
    """Show the state of an actor as the store has it: now, or at any sequence number or time.

    A state that is made of events takes the actor's class to fold them: name it by --type MODULE:CLASS. Modules in the
    working folder are found. A state that is stored with each change is shown without its class, as it is stored.
    """
    kind = None if type is None else actor_type(type)
    to = None if at is None else moment(at)
    async with opened(url, keys) as store:
        if kind is not None and issubclass(kind, PersistentActor):
            async with opened_snapshots(snapshots) as shelf, opened_archive(archive) as past:
                _show_folded(form, persistence_id, await _folded(store, persistence_id, kind, to, shelf, past), to)
        elif to is not None:
            raise WrongUse("what it was is made of its events: give --type MODULE:CLASS, a PersistentActor")
        else:
            _show_stored(form, await _stored(store, persistence_id))


async def _folded(
    store: Store,
    persistence_id: str,
    kind: type[PersistentActor[Any, Any]],
    to: int | datetime | None,
    snapshots: SnapshotStore | None,
    archive: Archive | None,
) -> Replayed[Any]:
    await store.query([kind]).last_of(persistence_id)
    return await replay(
        store.backend,
        kind,
        "",
        to=to,
        persistence_id=persistence_id,
        snapshots=snapshots,
        archive=archive,
        sealing=store.sealing,
    )


async def _stored(store: Store, persistence_id: str) -> StoredState:
    """Return the state that is stored with each change. Raises what is wrong with it."""
    async with aclosing(store.query().states_of(persistence_id)) as states:
        async for state in states:
            if state.kind == "snapshot":
                break
            if state.problem is not None:
                raise state.problem
            return state
    try:
        await store.query().last_of(persistence_id)
    except EntryNotFound:
        raise EntryNotFound(persistence_id) from None
    raise WrongUse("its state is made of its events: give --type MODULE:CLASS; without it, `perdure events` shows them")


def _show_folded(form: Form, persistence_id: str, found: Replayed[Any], to: int | datetime | None) -> None:
    if isinstance(to, int) and found.sequence_number < to:
        say(f"the log ends at {found.sequence_number}")
    fields(
        form,
        persistence_id=persistence_id,
        sequence_number=found.sequence_number,
        timestamp=found.timestamp,
        state=found.state,
    )


def _show_stored(form: Form, found: StoredState) -> None:
    fields(
        form,
        persistence_id=found.persistence_id,
        sequence_number=found.sequence_number,
        timestamp=found.timestamp,
        manifest=found.manifest,
        version=found.version,
        deleted=found.deleted,
        state=found.state,
    )
