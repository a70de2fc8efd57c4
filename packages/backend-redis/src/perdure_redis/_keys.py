"""The names of the keys, and in which slice of the store a prefix lives.

A store is cut into slices, as many as its record says. All keys of a prefix carry the hash tag of its slice, so one
script may touch them, with the feed of the slice, on whatever node of a cluster has it:
`{perdure.3}:c:events:Account/alice`. Ids may hold anything, braces too: the first brace of a key is ours, and a server
looks no further. The tags are chosen so that the slices lie evenly among the 16,384 slots of a cluster.
"""

from __future__ import annotations

from binascii import crc32, crc_hqx
from itertools import count

_SLOTS = 16384


def record_key(namespace: str) -> bytes:
    """Return the key of a store's record: its schema and its number of slices."""
    return b"{%s}:store" % namespace.encode()


def slot_of(key: bytes) -> int:
    """Return the slot of a key that begins with a hash tag: its CRC-16 (XMODEM), as Redis Cluster specifies."""
    return crc_hqx(key[1 : key.index(b"}")], 0) % _SLOTS


class Keys:
    """The keys of a store."""

    def __init__(self, namespace: str, slices: int) -> None:
        self.slices = slices
        self.roots = [b"{%s}:" % tag for tag in _tags(namespace, slices)]
        self.slots = [slot_of(root) for root in self.roots]

    def slice_of(self, prefix: bytes) -> int:
        return crc32(prefix) % self.slices if self.slices > 1 else 0

    def log(self, slice: int, collection: str, prefix: bytes = b"") -> bytes:
        return b"%sc:%s:%s" % (self.roots[slice], collection.encode(), prefix)

    def state(self, slice: int, state: str, prefix: bytes) -> bytes:
        return b"%ss:%s:%s" % (self.roots[slice], state.encode(), prefix)

    def feed(self, slice: int, collection: str) -> bytes:
        return b"%sf:%s" % (self.roots[slice], collection.encode())

    def heads(self, slice: int, collection: str) -> bytes:
        return b"%sh:%s" % (self.roots[slice], collection.encode())

    def losses(self, slice: int, collection: str) -> bytes:
        return b"%sd:%s" % (self.roots[slice], collection.encode())

    def prefixes(self, slice: int, collection: str) -> bytes:
        return b"%sp:%s" % (self.roots[slice], collection.encode())

    def numbers(self, slice: int, collection: str) -> bytes:
        return b"%sn:%s" % (self.roots[slice], collection.encode())

    def writer(self, slice: int, writer: str) -> bytes:
        return b"%sw:%s" % (self.roots[slice], writer.encode())


def _tags(namespace: str, slices: int) -> list[bytes]:
    """Return for each of equal ranges of slots the first numbered tag that falls into it."""
    tags: dict[int, bytes] = {}
    for number in count():
        if len(tags) == slices:
            break
        tag = b"%s.%d" % (namespace.encode(), number)
        tags.setdefault(crc_hqx(tag, 0) % _SLOTS * slices // _SLOTS, tag)
    return [tags[slice] for slice in range(slices)]
