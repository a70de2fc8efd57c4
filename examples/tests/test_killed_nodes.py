"""No payment is lost, and the check would notice if one were."""

from __future__ import annotations

import pytest
from examples.killed_nodes import Acknowledged, Owners, faults
from examples.tests.conftest import Run

from perdure_replication import Joined, Left, Member, Unreachable

LOG = {"a": [(1, 10), (2, 11)], "b": [(1, 12)]}
SENT = range(10, 20)
ACKNOWLEDGED = {10: Acknowledged("a", 1), 12: Acknowledged("b", 1)}
OWNER, OTHER = sorted(("node-0", "node-1"), key=lambda name: name != Owners("node-0", "node-1").of("a"))
HELD = {OWNER: ["a"], OTHER: list[str]()}


@pytest.mark.parametrize("runtime", ["perdure", "pykka"])
def test_nodes_that_are_killed_lose_nothing(run: Run, runtime: str) -> None:
    """Every acknowledged payment is in the log, once, and each account has one owner."""
    done = run("killed_nodes.py", "--runtime", runtime, "--seconds", 4, "--accounts", 20, "--seed", 5)

    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "OK: " in done.stdout
    assert "OK: 0 kills" not in done.stdout


def test_a_sound_log_has_no_faults() -> None:
    """A payment that was not acknowledged may be in it, or not."""
    assert list(faults(LOG, SENT, ACKNOWLEDGED, HELD)) == []


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ({"a": [(1, 10), (3, 11)], "b": [(1, 12)]}, "the log of a has gaps"),
        ({"a": [(1, 10), (1, 11)], "b": [(1, 12)]}, "or one number twice"),
        ({"a": [(1, 10), (2, 10)], "b": [(1, 12)]}, "the payment 10 is in the log 2 times"),
        ({"a": [(1, 10), (2, 99)], "b": [(1, 12)]}, "nobody has made the payment 99"),
        ({"a": [(1, 10)], "b": []}, "the payment 12 was acknowledged as number 1 of b, and is not there"),
        ({"a": [(1, 11), (2, 10)], "b": [(1, 12)]}, "the payment 10 was acknowledged as number 1 of a"),
    ],
)
def test_a_faulty_log_is_noticed(log: dict[str, list[tuple[int, int]]], said: str) -> None:
    """In words that name the account or the payment."""
    [fault] = faults(log, SENT, ACKNOWLEDGED, HELD)

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
