"""What an actor's author says of the past of its events and states."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from perdure.errors import EvolutionError
from perdure.evolution._document import Document
from perdure.evolution._lineage import Lineage
from perdure.evolution._steps import Steps

F = TypeVar("F", bound=Callable[[Any], Any])
R = TypeVar("R", bound=Callable[[Any], Iterable[Document]])

_STATE = ""  # no type of events has this name


class Evolution:
    """The history of an actor type: how what it stored once is read today. Give it to the type as `evolution`.

        history = Evolution()

        @history.upcast("deposited", 1)
        def with_currency(document):
            return {**document, "currency": "EUR"}

    Steps go from raw document to raw document: a dict of fields as they were stored, so that no old class is needed.
    They must depend on nothing but the document, and may change it. A type without any step is read by its fields'
    defaults, whatever its version. One that has steps needs one for each version that was ever stored, so that nothing
    is taken for what it is not.

    Each method raises `EvolutionError` for what can never be right. The rest is checked against the declared types when
    the actor type is first used; what is registered after that is refused.
    """

    def __init__(self, *, state_version: int = 1) -> None:
        """`state_version` is the version of the actor's state as it is now."""
        if type(state_version) is not int or state_version < 1:
            raise EvolutionError("the state", None, f"its version is {state_version!r}; versions are 1, 2, 3, …")
        self._state_version = state_version
        self._events = Steps("event")
        self._states = Steps("the state")

    # Reading older events.

    def upcast(self, manifest: str, version: int, *, to: int | None = None) -> Callable[[F], F]:
        """Register, as a decorator, a function from the document of a version to that of the next, or of `to`."""
        return _registering(lambda function: self._events.add_up(manifest, version, to, function))

    def replace(self, manifest: str, version: int) -> Callable[[R], R]:
        """Register, as a decorator, a function from the document of a version to `Document`s of any types.

        They may be none, one or several, of any version of their type. So a type is split, merged into another, or
        removed; it needs no class any more.
        """
        return _registering(lambda function: self._events.add_replacement(manifest, version, function))

    def defaults(self, manifest: str, version: int, /, **fields: Any) -> None:
        """Say which fields the next version has in addition, and their values in older documents.

        Without fields: documents of this version are documents of the next one. It is the downcaster back, too: one
        that refuses a field with another value; register your own to have it otherwise.
        """
        self._events.add_defaults(manifest, version, fields)

    def rename(self, old: str, new: str) -> None:
        """Say that events stored as `old`, of whatever version, are events `new`. Steps are registered for `new`."""
        self._events.rename(old, new)

    def drop(self, manifest: str) -> None:
        """Say that events stored under this name are passed over."""
        self._events.drop(manifest)

    # Writing older events, for programs that do not know the newer ones yet.

    def downcast(self, manifest: str, version: int, *, to: int | None = None) -> Callable[[F], F]:
        """Register, as a decorator, a function from the document of a version to that of the one before, or of `to`."""
        return _registering(lambda function: self._events.add_down(manifest, version, to, function))

    def write(self, manifest: str, *, version: int | None = None, name: str | None = None) -> None:
        """Write events of a type as an older version, or under an older name, until all programs know the new one.

        The actor goes on with what was written, read back: what a downcaster leaves out is gone.
        """
        self._events.write(manifest, version, name)

    # The same for the state.

    def upcast_state(self, version: int, *, to: int | None = None) -> Callable[[F], F]:
        """Register, as a decorator, a function from a state of a version to one of the next, or of `to`."""
        return _registering(lambda function: self._states.add_up(_STATE, version, to, function))

    def state_defaults(self, version: int, /, **fields: Any) -> None:
        """Say which fields the next version of the state has in addition, as `defaults` does for events."""
        self._states.add_defaults(_STATE, version, fields)

    def rename_state(self, old: str) -> None:
        """Say that the actor type was called `old` when it stored states."""
        self._states.rename(old, _STATE)

    def downcast_state(self, version: int, *, to: int | None = None) -> Callable[[F], F]:
        """Register, as a decorator, a function from a state of a version to one of the version before, or of `to`."""
        return _registering(lambda function: self._states.add_down(_STATE, version, to, function))

    def write_state(self, *, version: int | None = None, name: str | None = None) -> None:
        """Write states as an older version, or under the actor type's older name.

        One that would come back changed is refused: there is no snapshot then, and with `Light` the persist raises.
        """
        self._states.write(_STATE, version, name)

    # For those who read and write.

    def of_events(self, owner: str, current: Mapping[str, int]) -> Lineage:
        """Return how an actor type reads and writes events of which it declares these, with their versions.

        Raises `EvolutionError` where what was registered does not fit them.
        """
        return Lineage(owner, self._events, current)

    def of_states(self, owner: str) -> Lineage:
        """Return how an actor type reads and writes its state, the document of manifest "". Raises `EvolutionError`."""
        return Lineage(owner, self._states, {_STATE: self._state_version})


def _registering(register: Callable[[Any], None]) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        register(function)
        return function

    return decorate
