"""Merged values: how many changes and merges a second, and bytes of a change against those of the whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from statistics import median
from time import process_time
from typing import Any

from benchmarks.report import Cell, Table
from benchmarks.run import Run
from perdure_replication.merge import AddWinsSet, Counter, HybridClock, Knowledge, MergedMap, MergedState, Pen

_WRITERS = range(1 << 62, (1 << 62) + 5)

_NOTE = f"""One process, processor time, medians. Elements of 10 characters that {len(_WRITERS)} nodes have written; a
change adds one again, or adds 1 to one counter. view: bytes of the whole; delta: of what one change sends. A frame adds
its own. changes/s: made, encoded, read back and merged, as an update does before anything is sent. deltas/s: merged
into the whole. wholes/s: two that share no object, and differ in one element. copies/s: of a dictionary of as many."""


class Tags(MergedState[AddWinsSet[str]]):
    """A set of names."""


class Stock(MergedState[MergedMap[str, Counter]]):
    """Counters by name."""


class Bench:
    """A value of some size, and one change of it."""

    def __init__(self, state: MergedState[Any], put: Callable[[Any, str], object], size: int) -> None:
        clock = HybridClock()
        self._change: Callable[[Any], object] = lambda value: put(value, _name(size // 2))
        self.known: Knowledge[Any] = Knowledge()
        for turn, writer in enumerate(_WRITERS):
            self._pen = Pen(state, writer, clock)
            names = [_name(number) for number in range(turn, size, len(_WRITERS))]
            self.known, _ = self._pen.write(self.known, lambda value, names=names: [put(value, name) for name in names])  # type: ignore[misc]
        _, self.fragment = self._pen.write(self.known, self._change)
        self.view = state.encode_view(self.known, 1)
        self.delta = state.encode_delta(self.fragment, 1)
        self._other = state.decode_view(self.view, 1).merge(self.fragment)

    def change(self) -> None:
        self.known, _ = self._pen.write(self.known, self._change)

    def merge_delta(self) -> None:
        self.known.merge(self.fragment)

    def merge_whole(self) -> None:
        self.known.merge(self._other)


def table(run: Run) -> Table:
    kinds: dict[str, Callable[[int], Bench]] = {
        "set": partial(Bench, Tags(), lambda tags, name: tags.add(name)),
        "counters by name": partial(Bench, Stock(), lambda stock, name: stock.at(name).add()),
    }
    sizes, seconds = run.pick((10, 1_000, 10_000), (10,)), run.pick(0.2, 0.001)
    rows = [row(kind, size, make(size), seconds) for kind, make in kinds.items() for size in sizes]
    columns = ("value", "view", "delta", "view / delta", "changes/s", "deltas/s", "wholes/s", "copies/s")
    return Table("Merged values", columns, rows, _NOTE)


def row(kind: str, size: int, bench: Bench, seconds: float) -> Sequence[Cell]:
    view, delta = len(bench.view), len(bench.delta)
    numbers = dict.fromkeys(range(size))
    rates = [rate(act, seconds) for act in (bench.change, bench.merge_delta, bench.merge_whole, numbers.copy)]
    return (f"{kind}: {size:,}", view, delta, view / delta, *rates)


def rate(act: Callable[[], object], seconds: float) -> float:
    """Return how often something can be done in a second of processor time: the median of five rounds."""
    return median(_rate(act, seconds / 5) for _ in range(5))


def _rate(act: Callable[[], object], seconds: float) -> float:
    done, began = 0, process_time()
    while (spent := process_time() - began) < seconds or not done:
        act()
        done += 1
    return done / spent


def _name(number: int) -> str:
    return f"tag-{number:06}"
