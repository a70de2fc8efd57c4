"""Group commit: one queue for all writers of a backend.

While a commit is in flight, whatever arrives forms the next one. An idle queue commits when the actors that have their
turns just now have had them, or else at the end of the loop's present turn, so all that became ready together goes
together, a lone writer waits for one sync, and nobody waits for a timer. (Lingering one millisecond for company took a
lone actor from 3,600 to 690 events a second. Storing one half while the loop works on the other costs more in syncs and
turns than it gains.)

A batch is bounded in groups and in bytes. Its writers are woken a few each turn of the loop, so that others have their
turn between (a timer beside full load is late by milliseconds, not by tens of them). Where a whole batch waits already,
its commit begins first, and the store works while they go on; where less waits, the next commit begins when all are
told, and takes what they have brought by then. The queue is bounded in bytes, and who finds it full waits, in order.
Cancelling a writer cancels its waiting; once there was room for its group, never its write.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Sequence

from perdure._prompt import Prompt
from perdure._stretch import LONG, STRETCH, NoStretches, Stretches, stretches
from perdure.abc import Backend, Conflict, WriteGroup
from perdure.errors import OutcomeUnknown, PerdureError, StoreClosed
from perdure.journal._commits import Commits
from perdure.telemetry._observation import NOTHING, Hook, Observation

_MIB = 1024 * 1024


class _Pending(Prompt[Conflict | None], kw_only=True, eq=False):
    """A group on its way, its size in bytes, and the future of what becomes of it.

    The collector has to see it: the traceback of a failure leads back to it, and would keep it alive for ever.
    """

    group: WriteGroup
    size: int


class CommitQueue:
    """Commits groups in the order in which they were submitted, many at a time."""

    def __init__(
        self,
        backend: Backend,
        *,
        batch_groups: int = 256,
        batch_bytes: int = 8 * _MIB,
        pending_bytes: int = 64 * _MIB,
        observed: Observation = NOTHING,
        actors: Stretches | None = None,
    ) -> None:
        self.commits = Commits()
        self._backend = backend
        self._batch_groups = batch_groups
        self._batch_bytes = batch_bytes
        self._pending_bytes = pending_bytes
        self._loop = asyncio.get_running_loop()
        self._actors = NoStretches() if actors is None else actors
        self._pending: deque[_Pending] = deque()
        self._bytes = 0
        self._busy = False
        self._outcomes: deque[tuple[_Pending, Conflict | BaseException | None]] = deque()
        self._closed = False
        self._committing: asyncio.Future[Sequence[Conflict | None]] | None = None  # the loop would not keep it alive
        self._parked: deque[_Pending] = deque()
        self._drained: asyncio.Future[None] | None = None
        self.failure: BaseException | None = None
        """What the last commit raised, if it did."""
        self._observed = observed
        self._told: Hook | None = None  # of the observers, about the present commit
        self._since: float | None = None  # when the oldest of what is being committed was there
        self._left_since: float | None = None  # the same of what had no room in the batch

    def submit(self, group: WriteGroup, size: int) -> Awaitable[Conflict | None]:
        """Commit a group that holds `size` bytes; the result is there when it is durable or known to be in conflict.

        Raises what `Backend.commit` raises; `OutcomeUnknown` for anything it should not have raised.
        """
        if self._closed:
            raise StoreClosed("commit")
        if self._observed.writing is not None:
            self._observed.writing(group)
        pending = _Pending(self._loop, group=group, size=size)
        if self._parked or not self._has_room(size):  # nobody overtakes, or a large group would wait for ever
            self._parked.append(pending)
            return pending
        self._pending.append(pending)
        self._bytes += size
        if not self._busy:
            self._busy = True
            self._actors.at_end(self._commit)
        return pending

    @property
    def lag(self) -> float:
        """For how many seconds the oldest group has been waiting to be durable, within one commit; 0 when none is."""
        return 0.0 if self._since is None else time.monotonic() - self._since

    def _has_room(self, size: int) -> bool:
        return self._bytes + size <= self._pending_bytes or self._bytes == 0

    async def close(self) -> None:
        """Refuse further groups and wait until those that were submitted are settled."""
        self._closed = True
        while self._busy:
            if self._drained is None:
                self._drained = self._loop.create_future()
            await asyncio.shield(self._drained)

    def _commit(self) -> None:
        self._since = time.monotonic() if self._left_since is None else self._left_since
        batch, size = self._take()
        self._left_since = self._since if self._pending else None
        groups = [pending.group for pending in batch]
        if self._observed.committing is not None:
            self._told = self._observed.committing(groups, size)
        commit: asyncio.Future[Sequence[Conflict | None]]
        try:
            commit = asyncio.ensure_future(self._backend.commit(groups))
        except Exception as error:
            commit = self._loop.create_future()
            commit.set_exception(error)
        self._committing = commit
        commit.add_done_callback(lambda commit: self._settle(batch, commit))

    def _take(self) -> tuple[list[_Pending], int]:
        """Return the next batch and its bytes: at least one group, at most as many and as much as its bounds allow."""
        batch = [self._pending.popleft() for _ in range(min(self._batch_groups, len(self._pending)))]
        size = sum([pending.size for pending in batch])
        while size > self._batch_bytes and len(batch) > 1:
            size -= batch[-1].size
            self._pending.appendleft(batch.pop())
        self._bytes -= size
        return batch, size

    def _settle(self, batch: list[_Pending], commit: asyncio.Future[Sequence[Conflict | None]]) -> None:
        self._committing = self._since = self.failure = None
        outcomes: Sequence[Conflict | BaseException | None]
        if commit.cancelled():
            outcomes = _failures(batch, OutcomeUnknown("commit", "the commit was cancelled"))
        elif (error := commit.exception()) is not None:
            self.failure = error
            outcomes = _failures(batch, error)
        elif len(outcomes := commit.result()) != len(batch):
            text = f"{len(outcomes)} outcomes for {len(batch)} groups"
            outcomes = _failures(batch, OutcomeUnknown("commit", text))
        self.commits.tell()
        self._report(batch, outcomes)

    def _report(self, batch: list[_Pending], outcomes: Sequence[Conflict | BaseException | None]) -> None:
        """Tell writers what became of their groups, in order; begin the next commit, at once if a whole batch waits."""
        if self._told is not None:
            self._told(outcomes)
            self._told = None
        is_telling = bool(self._outcomes)
        self._outcomes.extend(zip(batch, outcomes, strict=True))
        self._admit()
        if len(self._pending) >= self._batch_groups:
            self._commit()
        if not is_telling:
            self._tell()

    def _tell(self) -> None:
        """Tell some writers, each of whom goes on at once, and the others in the loop's next turn."""
        end = time.monotonic() + LONG
        try:
            for _ in range(stretches(len(self._outcomes) + len(self._pending))):
                self._tell_some()
                if not self._outcomes or time.monotonic() > end:
                    break
        finally:  # a writer that ends the process leaves the others to be told
            self._actors.expect()
            if self._outcomes:
                self._loop.call_soon(self._tell)
            else:
                self._next()

    def _tell_some(self) -> None:
        for _ in range(min(len(self._outcomes), STRETCH)):
            pending, outcome = self._outcomes.popleft()
            if pending._done:
                continue  # nobody waits any more
            if isinstance(outcome, BaseException):
                pending.set_exception(outcome)
            else:
                pending.set_result(outcome)

    def _next(self) -> None:
        if self._committing is not None:
            return
        self._admit()
        if self._pending:
            self._commit()
            return
        self._busy = False
        if self._drained is not None:
            self._drained.set_result(None)
            self._drained = None

    def _admit(self) -> None:
        """Let in, in order, those for whom there is room; who gave up while parked writes nothing."""
        while self._parked and self._has_room(self._parked[0].size):
            pending = self._parked.popleft()
            if not pending.done():
                self._pending.append(pending)
                self._bytes += pending.size


def _failures(batch: list[_Pending], error: BaseException) -> list[BaseException]:
    """Return an error of its own for each writer, for each will add its own traceback."""
    own: list[BaseException] = [
        _twin(error)
        if isinstance(error, PerdureError)
        else OutcomeUnknown("commit", f"{type(error).__name__}: {error}")
        for _ in batch
    ]
    for failure in own:
        failure.__cause__ = error
    return own


def _twin(error: PerdureError) -> PerdureError:
    """Return an error with the same fields, without calling a constructor of which only its author knows."""
    twin = type(error).__new__(type(error), *error.args)
    twin.__dict__.update(error.__dict__)
    return twin
