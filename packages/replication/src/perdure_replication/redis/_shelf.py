"""What other nodes have kept in the broker.

Whatever their number, it is read in few round trips: a start waits for it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from perdure_replication._fields import fields
from perdure_replication._messages import MAX_STATES
from perdure_replication.errors import BrokerUnavailable
from perdure_replication.redis._keeper import KEPT
from perdure_replication.redis._keys import Keys
from perdure_replication.redis._line import Command, Line
from perdure_replication.redis._seal import NotAuthentic, Seal

_log = logging.getLogger("perdure.replication")

_TOGETHER = 256
"""Commands that go to the broker together."""
_BYTES_TOGETHER = 1024 * 1024
"""How much is read at once, but for one snapshot that is larger."""


class _Place(NamedTuple):
    """Where one snapshot is kept, and how large it is."""

    key: bytes
    node: str
    state: str
    size: int = 0


class Shelf:
    """The snapshots of all other nodes."""

    def __init__(self, line: Line, keys: Keys, seal: Seal) -> None:
        self._line = line
        self._keys = keys
        self._seal = seal
        self.refused = 0
        """How many snapshots were not authentic, or not what they were kept as."""
        self.skipped = 0
        """How many were passed over, because they were too large, or all of them."""

    async def read(self, own: str, most_bytes: int, most_of_one: int) -> Sequence[tuple[str, bytes]]:
        """Return the snapshots of all other nodes, of so many bytes at most. Raises `BrokerUnavailable`."""
        found: list[tuple[str, bytes]] = []
        chosen = self._chosen(await self._measured(await self._places(own)), most_bytes, most_of_one)
        for places in _portions(chosen):
            kept = await self._ask([_asked(b"HMGET", each, b"o:", b"v:") for each in places])
            for place, (order, sealed) in zip(places, kept, strict=True):
                frame = self._opened(place, order or b"", sealed or b"")
                if frame is not None:
                    found.append((place.node, frame))
        return found

    async def _places(self, own: str) -> list[_Place]:
        names: list[bytes] = (await self._ask([(b"SMEMBERS", self._keys.keepers)]))[0]
        nodes = sorted({name.decode(errors="replace") for name in names} - {own})
        keys = [self._keys.kept(node) for node in nodes]
        fields = await self._ask([(b"HKEYS", key) for key in keys])
        return [
            _Place(key, node, state)
            for key, node, some in zip(keys, nodes, fields, strict=True)
            for state in _states(some)
        ]

    async def _measured(self, places: Sequence[_Place]) -> Iterable[_Place]:
        sizes = await self._ask([_asked(b"HSTRLEN", each, b"v:") for each in places])
        return (place._replace(size=size) for place, size in zip(places, sizes, strict=True))

    def _chosen(self, places: Iterable[_Place], most_bytes: int, most_of_one: int) -> Iterator[_Place]:
        """Yield what is to be read, and count what is not."""
        for place in places:
            if place.size <= min(most_of_one, most_bytes):
                most_bytes -= place.size
                yield place
            else:
                self.skipped += 1

    async def _ask(self, commands: Sequence[Command]) -> list[Any]:
        """Return the replies to commands of which each has a short one, or all together have. Raises for any."""
        replies: list[Any] = []
        for start in range(0, len(commands), _TOGETHER):
            replies += await self._line.ask_all(commands[start : start + _TOGETHER])
        for reply in replies:
            if isinstance(reply, BrokerUnavailable):
                raise reply
        return replies

    def _opened(self, place: _Place, order: bytes, sealed: bytes) -> bytes | None:
        try:
            incarnation, number = map(int, order.split(b":"))
            return self._seal.open(KEPT, (place.node, place.state, incarnation, number), sealed)
        except (ValueError, NotAuthentic, OverflowError):
            pass
        self.refused += 1
        text = "what is kept of %s of %s is not what it kept, and is not taken"
        _log.warning(text, place.state, place.node, extra=fields(peer=place.node, state=place.state))
        return None


def _states(fields: Iterable[bytes]) -> list[str]:
    return sorted(field[2:].decode(errors="replace") for field in fields if field[:2] == b"v:")[:MAX_STATES]


def _asked(command: bytes, place: _Place, *kinds: bytes) -> Command:
    return (command, place.key, *(kind + place.state.encode() for kind in kinds))


def _portions(places: Iterable[_Place]) -> Iterator[list[_Place]]:
    """Yield them in portions that are read at once: each of a bounded number of bytes, or of one place."""
    portion: list[_Place] = []
    for place in places:
        if portion and (len(portion) == _TOGETHER or sum(each.size for each in portion) + place.size > _BYTES_TOGETHER):
            yield portion
            portion = []
        portion.append(place)
    if portion:
        yield portion
