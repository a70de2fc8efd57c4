"""Measures of memory and handles, in processes that have done nothing else."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
from collections.abc import Callable, Coroutine
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any, ParamSpec, TypeVar

import psutil

P = ParamSpec("P")
T = TypeVar("T")


def apart(measure: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """Measure in a new process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measured, partial(measure, *args, **kwargs)).result()


def _measured(measure: Callable[[], Coroutine[Any, Any, T]]) -> T:
    return asyncio.run(measure())


def taken() -> tuple[int, int]:
    """Return the bytes that are resident, and how many objects the collector tracks, when it has collected."""
    gc.collect()
    return resident(), len(gc.get_objects())


def resident() -> int:
    """Return the bytes of this process that are resident."""
    return int(psutil.Process().memory_info().rss)
