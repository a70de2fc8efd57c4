"""Golden records: what every version has stored once, kept beside the tests, and read again by each later program.

The file has one JSON object a line::

    {"event": "deposited", "version": 1, "stored": {…}, "read": [{"deposited": {…}}], "record": "base64"}

`record` holds the very bytes of the record, for reading, `stored` what is in them, for reviewing; neither ever changes.
`read` is what the program makes of them today, so a new version of a type shows in a diff what becomes of older ones.
"""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from perdure import DurableStateActor, PersistentActor
from perdure.evolution import Document
from perdure.journal import AnyEvent, EventCodec, RecordError, StateCodec, named
from perdure.journal._payload import payload_encoder, plain
from perdure.journal._record import ENCODERS, decode
from perdure.persistence._definition import Definition, revision_codec

S = TypeVar("S")
E = TypeVar("E", bound=AnyEvent)

_ACCEPT = "PERDURE_GOLDEN"
_Kind = Literal["event", "state"]

_encode_msgpack = payload_encoder("msgpack")
_encode_json = payload_encoder("json")


class _Line(msgspec.Struct, frozen=True):
    """A golden record; `read` is unset as long as nobody has read it."""

    kind: _Kind
    manifest: str
    version: int
    stored: Any
    record: bytes
    read: Any = msgspec.UNSET

    @property
    def title(self) -> str:
        return f"{self.kind} {self.manifest} version {self.version}"

    @property
    def place(self) -> tuple[str, str, int]:
        return (self.kind, self.manifest, self.version)


def check_golden(
    actor_type: type[PersistentActor[S, E] | DurableStateActor[S]],
    path: str | Path,
    *events: E | Document,
    states: Sequence[S | Document] = (),
    accept: bool = False,
) -> None:
    """Check that everything that the actor's versions have ever stored is still read, and as what.

    The file at `path`, which belongs under version control, gets the records of those samples of whose type and version
    it has none yet: so in the first run, and when a version is new. A `Document` is the sample of an older version, for
    types that have changed before there was a file. A record that is there is never changed. Where the environment
    variable `CI` is set, nothing is written, and a missing record is a failure: a file that was not committed proves
    nothing.

    Then each record in the file is read by the actor. What comes out has to be what the file says. Where it is meant to
    have changed, `accept=True`, or the environment variable `PERDURE_GOLDEN=accept`, writes what comes out now. Each
    version of each declared type without subclasses, from 1 on, has to have a record, and each from which a step of the
    actor's `evolution` leads; so has each version of the state, if there are samples of states.

    An actor with a durable state has `states` alone.

    Raises `AssertionError` naming the types and versions that fail, all of them.
    """
    golden = _Golden(actor_type, Path(path))
    failures = golden.add([golden.event(event) for event in events] + [golden.state(state) for state in states])
    failures += golden.read(accept=accept or os.environ.get(_ACCEPT) == "accept")
    failures += golden.missing()
    golden.save()
    if failures:
        raise AssertionError(f"{golden.path}: {len(failures)} golden records fail\n  " + "\n  ".join(failures))


class _Golden:
    """The file of one actor type."""

    def __init__(self, actor_type: type[Any], path: Path) -> None:
        self.path = path
        self._owner = actor_type.type_name
        self._events, self._states = _codecs(actor_type)
        self._text = path.read_text(encoding="utf-8") if path.exists() else ""
        self._lines = [_parsed(path, number, text) for number, text in enumerate(self._text.splitlines(), 1)]

    def event(self, sample: Any) -> _Line:
        """Return the golden record of an event in its current version, or of a document in the version that it has."""
        if isinstance(sample, Document):
            return _line("event", sample)
        if type(sample) not in self._events.types:
            raise AssertionError(f"{self._owner} declares no event type {type(sample).__name__}")
        manifest, version = named(type(sample))
        return _line("event", Document(manifest, version, sample))

    def state(self, sample: Any) -> _Line:
        """Return the golden record of a state in its current version, or of a document in the version that it has."""
        if isinstance(sample, Document):
            return _line("state", sample)
        return _line("state", Document(self._owner, self._states.version, sample))

    def add(self, lines: Iterable[_Line]) -> list[str]:
        """Add those of which there are none of their type and version; return why not."""
        known = {line.place for line in self._lines}
        new = [line for line in lines if line.place not in known]
        if os.environ.get("CI"):
            return [f"{line.title} has no record here: run the test where CI is not set, and commit it" for line in new]
        self._lines = sorted([*self._lines, *new], key=lambda line: line.place)
        return []

    def read(self, *, accept: bool) -> list[str]:
        """Read all records; return what is wrong with them."""
        failures = []
        for number, line in enumerate(self._lines):
            try:
                read = self._read_event(line.record) if line.kind == "event" else self._read_state(line.record)
            except RecordError as error:
                failures.append(f"{line.title} cannot be read: {error}")
                continue
            if line.read is msgspec.UNSET or accept:
                self._lines[number] = msgspec.structs.replace(line, read=read)
            elif line.read != read:
                failures.append(
                    f"{line.title} is not read as it was; if it is meant so, set {_ACCEPT}=accept, and review the diff"
                    f"\n    it was: {_json(line.read)}\n    it is:  {_json(read)}"
                )
        return failures

    def missing(self) -> list[str]:
        """Return the types and versions of which there is no record."""
        stored = [kind for kind in self._events.types if not kind.__subclasses__()]  # the others are bases
        wanted = [("event", *named(kind)) for kind in stored]
        if any(line.kind == "state" for line in self._lines):
            wanted.append(("state", self._owner, self._states.version))
        places = [(kind, manifest, version) for kind, manifest, last in wanted for version in range(1, last + 1)]
        places += [("event", manifest, version) for manifest, version in self._events.lineage.begins()]
        there = {(line.kind, self._now(line), line.version) for line in self._lines}
        return [
            f"{kind} {manifest} version {version} has no record: add a sample of it, a Document if it is of the past"
            for kind, manifest, version in dict.fromkeys(places)
            if (kind, manifest, version) not in there
        ]

    def save(self) -> None:
        """Write the file if it is not as it was."""
        text = "".join(f"{_shown(line)}\n" for line in self._lines if line.read is not msgspec.UNSET)
        if text != self._text and not os.environ.get("CI"):
            self.path.write_text(text, encoding="utf-8")

    def _now(self, line: _Line) -> str:
        """Return what a stored name is called today."""
        lineage = self._events.lineage if line.kind == "event" else self._states.lineage
        return lineage.current_name(line.manifest) or self._owner

    def _read_event(self, record: bytes) -> Any:
        return [{named(type(event)).manifest: _plain(event)} for event in self._events.decode_all(record)]

    def _read_state(self, record: bytes) -> Any:
        return _plain(self._states.decode(record)[0])


def _codecs(actor_type: type[Any]) -> tuple[EventCodec, StateCodec[Any]]:
    if issubclass(actor_type, DurableStateActor):
        return EventCodec(actor_type.type_name, ()), revision_codec(actor_type, "msgpack").states
    definition = Definition(actor_type, "msgpack")
    return definition.events, definition.states


def _line(kind: _Kind, document: Document) -> _Line:
    """Return the golden record of a document, whose content may be an object."""
    payload = msgspec.Raw(_encode_msgpack(document.content))
    metadata = {"sequence_number": 1} if kind == "state" else None
    record = ENCODERS["msgpack"](document.manifest, document.version, 0, payload, metadata)
    return _Line(kind, document.manifest, document.version, _plain(plain(payload, "msgpack")), record)


def _plain(value: object) -> Any:
    """Return a value as JSON shows it."""
    return msgspec.json.decode(_encode_json(value))


def _json(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=0).decode()


def _shown(line: _Line) -> str:
    return _json(
        {
            line.kind: line.manifest,
            "version": line.version,
            "stored": line.stored,
            "read": line.read,
            "record": b64encode(line.record).decode(),
        }
    )


def _parsed(path: Path, number: int, text: str) -> _Line:
    """Return a line of the file. Raises `AssertionError` for one that was changed by hand."""
    try:
        shown = msgspec.json.decode(text)
        kind: _Kind = "event" if "event" in shown else "state"
        line = _Line(kind, shown[kind], shown["version"], shown["stored"], b64decode(shown["record"]), shown["read"])
        record, _ = decode(line.record)
        if (record.manifest, record.version) != (line.manifest, line.version):
            raise ValueError(f"its record is one of {record.manifest} version {record.version}")
    except (ValueError, KeyError, TypeError) as error:
        raise AssertionError(f"{path}, line {number}, is no golden record any more: {error!r}") from error
    return line
