"""What is wrong with an event, or with what an actor type says of its events."""

from __future__ import annotations

from perdure.errors._root import PerdureError


class ApplyError(PerdureError):
    """`apply` returned None for a state that cannot have been changed in place. Nothing was stored."""

    def __init__(self, persistence_id: str, event_type: str, state_type: str) -> None:
        super().__init__(persistence_id, event_type, state_type)
        self.persistence_id = persistence_id
        self.event_type = event_type
        self.state_type = state_type

    def __str__(self) -> str:
        return (
            f"{self.persistence_id}: apply returned None for {self.event_type}, and its state, an immutable "
            f"{self.state_type}, cannot have been changed in place: does apply have a case for {self.event_type}?"
        )


class EventTypeError(PerdureError, TypeError):
    """An event is none of the types that the actor declares, or a declaration cannot be used."""


class EvolutionError(PerdureError, ValueError):
    """What an `Evolution` says of `what` (an event or the state) cannot be right. It is found before anything is read.

    `owner` is the actor type, empty where the mistake is seen before it is known; `version` may be None.
    """

    def __init__(self, what: str, version: int | None, reason: str, owner: str = "") -> None:
        super().__init__(what, version, reason, owner)
        self.what = what
        self.version = version
        self.reason = reason
        self.owner = owner

    def __str__(self) -> str:
        version = "" if self.version is None else f" version {self.version}"
        owner = f"{self.owner}: " if self.owner else ""
        return f"{owner}{self.what}{version}: {self.reason}"


class InvalidTag(PerdureError, ValueError):
    """The tags of an event break a rule. Nothing was stored."""

    def __init__(self, persistence_id: str, manifest: str, reason: str) -> None:
        super().__init__(persistence_id, manifest, reason)
        self.persistence_id = persistence_id
        self.manifest = manifest
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.persistence_id}: the tags of {self.manifest} cannot be stored: {self.reason}"


class RecordTooLarge(PerdureError, ValueError):
    """A record is over the size limit. Nothing was stored."""

    def __init__(self, persistence_id: str, manifest: str, size: int, limit: int) -> None:
        super().__init__(persistence_id, manifest, size, limit)
        self.persistence_id = persistence_id
        self.manifest = manifest
        self.size = size
        self.limit = limit

    def __str__(self) -> str:
        return (
            f"{self.persistence_id}: a record of {self.manifest} has {self.size:,} bytes, over {self.limit:,}: "
            f"keep the bulk elsewhere and store a reference, or raise max_record_bytes"
        )


class UpcastError(PerdureError):
    """A stored document of `what` (an event or the state) cannot be brought to the current version.

    `version` is that of the step that failed, or that is missing; what an upcaster raised is the cause.
    """

    def __init__(self, what: str, version: int, reason: str) -> None:
        super().__init__(what, version, reason)
        self.what = what
        self.version = version
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.what} version {self.version}: {self.reason}"
