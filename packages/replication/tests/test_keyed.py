"""Keyed states: what nodes hold of each other's keys."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from perdure_replication import Keyed, KeyedChange, KeyedState, Limits, Member, Node, Pace, Settings
from perdure_replication.errors import InvalidNode, InvalidState, KeyedClosed, MutationRefused, NodeClosed
from perdure_replication.testing import TestRuntime


class Session(msgspec.Struct, frozen=True):
    user: str
    hits: int = 0


class Sessions(KeyedState[Session]):
    pass


class Carts(KeyedState[list[str]]):
    pass


async def two(runtime: TestRuntime) -> tuple[Keyed[Session], Keyed[Session]]:
    """Return what two nodes have of a keyed state."""
    a, b = [(await runtime.start(name)).keyed(Sessions) for name in "ab"]
    await runtime.settle()
    return a, b


async def test_each_node_sees_the_keys_of_all() -> None:
    async with TestRuntime() as runtime:
        a, b = await two(runtime)

        a.put("x", Session("ann"))
        b.put("x", Session("bob"))
        await runtime.settle()

        assert a.views == b.views == {"a": {"x": Session("ann")}, "b": {"x": Session("bob")}}
        assert a.of("x") == {"a": Session("ann"), "b": Session("bob")}


async def test_who_opens_later_is_filled() -> None:
    async with TestRuntime() as runtime:
        a = (await runtime.start("a")).keyed(Sessions)
        for number in range(3000):
            a.put(f"{number}", Session("ann" * 100, number))

        b = (await runtime.start("b")).keyed(Sessions)
        await runtime.settle()

        assert b.views["a"] == a.own
        assert len(b.views["a"]) == 3000


async def test_a_key_that_is_deleted_is_gone_everywhere() -> None:
    async with TestRuntime() as runtime:
        a, b = await two(runtime)
        a.put("x", Session("ann"))
        await runtime.settle()

        deleted = [a.delete("x"), a.delete("x")]
        await runtime.settle()

        assert deleted == [True, False]
        assert b.views["a"] == {}


async def test_only_what_changed_is_sent_again() -> None:
    async with TestRuntime() as runtime:
        a, b = await two(runtime)
        for number in range(100):
            a.put(f"{number}", Session("ann"))
        await runtime.settle()
        changes = b.changes()

        a.put("7", Session("ann", 1))
        a.put("8", Session("ann"))
        await runtime.settle()
        await runtime.stop("b")

        assert [change.key async for change in changes] == ["7"]


async def test_a_mutation_takes_the_value_and_returns_the_new_one() -> None:
    async with TestRuntime() as runtime:
        a, b = await two(runtime)

        first = a.mutate("x", lambda held: Session("ann", 1 if held is None else held.hits + 1))
        second = a.mutate("x", lambda held: Session("ann", 1 if held is None else held.hits + 1))
        a.put("y", Session("ann"))
        gone = a.mutate("y", lambda _: None)
        never = a.mutate("z", lambda _: None)
        await runtime.settle()

        assert b.views["a"] == {"x": Session("ann", 2)}
        assert [each and each.age for each in (first, second, gone)] == [1, 2, 4]
        assert never is None


async def test_a_mutation_that_fails_changes_nothing() -> None:
    """Though it changed a mutable value in place."""
    async with TestRuntime() as runtime:
        carts = (await runtime.start("a")).keyed(Carts)
        carts.put("x", ["milk"])

        def spoil(cart: list[str] | None) -> list[str]:
            assert cart is not None
            cart.append("poison")
            raise RuntimeError

        with pytest.raises(RuntimeError):
            carts.mutate("x", spoil)

        assert carts.own == {"x": ["milk"]}


async def test_what_is_held_is_a_copy() -> None:
    async with TestRuntime() as runtime:
        carts = (await runtime.start("a")).keyed(Carts)
        cart = ["milk"]
        carts.put("x", cart)

        cart.append("eggs")

        assert carts.own == {"x": ["milk"]}


async def test_each_key_has_a_generation_of_its_own() -> None:
    async with TestRuntime() as runtime:
        a, b = await two(runtime)
        first = a.put("x", Session("ann"))
        second = a.put("y", Session("ann"))
        again = a.put("x", Session("ann"))
        await runtime.settle()

        assert first == again < second
        assert {key: held.generation for key, held in b.held("a").items()} == {"x": first, "y": second}
        assert a.held("a") == b.held("a")


async def test_keys_and_prefixes_are_followed_alone() -> None:
    async with TestRuntime() as runtime:
        a = (await runtime.start("a")).keyed(Sessions)
        b = (await runtime.start("b")).keyed(Sessions, keys=["x"], prefixes=["eu/"])
        for key in ("x", "y", "eu/1", "us/1"):
            a.put(key, Session("ann"))
        await runtime.settle()

        assert b.views["a"].keys() == {"x", "eu/1"}


async def test_what_is_newly_followed_is_sent_and_the_rest_is_not_sent_again() -> None:
    async with TestRuntime() as runtime:
        a = (await runtime.start("a")).keyed(Sessions)
        b = (await runtime.start("b")).keyed(Sessions, prefixes=["eu/"])
        for key in ("x", "y", "eu/1", "us/1"):
            a.put(key, Session("ann"))
        await runtime.settle()
        changes = b.changes()

        b.follow(keys=["y"], prefixes=["eu/", "us/"])
        await runtime.settle()
        held = dict(b.views["a"])
        await runtime.stop("b")

        assert held.keys() == {"y", "eu/1", "us/1"}
        assert {change.key async for change in changes} == {"y", "us/1"}


async def test_what_is_followed_no_more_is_removed() -> None:
    async with TestRuntime() as runtime:
        a, b = await two(runtime)
        a.put("x", Session("ann"))
        a.put("y", Session("ann"))
        await runtime.settle()

        b.follow(keys=["x"])
        a.put("y", Session("ann", 1))
        await runtime.settle()

        assert b.views["a"].keys() == {"x"}


async def test_nothing_may_be_followed() -> None:
    async with TestRuntime() as runtime:
        a, b = await two(runtime)
        b.follow()
        a.put("x", Session("ann"))
        await runtime.settle()

        assert b.views["a"] == {}
        assert b.freshness(1).is_fresh


async def test_a_node_that_leaves_takes_its_keys_along() -> None:
    async with TestRuntime() as runtime:
        a, b = await two(runtime)
        a.put("x", Session("ann"))
        await runtime.settle()
        changes = b.changes()

        await runtime.stop("a")

        assert b.views == {"b": {}}
        assert (await anext(changes)).kind == "removed"


async def test_a_node_that_withdraws_its_keys_stays() -> None:
    async with TestRuntime() as runtime:
        a, b = await two(runtime)
        a.put("x", Session("ann"))
        await runtime.settle()

        a.close()
        await runtime.settle()

        assert b.views == {"b": {}}
        assert b.freshness(1).is_fresh


async def test_an_unreachable_node_keeps_its_keys_as_stale_ones() -> None:
    async with TestRuntime() as runtime:
        a, b = await two(runtime)
        a.put("x", Session("ann"))
        await runtime.settle()

        runtime.hub.lose("a")
        await runtime.advance(10)
        freshness = b.freshness(7)

        assert b.views["a"] == {"x": Session("ann")}
        assert (freshness.stale, freshness.unreachable) == (("a",), ("a",))


async def test_who_was_away_gets_the_changes_alone() -> None:
    async with TestRuntime() as runtime:
        a, b = await two(runtime)
        for number in range(100):
            a.put(f"{number}", Session("ann"))
        await runtime.settle()
        runtime.hub.lose("a")
        await runtime.advance(1)
        a.put("7", Session("ann", 1))
        a.delete("8")
        changes = b.changes()

        node = runtime.nodes["a"]
        await node._membership.announce(node._member)
        await runtime.settle()
        views = dict(b.views["a"])
        await runtime.stop("b")

        assert views == a.own
        assert {change.key async for change in changes} == {"7", "8"}


async def test_another_life_replaces_the_keys_of_the_one_before() -> None:
    async with TestRuntime() as runtime:
        a, b = await two(runtime)
        a.put("x", Session("ann"))
        a.put("y", Session("ann"))
        await runtime.settle()
        await runtime.crash("a")
        again = (await runtime.start("a")).keyed(Sessions)
        again.put("x", Session("ann", 1))
        await runtime.settle()

        assert b.views["a"] == {"x": Session("ann", 1)}


async def test_a_quiet_owner_stays_fresh() -> None:
    async with TestRuntime() as runtime:
        a, b = await two(runtime)
        a.put("x", Session("ann"))
        await runtime.advance(600)

        assert b.freshness(6).is_fresh


async def test_a_node_without_the_state_is_not_missed() -> None:
    async with TestRuntime() as runtime:
        await runtime.start("a")
        b = (await runtime.start("b")).keyed(Sessions)
        before = b.freshness(1)
        await runtime.settle()

        assert before.missing == ("a",)
        assert b.freshness(1).is_fresh


async def test_a_slow_reader_of_changes_gets_the_latest() -> None:
    async with TestRuntime() as runtime:
        a, b = await two(runtime)
        changes = b.changes()

        for hits in range(10):
            a.put("x", Session("ann", hits))
            await runtime.settle()

        assert (await anext(changes)) == KeyedChange("a", "x", a.held("a")["x"].generation, Session("ann", 9))


async def test_changes_end_with_the_node() -> None:
    async with TestRuntime() as runtime:
        a, _ = await two(runtime)
        changes = a.changes()
        await runtime.stop("a")

        assert [change async for change in changes] == []
        with pytest.raises(NodeClosed):
            a.put("x", Session("ann"))


async def test_what_cannot_be_is_refused() -> None:
    settings = Settings(limits=Limits(letter_bytes=20_000))
    async with TestRuntime(settings=settings) as runtime:
        node = await runtime.start("a")
        keyed = node.keyed(Sessions)

        with pytest.raises(MutationRefused, match="could not be read back"):
            keyed.put("x", Session(1))  # type: ignore[arg-type]
        with pytest.raises(MutationRefused, match="is None"):
            keyed.put("x", None)  # type: ignore[arg-type]
        with pytest.raises(MutationRefused, match=r"raise Limits\.letter_bytes"):
            keyed.put("x", Session("x" * 20_000))
        with pytest.raises(ValueError, match="a key is a text of 1 to 1024 characters"):
            keyed.put("", Session("x"))
        with pytest.raises(InvalidNode, match="already"):
            node.keyed(Sessions)
        with pytest.raises(ValueError, match="an interest names up to"):
            keyed.follow(keys=[f"{number}" for number in range(2000)])
        with pytest.raises(ValueError, match="several texts"):
            keyed.follow(prefixes="eu/")
        assert keyed.own == {}


async def test_a_keyed_state_is_none_of_a_nodes_states() -> None:
    async with TestRuntime() as runtime:
        with pytest.raises(InvalidState, match=r"opened: node\.keyed"):
            await runtime.start("a", Sessions)


class SessionsOld(KeyedState[Session]):
    name = "sessions"


class Visit(msgspec.Struct, frozen=True):
    who: str
    hits: int


class SessionsNew(KeyedState[Visit]):
    name = "sessions"
    version = 2
    wire_version = 1
    readable = (1, 2)

    def upcast_view(self, document: dict[str, object], version: int) -> dict[str, object]:
        return {"who": document["user"], "hits": document["hits"]}

    def downcast_view(self, document: dict[str, object], version: int) -> dict[str, object]:
        return {"user": document["who"], "hits": document["hits"]}


class SessionsNewest(SessionsNew):
    name = "sessions"
    wire_version = 2


async def test_versions_are_rolled_out() -> None:
    async with TestRuntime() as runtime:
        old = (await runtime.start("old")).keyed(SessionsOld)
        new = (await runtime.start("new")).keyed(SessionsNew)
        old.put("x", Session("ann", 1))
        new.put("y", Visit("bob", 2))
        await runtime.settle()

        assert new.views["old"] == {"x": Visit("ann", 1)}
        assert old.views["new"] == {"y": Session("bob", 2)}


async def test_values_that_cannot_be_read_leave_what_was_held_and_are_named() -> None:
    async with TestRuntime() as runtime:
        old = (await runtime.start("old")).keyed(SessionsOld)
        newest = (await runtime.start("new")).keyed(SessionsNewest)
        newest.put("y", Visit("bob", 2))
        await runtime.settle()
        unread = old.freshness(1)

        newest.delete("y")
        await runtime.settle()

        assert unread.incompatible == ("new",)
        assert old.views["new"] == {}
        assert old.freshness(1).is_fresh


async def test_letters_that_are_none_are_counted_and_dropped() -> None:
    async with TestRuntime() as runtime:
        a, b = await two(runtime)
        line = runtime.nodes["a"]._lines["topics"]

        for letter in (b"", b"\x01", b"\x02\x91\x01", b"\x01\xff\xff", b"\x01\x92\x03\x00"):
            await line.send("b", letter)
        a.put("x", Session("ann"))
        await runtime.settle()

        assert runtime.nodes["b"].metrics().refused == {"topics": 5}
        assert b.views["a"] == a.own


HALF = "\ud800"
"""Half of a surrogate pair, which no bytes can say."""


async def test_a_key_that_cannot_be_sent_is_refused() -> None:
    """Else it would hold up all that its node has to say."""
    async with TestRuntime() as runtime:
        a, b = await two(runtime)

        with pytest.raises(ValueError, match=r"a key is a text of 1 to 1024 characters, not 'eu/\\ud800'"):
            a.put(f"eu/{HALF}", Session("ann"))
        a.put("x", Session("ann"))
        await runtime.settle()

        assert b.views["a"] == {"x": Session("ann")}


@pytest.mark.parametrize("wanted", [{"keys": [HALF]}, {"prefixes": [HALF]}, {"keys": [7]}, {"prefixes": [None]}])
async def test_what_cannot_be_followed_is_refused(wanted: dict[str, list[str]]) -> None:
    """And what was followed is followed on."""
    async with TestRuntime() as runtime:
        a, b = await two(runtime)

        with pytest.raises(ValueError, match=r"are texts that can be encoded, and .* is none"):
            b.follow(**wanted)
        a.put("x", Session("ann"))
        await runtime.advance(10)

        assert b.views["a"] == a.own


@pytest.mark.parametrize(
    ("prefix", "followed"),
    [
        ("", {"a", "ab", "abc", "é", "e\u0301", "\U0001f600", "\U0001f600x"}),
        ("ab", {"ab", "abc"}),
        ("abcd", set()),
        ("é", {"é"}),  # and not the same letter in two characters
        ("e", {"e\u0301"}),
        ("\U0001f600", {"\U0001f600", "\U0001f600x"}),
    ],
)
async def test_a_prefix_is_followed_to_its_bounds(prefix: str, followed: set[str]) -> None:
    """What begins with it, itself among them, by characters and not by how they look."""
    async with TestRuntime() as runtime:
        a = (await runtime.start("a")).keyed(Sessions)
        b = (await runtime.start("b")).keyed(Sessions, prefixes=[prefix])
        for key in ("a", "ab", "abc", "é", "e\u0301", "\U0001f600", "\U0001f600x"):
            a.put(key, Session("ann"))
        await runtime.settle()

        assert b.views["a"].keys() == followed


async def test_a_key_is_created_removed_and_created_again() -> None:
    """Its generations rise over all of it, and a follower who was away sees the last value alone."""
    async with TestRuntime() as runtime:
        a, b = await two(runtime)
        seen = [a.put("x", Session("ann"))]
        await runtime.settle()
        held = [b.held("a")["x"].generation]
        a.delete("x")
        await runtime.settle()
        gone = dict(b.views["a"])
        runtime.hub.lose("a")
        for hits in range(3):
            seen.append(a.put("x", Session("ann", hits)))
            a.delete("x")
        seen.append(a.put("x", Session("bob")))
        await runtime.nodes["a"]._membership.announce(Member("a", runtime.nodes["a"].incarnation))
        await runtime.advance(60)
        held.append(b.held("a")["x"].generation)

        assert seen == sorted(set(seen))
        assert held == [seen[0], seen[-1]]
        assert (gone, b.views["a"]) == ({}, {"x": Session("bob")})


async def test_what_is_opened_again_goes_on_from_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the same life of its node: who has not heard that it was closed takes the new values for newer ones."""
    async with TestRuntime() as runtime:
        a, b = await two(runtime)
        for hits in range(10):
            a.put("x", Session("ann", hits))
        a.put("y", Session("ann"))
        await runtime.settle()
        exchange = runtime.nodes["a"].exchange
        with monkeypatch.context() as patch:
            patch.setattr(exchange, "_post", lambda *_: None)
            a.close()

        again = runtime.nodes["a"].keyed(Sessions)
        again.put("x", Session("bob"))
        await runtime.advance(60)

        assert b.views["a"] == {"x": Session("bob")}
        assert b.held("a") == again.held("a")


async def test_what_was_put_before_others_told_of_a_greater_incarnation_is_newer_too() -> None:
    """A node has lost its store, and its clock went back; it hears of its earlier life after its first put."""
    async with TestRuntime() as runtime:
        a, b = await two(runtime)
        a.put("x", Session("ann"))
        await runtime.settle()
        before = b.held("a")["x"].generation
        await runtime.crash("a")
        runtime.hub._incarnations.clear()
        runtime.clock._began -= 10_000
        ports = {"transport": runtime.hub.transport(), "membership": runtime.hub.membership()}
        async with Node("a", [], **ports, clock=runtime.clock, seed=1) as again:  # type: ignore[arg-type]
            a = again.keyed(Sessions)

            first = a.put("x", Session("bob"))
            await runtime.advance(30)

            assert first < before < b.held("a")["x"].generation
            assert b.held("a") == a.held("a")
            assert b.views["a"] == {"x": Session("bob")}


async def test_a_closed_one_takes_no_changes() -> None:
    """Which nobody would hear of."""
    async with TestRuntime() as runtime:
        a, _ = await two(runtime)
        a.put("x", Session("ann"))
        a.close()

        for change in (
            lambda: a.put("x", Session("bob")),
            lambda: a.delete("x"),
            lambda: a.mutate("x", lambda _: None),
        ):
            with pytest.raises(KeyedClosed, match="the keyed state sessions is closed: open it again"):
                change()


async def test_a_lost_letter_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with TestRuntime() as runtime:
        a, b = await two(runtime)
        lost: list[bytes] = []

        async def lose(peer: str, frame: bytes) -> None:
            lost.append(frame)

        with monkeypatch.context() as patch:
            patch.setattr(runtime.nodes["a"]._transport, "send", lose)
            a.put("x", Session("ann"))
            await runtime.settle()
        await runtime.advance(7)

        assert lost
        assert b.views["a"] == a.own


async def test_a_reader_waits_for_no_slower_one() -> None:
    """And what waits for the slow one is one answer."""
    async with TestRuntime() as runtime:
        a, b = await two(runtime)
        c = (await runtime.start("c")).keyed(Sessions, pace=Pace(wait=1.0))
        await runtime.settle()
        release = asyncio.Event()
        transport = runtime.nodes["a"]._transport
        send = transport.send

        async def slow(peer: str, frame: bytes) -> None:
            if peer == "b":
                await release.wait()
            await send(peer, frame)

        transport.send = slow  # type: ignore[method-assign]
        for hits in range(20):
            a.put("x", Session("ann", hits))
            await runtime.settle()
        behind, link = dict(b.views["a"]), runtime.nodes["a"]._links.find("b")
        waiting = 0 if link is None else link.letters("topics")
        release.set()
        await runtime.settle()

        assert c.views["a"] == b.views["a"] == a.own
        assert behind == {}
        assert waiting <= 1
