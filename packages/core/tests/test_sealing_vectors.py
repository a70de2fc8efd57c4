"""Records are sealed as the page on their format says: the vectors, this implementation and another one agree."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
import pytest

from perdure import (
    ActorSystem,
    DurableStateActor,
    Event,
    Full,
    Keyring,
    Message,
    PersistentActor,
    Sealing,
    every_n_events,
)
from perdure.abc import Backend
from perdure.memory import MemoryBackend
from perdure.security import EncryptedKey, Seal, link_of
from perdure.security._names import Names
from perdure.security._secret import Secret, subject_secret

from . import another_sealing as another

VECTORS = json.loads((Path(__file__).parent / "sealing_vectors.json").read_text())
MASTERS = {int(version): bytes.fromhex(key) for version, key in VECTORS["masters"].items()}
SUBJECT_KEY = bytes.fromhex(VECTORS["names"]["subject_key"])
HANDLE = bytes.fromhex(VECTORS["names"]["handle"])
SUITES: dict[int, Any] = {1: "aes-256-gcm", 2: "xchacha20-poly1305"}

each = pytest.mark.parametrize("vector", VECTORS["records"], ids=lambda vector: vector["what"])


class Subjects:
    """The key of the only subject."""

    def check(self, handle: bytes, name: str) -> None:
        assert handle == HANDLE

    def secret(self, suite: int, handle: bytes, name: str, number: int, fingerprint: bytes) -> Secret:
        return subject_secret(suite, handle, EncryptedKey(SUBJECT_KEY))


def bytes_of(vector: dict[str, Any], field: str) -> bytes:
    return bytes.fromhex(vector.get(field, ""))


def place_of(vector: dict[str, Any]) -> bytes:
    return another.place(vector["collection"], vector["name"], vector["number"])


def seal_of(vector: dict[str, Any]) -> Seal:
    sealing = Sealing(Keyring(MASTERS, active=vector["version"] or 1), suite=SUITES[vector["suite"]])
    subject = subject_secret(vector["suite"], HANDLE, EncryptedKey(SUBJECT_KEY)) if vector["version"] == 0 else None
    return Seal(sealing, vector["collection"], vector["name"], Subjects(), subject)


@contextmanager
def the_nonce_of(vector: dict[str, Any]) -> Iterator[None]:
    """Have the random bytes of a vector taken: nowhere else is anything random in a record."""
    nonce = bytes_of(vector, "nonce")
    with patch("perdure.security._seal.random_bytes", lambda size: nonce if size == len(nonce) else b""):
        yield


@each
def test_a_vector_is_made(vector: dict[str, Any]) -> None:
    """From its key, its nonce and its record."""
    seal, number = seal_of(vector), vector["number"]
    with the_nonce_of(vector):
        if "first" in vector:
            made = seal.renewed(number, bytes_of(vector, "first"), chained=True)
        else:
            made = seal.seal(number, bytes_of(vector, "plain"), bytes_of(vector, "previous") or None)

    assert made is not None
    assert made.hex() == vector["sealed"]


@each
def test_a_vector_is_opened(vector: dict[str, Any]) -> None:
    assert seal_of(vector).open(vector["number"], bytes_of(vector, "sealed")).hex() == vector["plain"]


@each
def test_another_implementation_opens_a_vector(vector: dict[str, Any]) -> None:
    """Which was written from the page."""
    subjects = {HANDLE: SUBJECT_KEY}

    found = another.opened(MASTERS, subjects, place_of(vector), vector["name"], bytes_of(vector, "sealed"))

    assert found.hex() == vector["plain"]


@each
def test_another_implementation_makes_a_vector(vector: dict[str, Any]) -> None:
    version, is_subject = vector["version"], vector["version"] == 0
    made = another.sealed(
        version,
        SUBJECT_KEY if is_subject else MASTERS[version],
        vector["suite"],
        place_of(vector),
        vector["name"],
        bytes_of(vector, "nonce"),
        bytes_of(vector, "plain"),
        handle=HANDLE if is_subject else b"",
        previous=bytes_of(vector, "previous"),
        digest=bytes_of(vector, "digest"),
    )

    assert made.hex() == vector["sealed"]


@each
def test_both_compute_the_link_of_a_vector(vector: dict[str, Any]) -> None:
    record = bytes_of(vector, "sealed")

    assert another.link(place_of(vector), record).hex() == vector["link"]
    assert link_of(vector["collection"], vector["name"], vector["number"], record).hex() == vector["link"]


def test_a_record_that_was_sealed_again_has_the_link_that_it_had() -> None:
    [again] = [vector for vector in VECTORS["records"] if "first" in vector]

    assert another.link(place_of(again), bytes_of(again, "first")).hex() == again["link"]


def test_both_compute_the_fingerprints_of_keys() -> None:
    keyring = Keyring(MASTERS)

    for version, key in MASTERS.items():
        said = VECTORS["fingerprints"][str(version)]
        assert another.fingerprint(key).hex() == keyring.fingerprint(version).hex() == said


def test_both_compute_the_names_of_a_store_and_the_handles_of_subjects() -> None:
    of = VECTORS["names"]
    key = bytes.fromhex(of["key"])
    names = Names(key, hidden=True)

    assert names.stored(of["id"]) == another.stored_name(key, of["id"]) == of["stored_name"]
    assert names.handle(of["subject"]) == another.handle(key, of["subject"]) == HANDLE


class Say(Message[int]):
    text: str


class Said(Event):
    text: str


class Diary(PersistentActor[tuple[str, ...], Said]):
    initial_state = ()
    strategy = Full(snapshot=every_n_events(2))

    async def handle(self, message: Say, context: Any) -> int:
        await self.persist(Said(message.text))
        return len(self.state)

    def apply(self, state: tuple[str, ...], event: Said) -> tuple[str, ...]:
        return (*state, event.text)


class Letter(Diary):
    @classmethod
    def subject(cls, persistence_id: str) -> str | None:  # noqa: ARG003
        return "carol"


class Note(DurableStateActor[str]):
    initial_state = ""

    async def handle(self, message: Say, context: Any) -> int:
        await self.save(message.text)
        return self.revision


@pytest.mark.parametrize("suite", SUITES.values())
@pytest.mark.parametrize("hide_names", [False, True])
async def test_another_implementation_reads_a_whole_store(suite: Any, hide_names: bool) -> None:
    """It finds its names, keys, events, snapshots and states with a master key and the page alone."""
    store = MemoryBackend()
    sealing = Sealing(Keyring(MASTERS), suite=suite, hide_names=hide_names, chain=True)
    async with ActorSystem(store=store, sealing=sealing) as system:
        for text in ("one", "two", "three"):
            for kind in (Diary, Letter, Note):
                await system.ref(kind, "a").ask(Say(text))

    found = await read_by_the_page(store, hide_names=hide_names)

    assert found["events", "Diary/a", 3] == ["Said", {"text": "three"}]
    assert found["events", "Letter/a", 1] == ["Said", {"text": "one"}]
    assert found["snapshots", "Letter/a", 2] == ["Letter", ["one", "two"]]
    assert found["durable", "Note/a", 3] == ["Note", "three"]


async def read_by_the_page(store: Backend, *, hide_names: bool) -> dict[tuple[str, str, int], Any]:
    """Return manifests and payloads of what a store has, as somebody reads it who knows no perdure."""
    _, record = await store.read_state("sealing", "names")
    assert record is not None
    hidden, names_key = body(another.opened(MASTERS, {}, another.place("sealing", "names", 0), "names", record))
    assert hidden is hide_names
    subjects: dict[bytes, bytes] = {}
    for prefix in await store.prefixes("subject_keys"):
        for number, record in await entries(store, "subject_keys", prefix):
            place = another.place("subject_keys", prefix, number)
            subjects[bytes.fromhex(prefix)], _ = body(another.opened(MASTERS, {}, place, prefix, record))
    assert list(subjects) == [another.handle(names_key, "carol")]
    found: dict[tuple[str, str, int], Any] = {}
    for collection in ("events", "snapshots", "durable"):
        for persistence_id in ("Diary/a", "Letter/a", "Note/a"):
            name = another.stored_name(names_key, persistence_id) if hidden else persistence_id
            for number, record in await entries(store, collection, name):
                plain = another.opened(MASTERS, subjects, another.place(collection, name, number), name, record)
                manifest, _, _, payload, metadata = body(plain)
                assert not hidden or metadata["persistence_id"] == persistence_id
                found[collection, persistence_id, number] = [manifest, payload]
    return found


def body(plain: bytes) -> Any:
    return msgspec.msgpack.decode(plain[6:])


async def entries(store: Backend, collection: str, prefix: str) -> list[tuple[int, bytes]]:
    page = await store.page(collection, prefix, 1, 1000, limit=1000, max_bytes=10**6)
    return [*page.entries]
