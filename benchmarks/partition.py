"""Great clusters, simulated, that were in two and become one again: how long it takes, and how many messages."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import NamedTuple

import psutil

from benchmarks.report import Table
from benchmarks.run import Run
from perdure_replication import Settings
from perdure_replication.testing import Simulation, TestState, Value

_STEP = 0.25
_GREAT = 1_000
_GREAT_BYTES = 6 << 30
_SETTINGS = Settings()
_LATEST = 1.1 * _SETTINGS.digest_interval + _SETTINGS.pull_timeout

_NOTE = f"""One engine a node, in one process, on a network that takes 1 to 5 ms. All nodes change their parts while no
half reaches the other, and nobody is told of it; the figures are from the moment at which the network is whole until
every view is its owner's. seconds: of the simulation, where digests go out every {_SETTINGS.digest_interval:g} s.
messages: of all nodes, to one peer each. a pair: by the n (n - 1) pairs of nodes; the run fails when that grows with n,
or convergence takes more than one digest. with broadcast: messages, where one to all is one, as on Redis."""


class Healing(NamedTuple):
    """What a cluster needed."""

    nodes: int
    seconds: float
    messages: int
    a_node: float
    a_pair: float
    kib_a_node: float
    with_broadcast: int


def table(run: Run) -> Table:
    healings = [heal(nodes) for nodes in run.pick((10, 100, 1_000), (10, 50)) if nodes < _GREAT or _has_room()]
    check(healings)
    columns = ("nodes", "seconds", "messages", "a node", "a pair", "KiB a node", "with broadcast")
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
    simulation = Simulation(TestState, seed=nodes, settings=_SETTINGS)
    names = [f"node-{number:04}" for number in range(nodes)]
    for name in names:
        simulation.add(name)
    simulation.run(1.0)
    network = simulation.network
    network.partition(names[: nodes // 2], names[nodes // 2 :])
    for name in names:
        simulation[name].mutate(TestState.name, lambda _: Value(1))
    simulation.run(1.0)
    for node in simulation.live():
        node.sent.clear()
        node.changes.clear()
    network.heal()
    messages, sent, healed = network.sent.total(), network.bytes, simulation.now
    while not _is_converged(simulation) and simulation.now < healed + 4 * _LATEST:
        simulation.run(_STEP)
    messages, kib = network.sent.total() - messages, (network.bytes - sent) / 1024
    told = sum(len(node.sent) for node in simulation.live())
    pairs = nodes * (nodes - 1)
    return Healing(nodes, simulation.now - healed, messages, messages / nodes, messages / pairs, kib / nodes, told)


def _is_converged(simulation: Simulation) -> bool:
    nodes = simulation.live()
    return all(
        len(views) == len(nodes) and all(view == Value(1) for view in views.values())
        for views in (node.engine.values(TestState.name) for node in nodes)
    )


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
