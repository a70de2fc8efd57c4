"""No payment is lost, and the check would notice if one were."""

from __future__ import annotations

import pytest
from examples.killed_nodes import Acknowledged, Entry, Owners, faults, misclaimed
from examples.tests.conftest import Run

from perdure_replication import Joined, Left, Member, Unreachable

LOG = {"a": [Entry(1, 10, 1), Entry(2, 11, 2)], "b": [Entry(1, 12, 1)]}
SENT = range(10, 20)
ACKNOWLEDGED = {10: Acknowledged("a", 1), 12: Acknowledged("b", 1)}
OWNER, OTHER = sorted(("node-0", "node-1"), key=lambda name: name != Owners("node-0", "node-1").of("a"))
HELD = {OWNER: ["a"], OTHER: list[str]()}


@pytest.mark.parametrize("runtime", ["perdure", "pykka"])
def test_nodes_that_are_killed_lose_nothing(run: Run, runtime: str) -> None:
    """Every acknowledged payment is in the log, once, and each account has one owner."""
    done = run("killed_nodes.py", "--runtime", runtime, "--seconds", 4, "--accounts", 20, "--seed", 5)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "OK: " in done.stdout
    assert "OK: 0 kills" not in done.stdout


def test_a_sound_log_has_no_faults() -> None:
    """A payment that was not acknowledged may be in it, or not."""
    assert list(faults(LOG, SENT, ACKNOWLEDGED, HELD)) == []


@pytest.mark.parametrize(
    ("events", "said"),
    [
        ([Entry(1, 10, 1), Entry(3, 11, 1)], "the log of a has gaps"),
        ([Entry(1, 10, 1), Entry(1, 11, 1)], "or one number twice"),
        ([Entry(1, 10, 2), Entry(2, 11, 1)], "an earlier owner of a has written after a later one"),
        ([Entry(1, 10, 1), Entry(2, 10, 1)], "the payment 10 is in the log 2 times"),
        ([Entry(1, 10, 1), Entry(2, 99, 1)], "nobody has made the payment 99"),
        ([], "the payment 10 was acknowledged as number 1 of a, and is not there"),
        ([Entry(1, 11, 1), Entry(2, 10, 1)], "the payment 10 was acknowledged as number 1 of a"),
    ],
)
def test_a_faulty_log_is_noticed(events: list[Entry], said: str) -> None:
    """In words that name the account or the payment."""
    [fault] = faults({**LOG, "a": events}, SENT, ACKNOWLEDGED, HELD)

    assert said in fault


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ({OWNER: list[str](), OTHER: ["a"]}, [f"{OTHER} holds a, of {OWNER}"]),
        ({OWNER: ["a"], OTHER: ["a"]}, ["a is in the memory of 2 nodes", f"{OTHER} holds a, of {OWNER}"]),
    ],
)
def test_a_second_owner_is_noticed(held: dict[str, list[str]], said: list[str]) -> None:
    """And one who is none."""
    assert list(faults(LOG, SENT, ACKNOWLEDGED, held)) == said


def test_a_claim_of_somebody_else_is_noticed() -> None:
    """And none at all."""
    assert list(misclaimed({"a": OWNER}, HELD)) == []
    assert list(misclaimed({"a": OTHER}, HELD)) == [f"the store says that a is of {OTHER}, and it is of {OWNER}"]
    assert list(misclaimed({"a": ""}, HELD)) == [f"the store says that a is of nobody, and it is of {OWNER}"]


def test_owners_are_those_who_are_there() -> None:
    """Clients own nothing; who is gone gives up to the others what was its own, and nothing else moves."""
    owners = Owners("node-0")
    for name in ("node-1", "node-2", "clients"):
        owners.hear(Joined(Member(name, 1)))
    accounts = [f"account-{number}" for number in range(300)]
    before = {account: owners.of(account) for account in accounts}
    owners.hear(Unreachable("node-1", 1))
    owners.hear(Left("node-1", 1))

    moved = {account for account in accounts if owners.of(account) != before[account]}

    assert set(before.values()) == {"node-0", "node-1", "node-2"}
    assert moved == {account for account, owner in before.items() if owner == "node-1"}
    assert Owners().of("a") == ""
