"""The reads.

An iterator that ends is asked how it ended, which rocksdict's own loops do not. It is not given bounds either:
rocksdict 0.3.29 takes a lower bound for an upper one, and keeps no hold of the bytes of a bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat

from rocksdict import RdictIter

from perdure.abc import MAX_KEY, Entry, FeedPage, FeedRecord, Page
from perdure.errors import StoreError
from perdure_rocksdb import _keys as keys
from perdure_rocksdb._database import View

_FEED_BYTES = 4 * 1024 * 1024
_NUMBER = keys.NUMBER_BYTES
_new = tuple.__new__  # of a named tuple, without a Python call for each


def page(view: View, name: str, prefix: str, start: int, stop: int, limit: int, max_bytes: int, reverse: bool) -> Page:
    """Return a page as the contract has it."""
    first, end = keys.log_range(name, prefix, start, stop)
    if first >= end:
        return Page([], False)
    found: list[bytes] = []
    values: list[bytes] = []
    more = False
    it = view.entries
    if reverse:
        seek_before(it, end)
        step = it.prev
    else:
        it.seek(first)
        step = it.next
    while (key := it.key()) is not None and first <= key < end:
        stored = it.value()
        max_bytes -= len(stored) - _NUMBER
        if len(found) >= limit or (max_bytes < 0 and found):
            more = True
            break
        found.append(key)
        values.append(stored[_NUMBER:])
        step()
    if key is None:
        it.status()
    return Page(list(map(_new, repeat(Entry), zip(keys.numbers_at_end(found), values, strict=True))), more)


def pages(view: View, name: str, prefixes: Sequence[str], limit: int, max_bytes: int) -> list[Page]:
    """Return the first pages of the first prefixes, as the contract has it."""
    found: list[Page] = []
    for prefix in prefixes:
        if found and (limit <= 0 or max_bytes <= 0):
            break
        first = page(view, name, prefix, 0, MAX_KEY + 1, limit, max_bytes, False)
        max_bytes -= sum([len(value) for _, value in first.entries])
        if found and max_bytes < 0:
            break
        limit -= len(first.entries)
        found.append(first)
    return found


def last(view: View, name: str, prefix: str) -> int:
    """Return the greatest key of a prefix, or 0."""
    within = keys.log_range(name, prefix, 0, MAX_KEY + 1)
    key = seek_before(view.entries, within.stop)
    return 0 if key is None or key < within.start else keys.number_at_end(key)


def read_state(view: View, name: str, prefix: str) -> tuple[int, bytes | None]:
    """Return a state's version and value."""
    stored = value_at(view.states, keys.state(name, prefix))
    return (0, None) if stored is None else keys.unpack_state(stored)


def read_states(view: View, name: str, prefixes: Sequence[str], max_bytes: int) -> list[tuple[int, bytes | None]]:
    """Return the versions and values of the first states, as the contract has it."""
    found: list[tuple[int, bytes | None]] = []
    for prefix in prefixes:
        version, value = read_state(view, name, prefix)
        max_bytes -= len(value or b"")
        if max_bytes < 0 and found:
            break
        found.append((version, value))
    return found


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
    seek(view.feed, keys.feed(name, after + 1))
    found = _led_to(view.feed, name, limit)
    stored = _neighbours(view.entries, found)
    values: list[bytes] = []
    size = 0
    for key in found:
        value = stored[key] if key in stored else _entry(view.entries, key)
        size += len(value) - _NUMBER
        if size > _FEED_BYTES and values:
            break
        values.append(value)
    if values:
        after = keys.number_at_start(values[-1])
        del found[len(values) :]
    bodies = [value[_NUMBER:] for value in values]
    rows = zip(keys.prefixes_of(name, found), keys.numbers_at_end(found), bodies, strict=True)
    return FeedPage(list(map(_new, repeat(FeedRecord), rows)), str(after))


def _led_to(places: RdictIter, name: str, limit: int) -> list[bytes]:
    """Return the keys of the entries that the next places of a feed lead to."""
    begin, end = keys.all_of(name), keys.behind_name(name)
    found: list[bytes] = []
    while len(found) < limit and (place := key_at(places)) is not None and place < end:
        found.append(begin + places.value())
        places.next()
    return found


def _neighbours(entries: RdictIter, found: list[bytes]) -> dict[bytes, bytes]:
    """Return what is stored under keys, looked up in the order of keys until it is 4 MiB.

    Entries of one log are next to each other: a step is quicker than a search, and their block is unpacked once.
    """
    stored: dict[bytes, bytes] = {}
    size, log = 0, b""
    for key in sorted(found):
        if key[:-_NUMBER] == log:
            entries.next()
            value = entries.value() if entries.key() == key else _entry(entries, key)
        else:
            log = key[:-_NUMBER]
            value = _entry(entries, key)
        stored[key] = value
        size += len(value)
        if size > _FEED_BYTES:
            break
    return stored


def _entry(entries: RdictIter, key: bytes) -> bytes:
    """Return what is stored of an entry that is in a feed."""
    entries.seek(key)
    if entries.key() != key:
        entries.status()
        name, _, path = key[: -_NUMBER - 1].decode().partition("\0")
        text = f"{name}/{path}/{keys.number_at_end(key)} is missing: the store is damaged"
        raise StoreError("feed", text)
    value: bytes = entries.value()
    return value


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
