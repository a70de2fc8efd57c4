"""The ledger survives its kills, and its check would notice if it did not."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
from examples import ledger
from examples.ledger import Audit, Confirmed, Credited, Debited, Posting, Transfer
from examples.tests.conftest import Run

from perdure import ActorSystem
from perdure.abc import Delete, Put, Write, WriteGroup

FIRST = Transfer(0, "a", "b", 5)
SECOND = Transfer(1, "b", "a", 7)
SOUND = [
    Posting("a", 1, Debited(FIRST)),
    Posting("b", 1, Credited(FIRST)),
    Posting("b", 2, Debited(SECOND)),
    Posting("a", 2, Confirmed(FIRST)),
    Posting("a", 3, Credited(SECOND)),
    Posting("b", 3, Confirmed(SECOND)),
]
BALANCES = {"a": ledger.OPENING + 2, "b": ledger.OPENING - 2}


def problems(log: list[Posting], recovered: dict[str, int] = BALANCES) -> list[str]:
    """Audit a log after which both transfers were acknowledged."""
    audit = Audit()
    for posting in log:
        audit.read(posting)
    audit.close(recovered, {0, 1})
    return audit.problems


def test_a_sound_log_has_no_problems() -> None:
    assert problems(SOUND) == []


def test_money_under_way_counts_in_the_total() -> None:
    audit = Audit()

    audit.read(SOUND[0])
    audit.close({"a": ledger.OPENING - 5, "b": ledger.OPENING}, ())

    assert audit.problems == []


@pytest.mark.parametrize("lost", range(len(SOUND)))
def test_any_lost_event_is_noticed(lost: int) -> None:
    assert problems([*SOUND[:lost], *SOUND[lost + 1 :]])


@pytest.mark.parametrize("left", range(len(SOUND)))
def test_a_lost_tail_is_noticed_even_when_the_accounts_agree_with_what_is_left(left: int) -> None:
    audit = Audit()
    for posting in SOUND[:left]:
        audit.read(posting)

    audit.close({account: audit.balances[account] for account in "ab"}, {0, 1})

    assert "transfer 1 is lost: it was acknowledged, and its log is not complete" in audit.problems


@pytest.mark.parametrize("doubled", [0, 1, 3])
def test_a_step_that_is_taken_twice_is_noticed(doubled: int) -> None:
    account, _, event = SOUND[doubled]

    found = problems([*SOUND, Posting(account, 4, event)])

    assert any(problem.endswith("twice") for problem in found)


def test_a_credit_of_another_amount_is_noticed() -> None:
    raised = Transfer(0, "a", "b", 6)

    found = problems([SOUND[0], Posting("b", 1, Credited(raised)), *SOUND[2:]])

    assert f"{raised} is credited without the step before" in found


def test_a_step_at_the_wrong_account_is_noticed() -> None:
    found = problems([*SOUND[:1], Posting("c", 1, Credited(FIRST)), *SOUND[2:]])

    assert f"{FIRST} is credited at the wrong account" in found


def test_an_account_that_recovers_otherwise_than_its_log_says_is_noticed() -> None:
    found = problems(SOUND, {**BALANCES, "a": ledger.OPENING + 3})

    assert found == ["account a recovered with 10003, and its log says 10002", "the total is 20,001, and was 20,000"]


@pytest.fixture
async def options(tmp_path: Path) -> argparse.Namespace:
    """Carry out three transfers between two accounts in a new store."""
    options = argparse.Namespace(store=f"sqlite:///{tmp_path}/ledger.db", accounts=2)
    async with ActorSystem(store=options.store) as system:
        accounts = ledger.accounts_of(system, 2)
        for id in range(3):
            await ledger.carry_out(Transfer(id, "0000", "0001", 10), accounts)
    return options


async def tamper(options: argparse.Namespace, *writes: Write) -> None:
    async with ActorSystem(store=options.store) as system:
        await system.backend.commit([WriteGroup(writes)])


async def test_a_store_that_nobody_touched_has_no_problems(options: argparse.Namespace) -> None:
    audit = await ledger.audited(options, range(3))

    assert (audit.problems, audit.events, audit.last_id) == ([], 9, 2)


async def test_a_step_asked_for_again_is_not_taken_again(options: argparse.Namespace) -> None:
    async with ActorSystem(store=options.store) as system:
        accounts = ledger.accounts_of(system, 2)
        for id in range(3):
            await ledger.carry_out(Transfer(id, "0000", "0001", 10), accounts)

    assert (await ledger.audited(options, range(3))).events == 9


async def test_a_transfer_that_died_after_its_debit_is_completed(
    options: argparse.Namespace, capsys: pytest.CaptureFixture[str]
) -> None:
    transfer = Transfer(3, "0001", "0000", 4)
    async with ActorSystem(store=options.store) as system:
        await system.ref(ledger.Account, "0001").ask(ledger.Debit(transfer))

    await ledger.serve(argparse.Namespace(**vars(options), seed=1, serve=(1, 0)))

    assert capsys.readouterr().out.split()[-1] == "1"
    assert (await ledger.audited(options, range(4))).problems == []


async def test_an_event_removed_from_the_end_of_a_stored_log_is_noticed(options: argparse.Namespace) -> None:
    await tamper(options, Delete("events", "Account/0000", 6))

    audit = await ledger.audited(options, range(3))

    assert audit.problems == ["transfer 2 is lost: it was acknowledged, and its log is not complete"]


async def test_an_event_removed_from_the_middle_of_a_stored_log_is_noticed(options: argparse.Namespace) -> None:
    await tamper(options, Delete("events", "Account/0001", 2))

    assert (await ledger.audited(options, range(3))).problems


async def test_an_event_stored_twice_is_noticed(options: argparse.Namespace) -> None:
    async with ActorSystem(store=options.store) as system:
        record = await system.backend.collection("events", "Account/0001").get(3)
    await tamper(options, Put("events", "Account/0001", 4, record))

    found = (await ledger.audited(options, range(3))).problems

    assert any(problem.endswith("credited twice") for problem in found)
    assert "the total is 20,010, and was 20,000" in found


async def test_a_damaged_record_is_noticed(options: argparse.Namespace) -> None:
    async with ActorSystem(store=options.store) as system:
        record = await system.backend.collection("events", "Account/0001").get(3)
    await tamper(options, Put("events", "Account/0001", 3, record[:-1] + b"\1"))

    found = (await ledger.audited(options, range(3))).problems

    assert any("a record is damaged" in problem for problem in found)


def test_the_demo_says_ok_and_writes_no_control_characters_into_a_pipe(run: Run) -> None:
    done = run("ledger.py", "--rounds", 2, "--seconds", 1.5, "--accounts", 100, "--seed", 2)

    assert (done.returncode, done.stderr) == (0, "")
    assert "OK: 2 kills" in done.stdout
    assert done.stdout.replace("\n", "").isprintable()


def test_the_demo_says_failed_when_the_store_forgets(run: Run) -> None:
    done = run("ledger.py", "--rounds", 1, "--seconds", 1, "--accounts", 10, "--seed", 2, "--store", "memory://")

    assert done.returncode == 1
    assert "FAILED" in done.stdout
    assert "transfer 0 is lost" in done.stdout


def test_the_demo_refuses_a_store_that_is_in_use(run: Run, options: argparse.Namespace) -> None:
    done = run("ledger.py", "--store", options.store)

    assert done.returncode == 2
    assert done.stderr == f"ledger.py: {options.store} holds events already: name a new store\n"


def test_the_demo_names_the_backends_when_it_does_not_know_one(run: Run) -> None:
    done = run("ledger.py", "--store", "parchment:///ledger")

    assert done.returncode == 2
    assert done.stderr.startswith("ledger.py: no backend for 'parchment'; installed: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("wrong", [("--accounts", 1), ("--rounds", -1), ("--seconds", 0), ("--rounds", "many")])
def test_the_demo_refuses_wrong_options(run: Run, wrong: tuple[str, object]) -> None:
    done = run("ledger.py", *wrong)

    assert done.returncode == 2
    assert "Traceback" not in done.stderr
