"""What the servers' settings make of an acknowledged commit.

`full` is kept where each commit is fsynced before it is acknowledged: by `appendfsync always`, or by WAITAOF after
each. `relaxed` is kept where there is an append-only file at all. And where another server may take over, only what it
has outlives that: so `replicas` have each commit before it is acknowledged (WAIT, or WAITAOF).
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

import msgspec
from redis.exceptions import ResponseError

from perdure.abc import Durability
from perdure.errors import CreateStoreError
from perdure_redis._command import packed
from perdure_redis._node import Lost, Node
from perdure_redis._settings import Settings
from perdure_redis._topology import Standalone

_MARGIN = 0.25
"""Seconds that the answer to WAIT needs to be here in time: a server looks ten times a second whose time is up."""


class DurabilityWarning(UserWarning):
    """The servers' settings do not keep the durability that was asked for."""


class Barrier(msgspec.Struct, frozen=True):
    """The command after each commit that waits for fsyncs and replicas."""

    name: str
    replicas: int

    @classmethod
    def of(cls, settings: Settings) -> Barrier | None:
        """Return what these settings ask for; None if nothing."""
        replicas = settings.replicas or 0
        if settings.sync == "aof":
            return cls("WAITAOF", replicas)
        return cls("WAIT", replicas) if replicas else None

    def command(self, seconds: float) -> bytes:
        """Return the command that waits for nearly so long."""
        local = (b"1",) if self.name == "WAITAOF" else ()
        milliseconds = max(1, int((seconds - min(_MARGIN, seconds / 2)) * 1000))
        return packed(self.name.encode(), *local, b"%d" % self.replicas, b"%d" % milliseconds)

    def shortfall(self, reply: Any) -> str | ResponseError | None:
        """Return what its reply lacks, or None."""
        if isinstance(reply, ResponseError):
            return reply
        synced, replicas = reply if self.name == "WAITAOF" else (1, reply)
        if synced < 1:
            return "the server has not fsynced it in time"
        if replicas < self.replicas:
            return f"{replicas} of {self.replicas} replicas have it in time"
        return None


class Guarantee(msgspec.Struct, frozen=True):
    """What was asked for, what is kept, and why it may be less."""

    asked: Durability
    kept: Durability
    shortfalls: tuple[str, ...] = ()


class _Facts(msgspec.Struct):
    """What one server says of itself; None where it does not say."""

    node: str
    aof: bool | None
    fsync: str | None
    replicas: int | None
    version: tuple[int, int] | None


async def guarantee_of(topology: Standalone, settings: Settings, asked: Durability) -> Guarantee:
    """Ask all masters for their settings. Raises `CreateStoreError` where what the URL asks for cannot be."""
    if not settings.check:
        return Guarantee(asked, asked)
    try:
        facts = [await _facts(node, settings) for node in await topology.nodes()]
    except Lost as lost:
        raise CreateStoreError("open", f"{settings.shown}: {lost.text}") from lost
    for fact in facts:
        _refuse(fact, settings)
    shortfalls = [text for fact in facts for text in _shortfalls(fact, topology.fails_over, settings, asked)]
    kept: Durability = "relaxed" if shortfalls else asked
    return Guarantee(asked, kept, tuple(shortfalls))


def _refuse(fact: _Facts, settings: Settings) -> None:
    """Refuse what could never be, so that no commit has to find out."""
    where = f"{settings.shown}: {fact.node}"
    if fact.version is not None and fact.version < (6, 2):
        raise CreateStoreError("open", f"{where} is Redis {fact.version[0]}.{fact.version[1]}, older than 6.2")
    if settings.sync == "aof" and fact.version is not None and fact.version < (7, 2):
        raise CreateStoreError("open", f"{where} has no WAITAOF, which sync=aof needs: it came with Redis 7.2")
    if settings.sync == "aof" and fact.aof is False:
        raise CreateStoreError("open", f"{where} has appendonly off: sync=aof has nothing to wait for")


def _shortfalls(fact: _Facts, fails_over: bool, settings: Settings, asked: Durability) -> list[str]:
    found = []
    if fact.aof is None or fact.fsync is None:
        found.append(
            f"{fact.node} does not tell its settings (CONFIG GET): if you know that they are right, add ?check=no"
        )
    elif not fact.aof:
        found.append(f"{fact.node} has appendonly off: what it took since its last snapshot is lost when it dies")
    elif asked == "full" and fact.fsync != "always" and settings.sync != "aof":
        found.append(
            f"{fact.node} has appendfsync {fact.fsync}: a power loss costs up to "
            f"{'a second or two' if fact.fsync == 'everysec' else 'half a minute'} of acknowledged commits: "
            f"set appendfsync always, or add ?sync=aof"
        )
    if asked == "full" and fails_over and settings.replicas is None and fact.replicas != 0:
        found.append(
            f"{fact.node} may be replaced by a replica that lacks the newest commits: add ?replicas=1, or ?replicas=0 "
            f"if that is accepted"
        )
    return found


async def _facts(node: Node, settings: Settings) -> _Facts:
    aof, fsync, server, replication = await node.exchange(
        packed(b"CONFIG", b"GET", b"appendonly")
        + packed(b"CONFIG", b"GET", b"appendfsync")
        + packed(b"INFO", b"server")
        + packed(b"INFO", b"replication"),
        4,
        asyncio.get_running_loop().time() + settings.timeout,
    )
    on = _setting(aof)
    version = _found(rb"redis_version:(\d+)\.(\d+)", server)
    replicas = _found(rb"connected_slaves:(\d+)", replication)
    return _Facts(
        node=repr(node),
        aof=None if on is None else on == "yes",
        fsync=_setting(fsync),
        replicas=int(replicas[1]) if replicas else None,
        version=(int(version[1]), int(version[2])) if version else None,
    )


def _setting(reply: Any) -> str | None:
    if isinstance(reply, ResponseError) or len(reply) != 2:
        return None
    value: bytes = reply[1]
    return value.decode()


def _found(pattern: bytes, reply: Any) -> re.Match[bytes] | None:
    return None if isinstance(reply, ResponseError) else re.search(pattern, reply)
