"""Hosts on a Ray cluster, and which actor lives at which."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Mapping
from types import TracebackType
from typing import Any
from zlib import crc32

import msgspec

from perdure import Actor
from perdure_replication.errors import HostUnavailable, InvalidHosts
from perdure_replication.ray._channel import Channel
from perdure_replication.ray._host import Host, HostInfo, Opener, Plan, host_name
from perdure_replication.ray._library import library
from perdure_replication.ray._names import name_of
from perdure_replication.ray._ref import RayRef
from perdure_replication.ray._wire import encode, reply_of

_LOCAL = ("memory", "sqlite", "rocksdb")
_OURS = frozenset(
    ["get_if_exists", "lifetime", "max_concurrency", "max_restarts", "max_task_retries", "name", "namespace"]
)
_info = msgspec.msgpack.Decoder(HostInfo)


class RayHosts:
    """Some Ray actors that host durable actors, from `async with` to its end.

    `store` is the URL of a store that all nodes of the cluster reach, or a function of a module, which every host calls
    with the name of the owner that it is. It returns an `ActorSystem` with that owner and whatever else it needs, such
    as a keyring, or an async context manager of one. The URL is kept by Ray; what the function finds, in files or in
    the environment, never leaves the host's process.

    `count` hosts share the actors by a hash of their type and key. Their names, in Ray's `namespace`, are `name-0` and
    so on. Ray restarts a host that dies, at another node if need be, and its actors come back as their logs say. Hosts
    end with this block, and with the program; `detached` ones outlive both until `stop` is called, and the block joins
    those that run already.

    `ask_timeout`: seconds an `ask` waits by default. `start_timeout`: seconds in which all hosts have to be there.
    `max_concurrency`: how many messages a host has in hand; more wait. `options` are what `ActorClass.options` of Ray
    takes to place and equip each host: `num_cpus`, `resources`, `scheduling_strategy` (by default `"SPREAD"`),
    `runtime_env` and so on.
    """

    def __init__(
        self,
        store: str | Opener,
        *,
        count: int = 1,
        name: str = "perdure",
        namespace: str = "perdure",
        detached: bool = False,
        ask_timeout: float = 30.0,
        start_timeout: float = 120.0,
        max_concurrency: int = 1000,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        given = dict(options or {})
        if taken := _OURS & given.keys():
            raise InvalidHosts(name, f"options cannot have {', '.join(sorted(taken))}: the hosts set it")
        if count < 1:
            raise InvalidHosts(name, f"count is 1 or more, not {count}")
        self.ask_timeout = ask_timeout
        self._plan = Plan(name, namespace, count, **_opened_by(name, store))
        self._detached = detached
        self._start_timeout = start_timeout
        self._options = {"scheduling_strategy": "SPREAD", **given, "max_concurrency": max_concurrency}
        self._channels = _channels(self._plan)
        self._started: list[Any] = []

    @classmethod
    def of(cls, name: str, namespace: str, count: int, ask_timeout: float = 30.0) -> RayHosts:
        """Return hosts that run already, and are known to be so many."""
        hosts = cls.__new__(cls)
        hosts.ask_timeout = ask_timeout
        hosts._plan = Plan(name, namespace, count)
        hosts._detached = True
        hosts._channels = _channels(hosts._plan)
        hosts._started = []
        return hosts

    @classmethod
    async def find(
        cls, name: str = "perdure", *, namespace: str = "perdure", ask_timeout: float = 30.0, timeout: float = 30.0
    ) -> RayHosts:
        """Return the hosts of a name that run already. Raises `HostUnavailable`."""
        first = await Channel(host_name(name, 0), namespace).describe(timeout)
        return cls.of(name, namespace, first.count, ask_timeout)

    async def __aenter__(self) -> RayHosts:
        if not (self._plan.store or self._plan.opener):
            return self  # they were found, and are somebody's
        try:
            for number in range(self._plan.count):
                self._start(number)
            async with asyncio.timeout(self._start_timeout):
                await asyncio.gather(*map(self._open, self._channels))
        except TimeoutError as error:
            self._kill()
            raise HostUnavailable(
                self._plan.name, self._start_timeout, "not all hosts started: has the cluster room for them?"
            ) from error
        except BaseException:
            self._kill()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._detached:
            await self.stop()

    def __del__(self) -> None:
        if getattr(self, "_started", None) and not self._detached:
            warnings.warn(f"{self!r} was never closed; use `async with`", ResourceWarning, source=self, stacklevel=2)

    def __repr__(self) -> str:
        return f"<RayHosts {self._plan.name!r}, {self._plan.count} hosts>"

    def __reduce__(self) -> tuple[Any, ...]:
        return RayHosts.of, (self._plan.name, self._plan.namespace, self._plan.count, self.ask_timeout)

    def ref(self, actor_type: type[Actor], key: str) -> RayRef:
        """Return the ref of the actor of this type and key, which comes to life at its host with its first message.

        Raises `CannotCross` for a type that a host could not import.
        """
        number = crc32(f"{actor_type.type_name}/{key}".encode()) % self._plan.count
        return RayRef(self, actor_type, key, self._channels[number])

    async def describe(self, *, timeout: float = 30.0) -> list[HostInfo]:
        """Return how each host is, as soon as it answers. Raises `HostUnavailable` after `timeout` seconds."""
        return await asyncio.gather(*(channel.describe(timeout) for channel in self._channels))

    async def stop(self, *, timeout: float = 30.0) -> None:
        """End the hosts for good, each after the messages that it has in hand, or after `timeout` seconds."""
        handles = [handle for channel in self._channels if (handle := channel.known()) is not None]
        closing = [asyncio.ensure_future(_closed(handle)) for handle in handles]
        if closing:
            await asyncio.wait(closing, timeout=timeout)
        for handle in handles:
            library().kill(handle)
        self._started = []

    def _start(self, number: int) -> None:
        kind = library().remote(max_restarts=-1, max_task_retries=0)(Host)
        channel = self._channels[number]
        made = kind.options(
            **self._options,
            name=channel.name,
            namespace=self._plan.namespace,
            lifetime="detached" if self._detached else None,
            get_if_exists=self._detached,
        )
        try:
            handle = made.remote(encode(self._plan), number)
        except library().exceptions.ActorAlreadyExistsError as error:
            raise InvalidHosts(self._plan.name, "they run already: find them, or choose another name") from error
        self._started.append(handle)
        channel.adopt(handle)

    async def _open(self, channel: Channel) -> None:
        try:
            answer = await channel.handle().open.remote(encode(self._plan))
        except library().exceptions.RayError as error:
            raise HostUnavailable(channel.name, self._start_timeout, str(error)) from error
        reply_of(channel.name, answer, _info)

    def _kill(self) -> None:
        """Undo a start; detached hosts stay, for others may use them."""
        if not self._detached:
            for handle in self._started:
                library().kill(handle)
        self._started = []


def _opened_by(name: str, store: str | Opener) -> dict[str, str]:
    if not isinstance(store, str):
        return {"opener": name_of(store)}
    scheme = store.partition(":")[0]
    if scheme in _LOCAL:
        raise InvalidHosts(name, f"{scheme} is a store of one machine: use one that all nodes reach, such as redis://")
    return {"store": store}


def _channels(plan: Plan) -> list[Channel]:
    return [Channel(host_name(plan.name, number), plan.namespace) for number in range(plan.count)]


async def _closed(handle: Any) -> None:
    try:
        await handle.close.remote()
    except library().exceptions.RayError:
        pass  # it is over, which is what was wanted
