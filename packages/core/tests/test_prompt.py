"""The future that steps its waiters at once."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

import pytest

from perdure._prompt import Prompt

_request: contextvars.ContextVar[str] = contextvars.ContextVar("request")


def _prompt() -> Prompt[Any]:
    return Prompt(asyncio.get_running_loop())


async def _turn() -> None:
    await asyncio.sleep(0)


async def test_a_waiter_has_gone_on_when_the_result_is_set() -> None:
    prompt = _prompt()
    heard: list[object] = []

    async def wait() -> None:
        heard.append(await prompt)

    waiter = asyncio.create_task(wait())
    await _turn()

    def finish() -> None:
        prompt.set_result(7)
        heard.append("set")

    asyncio.get_running_loop().call_soon(finish)
    await waiter

    assert heard == [7, "set"]


async def test_a_result_that_is_there_is_not_waited_for() -> None:
    prompt = _prompt()
    prompt.set_result(7)

    assert await prompt == 7


async def test_an_exception_is_raised_in_the_waiter() -> None:
    prompt = _prompt()
    asyncio.get_running_loop().call_soon(prompt.set_exception, ValueError("no"))

    with pytest.raises(ValueError, match="no"):
        await prompt


async def test_a_cancelled_waiter_cancels_it_and_a_late_result_is_refused() -> None:
    prompt = _prompt()
    waiter = asyncio.ensure_future(asyncio.wait_for(prompt, 10))
    await _turn()

    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter

    assert prompt.cancelled()
    with pytest.raises(asyncio.InvalidStateError):
        prompt.set_result(7)


async def test_a_waiter_goes_on_in_its_own_context() -> None:
    prompt = _prompt()

    async def wait(name: str) -> str:
        _request.set(name)
        await prompt
        return _request.get()

    waiters = [asyncio.create_task(wait(name)) for name in "ab"]
    await _turn()
    asyncio.get_running_loop().call_soon(prompt.set_result, None)

    assert await asyncio.gather(*waiters) == ["a", "b"]


async def test_it_serves_where_a_future_does() -> None:
    """In gather, shield, wait and wait_for."""
    prompts = [_prompt() for _ in range(4)]
    waiting = asyncio.gather(
        asyncio.gather(prompts[0]),
        asyncio.shield(prompts[1]),
        asyncio.wait([asyncio.ensure_future(prompts[2])]),
        asyncio.wait_for(prompts[3], 9),
    )
    await _turn()
    for number, prompt in enumerate(prompts):
        asyncio.get_running_loop().call_soon(prompt.set_result, number)

    [first, second, (done, _), fourth] = await waiting

    assert (first, second, done, fourth) == ([0], 1, {prompts[2]}, 3)


async def test_a_cancelled_one_ends_a_gathering() -> None:
    prompt, gone = _prompt(), _prompt()
    gone.cancel()
    waiting = asyncio.gather(prompt, gone, return_exceptions=True)
    await _turn()

    prompt.cancel()

    assert [type(error) for error in await waiting] == [asyncio.CancelledError] * 2


async def test_a_callback_that_fails_leaves_the_others_their_turn() -> None:
    prompt = _prompt()
    called: list[object] = []
    prompt.add_done_callback(lambda _: 1 / 0)
    prompt.add_done_callback(called.append)

    with pytest.raises(ZeroDivisionError):
        prompt.set_result(7)
    await _turn()

    assert called == [prompt]


async def test_a_callback_can_be_taken_back() -> None:
    prompt = _prompt()
    called: list[object] = []
    prompt.add_done_callback(called.append)

    assert prompt.remove_done_callback(called.append) == 1
    prompt.set_result(7)
    assert called == []
