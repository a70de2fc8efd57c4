"""Files of lines: plain, `.gz` or `.zst` by their name. None is seen under its name before it is whole."""

from __future__ import annotations

import asyncio
import gzip
import os
from collections.abc import AsyncGenerator
from contextlib import ExitStack, suppress
from errno import EISDIR
from pathlib import Path
from typing import IO, Any, ClassVar, Protocol, TypeAlias

import zstandard

File: TypeAlias = str | os.PathLike[str] | IO[bytes]

_CHUNK = 1 << 20


class _Sink(Protocol):
    def write(self, data: bytes, /) -> object: ...

    def close(self) -> None: ...


class _Source(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Writing:
    """A file that is being written beside its place, and put there when it is whole.

    What is given open is written as it is, and stays open. One write is under way while the next is made.
    """

    _GZIP_LEVEL: ClassVar[int] = 3

    def __init__(self, file: File) -> None:
        """Begin it. Raises `OSError` when it cannot be made."""
        self._writing: asyncio.Future[Any] | None = None
        self._stack = ExitStack()
        self._place: Path | None = None
        if isinstance(file, (str, os.PathLike)):
            self._place = Path(file)
            if self._place.is_dir():
                raise IsADirectoryError(EISDIR, os.strerror(EISDIR), str(self._place))
            self._raw: IO[bytes] = self._stack.enter_context(self._part.open("wb"))
            self._file: _Sink = self._compressing(self._place.suffix)
        else:
            self._raw = self._file = file

    @property
    def _part(self) -> Path:
        assert self._place is not None
        return part_of(self._place)

    def _compressing(self, suffix: str) -> _Sink:
        if suffix == ".gz":
            return gzip.GzipFile("", "wb", self._GZIP_LEVEL, self._raw, mtime=0)
        if suffix == ".zst":
            return zstandard.ZstdCompressor().stream_writer(self._raw, closefd=False)
        return self._raw

    async def write(self, data: bytes) -> None:
        """Add to it. Raises `OSError`, also of the write before."""
        await self._written()
        self._writing = asyncio.ensure_future(asyncio.to_thread(self._file.write, data))

    async def finish(self) -> None:
        """Have it durable, and in its place. Raises `OSError`."""
        await self._written()
        self._writing = asyncio.ensure_future(asyncio.to_thread(self._finish))
        await self._written()

    async def _written(self) -> None:
        if self._writing is not None:
            await asyncio.shield(self._writing)
            self._writing = None

    def _finish(self) -> None:
        if self._file is not self._raw:
            self._file.close()
        self._raw.flush()
        if self._place is not None:
            os.fsync(self._raw.fileno())
            self._stack.close()
            put_in_place(self._part, self._place)

    async def give_up(self) -> None:
        """Leave nothing of what is not whole. May be called when it is finished."""
        if self._writing is not None:
            await asyncio.wait([self._writing])  # a file has one user at a time
            if not self._writing.cancelled():
                self._writing.exception()
        if self._place is None:
            return
        with suppress(OSError, ValueError):
            self._file.close()
        with suppress(OSError):
            self._stack.close()
        self._part.unlink(missing_ok=True)


def part_of(place: Path) -> Path:
    """Return where a file is while it is not whole."""
    return place.with_name(f"{place.name}.part")


def put_in_place(part: Path, place: Path) -> None:
    """Give a whole file its name, durably. Raises `OSError`."""
    part.replace(place)
    _sync_folder(place.parent)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # has no such thing
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


async def lines_in(file: File) -> AsyncGenerator[list[bytes], None]:
    """Yield the lines of a file with their ends, some at a time. The last one may have none.

    Raises `OSError`, and for a compressed file that is damaged `EOFError` or `zstandard.ZstdError`.
    """
    with ExitStack() as stack:
        source = _opened(Path(file), stack) if isinstance(file, (str, os.PathLike)) else file
        rest = b""
        reading = asyncio.ensure_future(asyncio.to_thread(source.read, _CHUNK))
        try:
            while chunk := await reading:
                reading = asyncio.ensure_future(asyncio.to_thread(source.read, _CHUNK))
                lines = (rest + chunk).splitlines(keepends=True) if rest else chunk.splitlines(keepends=True)
                rest = b"" if lines[-1].endswith(b"\n") else lines.pop()
                if lines:
                    yield lines
        finally:
            await asyncio.gather(reading, return_exceptions=True)  # nothing reads a file that is closed
        if rest:
            yield [rest]


def _opened(path: Path, stack: ExitStack) -> _Source:
    raw = stack.enter_context(path.open("rb"))
    if path.suffix == ".gz":
        return stack.enter_context(gzip.GzipFile(fileobj=raw))
    if path.suffix == ".zst":
        return zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True, closefd=False)
    return raw
