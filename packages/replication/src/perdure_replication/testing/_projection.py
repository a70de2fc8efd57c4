"""Whether a projection of an actor keeps its law."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from perdure import Event
from perdure_replication.replicas import Replicated


def check_projection(replicated: Replicated[Any, Any], events: Iterable[Event]) -> None:
    """Fold events as an actor would, and views as its followers would; raise `AssertionError` where they part.

    Views and deltas are encoded and read back on the way. Raises `ValueError` for a replication without deltas.
    """
    form = replicated._form
    if not form.moves_by_deltas:
        raise ValueError(f"{replicated.name}: views are sent whole, so there is no law to keep")
    state, view = form.fold.initial(), form.initial()
    for number, event in enumerate(events, 1):
        record = form.fold.record(event)
        state = form.fold.apply(state, record)
        view = form.moved(view, form.delta(record))
        expected = form.view(form.whole(state, number))
        if view != expected:
            moved = f"event {number}, {event!r}, moves a view to {view!r}"
            raise AssertionError(f"{replicated.name}: {moved}; its state shows {expected!r}")
