"""How long `import perdure` takes in a fresh interpreter."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from time import perf_counter

from benchmarks.report import Cell, Table
from benchmarks.rounds import Measure, in_turns
from benchmarks.run import Run

_IMPORTS = {
    "nothing": "pass",
    "asyncio": "import asyncio",
    "asyncio and msgspec": "import asyncio, msgspec",
    "perdure.actors": "import perdure.actors",
    "perdure": "import perdure",
}

_NOTE = (
    """Milliseconds of whole processes with warm files, medians. added: less the interpreter that imports nothing."""
)


async def tables(run: Run) -> AsyncIterator[Table]:
    contenders: dict[str, Measure] = {name: _starts(code) for name, code in _IMPORTS.items()}
    rates = await in_turns(contenders, run.pick(15, 3), 0)
    bare = 1000 / rates["nothing"].median
    rows: list[tuple[Cell, ...]] = [
        (name, 1000 / rate.median, 1000 / rate.median - bare, _modules(_IMPORTS[name])) for name, rate in rates.items()
    ]
    yield Table("Import", ("what", "ms", "added ms", "modules"), rows, _NOTE)


def _starts(code: str) -> Callable[[float], Awaitable[float]]:
    """Return the measure of one start of an interpreter that runs some code, as starts a second."""

    async def start(seconds: float) -> float:
        started = perf_counter()
        _run(code)
        return 1 / (perf_counter() - started)

    return start


def _modules(code: str) -> int:
    """Return how many modules an interpreter has after some code."""
    return int(_run(f"{code}; import sys; print(len(sys.modules))"))


def _run(code: str) -> str:
    """Return what an interpreter of its own prints."""
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
