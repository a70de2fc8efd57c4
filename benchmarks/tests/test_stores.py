"""What the sections of all stores look at, and what they write."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks import handles, scans
from benchmarks.handles import Held
from benchmarks.scans import Resident
from benchmarks.stored import events_of, store_all

from perdure import open_backend

_FEW = Held("open", live=100, files=20, sockets=3, threads=4)


@pytest.mark.parametrize("many", [_FEW._replace(files=30), _FEW._replace(sockets=4), _FEW._replace(threads=5)])
def test_handles_that_grow_with_the_actors_fail_the_run(many: Held) -> None:
    with pytest.raises(RuntimeError, match="grow with the number of actors"):
        handles.check(_FEW, many)


def test_files_that_a_store_opens_late_are_no_growth() -> None:
    handles.check(_FEW, _FEW._replace(files=22))


def test_a_scan_that_holds_more_the_longer_it_is_fails_the_run() -> None:
    with pytest.raises(RuntimeError, match="scan of the feed"):
        scans.check("feed", Resident(before=30.0, half=42.0, all=150.0))


def test_a_scan_that_holds_a_few_pages_is_good() -> None:
    scans.check("log", Resident(before=30.0, half=35.0, all=41.0))


def test_events_come_one_account_after_the_other_or_in_turn() -> None:
    one_by_one, in_turn = (events_of(["a", "b"], 2, in_turn=choice) for choice in (False, True))

    assert [(put.prefix, put.key) for put in one_by_one] == [
        ("Account/a", 1),
        ("Account/a", 2),
        ("Account/b", 1),
        ("Account/b", 2),
    ]
    assert [(put.prefix, put.key) for put in in_turn] == [
        ("Account/a", 1),
        ("Account/b", 1),
        ("Account/a", 2),
        ("Account/b", 2),
    ]


async def test_all_that_comes_is_stored(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/stored.db"

    await store_all(store, events_of(["a"], 5, b"event"), at_once=2)

    backend = await open_backend(store)
    found = [tuple(entry) async for entry in backend.collection("events", "Account/a").iterate()]
    await backend.close()
    assert found == [(key, b"event") for key in range(1, 6)]
