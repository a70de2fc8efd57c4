"""What users inherit."""

from __future__ import annotations

import inspect
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, ClassVar

from perdure.actors._supervision import Restart, Supervision
from perdure.actors._views import Known, Life

if TYPE_CHECKING:
    from perdure.actors._context import Context


class Actor:
    """An object that handles one message at a time.

    Subclasses write `handle`, and may write the hooks and set the class attributes. `__init__` takes the arguments
    given to `spawn`, and none when the actor is reached by `ActorSystem.ref`.

    For each instance: `started`, then `handle` for each message, then `restarting` when it failed and another takes its
    place, or `stopping` when the actor stops, is put away, or did not get through `started`. Before the last hook its
    children are over and its timers cancelled.
    """

    type_name: ClassVar[str] = ""
    """The stable name of the type in paths and persistence ids; by default the class's name."""

    supervision: ClassVar[Supervision] = Restart()
    """What happens when a handler raises; `spawn` may say otherwise of one actor."""

    mailbox_capacity: ClassVar[int] = 1000
    """How many messages may be queued; `tell` waits for room."""

    passivate_after: ClassVar[float | None] = None
    """Seconds of idleness after which an actor reached by `ref` is put away; None takes the system's setting."""

    start_timeout: ClassVar[float | None] = None
    """Seconds that a start may take, recovery included, before it fails with `StartTimeout`; None for no limit."""

    stop_timeout: ClassVar[float | None] = None
    """Seconds that a stop may take before the actor is cancelled, if less than the system's; None for no more limit."""

    _FIRST: ClassVar[Life] = "starting"
    """What an instance does that has no hook called yet."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "type_name" not in cls.__dict__:
            cls.type_name = cls.__name__
        if cls.mailbox_capacity < 1:
            raise ValueError(f"{cls.__name__}: mailbox_capacity is 1 or more, not {cls.mailbox_capacity}")
        for name in ("handle", "started", "restarting", "stopping"):
            if _is_plain_function(cls.__dict__.get(name)):
                raise TypeError(f"{cls.__name__}.{name} must be written with `async def`")

    async def started(self, context: Context) -> None:
        """Run before the first message of each instance, also after a restart. Raising fails the start."""

    async def handle(self, message: Any, context: Context, /) -> Any:
        """Handle one message and return its reply.

        What it raises goes to the asker and to supervision; `Rejected` goes to the asker alone.
        """
        raise NotImplementedError(f"{type(self).__name__} has no handle method")

    async def restarting(self, context: Context, error: BaseException) -> None:
        """Run on the old instance before another takes its place; runs `stopping` unless it is overridden."""
        await self.stopping(context)

    async def stopping(self, context: Context) -> None:
        """Run after the last message, at a stop and at passivation. What it raises is logged."""

    async def _prepare(self, context: Context) -> None:
        """Make a new instance ready, before `started`: the floor above recovers durable state here."""

    def _put_away(self) -> None:
        """Part with an instance that stops or is put away, after its last hook: the floor above takes a snapshot."""

    def _known(self, *, states: bool) -> Known:
        """Return what this instance knows of itself, for who looks at it."""
        return Known(state=dict(vars(self)) if states else None)

    def _receive(self, message: Any, context: Context) -> Coroutine[Any, Any, Any]:
        """Return the coroutine that handles one message."""
        return self.handle(message, context)


def _is_plain_function(thing: object) -> bool:
    """Tell whether a call returns no awaitable, as far as can be told: a decorator's wrapper may."""
    return inspect.isfunction(thing) and not inspect.iscoroutinefunction(thing) and not hasattr(thing, "__wrapped__")
