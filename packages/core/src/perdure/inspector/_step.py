"""One step in the life of an actor: an event, what it made of the state, and the events beside it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import msgspec

from perdure.errors import CorruptionError, PerdureError
from perdure.inspector._difference import NOTHING, Line, difference
from perdure.inspector._pictures import WIDTH, Bar, bars
from perdure.inspector._records import Event
from perdure.inspector._states import Change, States
from perdure.inspector._timeline import BLOCK, Bounds, Timeline


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """All that is shown of one step."""

    persistence_id: str
    number: int
    bounds: Bounds
    event: Event | None
    """None where it is missing from the log."""
    contents: list[list[Line]]
    """What is in the event."""
    change: list[Line] | None
    """The state after it, and what it changed; None where the actor's type is not known."""
    problem: str | None
    """Why there is no state."""
    since: timedelta | None
    """How long after the event before it was stored."""
    beside: Sequence[Event]
    """It and the events next to it, without what is in them."""
    bars: list[Bar]

    @property
    def x(self) -> float:
        """Where it is between the first event and the last."""
        return WIDTH * (self.number - self.bounds.first) / max(1, self.bounds.last - self.bounds.first)

    @property
    def is_changed(self) -> bool:
        return any(line.sign in ("added", "removed", "changed") for line in self.change or ())


async def step(timeline: Timeline, states: States, persistence_id: str, bounds: Bounds, number: int) -> Step:
    """Return the step of an event. What cannot be read or folded is said in it. Raises `StoreError`."""
    event = await timeline.event(number)
    beside = await timeline.beside(number)
    change, problem = await _change(timeline, states, persistence_id, number, event)
    return Step(
        persistence_id=persistence_id,
        number=number,
        bounds=bounds,
        event=event,
        contents=[difference(NOTHING, found) for found in event.documents] if event is not None else [],
        change=None if change is None else difference(*change),
        problem=problem,
        since=_since(event, beside),
        beside=beside,
        bars=bars(_joined(await timeline.block(number), beside), bounds),
    )


async def _change(
    timeline: Timeline, states: States, persistence_id: str, number: int, event: Event | None
) -> tuple[Change | None, str | None]:
    """Return what an event made of the state, or why that cannot be known."""
    try:
        manifest = None if event is None else event.manifest
        return await states.change(persistence_id, timeline.name, number, manifest), None
    except CorruptionError as error:
        return None, f"{error.number} {error.sequence_number:,}: {error.reason}"
    except PerdureError as error:
        return None, str(error)


def _joined(block: Sequence[Event], beside: Sequence[Event]) -> list[Event]:
    """Return the events of a block, with those that were too large to come with the others."""
    start = block[0].sequence_number if block else 1
    events = {event.sequence_number: event for event in (*block, *beside)}
    return [events[number] for number in sorted(events) if start <= number < start + BLOCK]


def _since(event: Event | None, beside: Sequence[Event]) -> timedelta | None:
    if event is None or event.timestamp is None:
        return None
    before = next((one for one in beside if one.sequence_number == event.sequence_number - 1), None)
    return None if before is None or before.timestamp is None else event.timestamp - before.timestamp
