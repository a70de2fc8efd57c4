"""Reading a store from a file."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Sized
from contextlib import aclosing

import zstandard

from perdure.abc import Backend, FeedRecord
from perdure.errors import DamagedLine
from perdure.transfer._damage import Inspection
from perdure.transfer._files import File, lines_in
from perdure.transfer._landing import Landed, Landing
from perdure.transfer._lines import (
    FORMAT,
    Digest,
    EndLine,
    EntryLine,
    Head,
    Line,
    LineError,
    RemovedLine,
    StateLine,
    entry_of,
    line_of,
    removal_of,
    value_of,
)
from perdure.transfer._parts import Part, Records, Removal, Removals, Value, Values
from perdure.upkeep._opened import opened

_MOST = 1000
_BYTES = 4 * 1024 * 1024


class Imported(Landed, kw_only=True):
    """What was read from a file, and written, as far as it has come."""

    lines: int = 0


async def import_(
    file: File,
    store: str | Backend,
    *,
    skip_damaged: bool = False,
    progress: Callable[[Imported], object] | None = None,
) -> Imported:
    """Write what a file of `export` has into a store; when this returns, it is durable.

    A file that is given by its name is looked through first, so nothing of one that was cut, or changed, is written;
    one that is given open is told to be so in the end. It can be killed at any moment, and begun again: what is there
    is compared with the line, and passed over. Nobody else writes the store.

    Raises `DamagedLine` for the first line that cannot be read, or is not what it was; with `skip_damaged` it is left
    out and listed. `TargetDiffers` when the store holds another record in a place of the file; `StoreError`; `OSError`.
    """
    tell = progress or _silent
    result = Imported(stage="look")
    reader = Reader(file, Inspection(result, skip=skip_damaged))
    if isinstance(file, (str, os.PathLike)) and not skip_damaged:
        await reader.look()
    async with opened(store) as backend:
        landing = Landing(backend, result, compares=True)
        async with aclosing(reader.parts()) as parts:
            async for part in parts:
                result.stage = "lines"
                await landing.take(part)
                result.lines = reader.number
                tell(result)
    result.lines = reader.number
    return result


def _silent(_: object) -> None:
    return


class Reader:
    """Goes through a file."""

    def __init__(self, file: File, inspection: Inspection) -> None:
        self.number = 0
        """How many lines were read."""
        self._file = file
        self._name = os.fspath(file) if isinstance(file, (str, os.PathLike)) else getattr(file, "name", "the file")
        self._inspection = inspection

    async def look(self) -> None:
        """Raise `DamagedLine` unless the file is whole. Only where it is not, its lines are read one by one."""
        digest, last = Digest(), b""
        async with aclosing(self._lines()) as read:
            async for lines in read:
                self.number += len(lines)
                lines = [last, *lines] if last else lines
                last = lines.pop()
                digest.add(b"".join(lines), len(lines))
        try:
            line = line_of(last) if last else None
        except LineError:
            line = None
        if not isinstance(line, EndLine) or line.end != digest.end:
            async with aclosing(self.parts()) as parts:
                async for _ in parts:
                    pass
        self.number = 0

    async def parts(self) -> AsyncGenerator[Part, None]:
        """Yield what the lines say. Raises `DamagedLine`."""
        self.number = 0
        digest = Digest()
        ended = False
        pending = _Pending()
        async with aclosing(self._lines()) as read:
            async for lines in read:
                for data in lines:
                    self.number += 1
                    if (line := self._line(data)) is None:
                        pass
                    elif ended:
                        self._report("it is behind the last line")
                    elif isinstance(line, EndLine):
                        ended = True
                        self._check_end(line, digest)
                    elif (part := self._add(pending, line)) is not None:
                        yield part
                    if not ended:
                        digest.add(data, 1)
        for part in pending.all():
            yield part
        if not ended:
            self._report("the file ends here without its last line: it was cut, so export again")

    def _line(self, data: bytes) -> Line | None:
        """Return what a line says, None for one that is damaged."""
        try:
            line = line_of(data)
            if isinstance(line, Head) is not (self.number == 1):
                raise LineError("it is not the first line of an export" if self.number == 1 else "it is a first line")
            if isinstance(line, Head) and (line.perdure != "export" or line.format != FORMAT):
                raise LineError(f"it is of format {line.format}, unknown to this version of perdure")
        except LineError as error:
            self._report(str(error))
            return None
        return line

    def _add(self, pending: _Pending, line: Line) -> Part | None:
        """Take a line; return what is together now, if it goes no further."""
        try:
            match line:
                case EntryLine():
                    return pending.entry(line.collection, entry_of(line))
                case StateLine():
                    return pending.value(value_of(line))
                case RemovedLine():
                    return pending.removal(removal_of(line))
                case _:
                    return None
        except LineError as error:
            self._report(str(error))
            return None

    def _check_end(self, line: EndLine, digest: Digest) -> None:
        end = digest.end
        if line.end.lines != end.lines:
            self._report(f"{end.lines:,} lines are before it, and {line.end.lines:,} were written: export again")
        elif line.end.sha256 != end.sha256:
            self._report("a line before it was changed, though each can be read: the digest is not theirs")

    def _report(self, reason: str) -> None:
        self._inspection.report(DamagedLine(self._name, self.number, reason))

    async def _lines(self) -> AsyncGenerator[list[bytes], None]:
        """Yield lines. Raises `DamagedLine` behind the last of them where the compressed file is damaged."""
        try:
            async with aclosing(lines_in(self._file)) as read:
                async for lines in read:
                    yield lines
        except (EOFError, zstandard.ZstdError, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise DamagedLine(self._name, self.number + 1, f"the compressed file is damaged: {error}") from error


class _Pending:
    """Lines that are of one part."""

    def __init__(self) -> None:
        self._part: Part | None = None
        self._size = 0

    def entry(self, collection: str, record: FeedRecord) -> Part | None:
        self._size += len(record.value)
        if isinstance(self._part, Records) and self._part.collection == collection and self._has_room(self._part[1]):
            self._part.records.append(record)
            return None
        return self._begin(Records(collection, [record]), len(record.value))

    def value(self, value: Value) -> Part | None:
        self._size += len(value.value)
        if isinstance(self._part, Values) and self._has_room(self._part.values):
            self._part.values.append(value)
            return None
        return self._begin(Values([value]), len(value.value))

    def removal(self, removal: Removal) -> Part | None:
        if isinstance(self._part, Removals) and self._has_room(self._part.removals):
            self._part.removals.append(removal)
            return None
        return self._begin(Removals([removal]), 0)

    def all(self) -> list[Part]:
        """Return what is left."""
        return [] if self._part is None else [self._part]

    def _begin(self, part: Part, size: int) -> Part | None:
        whole, self._part, self._size = self._part, part, size
        return whole

    def _has_room(self, some: Sized) -> bool:
        return len(some) < _MOST and self._size < _BYTES
