"""What is stored is sealed, each record to its place, and nothing else is accepted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from perdure import ActorSystem, Full, Keyring, RecoveryFellBack, Sealing, every_n_events, replay
from perdure.abc import Backend, DeleteRange, Put, PutState
from perdure.errors import (
    ChainBroken,
    ConflictError,
    CorruptionError,
    KeyMissing,
    PlaintextRefused,
    RecordAltered,
    RecordMoved,
    SealedStore,
    SealError,
    StoreError,
    StoreUnavailable,
    TailCut,
    WrongKey,
)
from perdure.memory import MemoryBackend
from perdure.security import Anchor, AnchoredHead, link_of
from perdure.security._layout import pack_number, place_of
from perdure.upkeep import verify
from perdure_testkit import FaultyBackend, VirtualClock

from .another_sealing import place, record_key
from .diaries import ONE, SECRET, TWO, Diary, Note, Notebook, Pocketbook, Say, entries, write


@pytest.fixture
async def store() -> AsyncIterator[Backend]:
    backend = MemoryBackend()
    yield backend
    await backend.close()


def sealing(**options: Any) -> Sealing:
    return Sealing(Keyring({1: ONE}), **options)


async def tell(store: Backend, actor_type: type[Any], *texts: str, seal: Sealing | Keyring | None = None) -> int:
    """Return how many texts an actor has, once it was told these too, by a system of its own."""
    async with ActorSystem(store=store, sealing=seal or sealing()) as system:
        replies = [await system.ref(actor_type, "a").ask(Say(text)) for text in texts]
    return replies[-1] if replies else 0


async def state_of(store: Backend, actor_type: type[Any], seal: Sealing | None = None) -> Any:
    return (await replay(store, actor_type, "a", sealing=seal or sealing())).state


class TestAtRest:
    @pytest.mark.parametrize("actor_type", [Diary, Pocketbook, Note])
    @pytest.mark.parametrize("options", [{}, {"chain": True}, {"suite": "xchacha20-poly1305"}, {"hide_names": True}])
    async def test_what_was_sealed_is_read_back(
        self, store: Backend, actor_type: type[Any], options: dict[str, Any]
    ) -> None:
        """Whatever the options, and in every life (ATS-97, AVE-123)."""
        for count in range(1, 10):
            assert await tell(store, actor_type, str(count), seal=sealing(**options)) == count

    @pytest.mark.parametrize("actor_type", [Diary, Pocketbook, Note])
    async def test_nothing_of_an_event_a_state_or_a_tag_stands_in_the_store(
        self, store: MemoryBackend, actor_type: type[Any]
    ) -> None:
        """Neither of the events of an actor that stores its state with them (ATS-95, AVE-44)."""
        await tell(store, actor_type, *[SECRET] * 9)

        for secret in (SECRET.encode(), b"Said", b"tag-"):
            assert secret not in repr(vars(store)).encode()

    async def test_no_name_stands_in_a_store_that_hides_names(self, store: MemoryBackend) -> None:
        async with ActorSystem(store=store, sealing=sealing(hide_names=True)) as system:
            for actor_type in (Diary, Pocketbook, Note):
                for _ in range(5):
                    await system.ref(actor_type, SECRET).ask(Say("hello"))
            found = [identity async for identity in system.query(Diary, Pocketbook).ids(Diary)]

        assert found == [f"Diary/{SECRET}"]
        for name in (SECRET, "Diary", "Pocketbook", "Note"):
            assert name not in repr(vars(store))

    async def test_the_nonce_is_fresh_for_each_record(self, store: Backend) -> None:
        """Also where the records are the same (ATS-95)."""
        await tell(store, Notebook, *["same"] * 50)

        records = await entries(store, "events", "Notebook/a")

        assert len({record[13:25] for record in records.values()}) == 50

    async def test_keys_differ_by_persistence_id(self, store: Backend) -> None:
        """What one opens the other does not (ATS-96)."""
        await tell(store, Notebook, "mine")
        [record] = (await entries(store, "events", "Notebook/a")).values()

        seal = sealing()
        ours = seal.ciphers.make(record[2:9], "Notebook/a", seal.suite, seal.active)
        other = seal.ciphers.make(record[2:9], "Notebook/b", seal.suite, seal.active)
        place = place_of("events", "Notebook/a") + pack_number(1) + record[:13]

        assert ours.decrypt(record[13:25], record[25:], place)
        with pytest.raises(InvalidTag):
            other.decrypt(record[13:25], record[25:], place)

    async def test_a_keyring_alone_is_a_sealing(self, store: Backend) -> None:
        assert await tell(store, Diary, "one", seal=Keyring({1: ONE})) == 1
        assert await tell(store, Diary, "two", seal=sealing()) == 2

    async def test_each_record_says_its_suite_so_that_it_may_change(self, store: Backend) -> None:
        """With the same key (ATS-100)."""
        await tell(store, Diary, "one", "two")

        assert await tell(store, Diary, "three", seal=sealing(suite="xchacha20-poly1305")) == 3
        assert await tell(store, Diary, "four") == 4


class TestKeys:
    async def test_what_an_older_key_has_sealed_is_read(self, store: Backend) -> None:
        """Snapshots and states as well as events (ATS-97)."""
        await tell(store, Diary, "old", seal=Keyring({1: ONE}))

        assert await tell(store, Diary, "new", seal=Keyring({1: ONE, 2: TWO})) == 2

    async def test_a_new_key_seals_from_its_activation_on(self, store: Backend) -> None:
        keyring = Keyring({1: ONE})
        async with ActorSystem(store=store, sealing=keyring) as system:
            note = system.ref(Notebook, "a")
            await note.ask(Say("old"))
            keyring.add(2, TWO)
            await note.ask(Say("old still"))
            keyring.activate(2)
            await note.ask(Say("new"))

        versions = [record[4] for record in (await entries(store, "events", "Notebook/a")).values()]

        assert versions == [1, 1, 2]

    async def test_a_key_that_was_removed_opens_nothing_any_more(self, store: Backend) -> None:
        keyring = Keyring({1: ONE, 2: TWO}, active=1)
        await tell(store, Diary, "old", seal=keyring)
        seal = Sealing(keyring)
        assert await state_of(store, Diary, seal) == ("old",)
        keyring.activate(2)
        keyring.remove(1)

        with pytest.raises(KeyMissing):
            await state_of(store, Diary, seal)

    async def test_a_missing_key_is_named_with_those_that_are_there(self, store: Backend) -> None:
        """And with what to do (ATS-95, ATS-97)."""
        await tell(store, Diary, "old", seal=Keyring({7: ONE}))

        with pytest.raises(KeyMissing, match="key version 7, and the keyring has 1, 2: add that key") as caught:
            await state_of(store, Diary, Sealing(Keyring({1: ONE, 2: TWO})))

        assert (caught.value.version, caught.value.versions) == (7, (1, 2))

    async def test_a_wrong_key_is_told_from_a_damaged_record(self, store: Backend) -> None:
        """By its fingerprint (ATS-95, ATS-101)."""
        await tell(store, Diary, "old", seal=Keyring({1: ONE}))

        with pytest.raises(WrongKey, match="fingerprint"):
            await state_of(store, Diary, Sealing(Keyring({1: TWO})))


class TestMisuse:
    async def test_a_system_without_keys_is_refused_before_it_writes(self, store: Backend) -> None:
        await tell(store, Diary, "sealed")

        with pytest.raises(SealedStore, match="give it sealing="):
            async with ActorSystem(store=store):
                pass

    async def test_names_cannot_be_hidden_later(self, store: Backend) -> None:
        await tell(store, Diary, "sealed")

        with pytest.raises(SealedStore, match="hide_names"):
            await tell(store, Diary, "hidden", seal=sealing(hide_names=True))

    async def test_names_cannot_be_hidden_in_a_store_that_has_some(self, store: Backend) -> None:
        async with ActorSystem(store=store) as system:
            await system.ref(Diary, "a").ask(Say("plain"))

        with pytest.raises(SealedStore, match="hide_names is for a new store"):
            await tell(store, Diary, "hidden", seal=sealing(hide_names=True))

    def test_a_sealing_is_validated_at_once(self) -> None:
        """Before any store is opened (ATS-98, ATS-106)."""
        with pytest.raises(ValueError, match="'aes-256-gcm' or 'xchacha20-poly1305', not 'rot13'"):
            sealing(suite="rot13")
        with pytest.raises(ValueError, match="has no zone"):
            sealing(plaintext_until=datetime(2030, 1, 1))
        with pytest.raises(ValueError, match="say chain=True"):
            sealing(anchor=Anchor(datetime.now(UTC), {}))
        with pytest.raises(TypeError, match="not a bytes"):
            Sealing(ONE)  # type: ignore[arg-type]

    def test_a_sealing_shows_no_key(self) -> None:
        shown = repr(sealing()) + str(vars(sealing())) + repr(sealing().active)

        assert ONE.hex() not in shown
        assert repr(ONE)[2:-1] not in shown


class TestOfAType:
    async def test_a_type_has_a_sealing_of_its_own(self, store: Backend) -> None:
        """In place of the system's (ATS-104, ATS-105)."""

        class Private(Diary):
            sealing = Keyring({9: TWO})

        async with ActorSystem(store=store, sealing=sealing()) as system:
            await system.ref(Private, "a").ask(Say("mine"))
            await system.ref(Diary, "a").ask(Say("ours"))
            query = system.query(Private, Diary)
            found = [stored.event.text async for stored in query.all_events()]

        [record] = (await entries(store, "events", "Private/a")).values()
        assert record[4] == 9
        assert found == ["mine", "ours"]

    async def test_a_type_may_seal_where_the_system_does_not(self, store: Backend) -> None:
        """And be the only one (ATS-104)."""

        class Private(Diary):
            sealing = Sealing(Keyring({9: TWO}))

        async with ActorSystem(store=store) as system:
            assert await system.ref(Private, "a").ask(Say(SECRET)) == 1
            assert await system.ref(Diary, "a").ask(Say("open")) == 1

        [record] = (await entries(store, "events", "Private/a")).values()
        assert SECRET.encode() not in record

    async def test_a_type_may_stay_plain_where_the_system_seals(self, store: Backend) -> None:
        """By saying so (ATS-104, ATS-105)."""

        class Public(Diary):
            sealing = "none"

        async with ActorSystem(store=store, sealing=sealing()) as system:
            await system.ref(Public, "a").ask(Say("everybody knows"))
            found = [stored.event.text async for stored in system.query(Public).all_events()]

        [record] = (await entries(store, "events", "Public/a")).values()
        assert b"everybody knows" in record
        assert found == ["everybody knows"]

    async def test_a_plain_type_is_refused_where_names_are_hidden(self, store: Backend) -> None:
        class Public(Diary):
            sealing = "none"

        async with ActorSystem(store=store, sealing=sealing(hide_names=True)) as system:
            with pytest.raises(Exception, match="its ids would show"):
                await system.ref(Public, "a").ask(Say("here I am"))

    @pytest.mark.parametrize("wrong", [None, ONE, "yes"])
    async def test_anything_else_is_refused(self, store: Backend, wrong: Any) -> None:
        """When the actor starts (ATS-105)."""

        class Private(Diary):
            sealing = wrong

        async with ActorSystem(store=store, sealing=sealing()) as system:
            with pytest.raises(Exception, match="a Sealing, a Keyring, 'system' or 'none'"):
                await system.ref(Private, "a").ask(Say("mine"))


class TestTampering:
    async def test_plaintext_is_refused(self, store: Backend) -> None:
        """Anybody may have written it (ATS-101)."""
        elsewhere = MemoryBackend()
        await plain(elsewhere, Notebook, "forged")
        [forged] = (await entries(elsewhere, "events", "Notebook/a")).values()
        await tell(store, Notebook, "one")
        await write(store, Put("events", "Notebook/a", 1, forged))

        with pytest.raises(PlaintextRefused, match="Notebook/a, sequence number 1: it is not sealed"):
            await state_of(store, Notebook)

    async def test_a_record_of_another_actor_is_refused(self, store: Backend) -> None:
        """Though it has the right number and key (ATS-102)."""
        async with ActorSystem(store=store, sealing=sealing()) as system:
            await system.ref(Notebook, "a").ask(Say("mine"))
            await system.ref(Notebook, "b").ask(Say("yours"))
        await write(store, Put("events", "Notebook/a", 1, (await entries(store, "events", "Notebook/b"))[1]))

        with pytest.raises(RecordMoved, match="Notebook/a, sequence number 1"):
            await state_of(store, Notebook)

    async def test_swapped_records_are_refused(self, store: Backend) -> None:
        """Though they are of one actor (ATS-102, W-26)."""
        await tell(store, Notebook, "one", "two")
        found = await entries(store, "events", "Notebook/a")
        await write(store, Put("events", "Notebook/a", 1, found[2]), Put("events", "Notebook/a", 2, found[1]))

        with pytest.raises(RecordMoved, match="sequence number 1"):
            await state_of(store, Notebook)

    async def test_a_moved_record_with_a_corrected_checksum_is_refused(self, store: Backend) -> None:
        await tell(store, Notebook, "one", "two")
        found = await entries(store, "events", "Notebook/a")
        await write(store, Put("events", "Notebook/a", 1, found[2][:9] + found[1][9:13] + found[2][13:]))

        with pytest.raises(RecordAltered, match="sequence number 1"):
            await state_of(store, Notebook)

    async def test_an_older_snapshot_in_the_place_of_a_newer_is_reported_and_not_used(self, store: Backend) -> None:
        """The events give the state (ATS-102, W-26)."""
        await tell(store, Diary, *"12345678")
        found = await entries(store, "snapshots", "Diary/a")
        await write(store, Put("snapshots", "Diary/a", 8, found[4]))

        async with ActorSystem(store=store, sealing=sealing()) as system:
            notices = system.events()
            count = await system.ref(Diary, "a").ask(Say("9"))
            fallen = await anext(notice async for notice in notices if isinstance(notice, RecoveryFellBack))

        assert count == 9
        assert "sealed for another place" in fallen.reason

    async def test_a_forged_snapshot_is_not_used(self, store: Backend) -> None:
        """Nor one that says it is not sealed (ATS-102)."""
        elsewhere = MemoryBackend()
        await plain(elsewhere, Diary, *["forged"] * 4)
        forged = (await entries(elsewhere, "snapshots", "Diary/a"))[4]
        await tell(store, Diary, *"1234")
        await write(store, Put("snapshots", "Diary/a", 4, forged))

        assert await state_of(store, Diary) == ("1", "2", "3", "4")

    async def test_an_older_state_never_hides_newer_events(self, store: Backend) -> None:
        await tell(store, Pocketbook, "one")
        _, older = await store.read_state("states", "Pocketbook/a")
        await tell(store, Pocketbook, "two")
        assert older is not None
        await write(store, PutState("states", "Pocketbook/a", older))

        assert await state_of(store, Pocketbook) == ("one", "two")

    async def test_a_durable_state_under_another_revision_is_refused(self, store: Backend) -> None:
        await tell(store, Note, "one")
        [older] = (await entries(store, "durable", "Note/a")).values()
        await tell(store, Note, "two")
        await write(store, Put("durable", "Note/a", 2, older))

        with pytest.raises(RecordMoved, match="Note/a"):
            await tell(store, Note, "three")

    async def test_an_event_in_the_place_of_a_snapshot_is_refused(self, store: Backend) -> None:
        await tell(store, Diary, *"1234")
        await write(store, Put("snapshots", "Diary/a", 4, (await entries(store, "events", "Diary/a"))[4]))

        assert await state_of(store, Diary) == ("1", "2", "3", "4")

    @pytest.mark.parametrize("options", [{}, {"chain": True}, {"suite": "xchacha20-poly1305"}])
    async def test_no_bit_of_a_record_can_be_changed(self, store: Backend, options: dict[str, Any]) -> None:
        """Of its header neither: no flag can be cleared or set (ATS-95, ATS-101, ATS-102)."""
        await tell(store, Notebook, "one", seal=sealing(**options))
        [record] = (await entries(store, "events", "Notebook/a")).values()
        kinds = set()

        for bit in range(8 * len(record)):
            altered = bytearray(record)
            altered[bit // 8] ^= 1 << bit % 8
            await write(store, Put("events", "Notebook/a", 1, bytes(altered)))
            with pytest.raises(SealError) as caught:
                await state_of(store, Notebook, sealing(**options))
            kinds.add(type(caught.value))

        assert kinds >= {PlaintextRefused, RecordAltered, RecordMoved, KeyMissing, WrongKey}

    async def test_no_record_can_be_cut_or_lengthened(self, store: Backend) -> None:
        """Not within its nonce either (ATS-95)."""
        await tell(store, Notebook, "one")
        [record] = (await entries(store, "events", "Notebook/a")).values()

        for altered in (*(record[:size] for size in range(len(record))), record + b"\0", record + record):
            await write(store, Put("events", "Notebook/a", 1, altered))
            with pytest.raises(SealError):
                await state_of(store, Notebook)

    async def test_no_error_shows_what_was_sealed(self, store: Backend, caplog: pytest.LogCaptureFixture) -> None:
        """And no log (W-26)."""
        await tell(store, Notebook, SECRET)
        [record] = (await entries(store, "events", "Notebook/a")).values()
        await write(store, Put("events", "Notebook/a", 1, record[:-1] + bytes([record[-1] ^ 1])))

        async with ActorSystem(store=store, sealing=sealing()) as system:
            with pytest.raises(CorruptionError) as caught:
                await system.ref(Notebook, "a").ask(Say("more"))

        assert SECRET not in repr(caught.value) + str(caught.value) + caplog.text

    async def test_a_record_of_another_store_is_refused_where_stores_have_names(self, store: Backend) -> None:
        elsewhere = MemoryBackend()
        await tell(elsewhere, Notebook, "theirs", seal=sealing(store="b"))
        await tell(store, Notebook, "ours", seal=sealing(store="a"))
        await write(store, Put("events", "Notebook/a", 1, (await entries(elsewhere, "events", "Notebook/a"))[1]))

        with pytest.raises(RecordAltered):
            await state_of(store, Notebook, sealing(store="a"))

    async def test_the_key_of_a_record_is_that_of_the_published_format(self, store: Backend) -> None:
        await tell(store, Notebook, "ours", seal=sealing(store="a"))
        [record] = (await entries(store, "events", "Notebook/a")).values()

        key = record_key(ONE, None, record[2], "Notebook/a", "a")

        opened = AESGCM(key).decrypt(record[13:25], record[25:], place("events", "Notebook/a", 1) + record[:13])
        assert b"ours" in opened

    async def test_an_actor_whose_subject_has_changed_is_read(self, store: Backend) -> None:
        class Mine(Notebook):
            whose: ClassVar[str | None] = "alice"

            @classmethod
            def subject(cls, persistence_id: str) -> str | None:  # noqa: ARG003
                return cls.whose

        await tell(store, Mine, "one", "two")
        for Mine.whose in ("bob", None):
            await tell(store, Mine, "more")

        assert await state_of(store, Mine) == ("one", "two", "more", "more")


class TestTail:
    async def test_a_log_that_ends_before_its_anchor_is_refused(self, store: Backend) -> None:
        """By who knows the anchor (W-26)."""
        await tell(store, Notebook, *"123", seal=sealing(chain=True))
        anchor = await anchor_of(store, 3)
        await write(store, DeleteRange("events", "Notebook/a", 3, 4))

        with pytest.raises(TailCut, match=r"Notebook/a, sequence number 2: .* up to 3: its tail was cut off"):
            await state_of(store, Notebook, sealing(chain=True, anchor=anchor))

    async def test_a_log_that_is_another_at_its_anchor_is_refused(self, store: Backend) -> None:
        await tell(store, Notebook, *"123", seal=sealing(chain=True))
        anchor = await anchor_of(store, 3)
        await write(store, DeleteRange("events", "Notebook/a", 3, 4))
        await tell(store, Notebook, *["another", "past"], seal=sealing(chain=True))

        with pytest.raises(ChainBroken, match="sequence number 3: an anchor knows another record"):
            await state_of(store, Notebook, sealing(chain=True, anchor=anchor))

    async def test_a_log_that_has_grown_since_its_anchor_is_read(self, store: Backend) -> None:
        await tell(store, Notebook, *"123", seal=sealing(chain=True))
        anchor = await anchor_of(store, 2)

        assert await tell(store, Notebook, "4", seal=sealing(chain=True, anchor=anchor)) == 4

    async def test_each_record_carries_the_link_of_the_one_before(self, store: Backend) -> None:
        for text in "1234":
            await tell(store, Notebook, text, seal=sealing(chain=True))
        found = await entries(store, "events", "Notebook/a")

        links = [link_of("events", "Notebook/a", key, found[key]) for key in found]

        assert [record[13:45] for record in found.values()] == [bytes(32), *links[:3]]


async def anchor_of(store: Backend, number: int) -> Anchor:
    record = (await entries(store, "events", "Notebook/a"))[number]
    link = link_of("events", "Notebook/a", number, record)
    return Anchor(datetime.now(UTC), {"Notebook/a": AnchoredHead(number, link)})


class TestMigration:
    async def test_what_was_plain_is_read_in_the_window_and_sealed_from_now_on(
        self, store: Backend, clock: VirtualClock
    ) -> None:
        """The window is said, and has an end (ATS-101)."""
        await plain(store, Diary, "before")
        until = datetime.fromtimestamp(clock.time() + 60, UTC)

        assert await tell(store, Diary, "after", seal=sealing(plaintext_until=until, now=clock.time)) == 2
        found = await entries(store, "events", "Diary/a")
        assert [record[1] for record in found.values()] == [0, 2]

    @pytest.mark.parametrize("actor_type", [Diary, Pocketbook, Note])
    async def test_it_is_refused_when_the_window_ends(
        self, store: Backend, clock: VirtualClock, actor_type: type[Any]
    ) -> None:
        """By itself (ATS-101)."""
        await plain(store, actor_type, *"before")
        until = datetime.fromtimestamp(clock.time() + 60, UTC)
        seal = sealing(plaintext_until=until, now=clock.time)
        await clock.advance(61)

        with pytest.raises(PlaintextRefused, match="set plaintext_until and reseal"):
            await tell(store, actor_type, "after", seal=seal)


async def plain(store: Backend, actor_type: type[Any], *texts: str) -> None:
    async with ActorSystem(store=store) as system:
        for text in texts:
            await system.ref(actor_type, "a").ask(Say(text))


class TestEverythingElse:
    """What stands on the log works on a sealed one."""

    OPTIONS: ClassVar[list[dict[str, Any]]] = [{}, {"chain": True}, {"hide_names": True}]

    @pytest.mark.parametrize("options", OPTIONS)
    async def test_a_follower_sees_the_log_and_what_is_added(self, store: Backend, options: dict[str, Any]) -> None:
        await tell(store, Diary, *"123", seal=sealing(**options))

        async with ActorSystem(store=store, sealing=sealing(**options)) as system:
            ref = system.ref(Diary, "a")
            async with ref.subscribe(after=1) as events:
                seen = [await anext(events), await anext(events)]
                await ref.ask(Say("4"))
                seen.append(await anext(events))

        assert [(item.sequence_number, item.event.text) for item in seen] == [(2, "2"), (3, "3"), (4, "4")]

    @pytest.mark.parametrize("options", OPTIONS)
    async def test_a_durable_state_is_followed_and_its_changes_queried(
        self, store: Backend, options: dict[str, Any]
    ) -> None:
        async with ActorSystem(store=store, sealing=sealing(**options)) as system:
            ref = system.ref(Note, "a")
            async with ref.subscribe(after=0) as changes:
                await ref.ask(Say("one"))
                followed = await anext(changes)
            queried = [change async for change in system.query().changes(Note)]

        assert (followed.revision, followed.state) == (1, "one")
        assert [(change.persistence_id, change.state) for change in queried] == [("Note/a", "one")]

    @pytest.mark.parametrize("options", OPTIONS)
    async def test_events_are_found_by_id_by_tag_and_all(self, store: Backend, options: dict[str, Any]) -> None:
        await tell(store, Diary, *"12345", seal=sealing(**options))

        async with ActorSystem(store=store, sealing=sealing(**options)) as system:
            query = system.query(Diary)
            found = [
                [(stored.persistence_id, stored.sequence_number, stored.event.text) async for stored in stream]
                for stream in (query.events_of("Diary/a"), query.tagged(f"tag-{SECRET}"), query.all_events())
            ]
            none = [stored async for stored in query.tagged("another")]

        assert found == [[("Diary/a", number, str(number)) for number in range(1, 6)]] * 3
        assert none == []

    async def test_events_below_a_sealed_snapshot_may_be_deleted(self, store: Backend) -> None:
        class Deleting(Diary):
            async def handle(self, message: Any, context: Any) -> Any:
                await super().handle(message, context)
                await self.save_snapshot()
                await self.delete_events(self.sequence_number - 1)
                return len(self.state)

        assert [await tell(store, Deleting, text) for text in "123"] == [1, 2, 3]
        assert list(await entries(store, "events", "Deleting/a")) == [3]

    async def test_snapshots_are_kept_by_the_age_that_they_have_inside(
        self, store: Backend, clock: VirtualClock
    ) -> None:
        class Ageing(Diary):
            strategy = Full(snapshot=every_n_events(1), keep_snapshots=1, keep_snapshots_for=10)

        async with ActorSystem(store=store, sealing=sealing(), clock=clock) as system:
            for text in "123456":
                await system.ref(Ageing, "a").ask(Say(text))
                await clock.advance(4)

        assert list(await entries(store, "snapshots", "Ageing/a")) == [4, 5, 6]

    async def test_a_state_is_replayed_to_a_time(self, store: Backend, clock: VirtualClock) -> None:
        async with ActorSystem(store=store, sealing=sealing(), clock=clock) as system:
            for text in "12345":
                await system.ref(Diary, "a").ask(Say(text))
                await clock.advance(10)
        to = datetime.fromtimestamp(clock.time() - 25, UTC)

        replayed = await replay(store, Diary, "a", to=to, sealing=sealing())

        assert (replayed.state, replayed.sequence_number) == (("1", "2", "3"), 3)

    @pytest.mark.parametrize("options", OPTIONS)
    async def test_json_records_are_sealed_too(self, store: MemoryBackend, options: dict[str, Any]) -> None:
        async with ActorSystem(store=store, sealing=sealing(**options), write="json") as system:
            for _ in range(5):
                await system.ref(Diary, "a").ask(Say(SECRET))

        assert SECRET not in repr(vars(store))
        assert await state_of(store, Diary, sealing(**options)) == (SECRET,) * 5

    async def test_a_failed_persist_breaks_no_chain(self, store: Backend) -> None:
        """The next record is chained to what is stored, whatever was tried between."""
        faulty = FaultyBackend(store)
        async with ActorSystem(store=faulty, sealing=sealing(chain=True)) as system:
            ref = system.ref(Notebook, "a")
            for fault in (faulty.reject, faulty.lose, faulty.reject):
                await ref.ask(Say("stored"))
                fault("commit", StoreUnavailable("commit", "down"))
                with pytest.raises(StoreError):
                    await ref.ask(Say("perhaps"))
            await ref.ask(Say("last"))

        result = await verify(store)

        assert (result.problems, result.chained) == ([], result.events)

    async def test_two_writers_never_fork_a_chain(self, store: Backend) -> None:
        async with (
            ActorSystem(store=store, sealing=sealing(chain=True)) as one,
            ActorSystem(store=store, sealing=sealing(chain=True)) as two,
        ):
            for number in range(20):
                system = (one, two)[number % 2]
                with suppress(ConflictError):
                    await system.ref(Notebook, "a").ask(Say(str(number)))

        result = await verify(store)

        assert (result.problems, result.chained) == ([], result.events)
