"""What type checkers see of the README's program."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple, Protocol

import pytest

import perdure

README = '''
import asyncio
from perdure import ActorSystem, Event, Message, PersistentActor


class Deposit(Message[int]):            # a request whose reply is an int
    amount: int


class Deposited(Event):                 # a fact, stored for ever
    amount: int


class Account(PersistentActor[int, Deposited]):
    """A bank account that survives kill -9."""

    initial_state = 0

    async def handle(self, message, context):
        match message:
            case Deposit(amount) if amount > 0:
                await self.persist(Deposited(amount))
                return self.state
            case Deposit(amount):
                raise ValueError(f"cannot deposit {amount}")

    def apply(self, balance, event):
        match event:
            case Deposited(amount):
                return balance + amount


async def main():
    async with ActorSystem(store="sqlite:///bank.db") as system:
        alice = system.ref(Account, "alice")
        print(await alice.ask(Deposit(10)))


asyncio.run(main())
'''

ANNOTATED = (
    README.replace("import ActorSystem, Event,", "import ActorSystem, Context, Event,")
    .replace("def handle(self, message, context):", "def handle(self, message: Message[int], context: Context) -> int:")
    .replace('{amount}")\n', '{amount}")\n            case _:\n                raise TypeError(message)\n', 1)
    .replace("def apply(self, balance, event):", "def apply(self, balance: int, event: Deposited) -> int:")
    .replace(
        "        match event:\n            case Deposited(amount):\n                return balance + amount\n",
        "        return balance + event.amount\n",
    )
    .replace("async def main():", "async def main() -> None:")
)

REVEAL = """

async def reveal(system: ActorSystem) -> None:
    reveal_type(await system.ref(Account, "alice").ask(Deposit(1)))
"""

DATACLASS = (
    ANNOTATED.replace("import asyncio\n", "import asyncio\nfrom dataclasses import dataclass\n")
    .replace("Context, Event, Message, PersistentActor", "Context, Message, PersistentActor, event")
    .replace(
        "class Deposited(Event): ", '@event(manifest="deposited", version=2)\n@dataclass(frozen=True)\nclass Deposited:'
    )
    + """

reveal_type(Deposited(1).amount)
"""
)

MODEL = (
    DATACLASS.replace("from dataclasses import dataclass", "from pydantic import BaseModel")
    .replace("@dataclass(frozen=True)\nclass Deposited:", "class Deposited(BaseModel):")
    .replace("Deposited(amount)", "Deposited(amount=amount)")
    .replace("Deposited(1)", "Deposited(amount=1)")
)

NO_EVENTS = """
from perdure import PersistentActor


class Account(PersistentActor[int, int]): ...
"""

DURABLE = """
from perdure import ActorSystem, Context, DurableStateActor, Message


class Add(Message[int]):
    name: str


class Cart(DurableStateActor[tuple[str, ...]]):
    initial_state = ()

    async def handle(self, message: Message[int], context: Context) -> int:
        match message:
            case Add(name):
                await self.save((*self.state, name), expected_revision=self.revision)
                return self.revision
            case _:
                raise TypeError(message)


async def main(system: ActorSystem, cart: Cart) -> None:
    reveal_type(await system.ref(Cart, "alice").ask(Add("apple")))
    reveal_type(cart.state)
    reveal_type(cart.exists)
    reveal_type((await anext(system.query().changes(Cart))).state)
"""

DURABLE_WRONG = """

async def wrong(cart: Cart) -> None:
    await cart.save((1, 2))
    await cart.save((), expected_revision="1")
    await cart.delete(1)
"""

WRONG = """
from perdure import ActorRef, Event, Message


class Deposit(Message[int]):
    amount: int


class Deposited(Event):
    amount: int


async def wrong(ref: ActorRef) -> str:
    Deposit(amount="ten")
    Deposited(amount=1)
    return await ref.ask(Deposit(1))
"""


class Verdict(NamedTuple):
    errors: list[str]
    revealed: list[str]


def mypy(path: Path, *, strict: bool) -> Verdict:
    settings = path.parent / "mypy.ini"
    settings.write_text("[mypy]\n")
    command = [sys.executable, "-m", "mypy", "--config-file", str(settings), "--cache-dir", str(path.parent / "cache")]
    done = subprocess.run(
        [*command, *(["--strict"] if strict else []), str(path)],
        capture_output=True,
        text=True,
        cwd=path.parent,
        env=environment(),
        check=False,
    )
    return verdict(done.stdout, ": error:", r'Revealed type is "(.*)"')


def pyright(path: Path, *, strict: bool) -> Verdict:
    if strict:
        path.write_text("# pyright: strict\n" + path.read_text())
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, str(path)],
        capture_output=True,
        text=True,
        cwd=path.parent,
        env=environment(),
        check=False,
    )
    if "error" not in done.stdout:
        pytest.skip(f"pyright cannot run here: {(done.stderr or done.stdout).strip()[-300:]}")
    return verdict(done.stdout, " - error:", r'is "(.*)"')


def environment() -> dict[str, str]:
    return {**os.environ, "MYPYPATH": str(Path(perdure.__file__).parents[1])}


def verdict(output: str, error: str, revealed: str) -> Verdict:
    errors = [line for line in output.splitlines() if error in line]
    types = [match[1] for line in output.splitlines() if error not in line and (match := re.search(revealed, line))]
    return Verdict(errors, [name.removeprefix("builtins.") for name in types])


class Check(Protocol):
    def __call__(self, path: Path, *, strict: bool) -> Verdict: ...


CHECKERS = pytest.mark.parametrize("check", [mypy, pyright], ids=["mypy", "pyright"])


@pytest.fixture
def program(tmp_path: Path) -> Path:
    return tmp_path / "bank.py"


@CHECKERS
def test_the_readme_is_accepted_as_it_stands(check: Check, program: Path) -> None:
    """The program without annotations has no errors, and each ask has its reply's type."""
    program.write_text(README + REVEAL)

    assert check(program, strict=False) == ([], ["int"])


@CHECKERS
def test_the_annotated_form_is_accepted_strictly(check: Check, program: Path) -> None:
    """With annotations nothing is left unknown, and each ask has its reply's type."""
    program.write_text(ANNOTATED + REVEAL)

    assert check(program, strict=True) == ([], ["int"])


@CHECKERS
@pytest.mark.parametrize("form", [DATACLASS, MODEL], ids=["dataclass", "model"])
def test_dataclasses_and_models_are_events(check: Check, program: Path, form: str) -> None:
    """They keep their own types under the decorator."""
    program.write_text(form + REVEAL)

    assert check(program, strict=True) == ([], ["int", "int"])


@CHECKERS
def test_what_cannot_be_an_event_is_found(check: Check, program: Path) -> None:
    """An integer is no event."""
    program.write_text(NO_EVENTS)

    assert len(check(program, strict=True).errors) == 1


@CHECKERS
def test_mistakes_are_found(check: Check, program: Path) -> None:
    """A field of the wrong type and a reply taken for another type are errors."""
    program.write_text(WRONG)

    assert len(check(program, strict=True).errors) == 2


@CHECKERS
def test_a_durable_state_has_its_type(check: Check, program: Path) -> None:
    """The state is of the declared type, to read and to save."""
    program.write_text(DURABLE)

    assert check(program, strict=True) == ([], ["int", "tuple[str, ...]", "bool", "tuple[str, ...] | None"])


@CHECKERS
def test_mistakes_with_a_durable_state_are_found(check: Check, program: Path) -> None:
    """A state or a revision of the wrong type, and a revision in the wrong place, are errors."""
    program.write_text(DURABLE + DURABLE_WRONG)

    assert len(check(program, strict=True).errors) == 3
