"""The way from a process to a host, without Ray."""

from __future__ import annotations

import asyncio

import pytest

from perdure_replication.ray._channel import Channel


async def test_all_who_wait_for_a_host_go_on_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever finds first that nobody answered begins to look again, and the others wait for that."""
    channel = Channel("perdure-0", "perdure")
    looks = 0

    async def look() -> str:
        nonlocal looks
        looks += 1
        await asyncio.sleep(0)
        channel._answers = looks == 3
        return ""

    monkeypatch.setattr(channel, "_look", look)
    until = asyncio.get_running_loop().time() + 60

    async with asyncio.timeout(60):
        await asyncio.gather(*(channel._find(until, 60) for _ in range(3)))

    assert looks == 3
