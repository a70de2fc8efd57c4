"""The observer: what each hook adds to the trace, and to the figures.

Nothing here sees what messages, events and states hold. Spans have paths as `Observed.shown` gives them; figures have
the names of types alone, for there are few of these. Errors are types, as their texts may tell anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import Context
from time import monotonic
from typing import Any

from opentelemetry.context import get_current
from opentelemetry.metrics import MeterProvider, get_meter
from opentelemetry.trace import TracerProvider, get_tracer

from perdure.abc import Conflict, WriteGroup
from perdure.actors import SystemEvent
from perdure.contrib.opentelemetry._figures import Figures
from perdure.contrib.opentelemetry._spans import Spans, followed
from perdure.telemetry import Committed, Ended, Following, Observed, Observer

_NAME = "perdure"


class OpenTelemetry(Observer):
    """Has the systems of one event loop traced and measured.

    An ask inside a recorded span is recorded, with its handling, its writes and their commit; inside one that is not
    recorded it is not. Of the asks and tells that have no span around them, at most `roots` a second begin a trace, if
    the tracer's own sampler agrees; `math.inf` offers it all of them. Durations are recorded of samples: of what
    begins, at most `samples` a second of each kind and type. Everything else is counted exactly.

    `tracer_provider` and `meter_provider` are the global ones by default. Give one object to all systems of a process.
    """

    def __init__(
        self,
        *,
        roots: float = 10.0,
        samples: float = 20.0,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        if not roots >= 0:
            raise ValueError(f"roots is 0 or more a second, not {roots:g}")
        if not samples > 0:
            raise ValueError(f"samples is more than 0 a second, not {samples:g}")
        self._spans = Spans(get_tracer(_NAME, tracer_provider=tracer_provider), roots)
        self._figures = Figures(get_meter(_NAME, meter_provider=meter_provider), samples)
        self._handled = self._figures.handled

    def expose(self, prefix: str, read: Callable[[], Mapping[str, float]]) -> None:
        """Have figures of others shown as gauges, named `PREFIX.KEY`: `read` is asked at each collection, and once now.

        It may be asked in another thread. Keys that it has not now are not shown later.
        """
        self._figures.expose(prefix, read)

    def opened(self, system: Any) -> None:
        self._figures.systems.append(system)

    def closed(self, system: Any) -> None:
        self._figures.systems.remove(system)

    def asking(self, actor: Observed, message: str, context: Context) -> Ended | None:
        if not get_current() and monotonic() < self._spans.next_root:  # as nearly always
            return None
        return context.run(self._spans.ask, actor, message)

    def handling(self, actor: Observed, message: str, asked: bool) -> Ended | Following | None:
        name = actor.type_name
        handled = self._handled.get(name) or self._figures.first_of(name)
        handled.count += 1
        now = monotonic()
        if asked and (not self._spans.live or followed.get() is None):  # as nearly always
            return None if now < handled.due else self._figures.handling(handled, now, None)
        ended = self._spans.handle(actor, message, asked)
        if now >= handled.due:
            measured = self._figures.handling(handled, now, ended)
            return measured if ended is None else Following(measured)
        return None if ended is None else Following(ended)

    def recovering(self, actor: Observed) -> Ended | None:
        return self._figures.recovering(actor.type_name, self._spans.recover(actor))

    def writing(self, group: WriteGroup) -> None:
        if (way := followed.get()) is not None:
            self._spans.write(group, way)

    def committing(self, groups: Sequence[WriteGroup], size: int) -> Committed:
        committed = self._spans.commit(groups, size)
        measured = self._figures.committing(groups, size)
        if committed is None:
            return measured

        def both(outcomes: Sequence[Conflict | BaseException | None]) -> None:
            measured(outcomes)
            committed(outcomes)

        return both

    def happened(self, event: SystemEvent) -> None:
        self._figures.happened(event)
