"""The payments service: each transfer happens once or not at all, whatever dies between its steps."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from examples.payments.accounts import Account, Balance, Open
from examples.payments.app import create_app
from examples.payments.load import check
from examples.payments.statements import Statements
from examples.payments.transfers import Look, Order, Pay, Progress, Resume, Transfer
from examples.tests.conftest import ROOT
from fastapi.testclient import TestClient

from perdure import ActorSystem, PerdureError
from perdure.memory import MemoryBackend
from perdure_testkit import FaultyBackend


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    """Two accounts, of which alice has 100."""
    with TestClient(create_app("memory://", tmp_path / "tables.db")) as client:
        client.put("/accounts/cash", json={"overdraft": True})
        client.put("/accounts/alice")
        client.put("/accounts/bob")
        client.put("/transfers/first", json={"source": "cash", "target": "alice", "amount": 100})
        yield client


def pay(client: TestClient, transfer: str, source: str, target: str, amount: int) -> Any:
    return client.put(f"/transfers/{transfer}", json={"source": source, "target": target, "amount": amount})


def balances(client: TestClient) -> tuple[int, int]:
    return client.get("/accounts/alice").json(), client.get("/accounts/bob").json()


def test_a_transfer_moves_money(client: TestClient) -> None:
    """The answer comes when it has ended."""
    answer = pay(client, "rent", "alice", "bob", 30)

    assert (answer.status_code, answer.json()["stage"], balances(client)) == (200, "completed", (70, 30))


def test_a_transfer_that_is_repeated_happens_once(client: TestClient) -> None:
    """The same id is the same transfer."""
    first = pay(client, "rent", "alice", "bob", 30)

    assert pay(client, "rent", "alice", "bob", 30).json() == first.json()
    assert balances(client) == (70, 30)


def test_an_id_is_for_one_transfer(client: TestClient) -> None:
    """Another one is refused, and changes nothing."""
    pay(client, "rent", "alice", "bob", 30)

    answer = pay(client, "rent", "alice", "bob", 31)

    assert (answer.status_code, answer.json()["error"], balances(client)) == (409, "AnotherOrder", (70, 30))


def test_too_much_is_refused(client: TestClient) -> None:
    """It is an end of the transfer, with the reason."""
    answer = pay(client, "yacht", "alice", "bob", 101)

    assert (answer.json()["stage"], answer.json()["reason"]) == ("refused", "101 is more than the 100 that are there")
    assert balances(client) == (100, 0)


def test_what_nobody_takes_comes_back(client: TestClient) -> None:
    """It was debited before anybody knew."""
    answer = pay(client, "gift", "alice", "nobody", 30)

    assert (answer.json()["stage"], balances(client)) == ("refused", (100, 0))


@pytest.mark.parametrize(
    ("path", "status"), [("/accounts/nobody", 404), ("/transfers/none", 404), ("/accounts/" + "x" * 2000, 422)]
)
def test_what_is_not_there_is_said(path: str, status: int, client: TestClient) -> None:
    assert client.get(path).status_code == status


def test_an_amount_is_more_than_nothing(client: TestClient) -> None:
    assert pay(client, "nothing", "alice", "bob", 0).status_code == 422


async def run_with(backend: FaultyBackend) -> None:
    """Open two accounts, and transfer 30 from cash to bob."""
    async with ActorSystem(store=backend, ask_timeout=5) as system:
        await system.ref(Account, "cash").ask(Open(overdraft=True))
        await system.ref(Account, "bob").ask(Open())
        await system.ref(Transfer, "t").ask(Pay(Order("cash", "bob", 30)))


def dead_from(backend: FaultyBackend, number: int) -> Callable[..., bool]:
    """Return what meets the commit of this number, and all behind it."""
    return lambda *_: backend.calls["commit"] >= number


async def commits_of_a_transfer() -> int:
    backend = FaultyBackend(MemoryBackend())
    await run_with(backend)
    return backend.calls["commit"]


@pytest.mark.parametrize("fault", ["reject", "lose"])
async def test_a_transfer_goes_on_from_wherever_it_was(fault: str) -> None:
    """A crash before or after any commit of its life leaves it to be taken up again, once."""
    for number in range(3, await commits_of_a_transfer() + 1):
        store = MemoryBackend()
        faulty = FaultyBackend(store)
        getattr(faulty, fault)("commit", when=dead_from(faulty, number))
        with pytest.raises(PerdureError):
            await run_with(faulty)

        async with ActorSystem(store=store) as system:
            transfer = system.ref(Transfer, "t")
            await transfer.ask(Pay(Order("cash", "bob", 30)))
            ended: Progress = await transfer.ask(Look())
            await transfer.ask(Resume())
            held = [await system.ref(Account, name).ask(Balance()) for name in ("cash", "bob")]

        assert (ended.stage, held) == ("completed", [-30, 30])


async def test_a_start_takes_up_what_had_not_ended(tmp_path: Path) -> None:
    """The read model, which may be behind, catches up first, and knows them."""
    url = f"sqlite:///{tmp_path}/payments.db"
    async with ActorSystem(store=url) as system:
        backend = FaultyBackend(system.backend)
        backend.reject("commit", when=dead_from(backend, 5))
        with pytest.raises(PerdureError):
            await run_with(backend)

    def restarted() -> tuple[int, dict[str, Any]]:
        with TestClient(create_app(url, tmp_path / "tables.db")) as client:
            return client.get("/accounts/bob").json(), client.get("/transfers/t").json()

    balance, progress = await asyncio.to_thread(restarted)
    assert (balance, progress["stage"]) == (30, "completed")


async def test_the_read_model_counts_each_event_once(tmp_path: Path) -> None:
    """It goes on behind what it has entered, in the same file."""
    url = f"sqlite:///{tmp_path}/payments.db"

    def restarted(transfer: str) -> None:
        with TestClient(create_app(url, tmp_path / "tables.db")) as client:
            client.put("/accounts/cash", json={"overdraft": True})
            client.put("/accounts/bob")
            pay(client, transfer, "cash", "bob", 7)

    for transfer in ("one", "two"):
        await asyncio.to_thread(restarted, transfer)
    await asyncio.to_thread(restarted, "two")

    async with Statements(tmp_path / "tables.db") as statements:
        assert [entry["balance"] for entry in await statements.entries("bob", 0, 100)] == [7, 14]
        assert (await statements.overview(), await statements.unfinished()) == ({"completed": 2}, [])


def test_who_has_the_token_looks_into_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The inspector is part of the service, in each of its lives."""
    monkeypatch.setenv("PAYMENTS_INSPECTOR_TOKEN", "secret")
    app = create_app(f"sqlite:///{tmp_path}/payments.db", tmp_path / "tables.db")

    for _ in range(2):
        with TestClient(app, base_url="http://localhost") as client:
            client.put("/accounts/alice")
            assert client.get("/inspector/").status_code == 401
            assert "Account/alice" in client.get("/inspector/?token=secret").text


async def test_the_check_of_the_load_would_notice(tmp_path: Path) -> None:
    """What was told and is not so, and what nobody was told."""
    url = f"sqlite:///{tmp_path}/payments.db"
    async with ActorSystem(store=url) as system:
        await system.ref(Account, "cash").ask(Open(overdraft=True))
        await system.ref(Account, "bob").ask(Open())
        await system.ref(Transfer, "t").ask(Pay(Order("cash", "bob", 30)))

    assert await check(url, {"t": "completed"}) == []
    assert await check(url, {"t": "refused"}) == ["t: told refused, is completed"]
    assert await check(url, {}) == ["t: nobody was told of it"]


def test_a_service_that_is_killed_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Over HTTP, with SIGKILL in the middle of transfers."""
    command = [sys.executable, "-m", "examples.payments.load", "--rounds", "2", "--seconds", "1.5", "--clients", "16"]
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))

    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        encoding="utf-8",
        timeout=240,
        check=False,
    )

    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["Nothing is lost, nothing is doubled."]), done
