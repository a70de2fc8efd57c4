"""Actors that a node offers to the others."""

from __future__ import annotations

import logging

from perdure_replication._fields import fields
from perdure_replication.replicas._source import LogSource
from perdure_replication.topics import Exchange

POKE_SECONDS = 0.005

_log = logging.getLogger("perdure.replication")


class Published:
    """The actors of one type in one store, as a node offers them. Get it by `Replicated.publish`."""

    def __init__(self, exchange: Exchange, topic: str, log: str, source: LogSource) -> None:
        self.topic = topic
        self.log = log
        """The name of the store: the same on all nodes that have it before them."""
        self._exchange = exchange
        self._source = source
        self._pokes = False
        exchange.publish(topic, log, source)
        self._task = exchange.begin(self._pump())

    def forget(self, key: str) -> None:
        """Have followers remove the view of an actor that nobody can read any more, as after `ActorSystem.forget`.

        Call it on each node that publishes the store. Followers that cannot be reached now are told when they can be,
        in this life of the node; those that come later are filled without it.
        """
        self._source.forget(key)

    def close(self) -> None:
        """Offer them no more: followers go to another node that does. May be called again."""
        self._task.cancel()
        self._exchange.withdraw(self.topic)

    def _poke(self) -> None:
        """Tell the other owners soon, once for all that is read until then."""
        if not self._pokes:
            self._pokes = True
            clock = self._exchange.node.clock
            clock.call_at(clock.monotonic() + POKE_SECONDS, self._poked)

    def _poked(self) -> None:
        self._pokes = False
        self._exchange.poke(self.topic)

    async def _pump(self) -> None:
        try:
            await self._source.pump(self._poke)
        except Exception as error:
            named = fields(node=self._exchange.node.name, topic=self.topic, error=error)
            _log.exception("%s: %s ends, for its log cannot be read", self._exchange.node.name, self.topic, extra=named)
        self._exchange.withdraw(self.topic)
