"""A bank's loan applications, one durable actor each: `python examples/loan_applications.py bpic2012.csv.gz`.

Reads the event log of the BPI Challenge 2012 in arrival order, thousands of rows at a time, and gives each application
its rows. Kill it when you like and run it again: it goes on where it was. No cursor is needed for that: an application
stores one event a row, so its sequence number says how many rows it has, and it passes over those that come again.

The table at the end is computed from the store: by a new system, whose actors recover their states from their events.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import gzip
import sys
import time
import zlib
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import datetime
from itertools import islice
from pathlib import Path

import msgspec

from perdure import ActorSystem, Context, Event, Message, PerdureError, PersistentActor, Rejected
from perdure.abc import Backend

CHUNK = 10_000
"""Rows taken from the file at a time: of some 1,100 applications, whose events share a few syncs of the disk."""

COLUMNS = ["timestamp", "case", "activity", "transition", "resource", "amount_req"]


class Recorded(Event):
    """What happened to an application; `resource` is the clerk's number, or empty."""

    timestamp: datetime
    activity: str
    transition: str
    resource: str
    amount_req: int


class Record(Message[int]):
    """Record an application's rows, of which `start` came before these. The reply is how many of them are new."""

    start: int
    rows: list[Recorded]


class Activities(Message[Mapping[str, int]]):
    """Say which activities the application went through, and how often."""


class Application(PersistentActor[Mapping[str, int], Recorded]):
    """Counts its activities."""

    initial_state: Mapping[str, int] = {}

    async def handle(self, message: Record | Activities, context: Context) -> int | Mapping[str, int]:
        match message:
            case Record(start) if start > self.sequence_number:
                raise Rejected(f"application {context.key}: row {start} came before row {self.sequence_number}")
            case Record(start, rows):
                new = rows[self.sequence_number - start :]
                await self.persist(*new)
                return len(new)
            case Activities():
                return self.state

    def apply(self, state: Mapping[str, int], event: Recorded) -> Mapping[str, int]:
        return {**state, event.activity: state.get(event.activity, 0) + 1}


class InputError(Exception):
    """The file is not what it should be."""


def rows(path: Path) -> Iterator[tuple[str, Recorded]]:
    """Yield each row of a file with its application. Raises `InputError` saying what is wrong, and where."""
    line = 0
    try:
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            table = csv.DictReader(file, strict=True)
            if table.fieldnames != COLUMNS:
                raise InputError(f"{path}: the columns are {table.fieldnames}, and should be {COLUMNS}")
            for row in table:
                line = table.line_num
                yield row["case"], msgspec.convert(row, Recorded, strict=False)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except (EOFError, zlib.error, csv.Error, ValueError) as error:
        raise InputError(f"{path}: near line {line}: {error}") from error


class Progress:
    """Counts rows, and says at most once a second how it goes."""

    def __init__(self) -> None:
        self._rows = 0
        self._new = 0
        self._began = self._shown = time.monotonic()

    def __str__(self) -> str:
        rate = self._rows / (time.monotonic() - self._began)
        return f"{self._rows:,} rows, {self._rows - self._new:,} of them recorded before, {rate:,.0f} a second"

    def count(self, rows: int, *, new: int) -> None:
        self._rows += rows
        self._new += new

    def show_now_and_then(self) -> None:
        if time.monotonic() >= self._shown + 1:
            self._shown = time.monotonic()
            self.show(end="\r" if sys.stdout.isatty() else "\n")

    def show(self, end: str = "\n") -> None:
        print(f"{self!s:<79}" if sys.stdout.isatty() else self, end=end, flush=True)


async def load(path: Path, store: str) -> None:
    """Bring the rows of a file to their applications; when this returns, all of them are durable."""
    progress = Progress()
    brought: Counter[str] = Counter()
    remaining = rows(path)
    async with ActorSystem(store=store) as system:
        while chunk := list(islice(remaining, CHUNK)):
            progress.show_now_and_then()
            parts = by_case(chunk).items()
            new = await asyncio.gather(*(record(system, case, brought[case], part) for case, part in parts))
            progress.count(len(chunk), new=sum(new))
            brought.update(case for case, _ in chunk)
    progress.show()


async def record(system: ActorSystem, case: str, start: int, rows: list[Recorded]) -> int:
    """Record an application's rows durably; return how many of them are new."""
    return await system.ref(Application, case).ask(Record(start, rows))


def by_case(chunk: list[tuple[str, Recorded]]) -> dict[str, list[Recorded]]:
    """Return the rows of each application, in their order."""
    parts: dict[str, list[Recorded]] = defaultdict(list)
    for case, row in chunk:
        parts[case].append(row)
    return parts


async def recovered(store: str) -> list[Mapping[str, int]]:
    """Return the state of each application, as a new system recovers it."""
    states: list[Mapping[str, int]] = []
    async with ActorSystem(store=store) as system:
        async for cases in stored(system.backend):
            states += await asyncio.gather(*(system.ref(Application, case).ask(Activities()) for case in cases))
    return states


async def stored(backend: Backend) -> AsyncIterator[list[str]]:
    """Yield the keys of all applications that have events in a store, many at a time."""
    after = ""
    while prefixes := await backend.prefixes("events", after):
        after = prefixes[-1]
        names = [prefix.partition("/") for prefix in prefixes]
        yield [key for kind, _, key in names if kind == Application.type_name]


def figures(states: list[Mapping[str, int]]) -> dict[str, int]:
    """Return what was published of this event log."""
    events: Counter[str] = Counter()
    reached: Counter[str] = Counter()
    for state in states:
        events.update(state)
        reached.update(state.keys())
    return {
        "events": events.total(),
        "cases": len(states),
        **{f"cases with {activity}": reached[activity] for activity in ("A_SUBMITTED", "A_PARTLYSUBMITTED")},
        **{activity: events[activity] for activity in ("A_DECLINED", "A_CANCELLED", "A_APPROVED")},
        **{activity: events[activity] for activity in ("O_SENT", "O_ACCEPTED")},
    }


async def run(path: Path, store: str) -> None:
    await load(path, store)
    began = time.monotonic()
    states = await recovered(store)
    print(f"{len(states):,} applications recovered in {time.monotonic() - began:.1f} s\n")
    for what, number in figures(states).items():
        print(f"{what:<30}{number:>9,}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Bring the BPI Challenge 2012's loan applications into a store.")
    parser.add_argument("file", type=Path, help="the event log: bpic2012.csv.gz")
    parser.add_argument("--store", default="sqlite:///loans.db", help="URL of the store (default sqlite:///loans.db)")
    options = parser.parse_args()
    try:
        next(rows(options.file), None)  # a wrong file leaves no store behind
        asyncio.run(run(options.file, options.store))
    except (InputError, PerdureError) as error:
        print(f"loan_applications.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
