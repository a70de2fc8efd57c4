"""Golden records: every stored version still decodes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from perdure import DurableStateActor, Event, Evolution, PersistentActor
from perdure.evolution import Document
from perdure_testkit import check_golden


class DepositedOnce(Event, manifest="deposited"):
    amount: int


class Deposited(Event, manifest="deposited", version=2):
    amount: int
    currency: str


class Fact(Event):
    """The base of what is declared."""


class Opened(Fact):
    owner: str


class AccountOnce(PersistentActor[int, DepositedOnce | Fact]):
    type_name = "Account"


def history(currency: str = "EUR") -> Evolution:
    evolution = Evolution()
    evolution.upcast("deposited", 1)(lambda document: {**document, "currency": currency})
    return evolution


class Account(PersistentActor[int, Deposited | Fact]):
    evolution = history()


ONCE = (DepositedOnce(5), Opened("me"))
NOW = (Deposited(7, "USD"), Opened("me"))


@pytest.fixture(autouse=True)
def at_a_desk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "account.jsonl"


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def evolved(currency: str = "EUR", **attributes: Any) -> Any:
    return type("Account", (Account,), {"evolution": history(currency), **attributes})


def test_the_first_run_writes_a_record_of_each_type(path: Path) -> None:
    """A reader of the file sees what is stored and what is read."""
    check_golden(AccountOnce, path, *ONCE)

    [opened, deposited] = [{**line, "record": "…"} for line in lines(path)]
    assert (opened["event"], opened["read"]) == ("Opened", [{"Opened": {"owner": "me"}}])
    assert deposited == {
        "event": "deposited",
        "version": 1,
        "stored": {"amount": 5},
        "read": [{"deposited": {"amount": 5}}],
        "record": "…",
    }


def test_a_second_run_changes_nothing(path: Path) -> None:
    """Also not if its samples are others."""
    check_golden(AccountOnce, path, *ONCE)
    before = path.read_bytes()

    check_golden(AccountOnce, path, DepositedOnce(6), Opened("you"))

    assert path.read_bytes() == before


def test_a_new_version_gets_a_record_of_its_own(path: Path) -> None:
    """The old bytes stay, and what is made of them is to be reviewed."""
    check_golden(AccountOnce, path, *ONCE)
    [_, old] = lines(path)

    with pytest.raises(AssertionError, match="event deposited version 1 is not read as it was") as failure:
        check_golden(Account, path, *NOW)
    check_golden(Account, path, *NOW, accept=True)
    check_golden(Account, path)

    assert '{"amount": 5, "currency": "EUR"}' in str(failure.value)
    assert [line["version"] for line in lines(path)] == [1, 1, 2]
    assert lines(path)[1] == {**old, "read": [{"deposited": {"amount": 5, "currency": "EUR"}}]}


def test_a_change_of_what_is_read_is_named(path: Path) -> None:
    """An upcaster that is changed later changes the past."""
    check_golden(Account, path, *NOW, Document("deposited", 1, {"amount": 5}))

    with pytest.raises(AssertionError, match=r'(?s)deposited version 1 is not read as it was.*"EUR".*"CHF"'):
        check_golden(evolved("CHF"), path)


def test_the_environment_can_accept_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in the test has to be changed."""
    check_golden(Account, path, *NOW, Document("deposited", 1, {"amount": 5}))
    monkeypatch.setenv("PERDURE_GOLDEN", "accept")

    check_golden(evolved("CHF"), path)

    assert lines(path)[1]["read"] == [{"deposited": {"amount": 5, "currency": "CHF"}}]


def test_a_record_that_is_not_read_any_more_is_named(path: Path) -> None:
    """A new version without an upcaster, or a type that was removed."""
    check_golden(AccountOnce, path, *ONCE)

    class Shrunk(PersistentActor[int, Deposited]):
        type_name = "Account"

    with pytest.raises(AssertionError) as failure:
        check_golden(Shrunk, path, Deposited(7, "USD"))

    text = str(failure.value)
    assert "2 golden records fail" in text
    assert "event Opened version 1 cannot be read: an event of the unknown type 'Opened'" in text
    assert "event deposited version 1 cannot be read: an event deposited of version 1 does not decode" in text


def test_a_version_without_a_record_is_named(path: Path) -> None:
    """Of the current version, of older ones, and of types that were removed."""
    evolution = history()
    evolution.replace("moved", 1)(lambda _: [])

    with pytest.raises(AssertionError) as failure:
        check_golden(evolved(evolution=evolution), path, Deposited(7, "USD"))

    named = [line.strip().partition(" has no record")[0] for line in str(failure.value).splitlines()[1:]]
    assert sorted(named) == ["event Opened version 1", "event deposited version 1", "event moved version 1"]


def test_a_record_under_an_older_name_counts(path: Path) -> None:
    """The type was renamed, not made anew."""
    evolution = Evolution()
    evolution.rename("Deposit", "deposited")
    evolution.defaults("deposited", 1, currency="EUR")

    check_golden(evolved(evolution=evolution), path, *NOW, Document("Deposit", 1, {"amount": 5}))

    assert lines(path)[0]["read"] == [{"deposited": {"amount": 5, "currency": "EUR"}}]


def test_what_is_written_for_older_programs_has_no_part_in_it(path: Path) -> None:
    """The record of the current version is there before anything is stored in it."""
    evolution = Evolution()
    evolution.defaults("deposited", 1, currency="EUR")
    evolution.write("deposited", version=1)

    check_golden(evolved(evolution=evolution), path, *NOW, Document("deposited", 1, {"amount": 5}))

    assert [line["version"] for line in lines(path)] == [1, 1, 2]


def test_states_have_golden_records_too(path: Path) -> None:
    """Once there are samples of them, no version of the state may lack one."""
    evolution = Evolution(state_version=2)
    evolution.upcast_state(1)(lambda text: int(text))
    evolution.defaults("deposited", 1, currency="EUR")
    kind = evolved(evolution=evolution)
    samples = (*NOW, Document("deposited", 1, {"amount": 5}))

    with pytest.raises(AssertionError, match="state Account version 1 has no record"):
        check_golden(kind, path, *samples, states=[7])
    check_golden(kind, path, states=[Document("Account", 1, "7")])

    assert [(line["version"], line["read"]) for line in lines(path) if "state" in line] == [(1, 7), (2, 7)]


def test_nothing_is_written_in_ci(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that was not committed proves nothing."""
    monkeypatch.setenv("CI", "true")

    with pytest.raises(AssertionError, match="event Opened version 1 has no record here: run the test where CI is not"):
        check_golden(AccountOnce, path, *ONCE)

    assert not path.exists()


def test_what_cannot_be_read_at_once_is_not_written(path: Path) -> None:
    """A wrong sample leaves no trace."""
    with pytest.raises(AssertionError, match="event vanished version 1 cannot be read"):
        check_golden(AccountOnce, path, *ONCE, Document("vanished", 1, {}))

    assert [line["event"] for line in lines(path)] == ["Opened", "deposited"]


@pytest.mark.parametrize(
    ("old", "new"),
    [('"version": 1', '"version": 2'), ('"record": "', '"record": "x'), ('"stored"', '"Stored"'), ("{", "[")],
)
def test_a_line_that_was_changed_by_hand_is_named(path: Path, old: str, new: str) -> None:
    """What is in the file is what was stored once."""
    check_golden(AccountOnce, path, *ONCE)
    path.write_text(path.read_text().replace(old, new, 1))

    with pytest.raises(AssertionError, match=r"account\.jsonl, line 1, is no golden record any more"):
        check_golden(AccountOnce, path, *ONCE)


def test_a_sample_of_another_actor_is_refused(path: Path) -> None:
    """It would never be stored."""

    class Foreign(Event):
        pass

    with pytest.raises(AssertionError, match="Account declares no event type Foreign"):
        check_golden(AccountOnce, path, Foreign())  # type: ignore[arg-type]


def test_durable_states_have_golden_records(path: Path) -> None:
    """Each version of the state has one, and there are no events."""

    class Cart(DurableStateActor[dict[str, int]]):
        evolution = Evolution(state_version=2)

    Cart.evolution.upcast_state(1)(lambda names: dict.fromkeys(names, 1))

    check_golden(Cart, path, states=[{"tea": 2}, Document("Cart", 1, ["tea"])])

    assert [(line["version"], line["read"]) for line in lines(path)] == [(1, {"tea": 1}), (2, {"tea": 2})]
