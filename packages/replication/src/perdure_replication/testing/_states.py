"""A simple state and one with deltas, for tests of whatever carries them."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import msgspec

from perdure_replication._state import DeltaDistributedState, DistributedState


class Value(msgspec.Struct, frozen=True):
    """A counter and a label, all of it public."""

    counter: int = 0
    label: str = ""


class TestState(DistributedState[Value]):
    """The simple state of a counter and a label."""

    __test__: ClassVar[bool] = False
    name = "test_state"

    def initial(self) -> Value:
        return Value()


class Secretive(msgspec.Struct, frozen=True):
    """A counter and a label, and a sum that never leaves the node."""

    counter: int = 0
    label: str = ""
    private_sum: int = 0


class Shown(msgspec.Struct, frozen=True):
    """What peers see of a `Secretive`."""

    counter: int = 0
    label: str = ""


class Adjusted(msgspec.Struct, frozen=True):
    """What a mutation did."""

    by: int = 0
    label: str | None = None
    private: int = 0


class Tuned(msgspec.Struct, frozen=True, array_like=True):
    """What peers see of an `Adjusted`."""

    by: int = 0
    label: str | None = None


class TestDeltaState(DeltaDistributedState[Secretive, Shown, Adjusted, Tuned]):
    """The state with deltas of a counter, a label and a private sum."""

    __test__: ClassVar[bool] = False
    name = "test_delta_state"

    def initial(self) -> Secretive:
        return Secretive()

    def project(self, state: Secretive) -> Shown:
        return Shown(state.counter, state.label)

    def project_change(self, change: Adjusted) -> Tuned:
        return Tuned(change.by, change.label)

    def apply(self, view: Shown, delta: Tuned) -> Shown:
        return Shown(view.counter + delta.by, view.label if delta.label is None else delta.label)

    @staticmethod
    def adjust(
        by: int = 0, label: str | None = None, private: int = 0
    ) -> Callable[[Secretive], tuple[Secretive, Adjusted]]:
        """Return a mutation."""

        def mutation(state: Secretive) -> tuple[Secretive, Adjusted]:
            new_label = state.label if label is None else label
            after = Secretive(state.counter + by, new_label, state.private_sum + private)
            return after, Adjusted(by, label, private)

        return mutation
