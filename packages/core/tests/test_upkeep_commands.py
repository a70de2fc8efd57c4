"""`perdure verify`, `stats`, `compact`, `reseal` and `forget`: what they do, on every backend, and say."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias
from uuid import uuid4

import pytest

from perdure import ActorSystem, Keyring, Sealing, open_backend
from perdure.abc import MAX_KEY, Put, WriteGroup
from perdure.cli import main
from perdure.errors import SubjectForgotten
from perdure.upkeep import take_anchor
from perdure_testkit.redis import RedisServer

from .diaries import ONE, TWO, Diary, Pocketbook, Read, Say

pytest.importorskip("typer")


class Person(Diary):
    @classmethod
    def subject(cls, persistence_id: str) -> str | None:
        return persistence_id.partition("/")[2]


class Outcome(NamedTuple):
    code: int
    output: str
    error: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The documents of JSONL."""
        return [json.loads(line) for line in self.output.splitlines()]


Run: TypeAlias = Callable[..., Outcome]

WHOLE = (0, "", "")


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    pytest.importorskip("redis")
    server = RedisServer(tmp_path_factory.mktemp("redis"), "--appendonly", "yes", "--appendfsync", "always").start()
    yield server.port
    server.kill()


@pytest.fixture(params=["sqlite", "rocksdb", "redis"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of a place for a store, where none is yet."""
    if request.param == "redis":
        return f"redis://127.0.0.1:{request.getfixturevalue('redis')}/?namespace={uuid4().hex}"
    pytest.importorskip(f"perdure_{request.param}")
    return f"{request.param}:///{tmp_path}/store"


@pytest.fixture
def quick() -> str:
    """Return the URL of a store in the memory of this process."""
    return f"memory://{uuid4().hex}"


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Run the command with files for its output."""

    def run(*arguments: str) -> Outcome:
        capfd.readouterr()
        return Outcome(main(arguments), *capfd.readouterr())

    return run


@pytest.fixture
def keys(tmp_path: Path) -> Callable[..., Path]:
    """Return what writes a key file."""

    def write(**versions: bytes) -> Path:
        path = tmp_path / f"keys-{uuid4().hex}"
        path.touch(mode=0o600)
        path.write_text("".join(f"{name[1:]}: {key.hex()}\n" for name, key in versions.items()))
        return path

    return write


def fill(url: str, sealing: Sealing | None = None, *types: type[Any]) -> None:
    """Have an actor of each type store nine texts; a diary has snapshots at the fourth and the eighth."""

    async def tell() -> None:
        async with ActorSystem(store=url, sealing=sealing) as system:
            for kind in types or (Diary, Pocketbook):
                for number in range(9):
                    await system.ref(kind, "a").ask(Say(str(number)))

    asyncio.run(tell())


def known(url: str, sealing: Sealing | None = None, kind: type[Any] = Diary) -> int:
    """Return how many texts an actor knows."""

    async def read() -> int:
        async with ActorSystem(store=url, sealing=sealing) as system:
            return len(await system.ref(kind, "a").ask(Read()))

    return asyncio.run(read())


def damage(url: str, name: str, *numbers: int) -> None:
    async def write() -> None:
        backend = await open_backend(url)
        await backend.commit([WriteGroup(tuple(Put("events", name, number, b"?") for number in numbers))])
        await backend.close()

    asyncio.run(write())


def numbers(url: str, collection: str = "events") -> list[int]:
    """Return which events of the diary are stored."""

    async def read() -> list[int]:
        backend = await open_backend(url)
        page = await backend.page(collection, "Diary/a", 1, MAX_KEY + 1, limit=100, max_bytes=10**6)
        await backend.close()
        return [key for key, _ in page.entries]

    return asyncio.run(read())


def sealed(**versions: bytes) -> Sealing:
    return Sealing(Keyring({int(name[1:]): key for name, key in versions.items()}))


class TestEveryBackend:
    """Is kept up in the same way."""

    def test_verify(self, url: str, run: Run) -> None:
        """Of a whole store there is nothing to say; in another each record that is damaged is named."""
        fill(url)
        whole = run("verify", url)
        damage(url, "Diary/a", 3, 5)

        broken = run("verify", url, "--format", "jsonl")

        assert whole == WHOLE
        assert broken.code == 1
        assert [(found["persistence_id"], found["sequence_number"]) for found in broken.lines] == [
            ("Diary/a", 3),
            ("Diary/a", 5),
        ]
        assert broken.error == "perdure: 18 events of 2 actors, 3 states: 2 problems\n"

    def test_stats(self, url: str, run: Run) -> None:
        fill(url)

        code, output, error = run("stats", url, "--format", "json")

        found = json.loads(output)
        assert (code, error, found["logs"], found["events"]["count"], found["snapshots"]["count"]) == (0, "", 2, 18, 2)
        assert found["types"].keys() == {"Diary", "Pocketbook"}

    def test_compact(self, url: str, run: Run) -> None:
        """A dry run tells the same, and does nothing."""
        fill(url)

        dry = run("compact", url, "Diary/a", "--keep", "1", "--dry-run", "--format", "jsonl")
        before = numbers(url)
        wet = run("compact", url, "--all", "--keep", "1", "--archive", "store", "--yes", "--format", "jsonl")

        assert (dry.code, wet.code, len(before)) == (0, 0, 9)
        assert dry.lines == [{"persistence_id": "Diary/a", "below": 8, "events": 7, "snapshots": 1}]
        assert dry.lines[0] in wet.lines
        assert (numbers(url), numbers(url, "archive")) == ([8, 9], [1, 2, 3, 4, 5, 6, 7])
        assert run("verify", url) == WHOLE
        assert known(url) == known(url, kind=Pocketbook) == 9

    def test_reseal(self, url: str, run: Run, keys: Callable[..., Path]) -> None:
        """Then the old key is not needed any more."""
        fill(url, sealed(v1=ONE))
        both, new = str(keys(v1=ONE, v2=TWO)), str(keys(v2=TWO))

        dry = run("reseal", url, "--keys", both, "--dry-run", "--format", "jsonl")
        before = run("verify", url, "--keys", new)
        wet = run("reseal", url, "--keys", both, "--format", "jsonl")

        assert (dry.code, wet.code) == (0, 0)
        assert (dry.lines[0]["resealed"], wet.lines[0]["resealed"]) == (21, 22)  # with the key of the names
        assert before.code == 3
        assert run("verify", url, "--keys", new) == WHOLE
        assert run("reseal", url, "--keys", both, "--format", "jsonl").lines[0]["resealed"] == 0

    def test_forget(self, url: str, run: Run, keys: Callable[..., Path]) -> None:
        fill(url, sealed(v1=ONE), Person, Diary)
        file = str(keys(v1=ONE))

        dry = run("forget", url, "a", "--keys", file, "--dry-run")
        before = known(url, sealed(v1=ONE), Person)
        wet = run("forget", url, "a", "--keys", file, "--yes")

        assert (dry, before) == (Outcome(0, "", "perdure: the key of 'a' would be destroyed\n"), 9)
        assert wet == (0, "", "perdure: the key of 'a' was destroyed\n")
        with pytest.raises(SubjectForgotten):
            known(url, sealed(v1=ONE), Person)
        assert known(url, sealed(v1=ONE)) == 9
        assert run("forget", url, "a", "--keys", file, "--yes").code == 1


class TestVerify:
    """Says what it found."""

    def test_as_one_document(self, quick: str, run: Run) -> None:
        fill(quick)
        damage(quick, "Diary/a", 3)

        code, output, error = run("verify", quick, "--format", "json")

        found = json.loads(output)
        assert (code, error, found["ok"], found["events"], found["problem_count"]) == (1, "", False, 18, 1)
        assert found["problems"][0].keys() == {"persistence_id", "sequence_number", "kind", "problem"}

    def test_of_what_it_could_not_open(self, quick: str, run: Run) -> None:
        fill(quick, sealed(v1=ONE))

        code, _, error = run("verify", quick, "--without-keys")

        assert code == 0
        assert "21 of them not opened for want of keys: all is well" in error

    def test_of_what_an_anchor_knows(self, quick: str, run: Run, tmp_path: Path) -> None:
        fill(quick)
        anchor = asyncio.run(anchored(quick))
        (tmp_path / "anchor").write_bytes(anchor)
        damage(quick, "Diary/a", 9)

        found = run("verify", quick, "--anchor", str(tmp_path / "anchor"), "--format", "jsonl")

        assert [problem["kind"] for problem in found.lines] == ["ChainBroken", "CorruptionError"]


async def anchored(url: str) -> bytes:
    return (await take_anchor(url)).to_json()


class TestMistakes:
    """Are one line each."""

    @pytest.mark.parametrize("command", ["verify", "stats", "compact --all --dry-run", "reseal", "forget a --dry-run"])
    def test_a_missing_key(self, command: str, quick: str, run: Run, keys: Callable[..., Path]) -> None:
        fill(quick, sealed(v1=ONE))
        name, *options = command.split()

        without = run(name, quick, *options)
        wrong = run(name, quick, *options, "--keys", str(keys(v2=TWO)))
        another = run(name, quick, *options, "--keys", str(keys(v1=TWO)))

        assert (without.code, wrong.code, another.code) == (2, 3, 3)
        assert "--keys FILE or --keys-env NAME" in without.error
        assert "key version 1" in wrong.error
        assert all(outcome.error.count("\n") == 1 and not outcome.output for outcome in (without, wrong, another))

    @pytest.mark.parametrize("command", ["compact --all", "forget a"])
    def test_nobody_to_be_asked(self, command: str, quick: str, run: Run, keys: Callable[..., Path]) -> None:
        fill(quick, sealed(v1=ONE), Person)
        name, *options = command.split()

        code, output, error = run(name, quick, *options, "--keys", str(keys(v1=ONE)))

        assert (code, output, error.count("\n")) == (2, "", 1)
        assert "give --yes, or --dry-run" in error
        assert known(quick, sealed(v1=ONE), Person) == 9

    def test_a_compaction_of_nobody(self, quick: str, run: Run) -> None:
        fill(quick)

        assert run("compact", quick).error == "perdure: say which actors: ID... or --all\n"
        assert run("compact", quick, "Diary/x", "--yes").error == "perdure: nothing is stored under 'events/Diary/x'\n"

    def test_to_seal_what_never_was(self, quick: str, run: Run, keys: Callable[..., Path]) -> None:
        fill(quick)

        code, _, error = run("reseal", quick, "--keys", str(keys(v1=ONE)))

        assert (code, error.count("the store is not sealed")) == (2, 1)

    def test_a_store_that_another_process_has(self, tmp_path: Path, run: Run) -> None:
        """RocksDB is one process's."""
        pytest.importorskip("perdure_rocksdb")
        url = f"rocksdb:///{tmp_path}/store"
        fill(url)

        async def meanwhile() -> Outcome:
            backend = await open_backend(url)
            command = [sys.executable, "-m", "perdure", "verify", url]
            done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
            await backend.close()
            return Outcome(done.returncode, done.stdout, done.stderr)

        code, output, error = asyncio.run(meanwhile())

        assert (code, output, error.count("\n")) == (3, "", 1)


class TestTerminal:
    """Is asked before something is destroyed, and told how far the work is."""

    @pytest.mark.parametrize(("answer", "code", "left"), [("n", 2, 9), ("y", 0, 6)])
    def test_compact_asks(self, answer: str, code: int, left: int, tmp_path: Path) -> None:
        pytest.importorskip("perdure_sqlite")
        url = f"sqlite:///{tmp_path}/store"
        fill(url)

        screen, found = in_terminal(answer, "compact", url, "Diary/a")

        assert found == code
        assert "Remove what snapshots cover of the events of 1 actor? [y/N]" in screen
        assert len(numbers(url)) == left

    def test_verify_says_that_all_is_well(self, tmp_path: Path) -> None:
        pytest.importorskip("perdure_sqlite")
        url = f"sqlite:///{tmp_path}/store"
        fill(url)

        screen, code = in_terminal("", "verify", url)

        assert code == 0
        assert "18 events of 2 actors, 3 states: all is well" in screen


def in_terminal(answer: str, *arguments: str) -> tuple[str, int]:
    """Run the command in a terminal in which somebody types an answer; return what it shows, and the exit code."""
    reader, writer = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color"}
    with subprocess.Popen(
        [sys.executable, "-m", "perdure", *arguments], stdin=writer, stdout=writer, stderr=writer, env=environment
    ) as process:
        os.close(writer)
        os.write(reader, f"{answer}\n".encode())
        pieces = []
        try:
            while piece := os.read(reader, 65536):
                pieces.append(piece)
        except OSError:  # so it ends on Linux
            pass
    os.close(reader)
    return b"".join(pieces).decode(), process.returncode
