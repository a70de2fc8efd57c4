"""Nodes in processes of their own, for tests that kill them or part them."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

MEMBER = Path(__file__).with_name("member.py")
SECRET = bytes(range(32)).hex()
PATIENCE = 30.0


class Process:
    """A process that is a node."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self._process = process

    @classmethod
    async def start(cls, name: str, url: str, *, within: Sequence[str] = ()) -> Process:
        """Start a node; `within` is a command that runs commands. Return when the node is open."""
        pipe, environment = asyncio.subprocess.PIPE, {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = (*within, sys.executable, str(MEMBER), name, url, SECRET)
        member = cls(name, await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, env=environment))
        await member.sees()
        return member

    async def says(self, word: str) -> dict[str, Any]:
        """Tell the node to do something. Returns what it sees then."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{word}\n".encode())
        async with asyncio.timeout(PATIENCE):
            answer: dict[str, Any] = json.loads(await self._process.stdout.readline())
        return answer

    async def sees(self) -> dict[str, Any]:
        return await self.says("show")

    async def kill(self) -> None:
        """End it as `kill -9` does."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


async def agree(*members: Process) -> bool:
    """Tell whether all hold the same of all, who are fresh."""
    seen = [await member.sees() for member in members]
    views = seen[0]["views"]
    return len(views) >= len(members) and all(each["views"] == views and each["fresh"] for each in seen)


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something holds. Raises `TimeoutError` when it never does."""
    async with asyncio.timeout(PATIENCE):
        while not await holds():  # noqa: ASYNC110 - nobody says when
            await asyncio.sleep(0.01)
