"""The incarnations that the broker gives, each once.

What is kept of a node is its last claim: the incarnation in digits, a colon, and the same sealed with the process that
claimed. A claim that does not open is no claim: whoever writes to the broker without the secret ends no life.
"""

from __future__ import annotations

import msgspec

from perdure_replication._generation import MAX_NUMBER, Number
from perdure_replication.errors import Fenced
from perdure_replication.redis._broker import Line
from perdure_replication.redis._keys import Keys
from perdure_replication.redis._scripts import script
from perdure_replication.redis._seal import NotAuthentic, Seal


class Claim(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An incarnation, and the process to which it was given."""

    incarnation: Number
    instance: bytes


class Claims:
    """What one process claims."""

    def __init__(self, line: Line, keys: Keys, seal: Seal, instance: bytes) -> None:
        self._line = line
        self._keys = keys
        self._seal = seal
        self._instance = instance

    async def claim(self, name: str, at_least: int, held: bytes) -> tuple[int, bytes]:
        """Return an incarnation greater than all that were given to a node, and its claim.

        `held` is the own claim, or nothing. Raises `Fenced` where another process has claimed since, and
        `BrokerUnavailable`.
        """
        while True:
            found: bytes = await self._line.ask(b"HGET", self._keys.claims, name.encode()) or b""
            last = self.opened(name, found)
            if last is not None and held and self._is_of_another(last, held):
                raise Fenced(name, f"another process has claimed the incarnation {last.incarnation}")
            incarnation = max(at_least, 1 + (0 if last is None else last.incarnation))
            claim = self.written(name, incarnation)
            if await self._line.ask(*script("claim", [self._keys.claims], name.encode(), found, claim)):
                return incarnation, claim

    def _is_of_another(self, last: Claim, held: bytes) -> bool:
        return last.instance != self._instance and last.incarnation > incarnation_of(held)

    def written(self, name: str, incarnation: int) -> bytes:
        """Return the claim to an incarnation, as it is kept."""
        data = msgspec.msgpack.encode(Claim(incarnation, self._instance))
        return b"%d:" % incarnation + self._seal.seal(_USE, (name,), data)

    def opened(self, name: str, claim: bytes) -> Claim | None:
        """Return what is kept as a claim, or None if it is none."""
        digits, _, sealed = claim.partition(b":")
        try:
            found = msgspec.msgpack.decode(self._seal.open(_USE, (name,), sealed), type=Claim)
        except (NotAuthentic, msgspec.MsgspecError):
            return None
        return found if digits == b"%d" % found.incarnation and found.incarnation < MAX_NUMBER else None


_USE = ("claim",)


def incarnation_of(claim: bytes) -> int:
    """Return the incarnation of a claim of one's own."""
    return int(claim.partition(b":")[0])
