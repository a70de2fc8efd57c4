"""What is known of a log while it is read: its numbers, its chain, its owners, and what an anchor says of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from perdure.abc import Entry
from perdure.errors import ChainBroken, CorruptionError, TailCut
from perdure.journal import EVENTS
from perdure.security import ORIGIN, AnchoredHead, is_sealed, link_of, previous_of


class Followed:
    """A log that is read from its beginning. What is wrong with it is told to `report`."""

    def __init__(self, name: str, anchored: AnchoredHead | None, report: Callable[[CorruptionError], object]) -> None:
        self.name = name
        self.last = 0
        """The number of the last event, 0 where the next one may have any."""
        self.chained = 0
        """Events of which the record before is the one that they tell of."""
        self.has_archive = True
        """False once the archive of this log was found to be damaged."""
        self._anchored = anchored
        self._report = report
        self._before: bytes | None = None
        """The record under `last`, None where it is not known, or is not to be trusted."""
        self._is_chained = False
        self._epoch = 0

    def follow(self, entries: Sequence[Entry]) -> None:
        """Go on with the next records."""
        last, before = self.last, self._before
        for number, record in entries:
            if number != last + 1 and last:
                self._report(CorruptionError(self.name, last + 1, f"the event is missing; the next one is {number}"))
                before = None
            if is_sealed(record) or self._is_chained or self._anchored is not None:
                before = record if self._is_linked(number, record, before) else None
            else:
                before = record
            last = number
        self.last, self._before = last, before

    def begin_anew(self) -> None:
        """Take the next record as the first of what is there, for those before are gone, or cannot be read."""
        self.last = 0
        self._before = None

    def check_epoch(self, number: int, epoch: int) -> None:
        """Hold an event to the owners of those before it. One without an epoch was stored by who claims nothing."""
        if 0 < epoch < self._epoch:
            reason = f"its epoch is {epoch}, after events of epoch {self._epoch}: its writer had been superseded"
            self._report(CorruptionError(self.name, number, reason))
        self._epoch = max(epoch, self._epoch)

    def end(self) -> None:
        """Hold the log to its anchor, now that it was read."""
        if self._anchored is not None and self.last < self._anchored.sequence_number:
            self._report(TailCut(self.name, self.last, self._anchored.sequence_number))

    def _is_linked(self, number: int, record: bytes, before: bytes | None) -> bool:
        """Tell whether a record goes on from the one before, as far as that is known, and report it if not."""
        try:
            self._check_chain(number, record, before)
            self._check_anchor(number, record)
        except CorruptionError as error:
            self._report(error)
            return False
        return True

    def _check_chain(self, number: int, record: bytes, before: bytes | None) -> None:
        previous = previous_of(self.name, number, record)
        if previous is None:
            if self._is_chained:
                raise ChainBroken(self.name, number, "the chain ends: this record is in none, and those before are")
            return
        self._is_chained = True
        if number == 1:
            expected = ORIGIN
        elif before is None:
            expected = previous
        else:
            expected = link_of(EVENTS, self.name, number - 1, before)
        if previous != expected:
            raise ChainBroken(self.name, number, "the record before is not the one that this one was chained to")
        self.chained += 1

    def _check_anchor(self, number: int, record: bytes) -> None:
        anchored = self._anchored
        if anchored is None or anchored.sequence_number != number:
            return
        if anchored.link != link_of(EVENTS, self.name, number, record):
            raise ChainBroken(self.name, number, "an anchor knows another record here, or another past of it")
