"""What log records carry beside their texts, and what they keep to themselves."""

from __future__ import annotations

import inspect
import logging
from pathlib import Path
from typing import Any

import pytest

import perdure
from perdure import ActorSystem, Event, Keyring, Message, PersistentActor, Sealing
from perdure.abc import Put, WriteGroup
from perdure.actors import ActorSystem as StorelessSystem
from perdure.errors import Rejected
from perdure_testkit import FaultyBackend

from .puppet import Do, Puppet, raising
from .secrecy import ONE
from .tapes import PureTape, Read, Write
from .turning import turns

SOURCES = Path(inspect.getfile(perdure)).parent
PAGE = Path(__file__).parents[3] / "docs" / "observability.md"


def carried(record: logging.LogRecord) -> dict[str, Any]:
    """Return the fields of a record that are ours."""
    return {name: value for name, value in vars(record).items() if name.startswith("perdure.") or name == "error.type"}


async def test_a_failure_names_the_actor_its_type_the_message_and_the_error(
    system: StorelessSystem, caplog: pytest.LogCaptureFixture
) -> None:
    await (await system.spawn(Puppet, "a")).tell(Do(raising(ValueError("broken"))))
    await turns()

    [record] = caplog.records
    assert record.getMessage() == "/user/a failed on Do"
    assert carried(record) == {
        "perdure.actor.path": "/user/a",
        "perdure.actor.type": "Puppet",
        "perdure.message.type": "Do",
        "error.type": "ValueError",
    }
    assert record.module == "_cell"
    assert record.funcName == "_fail"


async def test_a_damaged_record_names_its_log_and_its_number(
    store: FaultyBackend, caplog: pytest.LogCaptureFixture
) -> None:
    async with ActorSystem(store=store) as system:
        await system.ref(PureTape, "a").ask(Write((1,)))
        await store.commit([WriteGroup((Put("snapshots", "Tape/a", 1, b"damaged"),))])
    async with ActorSystem(store=store) as system:
        await system.ref(PureTape, "a").ask(Read())

    [record] = caplog.records
    assert carried(record) == {
        "perdure.persistence_id": "Tape/a",
        "perdure.sequence_number": 1,
        "error.type": "CorruptionError",
    }


class Told(Event):
    secret: str


class Confess(Message[int]):
    secret: str


class Confessor(PersistentActor[tuple[str, ...], Told]):
    initial_state = ()

    async def handle(self, message: Any, context: Any) -> int:
        if "no" in message.secret:
            raise Rejected(f"nobody hears {message.secret}")
        raise ValueError(f"nobody hears {message.secret}")


@pytest.mark.parametrize("hide_names", [False, True])
async def test_a_sealed_system_logs_no_texts_of_errors_and_no_hidden_names(
    store: FaultyBackend, caplog: pytest.LogCaptureFixture, hide_names: bool
) -> None:
    """The type of an error and where it was raised are logged; what it says may be what is sealed."""
    caplog.set_level(logging.DEBUG, "perdure")

    async with ActorSystem(store=store, sealing=Sealing(Keyring({1: ONE}), hide_names=hide_names)) as system:
        await system.ref(Confessor, "alice").tell(Confess("gold"))
        await system.ref(Confessor, "alice").tell(Confess("no gold"))
        await turns(50)

    shown = caplog.text + "".join(str(carried(record)) for record in caplog.records)
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]
    assert "ValueError, whose text is withheld" in shown
    assert "in handle" in shown
    assert "gold" not in shown
    assert ("alice" in shown) is not hide_names
