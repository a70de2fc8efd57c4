"""What the broker holds of the nodes of a cluster: the claim of each to its life, and its last beat."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

from perdure_replication._fields import fields
from perdure_replication.errors import BrokerUnavailable
from perdure_replication.redis._keys import Keys
from perdure_replication.redis._line import Line
from perdure_replication.redis._scripts import script

_log = logging.getLogger("perdure.replication")

_MOST_TOGETHER = 256


class Registry:
    """Reads and writes there. All of it raises `BrokerUnavailable`, after which it may be done or not."""

    def __init__(self, line: Line, keys: Keys, *, unreachable_after: float, forget_after: float) -> None:
        """Keep a beat for `unreachable_after` seconds, and the last of a node for `forget_after`."""
        self._line = line
        self._keys = keys
        self._kept_for = _milliseconds(unreachable_after)
        self._last_kept_for = _milliseconds(forget_after)
        self._is_full = False

    async def beat(self, name: str, claim: bytes, beat: bytes, ignored: bytes = b"") -> bytes | None:
        """Publish a node's beat, and write it, with its claim, unless another process has claimed the node.

        Returns that other claim; `ignored` is none. A broker that is too full to keep the beat publishes it all the
        same.
        """
        keys = (self._keys.claims, self._keys.beat(name))
        writing = script("beat", keys, name.encode(), claim, beat, self._kept_for, ignored)
        written, published = await self._line.ask_all([writing, (b"PUBLISH", self._keys.beats, beat)])
        if isinstance(published, BrokerUnavailable):
            raise published
        was_full, self._is_full = self._is_full, isinstance(written, BrokerUnavailable)
        if self._is_full and not was_full:
            text = "%s: its beats are published, but the broker does not keep them: %s"
            _log.warning(text, name, written, extra=fields(node=name, error=written))
        return None if self._is_full else written

    async def leave(self, name: str, claim: bytes, beat: bytes) -> None:
        """Write and publish a node's last beat, and remove what is kept of it, unless another process has the node."""
        if await self._line.ask(*script("leave", self._all(name), name.encode(), claim, beat, self._last_kept_for)):
            await self.publish(beat)

    async def forget(self, name: str, incarnation: int, beat: bytes = b"") -> None:
        """Remove all of a node, unless a later life of it has begun, but for a last beat."""
        number = b"%d" % incarnation
        await self._line.ask(*script("forget", self._all(name), name.encode(), number, beat, self._last_kept_for))

    async def publish(self, beat: bytes) -> None:
        await self._line.ask(b"PUBLISH", self._keys.beats, beat)

    async def beats(self) -> AsyncIterator[bytes]:
        """Yield the last beats of all that have one."""
        names: list[bytes] = await self._line.ask(b"HKEYS", self._keys.claims)
        for start in range(0, len(names), _MOST_TOGETHER):
            some = [name.decode(errors="replace") for name in names[start : start + _MOST_TOGETHER]]
            for beat in await self._line.ask(b"MGET", *map(self._keys.beat, some)):
                if beat is not None:
                    yield beat

    def _all(self, name: str) -> tuple[bytes, ...]:
        return self._keys.claims, self._keys.beat(name), self._keys.kept(name), self._keys.keepers


def _milliseconds(seconds: float) -> bytes:
    return b"%d" % max(1, int(seconds * 1000))
