"""What the section of replicas measures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import assert_type

from benchmarks.owner import PROJECTED, STATE, Shown, owner
from benchmarks.standby import standby

from perdure import ActorSystem
from perdure_replication import Replicas, Replicated, View


async def test_what_an_owner_makes_is_seen_and_taken_over(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'store.db'}"
    async with owner(store, "") as other, standby(other) as here:
        made = await other.ask("pace", "projected", 0.05, 100, 3)
        await here.until("projected", made)
        filled = await other.ask("fill", 2, 3)
        await here.until("state", filled)
        async with ActorSystem(store=store, warm=here.warm) as system:
            await here.warm.attach(system)
            other.kill()
            first, last = await here.take_over(system, [each.key for each in filled])

    assert all(late >= 0 for late in here.late("projected", made))
    assert [each.number for each in filled] == [2, 2, 2]
    assert 0 < first <= last


def test_views_have_the_types_of_what_is_replicated() -> None:
    """As type checkers see them."""
    assert_type(STATE, Replicated[int, int])
    assert_type(PROJECTED, Replicated[int, Shown])


async def seen(views: Replicas[Shown]) -> None:
    assert_type(views.views, Mapping[str, Shown])
    assert_type(await views.wait("ann", 1), View[Shown])
    async for change in views.changes():
        assert_type(change.view, Shown | None)
