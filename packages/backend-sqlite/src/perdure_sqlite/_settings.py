"""Where the file is and how SQLite is set up for it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import msgspec

from perdure.abc import Durability, MachineSpec
from perdure.errors import CreateStoreError

_MIB = 1024 * 1024

_CHECKPOINT_PAGES = 1000
"""Pages in the log before it is brought into the main file.

A log that does not grow is overwritten in place, and a sync of it changes no metadata: a lone commit took 0.33 ms with
8,000 pages, to which the reference goes on large machines, and 0.25 ms with 1,000.
"""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What an opener may choose.

    `busy_timeout`: seconds to wait for another process's write. `readers`: threads that read, with a connection each.
    """

    path: Path
    durability: Durability = "full"
    machine: MachineSpec | None = None
    busy_timeout: float = 5.0
    readers: int = 2

    @classmethod
    def of_url(cls, url: str, durability: Durability, machine: MachineSpec | None) -> Settings:
        """Read `sqlite:///PATH?busy_timeout=SECONDS&readers=N`. Raises `CreateStoreError` saying what is wrong."""
        if lost := sorted(set(url) & set("#\t\r\n")):
            escapes = ", ".join(f"{quote(character)} for {character!r}" for character in lost)
            raise CreateStoreError("open", f"{url!r}: in a URL write {escapes}")
        parts = urlsplit(url)
        path = unquote(parts.path.removeprefix("/"))
        if parts.netloc or not path or "\0" in path:
            raise CreateStoreError(
                "open", f"{url!r} names no file: write sqlite:///bank.db, or sqlite:////var/lib/bank.db"
            )
        if path == ":memory:":
            raise CreateStoreError("open", "perdure-sqlite keeps files; for a store in memory use memory://")
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        if unknown := options.keys() - {"busy_timeout", "readers"}:
            raise CreateStoreError(
                "open", f"{url!r}: unknown options {sorted(unknown)}; there are busy_timeout and readers"
            )
        try:
            seconds = float(options.get("busy_timeout", "5"))
            readers = int(options.get("readers", "2"))
        except ValueError as error:
            raise CreateStoreError("open", f"{url!r}: {error}") from error
        if not 0 <= seconds <= 3600 or not 1 <= readers <= 64:
            raise CreateStoreError("open", f"{url!r}: busy_timeout is 0 to 3600 seconds, readers are 1 to 64")
        return cls(path=Path(path), durability=durability, machine=machine, busy_timeout=seconds, readers=readers)

    def is_missing(self) -> bool:
        """Tell whether a store would be made. Raises `CreateStoreError` where that cannot be seen."""
        try:
            return not self.path.exists() or (self.path.is_file() and not self.path.stat().st_size)
        except OSError as error:
            raise CreateStoreError("open", f"{self.path} cannot be used: {error.strerror}") from error

    def pragmas(self) -> list[str]:
        """Return the statements that set up each connection; the cache takes 2 % of the memory."""
        machine = MachineSpec.of(self.machine)
        cache_mib = min(1024, max(8, machine.ram_mb * 2 // 100))
        return [
            f"PRAGMA busy_timeout = {int(self.busy_timeout * 1000)}",
            f"PRAGMA synchronous = {'FULL' if self.durability == 'full' else 'NORMAL'}",
            f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}",
            f"PRAGMA journal_size_limit = {32 * _MIB}",
            f"PRAGMA cache_size = {-cache_mib * 1024}",
            f"PRAGMA mmap_size = {min(128, cache_mib // 2) * _MIB}",
            "PRAGMA temp_store = MEMORY",
        ]
