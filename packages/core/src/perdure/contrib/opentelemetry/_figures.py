"""The figures: counts that are kept in integers, and read when they are collected; and durations of samples.

To record one value costs the SDK as much as an event costs the system, so nothing is recorded for each message. What is
read is read in the collector's thread, where numbers may be of slightly different moments.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from time import monotonic
from typing import Any, TypeAlias

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from perdure.abc import Conflict, Put, WriteGroup
from perdure.actors import DeadLetter, Failed, Passivated, Restarted, Started, SystemEvent
from perdure.persistence import RecoveryFellBack, SnapshotFailed, SnapshotSaved
from perdure.telemetry import Committed, Ended

Labels: TypeAlias = tuple[tuple[str, str], ...]

_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_GROUPS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_BYTES = (256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216)

_TYPE, _MESSAGE, _ERROR = "perdure.actor.type", "perdure.message.type", "error.type"


class Handled:
    """How many messages the actors of a type began to handle, and when to time the next one."""

    __slots__ = ("count", "due", "labels")

    def __init__(self, name: str) -> None:
        self.count = 0
        self.due = 0.0
        self.labels = {_TYPE: name}


class Figures:
    """The instruments of a meter, and what they show."""

    def __init__(self, meter: Meter, samples: float) -> None:
        self.systems: list[Any] = []
        self.handled: dict[str, Handled] = {}
        self._meter = meter
        self._pause = 1 / samples
        self._counts: dict[str, Counter[Labels]] = {}
        self._timed_commits = _Due()
        self._recoveries = _Due()
        self._snapshots = _Due()
        self._make_counters()
        self._make_gauges()
        self._make_histograms()

    def _make_counters(self) -> None:
        self._counter("perdure.actor.activations", "{actor}", "Actors that came to life")
        self._counter("perdure.actor.passivations", "{actor}", "Idle actors that were put away")
        self._counter("perdure.actor.restarts", "{restart}", "Instances that took the place of a failed one")
        self._counter("perdure.actor.failures", "{failure}", "What handlers and starts raised")
        self._counter("perdure.message.dead", "{message}", "Messages that could not be handled")
        self._commits = self._counter("perdure.commit.count", "{commit}", "Commits that were begun")
        self._counter("perdure.commit.failures", "{commit}", "Commits that failed as a whole")
        self._counter("perdure.commit.conflicts", "{write}", "Writes that the store refused, as another was first")
        self._committed = self._counter("perdure.commit.io", "By", "What was given to the store to write")
        self._events = self._counter("perdure.event.written", "{event}", "Events that became durable")
        self._counter("perdure.recovery.count", "{recovery}", "States that were read")
        self._counter("perdure.recovery.failures", "{recovery}", "States that could not be read")
        self._counter("perdure.recovery.fallbacks", "{snapshot}", "Snapshots and states that could not be used")
        self._counter("perdure.snapshot.count", "{snapshot}", "Snapshots that became durable")
        self._counter(
            "perdure.snapshot.failures", "{snapshot}", "Snapshots that were not saved, or not tidied up after"
        )
        self._meter.create_observable_counter(
            "perdure.message.handled", [self._read_handled], "{message}", "Messages that actors began to handle"
        )

    def _make_gauges(self) -> None:
        up_down = self._meter.create_observable_up_down_counter
        up_down("perdure.actor.live", [self._read_live], "{actor}", "Actors in memory")
        up_down("perdure.mailbox.depth", [self._read_depth], "{message}", "Messages that wait for their turn")
        up_down(
            "perdure.recovery.active", [self._read_load("recovering")], "{actor}", "Actors that are being recovered"
        )
        up_down(
            "perdure.recovery.waiting", [self._read_load("waiting_to_recover")], "{actor}", "Actors that wait for that"
        )
        self._meter.create_observable_gauge(
            "perdure.commit.lag",
            [self._read_load("commit_lag", max)],
            "s",
            "How long the oldest write has been waiting",
        )

    def _make_histograms(self) -> None:
        def histogram(name: str, unit: str, what: str, bounds: Sequence[float]) -> Any:
            return self._meter.create_histogram(name, unit, what, explicit_bucket_boundaries_advisory=bounds)

        self._handling_time = histogram("perdure.message.duration", "s", "How long messages are handled", _SECONDS)
        self._commit_time = histogram("perdure.commit.duration", "s", "How long commits take", _SECONDS)
        self._commit_size = histogram("perdure.commit.size", "{write}", "Writes in a commit", _GROUPS)
        self._recovery_time = histogram("perdure.recovery.duration", "s", "How long states are read", _SECONDS)
        self._snapshot_time = histogram("perdure.snapshot.duration", "s", "How long snapshots take to save", _SECONDS)
        self._snapshot_size = histogram("perdure.snapshot.size", "By", "Snapshots as stored", _BYTES)

    def expose(self, prefix: str, read: Callable[[], Mapping[str, float]]) -> None:
        for key in read():
            self._meter.create_observable_gauge(f"{prefix}.{key}", [_reading(read, key)])

    # What happens.

    def first_of(self, name: str) -> Handled:
        handled = self.handled[name] = Handled(name)
        return handled

    def handling(self, handled: Handled, began: float, also: Ended | None) -> Ended:
        """Time the handling of a message, and none of its type for a while."""
        handled.due = began + self._pause

        def ended(error: BaseException | None) -> None:
            self._handling_time.record(monotonic() - began, _with_error(handled.labels, error))
            if also is not None:
                also(error)

        return ended

    def recovering(self, name: str, also: Ended | None) -> Ended:
        began = monotonic()
        timed = self._recoveries.take(began, self._pause)

        def ended(error: BaseException | None) -> None:
            self._count(
                "perdure.recovery.count" if error is None else "perdure.recovery.failures", {_TYPE: name}, error
            )
            if timed:
                self._recovery_time.record(monotonic() - began, _with_error({_TYPE: name}, error))
            if also is not None:
                also(error)

        return ended

    def committing(self, groups: Sequence[WriteGroup], size: int) -> Committed:
        began = monotonic()
        timed = self._timed_commits.take(began, self._pause)
        self._commits[()] += 1
        self._committed[()] += size

        def committed(outcomes: Sequence[Conflict | BaseException | None]) -> None:
            if timed:
                labels = _with_error({}, _failure(outcomes))
                self._commit_time.record(monotonic() - began, labels)
                self._commit_size.record(len(groups), labels)
            lost = len(outcomes) - outcomes.count(None)
            self._events[()] += _events(self._durable(groups, outcomes) if lost else groups)

        return committed

    def _durable(
        self, groups: Sequence[WriteGroup], outcomes: Sequence[Conflict | BaseException | None]
    ) -> Sequence[WriteGroup]:
        """Count what became nothing, and return the groups that are durable."""
        if (failure := _failure(outcomes)) is not None:
            self._count("perdure.commit.failures", error=failure)
            return ()
        durable = [group for group, outcome in zip(groups, outcomes, strict=True) if outcome is None]
        self._count("perdure.commit.conflicts", by=len(groups) - len(durable))
        return durable

    def happened(self, event: SystemEvent) -> None:
        match event:
            case Started(ref):
                self._count("perdure.actor.activations", {_TYPE: ref.type_name})
            case Passivated(ref):
                self._count("perdure.actor.passivations", {_TYPE: ref.type_name})
            case Restarted(ref, error):
                self._count("perdure.actor.restarts", {_TYPE: ref.type_name}, error)
            case Failed(ref, error):
                self._count("perdure.actor.failures", {_TYPE: ref.type_name}, error)
            case DeadLetter(message):
                self._count("perdure.message.dead", {_MESSAGE: type(message).__name__})
            case SnapshotSaved():
                self._saved(event)
            case SnapshotFailed(error=error):
                self._count("perdure.snapshot.failures", error=error)
            case RecoveryFellBack():
                self._count("perdure.recovery.fallbacks")

    def _saved(self, event: SnapshotSaved) -> None:
        self._count("perdure.snapshot.count")
        if self._snapshots.take(monotonic(), self._pause):
            self._snapshot_time.record(event.seconds)
            self._snapshot_size.record(event.size)

    # Counts.

    def _counter(self, name: str, unit: str, what: str) -> Counter[Labels]:
        counts = self._counts[name] = Counter()

        def read(_: CallbackOptions) -> Iterator[Observation]:
            return (Observation(count, dict(labels)) for labels, count in list(counts.items()))

        self._meter.create_observable_counter(name, [read], unit, what)
        return counts

    def _count(
        self, name: str, labels: Mapping[str, str] | None = None, error: BaseException | None = None, by: int = 1
    ) -> None:
        key = () if labels is None and error is None else tuple(_with_error(labels or {}, error).items())
        self._counts[name][key] += by

    # What the collector reads.

    def _read_handled(self, _: CallbackOptions) -> Iterator[Observation]:
        return (Observation(handled.count, handled.labels) for handled in list(self.handled.values()))

    def _read_live(self, _: CallbackOptions) -> Iterator[Observation]:
        return self._read_census(lambda census: int(census.live))

    def _read_depth(self, _: CallbackOptions) -> Iterator[Observation]:
        return self._read_census(lambda census: int(census.depth))

    def _read_census(self, figure: Callable[[Any], int]) -> Iterator[Observation]:
        totals: Counter[str] = Counter(dict.fromkeys(self.handled, 0))
        for system in list(self.systems):
            for name, census in system.census().items():
                totals[name] += figure(census)
        return (Observation(total, {_TYPE: name}) for name, total in totals.items())

    def _read_load(
        self, name: str, join: Callable[[list[float]], float] = sum
    ) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def read(_: CallbackOptions) -> list[Observation]:
            loads = [system.load() for system in list(self.systems) if hasattr(system, "load")]
            return [Observation(join([getattr(load, name) for load in loads]))] if loads else []

        return read


class _Due:
    """When the next sample is due."""

    __slots__ = ("_when",)

    def __init__(self) -> None:
        self._when = 0.0

    def take(self, now: float, pause: float) -> bool:
        if now < self._when:
            return False
        self._when = now + pause
        return True


def _failure(outcomes: Sequence[Conflict | BaseException | None]) -> BaseException | None:
    """Return why a commit failed as a whole."""
    return outcomes[0] if isinstance(outcomes[0], BaseException) else None


def _events(groups: Sequence[WriteGroup]) -> int:
    return sum([type(write) is Put and write.collection == "events" for group in groups for write in group.writes])


def _with_error(labels: Mapping[str, str], error: BaseException | None) -> dict[str, str]:
    return dict(labels) if error is None else {**labels, _ERROR: type(error).__name__}


def _reading(read: Callable[[], Mapping[str, float]], key: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def reading(_: CallbackOptions) -> list[Observation]:
        value = read().get(key)
        return [] if value is None else [Observation(value)]

    return reading
