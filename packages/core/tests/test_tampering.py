"""Whoever can write the store cannot make a sealed actor believe anything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from perdure import ActorSystem, Keyring, Sealing, replay
from perdure.abc import Backend, Delete, Put, PutState
from perdure.errors import (
    CorruptionError,
    RecordAltered,
    RecordMoved,
    SealError,
    SubjectForgotten,
    SubjectKeyMissing,
    WrongKey,
)
from perdure.memory import MemoryBackend
from perdure.security._layout import plain_record
from perdure.upkeep import reseal

from .diaries import ONE, Diary, Notebook, Read, Said, Say, write
from .turning import soon


class Letter(Notebook):
    """Is the data of whoever its key begins with."""

    @classmethod
    def subject(cls, persistence_id: str) -> str | None:
        return persistence_id.partition("/")[2].partition("-")[0]


@pytest.fixture
async def store() -> AsyncIterator[Backend]:
    backend = MemoryBackend()
    yield backend
    await backend.close()


def opened(store: Backend, *, key: bytes = ONE, **options: Any) -> ActorSystem:
    return ActorSystem(store=store, sealing=Sealing(Keyring({1: key}), **options))


def in_the_window() -> dict[str, Any]:
    return {"plaintext_until": datetime.now(UTC) + timedelta(days=1)}


async def subject_key(store: Backend) -> tuple[str, int, bytes]:
    """Return where the key of the only subject stands, and its record."""
    [handle] = await store.prefixes("subject_keys")
    [entry] = (await store.page("subject_keys", handle, 1, 1000, limit=1000, max_bytes=10**6)).entries
    return handle, *entry


class TestForgetting:
    async def test_ends_what_lives_in_memory(self, store: Backend) -> None:
        """An actor that was alive when its subject was forgotten answers nothing any more."""
        async with opened(store) as system:
            letter = system.ref(Letter, "bob-1")
            await letter.ask(Say("dear"))

            await system.forget("bob")

            for message in (Read(), Say("more"), Read()):
                with pytest.raises(SubjectForgotten):
                    await letter.ask(message)

    async def test_ends_what_is_handled_just_then(self, store: Backend) -> None:
        """Nothing more is stored of a subject that was forgotten between two events of one message."""
        stored, forgotten = asyncio.Event(), asyncio.Event()

        class Long(Letter):
            async def handle(self, message: Any, context: Any) -> Any:
                await self.persist(Said("first"))
                stored.set()
                await forgotten.wait()
                await self.persist(Said("second"))

        async with opened(store) as system:
            asked = soon(system.ref(Long, "bob-1").ask(Say("dear")))
            await stored.wait()
            await system.forget("bob")
            forgotten.set()

            with pytest.raises(SubjectForgotten):
                await asked
        assert await store.last("events", "Long/bob-1") == 1

    async def test_leaves_no_cipher_that_opens(self, store: Backend) -> None:
        """Nor does a snapshot that is sealed just then bring it back."""
        async with opened(store) as system:
            await system.ref(Letter, "bob-1").ask(Say("dear"))
            vault = system._stores.vault  # type: ignore[union-attr]
            secret = await vault.subject(vault.handle("bob"), "Letter/bob-1")
            [record] = (await store.page("events", "Letter/bob-1", 1, 2, limit=1, max_bytes=1)).entries
            seal = vault.seal("events", "Letter/bob-1", vault.sealing)  # type: ignore[arg-type]
            await system.forget("bob")

            seal.of_subject(secret).seal(2, plain_record(b"late"))

            with pytest.raises(SubjectForgotten):
                seal.open(*record)

    async def test_concerns_nobody_else(self, store: Backend) -> None:
        async with opened(store) as system:
            for key in ("bob-1", "bob-2", "eve-1"):
                await system.ref(Letter, key).ask(Say("dear"))

            await system.forget("bob")

            assert await system.ref(Letter, "eve-1").ask(Read()) == ("dear",)


class TestKeysOfSubjects:
    async def test_that_were_put_there_in_plain_are_refused(self, store: Backend) -> None:
        """In the window for plain records too: who could choose a key could read all that is sealed with it."""
        async with opened(store) as system:
            await system.ref(Letter, "bob-1").ask(Say("dear"))
        handle, number, _ = await subject_key(store)
        chosen = plain_record(msgspec.msgpack.encode([b"k" * 32, 0]))
        await write(store, Put("subject_keys", handle, number, chosen))

        async with opened(store, **in_the_window()) as system:
            with pytest.raises(RecordAltered, match="not sealed, so anybody may have put it here"):
                await system.ref(Letter, "bob-1").ask(Say("more"))

    async def test_of_another_subject_are_refused(self, store: Backend) -> None:
        async with opened(store) as system:
            await system.ref(Letter, "bob-1").ask(Say("dear"))
            handle, number, _ = await subject_key(store)
            await system.ref(Letter, "eve-1").ask(Say("dear"))
        [other] = set(await store.prefixes("subject_keys")) - {handle}
        page = await store.page("subject_keys", other, 1, 9, limit=9, max_bytes=999)
        await write(store, Put("subject_keys", handle, number, page.entries[0].value))

        async with opened(store) as system:
            with pytest.raises(RecordMoved):
                await system.ref(Letter, "bob-1").ask(Read())

    async def test_under_a_later_number_are_refused(self, store: Backend) -> None:
        """So nobody brings a subject back by putting its key behind the word that it was forgotten."""
        async with opened(store) as system:
            await system.ref(Letter, "bob-1").ask(Say("dear"))
            handle, number, record = await subject_key(store)
            await system.forget("bob")
        await write(store, Put("subject_keys", handle, number + 2, record))

        async with opened(store) as system:
            with pytest.raises(RecordMoved):
                await system.ref(Letter, "bob-1").ask(Read())

    async def test_that_were_removed_are_named(self, store: Backend) -> None:
        """And are not taken for those of somebody who is new."""
        async with opened(store) as system:
            await system.ref(Letter, "bob-1").ask(Say("dear"))
        handle, number, _ = await subject_key(store)
        await write(store, Delete("subject_keys", handle, number))

        async with opened(store) as system:
            with pytest.raises(SubjectKeyMissing, match="restore the collection subject_keys"):
                await system.ref(Letter, "bob-1").ask(Say("more"))

            await system.ref(Letter, "bob-2").ask(Say("dear"))
            with pytest.raises(WrongKey, match="its subject's key"):
                await system.ref(Letter, "bob-1").ask(Read())

    async def test_that_are_damaged_in_any_byte_are_named(self, store: Backend) -> None:
        async with opened(store) as system:
            await system.ref(Letter, "bob-1").ask(Say("dear"))
        handle, number, record = await subject_key(store)

        for altered in damaged(record):
            await write(store, Put("subject_keys", handle, number, altered))
            async with opened(store) as system:
                with pytest.raises(SealError):
                    await system.ref(Letter, "bob-1").ask(Read())

    async def test_of_a_form_of_the_future_are_named(self, store: Backend) -> None:
        async with opened(store) as system:
            await system.ref(Letter, "bob-1").ask(Say("dear"))
            handle, number, _ = await subject_key(store)
            vault = system._stores.vault  # type: ignore[union-attr]
            seal = vault.seal("subject_keys", handle, vault.sealing)  # type: ignore[arg-type]
        for form in ({"key": b""}, [b"short", 1], []):
            await write(
                store,
                Put("subject_keys", handle, number, seal.seal(number, plain_record(msgspec.msgpack.encode(form)))),
            )

            async with opened(store) as system:
                with pytest.raises(RecordAltered, match="a form that is unknown"):
                    await system.ref(Letter, "bob-1").ask(Read())


class TestTheKeyOfNames:
    @pytest.mark.parametrize("options", [{}, {"hide_names": True}])
    @pytest.mark.parametrize("window", [False, True])
    async def test_that_was_put_there_in_plain_is_refused(
        self, store: Backend, options: dict[str, Any], window: bool
    ) -> None:
        """Who could choose it could find out every hidden name."""
        forged = plain_record(msgspec.msgpack.encode(["hide_names" in options, bytes(32)]))
        await write(store, PutState("sealing", "names", forged))

        with pytest.raises(RecordAltered, match="not sealed, so anybody may have put it here"):
            await enter(opened(store, **options, **(in_the_window() if window else {})))

    @pytest.mark.parametrize("window", [False, True])
    async def test_that_is_damaged_in_any_byte_is_named(self, store: Backend, window: bool) -> None:
        await enter(opened(store))
        _, record = await store.read_state("sealing", "names")
        assert record is not None

        for altered in damaged(record):
            await write(store, PutState("sealing", "names", altered))
            with pytest.raises(SealError, match=r"names, sequence number 0"):
                await enter(opened(store, **(in_the_window() if window else {})))

    async def test_of_a_form_of_the_future_is_named(self, store: Backend) -> None:
        async with opened(store) as system:
            vault = system._stores.vault  # type: ignore[union-attr]
            seal = vault.seal("sealing", "names", vault.sealing)  # type: ignore[arg-type]
        await write(store, PutState("sealing", "names", seal.seal(0, plain_record(b"\x93\x01\x02\x03"))))

        with pytest.raises(RecordAltered, match="a form that is unknown"):
            await enter(opened(store))


class TestResealing:
    @pytest.mark.parametrize("form", ["msgpack", "json"])
    async def test_makes_no_damaged_record_look_whole(self, store: Backend, form: Any) -> None:
        """A plain record has a checksum, which is not sealed with it: it is held to that before."""
        async with ActorSystem(store=store, write=form) as system:
            await system.ref(Diary, "a").ask(Say("dear"))
        [entry] = (await store.page("events", "Diary/a", 1, 2, limit=1, max_bytes=1)).entries

        for altered in damaged(entry.value):
            await write(store, Put("events", "Diary/a", 1, altered))
            try:
                await reseal(store, Sealing(Keyring({1: ONE}), **in_the_window()))
            except CorruptionError:
                continue
            with pytest.raises(CorruptionError):
                await replay(store, Diary, "a", sealing=Keyring({1: ONE}))

    async def test_seals_no_key_that_somebody_has_put_there(self, store: Backend) -> None:
        """In the window for plain records too."""
        async with opened(store) as system:
            await system.ref(Letter, "bob-1").ask(Say("dear"))
        handle, number, _ = await subject_key(store)
        chosen = plain_record(msgspec.msgpack.encode([b"k" * 32, 0]))
        await write(store, Put("subject_keys", handle, number, chosen))

        with pytest.raises(RecordAltered, match="not sealed, so anybody may have put it here"):
            await reseal(store, Sealing(Keyring({1: ONE}), **in_the_window()))


def damaged(record: bytes) -> list[bytes]:
    """Return a record with each byte changed, cut at each byte, and lengthened."""
    flipped = [record[:at] + bytes((record[at] ^ 1 << at % 8,)) + record[at + 1 :] for at in range(len(record))]
    return [*flipped, *(record[:size] for size in range(len(record))), record + b"\0", record + record]


async def enter(system: ActorSystem) -> None:
    async with system:
        pass
