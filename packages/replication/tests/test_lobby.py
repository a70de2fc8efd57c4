"""Frames that come before the membership has named their sender."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest

from perdure_replication import Generation, Joined, Left, Member, Received, Snapshot
from perdure_replication._lobby import MOST_BYTES, PATIENCE, Lobby
from perdure_replication.testing import TestClock, TestRuntime, TestState, Value

from .nodes import QUIET, forged


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


@pytest.fixture
def received() -> list[Received]:
    return []


@pytest.fixture
def lobby(clock: TestClock, received: list[Received]) -> Lobby:
    return Lobby(clock, received.append)


class TestLobby:
    async def test_lets_go_what_one_node_said(self, lobby: Lobby, clock: TestClock, received: list[Received]) -> None:
        """In order, with the time that it has waited; what others said waits on."""
        lobby.hold("a", b"1")
        lobby.hold("b", b"of another")
        await clock.advance(1)
        lobby.hold("a", b"2")
        await clock.advance(1)

        lobby.let_go("a")
        lobby.let_go("a")
        lobby.let_go("nobody")

        assert received == [Received("a", b"1", 2), Received("a", b"2", 1)]

    async def test_has_patience_for_a_time(self, lobby: Lobby, clock: TestClock, received: list[Received]) -> None:
        """Then the node's frames are received as they are; the next ones wait anew."""
        lobby.hold("a", b"1")
        await clock.advance(PATIENCE - 1)
        lobby.hold("b", b"2")
        assert received == []

        await clock.advance(1)
        assert [each.peer for each in received] == ["a"]

        lobby.hold("a", b"3")
        await clock.advance(PATIENCE - 1)
        assert [each.peer for each in received] == ["a", "b"]
        await clock.advance(1)
        assert [each.frame for each in received] == [b"1", b"2", b"3"]

    def test_is_bounded(self, lobby: Lobby, received: list[Received]) -> None:
        """Who has waited longest makes room, and one that is too large does not wait."""
        third = bytes(MOST_BYTES // 3)
        for name in "abc":
            lobby.hold(name, third)
        assert received == []

        lobby.hold("d", third)
        assert [each.peer for each in received] == ["a"]

        lobby.hold("e", bytes(MOST_BYTES + 1))
        assert [each.peer for each in received] == ["a", "b", "c", "d", "e"]

    def test_is_bounded_in_short_frames_too(self, lobby: Lobby, received: list[Received]) -> None:
        """An empty frame costs something as well."""
        for _ in range(MOST_BYTES // 256):
            lobby.hold("a", b"")
        assert received == []

        lobby.hold("b", b"")

        assert {each.peer for each in received} == {"a"}

    async def test_that_is_closed_forgets(self, lobby: Lobby, clock: TestClock, received: list[Received]) -> None:
        """Nothing is received any more."""
        lobby.hold("a", b"1")

        lobby.close()
        await clock.advance(2 * PATIENCE)

        assert received == []


class TestNode:
    @pytest.fixture
    async def runtime(self) -> AsyncIterator[TestRuntime]:
        async with TestRuntime(TestState, settings=QUIET) as runtime:
            yield runtime

    async def test_hears_who_is_named_later(self, runtime: TestRuntime, caplog: pytest.LogCaptureFixture) -> None:
        """What came first is not lost, and nobody complains."""
        a = await runtime.start("a")

        a._receive("b", said(7))
        assert dict(a.replica(TestState).views) == {"a": Value(0)}
        a._report(Joined(Member("b", 1)))

        assert a.replica(TestState).views["b"] == Value(7)
        assert a.metrics().refused == {}
        assert [record for record in caplog.records if record.levelname == "WARNING"] == []

    async def test_holds_nothing_to_be_fresher_than_it_is(self, runtime: TestRuntime) -> None:
        """The time for which a frame has waited counts."""
        a = await runtime.start("a")
        a._receive("b", said(7))
        await runtime.advance(3)

        a._report(Joined(Member("b", 1)))

        assert a.replica(TestState).freshness(2.9).stale == ("b",)
        assert a.replica(TestState).freshness(3.1).is_fresh

    async def test_refuses_who_is_never_named(self, runtime: TestRuntime) -> None:
        """After a time, as a stranger."""
        a = await runtime.start("a")

        a._receive("mallory", said(7, "mallory"))
        await runtime.advance(PATIENCE)

        assert a.metrics().refused == {"stranger": 1}
        assert a.members == ()

    async def test_refuses_who_has_left(self, runtime: TestRuntime) -> None:
        """At once."""
        a = await runtime.start("a")
        a._receive("b", said(7))

        a._report(Left("b", 1))

        assert a.metrics().refused == {"departed": 1}


def said(counter: int, source: str = "b") -> bytes:

    return forged(source, 1, Snapshot("test_state", Generation(1, 5), 1, 0, 0, msgspec.msgpack.encode(Value(counter))))
