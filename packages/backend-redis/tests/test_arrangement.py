"""What lies in the server: heads that say what the logs end with, a feed of what is there, and nothing left over."""

from __future__ import annotations

import random
from typing import Any

import pytest

from perdure import open_backend
from perdure.abc import Backend, Delete, DeleteRange, LastKey, Purge, Put, Replace, Write, WriteGroup

LOGS = "abc"


def put(prefix: str, key: int, value: bytes = b"") -> Put:
    return Put("events", prefix, key, value)


def assert_whole(server: Any) -> None:
    """Hold heads, feed and counted losses against the logs."""
    root = "{perdure.0}"
    heads = server.call("HGETALL", f"{root}:h:events")
    legend = heads.pop(b"")
    numbers = {number: prefix for prefix, text in heads.items() for number in text.split()[:1]}
    places: dict[int, tuple[bytes, bytes]] = {}
    for prefix, text in heads.items():
        log = server.call("LRANGE", f"{root}:c:events:{prefix.decode()}", 0, -1)
        assert log[-3] == text.split()[1]
        places |= {int(position): (prefix, key) for key, position in zip(log[::3], log[1::3], strict=True)}
    losses = {block: int(count) for block, count in server.call("HGETALL", f"{root}:d:events").items()}
    fed = {}
    for block, [(_, text)] in [(b, list(zip(f[::2], f[1::2], strict=True))) for b, f in blocks(server, root)]:
        position, size = map(int, block.split(b"-"))
        records = [record.split() for record in text.split(b",")]
        alive = {
            position + place: (numbers[number], key)
            for place, (number, key) in enumerate(records)
            if places.get(position + place) == (numbers.get(number), key)
        }
        assert (len(records), len(alive)) == (size, size - losses.pop(block, 0))
        assert alive
        fed |= alive
    assert (fed, losses) == (places, {})
    assert server.call("HGETALL", f"{root}:n:events") == numbers
    assert set(server.call("ZRANGE", f"{root}:p:events", 0, -1)) == set(heads)
    assert max(places, default=0) <= int(legend.split()[1])


def blocks(server: Any, root: str) -> list[tuple[bytes, list[bytes]]]:
    with server.client() as client:
        client.response_callbacks.clear()
        found: list[tuple[bytes, list[bytes]]] = client.execute_command("XRANGE", f"{root}:f:events", "-", "+")
    return found


def made_up(chance: random.Random) -> Write:
    prefix, key = chance.choice(LOGS), chance.randint(1, 40)
    match chance.randint(0, 10):
        case 0:
            return Delete("events", prefix, key)
        case 1:
            return DeleteRange("events", prefix, key, key + chance.randint(1, 30))
        case 2:
            return Purge("events", prefix)
        case 3:
            return Replace("events", prefix, key, b"new")
    return put(prefix, key)


@pytest.mark.parametrize("seed", range(5))
async def test_heads_and_feed_are_those_of_the_logs(server: Any, seed: int) -> None:
    """Whatever is written, replaced and removed, in whatever order and how many commits, all that is kept agrees."""
    chance = random.Random(seed)
    async with opened(server) as backend:
        for _ in range(30):
            groups = [
                WriteGroup(tuple(made_up(chance) for _ in range(chance.randint(1, 6))))
                for _ in range(chance.randint(1, 30))
            ]
            await backend.commit(groups)

            assert_whole(server)


async def test_a_commit_of_many_events_is_few_blocks_of_the_feed(server: Any) -> None:
    """The feed has an entry for each 64 records of a commit, and is read from any place in them."""
    async with opened(server) as backend:
        await backend.commit([WriteGroup((put(f"{number}", 1),)) for number in range(200)])

        assert server.call("XLEN", "{perdure.0}:f:events") == 4
        offset, seen = None, []
        while (page := await backend.feed("events", offset, 7)).records:
            seen += [record.prefix for record in page.records]
            offset = page.offset
        assert seen == [f"{number}" for number in range(200)]


async def test_a_block_goes_with_its_last_record(server: Any) -> None:
    """Records that lost their entries are counted until a block of the feed has none left; then it is removed."""
    async with opened(server) as backend:
        await backend.commit([WriteGroup((put(prefix, 1),)) for prefix in LOGS])
        await backend.commit([WriteGroup((put("a", 1, b"again"),))])
        await backend.commit([WriteGroup((Purge("events", "b"),))])
        assert_whole(server)
        assert [r.prefix for r in (await backend.feed("events")).records] == ["c", "a"]

        await backend.commit([WriteGroup((Purge("events", prefix),)) for prefix in LOGS])

        left = {key.partition(b":")[2] for key in server.call("KEYS", "{perdure.0}*")}
        assert {key for key in left if not key.startswith(b"w:")} <= {b"h:events", b"f:events"}
        assert server.call("XLEN", "{perdure.0}:f:events") == 0


async def test_keys_that_no_double_holds_are_fed(server: Any) -> None:
    """Of the greatest keys, which Lua's numbers cannot tell apart, each has its own record."""
    keys = [1, 2**53, 2**53 + 1, 2**63 - 2, 2**63 - 1]
    async with opened(server) as backend:
        await backend.commit([WriteGroup(tuple(put("a", key, b"%d" % key) for key in keys))])

        records = (await backend.feed("events")).records

        assert [(record.key, record.value) for record in records] == [(key, b"%d" % key) for key in keys]


async def test_a_log_without_its_head_is_not_written(server: Any) -> None:
    """Where somebody removed the heads, a commit fails whole and never begins the log anew."""
    from perdure.errors import StoreError

    async with opened(server) as backend:
        await backend.commit([WriteGroup((put("a", 1),))])
        server.call("HDEL", "{perdure.0}:h:events", "a")

        with pytest.raises(StoreError, match="has entries and no head"):
            await backend.commit([WriteGroup((put("b", 1), put("a", 1)), (LastKey("events", "a", 0),))])

        assert await backend.last("events", "b") == 0


class opened:
    """A store, closed at the end."""

    def __init__(self, server: Any) -> None:
        self._url = server.url

    async def __aenter__(self) -> Backend:
        self._backend = await open_backend(self._url)
        return self._backend

    async def __aexit__(self, *_: object) -> None:
        await self._backend.close()
