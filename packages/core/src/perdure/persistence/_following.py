"""Following a log: its durable events from a sequence number on, and whatever is added.

Those who follow a log stand in a topic of its persistence id, to which each persist hands its events once they are
durable. A follower first reads the log, then takes what is in its buffer, and compares numbers: what it has seen it
skips, and at a gap (its buffer is bounded, and drops) it reads the log again. After a persist that failed or was given
up, which may have stored its events, followers are told to look. So nothing is missed and nothing comes twice, with a
bounded memory, however slow the follower is, and no persist ever waits for it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Any, ClassVar, Generic, TypeVar

import msgspec

from perdure.actors import Subscription
from perdure.actors._streams import Topic, Topics
from perdure.errors import CorruptionError
from perdure.journal import AnyEvent, EventCodec, Journal, RecordError, consecutive
from perdure.persistence._custody import Custody

N = TypeVar("N")


class Numbered(msgspec.Struct, frozen=True):
    """A durable event and its sequence number, which is that of its record: one record may have become several."""

    sequence_number: int
    event: Any


class Audience(Generic[N]):
    """Those who follow logs of one kind, by persistence id."""

    def __init__(self) -> None:
        self._topics: Topics[N | None] = Topics()

    def __bool__(self) -> bool:
        """Tell whether anybody follows any log."""
        return bool(self._topics)

    def look_again(self, persistence_id: str) -> None:
        """Have the log read again: it may hold something of which nobody tells."""
        topic = self._topics.get(persistence_id)
        if topic is not None:
            topic.publish(None)

    def close(self) -> None:
        """Let those who follow come to the end of their log, and end."""
        self._topics.close()


class Following(Subscription[N | None], ABC, Generic[N]):
    """The subscription of one who follows a log."""

    _skips: ClassVar[bool] = False
    """Whether a number may be passed over."""

    def __init__(
        self, topic: Topic[N | None], persistence_id: str, after: int, capacity: int, custody: Custody | None
    ) -> None:
        super().__init__(topic, capacity, "drop_oldest")
        self._custody = custody
        self._id = persistence_id
        self._number = after
        self._events = self._follow()

    @abstractmethod
    def _stored(self) -> AsyncGenerator[N, None]:
        """Yield what the log holds after `_number`, which is kept up to date."""

    @abstractmethod
    def _number_of(self, news: N) -> int: ...

    async def __anext__(self) -> N:
        return await anext(self._events)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        await self._events.aclose()

    async def _follow(self) -> AsyncGenerator[N, None]:
        """Read the log, then the buffer until it has a gap or an end, and then the log again."""
        try:
            ended = False
            while not ended:
                if self._custody is not None:
                    await self._custody.unlock()
                ended = self._closed  # if so, the log holds all that will ever be in the buffer
                async with aclosing(self._stored()) as stored:
                    async for news in stored:
                        yield news
                while not ended and (live := await self._next_live()) is not None:
                    yield live
        finally:
            self.close()

    async def _next_live(self) -> N | None:
        """Return the next from the buffer; None where it is not there, or at the end."""
        while True:
            try:
                news = await super().__anext__()
            except StopAsyncIteration:
                return None
            if news is None:
                return None
            number = self._number_of(news)
            if number > self._number + 1 and not self._skips:
                return None
            if number > self._number:
                self._number = number
                return news


class Followers(Audience[Numbered]):
    """Those who follow events."""

    def tell(self, persistence_id: str, first_number: int, events: Sequence[AnyEvent]) -> None:
        """Hand on events that have become durable."""
        topic = self._topics.get(persistence_id)
        if topic is not None:
            for number, event in enumerate(events, first_number):
                topic.publish(Numbered(number, event))

    def follow(
        self,
        persistence_id: str,
        after: int,
        capacity: int,
        journal: Journal,
        codec: EventCodec,
        custody: Custody | None,
    ) -> FollowingEvents:
        """Return the events after a sequence number."""
        if after < 0:
            raise ValueError(f"{persistence_id}: after is a sequence number, 0 for all events, not {after}")
        topic = self._topics.open(persistence_id)
        return FollowingEvents(topic, persistence_id, after, capacity, journal, codec, custody)


class FollowingEvents(Following[Numbered]):
    """The subscription of one who follows events."""

    def __init__(
        self,
        topic: Topic[Numbered | None],
        persistence_id: str,
        after: int,
        capacity: int,
        journal: Journal,
        codec: EventCodec,
        custody: Custody | None,
    ) -> None:
        super().__init__(topic, persistence_id, after, capacity, custody)
        self._journal = journal
        self._codec = codec

    def _number_of(self, news: Numbered) -> int:
        return news.sequence_number

    async def _stored(self) -> AsyncGenerator[Numbered, None]:
        async with aclosing(self._journal.pages(self._id, self._number + 1)) as pages:
            async for entries in pages:
                for key, record in consecutive(self._id, self._number, entries):
                    if self._custody is not None:
                        record = self._custody.seal.open(key, record)
                    try:
                        events = self._codec.decode_all(record)
                    except RecordError as error:
                        raise CorruptionError(self._id, key, str(error)) from error
                    self._number = key
                    for event in events:
                        yield Numbered(key, event)
