"""What happens to an actor that fails, as data.

A failure is whatever a handler raises, but for `Rejected`. The actor's own type says what follows: `Restart`, `Resume`,
`Stop` or `Escalate`; `ByError` chooses among them by the type of the error, and `AllForOne` has the siblings share it.
One failure is beyond choice: whoever is `Superseded` stops, for a new instance could do no better. Who has only asked
such an actor is supervised as ever.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Protocol, TypeAlias, runtime_checkable

import msgspec

from perdure.errors import Superseded


def _check_jitter(jitter: float) -> None:
    if not 0 <= jitter <= 1:
        raise ValueError(f"jitter is from 0 to 1, not {jitter:g}")


@runtime_checkable
class Schedule(Protocol):
    """How long to wait before each of several attempts. Anything with this method is one."""

    def delay(self, attempt: int, chance: float = 0.0, /) -> float | None:
        """Return the seconds before an attempt, counting from 1; None when there is to be none.

        `chance` is a random number from 0 to 1, for schedules with jitter.
        """


class Backoff(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds that grow: `first` before the first attempt, `initial` before the second, then `factor` times as many.

    No wait is longer than `longest`. `jitter`, from 0 to 1, is the part of each wait that chance may take away.
    """

    first: float = 0.0
    initial: float = 0.1
    factor: float = 2.0
    longest: float = 10.0
    jitter: float = 0.0

    def __post_init__(self) -> None:
        _check_jitter(self.jitter)

    def delay(self, attempt: int, chance: float = 0.0, /) -> float | None:
        grown = min(self.longest, self.initial * self.factor ** min(attempt - 2, 64))
        return (self.first if attempt <= 1 else grown) * (1 - self.jitter * chance)


class Fixed(msgspec.Struct, frozen=True):
    """The same number of seconds before each attempt; `jitter` as in `Backoff`."""

    seconds: float = 0.0
    jitter: float = 0.0

    def __post_init__(self) -> None:
        _check_jitter(self.jitter)

    def delay(self, attempt: int, chance: float = 0.0, /) -> float | None:
        return self.seconds * (1 - self.jitter * chance)


class Delays(msgspec.Struct, frozen=True):
    """Just these seconds, one after another, and then no further attempt."""

    seconds: tuple[float, ...]

    def delay(self, attempt: int, chance: float = 0.0, /) -> float | None:
        return self.seconds[attempt - 1] if 1 <= attempt <= len(self.seconds) else None


class Restart(msgspec.Struct, frozen=True, kw_only=True):
    """Replace the failed instance after a back-off; its mailbox and its refs stay.

    More than `max` failures within `within` seconds stop the actor, and so does the end of the schedule.
    """

    backoff: Schedule = Backoff()
    max: int = 10
    within: float = 60.0


class Resume(msgspec.Struct, frozen=True):
    """Keep the instance, and go on with the next message."""


class Stop(msgspec.Struct, frozen=True):
    """Stop the failed actor; what is queued is answered with `ActorStopped`."""


class Escalate(msgspec.Struct, frozen=True):
    """Stop the failed actor, and have its parent fail with the same error; without a parent, crash the system."""


Directive: TypeAlias = Restart | Resume | Stop | Escalate


class ByError(msgspec.Struct, frozen=True):
    """Choose by the type of the error: the entry of its nearest base class, or `otherwise`."""

    cases: Mapping[type[BaseException], Directive]
    otherwise: Directive = Restart()


class AllForOne(msgspec.Struct, frozen=True):
    """Restart or stop the siblings together with the failed child. The budget is that of the one that failed."""

    decision: Directive | ByError = Restart()


Supervision: TypeAlias = Directive | ByError | AllForOne


def directive(supervision: Supervision, error: BaseException) -> Directive:
    """Return what supervision says of an error."""
    if isinstance(supervision, AllForOne):
        supervision = supervision.decision
    if not isinstance(supervision, ByError):
        return supervision
    known = (supervision.cases[kind] for kind in type(error).__mro__ if kind in supervision.cases)
    return next(known, supervision.otherwise)


def is_superseded(path: str, error: BaseException | None) -> bool:
    """Tell whether an error says that this very actor is another owner's."""
    return isinstance(error, Superseded) and error.path == path


class Failures:
    """The recent failures of one actor."""

    __slots__ = ("_times",)

    def __init__(self) -> None:
        self._times: deque[float] = deque()

    def delay(self, restart: Restart, now: float, chance: float) -> float | None:
        """Note a failure and return how long to wait before the restart, or None to stop."""
        while self._times and self._times[0] <= now - restart.within:
            self._times.popleft()
        self._times.append(now)
        if len(self._times) > restart.max:
            return None
        return restart.backoff.delay(len(self._times), chance)
