"""What is stored and cannot be trusted."""

from __future__ import annotations

from perdure.errors._root import PerdureError


class CorruptionError(PerdureError):
    """A stored record is missing, damaged or not understood."""

    def __init__(self, persistence_id: str, sequence_number: int, reason: str, number: str = "sequence number") -> None:
        super().__init__(persistence_id, sequence_number, reason, number)
        self.persistence_id = persistence_id
        self.sequence_number = sequence_number
        self.reason = reason
        self.number = number

    def __str__(self) -> str:
        return f"{self.persistence_id}, {self.number} {self.sequence_number}: {self.reason}"


class DamagedSnapshot(CorruptionError):
    """What is stored for a snapshot is not what was saved. Those with lesser sequence numbers may be whole."""


class ChainBroken(CorruptionError):
    """What is stored is not that of which its chain, or an anchor, tells: it was removed, put in, or exchanged."""


class RolledBack(ChainBroken):
    """A durable state is one from before its anchor, or gone."""

    def __init__(self, persistence_id: str, sequence_number: int, anchored: int) -> None:
        Exception.__init__(self, persistence_id, sequence_number, anchored)
        self.persistence_id = persistence_id
        self.sequence_number = sequence_number
        self.anchored = anchored
        self.reason = f"the state is of this revision, and an anchor has known it at {anchored}: restore it"
        self.number = "revision"


class TailCut(ChainBroken):
    """A log ends before its anchored head."""

    def __init__(self, persistence_id: str, sequence_number: int, anchored: int) -> None:
        Exception.__init__(self, persistence_id, sequence_number, anchored)
        self.persistence_id = persistence_id
        self.sequence_number = sequence_number
        self.anchored = anchored
        self.reason = f"the log ends here, and an anchor has known it up to {anchored}: its tail was cut off"
        self.number = "sequence number"
