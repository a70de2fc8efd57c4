"""What the rules write, and how they look at it."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

from perdure.abc import Backend, Collection, Entry, FeedRecord, LastKey, Put, WriteGroup

EVENTS = "events"
STATES = "states"

SIZES = (0, 1, 2, 255, 4095, 4096, 4097, 65_536, 1_000_003, 3 * 1024 * 1024)

VALUES = (
    b"\0",
    b"\0a\0\0",
    b"a\0",
    bytes(range(256)),
    b"\xff\xfe\xfd",
    b"\xc3\x28",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbfbom",
    "é😀".encode(),
    b"123",
    b"1e5",
    b"null",
    b'{"a": "b"}',
    b"'; DROP TABLE events; --",
    b"\r\n",
)

PREFIXES = tuple(
    sorted(
        [
            *(
                "a",
                "A",
                "aa",
                "aA",
                "b",
                "a.",
                "a.b",
                "a.b.c",
                "a/b",
                "a:b",
                "a,b",
                "a|b",
                "a-b",
                "a b",
                " a",
                "a ",
                " ",
            ),
            *(
                "a%",
                "a_",
                "%",
                "_",
                "*",
                "a*",
                "?",
                "[a]",
                "{a}",
                "(a)",
                "a#b",
                "a@b",
                "a&b=c",
                "~",
                "^a",
                "$a",
                "/",
                "//",
                "a%2Fb",
                "a%00b",
                "%s",
                "{}",
                "}{",
                "a{b}c",
                "${a}",
                "a\\x00b",
            ),
            *(
                "'",
                "''",
                "a'b",
                '"',
                'a"b',
                "`",
                "\\",
                "a\\",
                "a\\b",
                ";",
                "--",
                "/*",
                "'; DROP TABLE prefixes; --",
                '" OR 1=1',
            ),
            *(
                "0",
                "1",
                "01",
                "1.0",
                "-1",
                "1e5",
                "null",
                "NULL",
                "true",
                "..",
                "../a",
                "\n",
                "a\nb",
                "\t",
                "\r\n",
                "\x01",
                "\x7f",
            ),
            *(
                "é",
                "e\u0301",
                "ß",
                "ss",
                "SS",
                "ı",
                "I",
                "i",
                "İ",
                "ſ",
                "K",
                "\u212a",
                "\u00a0",
                "\u200b",
                "\u202ea",
                "\ufeff",
            ),
            *(
                "日本",
                "\ue000",
                "\uffff",
                "\U00010000",
                "😀",
                "\U0010ffff",
                "x" * 1024,
                "é" * 512,
                "😀" * 256,
                "y" * 1023,
            ),
        ]
    )
)
"""Prefixes that a careless store would mix up, or take for something else, in the order of their code points."""

_LIKE_FILES = (
    *("a/00000000000000000005", "a/00000000000000000005.snapshot", "a.snapshot", "a/..", "a/../b", "/etc/passwd"),
    *("./a", "a/.", "a//b", "C:\\a", "con", "CON", "nul", "com1", "a.", "~a", ".a", "a/b/c/d", "a=2fb", "=61"),
    *("x" * 200, "x" * 200 + "/a", "X" * 200, "x" * 255, "x" * 256, "é" * 128, "é" * 127 + "É", "a/" * 512),
)
IDS = tuple(sorted({*PREFIXES, *_LIKE_FILES}))
"""Persistence ids that a careless store of snapshots would mix up, nest in each other, or take for paths."""

INVALID_PREFIXES = ("", "\0", "a\0", "a\0b", "x" * 1025, "é" * 513, "\ud800", "a\udfff")
INVALID_NAMES = (
    *("", "A", "Events", "1a", "_a", "bad-name", "bad name", "bad.name", "é", "a" * 49, "events\n", "a\0"),
    *("users; DROP TABLE x", "a'", 'a"', "a)", "../a"),
)


def random_bytes(size: int) -> bytes:
    """Return bytes that are the same in each run."""
    return random.Random(size).randbytes(size)


def append(prefix: str, after: int, *values: bytes, collection: str = EVENTS) -> WriteGroup:
    """Return the group that puts values under the keys after `after`, if the collection ends there."""
    puts = (Put(collection, prefix, after + number, value) for number, value in enumerate(values, 1))
    return WriteGroup(tuple(puts), (LastKey(collection, prefix, after),))


def puts(prefix: str, *keys: int, value: bytes = b"") -> WriteGroup:
    """Return the group that puts one value under each key and expects nothing."""
    return WriteGroup(tuple(Put(EVENTS, prefix, key, value) for key in keys))


async def entries_of(collection: Collection) -> list[Entry]:
    return [entry async for entry in collection.iterate()]


async def keys_of(collection: Collection) -> list[int]:
    return [entry.key for entry in await entries_of(collection)]


async def records_of(backend: Backend, after: str | None = None, limit: int = 1000) -> AsyncIterator[FeedRecord]:
    """Yield what the feed of the events holds now, from an offset on."""
    while (page := await backend.feed(EVENTS, after, limit)).records:
        for record in page.records:
            yield record
        after = page.offset


async def fed(backend: Backend, after: str | None = None, limit: int = 1000) -> list[tuple[str, int]]:
    """Return the prefixes and keys of `records_of`."""
    return [(record.prefix, record.key) async for record in records_of(backend, after, limit)]


async def all_prefixes(backend: Backend, limit: int = 1000) -> list[str]:
    """Return the prefixes of the events, page by page."""
    found: list[str] = []
    while page := await backend.prefixes(EVENTS, found[-1] if found else "", limit):
        found += page
    return found
