"""Damaged records on the way: the first one ends the work, or all of them are left out and listed."""

from __future__ import annotations

from operator import attrgetter

import msgspec

from perdure.abc import FeedRecord
from perdure.errors import CorruptionError, DamagedLine
from perdure.journal import RecordError
from perdure.journal._record import are_intact, decode, is_intact
from perdure.persistence._changes import DURABLE
from perdure.security import is_sealed
from perdure.security._layout import LayoutError, header_of

_MOST = 1000
_VALUE_OF = attrgetter("value")


class Damages(msgspec.Struct, kw_only=True):
    """Records that were left out because they are damaged."""

    damaged_count: int = 0
    damaged: list[CorruptionError | DamagedLine] = msgspec.field(default_factory=list)
    """The first thousand of them, or of the lines of a file."""


class Inspection:
    """Looks at each record as far as no key is needed: checksums of plain ones, headers of sealed ones."""

    def __init__(self, result: Damages, *, skip: bool) -> None:
        self._skips = skip
        self._result = result

    def sound(self, collection: str, records: list[FeedRecord]) -> list[FeedRecord]:
        """Return the records that are not damaged. Raises `CorruptionError` for the first that is, unless it skips."""
        if are_intact(map(_VALUE_OF, records)):
            return records
        return [record for record in records if self.is_sound(collection, *record)]

    def is_sound(self, collection: str, name: str, number: int, record: bytes) -> bool:
        """Tell whether a record is not damaged. Raises `CorruptionError` if it is, unless it skips."""
        reason = problem_of(record)
        if reason is None:
            return True
        self.report(CorruptionError(name, number, *_told(collection, reason)))
        return False

    def leaves_out(self, record: bytes) -> bool:
        """Tell whether a record is damaged, and passed over for that."""
        return self._skips and problem_of(record) is not None

    def report(self, error: CorruptionError | DamagedLine) -> None:
        """Note what is damaged. Raises it, unless it skips."""
        if not self._skips:
            raise error
        self._result.damaged_count += 1
        if len(self._result.damaged) < _MOST:
            self._result.damaged.append(error)


def problem_of(record: bytes) -> str | None:
    """Return what is wrong with a record, as far as that can be seen without a key; None if nothing is."""
    if is_intact(record):
        return None
    try:
        if is_sealed(record):
            header_of(record)
        else:
            decode(record)
    except (LayoutError, RecordError) as error:
        return str(error)
    return None


def _told(collection: str, reason: str) -> tuple[str, str]:
    number = "revision" if collection == DURABLE else "sequence number"
    return (reason if collection == "events" else f"{reason} (in {collection})"), number
