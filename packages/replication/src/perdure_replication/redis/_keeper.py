"""The last snapshots of a node's states, kept in the broker.

The node holds them as well, and writes them again whenever the broker may have lost them: after each loss of the
connection, and where it looks now and then and finds one missing. So a broker that restarts empty, or was emptied, is
full again soon, and one that is away or full delays nobody.
"""

from __future__ import annotations

import asyncio
import logging
from itertools import count
from typing import NamedTuple

from perdure_replication._fields import fields
from perdure_replication._frames import decode_frame
from perdure_replication._member import Member
from perdure_replication.errors import BadFrame, BrokerUnavailable
from perdure_replication.redis._keys import Keys
from perdure_replication.redis._line import Line
from perdure_replication.redis._scripts import script
from perdure_replication.redis._seal import Seal

_log = logging.getLogger("perdure.replication")

RETRY_SECONDS = 2.0
LOOK_SECONDS = 30.0

KEPT = ("kept",)
"""What the snapshots are sealed for."""


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
        sealed = self._seal.seal(KEPT, (self._name, state, incarnation, number), frame)
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
            text = "%s: its snapshots are not kept until the broker takes them: %s"
            _log.warning(text, self._name, error, extra=fields(node=self._name, error=error))
        self._is_refused = True
