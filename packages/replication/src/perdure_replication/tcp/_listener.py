"""Where a node is called."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from perdure_replication.errors import CannotListen, InvalidTransport
from perdure_replication.tcp._address import Address


class Listener:
    """A socket that listens, once."""

    def __init__(self, place: Address, advertised: Address | None) -> None:
        """Raise `InvalidTransport` for an address at which nobody is reached."""
        if place.is_wildcard and advertised is None:
            raise InvalidTransport(
                str(place), "these are all addresses of this machine: say in advertise= which one others use"
            )
        self.place = place
        """Where it listens; its port is the true one once it is open."""
        self._advertised = advertised or place
        self._server: asyncio.Server | None = None

    async def open(self, accept: Callable[[], asyncio.BaseProtocol]) -> str:
        """Take the address, and accept nothing yet. Return what others are to call. Raises `CannotListen`."""
        if self._server is not None:
            raise InvalidTransport(str(self.place), "a transport is started once: make a new one")
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(accept, *self.place, start_serving=False)
        except OSError as error:
            raise CannotListen(str(self.place), error.strerror or str(error)) from error
        port = self._server.sockets[0].getsockname()[1]
        self.place = self.place._replace(port=port)
        return str(self._advertised._replace(port=self._advertised.port or port))

    async def serve(self) -> None:
        """Accept whoever calls."""
        assert self._server is not None
        await self._server.start_serving()

    def close(self) -> None:
        """Accept nobody any more. May be called again."""
        if self._server is not None:
            self._server.close()
