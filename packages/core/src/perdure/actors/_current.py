"""Which actor's code is running: also in the tasks that it starts, for they inherit its context variables."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from perdure.actors._cell import Cell

current: ContextVar[Cell | None] = ContextVar("perdure_actor", default=None)
