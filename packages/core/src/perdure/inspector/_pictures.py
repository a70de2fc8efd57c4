"""Sizes and rates as pictures: what is drawn, as numbers for SVG."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import log1p, sqrt
from typing import NamedTuple

from perdure.inspector._records import Event
from perdure.inspector._timeline import BLOCK, Bounds
from perdure.inspector._wording import rate, size

WIDTH = 1000
HEIGHT = 64
HUES = 8
_RATES = 40  # of the height
_FEWEST_SLOTS = 24
_LEAST = 6  # units of height, so that the smallest can still be hit
_GAP = 0.18  # of the width of a bar


class Hues:
    """Gives each name a hue, in the order in which they come; the ninth has that of the first again."""

    def __init__(self) -> None:
        self._given: dict[str, int] = {}

    def of(self, name: str) -> int:
        return self._given.setdefault(name, len(self._given) % HUES)


class Bar(NamedTuple):
    """An event: where its bar stands, how high it is, and what it says."""

    number: int
    x: float
    y: float
    width: float
    height: float
    manifest: str | None
    """None for one that cannot be read."""
    text: str


class Life(NamedTuple):
    """A log from end to end, along its sequence numbers: how fast its events came, and how large they were."""

    rates: str
    sizes: str
    """Paths of areas, one above the other."""
    fastest: str
    largest: str


def bars(events: Sequence[Event], bounds: Bounds) -> list[Bar]:
    """Return the bars of the events of a block, as high as the logarithm of their sizes."""
    if not events:
        return []
    start = (events[0].sequence_number - 1) // BLOCK * BLOCK + 1
    slots = max(_FEWEST_SLOTS, min(BLOCK, bounds.last - start + 1))
    step = WIDTH / slots
    most = max(log1p(event.size) for event in events)
    return [_bar(event, (event.sequence_number - start) * step, step, most) for event in events]


def life(samples: Sequence[Event]) -> Life | None:
    """Return the picture of a log from samples of it; None where there are too few to see anything."""
    if len(samples) < 3:
        return None
    first = samples[0].sequence_number
    scale = WIDTH / (samples[-1].sequence_number - first)
    places = [(event.sequence_number - first) * scale for event in samples]
    rates = [_rate(before, after) for before, after in pairwise(samples)]
    sizes = [max(before.size, after.size) for before, after in pairwise(samples)]
    return Life(
        rates=_area(places, rates, 0, _RATES),
        sizes=_area(places, sizes, _RATES + 2, HEIGHT),
        fastest=rate(max(rates)),
        largest=size(max(event.size for event in samples)),
    )


def share(part: int, most: int) -> float:
    """Return the length of a bar of 100 for a number, by logarithms."""
    return max(1.0, 100 * log1p(part) / log1p(most)) if most else 0.0


def _bar(event: Event, x: float, step: float, most: float) -> Bar:
    height = max(_LEAST, (HEIGHT - 4) * log1p(event.size) / most)
    return Bar(
        number=event.sequence_number,
        x=round(x + step * _GAP / 2, 2),
        y=round(HEIGHT - height, 2),
        width=round(step * (1 - _GAP), 2),
        height=round(height, 2),
        manifest=event.manifest,
        text=f"{event.sequence_number:,} {event.manifest or event.problem}, {size(event.size)}",
    )


def _rate(before: Event, after: Event) -> float:
    """Return how many events came in a second between two; 0 where that cannot be known."""
    if before.timestamp is None or after.timestamp is None:
        return 0.0
    seconds = (after.timestamp - before.timestamp).total_seconds()
    return (after.sequence_number - before.sequence_number) / max(seconds, 0.001)


def _area(places: Sequence[float], values: Sequence[float], top: int, bottom: int) -> str:
    """Return the path of an area in steps between places; heights are roots, so that what is small is seen too."""
    most = sqrt(max(values)) or 1.0
    steps = [
        f"L{x:.1f} {bottom - (bottom - top) * sqrt(value) / most:.1f}H{until:.1f}"
        for (x, until), value in zip(pairwise(places), values, strict=True)
    ]
    return f"M0 {bottom}{''.join(steps)}V{bottom}Z"
