"""Simulated nodes as the tests of the engine have them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from perdure_replication import DistributedState, Frame, Message, Received, Settings, encode_frame
from perdure_replication.testing import SimulatedNode, Simulation, TestDeltaState, TestState, Value

SIMPLE, DELTA = TestState.name, TestDeltaState.name
QUIET = Settings(digest_interval=1e9)
"""Without digests, so that only what a test does is seen."""


class Listed(DistributedState[list[int]]):
    """A state that can be changed in place."""

    def initial(self) -> list[int]:
        return []


def to(counter: int) -> Callable[[Value], Value]:
    """Return a mutation that sets the counter."""
    return lambda _: Value(counter)


def cluster(names: str, *states: Any, settings: Settings = QUIET, **options: Any) -> Simulation:
    """Return nodes that have met."""
    simulation = Simulation(*(states or (TestState, TestDeltaState)), settings=settings)
    for name in names:
        simulation.add(name, **options)
    simulation.run(1)
    return simulation


def pair(*states: Any, settings: Settings = QUIET, **options: Any) -> tuple[Simulation, SimulatedNode, SimulatedNode]:
    """Return two nodes that have met."""
    simulation = cluster("ab", *states, settings=settings, **options)
    return simulation, simulation["a"], simulation["b"]


def forged(source: str, incarnation: int, message: Any, cluster: str = "perdure") -> bytes:
    """Return a frame as a node would send it."""
    return encode_frame(Frame(cluster, source, incarnation, 1_000_000, message))


def hand(node: SimulatedNode, source: SimulatedNode, message: Message) -> None:
    """Give a node a message of another's present life."""
    node.tell(Received(source.name, forged(source.name, source.engine.incarnation, message)))
