"""Durable actors in a FastAPI application."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")

from fastapi import APIRouter, FastAPI, WebSocket
from fastapi.testclient import TestClient

from perdure import ActorSystem, Event, Message, PersistentActor, Rejected
from perdure.contrib.fastapi import STATUSES, Reply, System, answer_errors, health_routes, lifespan
from perdure.errors import (
    AskTimeout,
    ConflictError,
    InvalidIdentifier,
    OutcomeUnknown,
    PerdureError,
    StaleRevision,
    StoreBusy,
    StoreError,
    Superseded,
)
from perdure.memory import MemoryBackend
from perdure_testkit import FaultyBackend


class Deposit(Message[int]):
    amount: int


class Deposited(Event):
    amount: int


class Account(PersistentActor[int, Deposited]):
    initial_state = 0

    async def handle(self, message: Any, context: Any) -> int:
        if message.amount <= 0:
            raise Rejected(f"cannot deposit {message.amount}")
        await self.persist(Deposited(message.amount))
        return self.state

    def apply(self, state: int, event: Deposited) -> int:
        return state + event.amount


accounts = APIRouter()


@accounts.post("/accounts/{name}/deposits")
async def deposit(name: str, amount: int, system: System) -> int:
    return await system.ref(Account, name).ask(Deposit(amount))


@accounts.get("/event")
async def show() -> Reply:
    return Reply(Deposited(7))


@accounts.websocket("/live/{name}")
async def live(socket: WebSocket, name: str, system: System) -> None:
    await socket.accept()
    await socket.send_json(await system.ref(Account, name).ask(Deposit(1)))
    await socket.close()


def application(url: str = "memory://") -> FastAPI:
    app = FastAPI(lifespan=lifespan(lambda: ActorSystem(store=url)))
    app.include_router(accounts)
    answer_errors(app)
    return app


@pytest.fixture
def client() -> Iterator[TestClient]:
    with TestClient(application()) as client:
        yield client


@pytest.fixture
def failing() -> Iterator[Callable[[Exception], Any]]:
    """Return what a path operation that raises an error is answered with."""
    app = FastAPI()
    answer_errors(app)
    with TestClient(app, raise_server_exceptions=False) as client:

        def answer(error: Exception) -> Any:
            @app.get(f"/{len(app.routes)}")
            async def fail() -> None:
                raise error

            return client.get(f"/{len(app.routes) - 1}")

        yield answer


def test_a_path_operation_asks_an_actor(client: TestClient) -> None:
    """The reply is what the actor made of all messages."""
    client.post("/accounts/alice/deposits", params={"amount": 10})

    answer = client.post("/accounts/alice/deposits", params={"amount": 5})

    assert (answer.status_code, answer.json()) == (200, 15)


def test_what_was_answered_is_there_after_a_restart(tmp_path: Path) -> None:
    """Each life of the application has a system of its own, on the same store."""
    app = application(f"sqlite:///{tmp_path}/bank.db")
    with TestClient(app) as client:
        client.post("/accounts/alice/deposits", params={"amount": 10})

    with TestClient(app) as client:
        assert client.post("/accounts/alice/deposits", params={"amount": 1}).json() == 11


def test_a_websocket_has_the_system(client: TestClient) -> None:
    """The dependency is for every kind of connection."""
    with client.websocket_connect("/live/alice") as socket:
        assert socket.receive_json() == 1


def test_a_mounted_application_has_the_system_of_the_one_around_it() -> None:
    """There, the lifespan of the outer one is what runs."""
    outer = FastAPI(lifespan=lifespan(lambda: ActorSystem()))
    inner = FastAPI()
    inner.include_router(accounts)
    outer.mount("/inner", inner)

    with TestClient(outer) as client:
        assert client.post("/inner/accounts/alice/deposits", params={"amount": 3}).json() == 3


def test_a_lifespan_of_ones_own_can_open_the_system() -> None:
    """It yields it beside what else it has."""

    @asynccontextmanager
    async def own(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with ActorSystem() as system:
            yield {"perdure": system, "greeting": "hello"}

    app = FastAPI(lifespan=own)
    app.include_router(accounts)

    with TestClient(app) as client:
        assert client.post("/accounts/alice/deposits", params={"amount": 3}).json() == 3


def test_an_application_without_a_system_is_told_so() -> None:
    """The error says what to write, in the application and in its tests."""
    app = FastAPI()
    app.include_router(accounts)

    with TestClient(app) as client, pytest.raises(RuntimeError, match=r"lifespan=.*with TestClient"):
        client.post("/accounts/alice/deposits", params={"amount": 3})


def test_what_msgspec_knows_is_answered(client: TestClient) -> None:
    """As JSON, whatever FastAPI makes of its type."""
    answer = client.get("/event")

    assert (answer.json(), answer.headers["content-type"]) == ({"amount": 7}, "application/json")


def test_a_refusal_is_a_problem_that_says_why(client: TestClient) -> None:
    """It has the text of the error, for the asker can do something about it."""
    answer = client.post("/accounts/alice/deposits", params={"amount": -1})

    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {"title": "Conflict", "status": 409, "error": "Rejected", "detail": "cannot deposit -1"}


def test_an_id_that_no_store_can_hold_is_the_askers_fault(client: TestClient) -> None:
    """A path is the asker's to choose."""
    answer = client.post("/accounts/" + "x" * 2000 + "/deposits", params={"amount": 1})

    assert (answer.status_code, answer.json()["error"]) == (422, "InvalidIdentifier")


@pytest.mark.parametrize(
    ("error", "status", "retry"),
    [
        (StaleRevision("account/alice", 1, 2), 409, None),
        (InvalidIdentifier("key", "", "empty"), 422, None),
        (ConflictError("account/alice", 1, 2), 503, "1"),
        (StoreBusy("commit", "held"), 503, "1"),
        (Superseded("account/alice", 1), 503, "1"),
        (AskTimeout(1.0, "/account/alice"), 504, None),
        (OutcomeUnknown("commit", "the connection was lost"), 504, None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_the_nearest_class_of_an_error_counts(
    error: PerdureError, status: int, retry: str | None, failing: Callable[[Exception], Any]
) -> None:
    """503 for what was surely not done, 504 for what perhaps was."""
    answer = failing(error)

    assert (answer.status_code, answer.headers.get("Retry-After")) == (status, retry)
    assert answer.json()["error"] == type(error).__name__


def test_nothing_is_told_of_the_store(failing: Callable[[Exception], Any]) -> None:
    """Above 500 the detail is what such an error means."""
    answer = failing(OutcomeUnknown("commit", "redis://:secret@10.0.0.5 is gone"))

    assert answer.json()["detail"] == "The write may or may not have happened: read before deciding anything."


def test_other_errors_stay_what_they_are(failing: Callable[[Exception], Any]) -> None:
    """What is in no table is the server's own 500."""
    answer = failing(StoreError("commit", "the disk is full"))

    assert (answer.status_code, answer.text) == (500, "Internal Server Error")


def test_an_application_can_choose_its_codes() -> None:
    """For errors of its own, too."""

    class Poor(Rejected):
        pass

    app = FastAPI()
    answer_errors(app, {Poor: 402})

    @app.get("/")
    async def fail() -> None:
        raise Poor("10 are missing")

    with TestClient(app) as client:
        assert (client.get("/").status_code, client.get("/").json()["detail"]) == (402, "10 are missing")


def test_every_code_is_one_of_an_error() -> None:
    """The table has no success in it."""
    assert all(status >= 400 for status in STATUSES.values())


def test_the_readiness_of_the_system_is_told() -> None:
    """503 as long as its store does not answer, with the reason; the process is live all the time."""
    backend = FaultyBackend(MemoryBackend())
    app = FastAPI(lifespan=lifespan(lambda: ActorSystem(store=backend)))
    app.include_router(health_routes(timeout=0.05))

    with TestClient(app) as client:
        well = client.get("/health/ready")
        backend.hang("read_state", when=lambda *_: True)
        ill = client.get("/health/ready")
        assert client.get("/health/live").status_code == 200
        backend.heal()

    assert (well.status_code, well.json()["ready"]) == (200, True)
    assert (ill.status_code, ill.json()["reasons"]) == (503, ["the store has not answered for 0.05 s"])
