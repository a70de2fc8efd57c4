"""The links of a node, and what is sent to many peers within one turn of the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from perdure_replication._link import Link
from perdure_replication._messages import Letter
from perdure_replication._outbox import Outbox, Outgoing


class Links:
    """One link for each peer that something waits for: there is no end to names.

    The first message of a turn to some peers goes to their links at once. Those after it are gathered, and joined,
    until the loop turns: a burst of mutations is joined once, not once for each peer. Links begin to send when that is
    done, so nothing is later for it.
    """

    def __init__(self, send: Callable[[str, Outgoing], Awaitable[None]]) -> None:
        """Take what sends a message to a peer; see `Link`."""
        self._send = send
        self._links: dict[str, Link] = {}
        self._peers: tuple[str, ...] = ()
        """For whom messages are gathered in this turn."""
        self._gathered = Outbox()

    def __len__(self) -> int:
        return len(self._links)

    def find(self, peer: str) -> Link | None:
        """Return the link to a peer, if anything waits for it."""
        return self._links.get(peer)

    def put(self, peers: tuple[str, ...], outgoing: Outgoing) -> None:
        """Send a message to some peers when those before it are sent."""
        is_letter = isinstance(outgoing.message, Letter)  # whoever sends them looks at the links for how many wait
        if peers is self._peers and not is_letter:
            self._gathered.put(outgoing)
            return
        self._hand_over()
        if len(peers) > 1 and not is_letter:
            self._peers = peers
            asyncio.get_running_loop().call_soon(self._hand_over)  # before the links that are begun now run
        self._put(peers, outgoing)

    def _hand_over(self) -> None:
        """Give the links what was gathered for them."""
        peers, self._peers = self._peers, ()
        while self._gathered:
            self._put(peers, self._gathered.take())

    def _put(self, peers: tuple[str, ...], outgoing: Outgoing) -> None:
        for peer in peers:
            link = self._links.get(peer)
            if link is None:
                link = self._links[peer] = self._begin(peer)
            link.put(outgoing)

    def _begin(self, peer: str) -> Link:
        async def send(outgoing: Outgoing) -> None:
            await self._send(peer, outgoing)

        return Link(send, lambda: self._let_go(peer))

    def _let_go(self, peer: str) -> None:
        del self._links[peer]

    async def flush(self, seconds: float) -> None:
        """Give the links so long to send what waits."""
        self._hand_over()
        flushing = [asyncio.ensure_future(link.flush()) for link in self._links.values()]
        if flushing:
            _, late = await asyncio.wait(flushing, timeout=seconds)
            for each in late:
                each.cancel()

    async def close(self) -> None:
        """Send nothing more."""
        self._gathered.clear()
        links = list(self._links.values())
        for link in links:
            link.stop()
        for link in links:
            await link.close()
