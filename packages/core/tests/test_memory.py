"""The reference backend."""

from __future__ import annotations

from uuid import uuid4

import pytest

from perdure import open_backend
from perdure.abc import Put, PutState, WriteGroup
from perdure.errors import StoreClosed, StoreError
from perdure.memory import MemoryBackend
from perdure_testkit import ActorContract, BackendContract

LACKS = {"processes": "it is one process's", "kills": "nothing outlives the process"}


class TestMemoryBackend(BackendContract):
    lacks = LACKS

    @pytest.fixture
    def url(self) -> str:
        return f"memory://{uuid4().hex}"


class TestActors(ActorContract):
    lacks = LACKS

    @pytest.fixture
    def url(self) -> str:
        return f"memory://{uuid4().hex}"


async def test_backends_without_a_name_share_nothing() -> None:
    """Each `memory://` is a store of its own."""
    one, other = await open_backend("memory://"), await open_backend("memory://")

    await one.collection("events", "a").put(1, b"")

    assert await other.collection("events", "a").last() == 0


async def test_namesakes_share_a_store() -> None:
    """Backends of one `memory://NAME` share what they hold, and those of another name do not."""
    one, other = await open_backend("memory://shared"), await open_backend("memory://shared")
    stranger = await open_backend("memory://stranger")

    await one.collection("events", "a").put(1, b"")

    assert await other.collection("events", "a").last() == 1
    assert await stranger.collection("events", "a").last() == 0


async def test_a_named_store_outlives_its_backends() -> None:
    """What a named store holds is there when it is opened again in this process."""
    backend = await open_backend("memory://restarted")
    await backend.state("states", "a").put(b"value")
    await backend.close()

    backend = await open_backend("memory://restarted")

    assert await backend.state("states", "a").get() == (1, b"value")


async def test_closing_one_leaves_its_namesakes_open() -> None:
    """Closing a backend closes that object, not the store that its namesakes share."""
    one, other = await open_backend("memory://half-closed"), await open_backend("memory://half-closed")

    await one.close()

    assert await other.collection("events", "a").last() == 0
    with pytest.raises(StoreClosed):
        await one.collection("events", "a").last()


@pytest.mark.parametrize("durability", ["full", "relaxed"])
async def test_it_takes_either_durability(durability: str) -> None:
    """Both durabilities are accepted, and told."""
    backend = await open_backend("memory://", durability=durability)  # type: ignore[arg-type]

    assert backend.durability == durability


@pytest.mark.parametrize("write", [Put("events", "b", 1, bytes(11)), PutState("states", "b", bytes(11))])
async def test_a_value_over_the_limit_is_refused(write: Put | PutState) -> None:
    """A commit with a value over the limit is refused as a whole, naming both sizes."""
    backend = MemoryBackend()
    backend.max_value_bytes = 10

    with pytest.raises(StoreError, match=r"11 bytes is over .*10"):
        await backend.commit([WriteGroup((Put("events", "a", 1, bytes(10)),)), WriteGroup((write,))])

    assert await backend.prefixes("events") == []
