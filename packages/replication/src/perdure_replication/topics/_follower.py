"""The reader's side of one log of a topic, without a clock or a task: what to fetch next, and what an answer means.

One fetch is under way at a time. The *settled* interest is that of which everything up to the *position* is held. What
else is wanted is *filled*: fetched from the beginning, page by page, and what no page has named is removed at the end.
Then the position, which is older than the fill, is gone on from: what comes twice is passed over by its generation.
So a change of interest costs only what is newly wanted, and a key that has a gap is filled alone.

An answer is valid for the last fetch alone. One that does not come is asked for again, each time later, with jitter.
An answer that held everything says for how long its fetch had waited: the views were current so long after it was
*sent*, at least.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from random import Random
from typing import Literal, Protocol, TypeAlias

import msgspec

from perdure_replication.topics._interest import NOTHING, Interest, first_of
from perdure_replication.topics._words import MAX_WAIT, Answer, Fetch, Record

MAX_UNREADABLE = 10_000

Verdict: TypeAlias = Literal["moved", "old", "gap", "unreadable"]


class Holder(Protocol):
    """Holds the views of one log."""

    def take(self, record: Record, format: int) -> Verdict:
        """Move a view on, and tell whether it did; a delta whose base is not held is a gap."""

    def known(self) -> Iterable[str]:
        """Return the keys of which there are views."""

    def remove(self, key: str) -> None:
        """Remove a view, if there is one."""


class Pace(msgspec.Struct, frozen=True):
    """The times of a reader, in seconds."""

    wait: float = 5.0
    """How long the owner may wait for something new: what is held is known to be current so often."""
    timeout: float = 1.0
    """How long an answer may take besides; each repetition waits twice as long, with jitter."""
    longest: float = 30.0
    """The longest that it waits so."""


class Fill:
    """Something that is fetched from its beginning."""

    def __init__(self, interest: Interest) -> None:
        self.interest = interest
        self.begin(None)

    def begin(self, cursor: bytes | None) -> None:
        """Begin, or begin anew."""
        self.cursor = cursor
        self.named: set[str] = set()


class Follower:
    """Follows one log at whoever serves it. Call `fetch` after each other call, and at `due`."""

    def __init__(
        self, topic: str, log: str, interest: Interest, holder: Holder, pace: Pace, random: Random, now: float
    ) -> None:
        self.topic = topic
        self.log = log
        self.server: str | None = None
        """The node that is asked."""
        self.synced_at = -inf
        """When all that is wanted was surely current."""
        self.failures = 0
        """Fetches in a row that were not answered."""
        self.unreadable: set[str] = set()
        """Keys whose last record could not be read."""
        self._next = now
        self._holder = holder
        self._pace = pace
        self._random = random
        self._wanted = NOTHING
        self._settled = NOTHING
        self._position: bytes | None = None
        self._fill: Fill | None = None
        self._gaps: set[str] = set()
        self._token = random.getrandbits(32)
        self._sent: float | None = None
        self.want(interest, now)

    @property
    def due(self) -> float:
        """When there is something to fetch, or to be asked for again."""
        return self._next if self.server is not None and self._wanted else inf

    @property
    def is_filled(self) -> bool:
        """Whether all that is wanted was fetched once."""
        return self._fill is None and not self._gaps

    def turn_to(self, server: str | None, now: float) -> None:
        """Fetch from another node from now on; nowhere for None."""
        if server != self.server:
            self.server = server
            self.failures = 0
            self._again(now)

    def want(self, wanted: Interest, now: float) -> None:
        """Want something else from now on. What is not wanted any more is removed at once."""
        self._wanted = wanted
        for key in [key for key in self._holder.known() if not wanted.covers(key)]:
            self._holder.remove(key)
        self._settled = wanted.within(self._settled)
        self._gaps = {key for key in self._gaps if wanted.covers(key)}
        self.unreadable = {key for key in self.unreadable if wanted.covers(key)}
        missing = wanted.beyond(self._settled)
        self._fill = Fill(missing) if missing else None
        if not self._settled:
            self._position = None
        self._again(now)

    def fetch(self, now: float) -> Fetch | None:
        """Return the fetch to be sent to the server now, if there is one."""
        if now < self.due:
            return None
        if self._sent is not None:
            self.failures += 1
        self._mend()
        self._token += 1
        self._sent = now
        wait = 0.0 if self._fill else self._pace.wait
        self._next = now + wait + self._patience()
        after, interest = self._position, self._settled
        if self._fill is not None:
            after, interest = self._fill.cursor, self._fill.interest
        return Fetch(self.topic, self.log, self._token, min(MAX_WAIT, int(wait * 1000)), after, interest)

    def receive(self, answer: Answer, now: float) -> None:
        """Take an answer; one to another fetch than the last is nothing."""
        if self._sent is None or answer.token != self._token:
            return
        sent, self._sent = self._sent, None
        self.failures = 0
        self._next = now
        if answer.begins:
            self._begin()
        self._take(answer)
        if self._fill is None:
            self._position = answer.position
        else:
            self._fill_on(answer)
        if answer.at_tip and self.is_filled:
            self.synced_at = min(sent + answer.parked / 1000, now)

    def _begin(self) -> None:
        """Note that the owner begins anew: it knows nothing behind the position, or this is the first page."""
        if self._fill is None:
            self._settled, self._position = NOTHING, None
            self._fill = Fill(self._wanted)
        else:
            self._fill.begin(None)

    def _take(self, answer: Answer) -> None:
        for record in answer.records:
            if self._fill is not None:
                self._fill.named.add(record.key)
            if not self._wanted.covers(record.key):
                continue
            verdict = self._holder.take(record, answer.format)
            if verdict == "unreadable" and len(self.unreadable) < MAX_UNREADABLE:
                self.unreadable.add(record.key)
            else:
                self.unreadable.discard(record.key)
            if verdict == "gap":
                self._gaps.add(record.key)

    def _fill_on(self, answer: Answer) -> None:
        fill = self._fill
        assert fill is not None
        fill.cursor = answer.position
        if not answer.filled:
            return
        for key in [key for key in self._holder.known() if fill.interest.covers(key) and key not in fill.named]:
            self._holder.remove(key)
        self._fill = None
        self._gaps = {key for key in self._gaps if not fill.interest.covers(key)}
        if self._position is None:
            self._position = answer.position
        self._settled = self._wanted

    def _mend(self) -> None:
        """Fill the keys that have gaps."""
        if self._fill is None and self._gaps:
            self._fill = Fill(first_of(sorted(self._gaps)))

    def _again(self, now: float) -> None:
        """Fetch at once, and take no answer to what was fetched."""
        self._sent = None
        self._token += 1
        self._next = now

    def _patience(self) -> float:
        patience = min(self._pace.longest, self._pace.timeout * 2.0 ** min(self.failures, 16))
        return patience * (1 + self._random.random() / 2)
