"""The root of all errors."""

from __future__ import annotations


class PerdureError(Exception):
    """The root of all errors that perdure raises on purpose."""
