"""All stored names of a collection."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from perdure.abc import Backend

_PAGE = 1000


async def stored_names(backend: Backend, collection: str, after: str = "") -> AsyncGenerator[str, None]:
    """Yield the prefixes of a collection that are greater than a text, ascending. What is added meanwhile may come."""
    while names := await backend.prefixes(collection, after, _PAGE):
        for name in names:
            yield name
        after = names[-1]
