"""Writing a store to a file."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from datetime import UTC, datetime

from perdure.abc import Backend, FeedRecord
from perdure.errors import SubjectForgotten
from perdure.journal import EVENTS
from perdure.security import Keyring, Sealing, Vault, sealing_of
from perdure.transfer._damage import Damages, Inspection
from perdure.transfer._files import File, Writing
from perdure.transfer._lines import Digest, first_line, last_line, lines_of
from perdure.transfer._parts import Part, Records, Removals, Values
from perdure.transfer._walk import Walk
from perdure.upkeep._opened import opened


class Exported(Damages, kw_only=True):
    """What was written to a file, as far as it has come."""

    stage: str = "events"
    """What is being read: "events", "actors" (what is beside their events), "durable", "archive", "keys"."""
    events: int = 0
    states: int = 0
    """Whatever else was written: snapshots, states of all kinds, archived events, keys."""
    lines: int = 0
    bytes: int = 0
    """Bytes of the lines, before they are compressed."""


async def export(
    store: str | Backend,
    file: File,
    *,
    sealing: Sealing | Keyring | None = None,
    skip_damaged: bool = False,
    progress: Callable[[Exported], object] | None = None,
) -> Exported:
    """Write all that systems have in a store to a file of JSON lines; when this returns, it is durable, in its place.

    `import_` makes of it a store with the same bytes; what the lines say stands in `docs/moving-stores.md`. A name that
    ends with `.gz` or `.zst` has it compressed. The file is written beside its place, so none that is there is
    lost to one that is not whole. With a `sealing` sealed records can be read in it, too: then keep it as you would the
    keys. Others may write the store; what the file has of them, and the memory that it takes, is as for `copy`.

    Raises `CorruptionError` naming the first damaged record, and with `skip_damaged` leaves such out and lists them;
    `StoreError`; `SealError` or `SealedStore` when the sealing is not that of the store; `OSError`.
    """
    tell = progress or _silent
    result = Exported()
    async with opened(store, create=False) as backend:
        keys = _Keys(backend, sealing)
        await keys.open()
        writing = Writing(file)
        try:
            walk = Walk(backend, Inspection(result, skip=skip_damaged))
            digest = Digest()
            await _write(writing, digest, first_line(datetime.now(UTC)), 1)
            async with aclosing(walk.parts()) as parts:
                async for part in parts:
                    result.stage = walk.stage
                    await keys.look_up(part)
                    data, lines = lines_of(part, keys.opened)
                    await _write(writing, digest, data, lines)
                    _count(result, part, len(data))
                    tell(result)
            result.lines = digest.lines + 1
            await writing.write(last_line(digest.end))
            await writing.finish()
        finally:
            await writing.give_up()
    return result


async def _write(writing: Writing, digest: Digest, data: bytes, lines: int) -> None:
    digest.add(data, lines)
    await writing.write(data)


def _count(result: Exported, part: Part, size: int) -> None:
    result.bytes += size
    match part:
        case Records(collection, records) if collection == EVENTS:
            result.events += len(records)
        case Records(_, others):
            result.states += len(others)
        case Values(values):
            result.states += len(values)
        case Removals():
            return


def _silent(_: object) -> None:
    return


class _Keys:
    """Opens records, where there are keys."""

    def __init__(self, backend: Backend, sealing: Sealing | Keyring | None) -> None:
        given = sealing_of(sealing)
        self._vault = None if given is None else Vault(backend, given)

    async def open(self) -> None:
        if self._vault is not None:
            await self._vault.open()

    async def look_up(self, part: Part) -> None:
        """Have the keys of the subjects of some records at hand."""
        if self._vault is not None and isinstance(part, Records):
            await self._vault.look_up(record.value for record in part.records)

    def opened(self, collection: str, record: FeedRecord) -> bytes | None:
        """Return a record as it was before it was sealed, None where nobody can open it, or it is a key.

        Raises `CorruptionError`.
        """
        if self._vault is None or collection == "subject_keys":
            return None
        kind = EVENTS if collection == "archive" else collection
        try:
            return self._vault.opened(kind, *record)
        except SubjectForgotten:
            return None
