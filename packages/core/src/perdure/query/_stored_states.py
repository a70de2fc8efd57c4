"""The states that are stored of one persistence id, as documents, without its type."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Any, Literal, TypeAlias

import msgspec

from perdure.abc import MAX_KEY, Backend
from perdure.errors import CorruptionError
from perdure.journal import RecordError
from perdure.journal._payload import plain
from perdure.journal._record import decode
from perdure.persistence._changes import DURABLE
from perdure.persistence._entity import STATES
from perdure.query._stored import instant
from perdure.security import Vault, is_sealed
from perdure.snapshots import SNAPSHOTS, CollectionSnapshots, SnapshotStore

Kind: TypeAlias = Literal["snapshot", "state", "durable"]

_COLLECTIONS: dict[Kind, str] = {"snapshot": SNAPSHOTS, "state": STATES, "durable": DURABLE}


class StoredState(msgspec.Struct, frozen=True, kw_only=True):
    """A state as it is stored, or what is wrong with it: then all that is read from its record is None."""

    persistence_id: str
    kind: Kind
    """A "snapshot"; the "state" that is stored with each event; a "durable" state."""
    sequence_number: int
    """Of the last event in it; the revision of a durable state; 0 where it cannot be read from a "state"."""
    size: int
    """Bytes that are stored."""
    sealed: bool
    timestamp: datetime | None = None
    manifest: str | None = None
    """The name of the actor's type under which it is stored."""
    version: int | None = None
    """The version of its schema that was stored."""
    deleted: bool = False
    """True for a durable state that was deleted."""
    state: Any = None
    """The stored document."""
    problem: CorruptionError | None = None


async def stored_states(
    backend: Backend, vault: Vault, persistence_id: str, snapshots: SnapshotStore | None
) -> AsyncGenerator[StoredState, None]:
    """Yield what is stored: the durable state, that beside the events, the snapshots from the newest on."""
    name = vault.stored_name(persistence_id)
    page = await backend.page(DURABLE, name, 1, MAX_KEY + 1, limit=1, max_bytes=1, reverse=True)
    for revision, record in page.entries:
        yield await _read(vault, "durable", persistence_id, name, revision, record)
    _, state = await backend.read_state(STATES, name)
    if state is not None:
        yield await _read(vault, "state", persistence_id, name, 0, state)
    store = snapshots or CollectionSnapshots(backend)
    at_most = MAX_KEY
    while at_most > 0:
        try:
            snapshot = await store.newest(name, at_most)
        except CorruptionError as damaged:
            at_most = damaged.sequence_number
            yield StoredState(
                persistence_id=persistence_id,
                kind="snapshot",
                sequence_number=at_most,
                size=0,
                sealed=False,
                problem=damaged,
            )
        else:
            if snapshot is None:
                return
            at_most, record = snapshot
            yield await _read(vault, "snapshot", persistence_id, name, at_most, record)
        at_most -= 1


async def _read(vault: Vault, kind: Kind, persistence_id: str, name: str, number: int, stored: bytes) -> StoredState:
    """Return what a stored record says. What a seal refuses, or cannot be read, is its problem."""
    state = StoredState(
        persistence_id=persistence_id, kind=kind, sequence_number=number, size=len(stored), sealed=is_sealed(stored)
    )
    await vault.look_up((stored,))
    try:
        record, format = decode(vault.opened(_COLLECTIONS[kind], name, number, stored))
        metadata = record.metadata or {}
        covered = metadata.get("sequence_number", number)
        if number and covered != number:
            raise RecordError(f"it says that it covers {covered}")
        return msgspec.structs.replace(
            state,
            sequence_number=covered,
            timestamp=instant(record.timestamp),
            manifest=record.manifest,
            version=record.version,
            deleted=metadata.get("deleted") is True,
            state=plain(record.payload, format),
        )
    except CorruptionError as error:
        return msgspec.structs.replace(state, problem=error)
    except (RecordError, msgspec.MsgspecError) as error:
        problem = CorruptionError(persistence_id, number, f"the {kind} cannot be read: {error}")
        return msgspec.structs.replace(state, problem=problem)
