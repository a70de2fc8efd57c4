"""What sealed actors store shows nowhere: in no snapshot store, archive, cache, file, log, error or repr."""

# ruff: noqa: ASYNC240  a test may wait for the disk

from __future__ import annotations

import logging
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from obstore.store import MemoryStore, S3Store

from perdure import (
    ActorSystem,
    Compression,
    Event,
    Full,
    Keyring,
    Message,
    PersistentActor,
    Sealing,
    every_n_events,
    replay,
)
from perdure.abc import Backend, Put, WriteGroup
from perdure.actors import DeadLetter
from perdure.errors import (
    ApplyError,
    ConflictError,
    CorruptionError,
    EventTypeError,
    InvalidTag,
    PerdureError,
    RecordTooLarge,
    StoreUnavailable,
    SubjectForgotten,
    WrongKey,
)
from perdure.memory import MemoryBackend
from perdure.snapshots import CachedSnapshots, ChunkArchive, CollectionSnapshots, ObjectSnapshots, SnapshotStore
from perdure_testkit import FaultyBackend, Raw, SealingContract
from perdure_testkit._contract._sealed import SECRET, TEXTS, system_of, tell_all
from perdure_testkit._contract._secrecy import NAME, NAMES, guises

from .s3 import Server, s3_server  # noqa: F401


def everything(thing: object, seen: dict[int, object] | None = None) -> Iterator[bytes]:
    """Yield all texts and bytes that can be reached from an object."""
    seen = {} if seen is None else seen
    if id(thing) in seen:
        return
    seen[id(thing)] = thing  # which keeps its id its own
    match thing:
        case str():
            yield thing.encode("utf-8", "surrogatepass")
        case bytes() | bytearray():
            yield bytes(thing)
        case dict():
            for pair in thing.items():
                yield from everything(pair, seen)
        case list() | tuple() | set() | frozenset():
            for each in thing:
                yield from everything(each, seen)
        case _ if type(thing).__module__.startswith("perdure"):
            names = [name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]
            for name in {*names, *getattr(thing, "__dict__", ())}:
                yield from everything(getattr(thing, name, None), seen)


class TestSealedInMemory(SealingContract):
    @pytest.fixture
    async def backend(self) -> AsyncIterator[Backend]:
        backend = MemoryBackend()
        yield backend
        await backend.close()

    @pytest.fixture
    def raw(self, backend: Backend) -> Raw:
        return lambda: everything(backend)


def shown(seen: bytes, *, names: bool = False) -> list[bytes]:
    """Return what is seen and is not to be."""
    texts = (SECRET, "Whispered", *(NAMES if names else ()))
    return [guise for text in texts for guise in guises(text) if guise in seen]


async def work(snapshots: SnapshotStore | str, archive: Any = None, **options: Any) -> None:
    """Have actors of every kind store things, with snapshots and archived events elsewhere."""
    backend = MemoryBackend()
    for _ in range(2):  # the second reads what the first has left
        system = system_of(backend, hide_names=True, **options)
        system._snapshots, system._archive = snapshots, archive
        async with system:
            await tell_all(system, NAME, TEXTS[:3])


@pytest.mark.parametrize("write", ["msgpack", "json"])
class TestElsewhere:
    """Where snapshots and old events are kept apart from the events."""

    async def test_nothing_shows_in_files(self, tmp_path: Path, write: Literal["msgpack", "json"]) -> None:
        """Nor do names in their paths."""
        await work(f"file://{tmp_path}/snapshots", f"file://{tmp_path}/archive", write=write)

        files = [file for file in tmp_path.rglob("*") if file.is_file()]
        assert {file.relative_to(tmp_path).parts[0] for file in files} == {"snapshots", "archive"}
        assert shown(b"\n".join(b"%s %s" % (str(f).encode(), f.read_bytes()) for f in files), names=True) == []

    async def test_nothing_shows_in_objects(self, write: Literal["msgpack", "json"]) -> None:
        kept, old = MemoryStore(), MemoryStore()
        await work(ObjectSnapshots(kept), ChunkArchive(ObjectSnapshots(old)), write=write)

        for store in (kept, old):
            objects = [
                b"%s %s" % (meta["path"].encode(), bytes(store.get(meta["path"]).bytes()))
                for chunk in store.list()
                for meta in chunk
            ]
            assert objects
            assert shown(b"\n".join(objects), names=True) == []

    async def test_nothing_shows_in_a_bucket(
        self,
        s3_server: Server,  # noqa: F811
        write: Literal["msgpack", "json"],
    ) -> None:
        prefix = f"secret-{write}"
        await work(s3_server.url(f"{prefix}/snapshots"), s3_server.url(f"{prefix}/archive"), write=write)

        options: Any = {"access_key_id": "test", "secret_access_key": "test", "region": "us-east-1"}
        endpoint = f"http://{s3_server.host}:{s3_server.port}"
        bucket = S3Store("bucket", endpoint=endpoint, client_options={"allow_http": True}, **options)
        keys = [meta["path"] for chunk in bucket.list(prefix) for meta in chunk]
        assert {key.split("/")[1] for key in keys} == {"snapshots", "archive"}
        document = b"\n".join(b"%s %s" % (key.encode(), bytes(bucket.get(key).bytes())) for key in keys)
        assert shown(document, names=True) == []

    async def test_nothing_shows_in_memory_that_holds_snapshots(self, write: Literal["msgpack", "json"]) -> None:
        """What a cache remembers is sealed as it is stored."""
        cached = CachedSnapshots(CollectionSnapshots(MemoryBackend()))
        await work(cached, write=write)

        seen = b"\n".join(everything(cached))

        assert len(cached._entries) > 1
        assert shown(seen, names=True) == []


async def test_no_file_is_left_or_made_in_the_folder_for_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No store of ours needs one."""
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    (tmp_path / "temporary").mkdir()

    await work(f"file://{tmp_path}/snapshots")

    assert list((tmp_path / "temporary").iterdir()) == []


class Say(Message[int]):
    text: str
    how: str = ""


class Said(Event):
    text: str


class SaidHow(Event):
    how: Literal["loud", "low"]


class Undeclared(Event):
    text: str


class Diary(PersistentActor[tuple[str, ...], Said | SaidHow]):
    """Remembers what it is told, and fails as it is told."""

    initial_state = ()
    strategy: ClassVar[Any] = Full(snapshot=every_n_events(2), compression=Compression(over=0))
    told: ClassVar[str] = ""

    @classmethod
    def subject(cls, persistence_id: str) -> str | None:
        return persistence_id

    async def handle(self, message: Any, context: Any) -> Any:
        match message.how:
            case "undeclared":
                await self.persist(Undeclared(message.text))  # type: ignore[arg-type]
            case "no such way":
                await self.persist(SaidHow(message.text))  # type: ignore[arg-type]
            case "crash":
                raise LookupError("the handler has a fault")
            case _:
                await self.persist(Said(message.text))
        return len(self.state)

    def apply(self, state: tuple[str, ...], event: Said | SaidHow) -> Any:
        if isinstance(event, SaidHow):
            return (*state, event.how)
        if event.text.startswith("nothing"):
            return None
        return (*state, event.text)

    def tags(self, event: Said | SaidHow) -> Any:
        if isinstance(event, Said) and event.text.startswith("tag"):
            return event.text.split(",")
        return ()


def sealed(store: Backend, *, key: bytes = bytes(range(32)), **options: Any) -> ActorSystem:
    return ActorSystem(store=store, sealing=Sealing(Keyring({1: key}), hide_names=True), **options)


class TestToldOfFailures:
    """In no error, no notice and no log is anything of what is stored."""

    @pytest.fixture(autouse=True)
    def _no_log_shows_it(self, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
        caplog.set_level(logging.DEBUG)
        yield
        assert shown(caplog.text.encode()) == []

    async def refused(self, system: ActorSystem, *messages: Say, kind: type[PerdureError]) -> PerdureError:
        """Return the error of the last message, which shows nothing."""
        async with system:
            notices = system.events()
            for message in messages[:-1]:
                await system.ref(Diary, NAME).ask(message)
            with pytest.raises(kind) as caught:
                await system.ref(Diary, NAME).ask(messages[-1])
        told = [repr(caught.value), str(caught.value)]
        told += [repr(notice) async for notice in notices if not isinstance(notice, DeadLetter)]  # which is the message
        cause = caught.value.__cause__
        while cause is not None:
            told.append(f"{cause!r} {cause}")
            cause = cause.__cause__
        assert shown("\n".join(told).encode()) == []
        return caught.value

    @pytest.mark.parametrize(
        ("message", "kind"),
        [
            (Say(SECRET, "undeclared"), EventTypeError),
            (Say(SECRET, "no such way"), EventTypeError),
            (Say(f"nothing {SECRET}"), ApplyError),
            (Say(f"tag {SECRET}\n,x"), InvalidTag),
            (Say(f"tag{','.join(f'{SECRET}{n}' for n in range(99))}"), InvalidTag),
            (Say(SECRET * 1000), RecordTooLarge),
        ],
        ids=["undeclared", "not to be read back", "not to be folded", "forbidden tag", "too many tags", "too large"],
    )
    async def test_of_what_cannot_be_stored(self, store: FaultyBackend, message: Say, kind: type[PerdureError]) -> None:
        await self.refused(sealed(store, max_record_bytes=8000), Say(SECRET), message, kind=kind)

    async def test_of_a_handler(self, store: FaultyBackend, caplog: pytest.LogCaptureFixture) -> None:
        """What its own exception says is its own affair; the message that it had is not shown."""
        async with sealed(store) as system:
            await system.ref(Diary, NAME).tell(Say(SECRET, "crash"))
            await system.ref(Diary, NAME).ask(Say(SECRET))

        assert "failed on" in caplog.text

    async def test_of_a_lost_race(self, store: FaultyBackend) -> None:
        async with sealed(store) as one, sealed(store) as other:
            await one.ref(Diary, NAME).ask(Say(SECRET))
            await other.ref(Diary, NAME).ask(Say(SECRET))
            with pytest.raises(ConflictError) as caught:
                await one.ref(Diary, NAME).ask(Say(SECRET))

        assert shown(f"{caught.value!r} {caught.value}".encode(), names=True) == []

    async def test_of_a_damaged_record(self, store: FaultyBackend) -> None:
        async with sealed(store) as system:
            await system.ref(Diary, NAME).ask(Say(SECRET))
        [name] = await store.prefixes("events")
        [entry] = (await store.page("events", name, 1, 2, limit=1, max_bytes=1)).entries
        await store.commit([WriteGroup((Put("events", name, 1, entry.value[:-1] + b"x"),))])

        await self.refused(sealed(store), Say(SECRET), kind=CorruptionError)

    async def test_of_another_key(self, store: FaultyBackend) -> None:
        async with sealed(store) as system:
            await system.ref(Diary, NAME).ask(Say(SECRET))

        with pytest.raises(WrongKey) as caught:
            await enter(sealed(store, key=bytes(range(1, 33))))

        assert shown(f"{caught.value!r} {caught.value}".encode(), names=True) == []

    async def test_of_a_forgotten_subject(self, store: FaultyBackend) -> None:
        async with sealed(store) as system:
            await system.ref(Diary, NAME).ask(Say(SECRET))
            await system.forget(f"Diary/{NAME}")

        await self.refused(sealed(store), Say(SECRET), kind=SubjectForgotten)

    async def test_of_a_snapshot_that_is_not_saved(
        self, store: FaultyBackend, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with sealed(store) as system:
            await system.ref(Diary, NAME).ask(Say(SECRET))
            store.reject(when=is_snapshot)
            with suppress(StoreUnavailable):
                for _ in range(4):
                    await system.ref(Diary, NAME).ask(Say(SECRET))

        assert "was not saved" in caplog.text
        assert shown(caplog.text.encode()) == []

    async def test_of_a_stored_event_that_is_no_longer_read(self, store: FaultyBackend) -> None:
        """Not the value that its type does not have any more."""

        class Loud(Event, manifest="SaidHow"):
            how: Literal["loud"]

        class Loudspeaker(PersistentActor[tuple[str, ...], Loud]):
            initial_state = ()
            subject = Diary.subject

            async def handle(self, message: Any, context: Any) -> Any:
                return self.state

            def apply(self, state: tuple[str, ...], event: Loud) -> tuple[str, ...]:
                return (*state, event.how)

        async with sealed(store) as system:
            await system.ref(Diary, "a").ask(Say("low", "no such way"))

        sealing = Sealing(Keyring({1: bytes(range(32))}), hide_names=True)
        with pytest.raises(CorruptionError, match=r"does not decode: Invalid enum value … - at `\$.how`"):
            await replay(store, Loudspeaker, "a", sealing=sealing, persistence_id="Diary/a")


def test_the_reprs_of_what_has_keys_show_none() -> None:
    key = bytes(range(32))
    sealing = Sealing(Keyring({1: key}), hide_names=True)
    system = ActorSystem(sealing=sealing)

    told = f"{sealing!r} {sealing.keyring!r} {sealing.active!r} {system!r} {sealing.ciphers!r}"

    assert [guise for guise in (repr(key)[2:-1], key.hex(), key.hex().upper()) if guise in told] == []


def is_snapshot(groups: Any) -> bool:
    return any(getattr(write, "collection", "") == "snapshots" for group in groups for write in group.writes)


async def enter(system: ActorSystem) -> None:
    async with system:
        pass
