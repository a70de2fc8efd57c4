"""The heads of chained logs, to be kept elsewhere."""

from __future__ import annotations

from datetime import datetime

import msgspec

_FORM = "perdure-anchor-1"


class AnchoredHead(msgspec.Struct, frozen=True):
    """The sequence number of a log's last event, and the link of its record."""

    sequence_number: int
    link: bytes


class Anchor(msgspec.Struct, frozen=True):
    """The heads of logs at one time, by the persistence ids as they are stored.

    Keep it where those who can write the store cannot: then nothing that it covers can be cut off or rewritten.
    """

    taken: datetime
    heads: dict[str, AnchoredHead]

    def to_json(self) -> bytes:
        """Return it as a JSON document, which `from_json` reads."""
        heads = {name: [head.sequence_number, head.link.hex()] for name, head in self.heads.items()}
        return msgspec.json.encode({"form": _FORM, "taken": self.taken, "heads": heads})

    @classmethod
    def from_json(cls, document: bytes | str) -> Anchor:
        """Return the anchor of a document. Raises `ValueError` for anything else."""
        try:
            read = msgspec.json.decode(document, type=_Document)
            heads = {name: AnchoredHead(number, bytes.fromhex(link)) for name, (number, link) in read.heads.items()}
        except (msgspec.MsgspecError, ValueError) as error:
            raise ValueError(f"this is no document that Anchor.to_json has made: {error}") from error
        if read.form != _FORM:
            raise ValueError(f"an anchor of the form {read.form!r}, unknown to this version of perdure")
        return cls(read.taken, heads)


class _Document(msgspec.Struct):
    form: str
    taken: datetime
    heads: dict[str, tuple[int, str]]
