"""The command line: which sections run, where their files go, and where the figures do."""

from __future__ import annotations

import argparse
import asyncio
import platform
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol, cast

from benchmarks.report import Report, Table
from benchmarks.run import Run

SECTIONS: tuple[str, ...] = (
    *("throughput", "busy_loop", "recovery", "long_log", "crowd", "snapshots", "evolution"),
    *("sealing", "scans", "transfer", "verifying", "memory", "handles", "actors"),
)
if find_spec("opentelemetry") is not None and find_spec("opentelemetry.sdk") is not None:
    SECTIONS = (*SECTIONS, "telemetry")
if find_spec("starlette") is not None and find_spec("jinja2") is not None:
    SECTIONS = (*SECTIONS, "inspector")
if find_spec("perdure_rocksdb") is not None:
    SECTIONS = (*SECTIONS, "rocksdb")
if find_spec("perdure_redis") is not None:
    SECTIONS = (*SECTIONS, "redis")
if find_spec("perdure_replication") is not None:
    SECTIONS = (*SECTIONS, "replication", "replicas")
if find_spec("perdure_redis") is not None and find_spec("ray") is not None:
    SECTIONS = (*SECTIONS, "ray")

_MODULES = {"ray": "ray_hosts", "redis": "redis_store"}


class Section(Protocol):
    """A module that measures one thing."""

    def tables(self, run: Run) -> AsyncIterator[Table]:
        """Yield each table as soon as its figures are there."""
        ...


def main(arguments: Sequence[str]) -> int:
    """Run the sections asked for, after a look at the machine. Anything that fails, fails the run."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if not options.dir.is_dir():
        parser.error(f"argument --dir: there is no folder {options.dir}")
    report = Report(python=platform.python_version(), sqlite=sqlite3.sqlite_version, quick=options.quick)
    with tempfile.TemporaryDirectory(prefix=".perdure-bench-", dir=options.dir) as folder:
        for name in ("machine", *(options.only or SECTIONS)):
            asyncio.run(_measure(name, Run(Path(folder).resolve(), options.quick), report))
    if options.json is not None:
        options.json.write_bytes(report.json())
    return 0


async def _measure(name: str, run: Run, report: Report) -> None:
    # By name, so that a section's dependencies are needed only where the section is.
    section = cast(Section, import_module(f"benchmarks.{_MODULES.get(name, name)}"))
    async for table in section.tables(run):
        print(table, flush=True)
        report.add(name, table)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="every section at reduced size: a smoke test, not a measure"
    )
    parser.add_argument(
        "--only", nargs="+", choices=SECTIONS, metavar="NAME", help=f"only these: {', '.join(SECTIONS)}"
    )
    parser.add_argument(
        "--dir", type=Path, default=Path(), help="make a temporary folder here (default: where you are)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there as well")
    return parser
