"""Following a durable state: what it is now, and whatever it becomes.

Only the newest matters, so a follower has a buffer for one change, which a newer one replaces: who is slow sees fewer,
and never an older one after a newer. It first reads the store, and again when it is told to look, which is after a
write that failed or was given up, for it may have happened. What it is told besides is decoded from the record once
more, so it never holds the object that the actor has.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, ClassVar, Generic, TypeVar

import msgspec

from perdure.abc import MAX_KEY, Backend
from perdure.actors._streams import Topic
from perdure.errors import CorruptionError
from perdure.journal import RecordError, RevisionCodec
from perdure.persistence._custody import Custody
from perdure.persistence._following import Audience, Following

S = TypeVar("S")

DURABLE = "durable"
"""The collection of durable states: under each persistence id one entry, whose key is the revision."""


class Changed(msgspec.Struct, Generic[S], frozen=True):
    """A durable state and its revision; after a delete the state is None, and `deleted` is true."""

    revision: int
    state: S | None
    deleted: bool = False


def changed(codec: RevisionCodec[Any], persistence_id: str, revision: int, record: bytes) -> Changed[Any]:
    """Return what a stored record says. Raises `CorruptionError`."""
    try:
        return Changed(revision, *codec.decode(record, revision))
    except RecordError as error:
        reason = f"the state cannot be used, and no other revision is kept: {error}"
        raise CorruptionError(persistence_id, revision, reason, "revision") from error


async def newest(
    backend: Backend, codec: RevisionCodec[Any], persistence_id: str, custody: Custody | None
) -> Changed[Any] | None:
    """Return the present revision of a durable state, None if there was never one.

    Raises `SealError` for a record that cannot be opened, `RolledBack` or `ChainBroken` for what is not as an anchor
    knows it, `CorruptionError` for a record that cannot be used, `StoreError` when the store cannot be read.
    """
    page = await backend.page(DURABLE, persistence_id, 1, MAX_KEY + 1, limit=1, max_bytes=1, reverse=True)
    for revision, record in page.entries:
        if custody is not None:
            record = custody.opened_state(revision, record)
        return changed(codec, persistence_id, revision, record)
    if custody is not None:
        custody.check_no_state()
    return None


class Watchers(Audience[Changed[Any]]):
    """Those who follow durable states."""

    def tell(self, persistence_id: str, revision: int, record: bytes, codec: RevisionCodec[Any]) -> None:
        """Hand on a revision that has become durable."""
        topic = self._topics.get(persistence_id)
        if topic is not None:
            topic.publish(changed(codec, persistence_id, revision, record))

    def watch(
        self,
        persistence_id: str,
        after: int,
        capacity: int,
        backend: Backend,
        codec: RevisionCodec[Any],
        custody: Custody | None,
    ) -> FollowingState:
        """Return the changes after a revision. Whatever the capacity, only the newest is kept."""
        if after < 0:
            raise ValueError(f"{persistence_id}: after is a revision, 0 for any, not {after}")
        topic = self._topics.open(persistence_id)
        return FollowingState(topic, persistence_id, after, min(capacity, 1), backend, codec, custody)


class FollowingState(Following[Changed[Any]]):
    """The subscription of one who follows a durable state."""

    _skips: ClassVar[bool] = True

    def __init__(
        self,
        topic: Topic[Changed[Any] | None],
        persistence_id: str,
        after: int,
        capacity: int,
        backend: Backend,
        codec: RevisionCodec[Any],
        custody: Custody | None,
    ) -> None:
        super().__init__(topic, persistence_id, after, capacity, custody)
        self._backend = backend
        self._codec = codec

    def _number_of(self, news: Changed[Any]) -> int:
        return news.revision

    async def _stored(self) -> AsyncGenerator[Changed[Any], None]:
        present = await newest(self._backend, self._codec, self._id, self._custody)
        if present is not None and present.revision > self._number:
            self._number = present.revision
            yield present
