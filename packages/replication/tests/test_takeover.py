"""A stand-by takes over from an owner in another process, on a store that both have."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from perdure import ActorSystem, PersistentActor
from perdure.security import EncryptedKey
from perdure_replication import HotStandby, Node, open_ports
from perdure_testkit.redis import RedisServer

from .owner import ACCOUNTS, KEYS, SOON, Account, Deposit, Deposits, Said

OWNER = Path(__file__).with_name("owner.py")
SECRET = bytes(range(32))
PATIENCE = 30.0


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


class Owner:
    """The process, and what it has said of each account."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.said: list[Said] = []
        self._process = process

    @classmethod
    async def start(cls, port: int, seed: int, store: str) -> Owner:
        pipe, environment = asyncio.subprocess.PIPE, {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        url = f"tcp://127.0.0.1:{port}?seed=127.0.0.1:{seed}"
        command = (sys.executable, str(OWNER), url, SECRET.hex(), store)
        owner = cls(await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, env=environment))
        await owner.hear()
        return owner

    def tell(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n".encode())

    async def hear(self, deposits: int = sys.maxsize) -> None:
        """Note what it says until it has said so many deposits, or nothing more."""
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            while len(self.said) < deposits and (line := (await self._process.stdout.readline()).strip()):
                self.said.append(msgspec.json.decode(line, type=Said))

    async def kill(self) -> None:
        """End it as `kill -9` does, and note all that it has said."""
        if self._process.returncode is None:
            self._process.kill()
        await self.hear()
        await self._process.wait()


@pytest.fixture(params=["sqlite", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'bank.db'}"
        return
    if importlib.util.find_spec("perdure_redis") is None:
        pytest.skip("perdure-redis is not installed")
    server = RedisServer(tmp_path, "--appendonly", "yes", "--appendfsync", "always").start()
    yield server.url
    server.kill()


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    ports = open_ports(f"tcp://127.0.0.1:{free_port()}", secret=EncryptedKey(SECRET), settings=SOON)
    async with Node("standby", [], transport=ports.transport, membership=ports.membership) as node:
        yield node


class Counted(HotStandby):
    """Counts the actors that it has had recovered."""

    count = 0

    def state(self, actor_type: type[PersistentActor[Any, Any]], persistence_id: str, /) -> tuple[Any, int] | None:
        found = super().state(actor_type, persistence_id)
        self.count += found is not None
        return found


async def check_log(system: ActorSystem, said: list[Said]) -> None:
    """Compare what was acknowledged with what is stored."""
    stored = {
        (event.persistence_id, event.sequence_number): event.event.amount
        async for event in system.query(Account).all_events()
    }
    acknowledged = {(f"Account/{each.key}", each.number): each.amount for each in said if each.number}

    assert acknowledged
    assert acknowledged.items() <= stored.items()
    assert len(set(stored.values())) == len(stored), "a deposit was stored twice"


async def test_nothing_that_was_acknowledged_is_lost_with_its_owner(store: str, node: Node) -> None:
    """It is killed under load; meanwhile its views were here, and so were its keys."""
    views, deposits = ACCOUNTS.follow(node), node.keyed(Deposits)
    standby = Counted(views)
    owner = await Owner.start(free_port(), int(node._address.rpartition(":")[2]), store)
    async with ActorSystem(store=store, owner="standby", warm=standby) as system:
        await standby.attach(system)
        owner.tell("load")
        await owner.hear(300)
        for key in KEYS:
            await views.wait(key, 5, timeout=PATIENCE)
        followed = dict(deposits.views["owner"])

        await owner.kill()
        own = [Said(key, -n, await system.ref(Account, key).ask(Deposit(-n))) for n, key in enumerate(KEYS, 1)]

        last = {each.key: each.number for each in owner.said}
        assert all(each.number > last[each.key] for each in own)
        assert standby.count == len(KEYS)
        assert followed.keys() == set(KEYS)
        await check_log(system, owner.said + own)


async def test_an_owner_that_was_replaced_is_refused(store: str, node: Node) -> None:
    """For ever, though it has the accounts in memory still, and does not know of the one who took over."""
    standby = HotStandby(ACCOUNTS.follow(node))
    owner = await Owner.start(free_port(), int(node._address.rpartition(":")[2]), store)
    owner.tell("load")
    await owner.hear(50)
    owner.tell("rest")
    await owner.hear()
    async with ActorSystem(store=store, owner="standby", warm=standby) as system:
        await standby.attach(system)
        own = [Said(key, -n, await system.ref(Account, key).ask(Deposit(-n))) for n, key in enumerate(KEYS, 1)]

        owner.tell("load")
        before = len(owner.said)
        await owner.hear(before + 3 * len(KEYS))
        await owner.kill()

        assert {(each.key, each.error) for each in owner.said[before:]} == {(key, "Superseded") for key in KEYS}
        await check_log(system, owner.said + own)
