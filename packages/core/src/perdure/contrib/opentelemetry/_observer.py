"""The observer: what each hook adds to the trace, and to the figures.

Nothing here sees what messages, events and states hold. Spans have paths as `Observed.shown` gives them; figures have
the names of types alone, for there are few of these. Errors are types, as their texts may tell anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any

from opentelemetry.metrics import MeterProvider, get_meter
from opentelemetry.trace import TracerProvider, get_tracer

from perdure.abc import Conflict, WriteGroup
from perdure.actors import SystemEvent
from perdure.contrib.opentelemetry._figures import Figures
from perdure.contrib.opentelemetry._spans import Spans
from perdure.telemetry import Committed, Ended, Observed, Observer

_NAME = "perdure"


class OpenTelemetry(Observer):
    """Has the systems of one event loop traced and measured.

    An ask inside a recorded span is recorded, with its handling, its writes and their commit; inside one that is not
    recorded it is not. Of the asks and tells that have no span around them, `roots`, a part from 0 to 1, are offered to
    the sampler of the tracer. Durations are recorded of samples: of what begins, at most `samples` a second of each
    kind. Everything else is counted exactly.

    `tracer_provider` and `meter_provider` are the global ones by default. Give one object to all systems of a process.
    """

    def __init__(
        self,
        *,
        roots: float = 0.01,
        samples: float = 100.0,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        if not 0 <= roots <= 1:
            raise ValueError(f"roots is a part of all, from 0 to 1, not {roots:g}")
        if not samples > 0:
            raise ValueError(f"samples is more than 0 a second, not {samples:g}")
        self._spans = Spans(get_tracer(_NAME, tracer_provider=tracer_provider), roots)
        self._figures = Figures(get_meter(_NAME, meter_provider=meter_provider), samples)

    def expose(self, prefix: str, read: Callable[[], Mapping[str, float]]) -> None:
        """Have figures of others shown as gauges, named `PREFIX.KEY`: `read` is asked at each collection, and once now.

        It may be asked in another thread. Keys that it has not now are not shown later.
        """
        self._figures.expose(prefix, read)

    def opened(self, system: Any) -> None:
        self._figures.systems.append(system)

    def closed(self, system: Any) -> None:
        self._figures.systems.remove(system)

    def asking(self, actor: Observed, message: str) -> Ended | None:
        return self._spans.ask(actor, message)

    def handling(self, actor: Observed, message: str, asked: bool) -> Ended | None:
        name = actor.type_name
        handled = self._figures.handled.get(name) or self._figures.first_of(name)
        handled.count += 1
        now = monotonic()
        span = self._spans.handle(actor, message, asked)
        if now < handled.due:
            return span
        return self._figures.handling(handled, now, span)

    def recovering(self, actor: Observed) -> Ended | None:
        return self._figures.recovering(actor.type_name, self._spans.recover(actor))

    def writing(self, group: WriteGroup) -> None:
        self._spans.write(group)

    def committing(self, groups: Sequence[WriteGroup], size: int) -> Committed:
        committed = self._spans.commit(groups, size)
        measured = self._figures.committing(groups, size)

        def both(outcomes: Sequence[Conflict | BaseException | None]) -> None:
            measured(outcomes)
            if committed is not None:
                committed(outcomes)

        return both

    def happened(self, event: SystemEvent) -> None:
        self._figures.happened(event)
