"""Event logs: what is stored, in which bytes, and how many writers share a sync."""

from perdure.journal._codec import EventCodec, Several
from perdure.journal._commits import Commits
from perdure.journal._compression import Compression, CompressionError, decompress
from perdure.journal._event import AnyEvent, Event, Named, event, is_event_type, named
from perdure.journal._journal import EVENTS, Journal, consecutive
from perdure.journal._pages import pages
from perdure.journal._payload import is_model
from perdure.journal._record import Format, RecordError, compressed, timestamp_of
from perdure.journal._revision import Revision, RevisionCodec
from perdure.journal._states import StateCodec
from perdure.journal._tags import epoch_of, hidden_id_of, metadata_of, tags_of

__all__ = [
    "EVENTS",
    "AnyEvent",
    "Commits",
    "Compression",
    "CompressionError",
    "Event",
    "EventCodec",
    "Format",
    "Journal",
    "Named",
    "RecordError",
    "Revision",
    "RevisionCodec",
    "Several",
    "StateCodec",
    "compressed",
    "consecutive",
    "decompress",
    "epoch_of",
    "event",
    "hidden_id_of",
    "is_event_type",
    "is_model",
    "metadata_of",
    "named",
    "pages",
    "tags_of",
    "timestamp_of",
]
