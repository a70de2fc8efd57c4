"""Bytes that a mutation sends: of a delta, and of the whole view."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from benchmarks.report import Table
from benchmarks.run import Run
from perdure_replication import DeltaDistributedState, DistributedState, Settings, SyncUrgency
from perdure_replication.testing import Simulation

Rows: TypeAlias = dict[str, int]
Row: TypeAlias = tuple[str, int]

_NEVER = 1e9
_MUTATIONS = 100
_TOGETHER = 10

_NOTE = f"""Bytes of the frames to one peer, a mutation of one row, mean of {_MUTATIONS}. snapshot: of a
DistributedState, the whole view. delta: of a DeltaDistributedState. ten deltas: that are held back, and go out
together, not composed. row, view: what msgspec makes of one row, and of all. A transport adds its own."""


class Whole(DistributedState[Rows]):
    """Is sent whole."""

    def initial(self) -> Rows:
        return {}


class InRows(DeltaDistributedState[Rows, Rows, Row, Row]):
    """Is sent row by row."""

    def initial(self) -> Rows:
        return {}

    def project(self, state: Rows) -> Rows:
        return state

    def project_change(self, change: Row) -> Row:
        return change

    def apply(self, view: Rows, delta: Row) -> Rows:
        return {**view, delta[0]: delta[1]}


def table(run: Run) -> Table:
    rows = []
    for size in run.pick((1, 10, 100, 1_000, 10_000), (1, 10)):
        whole, delta = bytes_each(Whole, size), bytes_each(InRows, size)
        together = bytes_each(InRows, size, SyncUrgency.delayed(0.1))
        view = {_key(number): number for number in range(size)}
        bare = [len(msgspec.msgpack.encode(value)) for value in ((_key(0), _MUTATIONS), view)]
        rows.append((size, bare[1], whole, bare[0], delta, together, whole / delta))
    columns = ("rows", "view", "snapshot", "row", "delta", "ten deltas", "snapshot / delta")
    return Table("Bytes a mutation", columns, rows, _NOTE)


def bytes_each(kind: type[Whole | InRows], size: int, urgency: SyncUrgency | None = None) -> float:
    """Return the mean bytes of the frames that a mutation of one row of a view of so many sends to a peer."""
    simulation = Simulation(kind, settings=Settings(digest_interval=_NEVER))
    owner, reader = simulation.add("owner"), simulation.add("reader")
    owner.mutate(kind.name, lambda _: _filled(kind, size))
    simulation.run(1.0)
    before = simulation.network.bytes
    for number in range(_MUTATIONS):
        owner.mutate(kind.name, _set(kind, _key(number % size), number), urgency)
        if (number + 1) % _TOGETHER == 0:
            simulation.run(1.0)
    assert reader.value(kind.name, "owner") == owner.engine.shard(kind.name).view
    return (simulation.network.bytes - before) / _MUTATIONS


def _filled(kind: type[Whole | InRows], size: int) -> Any:
    rows = {_key(number): number for number in range(size)}
    return rows if kind is Whole else (rows, (_key(0), 0))


def _set(kind: type[Whole | InRows], key: str, value: int) -> Any:
    def mutation(rows: Rows) -> Any:
        after = {**rows, key: value}
        return after if kind is Whole else (after, (key, value))

    return mutation


def _key(number: int) -> str:
    return f"row-{number:06}"
