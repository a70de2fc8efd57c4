"""Dataclasses and pydantic models are events and states, as structs are."""

from __future__ import annotations

import gc
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from ipaddress import IPv4Address
from typing import Any
from uuid import UUID

import msgspec
import pytest
from pydantic import BaseModel, ConfigDict, Field, HttpUrl, SecretStr, field_validator
from pydantic import dataclasses as validated

from perdure import ActorSystem, Event, Evolution, Full, Light, Message, PersistentActor, event, every_n_events
from perdure.abc import Put, WriteGroup
from perdure.errors import CorruptionError, EventTypeError
from perdure.journal import EVENTS, EventCodec, RecordError, StateCodec
from perdure.journal._record import ENCODERS
from perdure.persistence._definition import is_immutable
from perdure_testkit import FaultyBackend

FORMATS = pytest.mark.parametrize("write", ["msgpack", "json"])


class Place(BaseModel):
    model_config = ConfigDict(frozen=True)
    street: str
    number: int = Field(gt=0)


@dataclass(frozen=True)
class Parcel:
    to: Place
    grams: int = 0


@event(manifest="sent", version=2)
@dataclass(frozen=True)
class Sent:
    parcel: Parcel
    at: datetime


@dataclass
class Lost:
    reasons: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Found:
    by: str


@event(manifest="priced")
class Priced(BaseModel):
    price: Decimal
    id: UUID = UUID(int=7)
    tags: set[str] = set()
    parcel: Parcel | None = None
    weights: dict[int, float] = {}
    pair: tuple[int, str] = (1, "x")
    raw: bytes = b""


class Wrapped(Event):
    parcel: Parcel
    places: list[Place]


@validated.dataclass(frozen=True)
class Counted:
    count: int = Field(gt=0)


PLACE = Place(street="High Street", number=7)
EVENTS_OF_ALL_KINDS = [
    Sent(Parcel(PLACE, 20), datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)),
    Lost(["rain"]),
    Found("me"),
    Priced(price=Decimal("1.20"), tags={"a", "b"}, parcel=Parcel(PLACE), weights={1: 2.5}, raw=b"abc"),
    Wrapped(Parcel(PLACE), [PLACE, PLACE]),
    Counted(3),
]
KINDS = [type(one) for one in EVENTS_OF_ALL_KINDS]


class TestEvents:
    @FORMATS
    @pytest.mark.parametrize("one", EVENTS_OF_ALL_KINDS, ids=lambda one: type(one).__name__)
    def test_of_any_kind_come_back_as_they_were(self, write: Any, one: Any) -> None:
        """Also where the kinds are nested in each other; the second is read the short way (ATS-08)."""
        codec = EventCodec("Post", KINDS, write)

        assert [codec.decode(codec.encode(one, 0)) for _ in range(2)] == [one, one]

    def test_of_all_kinds_are_read_together(self) -> None:
        """As they are one by one."""
        codec = EventCodec("Post", KINDS)
        entries = [(key, codec.encode(one, 0)) for key, one in enumerate(EVENTS_OF_ALL_KINDS * 3, 1)]
        assert [codec.decode(record) for _, record in entries] == EVENTS_OF_ALL_KINDS * 3

        assert codec.decode_together(entries) == EVENTS_OF_ALL_KINDS * 3

    @pytest.mark.parametrize(
        ("one", "manifest", "version"), [(EVENTS_OF_ALL_KINDS[0], b"sent", 2), (Found("me"), b"Found", 1)]
    )
    def test_have_a_stable_name_and_a_version(self, one: Any, manifest: bytes, version: int) -> None:
        """Those of the decorator, or the class's name and 1."""
        record = msgspec.json.decode(EventCodec("Post", KINDS, "json").encode(one, 0))

        assert (record["manifest"].encode(), record["version"]) == (manifest, version)

    def test_that_are_subclasses_have_names_of_their_own(self) -> None:
        """A name is not inherited."""

        @event(manifest="base")
        @dataclass(frozen=True)
        class Base:
            x: int

        @dataclass(frozen=True)
        class Special(Base):
            y: int

        codec = EventCodec("Post", [Base], "json")

        assert (b'"Special"' in codec.encode(Special(1, 2), 0), b'"base"' in codec.encode(Base(1), 0)) == (True, True)

    def test_with_slots_are_one_type(self) -> None:
        """The class from which `@dataclass(slots=True)` has made another is not taken for a second type."""

        @dataclass(frozen=True)
        class Fact:
            pass

        gc.disable()
        try:

            @dataclass(frozen=True, slots=True)
            class Slotted(Fact):
                x: int

            codec = EventCodec("Post", [Fact])
        finally:
            gc.enable()

        assert codec.decode(codec.encode(Slotted(1), 0)) == Slotted(1)

    @FORMATS
    @pytest.mark.parametrize(
        ("manifest", "version", "content", "field"),
        [
            ("Wrapped", 1, {"parcel": {"to": {"street": "x", "number": 0}}, "places": []}, "number"),
            ("priced", 1, {"price": "much"}, "price"),
            ("Lost", 1, {"reasons": "rain"}, "reasons"),
            ("Counted", 1, {"count": 0}, "count"),
        ],
    )
    def test_that_break_their_rules_are_not_read(
        self, write: Any, manifest: str, version: int, content: Any, field: str
    ) -> None:
        """Constraints hold for what is stored; the error names the type, the version and the field."""
        record = ENCODERS[write](manifest, version, 0, content, None)

        with pytest.raises(
            RecordError, match=rf"(?s)an event {manifest} of version {version} does not decode: .*{field}"
        ):
            EventCodec("Post", KINDS).decode(record)

    def test_whose_validation_fails_oddly_are_named_too(self) -> None:
        """A validator may raise anything."""

        class Odd(BaseModel):
            x: int

            @field_validator("x")
            @classmethod
            def check(cls, x: int) -> int:
                return {1: 1}[x]

        codec = EventCodec("Post", [Odd])
        codec.decode(codec.encode(Odd(x=1), 0))

        with pytest.raises(RecordError, match="an event Odd of version 1 does not decode: 2"):
            codec.decode(ENCODERS["msgpack"]("Odd", 1, 0, {"x": 2}, None))

    def test_may_have_addresses_and_aliases(self) -> None:
        """What msgspec does not know is stored as pydantic writes it in JSON."""

        class Visited(BaseModel):
            url: HttpUrl
            ip: IPv4Address
            kind: str = Field("x", alias="class")

        codec = EventCodec("Post", [Visited])
        visited = Visited.model_validate({"url": "http://a.b/c", "ip": "1.2.3.4", "class": "y"})

        assert codec.decode(codec.encode(visited, 0)) == visited

    def test_may_have_no_number_in_them(self) -> None:
        """NaN does not equal itself, and is stored all the same."""

        class Measured(BaseModel):
            degrees: list[float]

        codec = EventCodec("Post", [Measured])

        assert math.isnan(codec.decode(codec.encode(Measured(degrees=[math.nan]), 0)).degrees[0])

    @FORMATS
    def test_that_would_come_back_changed_are_refused(self, write: Any) -> None:
        """What a model does not dump would be acknowledged, and lost with the next recovery."""

        class Told(BaseModel):
            word: SecretStr = SecretStr("")
            extra: int = Field(0, exclude=True)

        codec = EventCodec("Post", [Told], write)
        for told, name in ((Told(word=SecretStr("x")), "word"), (Told(extra=1), "extra")):
            with pytest.raises(EventTypeError, match=f"Post: an event Told .*not come back as it is: see its {name}"):
                codec.encode(told, 0)

    @FORMATS
    def test_are_upcast_like_others(self, write: Any) -> None:
        """A step sees plain data; the result is validated by the model."""
        history = Evolution()
        history.upcast("sent", 1)(lambda document: {"parcel": {"to": document["to"]}, "at": document["at"]})
        record = ENCODERS[write](
            "sent", 1, 0, {"to": {"street": "x", "number": "7"}, "at": "2026-05-04T03:02:01Z"}, None
        )

        sent = EventCodec("Post", KINDS, "msgpack", history).decode(record)

        assert sent == Sent(Parcel(Place(street="x", number=7)), datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC))

    @pytest.mark.parametrize("kind", [int, str, dict, list, object, Any, 7, None])
    def test_are_of_a_kind_that_can_be_one(self, kind: Any) -> None:
        """The decorator says what can."""
        with pytest.raises(TypeError, match=r"can be no event: use a perdure\.Event, a dataclass, or a pydantic model"):
            event(manifest="x")(kind)

    def test_have_versions_from_one_on(self) -> None:
        """A version below is a mistake."""
        with pytest.raises(ValueError, match="Lost: schema versions begin at 1, not 0"):
            event(version=0)(Lost)


class Balance(BaseModel):
    model_config = ConfigDict(frozen=True)
    amount: int = Field(ge=0)
    at: Place = PLACE


@dataclass
class Diary:
    balance: Balance
    entries: list[str] = field(default_factory=list)


class Book(Message[Any]):
    events: tuple[Any, ...] = ()


class Keeper(PersistentActor[Diary, Priced | Found]):
    initial_state = Diary(Balance(amount=0))

    async def handle(self, message: Message[Any], context: Any) -> Any:
        match message:
            case Book(events):
                await self.persist(*events)
                return self.state

    def apply(self, state: Diary, event: Priced | Found) -> Diary:
        if isinstance(event, Priced):
            return Diary(Balance(amount=int(event.price)), state.entries)
        return Diary(state.balance, [*state.entries, event.by])


class TestStates:
    @FORMATS
    @pytest.mark.parametrize("state", [Balance(amount=3), Diary(Balance(amount=3), ["x"])])
    def test_of_any_kind_come_back_as_they_were(self, write: Any, state: Any) -> None:
        """With their number."""
        codec = StateCodec("Keeper", type(state), write)

        assert codec.decode(codec.encode(state, 7, 0)) == (state, 7)

    def test_that_break_their_rules_are_not_read(self) -> None:
        """Constraints hold for what is stored."""
        record = ENCODERS["msgpack"]("Keeper", 1, 0, {"balance": {"amount": -1}}, {"sequence_number": 7})

        with pytest.raises(RecordError, match=r"(?s)a state of Keeper, version 1, does not decode: .*amount"):
            StateCodec("Keeper", Diary).decode(record)

    @pytest.mark.parametrize(
        ("kind", "immutable"), [(Balance, True), (Priced, False), (Sent, True), (Lost, False), (Counted, True)]
    )
    def test_are_known_to_be_immutable_or_not(self, kind: type, immutable: bool) -> None:
        """A frozen model cannot be changed in place, so an `apply` that returns None has forgotten something."""
        assert is_immutable(kind) is immutable

    @pytest.mark.parametrize("write", ["msgpack", "json"])
    @pytest.mark.parametrize("strategy", [Full(snapshot=every_n_events(1)), Light()])
    async def test_live_a_second_life(self, store: FaultyBackend, write: Any, strategy: Any) -> None:
        """Actors with such states and events are recovered from either (ATS-71)."""
        kind = type("Keeper", (Keeper,), {"strategy": strategy})
        async with ActorSystem(store=store, write=write) as system:
            before = await system.ref(kind, "a").ask(Book((Priced(price=Decimal(7)), Found("me"))))

        async with ActorSystem(store=store) as system:
            after = await system.ref(kind, "a").ask(Book())

        assert after == before == Diary(Balance(amount=7), ["me"])

    async def test_are_not_made_from_damaged_events(self, store: FaultyBackend) -> None:
        """The error names persistence id, sequence number, type and version."""
        record = ENCODERS["msgpack"]("priced", 1, 0, {"price": "much"}, None)
        await store.commit([WriteGroup((Put(EVENTS, "Keeper/a", 1, record),))])

        async with ActorSystem(store=store) as system:
            with pytest.raises(CorruptionError, match="Keeper/a, sequence number 1: an event priced of version 1 does"):
                await system.ref(Keeper, "a").ask(Book())
