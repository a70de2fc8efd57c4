"""The command `perdure` as such: what it prints where, and how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import pkgutil
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from perdure import ActorSystem, Event, Message, PersistentActor
from perdure.cli import commands, main

pytest.importorskip("typer")

COMMAND = [sys.executable, "-m", "perdure"]

Install: TypeAlias = Callable[[str, str], None]
"""Takes a name and the source of the module of a plug-in of that name."""


class Deposit(Message[int]):
    amount: int


class Deposited(Event):
    amount: int


class Account(PersistentActor[int, Deposited]):
    initial_state = 0

    async def handle(self, message: Any, context: Any) -> int:
        await self.persist(Deposited(message.amount))
        return self.state

    def apply(self, state: int, event: Deposited) -> int:
        return state + event.amount


def fill(url: str, *keys: str) -> None:
    async def deposit() -> None:
        async with ActorSystem(store=url) as system:
            for key in keys:
                await system.ref(Account, key).ask(Deposit(1))

    asyncio.run(deposit())


@pytest.fixture
def url(request: pytest.FixtureRequest) -> str:
    """Return a store of this process alone, with two accounts."""
    url = f"memory://{request.node.name}"
    fill(url, "alice", "bob")
    return url


@pytest.fixture
def install(distribute: Callable[[str, str, str, str], None]) -> Install:
    """Install a plug-in: the distribution `NAME` 1.2.3 with the module `NAME_plugin`."""
    return lambda name, source: distribute(name, "perdure.plugins", name, source)


HELLO = """
import pluggy

@pluggy.HookimplMarker("perdure")
def perdure_commands(app):
    @app.command()
    async def hello(name: str) -> None:
        "Greet somebody."
        print("hello", name)
"""


@pytest.mark.parametrize("name", [module.name for module in pkgutil.iter_modules(commands.__path__)])
def test_a_module_is_a_command_that_says_what_it_does(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In its first line, which is its line in the list of commands; and what each of its options is for."""
    command = name.rstrip("_")

    assert main([command, "--help"]) == 0
    output, error = capsys.readouterr()
    usage, _, first, *_ = output.splitlines()
    assert (usage.split()[:3], first.startswith("  "), error) == (["Usage:", "perdure", command], True, "")
    assert re.findall(r"^  (?:-\w, )?--\S+(?: \S+)?$(?!\n {20})", output, re.MULTILINE) == []


class TestWrongUse:
    """Is one line on standard error, and 2."""

    @pytest.mark.parametrize(
        ("arguments", "line"),
        [
            ([], "Missing command. See 'perdure --help'"),
            (["idz"], "No such command 'idz'"),
            (["ids"], "Missing argument 'URL'. See 'perdure ids --help'"),
            (["ids", "--no-such-option"], "No such option: --no-such-option"),
            (["ids", "memory://x", "--format", "xml"], "Invalid value for '--format'"),
            (["ids", "shelve://x"], "no backend for 'shelve'; installed: "),
            (["ids", "memory://x", "--keys", "a", "--keys-env", "B"], "there is no store at memory://x"),
        ],
    )
    def test_is_one_line(self, arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
        code = main(arguments)

        output, error = capsys.readouterr()
        assert (code in (2, 3), output, error.count("\n")) == (True, "", 1)
        assert error.startswith(f"perdure: {line}")

    def test_keys_for_a_store_that_is_not_sealed_are_refused(
        self, url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """To read it with a sealing would make it a sealed one."""
        monkeypatch.setenv("SOME_KEYS", f"1: {'ab' * 32}")

        assert main(["ids", url, "--keys-env", "SOME_KEYS"]) == 2
        assert "the store is not sealed: leave the keys out" in capsys.readouterr().err

    def test_keys_are_given_by_one_way(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["ids", url, "--keys", "file", "--keys-env", "NAME"]) == 2
        assert "give the keys by --keys or by --keys-env, not by both" in capsys.readouterr().err

    def test_without_its_extra_it_says_what_to_install(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.delitem(sys.modules, "perdure.cli._app", raising=False)
        monkeypatch.setitem(sys.modules, "typer", None)

        assert main([]) == 2
        assert capsys.readouterr().err == "perdure: typer is not installed. Run: pip install 'perdure[cli]'\n"


class TestFailure:
    """Of a store is one line on standard error, and 3."""

    def test_a_store_that_is_not_there_is_not_made(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        pytest.importorskip("perdure_sqlite")

        code = main(["ids", f"sqlite:///{tmp_path}/missing.db"])

        assert (code, list(tmp_path.iterdir())) == (3, [])
        assert capsys.readouterr().err == f"perdure: there is no store at {tmp_path}/missing.db; nothing was made\n"

    def test_a_mistake_of_ours_shows_where_it_is(
        self, url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """It is not taken for something that was found."""
        monkeypatch.setattr("perdure.cli.commands.ids.rows", lambda *_: 1 / 0)

        assert main(["ids", url]) == 3
        assert "ZeroDivisionError" in capsys.readouterr().err


class TestForms:
    """Of what is printed."""

    def test_in_a_pipe_a_table_is_a_line_a_row(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["ids", url]) == 0
        assert capsys.readouterr().out == "Account/alice\nAccount/bob\n"

    def test_json_is_one_document(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        main(["ids", url, "--format", "json"])

        assert json.loads(capsys.readouterr().out) == [
            {"persistence_id": "Account/alice"},
            {"persistence_id": "Account/bob"},
        ]

    def test_nothing_is_json_too(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        main(["ids", url, "--limit", "0", "--format", "json"])

        assert json.loads(capsys.readouterr().out) == []

    def test_jsonl_is_a_document_a_row(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        main(["ids", url, "--format", "jsonl", "--limit", "1"])

        assert capsys.readouterr().out == '{"persistence_id":"Account/alice"}\n'

    def test_what_was_stored_cannot_rule_a_terminal(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        """Control characters are shown as escapes."""
        fill(url, "\x1b[2Jbob\n\u202e")

        main(["ids", url, "--limit", "1"])

        assert capsys.readouterr().out == "Account/\\x1b[2Jbob\\n\\u202e\n"


class TestCompletion:
    """For shells."""

    def test_knows_the_commands_and_their_options(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("_PERDURE_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_CWORD", "1")
        monkeypatch.setenv("COMP_WORDS", "perdure id")

        assert main([]) == 0
        assert capsys.readouterr().out == "ids\n"

    def test_is_shown_for_the_shell(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("shellingham.detect_shell", lambda *_: ("bash", "/bin/bash"))

        assert main(["--show-completion"]) == 0
        assert "_PERDURE_COMPLETE=complete_bash" in capsys.readouterr().out


class TestPlugins:
    """Add commands."""

    def test_run_theirs(self, install: Install, capsys: pytest.CaptureFixture[str]) -> None:
        install("greeter", HELLO)

        assert main(["hello", "Ada"]) == 0
        assert capsys.readouterr().out == "hello Ada\n"

    def test_may_ask_and_be_given_no_answer(self, install: Install) -> None:
        install("greeter", HELLO.replace('print("hello", name)', "import typer; raise typer.Abort"))

        assert main(["hello", "Ada"]) == 130

    def test_are_in_the_list_of_commands(self, install: Install, capsys: pytest.CaptureFixture[str]) -> None:
        install("greeter", HELLO)

        main(["--help"])

        assert "Greet somebody." in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("source", "reason"),
        [
            ("1 / 0", "ZeroDivisionError: division by zero"),
            (HELLO.replace("perdure_commands", "perdure_comands"), "unknown hook 'perdure_comands'"),
            (HELLO.replace("@app", "1 / 0; @app").replace("; ", "\n    "), "ZeroDivisionError"),
            (HELLO.replace("hello(", "ids("), "the command 'ids' is there already"),
        ],
        ids=["import", "hook", "adding", "name"],
    )
    def test_a_broken_one_is_named_and_harms_nobody(
        self, install: Install, source: str, reason: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        install("broken", source)
        install("greeter", HELLO)

        assert main(["hello", "Ada"]) == 0

        output, error = capsys.readouterr()
        assert output == "hello Ada\n"
        assert "perdure: the plug-in 'broken' of distribution broken 1.2.3 cannot be used" in error
        assert reason in error

    def test_are_not_imported_for_a_command_of_ours(
        self, install: Install, url: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        install("broken", "1 / 0")

        assert main(["ids", url]) == 0
        assert capsys.readouterr().err == ""


SLOW = """
import asyncio, contextlib, os, pluggy
from perdure.cli._console import progress

@pluggy.HookimplMarker("perdure")
def perdure_commands(app):
    @app.command()
    async def slow() -> None:
        try:
            with progress("working", "events") as bar:
                bar.at(1)
                print("begun", flush=True)
                await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            print("closed", flush=True)
"""


class TestProcess:
    """Of its own."""

    def test_ctrl_c_closes_what_is_open_and_is_130(self, install: Install, tmp_path: Path) -> None:
        install("slow", SLOW)
        process = start("slow", path=tmp_path)
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"

        process.send_signal(signal.SIGINT)

        output, error = process.communicate(timeout=60)
        assert (process.returncode, output, error) == (130, "closed\n", "")

    def test_a_closed_pipe_is_quiet(self, install: Install, tmp_path: Path) -> None:
        install("greeter", HELLO.replace('print("hello", name)', "[print(name * 1000) for _ in range(1000)]"))
        process = start("hello", "x", path=tmp_path)
        assert process.stdout is not None
        process.stdout.readline()

        process.stdout.close()

        assert process.stderr is not None
        assert process.stderr.read() == ""
        assert process.wait(60) == 0
        process.stderr.close()


def start(*arguments: str, path: Path) -> subprocess.Popen[str]:
    """Start the command, with a folder of plug-ins."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(path), os.environ.get("PYTHONPATH", "")])}
    return subprocess.Popen(
        [*COMMAND, *arguments], env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
