"""Beats as bytes: how a process says that its node is there, and what it takes of what others say."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable

import msgspec

from perdure_replication._fields import fields
from perdure_replication._generation import MAX_NUMBER
from perdure_replication._member import Member
from perdure_replication.redis._letters import INSTANCE_BYTES
from perdure_replication.redis._roster import Beat
from perdure_replication.redis._seal import NotAuthentic, Seal

_log = logging.getLogger("perdure.replication")

_USE = ("beat",)


class Beats:
    """Those of one process, each with a greater number, and those of others."""

    def __init__(self, seal: Seal, wall: Callable[[], float], window: float, refused: Counter[str]) -> None:
        """Take beats of others that were sent at most `window` seconds ago, and count in `refused` those not taken."""
        self.instance = os.urandom(INSTANCE_BYTES)
        """Of this process."""
        self.number = 0
        """Of its last beat."""
        self._seal = seal
        self._suite = bytes((seal.suite,))
        self._wall = wall
        self._window = int(window * 1000)
        self._refused = refused

    def next(self, member: Member, *, left: bool = False) -> bytes:
        """Return a new beat of the own node."""
        self.number += 1
        return self._sealed(
            Beat(member.name, member.incarnation, self.instance, self.number, self._now(), member.address, left)
        )

    def last(self, name: str, incarnation: int) -> bytes:
        """Return a beat after all others, by which a node has left."""
        return self._sealed(Beat(name, incarnation, self.instance, MAX_NUMBER, self._now(), left=True))

    def opened(self, data: bytes) -> Beat | None:
        """Return a beat that a member wrote within the window, or None."""
        try:
            beat = _decode(self._seal.open(_USE, (), data[1:]) if data[:1] == self._suite else b"")
        except NotAuthentic:
            self.refuse("forged")
            return None
        except (msgspec.MsgspecError, UnicodeDecodeError):
            self.refuse("damaged")
            return None
        if not beat.left and abs(self._now() - beat.sent) > self._window:
            self.refuse("outdated", beat.name)
            return None
        return beat

    def refuse(self, reason: str, name: str = "somebody") -> None:
        """Count a beat, or a claim, that is not taken."""
        self._refused[reason] += 1
        _log.debug("a beat or a claim of %s was dropped: %s", name, reason, extra=fields(peer=name, reason=reason))

    def _sealed(self, beat: Beat) -> bytes:
        return self._suite + self._seal.seal(_USE, (), msgspec.msgpack.encode(beat))

    def _now(self) -> int:
        return int(self._wall() * 1000)


_decode = msgspec.msgpack.Decoder(Beat).decode
