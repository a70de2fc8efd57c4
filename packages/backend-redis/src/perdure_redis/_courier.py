"""Commands brought to the servers that have their slots, again and again until they are answered or time is up.

Everything here may be sent twice. Reads may anyhow, and a commit carries a number that its script remembers, so that
one whose answer was lost is sent again and its first outcome comes back. Only where no server answers in time does a
commit end as `OutcomeUnknown`, and, if it surely never reached one, as `StoreUnavailable`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

from redis.exceptions import AskError, BusyLoadingError, MovedError, NoScriptError, ResponseError

from perdure.errors import OutcomeUnknown, StoreError, StoreUnavailable
from perdure_redis._command import LOAD, LOADED, packed
from perdure_redis._errors import is_passing, translated
from perdure_redis._guarantee import Barrier
from perdure_redis._node import Lost, Node
from perdure_redis._topology import Standalone

_ASKING = packed(b"ASKING")
_FIRST_PAUSE = 0.005
_LONGEST_PAUSE = 0.2
_AT_ONCE_ATTEMPTS = 10


class Request(NamedTuple):
    """A command with one reply, and the slot of its keys."""

    slot: int
    command: bytes


class Courier:
    """Brings requests to a store's servers."""

    def __init__(self, topology: Standalone, timeout: float) -> None:
        self._topology = topology
        self._timeout = timeout

    async def deliver(
        self, operation: str, requests: Sequence[Request], barrier: Barrier | None = None, *, patient: bool = True
    ) -> list[Any]:
        """Return for each request its reply or a `StoreError`; what goes to the same server goes together.

        With a barrier, the replies come when it is passed. Who is not patient does not wait for a server to come back.
        """
        delivery = _Delivery(self._topology, operation, requests, barrier, self._timeout)
        while delivery.pending:
            await delivery.attempt(patient)
        return delivery.answers


class _Delivery:
    def __init__(
        self,
        topology: Standalone,
        operation: str,
        requests: Sequence[Request],
        barrier: Barrier | None,
        timeout: float,
    ) -> None:
        self.answers: list[Any] = [None] * len(requests)
        self.pending = set(range(len(requests)))
        self._topology = topology
        self._operation = operation
        self._requests = requests
        self._barrier = barrier
        self._timeout = timeout
        self._deadline = asyncio.get_running_loop().time() + timeout
        self._doubtful: set[int] = set()
        self._asked: dict[int, Node] = {}
        self._pause = 0.0
        self._patient = True
        self._reason = "no server answered"
        self._attempts = 0
        self._again_at_once = False

    async def attempt(self, patient: bool) -> None:
        """Send what is not answered yet; afterwards all of it is, or it is worth another attempt."""
        self._patient = patient
        self._attempts += 1
        self._again_at_once = False
        try:
            async with asyncio.timeout_at(self._deadline):
                batches = await self._route()
        except Lost as lost:
            self._lost(sorted(self.pending), lost)
        except TimeoutError:
            pass
        else:
            await asyncio.gather(*(self._send(node, indexes) for node, indexes in batches.items()))
        if self.pending:
            await self._wait()

    async def _route(self) -> dict[Node, list[int]]:
        batches: dict[Node, list[int]] = {}
        for index in sorted(self.pending):
            node = self._asked.get(index) or await self._topology.node(self._requests[index].slot)
            batches.setdefault(node, []).append(index)
        return batches

    async def _send(self, node: Node, indexes: list[int]) -> None:
        commands = [_ASKING * (index in self._asked) + self._requests[index].command for index in indexes]
        replies = len(indexes) + sum(index in self._asked for index in indexes)
        if self._barrier is not None:
            left = self._deadline - asyncio.get_running_loop().time()
            commands.append(self._barrier.command(left))
        sent = b"".join(commands) if len(commands) > 1 else commands[0]
        try:
            answers = await node.exchange(sent, replies + (self._barrier is not None), self._deadline)
        except Lost as lost:
            self._lost(indexes, lost)
            return
        if any(isinstance(answer, NoScriptError) for answer in answers):
            await self._load(node)
        shortfall = self._barrier.shortfall(answers.pop()) if self._barrier is not None else None
        for index in indexes:
            if self._asked.pop(index, None) is not None:
                answers.pop(0)  # to ASKING
            await self._judge(index, answers.pop(0), shortfall)

    async def _judge(self, index: int, answer: Any, shortfall: str | ResponseError | None) -> None:
        if not isinstance(answer, ResponseError):
            if isinstance(shortfall, ResponseError) and is_passing(shortfall):
                self._doubtful.add(index)
                self._reason = str(shortfall)
            elif shortfall is not None:
                self._settle(index, OutcomeUnknown(self._operation, f"written, but {shortfall}"))
            else:
                self._settle(index, answer)
        elif isinstance(answer, MovedError) and not self._topology.fails_over:
            self._settle(index, StoreError(self._operation, "the server is a node of a cluster: use redis+cluster://"))
        elif not self._may_pass(answer):
            failure = translated(self._operation, answer)
            if index in self._doubtful and self._operation == "commit":  # an earlier copy may still arrive
                failure = OutcomeUnknown(self._operation, failure.reason)
            self._settle(index, failure)
        else:
            self._reason = f"the server says: {type(answer).__name__} {answer}"
            if isinstance(answer, AskError):
                self._asked[index] = await self._topology.at((answer.host, answer.port))
                self._again_at_once = True
            elif not isinstance(answer, NoScriptError):
                await self._topology.moved()

    def _may_pass(self, error: ResponseError) -> bool:
        if str(error).startswith("PERDUREDAMAGED"):  # while a slot migrates, some of its keys are elsewhere
            return self._topology.fails_over
        return is_passing(error) and (self._patient or isinstance(error, _AT_ONCE))

    def _settle(self, index: int, answer: Any) -> None:
        self.answers[index] = answer
        self.pending.discard(index)

    async def _load(self, node: Node) -> None:
        try:
            await node.exchange(LOAD, LOADED, self._deadline)
        except Lost as lost:
            self._reason = lost.text
        else:
            self._again_at_once = True

    def _lost(self, indexes: list[int], lost: Lost) -> None:
        if asyncio.get_running_loop().time() < self._deadline:  # otherwise it may be no more than that time was up
            self._reason = lost.text
        if lost.maybe_done:
            self._doubtful.update(indexes)
        for index in indexes:
            self._asked.pop(index, None)
            if lost.refused:
                self._settle(index, StoreError(self._operation, f"the server refuses us: {lost.text}"))
            elif not self._patient and not isinstance(lost.reason, BusyLoadingError):
                self._settle(index, StoreUnavailable(self._operation, lost.text))

    async def _wait(self) -> None:
        """Let the servers come to themselves, or, when time is up, say what is known of each request."""
        now = asyncio.get_running_loop().time()
        if now < self._deadline:
            if self._again_at_once and self._attempts < _AT_ONCE_ATTEMPTS:
                return
            await self._topology.moved()
            self._pause = min(max(2 * self._pause, _FIRST_PAUSE), _LONGEST_PAUSE)
            await asyncio.sleep(min(self._pause, self._deadline - now))
            return
        text = f"no answer within {self._timeout:g} s; at last: {self._reason}"
        for index in sorted(self.pending):
            unknown = index in self._doubtful and self._operation == "commit"  # whatever else there is reads
            self._settle(index, (OutcomeUnknown if unknown else StoreUnavailable)(self._operation, text))


_AT_ONCE = (NoScriptError, AskError, MovedError, BusyLoadingError)
