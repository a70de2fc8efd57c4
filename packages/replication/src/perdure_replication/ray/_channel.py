"""The way to one host, which knows whether a message was sent before it says what became of it.

A message goes out only while the host is known to answer. After a loss whoever has something to send waits, within its
own time, until the host has answered a question that changes nothing; so a loss makes doubtful what was under way, and
nothing that came later. Reading from the text of Ray's errors what had been sent was rejected: it is made for people.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import msgspec

from perdure.errors import AskTimeout
from perdure_replication.errors import HostLost, HostUnavailable
from perdure_replication.ray._host import HostInfo
from perdure_replication.ray._library import library

_PAUSE = 0.05  # seconds between two questions to a host that cannot be reached
_LOOK = 60.0  # seconds after which a look for a host ends; whoever still waits begins another


class Channel:
    """The way to the host that Ray knows by a name in a namespace."""

    def __init__(self, name: str, namespace: str) -> None:
        self.name = name
        self._namespace = namespace
        self._handle: Any = None
        self._answers = False
        self._looking: asyncio.Task[str] | None = None
        self._why_not = "it has not answered yet"

    def handle(self) -> Any:
        """Return Ray's handle of the host. Raises `HostUnavailable` when Ray knows none."""
        if self._handle is None:
            try:
                self._handle = library().get_actor(self.name, namespace=self._namespace)
            except ValueError as error:
                raise HostUnavailable(self.name, 0.0, "Ray knows no such actor: start the hosts") from error
        return self._handle

    def known(self) -> Any | None:
        """Return Ray's handle of the host, if Ray knows one."""
        try:
            return self.handle()
        except HostUnavailable:
            return None

    def adopt(self, handle: Any) -> None:
        """Use the handle of an actor that was just started."""
        self._handle = handle

    async def call(self, method: str, frame: bytes, path: str, seconds: float) -> bytes:
        """Send a frame and return the answer.

        Raises `HostUnavailable`: it was not sent; `HostLost`, `AskTimeout`: it may have been handled.
        """
        until = asyncio.get_running_loop().time() + seconds
        if not self._answers:
            await self._find(until, seconds)
        try:
            async with asyncio.timeout_at(until):
                answer: bytes = await getattr(self._handle, method).remote(frame)
                return answer
        except library().exceptions.RayError as error:
            self._answers = False
            raise HostLost(path, self.name, _first_line(error)) from error
        except TimeoutError:
            raise AskTimeout(seconds, path) from None

    async def describe(self, seconds: float) -> HostInfo:
        """Return how the host is, as soon as it answers. Raises `HostUnavailable`."""
        until = asyncio.get_running_loop().time() + seconds
        while True:
            if not self._answers:
                await self._find(until, seconds)
            try:
                async with asyncio.timeout_at(until):
                    return await self._describe()
            except library().exceptions.RayError as error:
                self._answers = False
                self._why_not = _first_line(error)
            except TimeoutError as error:
                raise HostUnavailable(self.name, seconds, self._why_not) from error

    async def _describe(self) -> HostInfo:
        return msgspec.msgpack.decode(await self.handle().describe.remote(), type=HostInfo)

    async def _find(self, until: float, seconds: float) -> None:
        """Return when the host has answered. Raises `HostUnavailable`."""
        loop = asyncio.get_running_loop()
        while not self._answers:
            if self._looking is None or self._looking.done() or self._looking.get_loop() is not loop:
                self._looking = loop.create_task(self._look())
            looking = self._looking  # when it is over, another who waits may have begun to look again
            done, _ = await asyncio.wait([looking], timeout=max(0.0, until - loop.time()))
            reason = looking.result() if done else self._why_not
            if reason:
                raise HostUnavailable(self.name, seconds, reason)

    async def _look(self) -> str:
        """Ask the host how it is until it answers; return why it never will, if so."""
        exceptions = library().exceptions
        with suppress(TimeoutError):
            async with asyncio.timeout(_LOOK):
                while True:
                    try:
                        await self._describe()
                        self._answers = True
                        return ""
                    except HostUnavailable as error:
                        return error.reason
                    except exceptions.ActorDiedError as error:
                        self._handle = None  # another may have its name
                        self._why_not = _first_line(error)
                    except exceptions.RayError as error:
                        self._why_not = _first_line(error)
                    await asyncio.sleep(_PAUSE)
        return ""


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
