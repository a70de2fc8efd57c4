"""What snapshots cost the loop, and how soon the newest is read."""

from __future__ import annotations

from collections.abc import AsyncIterator

from benchmarks import newest, stalls
from benchmarks.report import Table
from benchmarks.run import Run


async def tables(run: Run) -> AsyncIterator[Table]:
    yield await stalls.table(run)
    yield await newest.table(run)
