"""The incarnations that the broker gives, each once.

What is kept of a node is its last claim: the incarnation in digits, a colon, and the same sealed with the process that
claimed. A claim that does not open is no claim: whoever writes to the broker without the secret ends no life.
"""

from __future__ import annotations

import msgspec

from perdure_replication._generation import MAX_NUMBER, Number
from perdure_replication._member import Member
from perdure_replication.errors import Fenced
from perdure_replication.redis._keys import Keys
from perdure_replication.redis._line import Line
from perdure_replication.redis._scripts import script
from perdure_replication.redis._seal import NotAuthentic, Seal


class Claim(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An incarnation, and the process to which it was given."""

    incarnation: Number
    instance: bytes


class Claims:
    """What one process claims."""

    def __init__(self, line: Line, keys: Keys, seal: Seal, instance: bytes) -> None:
        self.held = b""
        """The own claim, or nothing."""
        self._line = line
        self._keys = keys
        self._seal = seal
        self._instance = instance

    async def claim(self, name: str, at_least: int) -> int:
        """Claim an incarnation greater than all that were given to a node, and return it.

        Raises `Fenced` where another process has claimed since this one did, and `BrokerUnavailable`.
        """
        while True:
            found, last = await self.last(name)
            if last is not None and self._is_of_another(last):
                raise Fenced(name, f"another process has claimed the incarnation {last.incarnation}")
            incarnation = max(at_least, 1 + (0 if last is None else last.incarnation))
            claim = self._written(name, incarnation)
            if await self._line.ask(*script("claim", [self._keys.claims], name.encode(), found, claim)):
                self.held = claim
                return incarnation

    async def last(self, name: str) -> tuple[bytes, Claim | None]:
        """Return what is kept as the last claim to a node, and what it says. Raises `BrokerUnavailable`."""
        found: bytes = await self._line.ask(b"HGET", self._keys.claims, name.encode()) or b""
        return found, self.opened(name, found)

    def of(self, member: Member) -> bytes:
        """Return the own claim to a life, which another membership or a store may have given."""
        if not self.held or _incarnation_of(self.held) < member.incarnation:
            self.held = self._written(member.name, member.incarnation)
        return self.held

    def _is_of_another(self, last: Claim) -> bool:
        is_later = bool(self.held) and last.incarnation > _incarnation_of(self.held)
        return is_later and last.instance != self._instance

    def _written(self, name: str, incarnation: int) -> bytes:
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


def _incarnation_of(claim: bytes) -> int:
    """Return the incarnation of a claim of one's own."""
    return int(claim.partition(b":")[0])
