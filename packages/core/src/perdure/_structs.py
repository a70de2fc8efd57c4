"""Frozen msgspec structs that type checkers know to be frozen."""

from __future__ import annotations

from typing import dataclass_transform

import msgspec


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class FrozenMeta(msgspec.StructMeta):
    """The metaclass of messages and events: their subclasses are frozen without saying so."""
