"""The heads of chained logs, and what durable states are, to be kept elsewhere."""

from __future__ import annotations

from datetime import datetime

import msgspec

from perdure.errors import ChainBroken, RolledBack
from perdure.security._chain import link_of

_FORM = "perdure-anchor-1"
_DURABLE = "durable"


class AnchoredHead(msgspec.Struct, frozen=True):
    """The sequence number of a log's last event, or the revision of a durable state, and the link of its record."""

    sequence_number: int
    link: bytes


class Anchor(msgspec.Struct, frozen=True):
    """The heads of logs, and the durable states, at one time, by the persistence ids as they are stored.

    Keep it where those who can write the store cannot: then nothing that it covers can be cut off or rewritten, and no
    durable state becomes again what it was before.
    """

    taken: datetime
    heads: dict[str, AnchoredHead]
    states: dict[str, AnchoredHead] = {}

    def check_state(self, name: str, revision: int, record: bytes) -> None:
        """Raise for a durable state that is not the one known here, nor a later one; 0 and nothing say there is none.

        Raises `RolledBack` for one of a lesser revision, `ChainBroken` for another record, `RecordAltered`.
        """
        known = self.states.get(name)
        if known is None or revision > known.sequence_number:
            return
        if revision < known.sequence_number:
            raise RolledBack(name, revision, known.sequence_number)
        if link_of(_DURABLE, name, revision, record) != known.link:
            raise ChainBroken(name, revision, "an anchor knows another record here", "revision")

    def to_json(self) -> bytes:
        """Return it as a JSON document, which `from_json` reads."""
        heads, states = _written(self.heads), _written(self.states)
        return msgspec.json.encode(_Document(_FORM, self.taken, heads, states))

    @classmethod
    def from_json(cls, document: bytes | str) -> Anchor:
        """Return the anchor of a document. Raises `ValueError` for anything else."""
        try:
            read = msgspec.json.decode(document, type=_Document)
            heads, states = _read(read.heads), _read(read.states)
        except (msgspec.MsgspecError, ValueError) as error:
            raise ValueError(f"this is no document that Anchor.to_json has made: {error}") from error
        if read.form != _FORM:
            raise ValueError(f"an anchor of the form {read.form!r}, unknown to this version of perdure")
        return cls(read.taken, heads, states)


class _Document(msgspec.Struct):
    form: str
    taken: datetime
    heads: dict[str, tuple[int, str]]
    states: dict[str, tuple[int, str]]


def _written(heads: dict[str, AnchoredHead]) -> dict[str, tuple[int, str]]:
    return {name: (head.sequence_number, head.link.hex()) for name, head in heads.items()}


def _read(heads: dict[str, tuple[int, str]]) -> dict[str, AnchoredHead]:
    return {name: AnchoredHead(number, bytes.fromhex(link)) for name, (number, link) in heads.items()}
