"""Contenders measured in turns, so that what the machine does meanwhile happens to all of them."""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable, Mapping, Sequence
from statistics import median
from time import perf_counter
from typing import NamedTuple, TypeAlias

Measure: TypeAlias = Callable[[float], Awaitable[float]]
"""Works for about so many seconds and returns events a second."""


class Rate(NamedTuple):
    """Events a second over some rounds."""

    median: float
    best: float


async def in_turns(contenders: Mapping[str, Measure], rounds: int, seconds: float) -> dict[str, Rate]:
    """Give each contender `rounds` turns of `seconds`, every other round in reverse order."""
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    order = list(contenders)
    for _ in range(rounds):
        for name in order:
            gc.collect()
            rates[name].append(await contenders[name](seconds))
        order.reverse()
    return {name: Rate(median(measured), max(measured)) for name, measured in rates.items()}


def in_waves(wave: Callable[[], Awaitable[int]]) -> Measure:
    """Return the measure of waves of work, one after another; each returns how many events it was."""

    async def measure(seconds: float) -> float:
        count = 0
        started = now = perf_counter()
        while now < started + seconds:
            count += await wave()
            now = perf_counter()
        return count / (now - started)

    return measure


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the value below which so many percent of the values are; NaN of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] if ordered else float("nan")
