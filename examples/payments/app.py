"""The service: `uvicorn --factory examples.payments.app:create_app`, with `PAYMENTS_STORE` for another store.

| | |
|---|---|
| `PUT /accounts/{name}` | open an account; `{"overdraft": true}` lets it go below zero |
| `GET /accounts/{name}` | what it holds |
| `GET /accounts/{name}/entries` | what was posted to it, from the read model |
| `PUT /transfers/{id}` | make a transfer, once for each id: repeat it after any error |
| `GET /transfers/{id}` | how far it is |
| `GET /overview` | how many transfers are at each stage, from the read model |
| `GET /health/ready` | whether it can work, and why not |
| `/inspector/?token=…` | the life of each account and transfer, if `PAYMENTS_INSPECTOR_TOKEN` is set |
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Annotated, Any

from examples.payments.accounts import Account, Balance, InsufficientFunds, NoAccount, Open
from examples.payments.statements import Statements
from examples.payments.transfers import AnotherOrder, Look, NoTransfer, Order, Pay, Resume, Transfer
from fastapi import FastAPI, Query, Request
from pydantic import BaseModel, PositiveInt
from starlette.routing import Mount

from perdure import ActorSystem
from perdure.contrib.fastapi import Reply, System, answer_errors, health_routes
from perdure.inspector import application

_AT_ONCE = 64
"""Transfers that are taken up again at a time."""


class Opening(BaseModel):
    overdraft: bool = False


class Payment(BaseModel):
    source: str
    target: str
    amount: PositiveInt


def create_app(store: str | None = None, tables: Path | None = None) -> FastAPI:
    """Return the application on a store, with its read model in a file."""
    store = store or os.environ.get("PAYMENTS_STORE", "sqlite:///payments.db")
    tables = tables or Path(os.environ.get("PAYMENTS_TABLES", "statements.db"))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[dict[str, Any], None]:
        async with Statements(tables) as statements, ActorSystem(store=store) as system:
            query = system.query(Account, Transfer)
            await statements.catch_up(query.all_events(after=await statements.position()))
            await _resume(system, statements)
            system.sink("statements", query.all_events(after=await statements.position(), live=True), statements.write)
            with _inspected(app, system):
                yield {"perdure": system, "statements": statements}

    app = FastAPI(title="Payments", lifespan=lifespan)
    answer_errors(app, {NoAccount: 404, NoTransfer: 404, InsufficientFunds: 402, AnotherOrder: 409})
    app.include_router(health_routes())
    _add_routes(app)
    return app


@contextmanager
def _inspected(app: FastAPI, system: ActorSystem) -> Iterator[None]:
    """Let those look into the store who have the token, where one is set."""
    token = os.environ.get("PAYMENTS_INSPECTOR_TOKEN")
    if not token:
        yield
        return
    page = Mount("/inspector", application(system.backend, [Account, Transfer], token=token, store="payments"))
    app.router.routes.append(page)
    yield
    app.router.routes.remove(page)


async def _resume(system: ActorSystem, statements: Statements) -> None:
    """Take up again the transfers that had not ended when the service did."""
    room = asyncio.Semaphore(_AT_ONCE)

    async def resume(transfer: str) -> None:
        async with room:
            await system.ref(Transfer, transfer).ask(Resume())

    async with asyncio.TaskGroup() as group:
        for transfer in await statements.unfinished():
            group.create_task(resume(transfer))


def _add_routes(app: FastAPI) -> None:
    @app.put("/accounts/{name}")
    async def open_account(name: str, system: System, opening: Opening | None = None) -> int:
        overdraft = opening is not None and opening.overdraft
        return await system.ref(Account, name).ask(Open(overdraft))

    @app.get("/accounts/{name}")
    async def balance(name: str, system: System) -> int:
        return await system.ref(Account, name).ask(Balance())

    @app.get("/accounts/{name}/entries")
    async def entries(
        name: str, request: Request, after: int = 0, limit: Annotated[int, Query(ge=1, le=1000)] = 100
    ) -> list[dict[str, Any]]:
        return await _statements(request).entries(name, after, limit)

    @app.put("/transfers/{transfer}")
    async def pay(transfer: str, payment: Payment, system: System) -> Reply:
        order = Order(payment.source, payment.target, payment.amount)
        return Reply(await system.ref(Transfer, transfer).ask(Pay(order)))

    @app.get("/transfers/{transfer}")
    async def look(transfer: str, system: System) -> Reply:
        return Reply(await system.ref(Transfer, transfer).ask(Look()))

    @app.get("/overview")
    async def overview(request: Request) -> dict[str, int]:
        return await _statements(request).overview()


def _statements(request: Request) -> Statements:
    statements: Statements = request.state.statements
    return statements
