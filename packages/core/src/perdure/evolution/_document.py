"""Stored events and states before they are objects of any class."""

from __future__ import annotations

from typing import Any

import msgspec


class Document(msgspec.Struct, frozen=True):
    """What was stored of an event: its type's stable name, the version of its schema, and its fields as plain data."""

    manifest: str
    version: int
    content: Any
    """Mostly a dict of fields; a list for a type that is stored as one; anything for a state."""
