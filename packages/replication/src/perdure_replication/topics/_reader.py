"""All that a node follows of one topic: a follower for each log, at one of those who offer it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import inf

from perdure_replication.topics._exchange import Exchange
from perdure_replication.topics._follower import Follower, Holder, Pace
from perdure_replication.topics._interest import Interest
from perdure_replication.topics._words import Answer

MAX_LOGS = 4096
_PATIENT = 2
"""How many fetches in a row a server may leave unanswered if there is another."""


class Reader(ABC):
    """Keeps followers of the logs of a topic while anybody offers them."""

    def __init__(self, exchange: Exchange, topic: str, interest: Interest, pace: Pace) -> None:
        self.topic = topic
        self.followers: dict[str, Follower] = {}
        self._exchange = exchange
        self._interest = interest
        self._pace = pace
        self._random = exchange.follow(self)
        self.regard()
        exchange.turn()

    @abstractmethod
    def _holder(self, log: str) -> Holder:
        """Return what holds the views of a log that is followed from now on."""

    @abstractmethod
    def _lost(self, log: str) -> bool:
        """Nobody offers this log any more. Return whether it is to be forgotten, and forget what is held."""

    def _may_offer(self, log: str, peer: str) -> bool:
        """Tell whether a node may offer this log."""
        return True

    @abstractmethod
    def end(self) -> None:
        """End what waits for changes: nothing comes any more."""

    @property
    def due(self) -> float:
        return min((follower.due for follower in self.followers.values()), default=inf)

    def want(self, interest: Interest) -> None:
        """Want something else from now on."""
        self._interest = interest
        for follower in self.followers.values():
            follower.want(interest, self._exchange.now)
        self.tick()

    def regard(self) -> None:
        """See who offers what."""
        offers = self._offers()
        for log in offers.keys() - self.followers.keys():
            if len(self.followers) < MAX_LOGS:
                holder, now = self._holder(log), self._exchange.now
                self.followers[log] = Follower(self.topic, log, self._interest, holder, self._pace, self._random, now)
        for log, follower in list(self.followers.items()):
            self._serve(follower, offers.get(log, []))
            if log not in offers and self._lost(log):
                del self.followers[log]
        self.tick()

    def receive(self, peer: str, answer: Answer) -> None:
        """Take an answer."""
        follower = self.followers.get(answer.log)
        if follower is not None and follower.server == peer:
            follower.receive(answer, self._exchange.now)
            self._fetch(follower)

    def tick(self) -> None:
        """Fetch what is due; from another node, where one is silent."""
        offers: dict[str, list[str]] | None = None
        now = self._exchange.now
        for follower in self.followers.values():
            if follower.due <= now and follower.failures >= _PATIENT:
                offers = self._offers() if offers is None else offers
                others = [name for name in offers.get(follower.log, ()) if name != follower.server]
                self._serve(follower, others or offers.get(follower.log, []))
            self._fetch(follower)
        self._exchange.turn()

    def _fetch(self, follower: Follower) -> None:
        if follower.due <= (now := self._exchange.now):
            server, fetch = follower.server, follower.fetch(now)
            if server is not None and fetch is not None:
                self._exchange.post(server, fetch)

    def _serve(self, follower: Follower, offering: list[str]) -> None:
        reachable = [name for name in offering if self._is_reachable(name)]
        if follower.server not in reachable:
            own = self._exchange.node.name
            server = own if own in reachable else self._random.choice(reachable) if reachable else None
            follower.turn_to(server, self._exchange.now)

    def _is_reachable(self, name: str) -> bool:
        return name == self._exchange.node.name or self._exchange.neighbours[name].is_reachable

    def _offers(self) -> dict[str, list[str]]:
        """Return by log the nodes that offer it."""
        found: dict[str, list[str]] = {}
        own, name = self._exchange.offered.get(self.topic), self._exchange.node.name
        if own is not None and self._may_offer(own.log, name):
            found[own.log] = [name]
        for name, neighbour in self._exchange.neighbours.items():
            log = None if neighbour.offer is None else neighbour.offer.topics.get(self.topic)
            if log is not None and self._may_offer(log, name):
                found.setdefault(log, []).append(name)
        return found
