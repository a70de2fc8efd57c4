"""Replicas of event-sourced actors: what followers hold, and where they have it from."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import msgspec
import pytest

from perdure import ActorSystem, Full, every_n_events, open_backend
from perdure.abc import Backend
from perdure.query import Ledger, LedgerPage
from perdure_replication import Generation, HotStandby, Node, Pace, Replicated, replicate
from perdure_replication.errors import InvalidNode, InvalidState, NodeClosed
from perdure_replication.replicas import _source
from perdure_replication.replicas._forms import Plain
from perdure_replication.replicas._views import Held
from perdure_replication.testing import TestRuntime, check_projection
from perdure_replication.topics import DELTA, WHOLE, Record

from .accounts import (
    Account,
    Basket,
    Deposit,
    Deposited,
    Moved,
    State,
    Summary,
    deposit,
    move,
    moved,
    reached,
    summary,
    until,
)

ACCOUNTS = replicate(Account)
SUMMARIES = replicate(Account, project=summary)
MOVED = replicate(Account, project=summary, project_event=moved, apply_view=move)


@pytest.fixture
async def store() -> AsyncIterator[Backend]:
    backend = await open_backend("memory://")
    yield backend
    await backend.close()


@pytest.fixture
async def runtime() -> AsyncIterator[TestRuntime]:
    async with TestRuntime() as runtime:
        yield runtime


@pytest.fixture
async def system(store: Backend, runtime: TestRuntime) -> AsyncIterator[ActorSystem]:
    async with ActorSystem(store=store) as system:
        yield system


def shown(replicated: Replicated[Any, Any], state: State) -> Any:
    return state if replicated is ACCOUNTS else summary(state)


@pytest.mark.parametrize("accounts", [ACCOUNTS, SUMMARIES, MOVED])
async def test_a_follower_has_what_was_there_and_what_comes(
    accounts: Replicated[State, Any], system: ActorSystem, runtime: TestRuntime
) -> None:
    a, b = [await runtime.start(name) for name in "ab"]
    await deposit(system, "ann", 1, 2, note="old")
    await accounts.publish(a, system)
    views = accounts.follow(b)
    await until(runtime, lambda: "ann" in views.views)

    await deposit(system, "ann", 3, 0)
    await deposit(system, "bob", 4)
    await reached(views, "ann", 4)
    await reached(views, "bob", 1)

    assert views.views == {
        "ann": shown(accounts, State(6, ("old", "old"))),
        "bob": shown(accounts, State(4)),
    }
    held = views.held("ann")
    assert held is not None
    assert (held.generation, held.sequence_number) == (Generation(0, 4), 4)


@pytest.mark.parametrize("accounts", [ACCOUNTS, SUMMARIES])
async def test_a_follower_that_begins_is_sent_all_that_there_is(
    accounts: Replicated[State, Any], system: ActorSystem, runtime: TestRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In several letters, each of some actors that were replayed together."""
    monkeypatch.setattr("perdure_replication.topics._exchange.PAGE_BYTES", 5000)
    a, b = [await runtime.start(name) for name in "ab"]
    await asyncio.gather(*(deposit(system, f"{number:03}", number) for number in range(150)))
    await accounts.publish(a, system)

    views = accounts.follow(b, prefixes=["0", "14"])
    await reached(views, "149")

    assert views.views == {f"{n:03}": shown(accounts, State(n)) for n in (*range(100), *range(140, 150))}


async def test_a_node_may_follow_what_it_publishes(system: ActorSystem, runtime: TestRuntime) -> None:
    a = await runtime.start("a")
    await ACCOUNTS.publish(a, system)
    views = ACCOUNTS.follow(a)

    await deposit(system, "ann", 1)

    assert (await reached(views, "ann", 1)).view == State(1)


@pytest.mark.parametrize("accounts", [ACCOUNTS, SUMMARIES])
async def test_the_epoch_of_the_owner_is_the_incarnation_of_a_view(
    accounts: Replicated[State, Any], store: Backend, runtime: TestRuntime
) -> None:
    a, b = [await runtime.start(name) for name in "ab"]
    views, generations = accounts.follow(b), []
    for name in ("first", "second"):
        async with ActorSystem(store=store, owner=name) as system:
            published = await accounts.publish(a, system)
            number = await deposit(system, "ann", 1)
            generations.append((await reached(views, "ann", number)).generation)
            published.close()
            await runtime.settle()

    assert generations == [Generation(1, 1), Generation(2, 2)]


def test_a_log_that_was_restored_from_a_copy_replaces_what_is_held() -> None:
    """Its owner has a later epoch: what it wrote is no repetition, and follows nothing that was lost."""
    form = Plain(Account)
    held = Held(form, lambda *_: None)

    def take(kind: int, epoch: int, number: int, balance: int) -> str:
        data = form.whole(State(balance), number) if kind == WHOLE else b"an event that follows nothing here"
        return held.take(Record("ann", Generation(epoch, number), kind, data), form.version)

    take(WHOLE, 1, 10, 100)

    assert [take(DELTA, 2, 9, 0), take(WHOLE, 2, 9, 90)] == ["gap", "moved"]
    assert (held.values["ann"], held.generations["ann"]) == (State(90), Generation(2, 9))
    assert [take(WHOLE, 2, 9, 90), take(WHOLE, 1, 9, 0), take(DELTA, 1, 10, 0)] == ["old", "old", "gap"]


async def test_keys_and_prefixes_are_followed_alone_and_changed_at_any_time(
    system: ActorSystem, runtime: TestRuntime
) -> None:
    a, b = [await runtime.start(name) for name in "ab"]
    await ACCOUNTS.publish(a, system)
    for key in ("x", "y", "eu/1", "us/1"):
        await deposit(system, key, 1)
    views = ACCOUNTS.follow(b, keys=["x"], prefixes=["eu/"])
    await until(runtime, lambda: len(views.views) == 2)
    first = set(views.views)
    changes = views.changes()

    views.follow(keys=["y"], prefixes=["eu/"])
    await reached(views, "y")

    assert first == {"x", "eu/1"}
    assert set(views.views) == {"y", "eu/1"}
    assert [(await anext(changes)).key for _ in range(2)] == ["x", "y"]
    with pytest.raises(ValueError, match="not followed"):
        await views.wait("x")


async def test_what_was_missed_comes_as_deltas(
    system: ActorSystem, runtime: TestRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is sent whole again."""
    a, b = [await runtime.start(name) for name in "ab"]
    await ACCOUNTS.publish(a, system)
    views = ACCOUNTS.follow(b)
    await deposit(system, "ann", 1)
    await reached(views, "ann", 1)
    runtime.hub.lose("a")
    await runtime.settle()
    monkeypatch.setattr(_source.LogSource, "_whole", None)

    await deposit(system, "ann", *range(100))
    await deposit(system, "bob", 1)
    await a._membership.announce(a._member)

    assert (await reached(views, "ann", 101)).view.balance == 1 + sum(range(100))
    assert (await reached(views, "bob", 1)).view == State(1)


class Opaque:
    """Has each page end at an offset of its own, as a backend may."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reads = 0
        self._pages = Ledger.pages
        monkeypatch.setattr(Ledger, "pages", lambda ledger, after=None, **options: self.read(ledger, after, **options))

    async def read(self, ledger: Ledger[Any], after: str | None, **options: Any) -> AsyncIterator[LedgerPage]:
        self.reads += 1
        async for page in self._pages(ledger, after and after.partition("#")[0], **options):
            end = f"{page.end}#{self.reads} {page.last}"
            yield msgspec.structs.replace(page, begin=after, end=end)
            after = end


async def test_who_is_far_behind_is_served_from_the_store_until_it_is_at_the_tip(
    system: ActorSystem, runtime: TestRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And then from memory."""
    monkeypatch.setattr(_source, "PAGES", 2)
    monkeypatch.setattr(_source, "PAGE_RECORDS", 8)
    ledger = Opaque(monkeypatch)
    a, b = [await runtime.start(name) for name in "ab"]
    published = await ACCOUNTS.publish(a, system)
    views = ACCOUNTS.follow(b)
    await deposit(system, "ann", 1)
    await reached(views, "ann", 1)
    runtime.hub.lose("a")
    await runtime.settle()
    await deposit(system, "ann", *[1] * 200)
    await a._membership.announce(a._member)
    await reached(views, "ann", 201)
    monkeypatch.setattr(published._source._ledger, "replay", None)
    before = ledger.reads
    for number in range(20):
        await deposit(system, "ann", 1)
        await reached(views, "ann", 202 + number)

    assert views.views["ann"] == State(221)
    assert ledger.reads - before <= 2


async def test_a_gap_is_filled_by_the_whole(store: Backend, runtime: TestRuntime) -> None:
    """As where compaction has removed what a follower has missed."""

    class Compacting(Account):
        type_name = "Account"
        strategy = Full(snapshot=every_n_events(5), keep_snapshots=1, compact=True)

    async with ActorSystem(store=store) as system:
        a, b = [await runtime.start(name) for name in "ab"]
        accounts = replicate(Compacting)
        await accounts.publish(a, system)
        views = accounts.follow(b)
        await system.ref(Compacting, "ann").ask(Deposit(1))
        await reached(views, "ann", 1)
        runtime.nodes["a"]._membership._hub.lose("a")  # type: ignore[attr-defined]
        await runtime.settle()
        for _ in range(20):
            await system.ref(Compacting, "ann").ask(Deposit(1))
        await system._stores.settle()  # type: ignore[union-attr]
        again = await runtime.start("c")
        await accounts.publish(again, system)
        await runtime.stop("a")

        assert (await reached(views, "ann", 21)).view == State(21)


async def test_views_that_can_be_changed_are_copies(system: ActorSystem, runtime: TestRuntime) -> None:
    a, b = [await runtime.start(name) for name in "ab"]
    baskets = replicate(Basket)
    await baskets.publish(a, system)
    views = baskets.follow(b)
    await system.ref(Basket, "x").ask(Deposit(1))
    (await reached(views, "x", 1)).view.append(666)
    views.views["x"].append(666)

    await system.ref(Basket, "x").ask(Deposit(2))

    assert (await reached(views, "x", 2)).view == [1, 2]


async def test_a_projection_that_is_sent_whole_is_not_sent_for_each_event(
    system: ActorSystem, runtime: TestRuntime
) -> None:
    a, b = [await runtime.start(name) for name in "ab"]
    published = await SUMMARIES.publish(a, system)
    await deposit(system, "ann", *range(50))
    await runtime.settle()
    sent: list[str] = []
    whole = published._source._whole

    async def counted(key: str, at_least: int) -> Record:
        sent.append(key)
        return await whole(key, at_least)

    published._source._whole = counted  # type: ignore[method-assign]
    views = SUMMARIES.follow(b)
    await reached(views, "ann", 50)
    runtime.hub.lose("a")
    await runtime.settle()
    await deposit(system, "ann", *range(50))
    await a._membership.announce(a._member)
    await reached(views, "ann", 100)

    assert len(sent) <= 3


async def test_what_is_private_never_leaves(
    system: ActorSystem, runtime: TestRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of all frames that the owner sends, none has it, whatever the form of the projection."""
    a, b = [await runtime.start(name) for name in "ab"]
    frames: list[bytes] = []
    send = a._transport.send

    async def seen(peer: str, frame: bytes) -> None:
        frames.append(frame)
        await send(peer, frame)

    monkeypatch.setattr(a._transport, "send", seen)
    for accounts in (
        SUMMARIES,
        replicate(Account, name="moved", project=summary, project_event=moved, apply_view=move),
    ):
        await deposit(system, "ann", 1, note="the secret")
        await accounts.publish(a, system)
        views = accounts.follow(b)
        number = await deposit(system, "ann", 1, note="the secret")
        await reached(views, "ann", number)

    assert any(b"ann" in frame for frame in frames)
    assert not any(b"secret" in frame for frame in frames)


async def test_followers_go_on_with_another_owner_of_the_store(
    store: Backend, runtime: TestRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From where they were."""
    a, b, c = [await runtime.start(name) for name in "abc"]
    async with ActorSystem(store=store) as first, ActorSystem(store=store) as second:
        published = [await ACCOUNTS.publish(node, system) for node, system in ((a, first), (b, second))]
        views = ACCOUNTS.follow(c)
        await deposit(first, "ann", 1)
        await reached(views, "ann", 1)
        [follower] = views.followers.values()
        server = follower.server
        assert server is not None
        monkeypatch.setattr(_source.LogSource, "_whole", None)

        await runtime.crash(server)
        survivor = second if server == "a" else first
        await deposit(survivor, "bob", 1)
        await reached(views, "bob", 1)

        assert published[0].log == published[1].log
        assert follower.server != server
        assert views.views == {"ann": State(1), "bob": State(1)}


async def test_an_owner_tells_the_others_of_the_store_what_it_has_committed(
    store: Backend, runtime: TestRuntime
) -> None:
    """So that they need not look: they do, once an hour here."""
    a, b, c = [await runtime.start(name) for name in "abc"]
    async with ActorSystem(store=store) as first, ActorSystem(store=store) as second:
        await ACCOUNTS.publish(a, first, poll=3600)
        await ACCOUNTS.publish(b, second, poll=3600)
        views = ACCOUNTS.follow(c)
        await until(runtime, lambda: all(each.is_filled for each in views.followers.values()))
        for system in (first, second):
            await deposit(system, f"{id(system)}", 1)
        await runtime.advance(0.01)

        await until(runtime, lambda: len(views.views) == 2)

        assert set(views.views) == {f"{id(first)}", f"{id(second)}"}


async def test_stores_of_several_owners_are_followed_beside_each_other(runtime: TestRuntime) -> None:
    a, b, c = [await runtime.start(name) for name in "abc"]
    async with ActorSystem() as first, ActorSystem() as second:
        await ACCOUNTS.publish(a, first)
        await ACCOUNTS.publish(b, second)
        views = ACCOUNTS.follow(c)
        await deposit(first, "ann", 1)
        await deposit(second, "bob", 2)
        await reached(views, "ann")
        await reached(views, "bob")

        assert views.views == {"ann": State(1), "bob": State(2)}
        assert len(views.followers) == 2


async def test_views_outlive_their_owners_as_stale_ones(system: ActorSystem, runtime: TestRuntime) -> None:
    a, b = [await runtime.start(name) for name in "ab"]
    await ACCOUNTS.publish(a, system)
    views = ACCOUNTS.follow(b)
    nobody = views.freshness(1)
    await deposit(system, "ann", 1)
    await reached(views, "ann")
    await runtime.settle()  # the deposit may have come while the first page was made
    fresh = views.freshness(6)

    await runtime.stop("a")
    await runtime.advance(10)

    assert nobody.missing == ("a", "nobody")
    assert fresh.is_fresh
    assert views.freshness(7).stale == views.freshness(7).unreachable == ("a",)
    assert views.views == {"ann": State(1)}


async def test_changes_go_on_from_what_is_known(system: ActorSystem, runtime: TestRuntime) -> None:
    a = await runtime.start("a")
    await ACCOUNTS.publish(a, system)
    views = ACCOUNTS.follow(a)
    for key in ("ann", "bob"):
        await deposit(system, key, 1, 2)
        await reached(views, key, 2)

    changes = views.changes(since={"ann": 2, "bob": 1})
    await runtime.stop("a")

    assert [(change.key, change.view) async for change in changes] == [("bob", State(3))]


async def test_waiting_ends_in_time_and_with_the_node(system: ActorSystem, runtime: TestRuntime) -> None:
    a = await runtime.start("a")
    views = ACCOUNTS.follow(a)
    late = asyncio.create_task(views.wait("ann", 1, timeout=3.0))
    await runtime.advance(4)
    closed = asyncio.create_task(views.wait("ann", 1))
    await runtime.settle()
    await runtime.stop("a")

    with pytest.raises(TimeoutError, match="'ann' has not reached 1 in 3 s"):
        await late
    with pytest.raises(NodeClosed):
        await closed
    with pytest.raises(NodeClosed):
        await views.wait("ann", 1)


async def test_a_view_of_another_version_is_not_read(system: ActorSystem, runtime: TestRuntime) -> None:
    a, b = [await runtime.start(name) for name in "ab"]
    await SUMMARIES.publish(a, system)
    views = replicate(Account, project=summary, version=2).follow(b)
    await deposit(system, "ann", 1)

    await until(runtime, lambda: bool(views.freshness(6).incompatible))

    assert views.freshness(6).incompatible == ("a",)
    assert views.views == {}


async def test_a_view_that_no_letter_takes_holds_up_no_other(system: ActorSystem, runtime: TestRuntime) -> None:
    a, b = [await runtime.start(name) for name in "ab"]
    await ACCOUNTS.publish(a, system)
    views = ACCOUNTS.follow(b, pace=Pace(wait=1.0))
    await deposit(system, "ann", 1, note="x" * 2_000_000)
    await deposit(system, "bob", 1)

    await reached(views, "bob")
    await until(runtime, lambda: bool(views.freshness(6).incompatible))

    assert views.views == {"bob": State(1)}
    assert views.freshness(6).incompatible == ("a",)


class Picky(Account):
    """Refuses an event when it is told to."""

    type_name = "Account"
    refuses = False

    def apply(self, state: State, event: Deposited) -> State:
        if event.amount == 666 and Picky.refuses:
            raise ValueError("not this one")
        return super().apply(state, event)


@pytest.mark.parametrize("project", [None, summary])
async def test_an_actor_that_cannot_be_read_holds_up_no_other(
    project: Any, system: ActorSystem, runtime: TestRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = [await runtime.start(name) for name in "ab"]
    picky: Replicated[Any, Any] = replicate(Picky, project=project) if project else replicate(Picky)
    await deposit(system, "bad", 666)
    monkeypatch.setattr(Picky, "refuses", True)
    await picky.publish(a, system)
    views = picky.follow(b)
    await deposit(system, "good", 1)
    await reached(views, "good")
    await deposit(system, "bad", 1)
    await deposit(system, "good", 1)
    await reached(views, "good", 2)

    assert set(views.views) == {"good"}
    assert views.freshness(6).incompatible == ("a",)


async def test_what_was_forgotten_goes(system: ActorSystem, runtime: TestRuntime) -> None:
    a, b = [await runtime.start(name) for name in "ab"]
    published = await ACCOUNTS.publish(a, system)
    views = ACCOUNTS.follow(b)
    for key in ("ann", "bob"):
        await deposit(system, key, 1)
        await reached(views, key)

    published.forget("ann")
    await until(runtime, lambda: "ann" not in views.views)
    late = await runtime.start("c")
    others = ACCOUNTS.follow(late)
    await reached(others, "bob")

    assert views.views == others.views == {"bob": State(1)}


async def test_a_standby_recovers_from_what_it_holds(store: Backend, runtime: TestRuntime) -> None:
    """Of the store that it was attached to, and of no other."""
    a, b = [await runtime.start(name) for name in "ab"]
    async with ActorSystem(store=store) as owner:
        await ACCOUNTS.publish(a, owner)
        views = ACCOUNTS.follow(b)
        await deposit(owner, "ann", 1, 2)
        await reached(views, "ann", 2)
    standby = HotStandby(views)
    async with ActorSystem(store=store, warm=standby) as system, ActorSystem() as other:
        before = standby.state(Account, "Account/ann")
        await standby.attach(other)
        foreign = standby.state(Account, "Account/ann")
        await standby.attach(system)
        held = standby.state(Account, "Account/ann")
        number = await deposit(system, "ann", 3)

        assert (before, foreign, held) == (None, None, (State(3), 2))
        assert standby.state(Account, "Account/bob") is None
        assert standby.state(Basket, "Basket/ann") is None
        assert number == 3


async def test_what_cannot_be_is_refused(system: ActorSystem, runtime: TestRuntime) -> None:
    a = await runtime.start("a")
    await ACCOUNTS.publish(a, system)
    ACCOUNTS.follow(a)

    with pytest.raises(InvalidNode, match="already"):
        await ACCOUNTS.publish(a, system)
    with pytest.raises(InvalidNode, match="already"):
        ACCOUNTS.follow(a)
    with pytest.raises(InvalidState, match="deltas need all of"):
        replicate(Account, project=summary, project_event=moved)  # type: ignore[call-overload]
    with pytest.raises(InvalidState, match="annotate"):
        replicate(Account, project=lambda state: state.balance)
    with pytest.raises(InvalidState, match="cannot be recovered from a projection"):
        HotStandby(replicate(Account, project=summary, name="other").follow(a))


async def test_an_owner_that_closes_its_system_offers_no_more(runtime: TestRuntime) -> None:
    a, b = [await runtime.start(name) for name in "ab"]
    views = ACCOUNTS.follow(b)
    async with ActorSystem() as system:
        await ACCOUNTS.publish(a, system)
        await deposit(system, "ann", 1)
        await reached(views, "ann")
    await runtime.settle()

    assert [follower.server for follower in views.followers.values()] == [None]


def test_a_projection_is_held_to_its_law() -> None:
    def wrong(view: Summary, delta: Moved) -> Summary:
        return Summary(view.balance, view.count + 1)

    events = [Deposited(1), Deposited(0), Deposited(2, "x")]
    check_projection(MOVED, events)

    with pytest.raises(AssertionError, match=r"event 1, Deposited.*moves a view to Summary"):
        check_projection(replicate(Account, project=summary, project_event=moved, apply_view=wrong), events)
    with pytest.raises(ValueError, match="sent whole"):
        check_projection(SUMMARIES, events)


@pytest.mark.parametrize("seed", range(6))
async def test_after_quiet_followers_have_what_the_store_has(
    seed: int, store: Backend, runtime: TestRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was lost or doubled, whoever was away or ended, and however few pages owners keep."""
    monkeypatch.setattr(_source, "PAGES", 3)
    monkeypatch.setattr(_source, "PAGE_RECORDS", 4)
    random = Random(seed)
    accounts = [ACCOUNTS, SUMMARIES, MOVED][seed % 3]
    nodes = [await runtime.start(name) for name in "abc"]
    loss = Loss(random)
    for node in nodes:
        loss.spoil(node)
    async with ActorSystem(store=store) as first, ActorSystem(store=store) as second:
        systems = {"a": first, "b": second}
        for node in nodes[:2]:
            await accounts.publish(node, systems[node.name], poll=0.01)
        views = accounts.follow(nodes[2])
        for amount in range(120):
            owner = systems["b" if amount > 80 else "a"]
            await deposit(owner, f"{random.randrange(8)}", amount, note=f"{amount}"[:1])
            if random.random() < 0.1:
                runtime.hub.lose(random.choice("ab"))
            if random.random() < 0.2:
                away = runtime.nodes[random.choice("ab")]
                await away._membership.announce(away._member)
            if random.random() < 0.05:
                views.follow(prefixes=random.choice([("",), ("1", "2")]))
            await runtime.advance(random.random())
        loss.rate = 0.0
        views.follow(prefixes=("",))
        for node in nodes[:2]:
            await node._membership.announce(node._member)
        for _ in range(30):
            await asyncio.sleep(0.01)
            await runtime.advance(10)
        ledger = first.ledger(Account)
        expected = {key[8:]: shown(accounts, (await ledger.replay(key)).state) async for key in ledger.ids()}

    assert loss.count > 10
    assert views.views == expected


class Loss:
    """Loses and doubles frames of nodes by a seed."""

    def __init__(self, random: Random) -> None:
        self.rate = 0.2
        self.count = 0
        self._random = random

    def spoil(self, node: Node) -> None:
        send = node._transport.send

        async def spoiled(peer: str, frame: bytes) -> None:
            if self._random.random() < self.rate:
                self.count += 1
                return
            await send(peer, frame)
            if self._random.random() < self.rate:
                await send(peer, frame)

        node._transport.send = spoiled  # type: ignore[method-assign]
