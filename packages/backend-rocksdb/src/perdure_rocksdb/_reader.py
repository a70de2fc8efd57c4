"""The reads.

An iterator that ends is asked how it ended, which rocksdict's own loops do not. It is not given bounds either:
rocksdict 0.3.29 takes a lower bound for an upper one, and keeps no hold of the bytes of a bound.
"""

from __future__ import annotations

from rocksdict import RdictIter

from perdure.abc import MAX_KEY, Entry, FeedPage, FeedRecord, Page
from perdure.errors import StoreError
from perdure_rocksdb import _keys as keys
from perdure_rocksdb._database import View

_FEED_BYTES = 4 * 1024 * 1024


def page(view: View, name: str, prefix: str, start: int, stop: int, limit: int, max_bytes: int, reverse: bool) -> Page:
    """Return a page as the contract has it."""
    within = keys.log_range(name, prefix, start, stop)
    entries: list[Entry] = []
    if within.start >= within.stop:
        return Page(entries, False)
    it = view.entries
    if reverse:
        seek_before(it, within.stop)
        step = it.prev
    else:
        it.seek(within.start)
        step = it.next
    while (key := it.key()) is not None and within.start <= key < within.stop:
        if len(entries) >= limit:
            return Page(entries, True)
        stored = it.value()
        max_bytes -= len(stored) - keys.NUMBER_BYTES
        if max_bytes < 0 and entries:
            return Page(entries, True)
        entries.append(Entry(keys.number_at_end(key), stored[keys.NUMBER_BYTES :]))
        step()
    if key is None:
        it.status()
    return Page(entries, False)


def last(view: View, name: str, prefix: str) -> int:
    """Return the greatest key of a prefix, or 0."""
    within = keys.log_range(name, prefix, 0, MAX_KEY + 1)
    key = seek_before(view.entries, within.stop)
    return 0 if key is None or key < within.start else keys.number_at_end(key)


def read_state(view: View, name: str, prefix: str) -> tuple[int, bytes | None]:
    """Return a state's version and value."""
    stored = value_at(view.states, keys.state(name, prefix))
    return (0, None) if stored is None else keys.unpack_state(stored)


def prefixes(view: View, name: str, after: str, limit: int) -> list[str]:
    """Return the prefixes behind a text, from one log's first entry to the next's."""
    found: list[str] = []
    stop = keys.behind_name(name)
    key = seek(view.entries, keys.behind(name, after))
    while key is not None and key < stop and len(found) < limit:
        found.append(keys.prefix_of(name, key))
        key = seek(view.entries, keys.behind(name, found[-1]))
    return found


def feed(view: View, name: str, after: int, limit: int) -> FeedPage:
    """Return the records behind a position."""
    records: list[FeedRecord] = []
    size = 0
    stop = keys.behind_name(name)
    places = view.feed
    place = seek(places, keys.feed(name, after + 1))
    while place is not None and place < stop and len(records) < limit:
        prefix, key = keys.place_of(places.value())
        stored = value_at(view.entries, keys.entry(name, prefix, key))
        if stored is None:
            raise StoreError("feed", f"{name}/{prefix}/{key} is missing: the store is damaged")
        size += len(stored) - keys.NUMBER_BYTES
        if size > _FEED_BYTES and records:
            break
        records.append(FeedRecord(prefix, key, stored[keys.NUMBER_BYTES :]))
        after = keys.number_at_end(place)
        places.next()
        place = key_at(places)
    return FeedPage(records, str(after))


def seek(it: RdictIter, start: bytes) -> bytes | None:
    """Go to the first key from `start` on, and return it."""
    it.seek(start)
    return key_at(it)


def seek_before(it: RdictIter, stop: bytes) -> bytes | None:
    """Go to the last key before `stop`, and return it."""
    it.seek_for_prev(stop)
    if key_at(it) == stop:
        it.prev()
    return key_at(it)


def key_at(it: RdictIter) -> bytes | None:
    """Return the key where an iterator is, or None at the end. Raises what RocksDB says if it ended for a failure."""
    key: bytes | None = it.key()
    if key is None:
        it.status()
    return key


def value_at(it: RdictIter, key: bytes) -> bytes | None:
    """Return what is stored under a key, or None."""
    if seek(it, key) != key:
        return None
    value: bytes = it.value()
    return value
