"""Whether everything that a store holds of an actor type is still read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

from perdure import PersistentActor
from perdure.abc import Backend
from perdure.journal import EVENTS, RecordError
from perdure.persistence._definition import Definition
from perdure.persistence._entity import STATES
from perdure.snapshots import SNAPSHOTS

_SHOWN = 20


async def check_stored(
    actor_type: type[PersistentActor[Any, Any]], store: Backend, *, persistence_ids: Iterable[str] | None = None
) -> int:
    """Read every event, state and snapshot of an actor type in a store; return how many there were.

    Run it before a deploy, on a copy of what production holds. `persistence_ids` are those of actors that were spawned;
    by default it reads what actors have stored that are reached by `ref`. Nothing is written, and no `apply` is called.

    Raises `AssertionError` naming persistence id, sequence number, type and version of what cannot be read.
    """
    definition = Definition(actor_type, "msgpack")
    read = 0
    failures: list[str] = []
    async for place, record, decode in _records(actor_type.type_name, definition, store, persistence_ids):
        read += 1
        try:
            decode(record)
        except RecordError as error:
            failures.append(f"{place}: {error}")
    if failures:
        shown = failures[:_SHOWN] + ([f"and {len(failures) - _SHOWN} more"] if len(failures) > _SHOWN else [])
        title = f"{len(failures)} of {read} records of {actor_type.type_name} are not read"
        raise AssertionError("\n  ".join([title, *shown]))
    return read


async def _records(
    type_name: str, definition: Definition, store: Backend, persistence_ids: Iterable[str] | None
) -> AsyncIterator[tuple[str, bytes, Callable[[bytes], object]]]:
    """Yield all records of an actor type: where each is, its bytes, and what reads it."""
    async for identity in _identities(type_name, store, persistence_ids):
        async for number, record in store.collection(EVENTS, identity).iterate():
            yield f"{identity}, sequence number {number}", record, definition.events.decode
        async for number, record in store.collection(SNAPSHOTS, identity).iterate():
            yield f"{identity}, the snapshot at {number}", record, definition.states.decode
        _, state = await store.read_state(STATES, identity)
        if state is not None:
            yield f"{identity}, the stored state", state, definition.states.decode


async def _identities(type_name: str, store: Backend, given: Iterable[str] | None) -> AsyncIterator[str]:
    """Yield the ids given, or all that begin with the type's name."""
    for identity in given or ():
        yield identity
    after = f"{type_name}/"
    while given is None and (found := await store.prefixes(EVENTS, after)):
        for identity in found:
            if not identity.startswith(f"{type_name}/"):
                return
            yield identity
        after = found[-1]
