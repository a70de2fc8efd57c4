"""Blocks that end only when what they expect has happened."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from perdure import ActorSystem
from perdure.actors import Actor, ActorRef, Context, Message, Restarted, Started, Stopped
from perdure.errors import ActorStopped
from perdure_testkit import VirtualClock, expect_dead_letters, expect_events, expect_published


class Break(Message[None]):
    pass


class Say(Message[None]):
    word: str
    delay: float = 0.0


class Sayer(Actor):
    """Publishes what it is told, sooner or later, and breaks when told so."""

    async def handle(self, message: Message[None], context: Context) -> None:
        match message:
            case Say(word, delay) if delay:
                context.schedule_once(delay, Say(word))
            case Say(word):
                context.publish(word)
            case Break():
                raise ValueError("broken")


@pytest.fixture(params=["virtual", "real"])
async def system(request: pytest.FixtureRequest) -> AsyncIterator[ActorSystem]:
    async with ActorSystem(clock=VirtualClock() if request.param == "virtual" else None) as system:
        yield system


@pytest.fixture
async def sayer(system: ActorSystem) -> ActorRef:
    return await system.spawn(Sayer, "sayer")


async def lose(ref: ActorRef, *words: str) -> None:
    """Tell an actor that is over."""
    for word in words:
        with pytest.raises(ActorStopped):
            await ref.tell(Say(word))


async def test_a_dead_letter_is_expected(system: ActorSystem, sayer: ActorRef) -> None:
    """The letters that came are there after the block, and say why."""
    await sayer.stop()

    async with expect_dead_letters(system) as letters:
        await lose(sayer, "hello")

    [letter] = letters
    assert (letter.message, letter.path, letter.reason) == (Say("hello"), "/user/sayer", "the actor is stopped")


async def test_dead_letters_of_some_messages_count(system: ActorSystem, sayer: ActorRef) -> None:
    """Only messages of the type, equal to the message, or that the predicate is true of count."""
    await sayer.stop()

    async with (
        expect_dead_letters(system, count=2, message=Say),
        expect_dead_letters(system, message=Say("a")),
        expect_dead_letters(system, message=lambda message: message.word > "a"),
        expect_dead_letters(system, count=0, message=Break, within=0.01),
    ):
        await lose(sayer, "a", "b")


async def test_dead_letters_that_do_not_come_fail(system: ActorSystem, sayer: ActorRef) -> None:
    """Too few are a failure that shows what came."""
    await sayer.stop()

    with pytest.raises(
        AssertionError, match=r"expected 2 dead letters of Say within 0.01 s, but 1 came(.|\n)*word='a'"
    ):
        async with expect_dead_letters(system, count=2, message=Say, within=0.01):
            await lose(sayer, "a")


@pytest.mark.parametrize("count", [0, 1])
async def test_dead_letters_too_many_fail(system: ActorSystem, sayer: ActorRef, count: int) -> None:
    """More than were expected are a failure as well."""
    await sayer.stop()

    with pytest.raises(AssertionError, match=rf"expected {count} dead letters of any message .* but 2 came"):
        async with expect_dead_letters(system, count=count):
            await lose(sayer, "a", "b")


async def test_events_are_expected_in_their_order(system: ActorSystem, sayer: ActorRef) -> None:
    """Others may come between them; those that were expected are there after the block."""
    async with expect_events(system, Restarted, Stopped) as events:
        await sayer.tell(Break())
        await system.spawn(Sayer, "other")
        await sayer.stop()

    assert [type(event) for event in events] == [Restarted, Stopped]


async def test_events_may_be_given_by_a_predicate(system: ActorSystem, sayer: ActorRef) -> None:
    """An event that is equal, or of which the predicate is true, is one that was expected."""
    async with expect_events(system, lambda event: event.ref != sayer, Started(sayer)):
        await system.spawn(Sayer, "other")
        await sayer.stop()
        await system.spawn(Sayer, "sayer")


async def test_events_that_do_not_come_fail(system: ActorSystem, sayer: ActorRef) -> None:
    """The failure names the first that is missing and shows what came."""
    with pytest.raises(AssertionError) as caught:
        async with expect_events(system, Restarted, Stopped, within=0.01):
            await sayer.tell(Break())

    assert str(caught.value).startswith(
        "expected Restarted, then Stopped within 0.01 s, but Stopped did not come\nwhat came:\n  Failed(ref="
    )


async def test_events_in_another_order_fail(system: ActorSystem, sayer: ActorRef) -> None:
    """What comes before its turn does not count."""
    with pytest.raises(AssertionError, match="Stopped did not come"):
        async with expect_events(system, Restarted, Stopped, within=0.01):
            other = await system.spawn(Sayer, "other")
            await other.stop()
            await sayer.tell(Break())


async def test_published_events_are_expected(sayer: ActorRef) -> None:
    """What an actor publishes in the block, or within the time after it, counts."""
    async with expect_published(sayer, "a", str, lambda word: word == "later") as words:
        for message in (Say("a"), Say("noise"), Say("later", 0.02)):
            await sayer.tell(message)

    assert words == ["a", "noise", "later"]


async def test_published_events_that_do_not_come_fail(sayer: ActorRef) -> None:
    """Nothing, or something else, is a failure."""
    with pytest.raises(AssertionError, match=r"expected 'a' within 0.01 s, but 'a' did not come; nothing came"):
        async with expect_published(sayer, "a", within=0.01):
            pass
    with pytest.raises(AssertionError, match="'a' did not come\nwhat came:\n  'b'"):
        async with expect_published(sayer, "a", within=0.01):
            await sayer.tell(Say("b"))


async def test_nothing_is_waited_for_that_cannot_come(system: ActorSystem, sayer: ActorRef) -> None:
    """When the actor, or the system, is over, the block ends with what came."""
    began = time.monotonic()

    with pytest.raises(AssertionError, match="'a' did not come"):
        async with expect_published(sayer, "a", within=60):
            await sayer.stop()
    with pytest.raises(AssertionError, match="Restarted did not come"):
        async with expect_events(system, Restarted, within=60):
            await system.close()

    assert time.monotonic() - began < 5


async def test_an_error_of_the_body_comes_out(system: ActorSystem) -> None:
    """What the body raises is not hidden by what did not happen for it, and is not waited for."""
    with pytest.raises(ZeroDivisionError):
        async with expect_events(system, Stopped, within=60):
            raise ZeroDivisionError


async def test_virtual_time_passes_at_once() -> None:
    """On a virtual clock no second is really waited for."""
    began = time.monotonic()

    async with ActorSystem(clock=VirtualClock()) as system:
        sayer = await system.spawn(Sayer, "sayer")
        async with expect_published(sayer, "later", within=60):
            await sayer.tell(Say("later", 59))
        with pytest.raises(AssertionError):
            async with expect_published(sayer, "later", within=60):
                await sayer.tell(Say("later", 61))

    assert time.monotonic() - began < 2


async def test_something_is_to_be_expected(system: ActorSystem, sayer: ActorRef) -> None:
    """Without anything to expect the block is a mistake."""
    with pytest.raises(TypeError, match="which events"):
        async with expect_events(system):
            pass
    with pytest.raises(TypeError, match="which events"):
        async with expect_published(sayer):
            await asyncio.sleep(0)
