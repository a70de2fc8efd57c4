"""The door of `redis://`."""

from __future__ import annotations

import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from perdure import Keyring
from perdure.security import EncryptedKey, write_key_file
from perdure_replication import Member
from perdure_replication.errors import InvalidTransport
from perdure_replication.redis import RedisMembership, RedisTransport
from perdure_replication.redis._plugin import open_redis

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
def test_it_is_an_entry_point(scheme: str) -> None:
    """Of the group in which a node's ports are found."""
    doors = tomllib.loads(PROJECT.read_text())["project"]["entry-points"]["perdure.transports"]

    assert EntryPoint(scheme, doors[scheme], "perdure.transports").load() is open_redis


async def test_it_opens_both_ports(server: Any, tmp_path: Path) -> None:
    """With the secret of a file, and times."""
    secret = tmp_path / "keys"
    write_key_file(secret)

    ports = open_redis(f"{server.url}/0?secret={secret}&beat_interval=0.1&unreachable_after=1&timeout=2", "one", {})

    assert isinstance(ports.transport, RedisTransport)
    assert isinstance(ports.membership, RedisMembership)
    await ports.transport.start(Member("a", 1), lambda *_: None)
    await ports.membership.join(Member("a", 1), lambda _: None)
    await ports.membership.close()
    await ports.transport.close()
    assert {key.split(b":")[1] for key in server.call("KEYS", "*")} == {b"{one}"}


@pytest.mark.parametrize(
    ("query", "options", "says"),
    [
        ("", {}, "give secret=…, or say insecure=True"),
        ("?insecure=yes", {}, "insecure is true, not 'yes'"),
        ("?insecure=true&timeout=soon", {}, "timeout is a number of seconds, not 'soon'"),
        ("?insecure=true&window=-1", {}, "window is a number of seconds, not '-1'"),
        ("?insecure=true&colour=red", {}, "colour"),
        ("?insecure=true", {"seed": 1}, "there is no seed="),
        ("?insecure=true", {"secret": EncryptedKey(bytes(range(32)))}, "choose one"),
    ],
)
def test_it_refuses_what_cannot_be_right(query: str, options: dict[str, Any], says: str) -> None:
    """And shows no password."""
    with pytest.raises(InvalidTransport, match=says) as caught:
        open_redis(f"redis://user:hidden@host/0{query}", "perdure", options)

    assert "hidden" not in str(caught.value)


async def test_the_secret_can_be_changed_while_nodes_run(ports: Any, until: Any) -> None:
    """All get the new key, then one after the other uses it, then the old one is taken away."""
    old, new = bytes(range(32)), bytes(range(1, 33))
    rings = {name: Keyring({1: old}) for name in "ab"}
    received: dict[str, list[bytes]] = {name: [] for name in "ab"}
    nodes = {name: ports.transport(secret=ring) for name, ring in rings.items()}
    for name, node in nodes.items():
        await node.start(Member(name, 1), lambda _, frame, name=name: received[name].append(frame))

    async def both_are_heard(count: int) -> None:
        await nodes["a"].send("b", b"frame")
        await nodes["b"].send("a", b"frame")
        await until(lambda: len(received["a"]) == len(received["b"]) == count)

    await both_are_heard(1)
    for ring in rings.values():
        ring.add(2, new)
    rings["a"].activate(2)
    await both_are_heard(2)
    rings["b"].activate(2)
    await both_are_heard(3)
    for ring in rings.values():
        ring.remove(1)
    await both_are_heard(4)


async def test_what_an_old_key_has_sealed_is_refused(ports: Any, until: Any) -> None:
    """When the key is taken away."""
    ring = Keyring({1: bytes(range(32)), 2: bytes(range(1, 33))}, active=2)
    sender, receiver = ports.transport(secret=Keyring({1: bytes(range(32))})), ports.transport(secret=ring)
    received: list[bytes] = []
    await sender.start(Member("a", 1), lambda *_: None)
    await receiver.start(Member("b", 1), lambda _, frame: received.append(frame))
    await sender.send("b", b"before")
    await until(lambda: received)

    ring.remove(1)
    await sender.send("b", b"after")

    await until(lambda: receiver.refused["forged"])
    assert received == [b"before"]
