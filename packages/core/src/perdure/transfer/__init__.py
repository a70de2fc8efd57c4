"""Moving whole stores: copy one into another."""

from perdure.transfer._copy import Copied, copy

__all__ = ["Copied", "copy"]
