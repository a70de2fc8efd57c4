"""What the observers of one system want to know.

Each hook is an attribute: None if no observer has written it, so that whoever has something to tell reads one attribute
and is done. Observers are the system's guests: what they raise is logged, once for each hook of each, and goes no
further.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias, TypeVar

from perdure._fields import fields
from perdure.telemetry._observer import Ended, Following, Observer

T = TypeVar("T")
Hook: TypeAlias = Callable[..., Any]

_log = logging.getLogger("perdure.telemetry")


class Observation:
    """The hooks of some observers as one. They are those of `Observer`."""

    __slots__ = (
        "_complained",
        "_followed",
        "_writing",
        "asking",
        "closed",
        "committing",
        "handling",
        "happened",
        "opened",
        "recovering",
        "writing",
    )

    def __init__(self, observers: Sequence[Observer] = ()) -> None:
        self._complained: set[str] = set()
        self._followed = 0  # handlings
        self._writing = self._hook("writing", observers)
        self.asking = self._hook("asking", observers)
        self.closed = self._hook("closed", observers)
        self.committing = self._hook("committing", observers)
        self.handling = self._hook("handling", observers)
        self.happened = self._hook("happened", observers)
        self.opened = self._hook("opened", observers)
        self.recovering = self._hook("recovering", observers)
        self.writing: Hook | None = None
        """None too while no handling is followed, which is most of the time."""

    def __bool__(self) -> bool:
        """Tell whether anything is observed."""
        return any(getattr(self, name) is not None for name in self.__slots__ if not name.startswith("_"))

    def _hook(self, name: str, observers: Sequence[Observer]) -> Hook | None:
        hooks = [
            self._guarded(name, observer)
            for observer in observers
            if getattr(type(observer), name) is not getattr(Observer, name)
        ]
        return hooks[0] if len(hooks) == 1 else _joined(hooks) if hooks else None

    def _guarded(self, name: str, observer: Observer) -> Hook:
        """Return the hook of an observer, which raises nothing, and whose ends do not either."""
        hook: Hook = getattr(observer, name)
        what = f"{type(observer).__name__}.{name}"
        guard_end = self._followed_end if name == "handling" else self._guarded_end

        # One for each number of arguments: a call with `*arguments` takes as long as a quick hook.
        def one(first: Any) -> Hook | None:
            try:
                ended = hook(first)
            except Exception as error:
                return self._complain(what, error)
            return None if ended is None else guard_end(what, ended)

        def two(first: Any, second: Any) -> Hook | None:
            try:
                ended = hook(first, second)
            except Exception as error:
                return self._complain(what, error)
            return None if ended is None else guard_end(what, ended)

        def three(first: Any, second: Any, third: Any) -> Hook | None:
            try:
                ended = hook(first, second, third)
            except Exception as error:
                return self._complain(what, error)
            return None if ended is None else guard_end(what, ended)

        return (one, two, three)[getattr(Observer, name).__code__.co_argcount - 2]

    def _guarded_end(self, what: str, ended: Hook) -> Hook:
        def guarded(outcome: Any) -> None:
            try:
                ended(outcome)
            except Exception as error:
                self._complain(what, error)

        return guarded

    def _followed_end(self, what: str, ended: Hook | Following) -> Hook:
        """Return the end of a handling, and have writes told of until then if it is followed."""
        if not isinstance(ended, Following):
            return self._guarded_end(what, ended)
        self._followed += 1
        self.writing = self._writing
        guarded = self._guarded_end(what, ended.ended)

        def counted(outcome: Any) -> None:
            self._followed -= 1
            if not self._followed:
                self.writing = None
            guarded(outcome)

        return counted

    def _complain(self, what: str, error: Exception) -> Hook | None:
        """Log an error, if it is the first of its hook. Return None, as a hook does whose end is not wanted."""
        if what not in self._complained:
            self._complained.add(what)
            _log.error(
                "the observer's %s failed; this is said once",
                what,
                exc_info=error,
                extra=fields(hook=what, error=error),
            )
        return None


NOTHING = Observation()


async def until(work: Awaitable[T], ended: Ended) -> T:
    """Await something, and tell of its end."""
    try:
        result = await work
    except BaseException as error:
        ended(error)
        raise
    ended(None)
    return result


def _joined(hooks: Sequence[Hook]) -> Hook:
    """Return a hook that calls several, and whose end is theirs."""

    def joined(*arguments: Any) -> Hook | None:
        ends = [ended for hook in hooks if (ended := hook(*arguments)) is not None]
        return _joined(ends) if ends else None

    return joined
