"""Great clusters, simulated, that were in two and become one again: how long it takes, and how many messages."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from time import process_time
from typing import NamedTuple

import psutil

from benchmarks.report import Table
from benchmarks.run import Run
from perdure_replication import Settings
from perdure_replication.testing import Network, Simulation, TestState, Value

_STEP = 0.25
_TICK = 0.001
_JOINING = 1.0
_CHANGED = 5
"""Of so many nodes one changes its part while the cluster is in two: of 1,000, a hundred on each side."""
_GREAT = 1_000
_GREAT_BYTES = 3 << 30
_SETTINGS = Settings()
_INTERVAL = _SETTINGS.digest_interval
_LATEST = 1.1 * _INTERVAL + _SETTINGS.pull_timeout

_NOTE = f"""One engine a node, in one process, on a network that takes 1 to 5 ms. The nodes join within a second; then
they are in two halves, of which nobody is told, and a fifth of each half change their parts; then they are one again.
seconds: of the simulation, from then until every view is its owner's; digests go out every {_INTERVAL:g} s.
messages: of all nodes in the first {_LATEST:g} s, to one peer each. a pair: by the n (n - 1) pairs of nodes; the run
fails when that grows with n, or convergence takes more than one digest and one pull. with broadcast: messages, where
one to all is one, as on Redis. joined: messages a pair until all had met. CPU s: of the whole story."""


class Healing(NamedTuple):
    """What a cluster needed."""

    nodes: int
    seconds: float
    messages: int
    a_node: float
    a_pair: float
    kib_a_node: float
    with_broadcast: int
    joined_a_pair: float
    cpu_seconds: float


def table(run: Run) -> Table:
    healings = [heal(nodes) for nodes in run.pick((10, 100, 1_000), (10, 50)) if nodes < _GREAT or _has_room()]
    check(healings)
    columns = ("nodes", "seconds", "messages", "a node", "a pair", "KiB a node", "with broadcast", "joined", "CPU s")
    return Table("A partition heals, simulated", columns, healings, _NOTE)


def _has_room() -> bool:
    """Tell whether there is memory for a great cluster; its row is left out where there is not."""
    return psutil.virtual_memory().available > _GREAT_BYTES


def heal(nodes: int) -> Healing:
    """Let a cluster be in two, change, and become one."""
    gc.collect()
    gc.disable()  # nothing dies here but what has no cycles, and there is very much
    try:
        return _heal(nodes)
    finally:
        gc.enable()


def _heal(nodes: int) -> Healing:
    began, network = process_time(), Network(nodes, tick=_TICK)
    simulation = Simulation(TestState, seed=nodes, network=network, settings=_SETTINGS, remembers=False)
    names = [f"node-{number:04}" for number in range(nodes)]
    _join(simulation, names)
    joined = network.sent.total()
    _change_apart(simulation, names[: nodes // 2], names[nodes // 2 :])
    network.heal()
    messages, sent, told = network.sent.total(), network.bytes, _told(simulation)
    seconds = _converge(simulation)
    simulation.run(max(0.0, _LATEST - seconds))
    messages, kib, told = network.sent.total() - messages, (network.bytes - sent) / 1024, _told(simulation) - told
    pairs = nodes * (nodes - 1)
    each = (messages / nodes, messages / pairs, kib / nodes)
    return Healing(nodes, seconds, messages, *each, told, joined / pairs, process_time() - began)


def _join(simulation: Simulation, names: Sequence[str]) -> None:
    for name in names:
        simulation.add(name)
        simulation.run(_JOINING / len(names))
    simulation.run(_STEP)


def _change_apart(simulation: Simulation, *halves: Sequence[str]) -> None:
    simulation.network.partition(*halves)
    for half in halves:
        for name in half[: max(1, len(half) // _CHANGED)]:
            simulation[name].mutate(TestState.name, lambda _: Value(1))
    simulation.run(1.0)


def _converge(simulation: Simulation) -> float:
    """Return how long it takes until all views are right, or some time that is too long."""
    began = simulation.now
    while not _is_converged(simulation) and simulation.now < began + 4 * _LATEST:
        simulation.run(_STEP)
    return simulation.now - began


def _told(simulation: Simulation) -> int:
    return sum(node.told for node in simulation.live())


def _is_converged(simulation: Simulation) -> bool:
    """Tell whether each node holds what each has."""
    nodes = simulation.live()
    owned = {node.name: node.value(TestState.name, node.name) for node in nodes}
    return all(node.engine.values(TestState.name) == owned for node in nodes)


def check(healings: Sequence[Healing]) -> None:
    """Fail when convergence took more than one digest and one pull, or messages grow faster than the pairs."""
    for healing in healings:
        if healing.seconds > _LATEST:
            raise RuntimeError(f"{healing.nodes:,} nodes took {healing.seconds:g} s to converge, over {_LATEST:g}")
    least, most = healings[0], healings[-1]
    if most.a_pair > 1.5 * least.a_pair:
        raise RuntimeError(
            f"messages grow faster than the pairs: {least.a_pair:.3g} a pair of {least.nodes:,} nodes, "
            f"{most.a_pair:.3g} of {most.nodes:,}"
        )
