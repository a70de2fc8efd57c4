"""Reading what all actors have stored: events of one id, by tag, or all of them, once or live; and the ids."""

from perdure.query._filter import Tags
from perdure.query._query import Query
from perdure.query._stored import FeedEvent, StoredEvent
from perdure.query._stream import Stream

__all__ = ["FeedEvent", "Query", "StoredEvent", "Stream", "Tags"]
