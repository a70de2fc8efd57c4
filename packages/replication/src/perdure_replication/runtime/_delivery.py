"""Changes of a replicated state as messages to an actor."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from perdure.errors import ActorStopped, AskTimeout
from perdure_replication._fields import fields
from perdure_replication._replica import Replica
from perdure_replication.runtime._ref import LocalRef

_log = logging.getLogger("perdure.replication")


class Delivery:
    """Sends an actor what changes, one change after the other. Made by `ActorRuntime.deliver_changes`."""

    def __init__(self, replica: Replica[Any, Any, Any], ref: LocalRef[Any], forget: Callable[[Delivery], None]) -> None:
        self._changes = replica.changes({})
        self._ref = ref
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._run())
        self._task.add_done_callback(lambda _: forget(self))

    def cancel(self) -> None:
        """Send no more. May be called again, and from any thread."""
        try:
            self._loop.call_soon_threadsafe(self._task.cancel)
        except RuntimeError:
            pass  # the loop is closed, and the task with it

    async def _run(self) -> None:
        try:
            async for change in self._changes:
                await self._hand(change)
        except ActorStopped:
            pass
        finally:
            await self._changes.aclose()

    async def _hand(self, change: object) -> None:
        """Have a change handled; what the handler raises is its own matter."""
        try:
            await self._ref.ask(change)
        except ActorStopped:
            raise
        except AskTimeout as error:
            text = "%s has not handled a change for so long that the next is sent"
            _log.warning(text, self._ref.name, extra=fields(actor=self._ref.name, error=error))
        except Exception as error:
            _log.exception("%s failed on a change", self._ref.name, extra=fields(actor=self._ref.name, error=error))
