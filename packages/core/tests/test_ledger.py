"""The logs of an actor type as records, and the states that are made of them."""

from __future__ import annotations

from typing import Any

import pytest

from perdure import ActorSystem, Keyring, Sealing
from perdure.abc import Put, WriteGroup
from perdure.errors import SubjectForgotten
from perdure.journal import EVENTS
from perdure.query import Fold
from perdure_testkit import FaultyBackend

from .tapes import MutatingTape, PureTape, Write, Written, append


async def test_pages_have_the_records_of_the_type_in_their_order(store: FaultyBackend) -> None:
    """And the offset from which to read on."""
    await append(store, 1, 2, 3)
    fold = Fold(PureTape)

    async with ActorSystem(store=store) as system:
        [first] = [page async for page in system.ledger(PureTape).pages()]
        await system.ref(PureTape, "b").ask(Write((4,)))
        [second] = [page async for page in system.ledger(PureTape).pages(first.end)]

    assert [(each.persistence_id, each.sequence_number) for each in first.records] == [
        ("Tape/a", 1),
        ("Tape/a", 2),
        ("Tape/a", 3),
    ]
    assert [fold.events(each.data) for each in first.records] == [(Written(1),), (Written(2),), (Written(3),)]
    assert (second.begin, [each.persistence_id for each in second.records]) == (first.end, ["Tape/b"])
    assert (second.records[-1].persistence_id, second.records[-1].sequence_number) == second.last


async def test_a_page_without_records_of_the_type_moves_on(store: FaultyBackend) -> None:
    class Other(PureTape):
        pass

    Other.type_name = "Other"
    await append(store, 1)

    async with ActorSystem(store=store) as system:
        [page] = [page async for page in system.ledger(Other).pages()]

    assert page.records == []
    assert page.last == ("Tape/a", 1)


async def test_a_live_ledger_goes_on_with_each_commit(store: FaultyBackend) -> None:
    async with ActorSystem(store=store) as system:
        pages = system.ledger(PureTape, poll=3600).pages(live=True)
        await system.ref(PureTape, "a").ask(Write((1,)))
        first = await anext(pages)
        await system.ref(PureTape, "a").ask(Write((2,)))
        second = await anext(pages)

    assert [page.last for page in (first, second)] == [("Tape/a", 1), ("Tape/a", 2)]


@pytest.mark.parametrize("tape", [PureTape, MutatingTape])
async def test_a_fold_of_the_records_is_the_state_of_the_actor(store: FaultyBackend, tape: Any) -> None:
    await append(store, 1, 2, 3)
    fold = Fold(tape)
    state = fold.initial()

    async with ActorSystem(store=store) as system:
        ledger = system.ledger(tape)
        async for page in ledger.pages():
            for record in page.records:
                state = fold.apply(state, record.data)
        replayed = await ledger.replay("Tape/a")

    assert (state, 3) == (replayed.state, replayed.sequence_number) == fold.decode(fold.encode(state, 3))


@pytest.mark.parametrize("hide_names", [False, True])
async def test_ids_ascend_from_behind_one(store: FaultyBackend, hide_names: bool) -> None:
    """Also where the store hides them."""
    sealing = Sealing(Keyring({1: b"k" * 32}), hide_names=hide_names)
    async with ActorSystem(store=store, sealing=sealing) as system:
        for key in ("c", "a", "b"):
            await system.ref(PureTape, key).ask(Write((1,)))
        ledger = system.ledger(PureTape)

        assert [identity async for identity in ledger.ids("Tape/a")] == ["Tape/b", "Tape/c"]
        assert [record.persistence_id async for page in ledger.pages() for record in page.records][-1] == "Tape/b"


async def test_what_nobody_can_read_any_more_is_passed_over(store: FaultyBackend) -> None:
    class Personal(PureTape):
        @classmethod
        def subject(cls, persistence_id: str) -> str:
            return persistence_id

    async with ActorSystem(store=store, sealing=Sealing(Keyring({1: b"k" * 32}))) as system:
        for key in ("a", "b"):
            await system.ref(Personal, key).ask(Write((1,)))
        await system.forget("Tape/a")
        ledger = system.ledger(Personal)
        records = [record.persistence_id async for page in ledger.pages() for record in page.records]

        assert records == ["Tape/b"]
        with pytest.raises(SubjectForgotten):
            await ledger.replay("Tape/a")


async def test_a_damaged_record_is_passed_on_as_such(store: FaultyBackend) -> None:
    """It does not end the page."""
    await append(store, 1, 2)
    await store.commit([WriteGroup((Put(EVENTS, "Tape/a", 2, b"rubbish"),))])

    async with ActorSystem(store=store) as system:
        [page] = [page async for page in system.ledger(PureTape).pages()]

    assert [bool(record.data) for record in page.records] == [True, False]
