"""Snapshots in S3 over a network and beside a server that fail, and after they are well again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from perdure.errors import DamagedSnapshot, StoreError, StoreUnavailable
from perdure.snapshots import CachedSnapshots, SnapshotStore, open_snapshots

from .s3 import Server, s3_server  # noqa: F401
from .unreliable import Fault, Unreliable, break_off, halve, hang, lose, refuse, turn_round

LIST, GET, PUT, DELETE = "GET .*list-type", "^GET (?!.*list-type)", "^PUT", "^(POST|DELETE)"

CALLS: dict[str, Callable[[SnapshotStore], Awaitable[object]]] = {
    "save": lambda snapshots: snapshots.save("a", 6, b"6"),
    "newest": lambda snapshots: snapshots.newest("a"),
    "oldest": lambda snapshots: snapshots.oldest("a"),
    "delete": lambda snapshots: snapshots.delete("a", 6),
}


@pytest.fixture
async def network(s3_server: Server) -> AsyncIterator[Unreliable]:  # noqa: F811
    async with Unreliable(s3_server.host, s3_server.port) as network:
        yield network


@pytest.fixture
async def snapshots(
    s3_server: Server,  # noqa: F811
    network: Unreliable,
    tmp_path: Path,
) -> AsyncIterator[SnapshotStore]:
    """Return a store that asks twice, and that has the snapshot at 5."""
    store = await open_snapshots(s3_server.url(tmp_path.name, network.port, max_retries=1))
    await store.save("a", 5, b"5")
    network.seen.clear()
    yield store
    await store.close()


@pytest.fixture
async def impatient(
    s3_server: Server,  # noqa: F811
    network: Unreliable,
    snapshots: SnapshotStore,
    tmp_path: Path,
) -> AsyncIterator[SnapshotStore]:
    """Return another store of the same, which waits a quarter of a second for an answer, once."""
    store = await open_snapshots(s3_server.url(tmp_path.name, network.port, timeout="250ms", max_retries=0))
    yield store
    await store.close()


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("fault", [refuse, lose])
async def test_a_server_that_is_away_is_unavailable(
    snapshots: SnapshotStore, network: Unreliable, tmp_path: Path, call: str, fault: Fault
) -> None:
    """A call that is refused or loses its answer again and again says so; nothing is absent."""
    network.apply(fault, to="")

    with pytest.raises(StoreUnavailable, match=rf": {tmp_path.name}/a(/0{{19}}6\.snapshot)?: "):
        await CALLS[call](snapshots)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("fault", [refuse, lose])
async def test_a_server_that_is_back_is_used(
    snapshots: SnapshotStore, network: Unreliable, call: str, fault: Fault
) -> None:
    """After a failure the same call succeeds, and does what it should have done."""
    network.apply(fault, to="")
    with pytest.raises(StoreUnavailable):
        await CALLS[call](snapshots)
    network.heal()

    await CALLS[call](snapshots)

    expected = {"save": (6, b"6"), "delete": None}.get(call, (5, b"5"))
    assert await snapshots.newest("a") == expected


@pytest.mark.parametrize("call", CALLS)
async def test_a_server_that_does_not_answer_is_unavailable(
    snapshots: SnapshotStore, impatient: SnapshotStore, network: Unreliable, call: str
) -> None:
    """A call that times out says so, and when the server answers again the same store does what it should have."""
    network.apply(hang, to="")
    with pytest.raises(StoreUnavailable, match=r"timed out|error sending request"):
        await CALLS[call](impatient)
    network.heal()

    await until_it_is_fast_enough(CALLS[call], impatient)

    expected = {"save": (6, b"6"), "delete": None}.get(call, (5, b"5"))
    assert await snapshots.newest("a") == expected


async def until_it_is_fast_enough(call: Callable[[SnapshotStore], Awaitable[object]], store: SnapshotStore) -> None:
    """Repeat a call: a machine with much to do may be slower than the store is patient."""
    for _ in range(20):
        with suppress(StoreUnavailable):
            await call(store)
            return
    raise AssertionError("the server is back, and the store does not use it")


@pytest.mark.parametrize("fault", [refuse, lose])
@pytest.mark.parametrize("call", CALLS)
async def test_one_failure_is_not_seen(snapshots: SnapshotStore, network: Unreliable, call: str, fault: Fault) -> None:
    """A request that fails once is sent again."""
    network.apply(fault, to="", times=1)

    await CALLS[call](snapshots)

    expected = {"save": (6, b"6"), "delete": None}.get(call, (5, b"5"))
    assert await snapshots.newest("a") == expected


async def test_a_save_whose_answer_was_lost_is_there_once(snapshots: SnapshotStore, network: Unreliable) -> None:
    """Who sends a put again meets the own object, and takes it for what it is."""
    network.apply(lose, to=PUT, times=1)

    await snapshots.save("a", 6, b"6")

    assert await snapshots.newest("a") == (6, b"6")
    assert [request.split()[0] for request in network.seen[:3]] == ["PUT", "PUT", "GET"]


@pytest.mark.parametrize("size", [10, 300_000])
async def test_half_a_body_is_read_again(snapshots: SnapshotStore, network: Unreliable, size: int) -> None:
    """Half an object on its way is not taken for the object."""
    await snapshots.save("a", 6, bytes(size))
    network.apply(halve, to=GET, times=1)

    assert await snapshots.newest("a") == (6, bytes(size))


async def test_half_a_body_again_and_again_is_damaged(snapshots: SnapshotStore, network: Unreliable) -> None:
    """Half an object is named as damaged, and the one before it can be had."""
    await snapshots.save("a", 6, b"6" * 1_000)
    network.apply(halve, to=GET, times=2)

    with pytest.raises(
        DamagedSnapshot, match=r"0006\.snapshot is not what was saved: it has 529 of 1,059 bytes"
    ) as bad:
        await snapshots.newest("a")

    assert await snapshots.newest("a", bad.value.sequence_number - 1) == (5, b"5")


async def test_a_connection_that_ends_in_a_body_is_unavailable(snapshots: SnapshotStore, network: Unreliable) -> None:
    """A body that ends too early every time is no absence and no damage."""
    network.apply(break_off, to=GET)

    with pytest.raises(StoreUnavailable, match=r"read: .*0005\.snapshot: "):
        await snapshots.newest("a")


async def test_the_order_of_a_listing_is_not_believed(snapshots: SnapshotStore, network: Unreliable) -> None:
    """Whatever the order of a listing, the newest is the newest and the oldest the oldest."""
    for number in (6, 7, 8):
        await snapshots.save("a", number, b"%d" % number)
    network.apply(turn_round, to=LIST)

    assert await snapshots.newest("a") == (8, b"8")
    assert await snapshots.newest("a", 7) == (7, b"7")
    assert await snapshots.oldest("a") == (5, b"5")


async def test_two_writers_at_once_leave_one_whole_snapshot(
    s3_server: Server,  # noqa: F811
    tmp_path: Path,
) -> None:
    """Writers of one number that each have a connection of their own all succeed, and one snapshot is left."""
    writers = [await open_snapshots(s3_server.url(tmp_path.name)) for _ in range(4)]
    records = [bytes([n]) * 10_000 for n in range(4)]

    await asyncio.gather(*(writer.save("a", 5, record) for writer, record in zip(writers, records, strict=True)))

    found = await asyncio.gather(*(writer.newest("a") for writer in writers))
    assert len(set(found)) == 1
    assert found[0] is not None
    assert found[0].record in records
    for writer in writers:
        await writer.close()


async def test_a_long_listing_is_read_to_its_end(
    s3_server: Server,  # noqa: F811
    network: Unreliable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A listing that comes in pages is read to the last of them (ATS-91)."""
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "10")
    snapshots = await open_snapshots(s3_server.url(tmp_path.name, network.port))
    await asyncio.gather(*(snapshots.save("a", number, b"") for number in range(1, 36)))
    network.seen.clear()

    assert await snapshots.newest("a") == (35, b"")
    assert sum("list-type" in request for request in network.seen) == 4
    await snapshots.delete("a", 35)

    assert await snapshots.oldest("a") == (35, b"")
    await snapshots.close()


async def test_a_bucket_that_does_not_exist_is_no_empty_one(s3_server: Server) -> None:  # noqa: F811
    """Who misspells a bucket is told so by every call."""
    snapshots = await open_snapshots(s3_server.url("x").replace("s3://bucket/", "s3://buckle/"))

    for name, call in CALLS.items():
        with pytest.raises(StoreError, match=r"NoSuchBucket|not found"):
            await call(snapshots)
            raise AssertionError(name)
    await snapshots.close()


async def test_the_cache_answers_while_the_server_is_away(snapshots: SnapshotStore, network: Unreliable) -> None:
    """What is remembered needs no server; what is not says that there is none."""
    cached = CachedSnapshots(snapshots)
    await cached.newest("a")
    network.apply(refuse, to="")

    assert await cached.newest("a") == (5, b"5")
    with pytest.raises(StoreUnavailable):
        await cached.newest("b")
    with pytest.raises(StoreUnavailable):
        await cached.save("a", 6, b"6")
    with pytest.raises(StoreUnavailable):
        await cached.newest("a")
