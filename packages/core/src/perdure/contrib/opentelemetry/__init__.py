"""Traces and metrics by OpenTelemetry: `pip install 'perdure[otel]'`, and the SDK and exporter of your choice.

    ActorSystem(store="sqlite:///bank.db", observers=[OpenTelemetry()])

The names of all spans, metrics and attributes are in `docs/observability.md`.
"""

from perdure.contrib.opentelemetry._observer import OpenTelemetry

__all__ = ["OpenTelemetry"]
