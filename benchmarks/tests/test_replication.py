"""What the section of replicated state measures, and with what it compares."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack
from time import monotonic_ns

import pytest
from benchmarks import partition
from benchmarks.cluster import Member, cluster
from benchmarks.merges import Bench, Stock
from benchmarks.partition import heal
from benchmarks.sizes import InRows, Whole, bytes_each
from benchmarks.wires import Hurried, Place, Replicated, Stamp, Streams, Wire

_HEALED = partition.Healing(10, 5.0, 180, 18.0, 2.0, 1.0, 100, 3.0, 0.1)


@pytest.fixture
def places() -> list[Place]:
    with socket.socket() as one, socket.socket() as other:
        for each in (one, other):
            each.bind(("127.0.0.1", 0))
        addresses = {name: f"127.0.0.1:{each.getsockname()[1]}" for name, each in (("a", one), ("b", other))}
    return [Place(name, addresses, "", bytes(range(32))) for name in addresses]


@pytest.mark.parametrize("kind", [Replicated, Hurried, Streams])
async def test_what_is_told_is_heard_with_its_latency(kind: type[Wire], places: list[Place]) -> None:
    async with AsyncExitStack() as stack:
        a, b = await asyncio.gather(*(stack.enter_async_context(kind(place)) for place in places))

        await a.tell(Stamp(1, monotonic_ns()))
        await b.until({"a": 1})

        assert b.numbers == {"a": 1}
        assert 0 < b.latencies[-1] < 10e9
        assert a.numbers == {}


class Muted(Wire):
    """Tells nobody."""

    async def open(self) -> None: ...

    async def tell(self, stamp: Stamp) -> None:
        await asyncio.sleep(0)


async def test_a_paced_member_tells_no_more_than_its_pace() -> None:
    told = await Member(Muted(Place("a", {"a": "", "b": ""}, "", b""))).tell(0.1, 50)

    assert 1 <= told.words <= 6
    assert told.last == told.words


def test_processes_hear_each_other() -> None:
    with cluster(2, ["replicated", "streams"]) as together:
        latencies = [together.paced(wire, 0.1, 50) for wire in ("replicated", "streams")]
        flood = together.flood("replicated", 0.05)

    assert all(latencies)
    assert min(map(min, latencies)) > 0
    assert min(flood.told, flood.heard) > 0


def test_a_delta_is_as_long_whatever_the_view_has_and_a_snapshot_is_not() -> None:
    small, large = ([bytes_each(kind, rows) for kind in (Whole, InRows)] for rows in (10, 100))

    assert large[0] > 5 * small[0]
    assert large[1] == pytest.approx(small[1], abs=2)


def test_a_cluster_heals_with_one_digest_and_one_pull_for_each_view_that_was_missed() -> None:
    healing = heal(6)

    partition.check([healing])
    assert healing.messages <= 2 * 6 * 5 + 2 * 18
    assert healing.with_broadcast < healing.messages


def test_a_cluster_that_does_not_heal_fails_the_run() -> None:
    with pytest.raises(RuntimeError, match="took 9 s to converge"):
        partition.check([_HEALED._replace(seconds=9.0)])


def test_messages_that_grow_faster_than_the_pairs_fail_the_run() -> None:
    with pytest.raises(RuntimeError, match="grow faster than the pairs"):
        partition.check([_HEALED, _HEALED._replace(nodes=100, a_pair=4.0)])


def test_a_change_of_a_merged_value_is_sent_in_as_many_bytes_however_large_it_is() -> None:
    small, large = (Bench(Stock(), lambda stock, name: stock.at(name).add(), size) for size in (10, 200))

    assert len(large.delta) <= len(small.delta) + 6
    assert len(large.view) > 10 * len(small.view)
