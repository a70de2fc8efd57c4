"""What was found, as text."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from perdure.cli._console import visible
from perdure.journal import is_model


def as_json(value: object) -> str:
    """Return a value as JSON in one line. Bytes are in base64, what JSON cannot say is its `repr`."""
    return msgspec.json.encode(_speakable(value), enc_hook=_dumped).decode()


def _dumped(value: Any) -> object:
    """Return what a pydantic model dumps, and of anything else how it looks."""
    return _speakable(value.model_dump()) if is_model(type(value)) else repr(value)


def _speakable(value: object) -> object:
    """Return a value whose maps have keys that JSON can have."""
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else cell(key): _speakable(held) for key, held in value.items()}
    if isinstance(value, list | tuple):
        return [_speakable(held) for held in value]
    return value


def cell(value: object) -> str:
    """Return a value as the text of a cell, in one line."""
    match value:
        case None:
            return ""
        case str():
            return visible(value)
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        case list() | tuple() if all(isinstance(held, str) for held in value):
            return visible(", ".join(value))
        case _:
            return visible(as_json(value))


def heading(column: str) -> str:
    """Return the name of a column as people read it."""
    return column.replace("_", " ")
