"""The last snapshots of a node's states, kept in the broker.

The node holds them as well, and writes them again whenever the broker may have lost them: after each loss of the
connection, and where it looks now and then and finds one missing. So a broker that restarts empty, or was emptied, is
full again soon, and one that is away or full delays nobody.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from typing import Any, NamedTuple

from perdure_replication._frames import decode_frame
from perdure_replication._member import Member
from perdure_replication._messages import MAX_STATES
from perdure_replication.errors import BadFrame, BrokerUnavailable
from perdure_replication.redis._broker import Command, Line
from perdure_replication.redis._keys import Keys
from perdure_replication.redis._scripts import script
from perdure_replication.redis._seal import NotAuthentic, Seal

_log = logging.getLogger("perdure.replication")

RETRY_SECONDS = 2.0
LOOK_SECONDS = 30.0
_TOGETHER = 256
"""Commands that go to the broker together."""
_BYTES_TOGETHER = 1024 * 1024
"""How much is read of it at once, but for one snapshot that is larger."""

_USE = ("kept",)


class _Kept(NamedTuple):
    incarnation: int
    number: int
    sealed: bytes


class Keeper:
    """Keeps the snapshots of one node, and reads those of others."""

    def __init__(self, line: Line, keys: Keys, seal: Seal, local: Member) -> None:
        self._line = line
        self._keys = keys
        self._seal = seal
        self._name = local.name
        self._incarnation = local.incarnation
        self._numbers = count(1)
        self._snapshots: dict[str, _Kept] = {}
        self._unwritten: set[str] = set()
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_refused = False

    async def keep(self, state: str, frame: bytes) -> None:
        """Keep a snapshot in place of the one before it, now or as soon as the broker takes it."""
        incarnation, number = self._life_of(frame), next(self._numbers)
        sealed = self._seal.seal(_USE, (self._name, state, incarnation, number), frame)
        self._snapshots[state] = _Kept(incarnation, number, sealed)
        self._unwritten.add(state)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
        await self._write_what_is_left()

    def _life_of(self, frame: bytes) -> int:
        """Return the incarnation in which a frame was said; a node may take a greater one after its start."""
        try:
            self._incarnation = max(self._incarnation, decode_frame(frame, len(frame)).incarnation)
        except BadFrame:
            pass  # no matter of ours: it is kept as it is
        return self._incarnation

    def write_again(self) -> None:
        """Write all snapshots again: the broker may have lost them."""
        self._unwritten.update(self._snapshots)
        self._wanted.set()

    async def close(self) -> None:
        """Write nothing more. May be called again."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            await self._pause()
            if not self._unwritten:
                await self._look()
            await self._write_what_is_left()

    async def _pause(self) -> None:
        self._wanted.clear()
        try:
            async with asyncio.timeout(RETRY_SECONDS if self._unwritten else LOOK_SECONDS):
                await self._wanted.wait()
        except TimeoutError:
            pass

    async def _look(self) -> None:
        """Find out what the broker has lost."""
        states, key = list(self._snapshots), self._keys.kept(self._name)
        try:
            sizes = await self._line.ask_all([(b"HSTRLEN", key, b"v:" + state.encode()) for state in states])
        except BrokerUnavailable:
            return
        self._unwritten.update(state for state, size in zip(states, sizes, strict=True) if size == 0)

    async def _write_what_is_left(self) -> None:
        """Write what is not written; what cannot be now stays."""
        for state in list(self._unwritten):
            kept = self._snapshots[state]
            try:
                await self._write(state, kept)
            except BrokerUnavailable as error:
                self._complain(error)
                return
            if self._snapshots[state] is kept:
                self._unwritten.discard(state)
        self._is_refused = False

    async def _write(self, state: str, kept: _Kept) -> None:
        keys = (self._keys.kept(self._name), self._keys.keepers)
        order = (b"%d" % kept.incarnation, b"%d" % kept.number)
        await self._line.ask(*script("keep", keys, self._name.encode(), state.encode(), *order, kept.sealed))

    def _complain(self, error: BrokerUnavailable) -> None:
        if not self._is_refused:
            _log.warning("%s: its snapshots are not kept until the broker takes them: %s", self._name, error)
        self._is_refused = True


class _Place(NamedTuple):
    """Where one snapshot is kept, and how large it is."""

    key: bytes
    node: str
    state: str
    size: int = 0


class Shelf:
    """What other nodes have kept. Whatever their number, it is read in few round trips: a start waits for it."""

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
            return self._seal.open(_USE, (place.node, place.state, incarnation, number), sealed)
        except (ValueError, NotAuthentic, OverflowError):
            pass
        self.refused += 1
        _log.warning("what is kept of %s of %s is not what it kept, and is not taken", place.state, place.node)
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
