"""What is known of a log while it is read: its numbers, its chain, its owners, and what an anchor says of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

from perdure.abc import Entry
from perdure.errors import ChainBroken, CorruptionError, TailCut
from perdure.journal import EVENTS
from perdure.security import ORIGIN, AnchoredHead, Links, is_chained


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
        self._link: bytes | None = None
        """The link of that record, where it was asked for."""
        self._has_links = anchored is not None
        self._is_chained = False
        self._epoch = 0

    def follow(self, entries: Sequence[Entry], *, are_plain: bool = False) -> None:
        """Go on with the next records, of which none is sealed where they `are_plain`."""
        if not self._are_next(entries):
            self._follow_each(entries)
        elif are_plain and not self._has_links:
            self.last, self._before = entries[-1]
        elif not self._follow_chain(entries):
            self._follow_each(entries)

    def begin_anew(self) -> None:
        """Take the next record as the first of what is there, for those before are gone, or cannot be read."""
        self.last = 0
        self._before = self._link = None

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

    @cached_property
    def _links(self) -> Links:
        return Links(EVENTS, self.name)

    def _are_next(self, entries: Sequence[Entry]) -> bool:
        """Tell whether records go on from the last one, none missing."""
        first = self.last + 1 if self.last else entries[0].key
        return [number for number, _ in entries] == list(range(first, first + len(entries)))

    def _follow_chain(self, entries: Sequence[Entry]) -> bool:
        """Go on with records if all are in their place in the chain, and that can be told of them together."""
        first, last = entries[0], entries[-1]
        before = ORIGIN if first.key == 1 else self._link
        anchored = self._anchored
        is_anchored = anchored is not None and first.key <= anchored.sequence_number <= last.key
        if before is None or is_anchored or not is_chained(first.value):
            return False
        link = self._links.through(before, entries)
        if link is None:
            return False
        self._has_links = self._is_chained = True
        self.chained += len(entries)
        self.last, self._before, self._link = last.key, last.value, link
        return True

    def _follow_each(self, entries: Sequence[Entry]) -> None:
        last = self.last
        for number, record in entries:
            if number != last + 1 and last:
                self._report(CorruptionError(self.name, last + 1, f"the event is missing; the next one is {number}"))
                self._before = self._link = None
            last = number
            if self._has_links or is_chained(record):
                self._has_links = True
                self._follow_link(number, record)
            else:
                self._before = record
        self.last = last

    def _follow_link(self, number: int, record: bytes) -> None:
        """Check that a record goes on from the one before, as far as that is known."""
        try:
            link = self._checked(number, record)
        except CorruptionError as error:
            self._report(error)
            self._before = self._link = None
        else:
            self._before, self._link = record, link

    def _checked(self, number: int, record: bytes) -> bytes:
        """Return the link of a record that is in its place in the chain."""
        previous, link = self._links.of(number, record)
        if previous is not None:
            self._is_chained = True
            if previous != (self._link_before(number) or previous):
                raise ChainBroken(self.name, number, "the record before is not the one that this one was chained to")
            self.chained += 1
        elif self._is_chained:
            raise ChainBroken(self.name, number, "the chain ends: this record is in none, and those before are")
        anchored = self._anchored
        if anchored is not None and anchored.sequence_number == number and anchored.link != link:
            raise ChainBroken(self.name, number, "an anchor knows another record here, or another past of it")
        return link

    def _link_before(self, number: int) -> bytes | None:
        """Return the link of the record before a number, None where it is not known."""
        if number == 1:
            return ORIGIN
        if self._before is None:
            return None
        return self._link or self._links.of(number - 1, self._before)[1]
