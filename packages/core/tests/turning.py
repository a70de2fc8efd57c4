"""Letting the event loop turn, where others would sleep."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def turns(count: int = 20) -> None:
    """Let the loop turn so often that whoever can act has acted."""
    for _ in range(count):
        await asyncio.sleep(0)


def soon(coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Run beside the test."""
    return asyncio.get_running_loop().create_task(coroutine)


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until a condition holds."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - a condition, of which nobody tells
            await asyncio.sleep(0)


async def rest(events: AsyncIterable[T]) -> list[T]:
    """Return all events up to the end."""
    return [event async for event in events]
