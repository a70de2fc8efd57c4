"""Taking the heads of all logs, and what all durable states are, to keep them elsewhere."""

from __future__ import annotations

from contextlib import aclosing
from datetime import UTC, datetime

from perdure.abc import MAX_KEY, Backend
from perdure.journal import EVENTS
from perdure.persistence._changes import DURABLE
from perdure.security import Anchor, AnchoredHead, link_of
from perdure.upkeep._names import stored_names
from perdure.upkeep._opened import opened


async def take_anchor(store: str | Backend) -> Anchor:
    """Return the heads that the logs of a store have now, and what its durable states are. It takes no keys.

    Make it of what is sealed with `Sealing(chain=True)`, and keep it where nobody writes who can write the store. Then
    `verify`, and recovery with `Sealing(anchor=…)`, notice what is cut off or rewritten behind it, and a durable state
    that is one from before it. Raises `RecordAltered` for a record that cannot be one, `StoreError` when the store
    cannot be read.
    """
    async with opened(store) as backend:
        return Anchor(datetime.now(UTC), await _heads(backend, EVENTS), await _heads(backend, DURABLE))


async def _heads(backend: Backend, collection: str) -> dict[str, AnchoredHead]:
    """Return the last record of each stored name."""
    heads = {}
    async with aclosing(stored_names(backend, collection)) as names:
        async for name in names:
            page = await backend.page(collection, name, 1, MAX_KEY + 1, limit=1, max_bytes=1, reverse=True)
            for number, record in page.entries:
                heads[name] = AnchoredHead(number, link_of(collection, name, number, record))
    return heads
