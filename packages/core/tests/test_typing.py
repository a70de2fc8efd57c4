"""What type checkers see of the README's program."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

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


LOOSE = {"as_it_stands": README + REVEAL}
STRICT = {
    "annotated": ANNOTATED + REVEAL,
    "dataclass": DATACLASS + REVEAL,
    "model": MODEL + REVEAL,
    "no_events": NO_EVENTS,
    "wrong": WRONG,
    "durable": DURABLE,
    "durable_wrong": DURABLE + DURABLE_WRONG,
}


class Verdict(NamedTuple):
    errors: list[str]
    revealed: list[str]


@pytest.fixture(scope="module", params=["mypy", "pyright"])
def verdicts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Verdict]:
    """Return what a checker says of each program."""
    folder = tmp_path_factory.mktemp(request.param)
    check = {"mypy": mypy, "pyright": pyright}[request.param]
    return check(folder, LOOSE, strict=False) | check(folder, STRICT, strict=True)


def mypy(folder: Path, programs: dict[str, str], *, strict: bool) -> dict[str, Verdict]:
    (folder / "mypy.ini").write_text("[mypy]\n")
    paths = written(folder, programs)
    printed = run(
        "mypy", "--config-file", "mypy.ini", "--cache-dir", "cache", *["--strict"] * strict, *paths, at=folder
    )
    return {name: verdict(printed, name, ": error:", r'Revealed type is "(.*)"') for name in programs}


def pyright(folder: Path, programs: dict[str, str], *, strict: bool) -> dict[str, Verdict]:
    paths = written(folder, programs, "# pyright: strict\n" if strict else "")
    printed = run("pyright", "--pythonpath", sys.executable, *paths, at=folder)
    if "error" not in printed:
        pytest.skip(f"pyright cannot run here: {printed.strip()[-300:]}")
    return {name: verdict(printed, name, " - error:", r'is "(.*)"') for name in programs}


def written(folder: Path, programs: dict[str, str], head: str = "") -> list[str]:
    for name, text in programs.items():
        (folder / f"{name}.py").write_text(head + text)
    return [f"{name}.py" for name in programs]


def run(checker: str, *arguments: str, at: Path) -> str:
    environment = {**os.environ, "MYPYPATH": str(Path(perdure.__file__).parents[1])}
    command = [sys.executable, "-m", checker, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=at, env=environment, check=False)
    return done.stdout or done.stderr


def verdict(printed: str, name: str, error: str, revealed: str) -> Verdict:
    lines = [line for line in printed.splitlines() if re.search(rf"\b{name}\.py:", line)]
    errors = [line for line in lines if error in line]
    types = [match[1] for line in lines if error not in line and (match := re.search(revealed, line))]
    return Verdict(errors, [name.removeprefix("builtins.") for name in types])


def test_the_readme_is_accepted_as_it_stands(verdicts: dict[str, Verdict]) -> None:
    """The program without annotations has no errors, and each ask has its reply's type."""
    assert verdicts["as_it_stands"] == ([], ["int"])


def test_the_annotated_form_is_accepted_strictly(verdicts: dict[str, Verdict]) -> None:
    """With annotations nothing is left unknown, and each ask has its reply's type."""
    assert verdicts["annotated"] == ([], ["int"])


@pytest.mark.parametrize("form", ["dataclass", "model"])
def test_dataclasses_and_models_are_events(verdicts: dict[str, Verdict], form: str) -> None:
    """They keep their own types under the decorator."""
    assert verdicts[form] == ([], ["int", "int"])


def test_what_cannot_be_an_event_is_found(verdicts: dict[str, Verdict]) -> None:
    """An integer is no event."""
    assert len(verdicts["no_events"].errors) == 1


def test_mistakes_are_found(verdicts: dict[str, Verdict]) -> None:
    """A field of the wrong type and a reply taken for another type are errors."""
    assert len(verdicts["wrong"].errors) == 2


def test_a_durable_state_has_its_type(verdicts: dict[str, Verdict]) -> None:
    """The state is of the declared type, to read and to save."""
    assert verdicts["durable"] == ([], ["int", "tuple[str, ...]", "bool", "tuple[str, ...] | None"])


def test_mistakes_with_a_durable_state_are_found(verdicts: dict[str, Verdict]) -> None:
    """A state or a revision of the wrong type, and a revision in the wrong place, are errors."""
    assert len(verdicts["durable_wrong"].errors) == 3
