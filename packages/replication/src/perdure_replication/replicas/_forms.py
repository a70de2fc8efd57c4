"""What of an actor is sent: its state and its events, or what a projection makes of them."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from perdure import PersistentActor
from perdure.query import Fold
from perdure_replication._immutable import is_immutable
from perdure_replication.errors import InvalidState

S = TypeVar("S")
V = TypeVar("V")

_encode = msgspec.msgpack.Encoder(order="deterministic").encode


class Form(Protocol[V]):
    """Turns states and records into what is sent, and that into views."""

    version: int
    fold: Fold[Any]
    moves_by_deltas: bool
    copies: bool
    """Whether views can be changed in place, so that copies are given out."""

    def whole(self, state: Any, sequence_number: int) -> bytes:
        """Return a view as it is sent."""

    def delta(self, record: bytes) -> bytes:
        """Return what moves a view by a stored event, as it is sent."""

    def initial(self) -> V:
        """Return the view before the first event."""

    def view(self, data: bytes) -> V:
        """Return a view that was sent."""

    def moved(self, view: V, data: bytes) -> V:
        """Return a view after a delta, which may be the given one, changed in place."""

    def copy(self, view: V) -> V:
        """Return a view to give out."""


class Plain(Generic[S]):
    """States as they are, and events as they are stored: old ones are read as the reader's program reads them."""

    version = 0
    moves_by_deltas = True

    def __init__(self, actor_type: type[PersistentActor[S, Any]]) -> None:
        self.fold = Fold(actor_type)
        self.copies = not is_immutable(self.fold.state_type)

    def whole(self, state: S, sequence_number: int) -> bytes:
        return self.fold.encode(state, sequence_number)

    def delta(self, record: bytes) -> bytes:
        return record

    def initial(self) -> S:
        return self.fold.initial()

    def view(self, data: bytes) -> S:
        return self.fold.decode(data)[0]

    def moved(self, view: S, data: bytes) -> S:
        return self.fold.apply(view, data)

    def copy(self, view: S) -> S:
        return deepcopy(view) if self.copies else view


class Projected(Generic[V]):
    """What `project` makes of states; with `project_event` and `apply_view`, also of events."""

    def __init__(
        self,
        actor_type: type[PersistentActor[Any, Any]],
        view_type: Any,
        project: Callable[[Any], V],
        project_event: Callable[[Any], Any] | None,
        apply_view: Callable[[V, Any], V] | None,
        delta_type: Any,
        version: int,
    ) -> None:
        self.fold: Fold[Any] = Fold(actor_type)
        self.version = version
        self.moves_by_deltas = project_event is not None
        self._project = project
        self._project_event = project_event
        self._apply_view = apply_view
        try:
            self._decode: Callable[[bytes], V] = msgspec.msgpack.Decoder(view_type).decode
            self._decode_deltas: Callable[[bytes], list[Any]] = msgspec.msgpack.Decoder(list[delta_type]).decode
        except TypeError as error:
            raise InvalidState(actor_type.__name__, f"the type of its views cannot be encoded: {error}") from error
        self.copies = not is_immutable(view_type)

    def whole(self, state: Any, sequence_number: int) -> bytes:
        return _encode(self._project(state))

    def delta(self, record: bytes) -> bytes:
        assert self._project_event is not None
        deltas = (self._project_event(event) for event in self.fold.events(record))
        return _encode([delta for delta in deltas if delta is not None])

    def initial(self) -> V:
        return self._decode(_encode(self._project(self.fold.initial())))

    def view(self, data: bytes) -> V:
        return self._decode(data)

    def moved(self, view: V, data: bytes) -> V:
        assert self._apply_view is not None
        for delta in self._decode_deltas(data):
            view = self._apply_view(view, delta)
        return view

    def copy(self, view: V) -> V:
        return deepcopy(view) if self.copies else view
