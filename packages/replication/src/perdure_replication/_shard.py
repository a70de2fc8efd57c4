"""A node's own part of a state.

A mutation is prepared first: its function runs on a state of its own, what it returns is encoded and read back, and
nothing else happens. It is committed when it is stored, by an assignment that cannot fail. Messages are made from what
is committed, so nothing can be published that is not stored.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import reduce
from typing import Any, cast

import msgspec

from perdure_replication._envelopes import StateObject, StateView
from perdure_replication._events import Mutate
from perdure_replication._generation import Generation
from perdure_replication._messages import Delta, Snapshot, Standing
from perdure_replication._settings import Limits
from perdure_replication._state import DeltaDistributedState, DistributedState, ReplicatedState
from perdure_replication._strategy import SyncUrgency
from perdure_replication.errors import MutationRefused


class Prepared(msgspec.Struct, frozen=True, gc=False):
    """A mutation that can be committed."""

    token: int
    state: Any
    view: Any
    wall: int
    urgency: SyncUrgency
    change: Any = None
    delta: Any = None
    payload: bytes = b""
    """The encoded delta or, of a simple state, the encoded view."""
    stored: bytes = b""
    """The encoded state, where it is stored."""


class _Logged(msgspec.Struct, frozen=True, gc=False):
    delta: Any
    payload: bytes


class Shard:
    """The committed value of a node's part of one state, and the deltas that led to it."""

    def __init__(
        self,
        definition: ReplicatedState[Any, Any],
        generation: Generation,
        state: Any,
        created: int,
        modified: int,
        limits: Limits,
        *,
        stored: bool,
    ) -> None:
        self.definition = definition
        self.name = definition.name
        self.generation = generation
        self.state = state
        self.view = definition.project(state)
        self.created = created
        self.modified = modified
        self.pushed = generation.age
        """The age that was pushed last."""
        self.in_period = generation.age
        """The age at the end of the last period."""
        self.stored = stored
        """Whether mutations are stored before they are committed."""
        self.waiting: deque[Mutate] = deque()
        """Mutations that came while others are being stored."""
        self.saving: list[Prepared] = []
        """Mutations that are being stored."""
        self._deltas = definition if isinstance(definition, DeltaDistributedState) else None
        self._limits = limits
        self._log: deque[_Logged] = deque(maxlen=limits.deltas)
        self._encoded: tuple[Generation, int, bytes] | None = None

    @property
    def standing(self) -> Standing:
        return Standing(self.generation, self.pushed)

    def prepare(self, mutation: Mutate, state: Any, view: Any) -> Prepared:
        """Return what a mutation makes of a state, and of its view. Raises what it raises, and `MutationRefused`."""
        returned = mutation.change(self.definition.own(state))
        try:
            if self._deltas is not None:
                return self._prepare_delta(self._deltas, mutation, returned, view)
            return self._prepare_whole(cast("DistributedState[Any]", self.definition), mutation, returned, view)
        except MutationRefused:
            raise
        except Exception as error:
            raise MutationRefused(self.name, f"what the mutation returned cannot be replicated: {error}") from error

    def _prepare_whole(
        self, definition: DistributedState[Any], mutation: Mutate, returned: Any, before: Any
    ) -> Prepared:
        stored = definition.encode_state(returned)
        state = definition.decode_state(stored, definition.storage_version)
        payload = definition.encode_view(state, definition.wire)
        self._check(payload)
        urgency = mutation.urgency or definition.urgency(before, state)
        return Prepared(mutation.token, state, state, mutation.wall, urgency, payload=payload, stored=stored)

    def _prepare_delta(
        self, definition: DeltaDistributedState[Any, Any, Any, Any], mutation: Mutate, returned: Any, before: Any
    ) -> Prepared:
        if type(returned) is not tuple or len(returned) != 2:
            what = type(returned).__name__
            raise MutationRefused(self.name, f"a mutation returns the new state and the change, not one {what}")
        state, change = returned
        stored = b""
        if self.stored:
            stored = definition.encode_state(state)
            state = definition.decode_state(stored, definition.storage_version)
        view, delta = definition.project(state), definition.project_change(change)
        payload = definition.encode_delta(delta, definition.wire)
        self._check(payload)
        definition.decode_delta(payload, definition.wire)
        urgency = mutation.urgency or definition.urgency(before, view, change)
        return Prepared(mutation.token, state, view, mutation.wall, urgency, change, delta, payload, stored)

    def _check(self, payload: bytes) -> None:
        if len(payload) > self._limits.view_bytes:
            reason = f"it would send {len(payload):,} bytes, over {self._limits.view_bytes:,}"
            raise MutationRefused(self.name, f"{reason}: keep the bulk elsewhere, or raise Limits.view_bytes")

    def record(self, prepared: Sequence[Prepared]) -> StateObject:
        """Return what is to be stored for some mutations."""
        generation = Generation(self.generation.incarnation, self.generation.age + len(prepared))
        last = prepared[-1]
        return StateObject(self.name, generation, self.definition.storage_version, self.created, last.wall, last.stored)

    def commit(self, prepared: Prepared) -> Generation:
        """Make a mutation current."""
        self.state, self.view, self.modified = prepared.state, prepared.view, prepared.wall
        self.generation = Generation(self.generation.incarnation, self.generation.age + 1)
        if self._deltas is not None:
            self._log.append(_Logged(prepared.delta, prepared.payload))
        else:
            self._encoded = (self.generation, self.definition.wire, prepared.payload)
        return self.generation

    def begin(self, incarnation: int) -> None:
        """Go on in a greater incarnation, at the same age. No delta leads there."""
        self.generation = Generation(incarnation, self.generation.age)
        self.pushed = self.generation.age
        self._log.clear()

    def snapshot(self, version: int, token: int = 0) -> Snapshot | None:
        """Return the committed view, or None where it is too large. Raises what the author's encoding raises."""
        if self._encoded is None or self._encoded[:2] != (self.generation, version):
            self._encoded = (self.generation, version, self.definition.encode_view(self.view, version))
        view = self._encoded[2]
        if len(view) > self._limits.view_bytes:
            return None
        return Snapshot(self.name, self.generation, version, self.created, self.modified, view, token)

    def delta(self, base: int, version: int, token: int = 0) -> Delta | None:
        """Return what leads from an age to the committed one, or None where a snapshot must do."""
        definition, count = self._deltas, self.generation.age - base
        if definition is None or not 0 < count <= len(self._log):
            return None
        if count == 1 and version == definition.wire:  # as after each mutation that is pushed; it was found to fit
            return Delta(self.name, base, self.generation, version, self.modified, (self._log[-1].payload,), token)
        logged = [self._log[place] for place in range(-count, 0)]
        if definition.composes and count > 1:
            whole = reduce(definition.compose, (each.delta for each in logged))
            deltas: tuple[bytes, ...] = (definition.encode_delta(whole, version),)
        elif version == definition.wire:
            deltas = tuple(each.payload for each in logged)
        else:
            deltas = tuple(definition.encode_delta(each.delta, version) for each in logged)
        if sum(map(len, deltas)) > self._limits.view_bytes:
            return None
        return Delta(self.name, base, self.generation, version, self.modified, deltas, token)

    def shown(self, node: str, now: float) -> StateView[Any]:
        """Return the own view as others are held."""
        return StateView(node, self.generation, self.view, self.definition.wire, self.created, self.modified, now, None)
