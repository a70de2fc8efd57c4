"""Durable actors in a FastAPI application: `pip install 'perdure[fastapi]'`.

    app = FastAPI(lifespan=lifespan(lambda: ActorSystem(store="sqlite:///bank.db")))
    answer_errors(app)

    @app.post("/accounts/{name}/deposits")
    async def deposit(name: str, amount: int, system: System) -> int:
        return await system.ref(Account, name).ask(Deposit(amount))

Mounted applications and routers, WebSockets too, get the system of the application around them.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from starlette.requests import HTTPConnection

from perdure import ActorSystem
from perdure.errors import (
    ActorStopped,
    AskTimeout,
    ConflictError,
    InvalidIdentifier,
    MailboxFull,
    OutcomeUnknown,
    PerdureError,
    RecordTooLarge,
    Rejected,
    StaleRevision,
    StartTimeout,
    StoreClosed,
    StoreUnavailable,
    SubjectForgotten,
    Superseded,
)

__all__ = ["STATUSES", "Reply", "System", "answer_errors", "health_routes", "lifespan", "system_of"]

STATUSES: Mapping[type[PerdureError], HTTPStatus] = {
    Rejected: HTTPStatus.CONFLICT,
    SubjectForgotten: HTTPStatus.GONE,
    InvalidIdentifier: HTTPStatus.UNPROCESSABLE_ENTITY,
    StaleRevision: HTTPStatus.CONFLICT,
    RecordTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    ConflictError: HTTPStatus.SERVICE_UNAVAILABLE,
    MailboxFull: HTTPStatus.SERVICE_UNAVAILABLE,
    ActorStopped: HTTPStatus.SERVICE_UNAVAILABLE,
    StartTimeout: HTTPStatus.SERVICE_UNAVAILABLE,
    StoreClosed: HTTPStatus.SERVICE_UNAVAILABLE,
    StoreUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    Superseded: HTTPStatus.SERVICE_UNAVAILABLE,
    AskTimeout: HTTPStatus.GATEWAY_TIMEOUT,
    OutcomeUnknown: HTTPStatus.GATEWAY_TIMEOUT,
}
"""How an error is answered. 503: surely not done, and may be tried again. 504: perhaps done, or it will be."""

_RETRY_AFTER = "1"  # seconds
_STATE = "perdure"

OpenSystem = Callable[[], AbstractAsyncContextManager[ActorSystem]]


def lifespan(open_system: OpenSystem) -> Callable[[FastAPI], AbstractAsyncContextManager[Mapping[str, Any]]]:
    """Return a lifespan for `FastAPI(lifespan=…)` during which a system is open, a new one each time.

    Where the application has a lifespan of its own, let that yield `{"perdure": system}`, beside what else it yields.
    """

    @asynccontextmanager
    async def opened(app: FastAPI) -> AsyncGenerator[Mapping[str, Any], None]:
        async with open_system() as system:
            yield {_STATE: system}

    return opened


def system_of(connection: HTTPConnection) -> ActorSystem:
    """Return the system of the application. Raises `RuntimeError` where its lifespan has none."""
    system = getattr(connection.state, _STATE, None)
    if not isinstance(system, ActorSystem):
        raise RuntimeError(
            "the application has no actor system: give it FastAPI(lifespan=perdure.contrib.fastapi.lifespan(…)), "
            "and in tests enter it: with TestClient(app) as client"
        )
    return system


System = Annotated[ActorSystem, Depends(system_of)]
"""What a path operation takes to be given the system."""


class Reply(Response):
    """Answers with what an actor replied, as JSON of msgspec: messages, events and structs as well as plain values."""

    media_type = "application/json"

    def render(self, content: object) -> bytes:
        return msgspec.json.encode(content)


def health_routes(prefix: str = "/health", **limits: Any) -> APIRouter:
    """Return the routes `/health/live` and `/health/ready`, for whatever starts, watches and routes to the process.

    `live` is answered by 200 as long as the event loop turns. `ready` is answered by what `system.health(**limits)`
    says, with 503 where it is not ready. It tells paths and types of actors: keep it inside.
    """
    routes = APIRouter(prefix=prefix, tags=["health"])

    @routes.get("/live")
    async def live() -> dict[str, bool]:
        return {"live": True}

    @routes.get("/ready")
    async def ready(system: System) -> Response:
        health = await system.health(**limits)
        return Reply(health, HTTPStatus.OK if health.ready else HTTPStatus.SERVICE_UNAVAILABLE)

    return routes


def answer_errors(app: FastAPI, statuses: Mapping[type[PerdureError], HTTPStatus | int] | None = None) -> None:
    """Have the errors of actors and stores answered as in `STATUSES`, and as in `statuses`, which goes before it.

    The nearest class of an error counts. The answer is a problem (RFC 9457) with the error's name as `error`. Its
    `detail` is the error's text where the asker can do something about it, which are the codes below 500; above, it is
    what such an error means, and nothing of the store or its place is told. 503 says when to try again.
    """
    for kind, status in {**STATUSES, **(statuses or {})}.items():
        app.add_exception_handler(kind, _Answer(HTTPStatus(status)))


class _Answer:
    """Answers with one status."""

    def __init__(self, status: HTTPStatus) -> None:
        self._status = status

    async def __call__(self, request: Request, error: Exception) -> Response:
        problem = {
            "title": self._status.phrase,
            "status": int(self._status),
            "error": type(error).__name__,
            "detail": str(error) if self._status < HTTPStatus.INTERNAL_SERVER_ERROR else _meaning(type(error)),
        }
        headers = {"Retry-After": _RETRY_AFTER} if self._status == HTTPStatus.SERVICE_UNAVAILABLE else None
        return Response(msgspec.json.encode(problem), int(self._status), headers, media_type="application/problem+json")


def _meaning(kind: type[Exception]) -> str:
    """Return the first sentence of what is said of an error."""
    text = " ".join((inspect.getdoc(kind) or "").split())
    return text.partition(". ")[0].rstrip(".") + "."
