"""All that a store holds, to be compared, and a store that holds something of everything."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from perdure import ActorSystem, Full, Light, Sealing, every_n_events
from perdure.abc import Backend, FeedRecord

from .diaries import Diary, Note, Pocketbook, Read, Say

COLLECTIONS = ("events", "snapshots", "durable", "archive", "subject_keys")
STATES = ("states", "owners")


class Archived(Diary):
    """Moves what it does not need to the archive of the store."""

    strategy = Full(snapshot=every_n_events(4), keep_snapshots=1, compact="archive")


class Compacted(Diary):
    """Removes what it does not need."""

    strategy = Full(snapshot=every_n_events(4), keep_snapshots=1, compact=True)


class Forgetful(Diary):
    """Has one event, and its state."""

    strategy = Light(compact=True)


TYPES: tuple[type[Any], ...] = (Diary, Archived, Compacted, Pocketbook, Forgetful, Note)


async def tell(
    store: Backend,
    texts: Iterable[str],
    *,
    names: Iterable[str] = ("a", "b"),
    types: tuple[type[Any], ...] = TYPES,
    sealing: Sealing | None = None,
    owner: str | None = None,
) -> None:
    """Tell actors of each type some texts, in turns, by one system."""
    async with ActorSystem(store=store, sealing=sealing, owner=owner) as system:
        for text in texts:
            for name in names:
                for actor_type in types:
                    await system.ref(actor_type, name).ask(Say(text))


async def told(store: Backend, sealing: Sealing | None = None) -> dict[str, Any]:
    """Return what the actors know."""
    async with ActorSystem(store=store, sealing=sealing) as system:
        return {
            f"{actor_type.__name__}/{name}": await system.ref(actor_type, name).ask(Read())
            for actor_type in TYPES
            if actor_type is not Note
            for name in "ab"
        }


async def feed(store: Backend, collection: str) -> list[FeedRecord]:
    """Return a feed, in its order."""
    records: list[FeedRecord] = []
    page = await store.feed(collection)
    while page.records:
        records += page.records
        page = await store.feed(collection, page.offset)
    return records


async def contents(store: Backend) -> dict[str, Any]:
    """Return all that systems have in a store: events and durable states in the order of commits."""
    feeds = {name: await feed(store, name) for name in COLLECTIONS}
    names = {record.prefix for name in ("events", "durable") for record in feeds[name]}
    states: dict[tuple[str, str], Any] = {
        (state, name): found
        for state in STATES
        for name in sorted(names)
        if (found := await store.read_state(state, name))[1] is not None
    }
    for place, (version, value) in states.items():
        states[place] = (version if place[0] == "owners" else 0, value)
    for other in COLLECTIONS:
        if other not in ("events", "durable"):
            feeds[other].sort()
    return {**feeds, "states": states, "names": (await store.read_state("sealing", "names"))[1]}
