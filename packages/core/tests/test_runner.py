"""Turns of actors, beside tasks of asyncio: whatever a handler does, it ends as a task of its own would."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, TypeAlias

import pytest

from perdure._prompt import Prompt
from perdure.actors import ActorSystem, Context

from .puppet import Do, Puppet, within_seconds

Wait: TypeAlias = Callable[[object], Awaitable[Any]]
Deed: TypeAlias = Callable[[Wait], Coroutine[Any, Any, object]]


async def test_a_turn_has_one_task_from_its_first_line_to_its_last(system: ActorSystem) -> None:
    async def deed(context: Context) -> set[object]:
        tasks = {asyncio.current_task()}
        for wait in (_prompt, _future, _prompt, _task, _turn, _prompt):
            await wait(7)
            tasks.add(asyncio.current_task())
        return tasks

    ref = await system.spawn(Puppet, "a")

    [task] = await ref.ask(Do(deed))

    assert isinstance(task, asyncio.Task)


async def test_turns_that_wait_at_the_same_time_have_tasks_of_their_own(system: ActorSystem) -> None:
    async def deed(context: Context) -> object:
        before = asyncio.current_task()
        await asyncio.wait_for(_prompt(7), 10)
        assert asyncio.current_task() is before
        return before

    refs = [await system.spawn(Puppet, name) for name in "abc"]

    assert len(set(await asyncio.gather(*(ref.ask(Do(deed)) for ref in refs)))) == 3


async def _gets_what_it_waits_for(wait: Wait) -> object:
    return [await wait(1), await wait(2)]


async def _cancels_itself(wait: Wait) -> object:
    _this_task().cancel("why")
    return await wait(None)


async def _is_cancelled_while_it_waits(wait: Wait) -> object:
    asyncio.get_running_loop().call_soon(_this_task().cancel, "why")
    return await wait(None)


async def _is_cancelled_twice_and_heeds_it(wait: Wait) -> object:
    task = _this_task()
    errors = []
    for _ in range(2):
        asyncio.get_running_loop().call_soon(task.cancel)
        try:
            await wait(None)
        except asyncio.CancelledError as error:
            errors.append(repr(error))
    return errors, task.cancelling(), task.uncancel(), task.uncancel(), await wait(7)


async def _is_cancelled_when_its_wait_is_over(wait: Wait) -> object:
    loop, task = asyncio.get_running_loop(), _this_task()
    future: asyncio.Future[None] = loop.create_future()
    loop.call_soon(future.set_result, None)
    loop.call_soon(task.cancel)
    await future
    return await wait(7)


async def _has_a_timeout(wait: Wait) -> object:
    try:
        async with asyncio.timeout(0):
            await wait(None)
    except TimeoutError:
        return await wait(7), _this_task().cancelling()


async def _has_a_group_of_tasks_one_of_which_fails(wait: Wait) -> object:
    with pytest.raises(ExceptionGroup, match="1 sub-exception"):
        async with asyncio.TaskGroup() as group:
            group.create_task(_fail())
            await wait(None)
    return await wait(7), _this_task().cancelling()


async def _fails_after_a_wait(wait: Wait) -> object:
    await wait(7)
    raise ValueError("no")


async def _yields_what_nobody_can_wait_for(wait: Wait) -> object:
    try:
        await _Yielding("text")
    except RuntimeError as error:
        return str(error)[:16], await wait(7)


async def _yields_a_future_without_awaiting_it(wait: Wait) -> object:
    for unawaited in (asyncio.get_running_loop().create_future(), Prompt(asyncio.get_running_loop())):
        with pytest.raises(RuntimeError, match="yield was used instead of yield from"):
            await _Yielding(unawaited)
    return await wait(7)


_DEEDS = [
    _gets_what_it_waits_for,
    _cancels_itself,
    _is_cancelled_while_it_waits,
    _is_cancelled_twice_and_heeds_it,
    _is_cancelled_when_its_wait_is_over,
    _has_a_timeout,
    _has_a_group_of_tasks_one_of_which_fails,
    _fails_after_a_wait,
    _yields_what_nobody_can_wait_for,
    _yields_a_future_without_awaiting_it,
]


class _Yielding:
    """What is awaited by yielding something."""

    def __init__(self, what: object) -> None:
        self._what = what

    def __await__(self) -> Generator[Any, None, None]:
        yield self._what


async def _prompt(value: object) -> object:
    prompt: Prompt[object] = Prompt(asyncio.get_running_loop())
    if value is not None:
        asyncio.get_running_loop().call_soon(prompt.set_result, value)
    return await prompt


async def _future(value: object) -> object:
    future = asyncio.get_running_loop().create_future()
    if value is not None:
        asyncio.get_running_loop().call_soon(future.set_result, value)
    return await future


async def _task(value: object) -> object:
    return await asyncio.create_task(_future(value))


async def _turn(value: object) -> object:
    await asyncio.sleep(0)
    return value if value is not None else await _future(value)


async def _fail() -> None:
    raise ValueError("no")


def _this_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


@pytest.mark.parametrize("wait", [_prompt, _future, _task, _turn], ids=lambda wait: wait.__name__)
@pytest.mark.parametrize("deed", _DEEDS, ids=lambda deed: deed.__name__)
async def test_a_turn_ends_as_a_task_does(deed: Deed, wait: Wait, system: ActorSystem) -> None:
    """What it awaits gives it the same results, and raises the same, cancellations too."""
    ends = []

    async def noted(context: Context | None = None) -> None:
        try:
            ends.append(repr(await deed(wait)))
        except BaseException as error:
            ends.append(repr(error))
            raise

    ref = await system.spawn(Puppet, "a")
    await asyncio.gather(asyncio.create_task(noted()), return_exceptions=True)

    await within_seconds(asyncio.gather(ref.ask(Do(noted)), return_exceptions=True))

    assert ends[0] == ends[1]


@pytest.mark.parametrize("wait", [_prompt, _future, None])
async def test_a_cancellation_that_a_turn_does_not_heed_is_not_the_next_ones(
    wait: Wait | None, system: ActorSystem
) -> None:
    """The reply is given, the actor lives on, and what it does next is not cut short."""

    async def deed(context: Context) -> object:
        if wait is not None:
            await wait(1)
        _this_task().cancel()
        return 7

    ref = await system.spawn(Puppet, "a")

    assert await ref.ask(Do(deed)) == 7
    assert await ref.ask(Do(lambda _: _gets_what_it_waits_for(_prompt))) == [1, 2]
    assert await ref.ask(Do(lambda _: _gets_what_it_waits_for(_future))) == [1, 2]
