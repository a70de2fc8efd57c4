"""Whether everything that a store holds of an actor type is still read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial
from typing import Any, TypeAlias

from perdure import DurableStateActor, Keyring, PersistentActor, Sealing
from perdure.abc import Backend
from perdure.errors import SealError, SubjectForgotten
from perdure.journal import EVENTS, RecordError
from perdure.persistence._changes import DURABLE
from perdure.persistence._custody import own_sealing
from perdure.persistence._definition import Definition, revision_codec
from perdure.persistence._entity import STATES
from perdure.security import Vault, sealing_of
from perdure.snapshots import SNAPSHOTS

_SHOWN = 20

_Place: TypeAlias = tuple[str, str, str, int]
"""What errors call a place, its collection, the name that is stored, and the number."""

_Found: TypeAlias = tuple[_Place, bytes, Callable[[bytes], object]]
"""Where a record is, its bytes, and what reads it."""


async def check_stored(
    actor_type: type[PersistentActor[Any, Any] | DurableStateActor[Any]],
    store: Backend,
    *,
    persistence_ids: Iterable[str] | None = None,
    sealing: Sealing | Keyring | None = None,
) -> int:
    """Read every event, state, snapshot and revision of an actor type in a store; return how many there were.

    Run it before a deploy, on a copy of what production holds. `persistence_ids` are those of actors that were spawned;
    by default it reads what actors have stored that are reached by `ref`. Nothing is written, and no `apply` is called.
    `sealing` is that of the system; what of a forgotten subject is there counts as read. In a store that hides names,
    give `persistence_ids`.

    Raises `AssertionError` naming persistence id, sequence number, type and version of what cannot be read.
    """
    read = 0
    failures: list[str] = []
    vault = Vault(store, sealing_of(sealing))
    await vault.open()
    own_sealing(vault, actor_type)
    async for (place, kind, name, number), record, decode in _records(actor_type, store, vault, persistence_ids):
        read += 1
        await vault.look_up((record,))
        try:
            decode(vault.opened(kind, name, number, record))
        except SubjectForgotten:
            continue
        except SealError as error:
            failures.append(f"{place}: {error.reason}")
        except RecordError as error:
            failures.append(f"{place}: {error}")
    if failures:
        shown = failures[:_SHOWN] + ([f"and {len(failures) - _SHOWN} more"] if len(failures) > _SHOWN else [])
        title = f"{len(failures)} of {read} records of {actor_type.type_name} are not read"
        raise AssertionError("\n  ".join([title, *shown]))
    return read


async def _records(
    actor_type: type[Any], store: Backend, vault: Vault, persistence_ids: Iterable[str] | None
) -> AsyncIterator[_Found]:
    """Yield all records of an actor type."""
    durable = issubclass(actor_type, DurableStateActor)
    collection, records_of = (DURABLE, _revisions_of) if durable else (EVENTS, _history_of)
    async for identity in _identities(actor_type.type_name, collection, store, persistence_ids):
        async for record in records_of(actor_type, store, identity, vault.stored_name(identity)):
            yield record


async def _history_of(actor_type: type[Any], store: Backend, identity: str, name: str) -> AsyncIterator[_Found]:
    definition = Definition(actor_type, "msgpack")
    async for number, record in store.collection(EVENTS, name).iterate():
        yield (f"{identity}, sequence number {number}", EVENTS, name, number), record, definition.events.decode
    async for number, record in store.collection(SNAPSHOTS, name).iterate():
        yield (f"{identity}, the snapshot at {number}", SNAPSHOTS, name, number), record, definition.states.decode
    _, state = await store.read_state(STATES, name)
    if state is not None:
        yield (f"{identity}, the stored state", STATES, name, 0), state, definition.states.decode


async def _revisions_of(actor_type: type[Any], store: Backend, identity: str, name: str) -> AsyncIterator[_Found]:
    codec = revision_codec(actor_type, "msgpack")
    async for number, record in store.collection(DURABLE, name).iterate():
        place = (f"{identity}, revision {number}", DURABLE, name, number)
        yield place, record, partial(codec.decode, number=number)


async def _identities(
    type_name: str, collection: str, store: Backend, given: Iterable[str] | None
) -> AsyncIterator[str]:
    """Yield the ids given, or all in a collection that begin with the type's name."""
    for identity in given or ():
        yield identity
    after = f"{type_name}/"
    while given is None and (found := await store.prefixes(collection, after)):
        for identity in found:
            if not identity.startswith(f"{type_name}/"):
                return
            yield identity
        after = found[-1]
