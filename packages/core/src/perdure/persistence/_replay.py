"""Reading an actor's state without a system: for tools, tests, and looking back."""

from __future__ import annotations

import copy
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import msgspec

from perdure._plugins import open_backend
from perdure.abc import MAX_KEY, Backend, check_prefix
from perdure.actors import SystemClock
from perdure.journal import EVENTS, Journal, epoch_of, timestamp_of
from perdure.journal._record import decode
from perdure.persistence._actor import PersistentActor
from perdure.persistence._custody import custody_of
from perdure.persistence._recovery import Reading, Recovery
from perdure.persistence._stores import Stores
from perdure.security import Keyring, Sealing, Vault, sealing_of
from perdure.snapshots import (
    Archive,
    CollectionArchive,
    CollectionSnapshots,
    SnapshotStore,
    open_archive,
    open_snapshots,
)

S = TypeVar("S")


class Replayed(msgspec.Struct, Generic[S], frozen=True):
    """The state after the event with this number, which was stored at this time; 0 and None before the first."""

    state: S
    sequence_number: int
    timestamp: datetime | None
    epoch: int = 0
    """By which its owner had claimed the log; 0 where it had not."""


async def replay(
    store: str | Backend,
    actor_type: type[PersistentActor[S, Any]],
    key: str,
    *,
    to: int | datetime | None = None,
    recovery: Recovery | None = None,
    persistence_id: str | None = None,
    snapshots: str | SnapshotStore | None = None,
    archive: str | Archive | None = None,
    sealing: Sealing | Keyring | None = None,
) -> Replayed[S]:
    """Return an actor's state as its store has it, or as it was; nothing is written, and no actor is started.

    `key` is that of `system.ref(actor_type, key)`; `persistence_id` names the log of an actor that was spawned. With a
    number `to` no later event is read, with a time none from the first on that was stored later. `recovery` says from
    which snapshots; by default as the actor type does. `store`, `snapshots`, `archive` and `sealing` are those of the
    system; what is given by its URL is opened and closed. `apply` is called on an instance whose `__init__` has not
    run.

    Raises `CorruptionError` for what recovery would not accept either, or when compaction has removed what is needed.
    """
    async with AsyncExitStack() as opened:
        if isinstance(store, str):
            store = await open_backend(store)
            opened.push_async_callback(store.close)
        if isinstance(snapshots, str):
            snapshots = await open_snapshots(snapshots)
            opened.push_async_callback(snapshots.close)
        if isinstance(archive, str):
            archive = await open_archive(archive)
            opened.push_async_callback(archive.close)
        vault = Vault(store, sealing_of(sealing))
        await vault.open()
        stores = _stores(store, snapshots, archive, vault)
        return await replayed(stores, actor_type, persistence_id or f"{actor_type.type_name}/{key}", to, recovery)


async def replayed(
    stores: Stores,
    actor_type: type[PersistentActor[S, Any]],
    identity: str,
    to: int | datetime | None = None,
    recovery: Recovery | None = None,
) -> Replayed[S]:
    """Return an actor's state, read through open stores; see `replay`."""
    number, before = _bounds(to)
    actor = actor_type.__new__(actor_type)
    custody = custody_of(stores.vault, actor_type, EVENTS, check_prefix(identity))
    if custody is not None:
        await custody.unlock()
    reading = Reading(
        identity if custody is None else custody.name,
        stores.definition(actor_type),
        stores,
        lambda: copy.deepcopy(actor.initial_state),
        actor.apply,
        actor_type.recovery if recovery is None else recovery,
        custody,
        to=number,
        before=before,
    )
    await reading.read()
    last = reading.last_record
    return Replayed(reading.state, reading.number, _time_of(last), _epoch_of(last))


def _bounds(to: int | datetime | None) -> tuple[int, int | None]:
    """Return the greatest sequence number, and the latest time in microseconds."""
    if to is None:
        return MAX_KEY, None
    if isinstance(to, datetime):
        if to.tzinfo is None:
            raise ValueError(f"the time {to} has no time zone: write for example {to}+00:00")
        return MAX_KEY, int(to.timestamp() * 1_000_000)
    if isinstance(to, bool) or not isinstance(to, int) or to < 0:
        raise ValueError(f"to is a sequence number, 0 for the initial state, or a time, not {to!r}")
    return min(to, MAX_KEY), None


def _stores(backend: Backend, snapshots: SnapshotStore | None, archive: Archive | None, vault: Vault) -> Stores:
    journal = Journal(backend)
    return Stores(
        journal,
        snapshots or CollectionSnapshots(backend, journal.write),
        archive or CollectionArchive(backend, journal.write),
        SystemClock(),
        "msgpack",
        max_recoveries=1,
        publish=lambda _: None,
        vault=vault,
    )


def _epoch_of(record: bytes | None) -> int:
    return 0 if record is None else epoch_of(decode(record)[0].metadata)


def _time_of(record: bytes | None) -> datetime | None:
    return None if record is None else datetime.fromtimestamp(timestamp_of(record) / 1_000_000, UTC)
