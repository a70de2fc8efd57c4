"""The changes of all durable states of one actor type, whichever process makes them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, TypeVar

from perdure.abc import FeedRecord
from perdure.errors import CorruptionError, SubjectForgotten
from perdure.journal import RecordError, hidden_id_of
from perdure.journal._record import decode
from perdure.persistence import Changed, DurableStateActor
from perdure.persistence._changes import DURABLE, changed
from perdure.persistence._custody import own_sealing
from perdure.persistence._definition import revision_codec
from perdure.query._feed import Feed
from perdure.query._offset import Place
from perdure.query._stored import instant
from perdure.query._stream import Source

S = TypeVar("S")


class FeedChange(Changed[S], Generic[S], frozen=True, kw_only=True):
    """A durable state as it has become, whose it is, and its place among all changes."""

    persistence_id: str
    timestamp: datetime
    """When it was saved or deleted, in UTC, by the clock of who did it. Nothing is ordered by it."""
    _place: Place

    @property
    def offset(self) -> str:
        """Where to go on behind this change, as of `FeedEvent`."""
        return self._place.offset()


class ChangeStream(Feed[FeedChange[Any]]):
    """The durable states of one actor type, each at the place of its newest change."""

    def __init__(
        self, source: Source, actor_type: type[DurableStateActor[Any]], after: str | None, *, live: bool
    ) -> None:
        super().__init__(source, DURABLE, after, live=live)
        self._codec = revision_codec(actor_type, "msgpack")
        own_sealing(source.vault, actor_type)

    def _open(self, record: FeedRecord) -> None:
        persistence_id, revision, data = record
        try:
            data = self._source.vault.opened(DURABLE, *record)
            timestamp = self._codec.timestamp_if_own(data)
            persistence_id = hidden_id_of(decode(data)[0].metadata) or persistence_id
        except SubjectForgotten:
            return
        except RecordError as error:
            raise CorruptionError(persistence_id, revision, str(error), "revision") from error
        if timestamp is None:
            return
        change = changed(self._codec, persistence_id, revision, data)
        self._ready.append(
            FeedChange(
                change.revision,
                change.state,
                change.deleted,
                persistence_id=persistence_id,
                timestamp=instant(timestamp),
                _place=self._place(record[:2]),
            )
        )
