"""Nodes in network namespaces of their own, joined by a cable that is cut.

No packet is refused there: what is sent is gone, and nobody says so. Namespaces need Linux, root and `ip`.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from time import monotonic

import pytest

from ..processes import Process, agree, until  # noqa: TID252 - tests are no package

BOUND = 8.0
"""Seconds in which a silent peer is found out: `silence` and `suspicion`, on a machine that has much else to do."""
CABLE = "cable"


class Cable:
    """Two namespaces, a and b, and a cable between them."""

    def __init__(self) -> None:
        word = secrets.token_hex(4)
        self._spaces = {end: f"perdure-{word}-{end}" for end in "ab"}
        self._macs = {"a": "02:00:00:00:00:0a", "b": "02:00:00:00:00:0b"}
        self.hosts = {"a": "10.213.0.1", "b": "10.213.0.2"}

    def lay(self) -> None:
        for space in self._spaces.values():
            ip("netns", "add", space)
        ends = [("netns", self._spaces[end], "address", self._macs[end]) for end in "ab"]
        ip("link", "add", CABLE, *ends[0], "type", "veth", "peer", "name", CABLE, *ends[1])
        for end, host in self.hosts.items():
            self._ip(end, "address", "add", f"{host}/24", "dev", CABLE)
            self._ip(end, "link", "set", CABLE, "up")

    def remove(self) -> None:
        for space in self._spaces.values():
            subprocess.run(["ip", "netns", "delete", space], capture_output=True, check=False)

    def at(self, end: str) -> list[str]:
        """Return the command that runs commands at an end."""
        return ["ip", "netns", "exec", self._spaces[end]]

    def unplug(self) -> None:
        """Pull the cable out at one end: both notice, and what is sent waits or is gone."""
        self._ip("a", "link", "set", CABLE, "down")

    def lose(self, *ends: str) -> None:
        """Send what leaves these ends to an address that nobody has."""
        for end in ends:
            self._teach(end, "02:00:00:00:00:ff")

    def mend(self) -> None:
        self._ip("a", "link", "set", CABLE, "up")
        for end, other in ("ab", "ba"):
            self._teach(end, self._macs[other])

    def _teach(self, end: str, mac: str) -> None:
        other = self.hosts["b" if end == "a" else "a"]
        self._ip(end, "neighbour", "replace", other, "lladdr", mac, "dev", CABLE, "nud", "permanent")

    def _ip(self, end: str, *arguments: str) -> None:
        ip("-netns", self._spaces[end], *arguments)


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], capture_output=True, check=True)


@pytest.fixture
def cable() -> Iterator[Cable]:
    if shutil.which("ip") is None or os.geteuid() != 0:
        pytest.skip("network namespaces need root, and the command ip of iproute2")
    cable = Cable()
    try:
        try:
            cable.lay()
        except subprocess.CalledProcessError as error:
            pytest.skip(f"network namespaces cannot be made here: {error.stderr.decode().strip()}")
        yield cable
    finally:
        cable.remove()


@pytest.fixture
async def pair(cable: Cable) -> AsyncIterator[tuple[Process, Process]]:
    """Give a node at each end; they have met."""
    members: list[Process] = []
    try:
        for end, host in cable.hosts.items():
            url = f"tcp://{host}:7400?seed={cable.hosts['a']}:7400"
            members.append(await Process.start(end, url, within=cable.at(end)))
        a, b = members
        await until(lambda: agree(a, b))
        yield a, b
    finally:
        for member in members:
            await member.kill()


CUTS: dict[str, Callable[[Cable], None]] = {
    "unplugged": Cable.unplug,
    "lost in both directions": lambda cable: cable.lose("a", "b"),
    "lost in one direction": lambda cable: cable.lose("a"),
}


@pytest.mark.parametrize("cut", CUTS)
async def test_a_partition_is_found_out_and_healed(cut: str, cable: Cable, pair: tuple[Process, Process]) -> None:
    """Both go on, and call nothing fresh that they cannot know; then all views are as their owners have them."""
    a, b = pair
    lives = [(await member.sees())["incarnation"] for member in pair]

    CUTS[cut](cable)
    began = monotonic()
    for member in (a, b, b):
        await member.says("add")
    await until(lambda: is_parted(a, "b"))
    await until(lambda: is_parted(b, "a"))
    took = monotonic() - began
    parted = [await member.says("add") for member in pair]
    cable.mend()

    assert took < BOUND
    assert [seen["fresh"] for seen in parted] == [False, False]
    assert parted[0]["views"]["b"] < 3
    assert parted[1]["views"] == {"a": 0, "b": 3}
    await until(lambda: agree(a, b))
    assert [(await member.sees())["views"] for member in pair] == [{"a": 2, "b": 3}] * 2
    assert [(await member.sees())["incarnation"] for member in pair] == lives


async def is_parted(member: Process, other: str) -> bool:
    """Tell whether a node cannot reach another, and does not hold its view to be fresh."""
    seen = await member.sees()
    return other in seen["unreachable"] and not seen["fresh"]
