"""The inspector of one store as an application, to be served or mounted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from perdure.abc import Backend
from perdure.errors import PerdureError
from perdure.inspector._guard import LOOPBACK, Guard
from perdure.inspector._pages import Pages
from perdure.inspector._records import Records
from perdure.inspector._states import States
from perdure.inspector._tail import Tail
from perdure.persistence import PersistentActor
from perdure.security import Sealing
from perdure.snapshots import SnapshotStore


def application(
    backend: Backend,
    actor_types: Sequence[type[PersistentActor[Any, Any]]] = (),
    *,
    token: str,
    hosts: Collection[str] = LOOPBACK,
    sealing: Sealing | None = None,
    snapshots: SnapshotStore | None = None,
    store: str = "",
    poll: float = 1.0,
    closing: asyncio.Event | None = None,
) -> ASGIApp:
    """Return an ASGI application that shows what is in an open store, and writes nothing.

    It answers those who have the `token`, asking for one of the `hosts`. Actors of `actor_types` are shown with their
    states, which are folded here: their `apply` is called. Without `sealing` what is sealed stays sealed. `snapshots`
    is the snapshot store of the system, where it has its own; `store` is what the pages call the backend; live pages
    look for what is new every `poll` seconds, until `closing` is set.

    Raises `EventTypeError`, `EvolutionError`, `ValueError` for actor types that cannot be read, or for an empty token.
    """
    if not token:
        raise ValueError("an inspector needs a token: secrets.token_urlsafe(32)")
    records = Records(backend, actor_types, sealing)
    pages = Pages(
        store,
        records,
        States(records, actor_types, snapshots),
        snapshots,
        Tail(records, poll, closing or asyncio.Event()),
    )
    app = Starlette(routes=pages.routes(), exception_handlers={HTTPException: pages.fail, PerdureError: pages.fail})
    return Guard(app, token, hosts, _answering(pages.refuse))


def _answering(respond: Callable[[Request], Awaitable[Response]]) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await (await respond(Request(scope)))(scope, receive, send)

    return app
