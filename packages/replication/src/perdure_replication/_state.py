"""What the author of a replicated state says of it: its types, its names, its versions, when it is urgent.

Values are encoded by msgspec, so that structs, dataclasses and plain data need nothing more. `version` is that of the
types as they stand in the program; other versions are raw documents, lists and dictionaries, which go from version to
version by one step each. The steps return the document as it is until they are overridden, which is right as long as
fields are only appended, with defaults.

A change of types takes three releases, each rolled out before the next:

1. `version = 2`, `wire_version = 1`, `readable = (1, 2)`: reads both, sends the old one.
2. `version = 2`, `readable = (1, 2)`: reads both, sends the new one. Going back to 1 is safe.
3. `version = 2`: knows the new one alone.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from copy import deepcopy
from typing import Any, ClassVar, Generic, TypeVar, get_args, get_origin

import msgspec

from perdure_replication._immutable import is_immutable
from perdure_replication._strategy import SyncStrategy, SyncUrgency, VersionPolicy
from perdure_replication.errors import InvalidState, UnknownVersion

S = TypeVar("S")
V = TypeVar("V")
C = TypeVar("C")
D = TypeVar("D")

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_encode = msgspec.msgpack.Encoder(order="deterministic").encode


class ReplicatedState(ABC, Generic[S, V]):
    """What both kinds of replicated state have. Inherit `DistributedState` or `DeltaDistributedState`."""

    name: ClassVar[str] = ""
    """Its name in the whole cluster, `[a-z][a-z0-9_]*` in at most 40 characters; that of the class in snake case."""
    version: ClassVar[int] = 1
    """The version of the view's and the delta's type in this program."""
    wire_version: ClassVar[int] = 0
    """The version that is sent; 0 for `version`."""
    readable: ClassVar[tuple[int, ...]] = ()
    """The versions that are read; `version` and the one that is sent are among them always."""
    writable: ClassVar[tuple[int, ...]] = ()
    """The versions that are sent to peers that read no better one; the one that is sent else is among them always."""
    storage_version: ClassVar[int] = 1
    """The version of the state's type in this program."""
    strategy: ClassVar[SyncStrategy] = SyncStrategy.active_push()
    on_unreadable: ClassVar[VersionPolicy] = "keep_stale"

    has_deltas: ClassVar[bool] = False
    _has_own_name: ClassVar[bool] = False
    state_type: Any
    view_type: Any

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._has_own_name = "name" in cls.__dict__ or cls._has_own_name
        if not cls._has_own_name:
            cls.name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()

    def __init__(self) -> None:
        """Raise `InvalidState` where the declaration cannot be right."""
        kind = type(self)
        if _NAME.fullmatch(self.name) is None:
            raise InvalidState(kind.__name__, f"{self.name!r} is no name: use a to z, 0 to 9 and _, at most 40")
        self.wire: int = self.wire_version or self.version
        self.reads: tuple[int, ...] = tuple(sorted({*self.readable, self.version, self.wire}))
        self.writes: tuple[int, ...] = tuple(sorted({*self.writable, self.wire}))
        if self.reads[0] < 1 or self.writes[0] < 1 or self.storage_version < 1:
            raise InvalidState(kind.__name__, "versions are numbers from 1 on")
        self._take_types()
        try:
            self._decode_state = msgspec.msgpack.Decoder(self.state_type).decode
            self._decode_view = msgspec.msgpack.Decoder(self.view_type).decode
        except TypeError as error:
            raise InvalidState(kind.__name__, f"its types cannot be encoded: {error}") from error
        self._copies = not is_immutable(self.state_type)

    @abstractmethod
    def _take_types(self) -> None:
        """Set the types from the class's parameters."""

    @abstractmethod
    def initial(self) -> S:
        """Return the state with which a node begins that has none."""

    @abstractmethod
    def project(self, state: S) -> V:
        """Return what peers may see of a state."""

    def own(self, state: S) -> S:
        """Return a state that a mutation may change in place. Immutable ones are returned as they are."""
        return deepcopy(state) if self._copies else state

    def encode_view(self, view: V, version: int) -> bytes:
        """Return a view as bytes of one of the `writes`."""
        return _encode(view) if version == self.version else _encode(self._older(view, version, self.downcast_view))

    def decode_view(self, data: bytes, version: int) -> V:
        """Return the view of some bytes. Raises `UnknownVersion` for none of the `reads`, anything for rubbish."""
        if version == self.version:
            return self._decode_view(data)  # type: ignore[no-any-return]
        return self._newer(data, version, self.view_type, "view", self.upcast_view)  # type: ignore[no-any-return]

    def upcast_view(self, document: Any, version: int) -> Any:
        """Return the raw view of `version` as one of `version + 1`."""
        return document

    def downcast_view(self, document: Any, version: int) -> Any:
        """Return the raw view of `version` as one of `version - 1`."""
        return document

    def encode_state(self, state: S) -> bytes:
        """Return a state as bytes of the storage version."""
        return _encode(state)

    def decode_state(self, data: bytes, version: int) -> S:
        """Return the state of some bytes. Raises `UnknownVersion` where there is no way to the storage version."""
        if version == self.storage_version:
            return self._decode_state(data)  # type: ignore[no-any-return]
        if version > self.storage_version:
            raise UnknownVersion(self.name, "state", version, (self.storage_version,))
        document = msgspec.msgpack.decode(data)
        for step in range(version, self.storage_version):
            document = self.migrate(document, step)
        return msgspec.convert(document, self.state_type)  # type: ignore[no-any-return]

    def migrate(self, document: Any, version: int) -> Any:
        """Return the raw stored state of `version` as one of `version + 1`. Unless overridden, raises."""
        raise UnknownVersion(self.name, "state", version, (self.storage_version,))

    def _older(self, value: object, version: int, step: Any) -> Any:
        document = msgspec.msgpack.decode(_encode(value))
        for number in range(self.version, version, -1):
            document = step(document, number)
        return document

    def _newer(self, data: bytes, version: int, kind: Any, what: str, step: Any) -> Any:
        if version not in self.reads or version > self.version:
            raise UnknownVersion(self.name, what, version, self.reads)
        document = msgspec.msgpack.decode(data)
        for number in range(version, self.version):
            document = step(document, number)
        return msgspec.convert(document, kind)


class DistributedState(ReplicatedState[S, S]):
    """A state that peers see as it is. Each push is the whole of it."""

    def _take_types(self) -> None:
        (self.state_type,) = _type_arguments(type(self), DistributedState, "STATE")
        self.view_type = self.state_type

    def project(self, state: S) -> S:
        return state

    def urgency(self, before: S, after: S) -> SyncUrgency:
        """Return how urgent a mutation is for which the caller says nothing."""
        return SyncUrgency.default()


class DeltaDistributedState(ReplicatedState[S, V], Generic[S, V, C, D]):
    """A state of which peers see a view, and learn by deltas. What the view leaves out never leaves the node.

    A mutation returns the new state and a change. The law that it must hold for every mutation:
    `apply(project(before), project_change(change)) == project(after)`.
    """

    has_deltas = True
    delta_type: Any

    def __init__(self) -> None:
        super().__init__()
        try:
            self._decode_delta = msgspec.msgpack.Decoder(self.delta_type).decode
        except TypeError as error:
            raise InvalidState(type(self).__name__, f"its types cannot be encoded: {error}") from error
        self.composes: bool = type(self).compose is not DeltaDistributedState.compose

    def _take_types(self) -> None:
        arguments = _type_arguments(type(self), DeltaDistributedState, "STATE, VIEW, CHANGE, DELTA")
        self.state_type, self.view_type, _, self.delta_type = arguments

    @abstractmethod
    def project_change(self, change: C) -> D:
        """Return what peers may see of a change."""

    @abstractmethod
    def apply(self, view: V, delta: D) -> V:
        """Return the view after a delta, leaving the given one as it is."""

    def compose(self, first: D, second: D) -> D:
        """Return one delta that does what two do in turn. Unless it is overridden, a range is sent as its deltas."""
        raise NotImplementedError

    def urgency(self, before: V, after: V, change: C) -> SyncUrgency:
        """Return how urgent a mutation is for which the caller says nothing."""
        return SyncUrgency.default()

    def encode_delta(self, delta: D, version: int) -> bytes:
        """Return a delta as bytes of one of the `writes`."""
        return _encode(delta) if version == self.version else _encode(self._older(delta, version, self.downcast_delta))

    def decode_delta(self, data: bytes, version: int) -> D:
        """Return the delta of some bytes. Raises as `decode_view` does."""
        if version == self.version:
            return self._decode_delta(data)  # type: ignore[no-any-return]
        return self._newer(data, version, self.delta_type, "delta", self.upcast_delta)  # type: ignore[no-any-return]

    def upcast_delta(self, document: Any, version: int) -> Any:
        """Return the raw delta of `version` as one of `version + 1`."""
        return document

    def downcast_delta(self, document: Any, version: int) -> Any:
        """Return the raw delta of `version` as one of `version - 1`."""
        return document


def _type_arguments(kind: type[Any], generic: type[Any], parameters: str) -> tuple[Any, ...]:
    """Return the types with which a class fills in a generic base."""
    arguments = _arguments_of(kind, generic)
    if arguments is None or any(isinstance(argument, TypeVar) for argument in arguments):
        text = f"it does not say its types: write class {kind.__name__}({generic.__name__}[{parameters}])"
        raise InvalidState(kind.__name__, text)
    return arguments


def _arguments_of(kind: type[Any], target: type[Any]) -> tuple[Any, ...] | None:
    for base in kind.__dict__.get("__orig_bases__", kind.__bases__):
        origin = get_origin(base) or base
        if origin is target:
            return get_args(base) or None
        if isinstance(origin, type) and issubclass(origin, target):
            inherited = _arguments_of(origin, target)
            filled = dict(zip(getattr(origin, "__parameters__", ()), get_args(base), strict=False))
            return inherited and tuple(_filled(argument, filled) for argument in inherited)
    return None


def _filled(argument: Any, filled: dict[Any, Any]) -> Any:
    """Put types in the place of type variables, also inside other types."""
    parameters = getattr(argument, "__parameters__", ())
    if parameters:
        return argument[tuple(filled.get(parameter, parameter) for parameter in parameters)]
    return filled.get(argument, argument)
