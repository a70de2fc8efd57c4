"""Topics: keyed records that some nodes offer and others follow, each at its own pace. Keyed states stand on them."""

from perdure_replication._latest import Latest
from perdure_replication.topics._exchange import Exchange, exchange_of
from perdure_replication.topics._follower import Follower, Holder, Pace, Verdict
from perdure_replication.topics._interest import EVERYTHING, MAX_KEY, NOTHING, Interest, check_key, interest
from perdure_replication.topics._publisher import Publisher, Read, Reply
from perdure_replication.topics._reader import Reader
from perdure_replication.topics._source import Page, Source
from perdure_replication.topics._words import (
    DELTA,
    GONE,
    MAX_RECORDS,
    WHOLE,
    Answer,
    Fetch,
    Offer,
    Poke,
    Record,
    Seek,
    Word,
    decode_word,
    encode_word,
)

__all__ = [
    "DELTA",
    "EVERYTHING",
    "GONE",
    "MAX_KEY",
    "MAX_RECORDS",
    "NOTHING",
    "WHOLE",
    "Answer",
    "Exchange",
    "Fetch",
    "Follower",
    "Holder",
    "Interest",
    "Latest",
    "Offer",
    "Pace",
    "Page",
    "Poke",
    "Publisher",
    "Read",
    "Reader",
    "Record",
    "Reply",
    "Seek",
    "Source",
    "Verdict",
    "Word",
    "check_key",
    "decode_word",
    "encode_word",
    "exchange_of",
    "interest",
]
