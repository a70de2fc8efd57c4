"""All stored names of a collection."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from perdure.abc import Backend

_PAGE = 1000


async def pages_of_names(backend: Backend, collection: str, after: str = "") -> AsyncGenerator[list[str], None]:
    """Yield the prefixes of a collection that are greater than a text, ascending. What is added meanwhile may come."""
    while names := await backend.prefixes(collection, after, _PAGE):
        yield names
        after = names[-1]


async def stored_names(backend: Backend, collection: str, after: str = "") -> AsyncGenerator[str, None]:
    """Yield the same, one by one."""
    async with aclosing(pages_of_names(backend, collection, after)) as pages:
        async for names in pages:
            for name in names:
                yield name
