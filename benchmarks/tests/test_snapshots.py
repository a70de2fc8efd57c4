"""What the sections of snapshots and of older events look at, and what they compare with."""

from __future__ import annotations

import asyncio
from itertools import chain
from pathlib import Path
from time import perf_counter

import msgspec
import pytest
from benchmarks import crowd, long_log, saved
from benchmarks.evolution import Deposited, First, in_steps, with_currency, with_payer
from benchmarks.large import Encoded, Large, Look, Structs
from benchmarks.meanwhile import meanwhile, timers
from benchmarks.recovery import recover
from benchmarks.report import Cell
from benchmarks.run import Run
from benchmarks.stored import events_of, store_all
from benchmarks.turns import Turns

from perdure import ActorSystem, SnapshotSaved
from perdure.journal import EventCodec


def compute(seconds: float) -> None:
    end = perf_counter() + seconds
    while perf_counter() < end:
        pass


async def test_the_longest_turn_is_that_in_which_the_loop_was_held_up() -> None:
    with Turns() as turns:
        await asyncio.sleep(0)
        compute(0.05)
        await asyncio.sleep(0)
        held_up = turns.longest
        turns.restart()
        before = turns.longest

    assert before < 0.05 <= held_up


async def test_turns_are_not_counted_after_their_block() -> None:
    with Turns() as turns:
        pass
    turns.restart()
    last = turns._last

    await asyncio.sleep(0)

    assert turns._last == last


async def test_a_timer_is_late_by_what_holds_up_the_loop() -> None:
    async with timers() as late:
        await asyncio.sleep(0)
        compute(0.05)
        await asyncio.sleep(0.002)

    assert max(late) > 0.04


async def test_work_that_goes_on_meanwhile_is_over_after_the_block() -> None:
    async with meanwhile(asyncio.Event().wait()):
        await asyncio.sleep(0)

    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("actor_type", [Structs, Encoded])
async def test_a_large_state_has_a_mib_and_a_snapshot_at_every_other_event(actor_type: type[Large[object]]) -> None:
    size = len(msgspec.msgpack.encode(actor_type.initial_state))

    async with ActorSystem() as system, system.events() as events:
        for _ in range(2):
            await system.ref(actor_type, "large").ask(Look())
        while not isinstance(saved_one := await anext(events), SnapshotSaved):
            pass

    assert size == pytest.approx(1 << 20, rel=0.01)
    assert saved_one.sequence_number == 2


async def test_the_driver_reads_of_saved_accounts_what_perdure_recovers(tmp_path: Path) -> None:
    path, names = tmp_path / "saved.db", ["a", "b"]
    await store_all(f"sqlite:///{path}", chain(events_of(names, 5), saved.snapshots_of(names, 3)))

    times = saved.fetch(path, names, 5), await recover(f"sqlite:///{path}", names, 5)

    assert min(times) > 0


async def test_a_driver_that_reads_something_else_fails_the_run(tmp_path: Path) -> None:
    path = tmp_path / "saved.db"
    await store_all(f"sqlite:///{path}", chain(events_of(["a"], 5), saved.snapshots_of(["a"], 3)))

    with pytest.raises(AssertionError):
        saved.fetch(path, ["a"], 6)


async def test_the_memory_of_a_crowd_is_counted_above_that_of_live_actors(tmp_path: Path) -> None:
    store, names = f"sqlite:///{tmp_path}/crowd.db", [f"one-{number}" for number in range(100)]
    await store_all(store, events_of(names, 20))

    back, live = await crowd.peak(store, names)

    assert back > live > 0


def test_a_long_log_is_removed_when_it_was_measured(tmp_path: Path) -> None:
    async def rows() -> list[dict[str, Cell]]:
        [table] = [table async for table in long_log.tables(Run(tmp_path, quick=True))]
        return table.records()

    tails = [row["events after the snapshot"] for row in asyncio.run(rows())]

    assert tails == [100, 0]
    assert list(tmp_path.iterdir()) == []


def test_the_steps_beside_the_codec_make_the_same_events() -> None:
    record = EventCodec("Account", [First]).encode(First(1), 0)

    assert in_steps(with_currency, with_payer)(record) == Deposited(1, "EUR", "unknown")
