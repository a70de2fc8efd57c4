"""A store in several slices: what each of them keeps, and what none does over several."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from perdure import open_backend
from perdure.abc import Backend, LastKey, Put, PutState, StateVersion, WriteGroup
from perdure.errors import CreateStoreError, StoreError
from perdure_redis import RedisBackend
from perdure_redis._keys import Keys, slot_of


def put(prefix: str, key: int, value: bytes = b"", after: int | None = None) -> WriteGroup:
    expectations = () if after is None else (LastKey("events", prefix, after),)
    return WriteGroup((Put("events", prefix, key, value),), expectations)


@pytest.fixture(params=["one server", "cluster"])
async def backend(request: pytest.FixtureRequest) -> AsyncIterator[Backend]:
    where = request.getfixturevalue("server" if request.param == "one server" else "cluster")
    backend = await open_backend(f"{where.url}?slices=16&replicas=0")
    yield backend
    await backend.close()


async def feed_of(backend: Backend, limit: int, after: str | None = None) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    while (page := await backend.feed("events", after, limit)).records:
        assert len(page.records) <= limit
        found += [(record.prefix, record.key) for record in page.records]
        after = page.offset
    return found


@pytest.mark.parametrize("limit", [1, 7, 1000])
async def test_commits_that_follow_each_other_are_fed_so(backend: Backend, limit: int) -> None:
    """The feed has each record once, in the order of the commits, in pages of any size."""
    for key in range(1, 6):
        for prefix in "abcdefgh":
            await backend.commit([put(prefix, key)])

    assert await feed_of(backend, limit) == [(prefix, key) for key in range(1, 6) for prefix in "abcdefgh"]


@pytest.mark.parametrize("limit", [1, 7, 1000])
async def test_a_commit_of_many_prefixes_is_fed_whole(backend: Backend, limit: int) -> None:
    """Whatever the pages, each record of a commit over all slices comes once, and each prefix's in order."""
    await backend.commit([put(f"{prefix}", key) for key in range(1, 4) for prefix in range(50)])

    found = await feed_of(backend, limit)

    assert sorted(found) == sorted((f"{prefix}", key) for prefix in range(50) for key in range(1, 4))
    for prefix in range(50):
        assert [key for name, key in found if name == f"{prefix}"] == [1, 2, 3]


async def test_an_offset_holds_a_place_in_every_slice(backend: Backend) -> None:
    """What is written anywhere after an offset was handed out comes after it, and nothing else does."""
    await backend.commit([put(f"{prefix}", 1) for prefix in range(50)])
    offset = (await backend.feed("events")).offset

    await backend.commit([put(f"{prefix}", 2) for prefix in range(0, 50, 3)])

    assert sorted(await feed_of(backend, 5, offset)) == sorted((f"{prefix}", 2) for prefix in range(0, 50, 3))


async def test_a_follower_sees_each_record_once(backend: Backend) -> None:
    """Who follows the feed while others write sees every record once, those of each prefix in their order."""

    async def write(prefix: str) -> None:
        for key in range(1, 21):
            assert await backend.commit([put(prefix, key, after=key - 1)]) == [None]

    writing = asyncio.gather(*(write(f"{number}") for number in range(8)))
    seen: dict[str, list[int]] = {f"{number}": [] for number in range(8)}
    offset = None
    async with asyncio.timeout(30):
        while sum(map(len, seen.values())) < 8 * 20:
            page = await backend.feed("events", offset, 7)
            for record in page.records:
                seen[record.prefix].append(record.key)
            offset = page.offset
    await writing

    assert list(seen.values()) == [list(range(1, 21))] * 8


async def test_a_group_stays_within_one_slice(backend: Backend) -> None:
    """A group over prefixes of several slices is refused before anything of its commit is written."""
    both = WriteGroup((Put("events", "a", 1, b""), Put("events", "b", 1, b"")))

    with pytest.raises(StoreError, match="'a', 'b', which lie in several of the store's 16 slices"):
        await backend.commit([put("c", 1), both])

    assert await backend.prefixes("events") == []


async def test_all_that_an_actor_has_is_in_one_slice(backend: Backend) -> None:
    """Collections and states of one prefix, whatever it holds, change together."""
    for prefix in ("{a}", "}{", "a{b}c", "{}", "😀{", "x" * 1024):
        writes = (Put("events", prefix, 1, b""), Put("snapshots", prefix, 1, b""), PutState("states", prefix, b""))
        expectations = (LastKey("events", prefix, 0), StateVersion("states", prefix, 0))

        outcomes = await backend.commit([WriteGroup(writes, expectations), WriteGroup(writes, expectations)])

        assert [conflict is None for conflict in outcomes] == [True, False]


async def test_the_number_of_slices_stays(server: Any) -> None:
    """Who opens the store again finds its slices, and cannot ask for others."""
    await (await RedisBackend.open(f"{server.url}?slices=3")).close()

    again = await RedisBackend.open(server.url)
    await again.close()

    assert again.slices == 3
    with pytest.raises(CreateStoreError, match="was made with 3 slices, which stay, and 4 were asked for"):
        await open_backend(f"{server.url}?slices=4")


@pytest.mark.parametrize("offset", ["", "1", "1.2", ".".join("1" * 17), ".".join(["x"] * 16), f"{2**63}" + ".0" * 15])
async def test_what_is_no_offset_is_refused(backend: Backend, offset: str) -> None:
    """A text that is no offset of this store raises ValueError."""
    with pytest.raises(ValueError, match="no offset"):
        await backend.feed("events", offset)


@pytest.mark.parametrize("slices", [1, 2, 3, 16, 100, 1024])
def test_slices_lie_evenly_among_the_slots(slices: int) -> None:
    """Each slice has a tag in its own equal share of a cluster's slots."""
    slots = Keys("perdure", slices).slots

    assert [slot * slices // 16384 for slot in slots] == list(range(slices))


def test_slots_are_those_of_a_cluster(cluster: Any) -> None:
    """A key is looked for in the slot in which a cluster has it."""
    for key in Keys("name-space:1", 5).roots:
        assert cluster.servers[0].call("CLUSTER", "KEYSLOT", key + b"c:events:{x}") == slot_of(key)
