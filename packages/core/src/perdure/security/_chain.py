"""The chain of a log: each record carries the link of the one before.

The *digest* of a record is the SHA-256 of its bytes as they were sealed first; one that is sealed again carries it, so
that a change of keys breaks no chain. The *link* of a record is::

    SHA-256("perdure chain v1" ‖ place with its number ‖ link of the record before, or 32 zero bytes ‖ digest)

A record that is not chained, from before the chain was switched on, has zero bytes for what came before it.

Who has the database alone can compute all links, and so find what was removed, put in, moved or exchanged. Who can
write it can compute a chain anew, up to the head: so a head is to be known elsewhere, and then no record behind it can
change. Who has the keys too finds what was altered in records that were sealed again.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from perdure.errors import RecordAltered
from perdure.security._layout import LINK_BYTES, LINKS, LayoutError, is_sealed, links_in, pack_number, place_of

ORIGIN = bytes(LINK_BYTES)
"""What the first record carries."""

_DOMAIN = b"perdure chain v1"


class Links:
    """What the records of one log carry of the chain, and what they add to it."""

    __slots__ = ("_name", "_place")

    def __init__(self, collection: str, name: str) -> None:
        self._name = name
        self._place = place_of(collection, name)

    def of(self, number: int, data: bytes) -> tuple[bytes | None, bytes]:
        """Return the link that a stored record carries, None for one that is not chained, and its own.

        Raises `RecordAltered` if it has no header that can be read.
        """
        try:
            previous, digest = links_in(data) if is_sealed(data) else (None, None)
        except LayoutError as error:
            raise RecordAltered(self._name, number, str(error)) from error
        place = self._place + pack_number(number)
        return previous, next_link(place, previous or ORIGIN, digest or digest_of(data))

    def through(self, previous: bytes, entries: Sequence[tuple[int, bytes]]) -> bytes | None:
        """Return the link of the last of these records, if each carries that of the one before, the first `previous`.

        None if any does not, or has to be looked at by itself: one that was sealed again, say.
        """
        beginning, *others = {data[:2] for _, data in entries}
        _, link, digest = LINKS.get(beginning, (0, None, None))
        if others or link is None or digest is not None:
            return None
        start = _DOMAIN + self._place
        own = [
            sha256(b"%s%s%s%s" % (start, pack_number(number), data[link], sha256(data).digest())).digest()
            for number, data in entries
        ]
        return own[-1] if [data[link] for _, data in entries] == [previous, *own[:-1]] else None


def link_of(collection: str, name: str, number: int, data: bytes) -> bytes:
    """Return the link of a stored record. Raises `RecordAltered` if it has no header that can be read."""
    return Links(collection, name).of(number, data)[1]


def next_link(place: bytes, previous: bytes, digest: bytes) -> bytes:
    """Return the link of a record with this digest."""
    return sha256(b"%s%s%s%s" % (_DOMAIN, place, previous, digest)).digest()


def digest_of(data: bytes) -> bytes:
    """Return the digest of a record that is sealed for the first time."""
    return sha256(data).digest()
