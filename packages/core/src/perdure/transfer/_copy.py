"""Copying a store into another, of whatever kind."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager

from perdure.abc import Backend
from perdure.errors import StoreMissing
from perdure.memory import MemoryBackend
from perdure.transfer._comparison import Comparison
from perdure.transfer._damage import Inspection
from perdure.transfer._fork import name_of, note_source, refuse_fork
from perdure.transfer._landing import Landed, Landing
from perdure.transfer._walk import Walk
from perdure.upkeep._opened import opened


class Copied(Landed, kw_only=True):
    """What a copy has done, as far as it has come."""


async def copy(
    source: str | Backend,
    target: str | Backend,
    *,
    skip_damaged: bool = False,
    dry_run: bool = False,
    progress: Callable[[Copied], object] | None = None,
) -> Copied:
    """Copy all that systems have in a store into another; when this returns, it is durable and was compared.

    Copied are events in the order of their commits, snapshots, states, durable states, archived events, owners with
    their epochs, and what a sealed store needs, each as bytes: no keys are taken, and numbers, times, tags and seals
    are what they were. A system goes on from the target as from the source. Offsets of streams are not those of the
    source: who has stored one begins anew. What is in other stores (snapshots and archives elsewhere) stays there, and
    so does what a program, or a node of perdure-replication, keeps in the store for itself.

    Others may write the source. Copied is at least what was durable when this was called; each actor is as it was at
    one moment since, its snapshots and its state covered by its events. Call it again for what came later. Nobody else
    writes the target.

    It can be killed at any moment: the next call reads the source from its beginning again, and writes what the target
    has not. `progress` is told after each page. Memory does not grow with the source, but with the actors that are
    written while it is copied. With `dry_run` nothing is written, and no target made: it counts what would be.

    Raises `TargetDiffers` before anything is written to a target that has, under a name of the source, other records,
    a longer log or a later owner; `CorruptionError` naming the first record that is damaged, or missing in the midst of
    a log, and with `skip_damaged` copies the others, lists it, and leaves what the target has in its place: so a backup
    is brought up to a store that is damaged. `StoreError`: mend what it says, and call again.
    """
    if source == target:
        raise ValueError("source and target are one store: give two")
    tell = progress or _silent
    result = Copied()
    async with opened(source, create=False) as one, _opened_target(target, dry_run=dry_run) as other:
        inspection = Inspection(result, skip=skip_damaged)
        await refuse_fork(one, other, name_of(source), inspection)
        if not dry_run:
            await note_source(other, name_of(source))
        walk, landing = Walk(one, inspection), Landing(other, result, dry_run=dry_run)
        async with aclosing(walk.parts()) as parts:
            async for part in parts:
                result.stage = walk.stage
                await landing.take(part)
                tell(result)
        if not dry_run:
            result.stage = "compare"
            await Comparison(one, other, inspection, result, lambda: tell(result)).run(walk.feeds)
    return result


@asynccontextmanager
async def _opened_target(target: str | Backend, *, dry_run: bool) -> AsyncGenerator[Backend, None]:
    """Yield an open target; in a dry run one that is not there is taken for an empty one."""
    try:
        async with opened(target, create=not dry_run) as backend:
            yield backend
    except StoreMissing:
        yield MemoryBackend()


def _silent(_: object) -> None:
    return
