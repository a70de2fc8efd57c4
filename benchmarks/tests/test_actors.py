"""The contenders of the section `actors`, and what it does without them."""

from __future__ import annotations

import asyncio
import sys

import pytest
from benchmarks.actors import compared, counters, library
from benchmarks.counter import Add
from benchmarks.idle_actors import million
from benchmarks.lives import LIVES, Activated
from benchmarks.queue_actor import QueueActors
from benchmarks.rounds import Rate, in_waves
from benchmarks.soak import Figures, check
from benchmarks.tells import Told
from benchmarks.window import Window

from perdure.actors import ActorSystem

_SOAKED = Figures(messages=20_000, seconds=1.0, restarts=200, ticks=500, objects=3, mib=0.1)


async def test_a_queue_actor_replies_as_the_measured_actor_does() -> None:
    async with ActorSystem() as system, QueueActors(1) as queues:
        [own], [queue] = await counters(system, 1), queues
        await queue.ask(Add())

        replies = [(await own.ask(Add()), await queue.ask(Add())) for _ in range(3)]

    assert replies == [(2, 2), (3, 3), (4, 4)]


async def test_queue_actors_are_over_after_their_block() -> None:
    async with QueueActors(3) as queues:
        pass

    assert all(actor.task.cancelled() for actor in queues)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("actors", [1, 100])
async def test_a_wave_of_tells_is_over_when_all_are_handled(actors: int) -> None:
    async with ActorSystem() as system, QueueActors(actors) as queues:
        counts = await Told(await counters(system, actors))(), await Told(queues)()

    assert counts == (Told.WAVE, Told.WAVE)


async def test_whoever_is_activated_has_another_one_put_away() -> None:
    async with ActorSystem(max_live=LIVES) as system:
        activated = Activated(system)

        await activated()
        await activated()

        assert system.live == LIVES


async def test_a_window_keeps_so_many_asks_under_way_and_waits_for_all() -> None:
    under_way: set[int] = set()
    most = 0

    def send() -> int:
        nonlocal most
        under_way.add(len(under_way))
        most = max(most, len(under_way))
        return max(under_way)

    rate = await Window(3, send, under_way.remove)(0)

    assert rate > 0
    assert (most, under_way) == (3, set())


async def test_a_rate_of_waves_counts_what_each_wave_did() -> None:
    async def wave() -> int:
        await asyncio.sleep(0.01)
        return 50

    assert 0 < await in_waves(wave)(0.02) <= 5_000


@pytest.mark.parametrize(("name", "actor"), [("pykka", "Pykka"), ("ray", "Ray")])
def test_a_library_that_is_not_installed_is_named(name: str, actor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, f"benchmarks.{name}_actor", raising=False)

    assert library(name, actor) == f"{name} is not installed"


def test_who_was_not_measured_has_a_dash() -> None:
    cells = compared({"perdure": Rate(100.0, 120.0), "queue": Rate(200.0, 210.0)})

    assert cells == (100.0, 120.0, 200.0, "-", 0.5, "-")


def test_a_million_actors_are_skipped_where_memory_is_short() -> None:
    table = million(quick=False, available=3 << 30)

    assert table.records() == [{"skipped": "3.0 GiB of memory are available, 4 are needed"}]


def test_a_million_actors_are_for_full_runs() -> None:
    assert million(quick=True, available=64 << 30).records() == [{"skipped": "only in a full run"}]


def test_a_soak_that_leaves_nothing_behind_is_good() -> None:
    check(_SOAKED)


@pytest.mark.parametrize("grown", [_SOAKED._replace(objects=5_000), _SOAKED._replace(mib=50.0)])
def test_a_soak_fails_when_memory_grows(grown: Figures) -> None:
    with pytest.raises(RuntimeError, match="memory grows"):
        check(grown)


@pytest.mark.parametrize("lacking", [_SOAKED._replace(restarts=0), _SOAKED._replace(ticks=0)])
def test_a_soak_without_restarts_or_timers_is_none(lacking: Figures) -> None:
    with pytest.raises(RuntimeError, match="no restarts"):
        check(lacking)
