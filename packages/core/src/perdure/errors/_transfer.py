"""What goes wrong when stores are copied, written to files, and read from them."""

from __future__ import annotations

from perdure.errors._root import PerdureError


class TargetDiffers(PerdureError):
    """A target holds what the source does not: another record in the same place, a longer log, a later owner.

    Nothing that it had was changed, and a log never forks.
    """

    def __init__(self, collection: str, name: str, number: int, reason: str) -> None:
        super().__init__(collection, name, number, reason)
        self.collection = collection
        self.name = name
        self.number = number
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"the target has {self.collection}/{self.name} at {self.number}: {self.reason}; "
            f"nothing that it had was changed: use an empty target, or one that only a copy of this source has written"
        )


class DamagedLine(PerdureError):
    """A line of an exported file cannot be read, or says of itself what is not so. Lines are counted from 1."""

    def __init__(self, file: str, line: int, reason: str) -> None:
        super().__init__(file, line, reason)
        self.file = file
        self.line = line
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}: {self.reason}"
