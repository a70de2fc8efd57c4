"""Event logs: what is stored, in which bytes, and how many writers share a sync."""

from perdure.journal._archive import Archive, CollectionArchive
from perdure.journal._codec import EventCodec, Several
from perdure.journal._commits import Commits
from perdure.journal._compression import Compression
from perdure.journal._event import AnyEvent, Event, Named, event, is_event_type, named
from perdure.journal._journal import EVENTS, Journal, consecutive
from perdure.journal._payload import is_model
from perdure.journal._record import Format, RecordError, compressed, timestamp_of
from perdure.journal._revision import Revision, RevisionCodec
from perdure.journal._states import StateCodec
from perdure.journal._tags import metadata_of, tags_of

__all__ = [
    "EVENTS",
    "AnyEvent",
    "Archive",
    "CollectionArchive",
    "Commits",
    "Compression",
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
    "event",
    "is_event_type",
    "is_model",
    "metadata_of",
    "named",
    "tags_of",
    "timestamp_of",
]
