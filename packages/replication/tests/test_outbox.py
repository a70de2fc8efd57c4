"""What waits for a slow peer: the latest of each state, and no more."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from perdure_replication import (
    Delta,
    Digest,
    Feed,
    Generation,
    Goodbye,
    Hello,
    Message,
    Outbox,
    Outgoing,
    Pull,
    Snapshot,
    Standing,
    Unchanged,
)
from perdure_replication._link import Link

LIFE = 3


def snapshot(age: int, token: int = 0, state: str = "s") -> Snapshot:
    return Snapshot(state, Generation(LIFE, age), 1, 0, age, str(age).encode(), token)


def delta(base: int, age: int, *, composed: bool = False, token: int = 0) -> Delta:
    parts = (b"all",) if composed else tuple(b"%d" % each for each in range(base + 1, age + 1))
    return Delta("s", base, Generation(LIFE, age), 1, age, parts, token)


def left(*messages: Message) -> list[Message]:
    """Return what goes out when messages were put and none was taken."""
    outbox = Outbox()
    for number, message in enumerate(messages):
        outbox.put(Outgoing(message, LIFE, number))
    return [outbox.take().message for _ in range(len(outbox))]


def test_a_newer_snapshot_takes_the_place_of_all_before_it() -> None:
    """Of its state (weak point 18)."""
    assert left(snapshot(1), delta(1, 2), snapshot(3)) == [snapshot(3)]
    assert left(snapshot(1), snapshot(1, state="other")) == [snapshot(1), snapshot(1, state="other")]


def test_deltas_that_follow_each_other_are_joined() -> None:
    """Nothing is lost, and it is one message."""
    assert left(delta(1, 2), delta(2, 4), delta(4, 5)) == [delta(1, 5)]
    assert left(snapshot(1), delta(1, 2), delta(2, 3)) == [snapshot(1), delta(1, 3)]


def test_deltas_that_cannot_be_joined_leave_the_newest() -> None:
    """The peer sees a gap, and pulls once."""
    assert left(delta(1, 3, composed=True), delta(3, 4)) == [delta(3, 4)]
    assert left(delta(1, 2), delta(3, 4)) == [delta(3, 4)]
    assert left(snapshot(9), delta(1, 2)) == [delta(1, 2)]


def test_an_answer_that_is_replaced_hands_its_token_on() -> None:
    """What replaces it is newer, and so an answer."""
    assert left(snapshot(1, token=7), snapshot(2)) == [snapshot(2, token=7)]
    assert left(delta(1, 2, token=7), delta(2, 3)) == [delta(1, 3, token=7)]


def test_of_other_kinds_the_latest_goes_out() -> None:
    """In the place of the first; feeds are joined."""
    one, two = Standing(Generation(LIFE, 1), 1), Standing(Generation(LIFE, 2), 2)
    messages: list[Message] = [
        Digest({"s": one}),
        Pull("s", None, (1,), 1),
        Feed({"s": Generation(LIFE, 1), "t": Generation(LIFE, 1)}),
        Digest({"s": two}),
        Pull("s", None, (1,), 2),
        Feed({"s": Generation(LIFE, 2)}),
        Unchanged("s", Generation(LIFE, 2), 3),
        Goodbye(),
    ]

    assert left(*messages) == [
        Digest({"s": two}),
        Pull("s", None, (1,), 2),
        Feed({"s": Generation(LIFE, 2), "t": Generation(LIFE, 1)}),
        Unchanged("s", Generation(LIFE, 2), 3),
        Goodbye(),
    ]


def test_a_hello_that_asks_for_an_answer_asks_on() -> None:
    """Also when one that does not takes its place."""
    asking, telling = Hello({}, {}, {}, True), Hello({}, {}, {"s": Generation(LIFE, 1)}, False)

    assert left(asking, telling) == [Hello({}, {}, {"s": Generation(LIFE, 1)}, True)]


def test_a_message_keeps_the_moment_at_which_it_was_true() -> None:
    """However long it waits (weak point 2)."""
    outbox = Outbox()
    outbox.put(Outgoing(snapshot(1), LIFE, 10))
    outbox.put(Outgoing(snapshot(2), LIFE, 20))

    assert outbox.take() == Outgoing(snapshot(2), LIFE, 20)


kinds = st.sampled_from(["snapshot", "delta", "skip", "composed"])


@given(steps=st.lists(st.tuples(kinds, st.integers(1, 100)), max_size=60))
def test_what_waits_is_bounded_and_ends_at_the_newest(steps: list[tuple[str, int]]) -> None:
    """At most two messages a state, none of them beyond what a frame may hold."""
    outbox, age = Outbox(), 0
    for kind, span in steps:
        base, age = age, age + span
        made: Message = {
            "snapshot": lambda age=age: snapshot(age),
            "delta": lambda base=base, age=age: delta(base, age),
            "skip": lambda age=age: delta(age - 1, age),
            "composed": lambda base=base, age=age: delta(base, age, composed=True),
        }[kind]()
        outbox.put(Outgoing(made, LIFE, age))

    waiting: list[Any] = [outbox.take().message for _ in range(len(outbox))]

    assert len(waiting) <= 2
    assert all(isinstance(each, Snapshot) or len(each.deltas) <= 256 for each in waiting)
    assert not steps or waiting[-1].generation.age == age


async def test_a_link_sends_one_at_a_time_and_holds_no_task_when_idle() -> None:
    """What comes while the peer is slow is joined."""
    gate, sent = asyncio.Event(), list[Message]()

    async def send(outgoing: Outgoing) -> None:
        await gate.wait()
        sent.append(outgoing.message)

    link = Link(send)
    for age in range(1, 101):
        link.put(Outgoing(snapshot(age), LIFE, age))
        await asyncio.sleep(0)
    assert (link.waiting, link.replaced) == (1, 98)
    gate.set()
    await link.flush()

    assert (sent, link.waiting, link._task) == ([snapshot(1), snapshot(100)], 0, None)


async def test_a_link_that_is_closed_sends_nothing_more() -> None:
    """Not even what was begun."""
    sent = list[Message]()

    async def send(outgoing: Outgoing) -> None:
        await asyncio.Event().wait()
        sent.append(outgoing.message)

    link = Link(send)
    link.put(Outgoing(Hello({}, {}, {}, False), LIFE, 0))
    await asyncio.sleep(0)

    await link.close()

    assert (sent, link.waiting) == ([], 0)
