"""Parents, children, and where they stand in the tree."""

from __future__ import annotations

import asyncio
import copy
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.actors import Actor, ActorPath, ActorRef, ActorSystem, Context, Message
from perdure.actors._path import path_of
from perdure.errors import ActorStopped, InvalidIdentifier, NameTaken, Rejected
from perdure_testkit import VirtualClock

from .puppet import Deed, Do, Puppet, did, raising, returning, spawning, waiting
from .turning import soon, turns

NOTHING = Do(returning(None))


def passing_on(name: str, what: Deed) -> Deed:
    """Have a child do something, and reply with what it replies."""

    async def deed(context: Context) -> Any:
        child = context.child(name)
        if child is None:
            raise Rejected(f"there is no child {name}")
        return await child.ask(Do(what))

    return deed


async def where(context: Context) -> str:
    return context.path


class TestSpawn:
    async def test_in_a_handler_makes_a_child_of_the_actor(self, system: ActorSystem) -> None:
        """It is found below the path of its parent, which it knows (AVE-58, AVE-118)."""

        async def parents_path(context: Context) -> object:
            return context.parent and context.parent.path

        ref = await system.spawn(Puppet, "parent")
        await ref.ask(Do(spawning("test_child")))

        found = system.find("/user/parent/test_child")
        assert found is not None
        assert (found.path, await found.ask(Do(parents_path))) == ("/user/parent/test_child", "/user/parent")

    async def test_returns_the_ref_of_a_child_that_has_started(self, system: ActorSystem) -> None:
        """Its start hook has run (AVE-45)."""
        notes: list[list[str]] = []

        async def spawn(context: Context) -> ActorRef:
            child = await context.spawn(Puppet, "b")
            notes.append(did(system).copy())
            return child

        ref = await system.spawn(Puppet, "a")
        child = await ref.ask(Do(spawn))

        assert (notes, child) == ([["started a", "started b"]], system.find("/user/a/b"))

    async def test_raises_what_the_start_of_the_child_raised(self, system: ActorSystem) -> None:
        """The parent may catch it and go on, and use the name (AVE-32, W-01, W-09)."""

        async def try_twice(context: Context) -> str:
            try:
                await context.spawn(Puppet, "b", started=raising(LookupError("not yet")))
            except LookupError as error:
                await context.spawn(Puppet, "b")
                return str(error)
            return "no error"

        ref = await system.spawn(Puppet, "a")

        assert await ref.ask(Do(try_twice)) == "not yet"
        assert [child.key for child in system.children("/user/a")] == ["b"]

    async def test_of_a_name_that_lives_is_refused(self, system: ActorSystem) -> None:
        """The error says which (AVE-67)."""
        ref = await system.spawn(Puppet, "a", started=spawning("b"))

        with pytest.raises(NameTaken, match="/user/a/b"):
            await ref.ask(Do(spawning("b")))

    @pytest.mark.parametrize("name", ["", "b/c", "/", "\0", "\ud800", "x" * 901])
    async def test_of_a_bad_name_is_refused(self, system: ActorSystem, name: str) -> None:
        """A name with a slash would be that of another's child (W-16)."""
        ref = await system.spawn(Puppet, "a")

        with pytest.raises(InvalidIdentifier, match=r"invalid (actor name|key)"):
            await ref.ask(Do(spawning(name)))

        assert system.live == 1

    async def test_while_the_parent_stops_is_refused(self, system: ActorSystem) -> None:
        """What is ending gets no more children."""
        with_hook = await system.spawn(Puppet, "a", stopping=spawning("b"))

        await with_hook.stop()

        assert (did(system), system.live) == (["started a", "stopping a"], 0)

    async def test_while_the_system_closes_is_refused(self, clock: VirtualClock) -> None:
        """Children are no exception (AVE-37)."""
        gate, errors = asyncio.Event(), []

        async def spawn_late(context: Context) -> None:
            await gate.wait()
            try:
                await context.spawn(Puppet, "b")
            except ActorStopped as error:
                errors.append(error.path)

        async with ActorSystem(clock=clock) as system:
            ref = await system.spawn(Puppet, "a")
            await ref.tell(Do(spawn_late))
            await turns()
            asyncio.get_running_loop().call_soon(gate.set)

        assert errors == ["/user/a/b"]

    async def test_is_open_to_actors_reached_by_ref(self, system: ActorSystem) -> None:
        """They keep their children, and are not put away before them."""
        ref = system.ref(Puppet, "a")
        await ref.ask(Do(spawning("b")))
        assert isinstance(system.clock, VirtualClock)

        await system.clock.advance(1000)

        assert [child.path for child in system.children("/Puppet/a")] == ["/Puppet/a/b"]


class TestChildren:
    async def test_are_listed_in_the_order_of_their_making(self, system: ActorSystem) -> None:
        """By the parent, and by the system (AVE-61)."""

        async def keys(context: Context) -> list[str]:
            return [child.key for child in context.children]

        ref = await system.spawn(Puppet, "a", started=spawning(*"cab"))

        assert await ref.ask(Do(keys)) == ["c", "a", "b"]
        assert [child.key for child in system.children("/user/a")] == ["c", "a", "b"]

    async def test_are_listed_without_their_own(self, system: ActorSystem) -> None:
        """Only what is directly below a path is (AVE-61)."""
        await system.spawn(Puppet, "a", started=spawning("b", started=spawning("c")))
        await system.spawn(Puppet, "z")

        assert [ref.path for ref in system.children("/user")] == ["/user/a", "/user/z"]
        assert [ref.path for ref in system.children("/user/a")] == ["/user/a/b"]
        assert system.children("/user/a/b/c") == system.children("/nowhere") == []

    async def test_of_a_type_are_its_live_actors(self, system: ActorSystem) -> None:
        """Those reached by `ref` stand below the name of their type."""
        for key in ("x/y", "50%"):
            await system.ref(Puppet, key).ask(NOTHING)

        assert [ref.key for ref in system.children("/Puppet")] == ["x/y", "50%"]

    async def test_that_stop_are_listed_no_more(self, system: ActorSystem) -> None:
        """Neither by the parent nor by the system."""

        async def keys(context: Context) -> list[str]:
            return [child.key for child in context.children]

        ref = await system.spawn(Puppet, "a", started=spawning("b", "c"))
        await system.children("/user/a")[0].stop()

        assert (await ref.ask(Do(keys)), system.find("/user/a/b")) == (["c"], None)

    async def test_each_have_their_own_messages(self, system: ActorSystem) -> None:
        """What the parent passes on reaches the child it is for (AVE-64, AVE-74)."""
        ref = await system.spawn(Puppet, "a")
        await ref.ask(Do(spawning("one")))
        await ref.ask(Do(spawning("two")))

        paths = [await ref.ask(Do(passing_on(name, where))) for name in ("two", "one")]

        assert paths == ["/user/a/two", "/user/a/one"]

    async def test_that_are_not_there_are_none(self, system: ActorSystem) -> None:
        """The handler says what that means, and the asker gets its words (AVE-77)."""
        ref = await system.spawn(Puppet, "a")

        with pytest.raises(Rejected, match="there is no child b"):
            await ref.ask(Do(passing_on("b", where)))

    async def test_publish_what_their_parent_passes_on(self, system: ActorSystem) -> None:
        """State and events of a child follow the messages that come through its parent (AVE-64, AVE-86)."""

        class Add(Message[int]):
            amount: int

        class Sum(Actor):
            total = 0

            async def handle(self, message: Message[Any], context: Context) -> Any:
                match message:
                    case Add(amount):
                        self.total += amount
                        context.publish(self.total)
                        return self.total

        class Parent(Actor):
            async def started(self, context: Context) -> None:
                self.sum = await context.spawn(Sum, "sum")

            async def handle(self, message: Add, context: Context) -> int:
                return await self.sum.ask(message)

        ref = await system.spawn(Parent, "a")
        child = system.find("/user/a/sum")
        assert child is not None
        events = child.subscribe()

        assert [await ref.ask(Add(10)), await ref.ask(Add(-2))] == [10, 8]
        assert events.take_all() == [10, 8]


class TestRoots:
    async def test_have_no_parent(self, system: ActorSystem) -> None:
        """Neither spawned ones nor those reached by `ref` (AVE-86)."""

        async def parent(context: Context) -> object:
            return context.parent

        spawned = await system.spawn(Puppet, "a")

        assert [await ref.ask(Do(parent)) for ref in (spawned, system.ref(Puppet, "a"))] == [None, None]

    async def test_are_found_as_long_as_they_live(self, system: ActorSystem) -> None:
        """By their path (AVE-56, AVE-87)."""
        ref = await system.spawn(Puppet, "test_actor")
        found = system.find("/user/test_actor")
        await ref.stop()

        assert (str(ref.path), found, system.find("/user/test_actor")) == ("/user/test_actor", ref, None)

    async def test_may_be_made_and_stopped_again_and_again(self, system: ActorSystem) -> None:
        """With children and all (AVE-76)."""
        for _ in range(10):
            ref = await system.spawn(Puppet, "a", started=spawning("b", "c"))
            await ref.ask(NOTHING)
            await ref.stop()

        assert (system.live, await (await system.spawn(Puppet, "a")).ask(Do(returning(1)))) == (0, 1)


class TestSender:
    async def test_is_the_actor_that_asked(self, system: ActorSystem) -> None:
        """Not the one that is asked (AVE-85, W-16)."""

        async def sender(context: Context) -> object:
            return context.sender and context.sender.path

        ref = await system.spawn(Puppet, "a", started=spawning("b"))

        assert await ref.ask(Do(passing_on("b", sender))) == "/user/a"
        assert await ref.ask(Do(sender)) is None


class TestKeys:
    @pytest.mark.parametrize("key", ["a/b", "/", "100%", "%2F", "%25", "a b", "ünï", "..", "\n"])
    async def test_of_any_text_reach_their_actor(self, system: ActorSystem, key: str) -> None:
        """A slash in a key makes no deeper path (W-16)."""

        async def key_and_level(context: Context) -> object:
            return context.key, context.path.key, context.path.level

        assert await system.ref(Puppet, key).ask(Do(key_and_level)) == (key, key, 2)

    @given(key=st.text(min_size=1))
    def test_come_out_of_their_path_as_they_went_in(self, key: str) -> None:
        """Escaping loses nothing, and two keys never share a path (W-16)."""
        path = path_of("/Type", key)

        assert (path.key, path.level, path.parent) == (key, 2, "/Type")


class TestPath:
    @pytest.mark.parametrize("text", ["", "/", "//", "///"])
    def test_of_no_segment_is_the_top(self, text: str) -> None:
        """It is empty, and everything is below it but itself (AVE-70, AVE-97)."""
        path = ActorPath(text)

        assert (path, path.is_empty, path.level, path.key, path.parent, path.root) == ("/", True, 0, "", "/", "/")
        assert (path.is_ancestor_of("/"), path.is_ancestor_of("/a"), path.is_ancestor_of("/a/b")) == (False, True, True)

    @pytest.mark.parametrize(
        ("text", "segments"),
        [
            ("/user", ["user"]),
            ("user", ["user"]),
            ("/user/", ["user"]),
            ("//user//a-b/", ["user", "a-b"]),
            ("/acme/building1/room1", ["acme", "building1", "room1"]),
        ],
    )
    def test_of_text_drops_empty_segments(self, text: str, segments: list[str]) -> None:
        """A slash too many means nothing (AVE-70, AVE-97)."""
        path = ActorPath(text)

        assert (path.segments, path.level, path.key) == (segments, len(segments), segments[-1])
        assert str(path) == "/" + "/".join(segments)

    def test_of_one_segment_is_top_level(self) -> None:
        """And no other (AVE-70, AVE-97)."""
        assert [ActorPath(text).is_top_level for text in ("/", "/user", "/user/a")] == [False, True, False]

    def test_is_below_another(self) -> None:
        """By one operator; what is appended may have several segments (AVE-72, AVE-97)."""
        assert [ActorPath("/") / "a", ActorPath("/a") / "b", ActorPath("/a") / "b/c"] == ["/a", "/a/b", "/a/b/c"]
        assert isinstance(ActorPath("/a") / "b", ActorPath)

    def test_knows_what_is_above(self) -> None:
        """Parent, root and each level (AVE-72, AVE-97)."""
        path = ActorPath("/acme/building1/room1/sensor1")

        assert (path.parent, path.root, path.parent.parent.parent.parent) == ("/acme/building1/room1", "/acme", "/")
        assert [path.at_level(level) for level in range(6)] == [
            path,
            "/acme",
            "/acme/building1",
            path.parent,
            path,
            path,
        ]

    @pytest.mark.parametrize(
        ("upper", "lower", "ancestor", "parent"),
        [
            ("/a", "/a/b", True, True),
            ("/a", "/a/b/c", True, False),
            ("/a", "/a", False, False),
            ("/a/b", "/a", False, False),
            ("/a/b", "/a/c", False, False),
            ("/a", "/ab/c", False, False),
            ("/", "/a", True, True),
            ("/", "/a/b", True, False),
        ],
    )
    def test_has_relations(self, upper: str, lower: str, *, ancestor: bool, parent: bool) -> None:
        """Those over several levels are transitive, direct ones are not, none is reflexive (AVE-71, AVE-97)."""
        above, below = ActorPath(upper), ActorPath(lower)

        assert (above.is_ancestor_of(below), below.is_descendant_of(above)) == (ancestor, ancestor)
        assert (above.is_parent_of(below), below.is_child_of(above)) == (parent, parent)

    @pytest.mark.parametrize("text", ["/", "/user/a", "/Type/a%2Fb"])
    def test_survives_copies(self, text: str) -> None:
        """It is a value like other text."""
        path = ActorPath(text)

        copies = [copy.deepcopy(path), pickle.loads(pickle.dumps(path)), ActorPath(path)]
        assert copies == [path] * 3
        assert {type(each) for each in copies} == {ActorPath}


async def test_a_child_that_is_busy_does_not_hold_up_its_siblings(system: ActorSystem) -> None:
    """Each has its own turns."""
    gate = asyncio.Event()
    await system.spawn(Puppet, "a", started=spawning("b", "c"))
    busy, free = system.children("/user/a")
    ask = soon(busy.ask(Do(waiting(gate))))
    await turns()

    assert await free.ask(Do(returning(1))) == 1
    gate.set()
    await ask
