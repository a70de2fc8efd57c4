"""Taking the heads of all logs, to keep them elsewhere."""

from __future__ import annotations

from contextlib import aclosing
from datetime import UTC, datetime

from perdure.abc import MAX_KEY, Backend
from perdure.journal import EVENTS
from perdure.security import Anchor, AnchoredHead, link_of
from perdure.upkeep._names import stored_names
from perdure.upkeep._opened import opened


async def take_anchor(store: str | Backend) -> Anchor:
    """Return the heads that the logs of a store have now. It takes no keys.

    Make it of logs that are chained (`Sealing(chain=True)`), and keep it where nobody writes who can write the store.
    Then `verify`, and recovery with `Sealing(anchor=…)`, notice what is cut off or rewritten behind it. Raises
    `RecordAltered` for a record that cannot be one, `StoreError` when the store cannot be read.
    """
    heads = {}
    async with opened(store) as backend, aclosing(stored_names(backend, EVENTS)) as names:
        async for name in names:
            page = await backend.page(EVENTS, name, 1, MAX_KEY + 1, limit=1, max_bytes=1, reverse=True)
            for number, record in page.entries:
                heads[name] = AnchoredHead(number, link_of(EVENTS, name, number, record))
    return Anchor(datetime.now(UTC), heads)
