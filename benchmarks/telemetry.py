"""What observing costs a system, beside the same without."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from math import inf

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from benchmarks.asked import Asked
from benchmarks.report import Cell, Table
from benchmarks.rounds import Measure, in_turns
from benchmarks.run import Run
from perdure import ActorSystem
from perdure.contrib.opentelemetry import OpenTelemetry
from perdure.telemetry import Observer

_ACTORS = (1, 10, 100, 1_000, 10_000)
_COLLECT = 1_000  # milliseconds between collections of metrics: 60 times as often as the SDK does by default

_NOTE = f"""Durable events a second on SQLite, asked and answered, medians. off: no observer; again: the same, so
its proportion is noise. on: OpenTelemetry by default, all figures, collected every {_COLLECT / 1000:g} s, and ten
asks a second traced, by the default sampler of the SDK (parent-based, always on). all traced: each ask with all
its spans."""


class Discarding(SpanExporter):
    """Has spans collected in batches, as any exporter does, and sends them nowhere."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None: ...


class Nowhere(MetricExporter):
    """Has figures collected, and sends them nowhere."""

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_: object) -> MetricExportResult:
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 30_000, **_: object) -> None: ...


async def tables(run: Run) -> AsyncIterator[Table]:
    rows: list[tuple[Cell, ...]] = []
    for actors in run.pick(_ACTORS, _ACTORS[1:2]):
        async with AsyncExitStack() as stack:
            contenders: dict[str, Measure] = {}
            for name, observers in _observers(stack).items():
                url = run.url(f"{name.replace(' ', '-')}-{actors}")
                system = await stack.enter_async_context(ActorSystem(store=url, observers=observers))
                contenders[name] = await Asked.among(system, actors)
            rates = await in_turns(contenders, run.pick(15, 1), run.pick(0.3, 0.1))
        off, *others = (rate.median for rate in rates.values())
        rows.append((actors, off, *others, *(other / off for other in others)))
    names = ("on", "all traced", "again")
    yield Table(
        "Systems with and without telemetry",
        ("actors", "off", *names, *(f"{name} / off" for name in names)),
        rows,
        _NOTE,
    )


def _observers(stack: AsyncExitStack) -> dict[str, Sequence[Observer]]:
    return {"off": (), "on": [_observer(stack, 10.0)], "all traced": [_observer(stack, inf)], "again": ()}


def _observer(stack: AsyncExitStack, roots: float) -> Observer:
    tracing = TracerProvider()
    tracing.add_span_processor(BatchSpanProcessor(Discarding()))
    metering = MeterProvider([PeriodicExportingMetricReader(Nowhere(), export_interval_millis=_COLLECT)])
    stack.callback(tracing.shutdown)
    stack.callback(metering.shutdown)
    return OpenTelemetry(roots=roots, tracer_provider=tracing, meter_provider=metering)
