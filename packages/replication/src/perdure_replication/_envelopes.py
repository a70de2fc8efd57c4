"""Values with what is known of them: a state as it is stored, a view as it is held."""

from __future__ import annotations

from typing import Any, Generic, Literal, TypeVar

import msgspec

from perdure_replication._generation import Generation

V = TypeVar("V")


class StateObject(msgspec.Struct, frozen=True, array_like=True):
    """A shard as it is stored."""

    state: str
    generation: Generation
    storage_version: int
    created: int
    """When the shard began, in milliseconds since 1970; a restart does not change it."""
    modified: int
    """When its last mutation was made, likewise."""
    value: bytes


class StateView(msgspec.Struct, Generic[V], frozen=True):
    """What a node holds of a shard, its own or another's."""

    node: str
    generation: Generation
    view: V
    version: int
    """The wire version in which it came; of the own shard, the one in which it goes out."""
    created: int
    """When the shard began, in milliseconds since 1970 on its owner's clock."""
    modified: int
    """When its last mutation was made, likewise."""
    synced_at: float
    """The moment at which it was surely current, in seconds of the own monotonic clock; minus infinity if unknown."""
    pending: Generation | None
    """What the owner is known to have beyond it."""


class Change(msgspec.Struct, Generic[V], frozen=True):
    """A view has moved on, or is gone."""

    state: str
    node: str
    generation: Generation
    """Of the view; of the last view, where it is gone."""
    view: V | None
    kind: Literal["updated", "removed"] = "updated"


class Freshness(msgspec.Struct, frozen=True):
    """Which members' views are not as fresh as asked for. All empty: all are."""

    stale: tuple[str, ...] = ()
    """Held, and too old, or known to be overtaken."""
    missing: tuple[str, ...] = ()
    """Nothing is held, and the member is not known to have no such state."""
    incompatible: tuple[str, ...] = ()
    """The member's last view cannot be read here; an older one may be held."""
    unreachable: tuple[str, ...] = ()
    """Those among the former that the membership cannot reach."""

    @property
    def is_fresh(self) -> bool:
        return not (self.stale or self.missing or self.incompatible)


class _Absent:
    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Any = _Absent()
"""Stands where there is no view: None may be one."""
