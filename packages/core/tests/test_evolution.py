"""What was stored once is read today: steps, renames, replacements, and writing for older programs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from perdure import ActorSystem, Event, Evolution, Full, Light, Message, PersistentActor, every_n_events
from perdure.abc import Put, PutState, WriteGroup
from perdure.errors import CorruptionError, EventTypeError, EvolutionError, UpcastError
from perdure.evolution import Document
from perdure.journal import EVENTS, EventCodec, RecordError, StateCodec
from perdure.journal._record import ENCODERS
from perdure_testkit import FaultyBackend

FORMATS = pytest.mark.parametrize("write", ["msgpack", "json"])


class Fact(Event):
    """The base of all events of these tests."""


class Deposited(Fact, manifest="deposited", version=3):
    amount: int
    currency: str
    note: str = ""


class Withdrawn(Fact, manifest="withdrawn"):
    amount: int


def stored(manifest: str, version: int, content: Any, write: Any = "msgpack") -> bytes:
    """Return the record of an event as some program has once written it."""
    return ENCODERS[write](manifest, version, 0, content, None)


def with_currency(document: dict[str, Any]) -> dict[str, Any]:
    return {**document, "currency": "EUR"}


def with_amount(document: dict[str, Any]) -> dict[str, Any]:
    return {"amount": document.pop("sum"), **document}


def history_of_deposited() -> Evolution:
    """Return a history in which version 1 has a sum, version 2 an amount, and version 3 a currency."""
    history = Evolution()
    history.upcast("deposited", 1)(with_amount)
    history.upcast("deposited", 2)(with_currency)
    return history


def codec(history: Evolution, write: Any = "msgpack", types: Any = (Fact,)) -> EventCodec:
    return EventCodec("Account", types, write, history)


def refused(history: Evolution, text: str, types: Any = (Deposited, Withdrawn)) -> None:
    """Expect a history to be refused when an actor type is first used, with the type, the version and the reason."""
    with pytest.raises(EvolutionError, match=text) as refusal:
        codec(history, types=types)
    assert refusal.value.owner == "Account"


class TestUpcasters:
    @FORMATS
    @pytest.mark.parametrize(
        ("version", "content"),
        [
            (1, {"sum": 5}),
            (2, {"amount": 5}),
            (3, {"amount": 5, "currency": "EUR"}),
        ],
    )
    def test_lead_from_each_version_to_the_current_one(self, write: Any, version: int, content: Any) -> None:
        """Whatever was stored, the same object comes; a current one takes no step (ATS-110, ATS-115)."""
        record = stored("deposited", version, content, write)

        assert codec(history_of_deposited()).decode(record) == Deposited(5, "EUR")

    def test_see_also_what_looks_like_a_current_document(self) -> None:
        """A version may change what a field means, and leave its name and type (ATS-115)."""

        class Weighed(Event, version=2):
            grams: int

        history = Evolution()
        history.upcast("Weighed", 1)(lambda document: {"grams": document["grams"] * 1000})
        codec = EventCodec("Scales", [Weighed], "msgpack", history)
        records = [codec.encode(Weighed(5), 0), stored("Weighed", 1, {"grams": 5})]

        read = [codec.decode(record) for _ in range(2) for record in records]

        assert read == [Weighed(5), Weighed(5000)] * 2

    def test_may_jump_over_versions(self) -> None:
        """A step says where it leads (ATS-115)."""
        history = Evolution()
        history.upcast("deposited", 1, to=3)(lambda document: {"amount": document["sum"], "currency": "EUR"})

        assert codec(history).decode(stored("deposited", 1, {"sum": 5})) == Deposited(5, "EUR")

    def test_are_not_called_for_current_versions(self) -> None:
        """The past costs nothing where there is none (ATS-115)."""
        history = Evolution()
        called: list[Any] = []
        history.upcast("deposited", 1, to=3)(called.append)
        events = codec(history)

        for _ in range(3):
            events.decode(events.encode(Deposited(5, "EUR"), 0))

        assert called == []

    @FORMATS
    def test_leave_values_as_they_were_stored(self, write: Any) -> None:
        """A step sees what the format has: bytes and dates go through it and come out whole."""

        class Kept(Event, version=2):
            blob: bytes
            big: int
            text: str

        class KeptOnce(Event, manifest="Kept"):
            blob: bytes
            big: int

        history = Evolution()
        history.defaults("Kept", 1, text="x")
        record = EventCodec("A", [KeptOnce], write).encode(KeptOnce(b"\0\xff", 2**63), 0)

        assert EventCodec("A", [Kept], "msgpack", history).decode(record) == Kept(b"\0\xff", 2**63, "x")

    def test_must_give_what_the_type_takes(self) -> None:
        """The result is validated like any other event."""
        history = Evolution()
        history.upcast("deposited", 1, to=3)(lambda document: {**document, "currency": 7})

        with pytest.raises(
            RecordError, match=r"deposited of version 1, read as deposited version 3, does not decode: .*currency"
        ):
            codec(history).decode(stored("deposited", 1, {"amount": 5}))

    @pytest.mark.parametrize("rubbish", [None, Document("deposited", 3, {}), object()])
    def test_that_return_rubbish_are_named(self, rubbish: Any) -> None:
        """Most often a `return` was forgotten."""
        history = Evolution()

        @history.upcast("deposited", 1, to=3)
        def forgetful(document: Any) -> Any:
            return rubbish

        with pytest.raises(RecordError, match="deposited of version 1 cannot be"):
            codec(history).decode(stored("deposited", 1, {"amount": 5}))

    async def test_that_raise_are_named_with_the_place_of_the_record(self, store: FaultyBackend) -> None:
        """The error names persistence id, sequence number, type, version and step; its cause is at its root."""
        await store.commit([WriteGroup((Put(EVENTS, "Account/a", 1, stored("deposited", 1, {"amount": 5})),))])

        with pytest.raises(CorruptionError) as error:
            await balance(store, Account)

        assert str(error.value) == (
            "Account/a, sequence number 1: an event deposited of version 1 cannot be read: "
            "its step to version 2, with_amount, raised KeyError: 'sum'"
        )
        upcast = error.value.__cause__.__cause__  # type: ignore[union-attr]
        assert isinstance(upcast, UpcastError)
        assert (upcast.what, upcast.version, type(upcast.__cause__)) == ("event deposited", 1, KeyError)

    def test_that_are_missing_are_named(self) -> None:
        """Where a type has steps, a version without one is not guessed at (ATS-115)."""
        history = Evolution()
        history.upcast("deposited", 2)(with_currency)

        with pytest.raises(
            RecordError, match="deposited of version 1 cannot be read: no upcaster begins at this version"
        ):
            codec(history).decode(stored("deposited", 1, {"amount": 5}))

    def test_are_not_needed_where_defaults_of_fields_will_do(self) -> None:
        """A type without any step reads its older versions as they are (ATS-112)."""
        history = Evolution()
        history.upcast("withdrawn", 1)(with_currency)

        class WithdrawnNow(Event, manifest="withdrawn", version=2):
            amount: int
            currency: str

        events = codec(history, types=[WithdrawnNow, Deposited])

        assert events.decode(stored("deposited", 1, {"amount": 5, "currency": "X"})) == Deposited(5, "X")

    async def test_read_a_log_of_all_versions_in_order(self, store: FaultyBackend) -> None:
        """Old and new events stand side by side, and nothing is rewritten (ATS-109, ATS-110)."""
        records = [
            stored("deposited", 1, {"sum": 1}),
            stored("deposited", 3, {"amount": 2, "currency": "USD"}),
            stored("deposited", 2, {"amount": 3}, "json"),
            stored("deposited", 1, {"sum": 4}),
        ]
        puts = [Put(EVENTS, "Account/a", number, record) for number, record in enumerate(records, 1)]
        await store.commit([WriteGroup(tuple(puts))])

        seen = await balance(store, Account)

        assert seen == ["1 EUR", "2 USD", "3 EUR", "4 EUR"]
        assert [entry.value async for entry in store.collection(EVENTS, "Account/a").iterate()] == records


class TestDefaults:
    def test_fill_what_a_version_does_not_have(self) -> None:
        """What is stored wins over a default; the current version is left alone (ATS-113)."""
        history = Evolution()
        history.defaults("deposited", 1, currency="EUR")
        history.defaults("deposited", 2, note="none")
        events = codec(history)

        assert events.decode(stored("deposited", 1, {"amount": 5})) == Deposited(5, "EUR", "none")
        assert events.decode(stored("deposited", 1, {"amount": 5, "note": "x"})) == Deposited(5, "EUR", "x")
        assert events.decode(stored("deposited", 2, {"amount": 5, "currency": "X"})) == Deposited(5, "X", "none")
        assert events.decode(stored("deposited", 3, {"amount": 5, "currency": "X"})) == Deposited(5, "X", "")

    def test_are_never_shared_between_documents(self) -> None:
        """A step may change its document, and changes no other."""

        class Listed(Event, version=3):
            things: list[int]

        def with_seven(document: Any) -> Any:
            document["things"].append(7)
            return document

        history = Evolution()
        history.defaults("Listed", 1, things=[])
        history.upcast("Listed", 2)(with_seven)
        events = EventCodec("A", [Listed], "msgpack", history)

        assert [events.decode(stored("Listed", 1, {})) for _ in range(2)] == [Listed([7])] * 2

    def test_of_no_field_say_that_nothing_has_changed(self) -> None:
        """So a chain of steps has no gap."""
        history = Evolution()
        history.defaults("deposited", 1)
        history.upcast("deposited", 2)(with_currency)

        assert codec(history).decode(stored("deposited", 1, {"amount": 5})) == Deposited(5, "EUR")


class TestReplacements:
    @staticmethod
    def history() -> Evolution:
        history = Evolution()

        @history.replace("moved", 2)
        def as_bookings(document: dict[str, Any]) -> list[Document]:
            if document["amount"] == 0:
                return []
            booked = [Document("withdrawn", 1, {"amount": document["amount"]})]
            if document["stays"]:
                booked.append(Document("deposited", 2, {"amount": document["amount"]}))
            return booked

        history.defaults("moved", 1, stays=True)
        history.upcast("deposited", 1)(with_amount)
        history.upcast("deposited", 2)(with_currency)
        return history

    @FORMATS
    @pytest.mark.parametrize(
        ("version", "content", "events"),
        [
            (1, {"amount": 0}, ()),
            (2, {"amount": 5, "stays": False}, (Withdrawn(5),)),
            (1, {"amount": 5}, (Withdrawn(5), Deposited(5, "EUR"))),
        ],
    )
    def test_make_none_one_or_several_of_one(self, write: Any, version: int, content: Any, events: Any) -> None:
        """A type may be removed; what it is replaced by is upcast on from its own version."""
        record = stored("moved", version, content, write)

        assert tuple(codec(self.history()).decode_all(record)) == events

    @pytest.mark.parametrize("strategy", [Full(), Light()])
    async def test_are_applied_one_by_one(self, store: FaultyBackend, strategy: Any) -> None:
        """The state is the fold of them all; the sequence number counts what is stored."""
        kind = type("Account", (Account,), {"strategy": strategy, "evolution": self.history()})
        records = [
            stored("moved", 1, {"amount": 7}),
            stored("moved", 1, {"amount": 0}),
            stored("moved", 1, {"amount": 8}),
        ]
        puts = [Put(EVENTS, "Account/a", number, record) for number, record in enumerate(records, 1)]
        await store.commit([WriteGroup(tuple(puts))])

        async with ActorSystem(store=store) as system:
            ref = system.ref(kind, "a")
            await ref.ask(Persist((Withdrawn(9),)))
        seen = await balance(store, kind)

        assert (seen, await store.last(EVENTS, "Account/a")) == (["-7", "7 EUR", "-8", "8 EUR", "-9"], 4)

    async def test_come_to_followers_with_the_number_of_their_record(self, store: FaultyBackend) -> None:
        """So a follower can go on after any number."""
        kind = type("Account", (Account,), {"evolution": self.history()})
        records = [
            stored("moved", 1, {"amount": 7}),
            stored("moved", 1, {"amount": 0}),
            stored("withdrawn", 1, {"amount": 1}),
        ]
        puts = [Put(EVENTS, "Account/a", number, record) for number, record in enumerate(records, 1)]
        await store.commit([WriteGroup(tuple(puts))])

        async with ActorSystem(store=store) as system:
            ref = system.ref(kind, "a")
            events = ref.subscribe(after=0)
            first = [await anext(events) for _ in range(3)]
            await ref.ask(Persist((Withdrawn(2),)))
            live = await anext(events)
            rest = [await anext(ref.subscribe(after=after)) for after in (1, 2)]

        assert [(one.sequence_number, one.event) for one in [*first, live]] == [
            (1, Withdrawn(7)),
            (1, Deposited(7, "EUR")),
            (3, Withdrawn(1)),
            (4, Withdrawn(2)),
        ]
        assert [one.sequence_number for one in rest] == [3, 3]

    @pytest.mark.parametrize("made", [5, ["x"], {"amount": 5}, [Document(7, 1, {})], [Document("withdrawn", "1", {})]])  # type: ignore[arg-type]
    def test_that_are_no_documents_are_named(self, made: Any) -> None:
        """The error names the type, the version and the function."""
        history = Evolution()

        @history.replace("moved", 1)
        def wrongly(document: Any) -> Any:
            return made

        with pytest.raises(RecordError, match=r"moved of version 1 cannot be read: .*, wrongly, |replacement wrongly"):
            codec(history).decode(stored("moved", 1, {}))

    def test_that_name_what_nobody_knows_are_named(self) -> None:
        """A replacement ends in declared types."""
        history = Evolution()
        history.replace("moved", 1)(lambda document: [Document("vanished", 4, document)])

        with pytest.raises(
            RecordError, match="moved of version 1 cannot be read: event vanished version 4: Account declares no such"
        ):
            codec(history).decode(stored("moved", 1, {}))

    def test_that_lead_in_a_circle_are_named(self) -> None:
        """Reading never goes on for ever."""
        history = Evolution()
        history.replace("ping", 1)(lambda document: [Document("pong", 1, document)])
        history.replace("pong", 1)(lambda document: [Document("ping", 1, document)])

        with pytest.raises(RecordError, match=r"ping of version 1 cannot be read: .* leads round in a circle"):
            codec(history).decode(stored("ping", 1, {}))


class TestNames:
    @FORMATS
    def test_that_are_renamed_are_read_in_every_version(self, write: Any) -> None:
        """The class, and its stable name, may be called otherwise today."""
        history = history_of_deposited()
        history.rename("Deposit", "Deposited")
        history.rename("Deposited", "deposited")
        events = codec(history)

        read = [
            events.decode(stored(name, version, content, write))
            for name in ("Deposit", "Deposited", "deposited")
            for version, content in ((1, {"sum": 5}), (3, {"amount": 5, "currency": "EUR"}))
        ]

        assert read == [Deposited(5, "EUR")] * 6

    @FORMATS
    def test_that_are_dropped_are_passed_over(self, write: Any) -> None:
        """A record of such a type holds no event, whatever its version."""
        history = Evolution()
        history.drop("audited")

        assert codec(history).decode_all(stored("audited", 9, {"by": "x"}, write)) == ()

    def test_that_nobody_knows_are_named(self) -> None:
        """The error names type and version (ATS-113, ATS-118)."""
        with pytest.raises(
            RecordError, match="unknown type 'vanished', version 2; Account declares Fact, deposited, withdrawn"
        ):
            codec(history_of_deposited()).decode(stored("vanished", 2, {}))

    def test_of_a_newer_version_are_named(self) -> None:
        """An old program does not guess at what a new one wrote (ATS-113)."""
        with pytest.raises(
            RecordError, match=r"deposited of version 4 cannot be read: .*this program knows versions up to 3"
        ):
            codec(history_of_deposited()).decode(stored("deposited", 4, {}))


class TestWritingAnOlderVersion:
    @staticmethod
    def history(**as_what: Any) -> Evolution:
        history = history_of_deposited()
        history.downcast("deposited", 3)(lambda document: {"amount": document["amount"]})
        history.downcast("deposited", 2)(lambda document: {"sum": document["amount"]})
        history.write("deposited", **as_what)
        return history

    @FORMATS
    @pytest.mark.parametrize(("version", "content"), [(2, {"amount": 5}), (1, {"sum": 5}), (3, None)])
    def test_is_what_an_older_program_reads(self, write: Any, version: int, content: Any) -> None:
        """The record is as that program would have written it (ATS-116, ATS-117)."""
        record = codec(self.history(version=version), write).encode(Deposited(5, "EUR"), 0)

        content = content or {"amount": 5, "currency": "EUR", "note": ""}
        assert record == stored("deposited", version, content, write)

    @pytest.mark.parametrize("version", [1, 2, 3])
    def test_is_read_back_as_the_current_one(self, version: int) -> None:
        """Both programs go on in one log (ATS-117)."""
        events = codec(self.history(version=version))

        assert events.decode(events.encode(Deposited(5, "EUR"), 0)) == Deposited(5, "EUR")

    def test_may_be_under_an_older_name(self) -> None:
        """A program that does not know the new name reads the old one."""
        history = self.history(version=1, name="Deposit")
        history.rename("Deposit", "deposited")
        events = codec(history)

        record = events.encode(Deposited(5, "EUR"), 0)

        assert record == stored("Deposit", 1, {"sum": 5})
        assert events.decode(record) == Deposited(5, "EUR")

    @pytest.mark.parametrize("strategy", [Full(), Light()])
    async def test_has_the_actor_go_on_with_what_is_stored(self, store: FaultyBackend, strategy: Any) -> None:
        """What a downcaster leaves out is gone at once, not with the next recovery."""
        kind = type("Account", (Account,), {"strategy": strategy, "evolution": self.history(version=2)})
        async with ActorSystem(store=store) as system:
            ref = system.ref(kind, "a")
            events = ref.subscribe(after=0)
            now = await ref.ask(Persist((Deposited(5, "USD"),)))
            followed = await anext(events)

        assert (now, followed.event, await balance(store, kind)) == (["5 EUR"], Deposited(5, "EUR"), ["5 EUR"])

    def test_refuses_what_a_default_cannot_say(self) -> None:
        """The way back of a default loses nothing: only your own downcaster may (ATS-116)."""
        history = Evolution()
        history.defaults("deposited", 1)
        history.defaults("deposited", 2, note="")
        history.write("deposited", version=2)
        events = codec(history)

        with pytest.raises(
            EventTypeError, match=r"deposited cannot be written as deposited version 2: .*note is 'x', which version 2"
        ):
            events.encode(Deposited(5, "EUR", "x"), 0)

        assert events.encode(Deposited(5, "EUR"), 0) == stored("deposited", 2, {"amount": 5, "currency": "EUR"})

    def test_may_have_a_downcaster_beside_defaults(self) -> None:
        """Then it is the author who says what becomes of the field, whichever stands first."""

        def strip(document: Any) -> Any:
            return {"amount": document["amount"], "currency": document["currency"]}

        def defaults(history: Evolution) -> None:
            history.defaults("deposited", 2, note="")

        def downcast(history: Evolution) -> None:
            history.downcast("deposited", 3)(strip)

        for order in ((defaults, downcast), (downcast, defaults)):
            history = Evolution()
            for register in order:
                register(history)
            history.write("deposited", version=2)

            record = codec(history).encode(Deposited(5, "EUR", "x"), 0)

            assert record == stored("deposited", 2, {"amount": 5, "currency": "EUR"})

    def test_refuses_what_could_not_be_read_back(self) -> None:
        """It would be acknowledged, and lost with the next recovery."""
        history = history_of_deposited()
        history.downcast("deposited", 3)(lambda document: {"amount": str(document["amount"])})
        history.write("deposited", version=2)

        with pytest.raises(
            EventTypeError, match=r"written as deposited version 2: it could not be read back: .*amount"
        ):
            codec(history).encode(Deposited(5, "EUR"), 0)


class Balance(msgspec.Struct):
    """The state as it is today; version 1 was a number, version 2 had no currency."""

    amount: int
    currency: str


class Balanced(PersistentActor[Balance, Withdrawn | Deposited]):
    type_name = "Account"
    initial_state = Balance(0, "EUR")
    strategy = Light()

    async def handle(self, message: Message[Any], context: Any) -> Any:
        match message:
            case Persist(events):
                await self.persist(*events)
                return [f"{self.state.amount} {self.state.currency}"]

    def apply(self, state: Balance, event: Withdrawn | Deposited) -> Balance:
        if isinstance(event, Deposited):
            return Balance(state.amount + event.amount, event.currency)
        return Balance(state.amount - event.amount, state.currency)


def history_of_state() -> Evolution:
    history = Evolution(state_version=3)
    history.upcast_state(1)(lambda amount: {"amount": amount})
    history.state_defaults(2, currency="EUR")
    history.downcast_state(2)(lambda document: document["amount"])
    return history


class TestStates:
    @FORMATS
    @pytest.mark.parametrize(
        ("version", "content"), [(1, 5), (2, {"amount": 5}), (3, {"amount": 5, "currency": "EUR"})]
    )
    def test_of_every_version_are_read(self, write: Any, version: int, content: Any) -> None:
        """A state has steps as events do; its number stays what it was (ATS-110, ATS-115)."""
        record = ENCODERS[write]("Account", version, 0, content, {"sequence_number": 7})

        assert StateCodec("Account", Balance, "msgpack", history_of_state()).decode(record) == (Balance(5, "EUR"), 7)

    def test_are_written_with_their_version(self) -> None:
        """So the next version can tell them."""
        record = StateCodec("Account", Balance, "json", history_of_state()).encode(Balance(5, "EUR"), 7, 0)

        assert b'"version":3' in record

    @FORMATS
    @pytest.mark.parametrize("version", [1, 2])
    def test_can_be_written_as_an_older_version(self, write: Any, version: int) -> None:
        """An older program reads them while both run (ATS-117)."""
        history = history_of_state()
        history.write_state(version=version)
        codec = StateCodec("Account", Balance, write, history)

        record = codec.encode(Balance(5, "EUR"), 7, 0)

        content = 5 if version == 1 else {"amount": 5}
        assert record == ENCODERS[write]("Account", version, 0, content, {"sequence_number": 7})
        assert codec.decode(record) == (Balance(5, "EUR"), 7)

    def test_are_refused_where_the_older_version_would_lose_something(self) -> None:
        """A recovery from the state and one from the log never differ."""
        history = Evolution(state_version=2)
        history.upcast_state(1)(lambda amount: {"amount": amount, "currency": "EUR"})
        history.downcast_state(2)(lambda document: document["amount"])
        history.write_state(version=1)

        with pytest.raises(EventTypeError, match=r"Account: its state cannot be written as version 1: it would come"):
            StateCodec("Account", Balance, "msgpack", history).encode(Balance(5, "USD"), 7, 0)

    def test_of_a_newer_version_are_refused(self) -> None:
        """An old program does not guess at them (ATS-113)."""
        record = ENCODERS["msgpack"]("Account", 4, 0, {}, {"sequence_number": 7})

        with pytest.raises(RecordError, match="a state of Account cannot be read: the state version 4: this program"):
            StateCodec("Account", Balance, "msgpack", history_of_state()).decode(record)

    @pytest.mark.parametrize("version", [2, 3])
    def test_of_another_actor_type_are_refused(self, version: int) -> None:
        """Unless the type was renamed, and says so (ATS-113)."""
        record = ENCODERS["msgpack"]("Konto", version, 0, {"amount": 5, "currency": "EUR"}, {"sequence_number": 7})
        renamed = history_of_state()
        renamed.rename_state("Konto")

        with pytest.raises(
            RecordError, match=rf"a state of Konto, version {version}, and this is Account: .*rename_st"
        ):
            StateCodec("Account", Balance, "msgpack", history_of_state()).decode(record)

        assert StateCodec("Account", Balance, "msgpack", renamed).decode(record) == (Balance(5, "EUR"), 7)

    def test_can_be_written_under_an_older_name(self) -> None:
        """A program that does not know the new name reads the old one."""
        history = Evolution()
        history.rename_state("Konto")
        history.write_state(name="Konto")

        record = StateCodec("Account", int, "msgpack", history).encode(5, 7, 0)

        assert StateCodec("Konto", int).decode(record) == (5, 7)

    @pytest.mark.parametrize("made", [None, 7, object()])
    def test_that_a_step_makes_wrongly_are_refused(self, made: Any) -> None:
        """The result is validated."""
        history = Evolution(state_version=2)
        history.upcast_state(1)(lambda _: made)
        record = ENCODERS["msgpack"]("Account", 1, 0, {"amount": 5}, {"sequence_number": 7})

        with pytest.raises(RecordError, match="a state of Account"):
            StateCodec("Account", Balance, "msgpack", history).decode(record)

    async def test_that_are_old_are_where_a_light_actor_goes_on(self, store: FaultyBackend) -> None:
        """It reads no event before its state."""
        state = ENCODERS["msgpack"]("Account", 1, 0, 40, {"sequence_number": 2})
        await store.commit(
            [WriteGroup((Put(EVENTS, "Account/a", 2, b"unread"), PutState("states", "Account/a", state)))]
        )
        kind = type("Account", (Balanced,), {"evolution": history_of_state()})

        async with ActorSystem(store=store) as system:
            balance = await system.ref(kind, "a").ask(Persist((Withdrawn(2),)))

        assert balance == ["38 EUR"]

    async def test_in_snapshots_that_a_step_refuses_are_passed_over(
        self, store: FaultyBackend, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The log still has everything; the reason is reported (ATS-110)."""
        history = Evolution(state_version=2)
        history.upcast_state(1)(lambda document: document["missing"])
        kind = type("Account", (Balanced,), {"evolution": history, "strategy": Full(snapshot=every_n_events(1))})
        old = type("Account", (Balanced,), {"strategy": Full(snapshot=every_n_events(1))})
        async with ActorSystem(store=store) as system:
            await system.ref(old, "a").ask(Persist((Withdrawn(2),)))

        assert await balance(store, kind) == ["-2 EUR"]
        assert "Account/a, sequence number 1: the snapshot cannot be used: a state of Account" in caplog.text
        assert "the state version 1: its step to version 2, <lambda>, raised KeyError: 'missing'" in caplog.text


def steps(*calls: Callable[[Evolution], Any]) -> Evolution:
    history = Evolution()
    for call in calls:
        call(history)
    return history


def up(manifest: str, version: int, **to: Any) -> Callable[[Evolution], Any]:
    return lambda history: history.upcast(manifest, version, **to)(with_currency)


def down(manifest: str, version: int, **to: Any) -> Callable[[Evolution], Any]:
    return lambda history: history.downcast(manifest, version, **to)(with_currency)


class TestMistakes:
    @pytest.mark.parametrize(
        ("calls", "text"),
        [
            ([up("deposited", 1), up("deposited", 1)], "event deposited version 1: it has two upcasters"),
            ([up("deposited", 0)], "event deposited: .*for version 0; versions are 1, 2, 3"),
            ([up("deposited", -1)], "event deposited: .*for version -1"),
            ([up("deposited", 1.5)], "event deposited: .*for version 1.5"),  # type: ignore[arg-type]
            ([up("deposited", True)], "event deposited: .*for version True"),
            ([up("deposited", 2, to=1)], "event deposited version 2: an upcaster leads to a later version, not to 1"),
            ([up("deposited", 2, to=2)], "event deposited version 2: an upcaster leads to a later version, not to 2"),
            ([up("deposited", 2, to=2.5)], "event deposited version 2: an upcaster leads to a later version"),
            ([down("deposited", 2, to=3)], "event deposited version 2: a downcaster leads to an earlier version"),
            ([down("deposited", 1)], "event deposited version 1: a downcaster leads to an earlier version"),
            ([down("deposited", 2), down("deposited", 2)], "event deposited version 2: it has two downcasters"),
            ([lambda history: history.write("deposited", version=0)], "event deposited: .*version 0"),
            ([lambda history: history.write("deposited", version=-1)], "event deposited: .*version -1"),
            ([lambda history: history.write("deposited", version=1.5)], "event deposited: .*version 1.5"),
            ([lambda history: history.write("deposited", version=float("nan"))], "event deposited: .*version nan"),
            ([lambda history: history.defaults("deposited", 0, x=1)], "event deposited: .*version 0"),
            (
                [lambda history: history.rename("a", "b"), lambda history: history.rename("b", "a")],
                "event b: it is renamed to 'a', which leads back to it",
            ),
            ([lambda history: history.rename("a", "a")], "event a: it is renamed to 'a', which leads back"),
            (
                [lambda history: history.rename("a", "b"), lambda history: history.rename("a", "c")],
                "event a: it is renamed twice, to 'b' and 'c'",
            ),
            ([lambda history: history.upcast_state(1, to=1)(with_currency)], "the state version 1: an upcaster leads"),
        ],
    )
    def test_that_can_never_be_right_are_refused_where_they_stand(self, calls: Any, text: str) -> None:
        """The error names the type and the version (ATS-114, ATS-115, ATS-116, ATS-117)."""
        with pytest.raises(EvolutionError, match=text):
            steps(*calls)

    @pytest.mark.parametrize(
        ("calls", "text"),
        [
            ([up("deposited", 3)], "Account: event deposited version 3: an upcaster begins there, and version 3 is"),
            ([up("deposited", 2, to=4)], "event deposited version 2: .*to version 4, beyond the current 3"),
            ([up("deposited", 1)], "event deposited version 1: .*to version 2, and none leads from there to 3"),
            ([up("vanished", 1)], "event vanished version 1: Account declares no such type, and nothing replaces its"),
            ([down("deposited", 4)], "event deposited version 4: a downcaster begins there, beyond the current"),
            ([lambda history: history.defaults("deposited", 3)], "event deposited version 3: an upcaster begins there"),
            (
                [lambda history: history.write("deposited", version=4)],
                "event deposited version 4: it is to be written so, and the current version is 3",
            ),
            (
                [lambda history: history.write("deposited", version=2)],
                "event deposited version 2: .*no downcaster leads there from 3",
            ),
            (
                [
                    down("deposited", 3),
                    lambda history: history.replace("deposited", 2)(list),
                    lambda history: history.write("deposited", version=2),
                ],
                "event deposited version 2: .*could not be read back: see version 2",
            ),
            ([lambda history: history.write("vanished", version=1)], "event vanished: it is to be written, and"),
            ([lambda history: history.write("deposited", name="Deposit")], "event deposited: .*not renamed to it"),
            (
                [
                    lambda history: history.write("deposited", name="Withdrawal"),
                    lambda history: history.rename("Withdrawal", "withdrawn"),
                ],
                "event deposited: .* as Withdrawal, which is another type",
            ),
            ([lambda history: history.rename("withdrawn", "deposited")], "event withdrawn: it is renamed, and"),
            ([lambda history: history.rename("Deposit", "vanished")], "event Deposit: it is renamed to vanished, and"),
            ([lambda history: history.drop("withdrawn")], "event withdrawn: it is dropped, and Account still declares"),
            (
                [lambda history: history.rename("Deposit", "deposited"), up("Deposit", 1)],
                "event Deposit version 1: it is renamed, and what is said of it has to be said of deposited",
            ),
            (
                [lambda history: history.drop("audited"), up("audited", 1)],
                "event audited version 1: it is dropped, and something else is said of it",
            ),
        ],
    )
    def test_that_do_not_fit_the_declared_types_are_refused_at_first_use(self, calls: Any, text: str) -> None:
        """Before anything is read, the error names actor, type and version (ATS-114, ATS-115, ATS-116)."""
        refused(steps(*calls), text)

    async def test_are_told_to_whoever_first_asks_the_actor(self, store: FaultyBackend) -> None:
        """The actor does not start."""
        kind = type("Account", (Account,), {"evolution": steps(up("vanished", 1))})
        async with ActorSystem(store=store) as system:
            with pytest.raises(EvolutionError, match="Account: event vanished version 1"):
                await system.ref(kind, "a").ask(Persist())

    async def test_of_another_kind_are_told_too(self, store: FaultyBackend) -> None:
        """`evolution` is an `Evolution`."""
        kind = type("Account", (Account,), {"evolution": {"deposited": 1}})
        async with ActorSystem(store=store) as system:
            with pytest.raises(EventTypeError, match=r"Account: its evolution is .*, and no perdure\.Evolution"):
                await system.ref(kind, "a").ask(Persist())

    def test_made_after_the_first_use_are_told(self) -> None:
        """What would be seen by some and not by others is refused."""
        history = history_of_deposited()
        codec(history)

        with pytest.raises(EvolutionError, match="event withdrawn: register it before the first actor of the type"):
            history.drop("withdrawn")

    @pytest.mark.parametrize("version", [0, -1, 1.5, "2"])
    def test_in_the_version_of_the_state_are_told(self, version: Any) -> None:
        """Versions are 1, 2, 3, and so on."""
        with pytest.raises(EvolutionError, match="the state: its version is"):
            Evolution(state_version=version)


class Persist(Message[list[str]]):
    """Store events; the reply is the state."""

    events: tuple[Any, ...] = ()


class Account(PersistentActor[list[str], Fact]):
    """Its state is the list of all bookings, so that nothing can hide."""

    initial_state: list[str] = []  # noqa: RUF012  # each actor begins with a copy
    evolution = history_of_deposited()

    async def handle(self, message: Message[Any], context: Any) -> Any:
        match message:
            case Persist(events):
                await self.persist(*events)
                return list(self.state)

    def apply(self, state: list[str], event: Fact) -> list[str]:
        match event:
            case Deposited(amount, currency):
                return [*state, f"{amount} {currency}"]
            case Withdrawn(amount):
                return [*state, f"-{amount}"]
        raise TypeError(event)


async def balance(store: FaultyBackend, kind: Any) -> list[str]:
    """Return the state of the actor in a new system."""
    async with ActorSystem(store=store) as system:
        return await system.ref(kind, "a").ask(Persist())  # type: ignore[no-any-return]
