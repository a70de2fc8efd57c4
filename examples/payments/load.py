"""Load that kills: `python -m examples.payments.load`, or `python3 dev.py run payments` from the project's root.

Clients send transfers over HTTP, and repeat each until it is answered, while the service is killed with SIGKILL at
random moments and started again. In the end, every answer is compared with what the accounts and transfers have stored.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import socket
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
from examples.payments.accounts import Account, Posted
from examples.payments.transfers import Ordered, Reached, Transfer

from perdure import open_backend
from perdure.query import Query

_PATIENCE = 60.0  # seconds for a service to answer
_CASH = "cash"
_ROOT = Path(__file__).resolve().parents[2]


class Service:
    """The service in a process of its own, on a free port of this machine."""

    def __init__(self, folder: Path) -> None:
        self.store = f"sqlite:///{folder / 'payments.db'}"
        self._environment = {
            **os.environ,
            "PAYMENTS_STORE": self.store,
            "PAYMENTS_TABLES": str(folder / "statements.db"),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH", "")])),
        }
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._process: asyncio.subprocess.Process | None = None
        self.client = httpx2.AsyncClient(base_url=f"http://127.0.0.1:{self._port}", timeout=10.0)

    async def start(self) -> None:
        """Return when it answers. Raises `TimeoutError`."""
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "uvicorn", "--factory", "examples.payments.app:create_app"),
            *("--port", str(self._port), "--log-level", "warning"),
            env=self._environment,
        )
        async with asyncio.timeout(_PATIENCE):
            while not await self._answers():  # noqa: ASYNC110 - another process says when
                await asyncio.sleep(0.2)

    async def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def put(self, path: str, body: dict[str, Any]) -> httpx2.Response:
        """Send until there is an answer that says what has happened."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            with suppress(httpx2.TransportError):
                answer = await self.client.put(path, json=body)
                if answer.status_code < 500:
                    return answer
            if time.monotonic() > deadline:
                raise TimeoutError(f"no answer to PUT {path} within {_PATIENCE:g} s")
            await asyncio.sleep(0.2)

    async def _answers(self) -> bool:
        try:
            return (await self.client.get("/overview")).is_success
        except httpx2.TransportError:
            return False


class Load:
    """Clients that send transfers between accounts, and what they were told."""

    def __init__(self, service: Service, accounts: int, seed: int) -> None:
        self.told: dict[str, str] = {}
        """The stage of each transfer, as its client was told."""
        self._service = service
        self._names = [f"account-{number}" for number in range(accounts)]
        self._random = random.Random(seed)

    async def open(self, opening: int) -> None:
        """Open the accounts, and give each something to spend."""
        await self._service.put(f"/accounts/{_CASH}", {"overdraft": True})
        for name in self._names:
            await self._service.put(f"/accounts/{name}", {})
            await self._send(f"opening-{name}", _CASH, name, opening)

    async def client(self, name: str, over: asyncio.Event) -> None:
        """Send transfers, one after the other, until it is over; a few are to nobody, and some are too much."""
        number = 0
        while not over.is_set():
            source, target = self._random.sample(self._names, 2)
            if self._random.random() < 0.05:
                target = "nobody"
            await self._send(f"{name}-{number}", source, target, self._random.randint(1, 400))
            number += 1

    async def _send(self, transfer: str, source: str, target: str, amount: int) -> None:
        answer = await self._service.put(
            f"/transfers/{transfer}", {"source": source, "target": target, "amount": amount}
        )
        self.told[transfer] = answer.json()["stage"]


async def check(store: str, told: dict[str, str]) -> list[str]:
    """Return what is wrong: what was told is compared with the events that are stored."""
    backend = await open_backend(store)
    orders, stages, balances = {}, {}, Counter[str]()
    legs: dict[str, list[tuple[str, str, int]]] = {}
    try:
        async for stored in Query(backend, [Account, Transfer]).all_events():
            key = stored.persistence_id.partition("/")[2]
            match stored.event:
                case Ordered(order):
                    orders[key] = order
                case Reached(stage):
                    stages[key] = stage
                case Posted(transfer, leg, amount):
                    balances[key] += amount
                    legs.setdefault(transfer, []).append((leg, key, amount))
    finally:
        await backend.close()

    wrong = [f"{key}: told {stage}, is {stages.get(key)}" for key, stage in told.items() if stages.get(key) != stage]
    wrong += [f"{key}: nobody was told of it" for key in orders.keys() - told.keys()]
    for key, order in orders.items():
        debit = ("debit", order.source, -order.amount)
        right: list[list[tuple[str, str, int]]] = {
            "completed": [[debit, ("credit", order.target, order.amount)]],
            "refused": [[], [debit, ("refund", order.source, order.amount)]],
        }.get(stages.get(key, ""), [])
        if legs.get(key, []) not in right:
            wrong.append(f"{key}: {stages.get(key)} by {legs.get(key)}")
    wrong += [f"{name} holds {balance}" for name, balance in balances.items() if balance < 0 and name != _CASH]
    return wrong + ([f"{balances.total()} too much"] if balances.total() else [])


async def run(folder: Path, rounds: int, seconds: float, clients: int, accounts: int, seed: int) -> list[str]:
    """Run the load on a service that is killed at the end of each round; return what is wrong in the end."""
    service = Service(folder)
    load = Load(service, accounts, seed)
    over = asyncio.Event()
    try:
        await service.start()
        await load.open(1000)
        async with asyncio.TaskGroup() as group:
            for number in range(clients):
                group.create_task(load.client(f"client-{number}", over))
            for _ in range(rounds):
                await asyncio.sleep(seconds * random.uniform(0.5, 1.5))
                await service.kill()
                begun = time.monotonic()
                await service.start()
                took = time.monotonic() - begun
                print(f"{len(load.told):7,} transfers were answered; killed; back after {took:.1f} s", flush=True)
            over.set()
    finally:
        await service.client.aclose()
        await service.kill()
    ends = ", ".join(f"{number:,} {stage}" for stage, number in Counter(load.told.values()).items())
    print(f"{len(load.told):7,} transfers: {ends}")
    return await check(service.store, load.told)


def main(arguments: list[str]) -> int:
    """Return 0 if nothing is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="how often the service is killed (default: 5)")
    parser.add_argument("--seconds", type=float, default=4.0, help="a round takes half to three halves (default: 4)")
    parser.add_argument("--clients", type=int, default=32, help="transfers at a time (default: 32)")
    parser.add_argument("--accounts", type=int, default=50, help="(default: 50)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="payments-") as folder:
        wrong = asyncio.run(run(Path(folder), **vars(options)))
    print("\n".join([*wrong, f"{len(wrong)} wrong"]) if wrong else "Nothing is lost, nothing is doubled.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
