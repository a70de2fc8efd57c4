"""An actor in the hands of a test."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import ClassVar

import pytest

from perdure import ActorSystem
from perdure.actors import Actor, ActorRef, Context, Message, Stop, StopReason, Supervision
from perdure.errors import ActorStopped, AskTimeout, NameTaken, Rejected
from perdure_testkit import Probe, VirtualClock


class Price(Message[int]):
    item: str


class Sold(Message[None]):
    item: str


class Buy(Message[int]):
    item: str


class Later(Message[None]):
    seconds: float


class Break(Message[None]):
    pass


class Shop(Actor):
    """Asks for the price of what it is asked for, and tells what was sold, sooner or later."""

    supervision: ClassVar[Supervision] = Stop()

    def __init__(self, partner: ActorRef) -> None:
        self.partner = partner

    async def handle(self, message: Message[object], context: Context) -> int | None:
        match message:
            case Buy(item):
                return await self.partner.ask(Price(item))
            case Later(seconds):
                context.schedule_once(seconds, Sold("later"))
            case Sold():
                await self.partner.tell(message)
            case Price(item) if context.sender is not None:
                await context.sender.tell(Sold(item))
            case Break():
                raise ValueError("broken")
        return None


@pytest.fixture(params=["virtual", "real"])
async def system(request: pytest.FixtureRequest) -> AsyncIterator[ActorSystem]:
    clock = VirtualClock() if request.param == "virtual" else None
    async with ActorSystem(clock=clock, ask_timeout=5) as system:
        yield system


@pytest.fixture
async def still() -> AsyncIterator[ActorSystem]:
    """Return a system whose clock is virtual."""
    async with ActorSystem(clock=VirtualClock()) as system:
        yield system


@pytest.fixture
async def probe(system: ActorSystem) -> Probe:
    return await Probe.spawn(system, "probe")


@pytest.fixture
async def shop(system: ActorSystem, probe: Probe) -> ActorRef:
    return await system.spawn(Shop, "shop", probe.ref)


async def test_a_probe_is_an_actor(system: ActorSystem, probe: Probe) -> None:
    """It has a name like others, and can be stopped."""
    with pytest.raises(NameTaken):
        await Probe.spawn(system, "probe")

    await probe.ref.stop()

    assert (probe.ref.path, probe.ref.is_live) == ("/user/probe", False)


async def test_messages_are_expected_in_their_order(probe: Probe) -> None:
    """The next message is returned when it is of the type, or equal to the message, that was expected."""
    await probe.ref.tell(Sold("tea"))
    await probe.ref.tell(Sold("milk"))

    first = await probe.expect(Sold)
    second = await probe.expect(Sold("milk"))

    assert (first.item, second) == ("tea", Sold("milk"))


async def test_what_comes_later_is_waited_for(probe: Probe, shop: ActorRef) -> None:
    """It waits for a message, as time passes."""
    await shop.tell(Later(0.02))

    assert await probe.expect(Sold) == Sold("later")


async def test_virtual_time_passes_at_once(still: ActorSystem) -> None:
    """On a virtual clock no second is really waited for, and time stands where the message came."""
    probe = await Probe.spawn(still)
    shop = await still.spawn(Shop, "shop", probe.ref)
    began = time.monotonic()

    await shop.tell(Later(600))
    await probe.expect_nothing(within=599)
    await probe.expect(Sold, within=3)

    assert still.clock.monotonic() == 600
    assert time.monotonic() - began < 1


async def test_time_passes_for_several_probes(still: ActorSystem) -> None:
    """Several may wait at the same time."""
    probes = [await Probe.spawn(still, f"probe-{number}") for number in range(3)]
    for number, probe in enumerate(probes):
        await (await still.spawn(Shop, f"shop-{number}", probe.ref)).tell(Later(number))

    await asyncio.gather(*(probe.expect(Sold) for probe in probes))

    assert still.clock.monotonic() == 2


async def test_what_does_not_come_fails(probe: Probe) -> None:
    """Where nothing comes in time the failure says so, and what had come before."""
    await probe.ref.tell(Sold("tea"))
    await probe.expect(Sold)

    with pytest.raises(AssertionError) as caught:
        await probe.expect(Price, within=0.01)

    assert str(caught.value) == (
        "/user/probe expected Price within 0.01 s, but nothing came\nbefore:\n  Sold(item='tea')"
    )


async def test_something_else_fails(probe: Probe) -> None:
    """Where something else comes, or not what is equal, the failure shows it, and what is around it."""
    for item in ("tea", "milk", "salt"):
        await probe.ref.tell(Sold(item))
    await probe.expect(Sold("tea"))

    with pytest.raises(AssertionError) as caught:
        await probe.expect(Sold("rice"))

    assert str(caught.value) == (
        "/user/probe expected Sold(item='rice'), but what came is Sold(item='milk')"
        "\nbefore it:\n  Sold(item='tea')\nbehind it:\n  Sold(item='salt')"
    )


async def test_silence_is_expected(probe: Probe) -> None:
    """Where nothing comes, the wait is as long as was said, and nothing more happens."""
    await probe.expect_nothing(within=0.01)


async def test_silence_that_is_broken_fails(probe: Probe, shop: ActorRef) -> None:
    """Whatever comes breaks it, and is still there to be expected."""
    await shop.tell(Later(0.01))

    with pytest.raises(AssertionError, match=r"expected nothing within 1 s, but what came is Sold\(item='later'\)"):
        await probe.expect_nothing(within=1)

    await probe.expect(Sold)


async def test_what_waits_to_be_taken_is_not_silence(probe: Probe) -> None:
    """A message that came before and was not expected yet breaks the silence at once."""
    await probe.ref.tell(Sold("tea"))
    await probe.ref.tell(Sold("milk"))
    await probe.fish(Sold)

    with pytest.raises(AssertionError, match="milk"):
        await probe.expect_nothing()


async def test_fishing_passes_others_by(probe: Probe) -> None:
    """The first message that the predicate is true of is returned; the others are gone, but noted."""
    for item in ("tea", "milk", "salt", "rice"):
        await probe.ref.tell(Sold(item))

    fished = await probe.fish(lambda message: message.item == "salt")

    assert fished == Sold("salt")
    assert await probe.expect(Sold) == Sold("rice")
    assert probe.received == [Sold("tea"), Sold("milk"), Sold("salt"), Sold("rice")]


async def test_a_type_can_be_fished(probe: Probe, shop: ActorRef) -> None:
    """In place of a predicate there may be a type."""
    await shop.tell(Sold("tea"))
    asking = asyncio.ensure_future(shop.ask(Buy("milk")))

    assert await probe.fish(Price) == Price("milk")
    probe.reply(1)
    await asking


async def test_fishing_in_vain_fails(probe: Probe) -> None:
    """The failure shows what came instead."""
    await probe.ref.tell(Sold("tea"))

    with pytest.raises(AssertionError) as caught:
        await probe.fish(lambda message: message.item == "salt", within=0.01)

    assert "expected what satisfies" in str(caught.value)
    assert str(caught.value).endswith("within 0.01 s; it did not come\nwhat came:\n  Sold(item='tea')")


async def test_an_ask_is_answered(probe: Probe, shop: ActorRef) -> None:
    """The reply goes to whoever asked the message that was taken last."""
    asking = asyncio.ensure_future(shop.ask(Buy("tea")))

    await probe.expect(Price("tea"))
    probe.reply(3)

    assert await asking == 3


async def test_asks_are_answered_in_any_order(probe: Probe) -> None:
    """Asks that were not answered wait on while others come."""
    first, second = (asyncio.ensure_future(probe.ref.ask(Price(item))) for item in ("tea", "milk"))

    await probe.expect(Price("tea"))
    await probe.expect(Price("milk"))
    probe.reply(2)

    assert await second == 2
    assert not first.done()
    await probe.ref.stop()
    with pytest.raises(ActorStopped):
        await first


async def test_an_ask_is_answered_with_an_error(probe: Probe) -> None:
    """The error is raised where it was asked, and the probe lives on."""
    asking = asyncio.ensure_future(probe.ref.ask(Price("tea")))

    await probe.expect(Price)
    probe.fail(Rejected("sold out"))

    with pytest.raises(Rejected, match="sold out"):
        await asking
    assert probe.ref.is_live


async def test_an_ask_that_is_not_answered_times_out(probe: Probe) -> None:
    """Without a reply the asker's time passes; a reply after that reaches nobody."""
    asking = asyncio.ensure_future(probe.ref.ask(Price("tea"), timeout=0.01))

    await probe.expect(Price)
    await probe.expect_nothing(within=0.05)

    with pytest.raises(AskTimeout):
        await asking
    probe.reply(3)


async def test_only_an_ask_is_answered_and_once(probe: Probe) -> None:
    """A reply to nothing, to what was told, or for the second time is a mistake of the test."""
    with pytest.raises(AssertionError, match="no message was taken"):
        probe.reply(1)
    await probe.ref.tell(Sold("tea"))
    await probe.expect(Sold)
    with pytest.raises(AssertionError, match="told, not asked"):
        probe.reply(1)
    asking = asyncio.ensure_future(probe.ref.ask(Price("tea")))
    await probe.expect(Price)
    probe.reply(1)
    with pytest.raises(AssertionError, match="answered already"):
        probe.fail(Rejected("no"))

    assert await asking == 1


async def test_asks_are_answered_by_a_function(probe: Probe, shop: ActorRef) -> None:
    """Its value is the reply, what it raises reaches the asker, and the messages can be expected."""
    prices = {"tea": 3}
    probe.auto_reply(lambda message: prices[message.item])

    assert await shop.ask(Buy("tea")) == 3
    with pytest.raises(KeyError):
        await probe.ref.ask(Price("milk"))
    await probe.expect(Price("tea"))
    await probe.expect(Price("milk"))


async def test_a_function_is_taken_back(probe: Probe) -> None:
    """With None the test answers by hand again."""
    probe.auto_reply(lambda _: 1)
    probe.auto_reply(None)
    asking = asyncio.ensure_future(probe.ref.ask(Price("tea")))

    await probe.expect(Price)
    probe.reply(2)

    assert await asking == 2


async def test_the_sender_is_known(probe: Probe, shop: ActorRef) -> None:
    """The last sender is the actor that sent the message taken last, if it was one."""
    senders = [probe.last_sender]
    await shop.tell(Sold("tea"))

    await probe.expect(Sold)
    senders.append(probe.last_sender)
    await probe.ref.tell(Sold("milk"))
    await probe.expect(Sold)
    senders.append(probe.last_sender)

    assert senders == [None, shop, None]


async def test_a_probe_sends(probe: Probe, shop: ActorRef) -> None:
    """What it tells comes from it, so that an answer to the sender comes to it."""
    await probe.tell(shop, Price("tea"))

    await probe.expect(Sold("tea"))
    assert probe.received == [Sold("tea")]


async def test_a_watched_actor_is_over(probe: Probe, shop: ActorRef) -> None:
    """The end of an actor that it watches is a message like others, and says why."""
    probe.watch(shop)
    await shop.tell(Break())

    terminated = await probe.expect_terminated(shop)

    assert (terminated.reason, str(terminated.error)) == (StopReason.FAILED, "broken")


async def test_an_end_that_does_not_come_fails(probe: Probe, shop: ActorRef) -> None:
    """It fails where nothing comes, where another message comes, or where another actor is over."""
    with pytest.raises(AssertionError, match=r"expected Terminated within 0.01 s, but nothing came"):
        await probe.expect_terminated(shop, within=0.01)
    await shop.tell(Sold("tea"))
    with pytest.raises(AssertionError, match="expected Terminated, but what came is Sold"):
        await probe.expect_terminated(shop)
    probe.watch(shop)
    await shop.stop()
    with pytest.raises(AssertionError, match=r"expected the end of /user/probe, but what came is Terminated"):
        await probe.expect_terminated(probe.ref)


async def test_who_is_watched_no_more_ends_unseen(probe: Probe, shop: ActorRef) -> None:
    """After `unwatch` nothing comes."""
    probe.watch(shop)
    probe.unwatch(shop)

    await shop.stop()

    await probe.expect_nothing(within=0.01)


async def test_nobody_waits_when_a_system_ends(system: ActorSystem, probe: Probe) -> None:
    """An ask that is not answered ends with the probe."""
    asking = asyncio.ensure_future(probe.ref.ask(Price("tea")))
    await probe.expect(Price)

    await system.close()

    with pytest.raises(ActorStopped):
        await asking
