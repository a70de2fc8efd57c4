"""The file: each write is a line, and each commit ends with a line that names where it began and its checksum.

What counts is what stands before a commit line whose checksum is right. Behind the last one there may be a commit that
was not finished: it was never acknowledged, and is cut off. Damage before a commit line that begins *behind* it lies in
what was acknowledged: such a file is refused, for nothing may be lost in silence.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from io import FileIO
from pathlib import Path
from zlib import crc32

from perdure.abc import Conflict, Durability, Write, WriteGroup
from perdure.errors import CreateStoreError, OutcomeUnknown, StoreError, StoreUnavailable
from perdure_jsonl._index import Index, Place
from perdure_jsonl._lines import Commit, decoded, encoded, value_of

_HEADER = b'{"perdure_jsonl":1}\n'


class Journal:
    """The open file and its index. All that it does may wait for the disk: call it in a thread, one at a time."""

    def __init__(self, path: Path, durability: Durability) -> None:
        self._path = path
        self._syncs = durability == "full"
        self._file = path.open("a+b", buffering=0)
        try:
            self._lock()
            self._write_header()
            self._load()
        except BaseException:
            self._file.close()
            raise

    def commit(self, groups: Sequence[WriteGroup]) -> list[Conflict | None]:
        """Apply the groups and append them, in one sync."""
        prepared = [[(write, encoded(write), len(value_of(write))) for write in group.writes] for group in groups]
        index = self.index
        self._settled = False  # until the file has what the index has
        outcomes: list[Conflict | None] = []
        lines: list[bytes] = []
        offset = self._end
        for group, writes in zip(groups, prepared, strict=True):
            conflict = index.conflict(group)
            outcomes.append(conflict)
            for write, line, size in writes if conflict is None else ():
                index.apply(write, Place(offset, len(line), size))
                offset += len(line)
                lines.append(line)
        if lines:
            self._append(lines)
        self._settled = True
        return outcomes

    @property
    def index(self) -> Index:
        """What the file holds, and nothing that it does not hold; after a failed commit it is read again."""
        if not self._settled:
            self._load(self._end)
        return self._index

    def value(self, place: Place) -> bytes:
        """Read the value that a line holds. Raises `StoreError` when it can no longer be read."""
        line = os.pread(self._file.fileno(), place.length, place.offset)
        if (record := decoded(line)) is None or len(value := value_of(record)) != place.size:
            raise StoreError("read", f"{self._path} is damaged at byte {place.offset:,}: restore it from a backup")
        return value

    def close(self) -> None:
        """Release the file, and with it the lock."""
        self._file.close()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CreateStoreError("open", f"{self._path} is open already, here or in another process") from error

    def _write_header(self) -> None:
        """Write the header of a new file, and make its name durable; refuse a file that is none of ours."""
        start = os.pread(self._file.fileno(), len(_HEADER), 0)
        if not _HEADER.startswith(start):
            raise CreateStoreError("open", f"{self._path} is no store of perdure-jsonl: it is left as it is")
        if start != _HEADER:
            self._file.truncate(0)
            self._write(_HEADER)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            self._sync(folder)
        finally:
            os.close(folder)

    def _load(self, known: int | None = None) -> None:
        """Make the index from the file; cut off first what is behind the `known` end, and then what is no commit."""
        self._settled = False
        if known is not None:
            self._file.truncate(known)
        self._index, self._end = self._replay()
        self._file.truncate(self._end)
        self._sync(self._file)  # a killed process may have written the last commit and not synced it
        self._settled = True

    def _replay(self) -> tuple[Index, int]:
        """Return the index of all whole commits, and where the last of them ends."""
        index, end = Index(), len(_HEADER)
        pending: list[tuple[Write, Place]] = []
        crc, torn = 0, False
        for offset, line in self._lines():
            record = decoded(line)
            if isinstance(record, Commit) and record.start > end:
                raise CreateStoreError("open", f"{self._path} is damaged behind byte {end:,}: restore it from a backup")
            if torn or record is None or (isinstance(record, Commit) and record != Commit(end, crc)):
                torn = True  # look on: a later commit would say that this one was whole
            elif isinstance(record, Commit):
                for write, place in pending:
                    index.apply(write, place)
                end, pending, crc = offset + len(line), [], 0
            else:
                pending.append((record, Place(offset, len(line), len(value_of(record)))))
                crc = crc32(line, crc)
        return index, end

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        with self._path.open("rb") as file:
            offset = file.seek(len(_HEADER))
            for line in file:
                yield offset, line
                offset += len(line)

    def _append(self, lines: list[bytes]) -> None:
        """Write a commit durably. Raises `StoreUnavailable` when it is surely not written, else `OutcomeUnknown`."""
        data = b"".join(lines)
        data += encoded(Commit(self._end, crc32(data)))
        try:
            self._write(data)
        except OSError as error:
            try:
                self._load(self._end)
            except (OSError, StoreError) as again:
                raise OutcomeUnknown("commit", f"{self._path}: {error}, then {again}") from error
            raise StoreUnavailable("commit", f"{self._path}: {error}; nothing was written") from error
        self._end += len(data)

    def _write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[os.write(self._file.fileno(), left) :]
        self._sync(self._file)

    def _sync(self, file: FileIO | int) -> None:
        if self._syncs:
            os.fsync(file)
