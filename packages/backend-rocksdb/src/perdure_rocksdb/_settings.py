"""Where the folder is, and how it is opened."""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import msgspec

from perdure.abc import Durability, MachineSpec
from perdure.errors import CreateStoreError

_CHOICES = {"mode": ("rw", "ro"), "wal": ("whole", "cut")}


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What an opener may choose.

    `mode`: `ro` reads beside the process that writes, and writes nothing. `wal`: `cut` opens a store whose write-ahead
    log is damaged with what comes before the damage; otherwise it is refused.
    """

    path: Path
    durability: Durability = "full"
    machine: MachineSpec | None = None
    mode: Literal["rw", "ro"] = "rw"
    wal: Literal["whole", "cut"] = "whole"

    @classmethod
    def of_url(cls, url: str, durability: Durability, machine: MachineSpec | None) -> Settings:
        """Read `rocksdb:///PATH?mode=ro&wal=cut`. Raises `CreateStoreError` saying what is wrong."""
        if lost := sorted(set(url) & set("#\t\r\n")):
            escapes = ", ".join(f"{quote(character)} for {character!r}" for character in lost)
            raise CreateStoreError("open", f"{url!r}: in a URL write {escapes}")
        parts = urlsplit(url)
        path = unquote(parts.path.removeprefix("/"))
        if parts.netloc or not path or "\0" in path:
            raise CreateStoreError(
                "open", f"{url!r} names no folder: write rocksdb:///bank, or rocksdb:////var/lib/bank"
            )
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        if unknown := options.keys() - _CHOICES.keys():
            raise CreateStoreError("open", f"{url!r}: unknown options {sorted(unknown)}; there are mode and wal")
        for name, value in options.items():
            if value not in _CHOICES[name]:
                raise CreateStoreError("open", f"{url!r}: {name} is {' or '.join(_CHOICES[name])}, not {value!r}")
        return msgspec.convert(
            {"path": Path(path), "durability": durability, "machine": machine, **options}, cls, from_attributes=True
        )

    def is_missing(self) -> bool:
        """Tell whether a store would be made, or nothing could. Raises `CreateStoreError` where that cannot be seen."""
        try:
            return not self.path.is_file() and not (self.path / "CURRENT").exists()
        except OSError as error:
            raise CreateStoreError("open", f"{self.path} cannot be used: {error.strerror}") from error
