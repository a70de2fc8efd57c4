"""Whose a log is: of several systems on one store, the last one that has claimed it.

The expected sequence number keeps a log from forking, but it lets anybody write next who has seen the last event: of
two systems that both hold an actor each may be the one, in turns, and neither knows of the other before it has lost. A
claim settles that. The state `owners` under a persistence id says whose the log is, and its version, the *epoch*, grows
with each claim. Whoever has claimed expects that epoch in the group of each append. So from the moment in which a claim
is durable the store refuses whatever an earlier owner sends, also what was on its way already, and also while nothing
has been written since.

The invariant: of all epochs that were ever claimed, one can append: the version of the state. It comes before anything
is read, so what a recovery reads does not grow behind its back. An owner is told apart by its epoch, not by its name:
a program that was started twice under one name is two owners.

A system remembers its epochs. An actor that was put away comes back by the old one, for a read and no write; and what
was taken from a system, it does not take back by itself, for two systems that get messages for one actor would take it
from each other for ever. Who gives actors their place calls `reclaim`.

Rejected: a lease that runs out: it trusts clocks, and has idle actors write. Reading the owner before each append: it
may change in between. Claiming with the first append: what was recovered may be old by then. Sealing the owner: it is
the name of a process, for who operates it; what fences is the version, which is in clear anyway.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from perdure.abc import PutState, StateVersion
from perdure.errors import StoreError, Superseded
from perdure.journal import Journal

OWNERS = "owners"


class Owner(msgspec.Struct, frozen=True):
    """Who has claimed an actor last, by which epoch, and when, in UTC, by its own clock."""

    name: str
    epoch: int
    since: datetime


class _Stored(msgspec.Struct, frozen=True):
    owner: str
    since: datetime


class Claims:
    """The logs that one system has claimed."""

    def __init__(self, owner: str, journal: Journal, time: Callable[[], float]) -> None:
        self._owner = owner
        self._journal = journal
        self._time = time
        self._epochs: dict[str, int] = {}

    async def claim(self, name: str, path: str) -> StateVersion:
        """Return what to expect with each append to a log: the epoch of this system, claimed now unless it has one.

        A new claim is durable, and greater than all before. Raises `Superseded` if it had one and it holds no more;
        `StoreError`, and after `OutcomeUnknown` or a cancellation the next call claims by another epoch.
        """
        version, _ = await self._journal.backend.read_state(OWNERS, name)
        epoch = self._epochs.get(name)
        if epoch is None:
            epoch = self._epochs[name] = await self._claim_after(name, version)
        elif epoch != version:
            raise await self.superseded(name, epoch, path)
        return StateVersion(OWNERS, name, epoch)

    async def holds(self, name: str) -> bool:
        """Tell whether this system has claimed a log, and nobody since."""
        version, _ = await self._journal.backend.read_state(OWNERS, name)
        return self._epochs.get(name) == version

    def forget(self, name: str) -> None:
        """Have the next claim be a new one."""
        self._epochs.pop(name, None)

    async def owner(self, name: str) -> Owner | None:
        """Return who has claimed a log last. Raises `StoreError`."""
        version, value = await self._journal.backend.read_state(OWNERS, name)
        return None if value is None else _owner(version, value)

    async def superseded(self, name: str, epoch: int, path: str) -> Superseded:
        """Return the error of an actor whose owner's epoch holds no more."""
        try:
            present = await self.owner(name)
        except StoreError:  # that it is somebody else's is known
            present = None
        return Superseded(name, epoch, *(("", 0) if present is None else (present.name, present.epoch)), path)

    async def _claim_after(self, name: str, version: int) -> int:
        """Claim a log whose state had this version; where others are quicker, after them. Return the epoch."""
        while True:
            value = msgspec.json.encode(_Stored(self._owner, datetime.fromtimestamp(self._time(), UTC)))
            conflict = await self._journal.put_state(PutState(OWNERS, name, value), version)
            if conflict is None:
                return version + 1
            version = conflict.actual


def _owner(version: int, value: bytes) -> Owner:
    try:
        stored = msgspec.json.decode(value, type=_Stored)
    except msgspec.MsgspecError as error:
        raise StoreError("read_state", f"the state {OWNERS!r} says nothing of an owner: {error}") from error
    return Owner(stored.owner, version, stored.since)
