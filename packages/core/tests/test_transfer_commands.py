"""`perdure copy`, `export`, `import` and `backup`: what they do, and say."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias
from uuid import uuid4

import pytest

from perdure import Keyring, Sealing, open_backend
from perdure.abc import Put, WriteGroup
from perdure.cli import main
from perdure.journal._record import encode_msgpack

from .contents import contents, tell
from .diaries import ONE

pytest.importorskip("typer")

ELEVEN = [f"{number}" for number in range(11)]


class Outcome(NamedTuple):
    code: int
    output: str
    error: str


Run: TypeAlias = Callable[..., Outcome]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Run the command with files for its output."""

    def run(*arguments: object) -> Outcome:
        capfd.readouterr()
        return Outcome(main([str(argument) for argument in arguments]), *capfd.readouterr())

    return run


@pytest.fixture
def target() -> str:
    return f"memory://{uuid4().hex}"


def fill(sealing: Sealing | None = None, *, damaged: bool = False) -> str:
    """Return the URL of a new store that has something of everything, and perhaps a damaged event."""
    url = f"memory://{uuid4().hex}"

    async def work() -> None:
        store = await open_backend(url)
        await tell(store, ELEVEN, sealing=sealing, owner="one")
        if damaged:
            await store.commit([WriteGroup((Put("events", "Pocketbook/a", 5, b"?"),))])
        await store.close()

    asyncio.run(work())
    return url


def held(url: str) -> dict[str, Any]:
    """Return all that a store holds."""

    async def read() -> dict[str, Any]:
        store = await open_backend(url)
        try:
            return await contents(store)
        finally:
            await store.close()

    return asyncio.run(read())


@pytest.fixture
def source() -> str:
    return fill()


class TestCopy:
    def test_a_copy_says_what_it_wrote(self, run: Run, source: str, target: str) -> None:
        code, output, error = run("copy", source, target)

        assert (code, output) == (0, "")
        assert error.startswith("perdure: 62 events and 40 other records written")
        assert held(target) == held(source)

    def test_a_dry_run_makes_no_store(self, run: Run, source: str, tmp_path: Path) -> None:
        pytest.importorskip("perdure_sqlite")

        code, _, error = run("copy", source, f"sqlite:///{tmp_path}/target.db", "--dry-run")

        assert (code, "62 events" in error, "would be written" in error) == (0, True, True)
        assert list(tmp_path.iterdir()) == []

    def test_a_target_that_would_fork_is_refused_in_one_line(self, run: Run, source: str) -> None:
        target = fill()

        code, output, error = run("copy", source, target)

        assert (code, output, error.count("\n")) == (3, "", 1)
        assert "it holds another record here" in error

    def test_damaged_records_are_lines_when_they_are_left_out(self, run: Run, target: str) -> None:
        source = fill(damaged=True)

        refused = run("copy", source, target)
        code, output, _ = run("copy", source, target, "--skip-damaged", "--format", "jsonl")

        assert (refused.code, refused.error.count("\n"), "Pocketbook/a, sequence number 5" in refused.error) == (
            3,
            1,
            True,
        )
        assert code == 1
        assert json.loads(output)["sequence_number"] == 5

    @pytest.mark.parametrize(
        ("arguments", "code", "says"),
        [
            (("copy", "sqlite:////nowhere/x.db", "memory://"), 3, "there is no store"),
            (("copy", "memory://x", "memory://x"), 2, "one store"),
            (("copy", "bank.db", "memory://"), 3, "is no URL"),
            (("copy", "sqlit:///x.db", "memory://"), 2, "installed"),
            (("import", "nowhere.jsonl", "memory://"), 3, "nowhere.jsonl"),
            (("export", "memory://y", "-", "--skip-damaged"), 2, "name a file"),
        ],
    )
    def test_a_mistake_is_one_line(self, run: Run, arguments: tuple[str, ...], code: int, says: str) -> None:
        outcome = run(*arguments)

        assert (outcome.code, outcome.output, outcome.error.count("\n")) == (code, "", 1)
        assert says in outcome.error


class TestFiles:
    def test_what_is_exported_is_imported(self, run: Run, source: str, target: str, tmp_path: Path) -> None:
        file = tmp_path / "store.jsonl.zst"

        assert run("export", source, file).code == 0
        assert run("import", file, target).code == 0
        assert run("import", file, target).error.startswith("perdure: 0 events and 0 other records written; ")

        assert held(target) == held(source)

    def test_a_sealed_store_is_exported_with_its_keys_or_without(self, run: Run, tmp_path: Path) -> None:
        source = fill(Sealing(Keyring({1: ONE})))
        keys = tmp_path / "keys"
        keys.touch(mode=0o600)
        keys.write_text(f"1: {ONE.hex()}")

        without = run("export", source, "-").output
        with_keys = run("export", source, "-", "--keys", keys).output

        assert '"payload":{"text":"10"}' not in without
        assert '"payload":{"text":"10"}' in with_keys

    def test_a_damaged_line_is_named(self, run: Run, source: str, target: str, tmp_path: Path) -> None:
        file = tmp_path / "store.jsonl"
        run("export", source, file)
        lines = file.read_text().splitlines(keepends=True)
        file.write_text("".join([*lines[:6], "?\n", *lines[7:]]))

        refused = run("import", file, target)
        code, output, _ = run("import", file, target, "--skip-damaged", "--format", "json")

        assert (refused.code, f"{file}, line 7: it is no line of JSON" in refused.error) == (3, True)
        assert (code, json.loads(output)[0]["line"]) == (1, 7)

    def test_a_backup_is_a_store(self, run: Run, source: str, tmp_path: Path) -> None:
        pytest.importorskip("perdure_sqlite")
        file = tmp_path / "backup.db"

        assert run("backup", source, file).code == 0
        again = run("backup", source, file)

        assert held(f"sqlite:///{file}") == held(source)
        assert (again.code, again.error.count("\n"), "choose a new name" in again.error) == (3, 1, True)


@pytest.fixture
def long(tmp_path: Path) -> str:
    """Return the URL of a store of 10,000 events in a file."""
    pytest.importorskip("perdure_sqlite")
    url = f"sqlite:///{tmp_path}/long.db"
    record = encode_msgpack("Said", 1, 1, ["x" * 100])

    async def fill() -> None:
        store = await open_backend(url)
        for start in range(1, 10_000, 1000):
            puts = tuple(Put("events", "Diary/a", number, record) for number in range(start, start + 1000))
            await store.commit([WriteGroup(puts)])
        await store.close()

    asyncio.run(fill())
    return url


def begin(*arguments: object, **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "perdure", *map(str, arguments)], **options)


class TestProcesses:
    def test_a_file_goes_through_a_pipe(self, long: str, tmp_path: Path) -> None:
        with (
            begin("export", long, "-", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as one,
            begin("import", "-", f"sqlite:///{tmp_path}/target.db", stdin=one.stdout, stderr=subprocess.PIPE) as other,
        ):
            assert one.stdout is not None
            one.stdout.close()
            assert b"10,000 events" in other.communicate(timeout=60)[1]

        assert held(f"sqlite:///{tmp_path}/target.db") == held(long)

    def test_a_closed_pipe_is_quiet(self, long: str) -> None:
        with begin("export", long, "-", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.readline().startswith(b'{"perdure":"export"')
            process.stdout.close()
            error = process.stderr.read()

        assert (process.returncode, error) == (0, b"")

    def test_ctrl_c_leaves_both_stores_sound(self, long: str, run: Run, tmp_path: Path) -> None:
        file = tmp_path / "target.db"
        with begin("copy", long, f"sqlite:///{file}", stderr=subprocess.PIPE) as process:
            while process.poll() is None and not (file.exists() and file.with_name("target.db-wal").exists()):
                os.sched_yield()
            process.send_signal(signal.SIGINT)
            _, error = process.communicate(timeout=60)

        assert process.returncode in (130, -signal.SIGINT, 0)  # 0 where it was quicker
        assert error.count(b"\n") == (process.returncode == 0)
        assert run("verify", f"sqlite:///{file}").code == 0
        assert run("copy", long, f"sqlite:///{file}").code == 0
        assert held(f"sqlite:///{file}") == held(long)

    def test_a_terminal_shows_how_far_it_is(self, long: str, tmp_path: Path) -> None:
        reader, writer = pty.openpty()
        environment = {**os.environ, "TERM": "xterm-256color"}
        with begin("copy", long, f"sqlite:///{tmp_path}/target.db", stderr=writer, env=environment) as process:
            os.close(writer)
            screen = b""
            try:
                while piece := os.read(reader, 65536):
                    screen += piece
            except OSError:  # so it ends on Linux
                pass
        os.close(reader)

        assert process.returncode == 0
        assert b"copying" in screen
        assert b"records" in screen
        assert b"10,000 events and 0 other records written, and all compared" in screen
