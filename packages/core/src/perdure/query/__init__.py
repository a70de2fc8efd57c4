"""Reading what all actors have stored, once or live: events of one id, by tag, or all; the ids; durable states."""

from perdure.query._changes import FeedChange
from perdure.query._filter import Tags
from perdure.query._fold import Fold
from perdure.query._ledger import Ledger, LedgerPage, LedgerRecord
from perdure.query._query import Query
from perdure.query._stored import FeedEvent, StoredEvent
from perdure.query._stored_states import StoredState
from perdure.query._stream import Stream

__all__ = [
    "FeedChange",
    "FeedEvent",
    "Fold",
    "Ledger",
    "LedgerPage",
    "LedgerRecord",
    "Query",
    "StoredEvent",
    "StoredState",
    "Stream",
    "Tags",
]
