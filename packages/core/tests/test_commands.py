"""What the commands of `perdure` print, in a terminal and in a pipe, on every backend."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias
from uuid import uuid4

import pytest

from perdure import ActorSystem, open_backend
from perdure.abc import DeleteRange, Page, Put, WriteGroup
from perdure.cli import main
from perdure.memory import MemoryBackend
from perdure.query._log import LogStream
from perdure.security import Keyring, Sealing
from perdure.upkeep import measure
from perdure_testkit.redis import RedisServer

pytest.importorskip("typer")

BANK = """
from perdure import DurableStateActor, Event, Full, Light, Message, PersistentActor, every_n_events


class Deposit(Message[int]):
    amount: int


class Deposited(Event):
    amount: int


class Account(PersistentActor[int, Deposited]):
    initial_state = 0
    strategy = Full(snapshot=every_n_events(2))

    async def handle(self, message, context):
        await self.persist(Deposited(message.amount))
        return self.state

    def apply(self, balance, event):
        return balance + event.amount

    def tags(self, event):
        return ("large", "odd") if event.amount == 3 else ()


class Purse(Account):
    strategy = Light()


class Limit(DurableStateActor[int]):
    initial_state = 0

    async def handle(self, message, context):
        await self.save(message.amount)
        return self.state
"""

KEYS = f"1: {'ab' * 32}"


class Outcome(NamedTuple):
    code: int
    output: str
    error: str


Run: TypeAlias = Callable[..., Outcome]


async def fill(url: str, amounts: tuple[int, ...] = (1, 2, 3, 4, 5), **options: Any) -> None:
    """Have some actors store what they are told."""
    bank = importlib.import_module("bank")
    async with ActorSystem(store=url, **options) as system:
        for amount in amounts:
            for kind, key in ((bank.Account, "alice"), (bank.Purse, "bob"), (bank.Limit, "carol")):
                await system.ref(kind, key).ask(bank.Deposit(amount))


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    pytest.importorskip("redis")
    server = RedisServer(tmp_path_factory.mktemp("redis"), "--appendonly", "yes", "--appendfsync", "always").start()
    yield server.port
    server.kill()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with the module `bank`."""
    (tmp_path / "bank.py").write_text(BANK)
    monkeypatch.chdir(tmp_path)
    for name in ("bank", "newer", "wrong", "broken", "leaving", "empty_shelf", "fallen_shelf"):
        monkeypatch.setitem(sys.modules, name, sys)  # so that it is forgotten afterwards
        del sys.modules[name]
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return tmp_path


def place(kind: str, request: pytest.FixtureRequest) -> str:
    """Return the URL of a place for a store, where none is yet."""
    if kind == "redis":
        return f"redis://127.0.0.1:{request.getfixturevalue('redis')}/?namespace={uuid4().hex}"
    pytest.importorskip(f"perdure_{kind}")
    return f"{kind}:///store"


@pytest.fixture(params=["sqlite", "rocksdb", "redis"])
def missing(request: pytest.FixtureRequest) -> str:
    """Return the URL of a store that is not there."""
    return place(request.param, request)


@pytest.fixture(params=["sqlite", "rocksdb", "redis"])
def url(request: pytest.FixtureRequest) -> str:
    """Return the URL of a store with some actors."""
    url = place(request.param, request)
    asyncio.run(fill(url))
    return url


@pytest.fixture
def quick() -> str:
    """Return the URL of a store with some actors in the memory of this process."""
    url = f"memory://{uuid4().hex}"
    asyncio.run(fill(url))
    return url


@pytest.fixture
def pipe(capfd: pytest.CaptureFixture[str]) -> Run:
    """Run the command with files for its output."""

    def run(*arguments: str) -> Outcome:
        capfd.readouterr()
        return Outcome(main(arguments), *capfd.readouterr())

    return run


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command in a terminal, in which both outputs come together."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)

    def run(*arguments: str) -> Outcome:
        reader, writer = pty.openpty()
        pieces: list[bytes] = []
        thread = threading.Thread(target=drain, args=(reader, pieces))
        thread.start()
        with open(writer, "w", encoding="utf-8", buffering=1) as screen, monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", screen)
            patch.setattr(sys, "stderr", screen)
            code = main(arguments)
        thread.join(60)
        os.close(reader)
        return Outcome(code, b"".join(pieces).decode().replace("\r\n", "\n"), "")

    return run


def drain(descriptor: int, pieces: list[bytes]) -> None:
    try:
        while piece := os.read(descriptor, 65536):
            pieces.append(piece)
    except OSError:  # so it ends on Linux
        return


@pytest.fixture(params=["pipe", "terminal"])
def run(request: pytest.FixtureRequest) -> Run:
    run: Run = request.getfixturevalue(request.param)
    return run


def lines(outcome: Outcome) -> list[dict[str, Any]]:
    """Return the documents of JSONL."""
    return [json.loads(line) for line in outcome.output.splitlines()]


class TestEveryBackend:
    """Is read in the same way, through a terminal and through a pipe."""

    def test_ids(self, url: str, run: Run) -> None:
        code, output, _ = run("ids", url)

        assert (code, output.splitlines()[-3:]) == (0, ["Account/alice", "Limit/carol", "Purse/bob"])

    def test_events(self, url: str, run: Run) -> None:
        outcome = run("events", url, "Account/alice", "--from", "3", "--to", "4", "--format", "jsonl")

        assert (outcome.code, outcome.error) == (0, "")
        assert [(event["sequence_number"], event["event"], event["tags"]) for event in lines(outcome)] == [
            (3, {"amount": 3}, ["large", "odd"]),
            (4, {"amount": 4}, []),
        ]

    def test_show(self, url: str, run: Run) -> None:
        outcome = run("show", url, "Account/alice", "--type", "bank:Account", "--at", "4", "--format", "json")

        assert (outcome.code, outcome.error) == (0, "")
        assert json.loads(outcome.output).items() >= {"sequence_number": 4, "state": 10}.items()

    def test_snapshots(self, url: str, run: Run) -> None:
        outcome = run("snapshots", url, "Account/alice", "--format", "jsonl")

        assert (outcome.code, outcome.error) == (0, "")
        assert [(found["kind"], found["sequence_number"]) for found in lines(outcome)] == [
            ("snapshot", 4),
            ("snapshot", 2),
        ]

    def test_tail(self, url: str, run: Run) -> None:
        outcome = run("tail", url, "--all", "--tag", "large", "--limit", "2", "--format", "jsonl")

        assert (outcome.code, outcome.error) == (0, "")
        assert [(event["persistence_id"], event["sequence_number"]) for event in lines(outcome)] == [
            ("Account/alice", 3),
            ("Purse/bob", 3),
        ]

    def test_bench(self, url: str, pipe: Run) -> None:
        """It leaves nothing behind."""
        outcome = pipe("bench", url, "--seconds", "0.01", "--format", "jsonl")

        assert (outcome.code, outcome.error) == (0, "")
        assert [found["groups"] for found in lines(outcome)] == [1, 64, 1024]
        assert asyncio.run(prefixes(url, "perdure_measurement")) == []

    @pytest.mark.parametrize(
        "arguments", ["ids", "events x", "show x", "snapshots x", "tail", "bench"], ids=lambda text: text.split()[0]
    )
    def test_that_is_not_there_is_not_made(self, arguments: str, missing: str, pipe: Run, folder: Path) -> None:
        command, *others = arguments.split()
        before = sorted(folder.iterdir())

        code, output, error = pipe(command, missing, *others)

        assert (code, output) == (3, "")
        assert re.fullmatch(r"perdure: there is no store at .*; nothing was made\n", error)
        assert sorted(folder.iterdir()) == before
        assert pipe(command, missing, *others).code == 3


async def prefixes(url: str, collection: str) -> list[str]:
    backend = await open_backend(url)
    try:
        return await backend.prefixes(collection)
    finally:
        await backend.close()


class TestTables:
    """In a terminal and in a pipe."""

    def test_have_a_bold_heading_in_a_terminal(self, quick: str, terminal: Run) -> None:
        assert terminal("ids", quick) == (
            0,
            "\x1b[1mpersistence id\x1b[0m\nAccount/alice\nLimit/carol\nPurse/bob\n",
            "",
        )

    def test_have_none_in_a_dumb_one(self, quick: str, terminal: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TERM", "dumb")

        assert terminal("ids", quick) == (0, "Account/alice\nLimit/carol\nPurse/bob\n", "")

    @pytest.mark.parametrize("unwanted", [False, True])
    def test_have_colour_unless_it_is_not_wanted(
        self, unwanted: bool, quick: str, terminal: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if unwanted:
            monkeypatch.setenv("NO_COLOR", "1")

        output = terminal("bench", quick, "--seconds", "0.01").output

        assert "measuring" in output
        assert ("\x1b[3" in output or "\x1b[9" in output) is not unwanted

    def test_have_none_in_a_pipe(self, quick: str, pipe: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FORCE_COLOR", "1")

        code, output, error = pipe("bench", quick, "--seconds", "0.01")

        assert (code, error) == (0, "")
        assert [len(line.split("\t")) for line in output.splitlines()] == [5, 5, 5]
        assert "\x1b" not in output

    def test_are_aligned(self, quick: str, terminal: Run) -> None:
        output = terminal("events", quick, "Account/alice").output

        assert {line.index("{") for line in output.splitlines()[1:]} == {output.index("event\x1b") - len("\x1b[1m")}

    def test_of_a_pipe_have_tabs(self, quick: str, pipe: Run) -> None:
        rows = [line.split("\t") for line in pipe("events", quick, "Account/alice").output.splitlines()]

        assert [(row[0], *row[2:]) for row in rows[2:4]] == [
            ("3", "Deposited", "large, odd", '{"amount":3}'),
            ("4", "Deposited", "", '{"amount":4}'),
        ]
        assert all(row[1].endswith("Z") and datetime.fromisoformat(row[1]) for row in rows)


class TestIds:
    """Of all actors that have stored anything."""

    def test_may_be_of_one_type(self, quick: str, pipe: Run) -> None:
        assert pipe("ids", quick, "--type", "Purse").output == "Purse/bob\n"
        assert pipe("ids", quick, "--type", "Limit").output == "Limit/carol\n"

    def test_go_on_behind_one(self, quick: str, pipe: Run) -> None:
        assert pipe("ids", quick, "--after", "Account/alice").output == "Limit/carol\nPurse/bob\n"

    def test_are_as_many_as_asked_for(self, quick: str, pipe: Run) -> None:
        assert pipe("ids", quick, "--limit", "1").output == "Account/alice\n"


class TestEvents:
    """Of one actor."""

    def test_are_read_as_their_type_reads_them(self, quick: str, pipe: Run, folder: Path) -> None:
        """That is, upcast."""
        newer = BANK.replace(
            "    amount: int\n\n\nclass Account", "    amount: int\n    currency: str = 'EUR'\n\n\nclass Account"
        )
        (folder / "newer.py").write_text(newer)

        outcome = pipe("events", quick, "Account/alice", "--type", "newer:Account", "--limit", "1", "-f", "jsonl")

        assert lines(outcome)[0]["event"] == {"amount": 1, "currency": "EUR"}

    def test_begin_with_the_first_that_is_left(self, quick: str, pipe: Run) -> None:
        async def compact() -> None:
            bank = importlib.import_module("bank")
            async with ActorSystem(store=quick) as system:
                await system.ref(bank.Account, "alice").ask(bank.Deposit(6))
            backend = await open_backend(quick)
            await backend.commit([WriteGroup((DeleteRange("events", "Account/alice", 1, 4),))])

        asyncio.run(compact())

        numbers = [line.split("\t")[0] for line in pipe("events", quick, "Account/alice").output.splitlines()]
        asked = pipe("events", quick, "Account/alice", "--from", "2")

        assert numbers == ["4", "5", "6"]
        assert (asked.code, asked.output) == (3, "")
        assert asked.error.startswith("perdure: Account/alice: event 2 is not in the log, which begins at 4")

    def test_are_printed_as_they_are_read(self, quick: str, pipe: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        """So memory stays flat, and who wants a few waits for no others."""
        monkeypatch.setattr(LogStream, "_PAGE", 2)
        reads: list[int] = []
        page = MemoryBackend.page

        async def counted(
            self: MemoryBackend, collection: str, prefix: str, start: int, *others: Any, **more: Any
        ) -> Page:
            reads.append(start)
            return await page(self, collection, prefix, start, *others, **more)

        monkeypatch.setattr(MemoryBackend, "page", counted)

        outcome = pipe("events", quick, "Account/alice", "--limit", "3")

        assert (outcome.output.count("\n"), reads) == (3, [1, 3])

    def test_of_nobody_are_an_error(self, quick: str, pipe: Run) -> None:
        outcome = pipe("events", quick, "Account/nobody")

        assert outcome == (3, "", "perdure: nothing is stored under 'events/Account/nobody'\n")

    def test_that_are_damaged_are_named_after_those_before(self, quick: str, run: Run) -> None:
        async def damage() -> None:
            backend = await open_backend(quick)
            await backend.commit([WriteGroup((Put("events", "Account/alice", 6, b"\1\0????damaged"),))])

        asyncio.run(damage())

        outcome = run("events", quick, "Account/alice")

        *shown, error = (outcome.output + outcome.error).splitlines()
        assert (outcome.code, [line[0] for line in shown[-5:]]) == (3, ["1", "2", "3", "4", "5"])
        assert error == "perdure: Account/alice, sequence number 6: the checksum does not match: the record is damaged"


class TestShow:
    """Prints a state."""

    def test_at_a_time(self, quick: str, pipe: Run) -> None:
        times = [line.split("\t")[1] for line in pipe("events", quick, "Account/alice").output.splitlines()]

        outcome = pipe("show", quick, "Account/alice", "--type", "bank:Account", "--at", times[2])

        assert outcome.output.splitlines()[-1] == "state\t6"

    def test_that_is_stored_without_its_type(self, quick: str, pipe: Run) -> None:
        """A durable one, or that of a `Light` actor."""
        durable = json.loads(pipe("show", quick, "Limit/carol", "-f", "json").output)
        light = json.loads(pipe("show", quick, "Purse/bob", "-f", "jsonl").output)

        assert (durable["state"], durable["sequence_number"], durable["manifest"]) == (5, 5, "Limit")
        assert (light["state"], light["sequence_number"], light["manifest"]) == (15, 5, "Purse")

    @pytest.mark.parametrize("at", ["9", "9999999999999999999"])
    def test_as_far_as_the_log_goes(self, url: str, at: str, pipe: Run) -> None:
        outcome = pipe("show", url, "Account/alice", "--type", "bank:Account", "--at", at, "-f", "jsonl")

        assert (lines(outcome)[0]["sequence_number"], outcome.error) == (5, "perdure: the log ends at 5\n")

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            ("Account/alice", "its state is made of its events: give --type MODULE:CLASS"),
            ("Limit/carol --at 2", "what it was is made of its events: give --type MODULE:CLASS"),
            ("Account/alice --type bank", "'bank' names no actor type: write for example bank:Account"),
            ("Account/alice --type no_bank:Account", "cannot import no_bank: ModuleNotFoundError"),
            ("Account/alice --type broken:Account", "cannot import broken: ZeroDivisionError: division by zero"),
            ("Account/alice --type leaving:Account", "cannot import leaving: SystemExit: 3"),
            ("Account/alice --type bank:Acount", "bank has no Acount"),
            ("Account/alice --type bank:Deposit", "and no PersistentActor or DurableStateActor class"),
            ("Account/alice --type bank:Account --at noon", "'noon' is neither a number nor a time like 2026-"),
            ("Account/alice --type bank:Account --at 20260101000000000000", "no sequence number has 20 digits"),
            ("Account/alice --type bank:Account --at 2026-01-01", "the time 2026-01-01 has no zone: write for example"),
        ],
    )
    def test_what_is_needed_is_said(self, arguments: str, reason: str, quick: str, pipe: Run, folder: Path) -> None:
        (folder / "broken.py").write_text("1 / 0")
        (folder / "leaving.py").write_text("raise SystemExit(3)")

        code, output, error = pipe("show", quick, *arguments.split())

        assert (code, output, error.count("\n")) == (2, "", 1)
        assert reason in error

    @pytest.mark.parametrize("arguments", ["Account/nobody", "Account/nobody --type bank:Account"])
    def test_of_nobody_is_an_error(self, arguments: str, quick: str, pipe: Run) -> None:
        code, output, error = pipe("show", quick, *arguments.split())

        assert (code, output) == (3, "")
        assert "nothing is stored under" in error

    def test_of_a_type_that_cannot_fold_is_an_error(self, quick: str, pipe: Run, folder: Path) -> None:
        (folder / "wrong.py").write_text(BANK.replace("balance + event.amount", "1 / 0"))

        code, output, error = pipe("show", quick, "Account/alice", "--type", "wrong:Account", "--at", "1")

        assert (code, output, error.count("\n")) == (3, "", 1)
        assert "ZeroDivisionError" in error or "division by zero" in error


class TestSnapshots:
    """Of one actor."""

    def test_that_are_damaged_are_named(self, quick: str, pipe: Run) -> None:
        async def damage() -> None:
            backend = await open_backend(quick)
            await backend.commit([WriteGroup((Put("snapshots", "Account/alice", 4, b"\1\0????damaged"),))])

        asyncio.run(damage())

        code, output, error = pipe("snapshots", quick, "Account/alice")

        assert (code, error) == (1, "perdure: 1 of 2 cannot be used\n")
        assert "sequence number 4: the snapshot cannot be read: the checksum does not match" in output

    def test_elsewhere_are_found(self, pipe: Run, folder: Path) -> None:
        pytest.importorskip("obstore")
        url, elsewhere = "memory://snapshots_elsewhere", f"file://{folder}/shelf"
        asyncio.run(fill(url, snapshots=elsewhere))

        outcome = pipe("snapshots", url, "Account/alice", "--snapshots", elsewhere, "-f", "jsonl")

        assert [found["sequence_number"] for found in lines(outcome)] == [4, 2]
        assert pipe("snapshots", url, "Account/alice") == (0, "", "")


class TestSealedStores:
    """Show what they hide to who has the keys alone."""

    @pytest.fixture(params=[False, True], ids=["names shown", "names hidden"])
    def sealed(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
        monkeypatch.setenv("BANK_KEYS", KEYS)
        url = f"memory://{uuid4().hex}"
        sealing = Sealing(Keyring.from_environment("BANK_KEYS"), hide_names=request.param)
        asyncio.run(fill(url, sealing=sealing))
        return url

    @pytest.mark.parametrize(
        "arguments",
        ["ids", "events Account/alice", "show Purse/bob", "snapshots Account/alice", "tail --all --limit 1"],
    )
    def test_are_not_shown_without_keys(self, arguments: str, sealed: str, pipe: Run) -> None:
        command, *others = arguments.split()

        outcome = pipe(command, sealed, *others)

        assert outcome == (
            2,
            "",
            "perdure: the store is sealed: give its keys by --keys FILE or --keys-env NAME\n",
        )

    def test_are_shown_with_keys(self, sealed: str, pipe: Run) -> None:
        keys = ("--keys-env", "BANK_KEYS")

        assert sorted(pipe("ids", sealed, *keys).output.splitlines()) == ["Account/alice", "Limit/carol", "Purse/bob"]
        assert '{"amount":3}' in pipe("events", sealed, "Account/alice", *keys).output
        assert "state\t15" in pipe("show", sealed, "Purse/bob", *keys).output
        assert "state\t15" in pipe("show", sealed, "Account/alice", "--type", "bank:Account", *keys).output
        assert pipe("snapshots", sealed, "Account/alice", *keys).output.count("snapshot\t") == 2
        assert "Account/alice" in pipe("tail", sealed, "--all", "--limit", "1", *keys).output

    def test_take_a_key_file(self, sealed: str, pipe: Run, folder: Path) -> None:
        (folder / "keys").write_text(KEYS)
        (folder / "keys").chmod(0o600)

        assert pipe("ids", sealed, "--keys", "keys").code == 0

    @pytest.mark.parametrize(
        ("options", "code", "reason"),
        [
            ("--keys nowhere", 2, "nowhere"),
            ("--keys-env NOT_SET", 2, "NOT_SET: the environment has no such variable"),
            ("--keys-env OTHER_KEYS", 3, "sealed with a key of the fingerprint"),
            ("--keys-env SECOND_KEYS", 3, "it is sealed with key version 1"),
        ],
    )
    def test_refuse_other_keys(
        self, options: str, code: int, reason: str, sealed: str, pipe: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """In one line that shows no key."""
        monkeypatch.setenv("OTHER_KEYS", f"1: {'cd' * 32}")
        monkeypatch.setenv("SECOND_KEYS", f"2: {'ef' * 32}")

        outcome = pipe("ids", sealed, *options.split())

        assert (outcome.code, outcome.output, outcome.error.count("\n")) == (code, "", 1)
        assert reason in outcome.error


class TestBackends:
    """Lists what is installed."""

    def test_with_versions_and_hooks(self, pipe: Run) -> None:
        found = lines(pipe("backends", "--format", "jsonl"))

        [memory] = [plugin for plugin in found if (plugin["kind"], plugin["name"]) == ("backend", "memory")]
        assert memory["distribution"] == "perdure"
        assert memory["version"]
        assert memory["hooks"] == ["perdure_open", "perdure_missing"]
        assert {plugin["kind"] for plugin in found} >= {"backend", "snapshot store"}

    def test_and_why_others_are_broken(self, pipe: Run, folder: Path) -> None:
        info = folder / "shelf-1.2.3.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shelf\nVersion: 1.2.3\n")
        (info / "entry_points.txt").write_text(
            "[perdure.backends]\nshelf = fallen_shelf\n[perdure.plugins]\nshelf = empty_shelf\n"
        )
        (folder / "fallen_shelf.py").write_text("raise SystemExit('no shelf')")
        (folder / "empty_shelf.py").write_text("")
        importlib.invalidate_caches()

        code, output, _ = pipe("backends")

        assert code == 1
        assert "backend\tshelf\tshelf\t1.2.3\t\tSystemExit: no shelf\n" in output
        assert "plug-in\tshelf\tshelf\t1.2.3\t\t\n" in output


class TestBench:
    """Measures a store."""

    def test_makes_one_if_it_is_told_to(self, missing: str, pipe: Run) -> None:
        assert pipe("bench", missing, "--new", "--seconds", "0.01").code == 0
        assert pipe("ids", missing) == (0, "", "")

    async def test_that_is_stopped_leaves_nothing(self) -> None:
        backend = MemoryBackend()
        measured = measure(backend, seconds=0.001)

        await anext(measured)
        assert await backend.prefixes("perdure_measurement") != []
        await measured.aclose()

        assert await backend.prefixes("perdure_measurement") == []

    async def test_that_is_cancelled_leaves_nothing(self) -> None:
        """As by Ctrl-C."""
        pytest.importorskip("perdure_sqlite")
        backend = await open_backend("sqlite:///bench.db")
        work = asyncio.ensure_future(anext(measure(backend, seconds=60)))
        while not await backend.prefixes("perdure_measurement"):
            continue

        work.cancel()
        await asyncio.wait([work])

        assert (work.cancelled(), await backend.prefixes("perdure_measurement")) == (True, [])
        await backend.close()

    async def test_removes_what_one_that_was_killed_has_left(self) -> None:
        backend = MemoryBackend()
        await backend.commit([WriteGroup((Put("perdure_measurement", "measurement/1/0", 9, b""),))])

        found = [measurement.groups async for measurement in measure(backend, groups=[1, 2], seconds=0.001)]

        assert (found, await backend.prefixes("perdure_measurement")) == ([1, 2], [])

    def test_touches_nobody_elses_collection(self, quick: str, pipe: Run) -> None:
        async def occupy() -> None:
            backend = await open_backend(quick)
            await backend.commit([WriteGroup((Put("perdure_measurement", "mine", 1, b""),))])

        asyncio.run(occupy())

        code, output, error = pipe("bench", quick)

        assert (code, output) == (3, "")
        assert "the collection 'perdure_measurement' is not touched: 'mine' is in it" in error
        assert asyncio.run(prefixes(quick, "perdure_measurement")) == ["mine"]


class TestProcesses:
    """Of their own."""

    def test_find_modules_in_the_working_folder(self) -> None:
        """Though Python does not look there, as it does not for an installed script."""
        pytest.importorskip("perdure_sqlite")
        asyncio.run(fill("sqlite:///bank.db"))
        command = [sys.executable, "-P", "-m", "perdure", "show", "sqlite:///bank.db", "Account/alice"]

        shown = subprocess.run([*command, "--type", "bank:Account"], capture_output=True, text=True, timeout=60)

        assert (shown.returncode, shown.stderr, shown.stdout.splitlines()[-1]) == (0, "", "state\t15")

    def test_tail_shows_what_others_store_until_ctrl_c(self) -> None:
        pytest.importorskip("perdure_sqlite")
        asyncio.run(fill("sqlite:///bank.db"))
        command = [sys.executable, "-m", "perdure", "tail", "sqlite:///bank.db", "--poll", "0.05", "-f", "jsonl"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as tail:
            shown = threading.Event()
            found: list[dict[str, Any]] = []
            thread = threading.Thread(target=read_one, args=(tail, found, shown))
            thread.start()
            amount = 1000
            while not shown.is_set():
                asyncio.run(fill("sqlite:///bank.db", (amount,)))
                amount += 1
            tail.send_signal(signal.SIGINT)
            thread.join(60)

            assert (tail.wait(60), tail.stderr and tail.stderr.read()) == (130, "")
        assert found[0]["event"]["amount"] >= 1000


def read_one(process: subprocess.Popen[str], found: list[dict[str, Any]], shown: threading.Event) -> None:
    assert process.stdout is not None
    found.append(json.loads(process.stdout.readline()))
    shown.set()
    process.stdout.read()
