"""With what one life of a node writes."""

from __future__ import annotations

from collections.abc import Callable
from inspect import iscoroutine
from typing import Any, Generic, TypeVar, cast

from perdure_replication.errors import MutationRefused
from perdure_replication.merge._clock import HybridClock
from perdure_replication.merge._knowledge import Knowledge
from perdure_replication.merge._mergeable import Mergeable
from perdure_replication.merge._place import Draft
from perdure_replication.merge._state import MergedState

T = TypeVar("T")


class Pen(Generic[T]):
    """Changes values of one state, under a number that no other life of any node writes with.

    It keeps its draft for the next change, and puts into it what others have written since: to make a new one takes as
    long as the value is large.
    """

    def __init__(self, state: MergedState[T], writer: int, clock: HybridClock) -> None:
        self._state = state
        self._writer = writer
        self._clock = clock
        self._kept: tuple[Knowledge[T], Draft, T] | None = None

    def write(self, known: Knowledge[T], change: Callable[[T], object]) -> tuple[Knowledge[T], Knowledge[T]]:
        """Return what is known after a change of the value, and the fragment that the change made.

        `change` is given a value that it may change. Raises what `change` raises, and `MutationRefused` for what cannot
        be encoded, or not be read back.
        """
        draft, value = self._drafted(known)
        self._kept = None
        draft.open()
        try:
            returned = change(value)
            if iscoroutine(returned):
                returned.close()
                raise MutationRefused(self._state.name, "a change is a function that awaits nothing: await before it")
        finally:
            made = draft.close()
        fragment = self._copied(made)
        after = known.merge(fragment)
        if self._state.is_plain and fragment == made:
            self._kept = after, draft, value
        return after, fragment

    def _drafted(self, known: Knowledge[T]) -> tuple[Draft, T]:
        if self._kept is not None:
            base, draft, value = self._kept
            if base is known or _catches_up(base, known, draft, cast("Mergeable", value)):
                return draft, value
        draft = Draft(known, self._writer, self._clock)
        return draft, self._state.at(draft)

    def _copied(self, made: Knowledge[Any]) -> Knowledge[T]:
        """Return a fragment that shares nothing with what the change was given, or put in."""
        state = self._state
        try:
            return state.decode_delta(state.encode_delta(made, state.version), state.version)
        except Exception as error:
            raise MutationRefused(state.name, f"what was written cannot be replicated: {error}") from error


def _catches_up(base: Knowledge[Any], known: Knowledge[Any], draft: Draft, value: Mergeable) -> bool:
    """Put into a draft what is known beyond its base, unless a new draft is as quick, or the base was never stored."""
    news = known.beyond(base)
    if base.beyond(known) or news.size() > len(draft.facts):
        return False
    gone = {dot: draft.facts[dot] for dot in news.dots() if dot in draft.facts}
    value.absorb(gone, news.flat())
    return True
