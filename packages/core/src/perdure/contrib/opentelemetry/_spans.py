"""The spans of a trace: ask, handle, recover, persist, commit.

A span is begun only where one around it is recorded, or a trace may begin and the tracer's sampler agrees. `followed`
says so to whoever comes next on the way of a message, faster than a look at the current span does.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from math import inf
from time import monotonic
from typing import TypeAlias

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.trace import Link, Span, Status, StatusCode, Tracer

from perdure.abc import Conflict, WriteGroup
from perdure.errors import ConflictError, Rejected
from perdure.telemetry import Committed, Ended, Observed

_Attributes: TypeAlias = dict[str, str | int]

_LINKS = 128  # of one span: the SDK keeps no more by default


class Way:
    """A recorded span on the way of a message, and what was written within it and is not committed."""

    __slots__ = ("span", "writes")

    def __init__(self, span: Span) -> None:
        self.span = span
        self.writes: set[int] = set()


followed: ContextVar[Way | None] = ContextVar("perdure_followed", default=None)


class Spans:
    """Begins spans, and returns what ends them."""

    def __init__(self, tracer: Tracer, roots: float) -> None:
        self._tracer = tracer
        self._roots = roots
        self._left = self._most = max(1.0, roots)
        self._since = monotonic()
        self.next_root = 0.0 if roots else inf
        """Until when no trace may begin, of the monotonic clock."""
        self.live = 0
        """How many asks and handlings are recorded now."""
        self._writes: dict[int, tuple[WriteGroup, Span]] = {}  # by the id of the group, which is kept here so long

    def ask(self, actor: Observed, message: str) -> Ended | None:
        if not self._is_wanted():
            if followed.get() is not None:
                followed.set(None)
            return None
        return self._begun(self._span("ask", actor, message))

    def handle(self, actor: Observed, message: str, asked: bool) -> Ended | None:
        """Begin the child of an ask, or, for who was told, a root that is linked with the teller's."""
        if asked:
            return None if followed.get() is None else self._begun(self._span("handle", actor, message))
        if not self._is_wanted():
            return None
        teller = trace.get_current_span().get_span_context()
        links = [Link(teller)] if teller.is_valid else []
        return self._begun(self._span("handle", actor, message, contexts.Context(), links))

    def recover(self, actor: Observed) -> Ended | None:
        if followed.get() is None:
            return None
        span = self._tracer.start_span(
            f"recover {actor.type_name}",
            attributes={"perdure.actor.type": actor.type_name, "perdure.actor.path": actor.shown},
        )
        return lambda error: _end(span, error)

    def write(self, group: WriteGroup, way: Way) -> None:
        if not way.span.is_recording() or not group.writes:
            return
        span = self._tracer.start_span("persist", attributes={"perdure.write.count": len(group.writes)})
        self._writes[id(group)] = (group, span)
        way.writes.add(id(group))

    def commit(self, groups: Sequence[WriteGroup], size: int) -> Committed | None:
        """Begin a span for a commit that carries what is traced; return what ends it, and theirs."""
        if not self._writes:
            return None
        carried = {
            place: self._writes.pop(id(group))[1] for place, group in enumerate(groups) if id(group) in self._writes
        }
        if not carried:
            return None
        first, *others = carried.values()
        commit = self._tracer.start_span(
            "commit",
            trace.set_span_in_context(first, contexts.Context()),
            attributes={"perdure.commit.size": len(groups), "perdure.commit.io": size},
            links=[Link(span.get_span_context()) for span in (first, *others)[:_LINKS]],
        )
        for span in carried.values():
            span.add_link(commit.get_span_context())

        def committed(outcomes: Sequence[Conflict | BaseException | None]) -> None:
            failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
            _end(commit, failures[0] if failures else None)
            for place, span in carried.items():
                _end_write(span, outcomes[place])

        return committed

    def _is_wanted(self) -> bool:
        """Tell whether what begins here is to have a span."""
        around = trace.get_current_span().get_span_context()
        return around.trace_flags.sampled if around.is_valid else self._take_root()

    def _take_root(self) -> bool:
        """Tell whether a trace may begin now: some a second may, as many at once, and then one by one."""
        now = monotonic()
        if now < self.next_root or not self._roots:
            return False
        if self._roots < inf:
            self._left = min(self._most, self._left + (now - self._since) * self._roots) - 1
            self._since = now
            self.next_root = now if self._left >= 1 else now + (1 - self._left) / self._roots
        return True

    def _span(
        self,
        what: str,
        actor: Observed,
        message: str,
        context: contexts.Context | None = None,
        links: Sequence[Link] = (),
    ) -> Span:
        attributes: _Attributes = {
            "perdure.actor.type": actor.type_name,
            "perdure.actor.path": actor.shown,
            "perdure.message.type": message,
        }
        return self._tracer.start_span(
            f"{what} {actor.type_name}/{message}", context, attributes=attributes, links=links
        )

    def _begun(self, span: Span) -> Ended | None:
        """Have what follows in this context be inside the span; return what ends it, if it is recorded."""
        contexts.attach(trace.set_span_in_context(span))
        if not span.is_recording():
            followed.set(None)
            return None
        way = Way(span)
        followed.set(way)
        self.live += 1

        def ended(error: BaseException | None) -> None:
            self.live -= 1
            for group in way.writes:  # what nobody waits for, or never had its turn
                if (left := self._writes.pop(group, None)) is not None:
                    _end(left[1], error)
            _end(span, error)

        return ended


def _end(span: Span, error: BaseException | None) -> None:
    """End a span. A refusal is an answer; anything else that was raised is an error, of which the type is told."""
    if error is not None:
        span.set_attribute("error.type", type(error).__name__)
        if not isinstance(error, Rejected):
            span.set_status(Status(StatusCode.ERROR))
    span.end()


def _end_write(span: Span, outcome: Conflict | BaseException | None) -> None:
    if isinstance(outcome, Conflict):
        span.set_attribute("error.type", ConflictError.__name__)
        span.set_status(Status(StatusCode.ERROR))
        span.end()
    else:
        _end(span, outcome)
